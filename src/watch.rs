//! Paths that changed, settled. Decides nothing and knows nobody.
