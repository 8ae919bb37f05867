//! Steps: what each takes and gives, whatever computes it, and where it runs. The rules of the plan ask the signature of
//! a step; what a step is made of is known to the file of its kind alone.

pub mod call;
pub mod condition;
pub mod guard;
pub mod operation;
pub mod presence;
mod signature;

pub use condition::Condition;
pub use signature::{Accepted, StepInput, StepOutput, StepSignature};
