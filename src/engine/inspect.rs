//! What a model file says of itself; needs no device.

use super::error::{LoadError, UnsupportedNode};
use super::onnx::{self, Attribute, Graph};
use super::ops::{Registry, Site};
use super::optimize::{self, Applied};
use super::weights::Ledger;
use crate::plan::{Labels, Signature};
use crate::store::ModelFiles;
use burn_flex::{Flex, FlexDevice};
use std::collections::BTreeMap;

#[derive(Clone, Debug)]
pub struct Inspection {
    pub signature: Signature,
    /// The names of its classes, where the model carries them, as scikit-learn's classifiers do.
    pub classes: Option<Labels>,
    /// The opsets by domain; the standard one is "".
    pub opsets: Vec<(String, i64)>,
    /// "pytorch 2.9.1", or empty.
    pub producer: String,
    /// How many nodes of each operator, graphs inside nodes included; with the domain where it is not the
    /// standard one.
    pub operators: BTreeMap<String, usize>,
    /// Every node that cannot be run. A model that has one is not loaded.
    pub unsupported: Vec<UnsupportedNode>,
    /// Bytes of the initialisers.
    pub weights: u64,
    /// Elements of the initialisers.
    pub parameters: u64,
}

/// Reads a model and says what is in it, and what of it cannot be run.
pub fn inspect(files: impl Into<ModelFiles>) -> Result<Inspection, LoadError> {
    super::open(files)?.inspect()
}

pub(super) fn inspection(model: &onnx::Model) -> Inspection {
    let mut inspection = Inspection {
        signature: model.signature.clone(),
        classes: model.classes.clone(),
        opsets: model.opsets.clone(),
        producer: model.producer.clone(),
        operators: optimize::operators(&model.graph),
        unsupported: onnx::infer::of_model(model).mistyped,
        weights: 0,
        parameters: 0,
    };
    let registry = Registry::<Flex>::standard();
    let mut graphs: Vec<&Graph> = vec![&model.graph];
    while let Some(graph) = graphs.pop() {
        for constant in graph.constants.values() {
            inspection.weights += constant.weight() as u64;
            inspection.parameters += constant.len() as u64;
        }
        for node in &graph.nodes {
            let built = registry.find(node).and_then(|build| {
                build(&Site::new(node, &graph.constants, &FlexDevice, &registry, &Ledger::unlimited()))
                    .map(drop)
            });
            if let Err(why) = built {
                inspection.unsupported.push(UnsupportedNode {
                    name: node.name.clone(),
                    op: node.op.clone(),
                    domain: node.domain.clone(),
                    why,
                });
            }
            graphs.extend(node.attributes.0.iter().filter_map(|(_, attribute)| match attribute {
                Attribute::Graph(graph) => Some(graph.as_ref()),
                _ => None,
            }));
        }
    }
    inspection
}

/// The effect of optimising on a model: each pass that changed something, and the operators that remain.
pub fn optimized(files: impl Into<ModelFiles>) -> Result<(Vec<Applied>, BTreeMap<String, usize>), LoadError> {
    let files = files.into();
    super::contained(|| optimized_read(onnx::read(files.onnx, &files.data)?))
}

fn optimized_read(mut model: onnx::Model) -> Result<(Vec<Applied>, BTreeMap<String, usize>), LoadError> {
    let applied = super::optimized(&mut model);
    Ok((applied, optimize::operators(&model.graph)))
}
