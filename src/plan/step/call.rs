//! The signature of a step that calls a model.

use super::{Accepted, StepInput, StepOutput, StepSignature};
use crate::plan::models::Loaded;

/// The signature of a call of a model: that of its default version, whose inputs have to be what every other
/// version takes too. `None` where no version of the model is known.
pub fn signature<'a>(model: &Loaded<'a>) -> Option<StepSignature<'a>> {
    let (newest, facts) = model.versions.last()?;
    let accepted = |name: &str| {
        let versions = model.versions.iter().rev();
        let of_version = versions.filter_map(|(version, facts)| {
            let port = facts.signature.inputs.iter().find(|port| port.name == name)?;
            Some(Accepted { port, older: (version != newest).then_some(*version) })
        });
        of_version.collect()
    };
    let inputs = facts.signature.inputs.iter();
    Some(StepSignature {
        computed_by: format!("model `{}`", model.name()),
        described: model.describe(),
        inputs: inputs.map(|port| StepInput { name: &port.name, accepted: accepted(&port.name) }).collect(),
        outputs: facts
            .signature
            .outputs
            .iter()
            .map(|port| StepOutput { name: &port.name, port: Some(port) })
            .collect(),
    })
}
