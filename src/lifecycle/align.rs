//! How the ports of a generation stand to those that its pipelines were compiled for. Pure.
//!
//! Steps hand in inputs and take outputs by their place in the signature of the plan. A generation may
//! order its ports otherwise, and have outputs that nobody reads, or lack them.

use crate::diagnostic::shown;
use crate::plan::Signature;
use std::collections::BTreeSet;

/// The place of each port of a generation in the plan, and of each output of the plan in the generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Align {
    /// The place in the plan of each input of the generation.
    inputs: Vec<usize>,
    /// The place in the plan of each output of the generation, where the plan has it.
    gives: Vec<Option<usize>>,
    /// The place in the generation of each output of the plan, where the generation has it.
    outputs: Vec<Option<usize>>,
}

/// The ports of a model that the plan relies on.
#[derive(Clone, Debug, PartialEq)]
pub struct Contract {
    pub signature: std::sync::Arc<Signature>,
    /// Outputs that something reads, by name.
    pub read: BTreeSet<String>,
}

/// `None` where both are alike, place for place. The error names what is missing or more, a reason a line.
pub fn align(contract: &Contract, signature: &Signature) -> Result<Option<Align>, String> {
    let plan = &contract.signature;
    let place = |ports: &[crate::plan::Port], name: &str| ports.iter().position(|port| port.name == name);
    let quoted = |ports: &[crate::plan::Port]| {
        let names: Vec<String> = ports.iter().map(|port| format!("`{}`", shown(&port.name))).collect();
        names.join(", ")
    };
    let inputs: Option<Vec<usize>> =
        signature.inputs.iter().map(|port| place(&plan.inputs, &port.name)).collect();
    let inputs = inputs.filter(|_| signature.inputs.len() == plan.inputs.len());
    let mut reasons = vec![];
    if inputs.is_none() {
        reasons.push(format!(
            "its inputs are {}; the pipelines were compiled for {}",
            quoted(&signature.inputs),
            quoted(&plan.inputs)
        ));
    }
    let lacking = contract.read.iter().filter(|name| place(&signature.outputs, name).is_none());
    for name in lacking {
        reasons.push(format!(
            "it has no output `{name}`, which a pipeline reads; its outputs are {}",
            quoted(&signature.outputs)
        ));
    }
    let Some(inputs) = inputs.filter(|_| reasons.is_empty()) else { return Err(reasons.join("\n")) };
    let align = Align {
        inputs,
        gives: signature.outputs.iter().map(|port| place(&plan.outputs, &port.name)).collect(),
        outputs: plan.outputs.iter().map(|port| place(&signature.outputs, &port.name)).collect(),
    };
    let in_place = |(index, at): (usize, usize)| index == at;
    let alike = align.inputs.iter().copied().enumerate().all(in_place)
        && align.gives.len() == align.outputs.len()
        && align.gives.iter().enumerate().all(|(index, at)| *at == Some(index));
    Ok((!alike).then_some(align))
}

impl Align {
    /// Inputs of the plan in the order of the generation.
    pub fn inputs<T: Clone>(&self, of_plan: &[T]) -> Vec<T> {
        self.inputs.iter().filter_map(|at| of_plan.get(*at).cloned()).collect()
    }

    /// The use that is made of each output of the generation; `otherwise` where the plan does not have it.
    pub fn wants<T: Clone>(&self, of_plan: &[T], otherwise: &T) -> Vec<T> {
        let want = |at: &Option<usize>| at.and_then(|at| of_plan.get(at)).unwrap_or(otherwise).clone();
        self.gives.iter().map(want).collect()
    }

    /// Outputs of the generation in the order of the plan.
    pub fn outputs<T>(&self, given: Vec<Option<T>>) -> Vec<Option<T>> {
        let mut given = given;
        let mut take = |at: &Option<usize>| at.and_then(|at| given.get_mut(at)?.take());
        self.outputs.iter().map(&mut take).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Dim, Port};
    use crate::tensor::DType;
    use std::sync::Arc;

    fn ports(names: &str) -> Vec<Port> {
        let port = |name: &str| Port::tensor(name, DType::F32, Some(vec![Dim::Named("N".into())]));
        names.split_whitespace().map(port).collect()
    }

    fn aligned(inputs: &str, outputs: &str) -> Result<Option<Align>, String> {
        let signature = Arc::new(Signature::new(ports("image mask"), ports("scores extra")));
        let contract = Contract { signature, read: ["scores".to_owned()].into() };
        align(&contract, &Signature::new(ports(inputs), ports(outputs)))
    }

    #[test]
    fn the_same_ports_need_no_alignment() {
        assert_eq!(aligned("image mask", "scores extra"), Ok(None));
    }

    #[test]
    fn ports_are_told_by_name() {
        let align = aligned("mask image", "more scores").unwrap().unwrap();
        assert_eq!(align.inputs(&["i", "m"]), ["m", "i"]);
        assert_eq!(align.wants(&['h', 'd'], &'-'), ['-', 'h']);
        assert_eq!(align.outputs(vec![Some("more"), Some("scores")]), [Some("scores"), None]);
    }

    #[test]
    fn what_is_fed_or_read_must_be_there() {
        #[rustfmt::skip]
        let table = [
            ("photo mask", "scores", "its inputs are `photo`, `mask`; the pipelines were compiled for `image`, `mask`"),
            ("image", "scores", "its inputs are `image`; the pipelines were compiled for `image`, `mask`"),
            ("image mask z", "scores", "its inputs are `image`, `mask`, `z`; the pipelines were compiled for `image`, `mask`"),
            ("image mask", "extra", "it has no output `scores`, which a pipeline reads; its outputs are `extra`"),
        ];
        for (inputs, outputs, reason) in table {
            assert_eq!(aligned(inputs, outputs), Err(reason.to_owned()));
        }
    }
}
