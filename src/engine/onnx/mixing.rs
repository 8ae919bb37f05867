//! Whether what a graph computes for one row may depend on the rows beside it: by operators that work along the batch
//! axis, by values that no longer have it, and by a row's place in the batch. Pure.
//!
//! Samples that are run alone and together show most of this, and cannot show what begins beyond a threshold
//! (`If(ReduceMax(x) > 1)`) or beyond a number of rows. What is found here runs one item at a time. What it does not
//! know of, because the axes are not known, is left to the samples.

#[cfg(test)]
mod tests;

use super::attribute::Attribute;
use super::facts::{self, Along, First};
use super::graph::{Graph, Node, ValueId};
use super::infer::{self, Dim, Fact, Symbol, Symbols};
use crate::plan::{self, Mixing, Port};
use std::collections::{HashMap, HashSet};

/// Bodies inside bodies that are looked into.
const MAX_DEPTH: usize = 8;
/// Names of axes along which a graph is looked at, first axes before others.
const MAX_KEYS: usize = 16;
/// Places of axes without a name along which a graph is looked at: those that a declaration may make the batch.
const MAX_PLACES: usize = 2;

/// Notes in the signature along which axes of its inputs rows are mixed, and by what.
pub fn note(graph: &Graph, inputs: &[Port], mixing: &mut Mixing) {
    for name in names(inputs) {
        if let Some(why) = along_name(graph, inputs, &name) {
            mixing.along.insert(name, why);
        }
    }
    for place in (0..MAX_PLACES).filter(|place| has_nameless(inputs, *place)) {
        if let Some(why) = along_place(graph, inputs, place) {
            mixing.at.insert(place, why);
        }
    }
}

/// What mixes rows where the batch is the axis of that name.
fn along_name(graph: &Graph, inputs: &[Port], name: &str) -> Option<String> {
    let mut symbols = Symbols::default();
    let given = infer::declared(inputs, &mut symbols);
    let first = |fact: &Fact| fact.dims.as_ref()?.first()?.as_symbol();
    let firsts: HashSet<Symbol> = given.iter().filter_map(first).collect();
    let named = symbols.find(name)?;
    // The first axes of all inputs are one batch, or the batch is another axis.
    let batch = if firsts.contains(&named) { firsts } else { HashSet::from([named]) };
    search(graph, &given, &batch, &symbols)
}

/// What mixes rows where the batch is the axis at that place of every input that has one.
fn along_place(graph: &Graph, inputs: &[Port], place: usize) -> Option<String> {
    let mut symbols = Symbols::default();
    let mut given = infer::declared(inputs, &mut symbols);
    // One length for all inputs, those that the file fixes among them: they are a batch where that is declared.
    let nameless = symbols.named("the batch, without a name");
    let mut batch = HashSet::new();
    for (port, fact) in inputs.iter().zip(&mut given) {
        if let Some(dim) = fact.dims.as_mut().and_then(|dims| dims.get_mut(place)) {
            if !is_named(port, place) {
                *dim = Dim::symbol(nameless);
            }
            batch.extend(dim.as_symbol());
        }
    }
    search(graph, &given, &batch, &symbols)
}

fn search(graph: &Graph, given: &[Fact], batch: &HashSet<Symbol>, symbols: &Symbols) -> Option<String> {
    let search = Search { batch, depth: 0 };
    let follows: Vec<bool> = given.iter().map(|fact| search.carries_any(fact, symbols)).collect();
    search.graph(graph, given, &follows, symbols)
}

/// The names of axes that may be the batch, those of first axes before others.
fn names(inputs: &[Port]) -> Vec<String> {
    let mut dims: Vec<_> = inputs.iter().flat_map(|port| port.dims.iter().flatten().enumerate()).collect();
    dims.sort_by_key(|(axis, _)| *axis);
    let mut names: Vec<String> = Vec::new();
    for (_, dim) in dims {
        if let plan::Dim::Named(name) = dim
            && names.len() < MAX_KEYS
            && !names.contains(name)
        {
            names.push(name.clone());
        }
    }
    names
}

/// Whether an input has an axis without a name at that place.
fn has_nameless(inputs: &[Port], place: usize) -> bool {
    let reaches = |port: &&Port| port.dims.as_ref().is_some_and(|dims| place < dims.len());
    inputs.iter().filter(reaches).any(|port| !is_named(port, place))
}

fn is_named(port: &Port, place: usize) -> bool {
    matches!(port.dims.as_ref().and_then(|dims| dims.get(place)), Some(plan::Dim::Named(_)))
}

/// A search for what mixes rows along the axes that have one of these lengths.
struct Search<'s> {
    batch: &'s HashSet<Symbol>,
    depth: usize,
}

impl Search<'_> {
    fn carries(&self, dim: &Dim, symbols: &Symbols) -> bool {
        symbols.base(dim).iter().any(|symbol| self.batch.contains(symbol))
    }

    /// Whether a length is the number of rows, or some times that.
    fn is_of_rows(&self, dim: &Dim) -> bool {
        matches!(dim, Dim::Product(_, symbols) if symbols.iter().any(|symbol| self.batch.contains(symbol)))
    }

    fn carries_any(&self, fact: &Fact, symbols: &Symbols) -> bool {
        fact.dims.iter().flatten().any(|dim| self.carries(dim, symbols))
    }

    /// Whether a value of these dimensions, which follows from the rows, has lost the axis along which they lie.
    fn is_lost(&self, dims: &[Dim], symbols: &Symbols) -> bool {
        dims.iter().all(|dim| dim.is_known() && !symbols.depends_on_data(dim) && !self.carries(dim, symbols))
    }

    /// The first node that mixes rows, and how. `follows` says which inputs and captures follow from rows.
    fn graph(&self, graph: &Graph, given: &[Fact], follows: &[bool], symbols: &Symbols) -> Option<String> {
        let inference = infer::infer(graph, given, symbols.clone());
        let (facts, symbols) = (&inference.facts, &inference.symbols);
        let inputs = graph.inputs.iter().chain(&graph.captures).zip(follows);
        let mut following: HashSet<ValueId> =
            inputs.filter(|(_, follows)| **follows).map(|(id, _)| *id).collect();
        // Numbers of rows: what tells a row where it is in its batch.
        let mut places: HashSet<ValueId> = HashSet::new();
        for node in &graph.nodes {
            let known = Known { graph, node, facts, symbols };
            let reads_rows = node.inputs.iter().flatten().any(|id| following.contains(id));
            if let Some(how) = self.by_place(&known, &mut places) {
                return Some(format!("{node} {how}"));
            }
            let along = known.worked_axes();
            let along_batch = along.iter().any(|dim| self.is_of_rows(dim));
            if along_batch && (reads_rows || node.op == "CumSum") {
                return Some(format!("{node} works along the batch"));
            }
            let reads = node.input(0).is_some_and(|id| following.contains(&id));
            if reads && known.works_along_unknown_first_axis() {
                return Some(format!(
                    "{node} works along the first axis of what is not known before it runs"
                ));
            }
            if !reads_rows || matches!(node.op.as_str(), "Shape" | "Size") {
                continue;
            }
            for id in node.outputs.iter().flatten() {
                following.insert(*id);
                let Some(dims) = &facts[*id].dims else { continue };
                if self.is_lost(dims, symbols) {
                    return Some(format!("{node} makes one value of all rows"));
                }
                if dims.iter().filter(|dim| self.is_of_rows(dim)).count() > 1 {
                    return Some(format!("{node} sets each row beside every other"));
                }
            }
            if let Some(why) = self.inside(&known, &following) {
                return Some(why);
            }
        }
        None
    }

    /// Looks into the graphs that a node holds.
    fn inside(&self, known: &Known<'_>, following: &HashSet<ValueId>) -> Option<String> {
        let node = known.node;
        let graphs = node.attributes.graphs();
        let captures: usize = graphs.iter().map(|(_, graph)| graph.captures.len()).sum();
        let own = node.inputs.len().checked_sub(captures)?;
        let fact = |id: &Option<ValueId>| id.map_or(Fact::default(), |id| known.facts[id].clone());
        let follow = |id: &Option<ValueId>| id.is_some_and(|id| following.contains(&id));
        let mut from = own;
        for (_, graph) in graphs {
            let captured = node.inputs.get(from..from + graph.captures.len())?;
            from += graph.captures.len();
            let carried = match node.op.as_str() {
                "If" => &[][..],
                "Loop" => node.inputs.get(2..own)?,
                // Each round of a scan sees one row, and hands on what its states are.
                "Scan" => {
                    let scanned = node.attributes.int("num_scan_inputs", 0).ok()?;
                    let states = graph.inputs.len().checked_sub(usize::try_from(scanned).ok()?)?;
                    let kept = (0..states).all(|at| is_handed_on(graph, at));
                    let rows = node.inputs.get(states..own)?.iter().any(|id| {
                        let dims = id.and_then(|id| known.facts[id].dims.as_ref());
                        dims.is_none_or(|dims| dims.iter().any(|dim| self.carries(dim, known.symbols)))
                    });
                    if rows && !kept {
                        return Some(format!("{node} hands a state from row to row"));
                    }
                    continue;
                }
                _ => continue,
            };
            if self.depth == MAX_DEPTH {
                return Some(format!("{node} holds graphs too deep to be looked into"));
            }
            // The number of the round and the condition come before what a loop carries.
            let fixed = if node.op == "Loop" { 2 } else { 0 };
            let scalar = || Fact { dims: Some(vec![]), ..Fact::default() };
            let state = |id| Fact { elements: None, ..fact(id) };
            let given: Vec<Fact> = (0..fixed)
                .map(|_| scalar())
                .chain(carried.iter().map(state))
                .chain(captured.iter().map(fact))
                .collect();
            let follows: Vec<bool> =
                (0..fixed).map(|_| false).chain(carried.iter().chain(captured).map(follow)).collect();
            let inner = Search { batch: self.batch, depth: self.depth + 1 };
            let why = inner.graph(graph, &given, &follows, known.symbols);
            if why.is_some() {
                return why;
            }
        }
        None
    }

    /// Follows the numbers of rows; says how a node makes more of them than an index.
    fn by_place(&self, known: &Known<'_>, places: &mut HashSet<ValueId>) -> Option<&'static str> {
        let node = known.node;
        let outputs = || node.outputs.iter().flatten().copied();
        if node.op == "Range" && outputs().any(|id| self.carries_any(&known.facts[id], known.symbols)) {
            places.extend(outputs());
            return None;
        }
        let is_place = |id: &Option<ValueId>| id.is_some_and(|id| places.contains(&id));
        let read: Vec<usize> = (0..node.inputs.len()).filter(|at| is_place(&node.inputs[*at])).collect();
        if read.is_empty() {
            return None;
        }
        match node.op.as_str() {
            "Shape" | "Size" => None,
            "Gather" | "GatherND" | "GatherElements" | "ScatterND" | "ScatterElements" | "Scatter"
                if read == [1] =>
            {
                None
            }
            "RoiAlign" if read == [2] => None,
            // Whether an index counts from the end: no row's number is below zero.
            "Less" | "GreaterOrEqual" if read == [0] && known.integers(1) == Some(vec![0]) => None,
            op if facts::of(op).lays_out => {
                places.extend(outputs());
                None
            }
            _ => Some("goes by a row's place in the batch"),
        }
    }
}

/// Whether a body gives a state as it came.
fn is_handed_on(body: &Graph, at: usize) -> bool {
    let (Some(mut id), Some(given)) = (body.outputs.get(at).copied(), body.inputs.get(at).copied()) else {
        return false;
    };
    let given_by = |node: &'_ Node| node.outputs.iter().flatten().copied().collect::<Vec<_>>();
    let givers: HashMap<ValueId, &Node> =
        body.nodes.iter().flat_map(|node| given_by(node).into_iter().map(move |id| (id, node))).collect();
    while let Some(node) = givers.get(&id) {
        match (node.op.as_str(), node.input(0)) {
            ("Identity", Some(before)) => id = before,
            _ => return false,
        }
    }
    id == given
}

/// A node and what is known of the values around it.
struct Known<'k> {
    graph: &'k Graph,
    node: &'k Node,
    facts: &'k [Fact],
    symbols: &'k Symbols,
}

impl Known<'_> {
    fn dims(&self, input: usize) -> Option<&[Dim]> {
        self.facts[self.node.input(input)?].dims.as_deref()
    }

    fn integers(&self, input: usize) -> Option<Vec<i64>> {
        let id = self.node.input(input)?;
        let constant = || infer::integers(self.graph.constants.get(&id)?);
        self.facts[id].integers().or_else(constant)
    }

    fn int(&self, name: &str, default: i64) -> i64 {
        self.node.attributes.int(name, default).unwrap_or(default)
    }

    fn ints(&self, name: &str) -> Option<Vec<i64>> {
        match self.node.attributes.get(name) {
            Some(Attribute::Ints(ints)) => Some(ints.clone()),
            _ => None,
        }
    }

    /// The lengths of the axes along which the elements of the node's input meet, are counted or are chosen by
    /// place. Reductions are not among them: what they leave tells of them.
    fn worked_axes(&self) -> Vec<Dim> {
        let Some(dims) = self.dims(0) else { return vec![] };
        let rank = dims.len();
        let at = |axis: i64| usize::try_from(if axis < 0 { axis + rank as i64 } else { axis }).ok();
        let one =
            |axis: i64| at(axis).and_then(|axis| dims.get(axis)).cloned().into_iter().collect::<Vec<_>>();
        let from = |axis: i64| at(axis).and_then(|axis| dims.get(axis..)).unwrap_or_default().to_vec();
        let all = |axes: &[i64]| axes.iter().flat_map(|axis| one(*axis)).collect::<Vec<_>>();
        match facts::of(&self.node.op).along {
            Along::None => vec![],
            Along::Axis(usual) => one(self.int("axis", usual)),
            Along::FromAxis(usual) => from(self.int("axis", usual)),
            Along::From(axis) => dims.get(axis..).unwrap_or_default().to_vec(),
            Along::Axes(usual) => all(&self.ints("axes").unwrap_or(usual.to_vec())),
            Along::Input(input) => self.integers(input).map_or(vec![], |axes| all(&axes)),
            Along::Softmax if self.node.version >= 13 => one(self.int("axis", -1)),
            Along::Softmax => from(self.int("axis", 1)),
            Along::Steps => one(if self.int("layout", 0) == 1 { 1 } else { 0 }),
            Along::Inner => one(-1),
            Along::InnerOfGemm => one(if self.int("transA", 0) == 0 { 1 } else { 0 }),
            Along::Cut => all(&self.cut()),
            Along::Padded => all(&self.padded(rank)),
        }
    }

    /// Whether elements meet along the first axis of an input whose length is not known, so that it may be the batch.
    fn works_along_unknown_first_axis(&self) -> bool {
        if self.dims(0).is_some_and(|dims| dims.first().is_none_or(Dim::is_known)) {
            return false;
        }
        let list = |input: usize| self.ints("axes").or_else(|| self.integers(input));
        match facts::of(&self.node.op).first {
            First::Never => false,
            First::Axis(usual) => self.int("axis", usual) == 0,
            First::Input(input) => self.integers(input).is_none_or(|axes| axes.contains(&0)),
            // Of an empty list of axes, and of none, all are meant, unless nothing is to be done then.
            First::Reduced => match list(1) {
                Some(axes) if !axes.is_empty() => axes.contains(&0),
                _ => self.node.input(1).is_some() || self.int("noop_with_empty_axes", 0) == 0,
            },
            First::Always => true,
        }
    }

    /// The axes of which a Slice does not take all.
    fn cut(&self) -> Vec<i64> {
        let list = |name: &str, input: usize| self.ints(name).or_else(|| self.integers(input));
        let (starts, ends) = (list("starts", 1), list("ends", 2));
        let count = starts.as_ref().or(ends.as_ref()).map_or(0, Vec::len);
        let axes = list("axes", 3).unwrap_or_else(|| (0..count as i64).collect());
        let steps = self.integers(4);
        let whole = |at: usize| {
            let of = |list: &Option<Vec<i64>>| list.as_ref().and_then(|list| list.get(at)).copied();
            of(&starts) == Some(0)
                && of(&ends).is_some_and(|end| end >= i64::from(i32::MAX))
                && (self.node.input(4).is_none() || of(&steps) == Some(1))
        };
        axes.iter().enumerate().filter(|(at, _)| !whole(*at)).map(|(_, axis)| *axis).collect()
    }

    /// The axes that a Pad makes longer or shorter.
    fn padded(&self, rank: usize) -> Vec<i64> {
        let Some(pads) = self.ints("pads").or_else(|| self.integers(1)) else { return vec![] };
        let axes = self.integers(3).unwrap_or_else(|| (0..rank as i64).collect());
        let moved =
            |at: usize| [pads.get(at), pads.get(at + axes.len())].iter().flatten().any(|pad| **pad != 0);
        axes.iter().enumerate().filter(|(at, _)| moved(*at)).map(|(_, axis)| *axis).collect()
    }
}
