//! The signature of a step that is an operation.

use super::{StepInput, StepOutput, StepSignature};
use crate::plan::operation::OperationDraft;
use crate::spec;

/// The signature of an operation. What it accepts is for the operation itself to say, once the types of its sources are
/// known.
pub fn signature<'a>(step: &spec::Step, draft: &dyn OperationDraft) -> StepSignature<'a> {
    let name = step.op.as_ref().map_or("", |op| op.value.as_str());
    StepSignature {
        computed_by: format!("operation `{name}`"),
        described: None,
        inputs: Vec::<StepInput<'a>>::new(),
        outputs: draft.outputs().iter().map(|name| StepOutput { name, port: None }).collect(),
    }
}
