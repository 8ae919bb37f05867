//! Steps: what each takes and gives, whatever computes it. The rules of the plan ask the signature of a step; what
//! a step is made of is known to the file of its kind alone.

pub mod call;
pub mod condition;
mod signature;

pub use signature::{Accepted, StepInput, StepSignature};
