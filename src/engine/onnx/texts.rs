//! Which texts a graph knows, by the input and the column that it compares with them: categories of encoders, keys of
//! tables, words of vocabularies. Pure.
//!
//! An item of other texts is like any other unknown one, so that samples made without these could not be told apart.

use super::attribute::Attribute;
use super::graph::{Graph, Node, ValueId};
use crate::tensor::{DType, Tensor};
use std::collections::HashMap;
use std::sync::Arc;

/// Texts that are kept of each column.
const MAX_TEXTS: usize = 64;
/// Columns of which texts are kept.
const MAX_COLUMNS: usize = 1024;

/// The texts that a column of an input is compared with.
pub type Column = Vec<Arc<str>>;

/// Where the elements along a value's last axis come from: an input and its column. One alone stands for all.
type Origins = Vec<(usize, usize)>;

/// The texts of each column of each input (the elements of its last axis). A single column stands for all.
pub fn known(graph: &Graph, columns: &[usize]) -> Vec<Vec<Column>> {
    let mut known: Vec<Vec<Column>> =
        columns.iter().map(|count| vec![Column::new(); (*count).clamp(1, MAX_COLUMNS)]).collect();
    let mut origins: HashMap<ValueId, Origins> = HashMap::new();
    for (input, (id, columns)) in graph.inputs.iter().zip(&known).enumerate() {
        origins.insert(*id, (0..columns.len()).map(|column| (input, column)).collect());
    }
    for node in &graph.nodes {
        let Some(from) = node.inputs.iter().flatten().find_map(|id| origins.get(id)).cloned() else {
            continue;
        };
        let texts = texts_of(node, graph);
        for (input, column) in &from {
            let column = &mut known[*input][*column];
            let left = MAX_TEXTS.saturating_sub(column.len());
            column.extend(texts.iter().take(left).cloned());
        }
        if let Some(id) = node.outputs.first().copied().flatten()
            && let Some(to) = carried(node, graph, from, &origins)
        {
            origins.insert(id, to);
        }
    }
    for columns in &mut known {
        if columns.iter().all(Column::is_empty) {
            columns.clear();
        }
    }
    known
}

/// Where the elements of a node's output come from, where it hands texts on.
fn carried(
    node: &Node,
    graph: &Graph,
    from: Origins,
    origins: &HashMap<ValueId, Origins>,
) -> Option<Origins> {
    match node.op.as_str() {
        "Identity" | "Cast" | "StringNormalizer" | "Tokenizer" | "Where" => Some(from),
        "Reshape" | "Flatten" | "Squeeze" | "Unsqueeze" | "Transpose" | "Split" | "Slice" => Some(from),
        "ArrayFeatureExtractor" | "Gather" => {
            let picked = indices(graph.constants.get(&node.input(1)?)?);
            let picked = picked.iter().filter_map(|at| from.get(usize::try_from(*at).ok()?));
            Some(picked.copied().collect())
        }
        "Concat" => {
            let parts = node.inputs.iter().flatten().filter_map(|id| origins.get(id));
            Some(parts.flatten().copied().take(MAX_COLUMNS).collect())
        }
        _ => None,
    }
}

fn indices(tensor: &Tensor) -> Vec<i64> {
    if tensor.dtype() != DType::I64 || tensor.len() > MAX_COLUMNS {
        return vec![];
    }
    tensor.to_f64().into_iter().map(|index| index as i64).collect()
}

/// The texts among a node's attributes and constants.
fn texts_of(node: &Node, graph: &Graph) -> Column {
    let attributes = node.attributes.0.iter().filter_map(|(name, attribute)| match attribute {
        // What it gives, and not what it looks for.
        _ if name.starts_with("values_") || name.starts_with("class") || name.starts_with("default_") => None,
        Attribute::Texts(texts) => Some(texts.as_slice()),
        _ => None,
    });
    let constants = node.inputs.iter().flatten().filter_map(|id| graph.constants.get(id)?.strings());
    attributes.chain(constants).flatten().filter(|text| !text.is_empty()).take(MAX_TEXTS).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::onnx::attribute::Attributes;

    fn texts(texts: &[&str]) -> Vec<Arc<str>> {
        texts.iter().map(|text| Arc::from(*text)).collect()
    }

    fn node(op: &str, inputs: &[ValueId], output: ValueId, attributes: &[(&str, Attribute)]) -> Node {
        Node {
            name: String::new(),
            domain: String::new(),
            op: op.to_owned(),
            version: 18,
            inputs: inputs.iter().map(|id| Some(*id)).collect(),
            outputs: vec![Some(output)],
            attributes: Attributes(attributes.iter().map(|(n, a)| ((*n).to_owned(), a.clone())).collect()),
        }
    }

    #[test]
    fn categories_are_known_of_their_columns() {
        let index = |at: i64| Tensor::from_vec(vec![1], vec![at]).unwrap();
        let encoder = |from, to, known: &[&str]| {
            node("OneHotEncoder", &[from], to, &[("cats_strings", Attribute::Texts(texts(known)))])
        };
        let keys = [
            ("keys_strings", Attribute::Texts(texts(&["low", "high"]))),
            ("values_strings", Attribute::Texts(texts(&["never"]))),
        ];
        let graph = Graph {
            values: (0..10).map(|id| id.to_string()).collect(),
            nodes: vec![
                node("ArrayFeatureExtractor", &[0, 8], 2, &[]),
                node("ArrayFeatureExtractor", &[0, 9], 3, &[]),
                encoder(2, 4, &["Berlin", "Bern"]),
                encoder(3, 5, &["red", ""]),
                node("Reshape", &[1, 9], 6, &[]),
                node("LabelEncoder", &[6], 7, &keys),
            ],
            inputs: vec![0, 1],
            constants: [(8, index(0)), (9, index(1))].into(),
            ..Graph::default()
        };
        let known = known(&graph, &[2, 1]);
        assert_eq!(known, [vec![texts(&["Berlin", "Bern"]), texts(&["red"])], vec![texts(&["low", "high"])]]);
    }
}
