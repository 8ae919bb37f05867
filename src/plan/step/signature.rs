//! What a step takes and gives, whatever computes it.

use crate::plan::Port;

/// The inputs and outputs of a step, and how messages tell of them.
pub struct StepSignature<'a> {
    /// The name in messages of what computes the step: "model `surface`".
    pub computed_by: String,
    /// The whole signature as a note below a message.
    pub described: Option<String>,
    pub inputs: Vec<StepInput<'a>>,
    pub outputs: Vec<StepOutput<'a>>,
}

/// An output of a step.
#[derive(Clone, Copy, Debug)]
pub struct StepOutput<'a> {
    pub name: &'a str,
    /// The output of the model, where a model computes it. The types of others follow from what they are computed from.
    pub port: Option<&'a Port>,
}

/// An input of a step.
pub struct StepInput<'a> {
    pub name: &'a str,
    /// What feeds the input has to be accepted by each of these. The first is the one that people look at.
    pub accepted: Vec<Accepted<'a>>,
}

/// One of the types that what feeds an input has to be of.
pub struct Accepted<'a> {
    pub port: &'a Port,
    /// The version whose type it is, where the step is also computed by older ones than people look at.
    pub older: Option<u64>,
}

impl<'a> StepSignature<'a> {
    pub fn input(&self, name: &str) -> Option<usize> {
        self.inputs.iter().position(|input| input.name == name)
    }

    pub fn output(&self, name: &str) -> Option<usize> {
        self.outputs.iter().position(|output| output.name == name)
    }

    pub fn input_names(&self) -> impl Iterator<Item = &'a str> + Clone + '_ {
        self.inputs.iter().map(|input| input.name)
    }

    pub fn output_names(&self) -> impl Iterator<Item = &'a str> + Clone + '_ {
        self.outputs.iter().map(|output| output.name)
    }
}

impl<'a> StepInput<'a> {
    /// The type that people look at.
    pub fn port(&self) -> Option<&'a Port> {
        self.accepted.first().map(|accepted| accepted.port)
    }
}
