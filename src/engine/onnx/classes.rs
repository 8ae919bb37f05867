//! The class names that a model of `ai.onnx.ml` carries.

use super::attribute::Attribute;
use super::graph::{Graph, Node, ValueId};
use crate::plan::{Dim, Labels, Signature};
use crate::tensor::DType;
use std::collections::HashMap;

const DOMAIN: &str = "ai.onnx.ml";

/// The names of the classes that the model tells apart; `None` where it names none, or several sets of them.
pub fn of(graph: &Graph) -> Option<Labels> {
    let mut sets: Vec<Vec<String>> = graph.nodes.iter().filter_map(names).collect();
    // A pipeline that ends in one classifier names its classes once more in the ZipMap after it.
    sets.dedup();
    match <[Vec<String>; 1]>::try_from(sets) {
        Ok([only]) => Some(only.into()),
        Err(_) => None,
    }
}

fn names(node: &Node) -> Option<Vec<String>> {
    let named = ["ZipMap", "TreeEnsembleClassifier", "LinearClassifier", "SVMClassifier"];
    if node.domain != DOMAIN || !named.contains(&node.op.as_str()) {
        return None;
    }
    let lists = ["classlabels_strings", "classlabels_int64s", "classlabels_ints"];
    let names: Vec<String> = lists.iter().find_map(|name| match node.attributes.get(name) {
        Some(Attribute::Texts(all)) if !all.is_empty() => Some(all.iter().map(|s| s.to_string()).collect()),
        Some(Attribute::Ints(all)) if !all.is_empty() => Some(all.iter().map(i64::to_string).collect()),
        _ => None,
    })?;
    Some(names)
}

/// A ZipMap's output is declared as a sequence of maps from class to score. What is served is the tensor of
/// scores, a column for each class, so that is what the signature says.
pub fn unzip(graph: &Graph, signature: &mut Signature) {
    let zip_maps = graph.nodes.iter().filter(|node| node.domain == DOMAIN && node.op == "ZipMap");
    let givers: HashMap<ValueId, &Node> =
        zip_maps.filter_map(|node| Some((node.outputs.first().copied()??, node))).collect();
    for (port, id) in signature.outputs.iter_mut().zip(&graph.outputs) {
        let Some(names) = givers.get(id).copied().and_then(names) else { continue };
        port.dtype = Some(DType::F32);
        port.declared = DType::F32.name().to_owned();
        port.dims = Some(vec![Dim::Unknown, Dim::Fixed(names.len())]);
        port.inferred = None;
    }
}
