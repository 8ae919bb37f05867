//! A version's states, what to load and drop, and the swap.
