//! The one integration binary: every further one would link Burn again.

mod layering;
