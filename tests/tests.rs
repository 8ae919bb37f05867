//! The one integration binary: every further one would link Burn again.

mod ingress;
mod layering;
