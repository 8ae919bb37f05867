//! Sequences that are split off a tensor and read at places that the file fixes, written as the parts of the tensor that
//! they are: what of a part belongs to which row can then be seen. Pure.

use super::attribute::{Attribute, Attributes};
use super::graph::{Graph, Node, ValueId};
use super::infer::{self, Fact, Symbols};
use crate::plan::Port;
use crate::tensor::Tensor;
use std::collections::BTreeSet;

/// Parts of a tensor that are told one by one.
const MOST_PARTS: usize = 4096;

/// Writes every `SplitToSequence` that `SequenceAt` alone reads, at constant places, as `Split` or as `Gather`s.
pub fn unroll(graph: &mut Graph, inputs: &[Port]) {
    let splits: Vec<usize> =
        (0..graph.nodes.len()).filter(|index| graph.nodes[*index].is("SplitToSequence")).collect();
    if splits.is_empty() {
        return;
    }
    let mut symbols = Symbols::default();
    let given = infer::declared(inputs, &mut symbols);
    let facts = infer::infer(graph, &given, symbols).facts;
    let mut removed = BTreeSet::new();
    for index in splits {
        let read = Reader::all(graph, &facts, index);
        let Some((readers, parts)) =
            read.and_then(|readers| Some((readers, Parts::of(graph, &facts, index)?)))
        else {
            continue;
        };
        match parts {
            Parts::Ones { keep } => picked(graph, index, readers, keep, &mut removed),
            Parts::Sizes(sizes) => cut(graph, index, readers, sizes, &mut removed),
        }
    }
    graph.remove(&removed);
}

/// A node that reads a sequence at one place.
struct Reader {
    node: usize,
    place: i64,
    gives: ValueId,
}

impl Reader {
    /// All readers of the sequence that a node gives; `None` where something else reads it too.
    fn all(graph: &Graph, facts: &[Fact], split: usize) -> Option<Vec<Self>> {
        let sequence = *graph.nodes[split].outputs.first()?;
        if sequence.is_none_or(|id| graph.outputs.contains(&id)) {
            return None;
        }
        let reads = |node: &Node| node.inputs.contains(&sequence);
        let readers = graph.nodes.iter().enumerate().filter(|(_, node)| reads(node));
        let reader = |(index, node): (usize, &Node)| {
            let [from, Some(at)] = node.inputs[..] else { return None };
            let place = facts.get(at)?.integers()?;
            let ([place], true, [Some(gives)]) = (&place[..], from == sequence, &node.outputs[..]) else {
                return None;
            };
            node.is("SequenceAt").then_some(Self { node: index, place: *place, gives: *gives })
        };
        readers.map(reader).collect()
    }
}

/// Into what a tensor is split.
enum Parts {
    /// Of length 1 each, whose axis may go.
    Ones {
        keep: bool,
    },
    Sizes(Vec<i64>),
}

impl Parts {
    /// `None` where the file does not fix it.
    fn of(graph: &Graph, facts: &[Fact], split: usize) -> Option<Self> {
        let node = &graph.nodes[split];
        let Some(lengths) = node.inputs.get(1).copied().flatten() else {
            return Some(Self::Ones { keep: node.attributes.int("keepdims", 1).ok()? != 0 });
        };
        let (lengths, x) = (facts.get(lengths)?, facts.get(node.input(0)?)?);
        let numbers = lengths.integers()?;
        let sizes = match (lengths.rank()?, &numbers[..]) {
            (1, sizes) => sizes.to_vec(),
            (_, [each]) if *each > 0 => {
                let dims = x.dims.as_ref()?;
                let axis = node.attributes.int("axis", 0).ok()?;
                let axis = if axis < 0 { axis.checked_add(dims.len() as i64)? } else { axis };
                let whole = i64::try_from(dims.get(usize::try_from(axis).ok()?)?.fixed()?).ok()?;
                (0..whole).step_by(usize::try_from(*each).ok()?).map(|at| (*each).min(whole - at)).collect()
            }
            _ => return None,
        };
        (!sizes.is_empty() && sizes.len() <= MOST_PARTS).then_some(Self::Sizes(sizes))
    }
}

/// The attribute `axis` of a node alone.
fn axis_of(node: &Node) -> Attributes {
    let mut attributes = Attributes::default();
    let axis = node.attributes.int("axis", 0).unwrap_or(0);
    attributes.set("axis", Attribute::Int(axis));
    attributes
}

/// Has each reader pick its part itself.
fn picked(graph: &mut Graph, split: usize, readers: Vec<Reader>, keep: bool, removed: &mut BTreeSet<usize>) {
    let (x, attributes) = (graph.nodes[split].inputs[0], axis_of(&graph.nodes[split]));
    for reader in readers {
        let Ok(place) = Tensor::from_vec(if keep { vec![1] } else { vec![] }, vec![reader.place]) else {
            return;
        };
        let at = graph.new_value(format!("{}/place", graph.nodes[reader.node].name));
        graph.constants.insert(at, place);
        let node = &mut graph.nodes[reader.node];
        node.op = "Gather".to_owned();
        node.inputs = vec![x, Some(at)];
        node.attributes = attributes.clone();
    }
    removed.insert(split);
}

/// Splits into parts of those sizes, which the readers gave until now.
fn cut(
    graph: &mut Graph,
    split: usize,
    readers: Vec<Reader>,
    sizes: Vec<i64>,
    removed: &mut BTreeSet<usize>,
) {
    let count = sizes.len() as i64;
    let places =
        readers.iter().map(|reader| if reader.place < 0 { reader.place + count } else { reader.place });
    let places: Option<Vec<usize>> =
        places.map(|at| usize::try_from(at).ok().filter(|at| *at < sizes.len())).collect();
    // A place that is not there is an error of the run, and stays one.
    let (Some(places), Ok(lengths)) = (places, Tensor::from_vec(vec![sizes.len()], sizes)) else { return };
    let mut parts: Vec<Option<ValueId>> = vec![None; lengths.len()];
    for (reader, place) in readers.iter().zip(places) {
        match parts[place] {
            None => {
                parts[place] = Some(reader.gives);
                removed.insert(reader.node);
            }
            Some(part) => {
                let node = &mut graph.nodes[reader.node];
                (node.op, node.inputs) = ("Identity".to_owned(), vec![Some(part)]);
            }
        }
    }
    let name = graph.nodes[split].name.clone();
    for (at, part) in parts.iter_mut().enumerate() {
        part.get_or_insert_with(|| graph.new_value(format!("{name}/{at}")));
    }
    let at = graph.new_value(format!("{name}/sizes"));
    graph.constants.insert(at, lengths);
    let node = &mut graph.nodes[split];
    node.attributes = axis_of(node);
    node.op = "Split".to_owned();
    // The version from which the sizes are an input.
    node.version = node.version.max(13);
    node.inputs = vec![node.inputs[0], Some(at)];
    node.outputs = parts;
}

#[cfg(test)]
mod tests {
    use super::super::infer::text::{Constants, Text};
    use super::*;
    use crate::plan::Dim;
    use crate::tensor::DType;

    /// The operators of a graph once its sequences are unrolled, and what is known of `y`.
    fn unrolled(nodes: &str) -> (Vec<String>, String) {
        let constants: Constants<'_> =
            &[("zero", &[0]), ("one", &[1]), ("last", &[-1]), ("far", &[9]), ("sizes", &[2, 4])];
        let mut text = Text::new("x: float32[N, 6]", constants, nodes);
        let output = text.ids["y"];
        text.graph.outputs.push(output);
        let dims = Some(vec![Dim::Named("N".into()), Dim::Fixed(6)]);
        let port = Port { name: "x".into(), dtype: Some(DType::F32), dims, ..Port::default() };
        unroll(&mut text.graph, &[port]);
        (text.graph.nodes.iter().map(|node| node.op.clone()).collect(), text.show("y"))
    }

    #[test]
    fn parts_at_constant_places_are_parts_of_the_tensor() {
        for (nodes, ops, y) in [
            (
                "s = SplitToSequence(x, sizes) axis=1; a = SequenceAt(s, zero); y = Relu(a)",
                "Split Relu",
                "float32[N, 2]",
            ),
            (
                "s = SplitToSequence(x, sizes) axis=-1; a = SequenceAt(s, last); b = SequenceAt(s, one); y = Add(a, b)",
                "Split Identity Add",
                "float32[N, 4]",
            ),
            (
                "k = Constant() value_int=4; s = SplitToSequence(x, k) axis=1; y = SequenceAt(s, one)",
                "Constant Split",
                "float32[N, 2]",
            ),
            (
                "s = SplitToSequence(x) axis=1 keepdims=0; i = Constant() value_int=3; y = SequenceAt(s, i)",
                "Constant Gather",
                "float32[N]",
            ),
            ("s = SplitToSequence(x) axis=1; y = SequenceAt(s, last)", "Gather", "float32[N, 1]"),
            ("s = SplitToSequence(x) axis=0; y = SequenceAt(s, zero)", "Gather", "float32[1, 6]"),
        ] {
            let (found, known) = unrolled(nodes);
            assert_eq!((found.join(" ").as_str(), known.as_str()), (ops, y), "{nodes}");
        }
    }

    #[test]
    fn what_is_read_otherwise_stays_a_sequence() {
        for nodes in [
            "s = SplitToSequence(x, sizes) axis=1; y = ConcatFromSequence(s) axis=1",
            "s = SplitToSequence(x, sizes) axis=1; a = SequenceAt(s, zero); n = SequenceLength(s); y = Add(a, n)",
            "s = SplitToSequence(x, sizes) axis=1; y = SequenceAt(s, far)",
            "i = ArgMax(x) axis=1; s = SplitToSequence(x, sizes) axis=1; y = SequenceAt(s, i)",
            "k = Constant() value_int=4; s = SplitToSequence(x, k) axis=0; y = SequenceAt(s, zero)",
        ] {
            let mut text = nodes.split("; ").map(|node| node.split_once(" = ").unwrap().1);
            let given: Vec<&str> = text.by_ref().map(|call| call.split_once('(').unwrap().0).collect();
            let mut unread =
                Text::new("x: float32[N, 6]", &[("zero", &[0]), ("far", &[9]), ("sizes", &[2, 4])], nodes);
            unroll(&mut unread.graph, &[]);
            assert_eq!(
                unread.graph.nodes.iter().map(|node| node.op.as_str()).collect::<Vec<_>>(),
                given,
                "{nodes}"
            );
        }
    }
}
