//! Whether what a graph computes for one row may depend on the rows beside it: by operators that work along the batch
//! axis, by values that no longer have it, by a row's place in the batch, by the number of rows, and by the longest of
//! them. Pure.
//!
//! Samples that are run alone and together show most of this, and cannot show what begins beyond a threshold
//! (`If(ReduceMax(x) > 1)`) or beyond a number of rows. What is found here runs one item at a time. What it does not
//! know of, because the axes are not known, is left to the samples.

mod axes;
mod marks;
#[cfg(test)]
mod tests;

use super::graph::{Graph, Node, ValueId};
use super::infer::{self, Dim, Fact, Symbol, Symbols};
use crate::plan::{self, Mixing, Port};
use axes::Known;
use marks::Marks;
use std::cell::Cell;
use std::collections::{HashMap, HashSet};

/// How often each value and node may be looked at: bodies are looked into more than once, and so is one within another
/// each time, which a file could nest and grow without end.
const MAX_LOOKS: usize = 64;
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
    let left = Cell::new(infer::size(graph).saturating_mul(MAX_LOOKS));
    let search = Search { batch, depth: 0, left: &left };
    let rows = |fact| Marks { rows: search.carries_any(fact, symbols), ..Marks::default() };
    let marks: Vec<Marks> = given.iter().map(rows).collect();
    match search.graph(graph, given, &marks, symbols) {
        Err(why) => Some(why),
        Ok(marks) => graph.outputs.iter().zip(marks).find_map(|(id, marks)| {
            let how = marks.of_batch()?;
            Some(format!("output {:?} {how}", graph.values[*id]))
        }),
    }
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
    /// The number of values and nodes that may still be looked at.
    left: &'s Cell<usize>,
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

    /// What of the batch each output holds, where nothing mixes rows; else the first node that does, and how. `marks`
    /// are those of the inputs and captures.
    fn graph(
        &self,
        graph: &Graph,
        given: &[Fact],
        marks: &[Marks],
        symbols: &Symbols,
    ) -> Result<Vec<Marks>, String> {
        let left = self.left.get().checked_sub(infer::size(graph));
        self.left.set(left.ok_or("its graphs within graphs take too long to be looked into")?);
        let inference = infer::infer(graph, given, symbols.clone());
        let fillings = marks::fillings(graph);
        let (facts, symbols) = (&inference.facts, &inference.symbols);
        let mut held = vec![Marks::default(); graph.values.len()];
        for (id, marks) in graph.inputs.iter().chain(&graph.captures).zip(marks) {
            held[*id] = *marks;
        }
        for node in &graph.nodes {
            let known = Known { graph, node, facts, symbols, fillings: &fillings };
            let read: Vec<Marks> =
                node.inputs.iter().map(|id| id.map(|id| held[id]).unwrap_or_default()).collect();
            let told = |how: &str| format!("{node} {how}");
            if let Some(how) = self.works_along(&known, &read) {
                return Err(told(how));
            }
            let inner = self.inside(&known, &read)?;
            let passed = match &inner {
                Some(_) => Marks::default(),
                None => self.pass(&known, &read).map_err(told)?,
            };
            for (at, id) in node.outputs.iter().enumerate() {
                let Some(id) = *id else { continue };
                let mut marks =
                    inner.as_ref().map_or(passed, |inner| inner.get(at).copied().unwrap_or_default());
                // Where the greatest lies is counted over the whole batch.
                marks.place |= marks.rows && node.op == "MaxPool" && at == 1;
                held[id] = marks;
                let Some(dims) = facts[id].dims.as_ref().filter(|_| marks.rows) else { continue };
                if self.is_lost(dims, symbols) {
                    return Err(told("makes one value of all rows"));
                }
                if dims.iter().filter(|dim| self.is_of_rows(dim)).count() > 1 {
                    return Err(told("sets each row beside every other"));
                }
            }
        }
        Ok(graph.outputs.iter().map(|id| held[*id]).collect())
    }

    /// How a node lets the rows that it reads meet, if it does.
    fn works_along(&self, known: &Known<'_>, read: &[Marks]) -> Option<&'static str> {
        let along = |dims: &[Dim]| dims.iter().any(|dim| self.is_of_rows(dim));
        let reads_rows = read.iter().any(|marks| marks.rows);
        let op = known.node.op.as_str();
        if along(&known.worked_axes()) && (reads_rows || op == "CumSum") {
            return Some("works along the batch");
        }
        let first = read.first().copied().unwrap_or_default();
        if !first.rows {
            return None;
        }
        if known.works_along_unknown_first_axis() {
            return Some("works along the first axis of what is not known before it runs");
        }
        if op == "Unique"
            && known.dims(0).is_some_and(|dims| dims.iter().any(|dim| self.carries(dim, known.symbols)))
        {
            return Some("takes all rows together");
        }
        // A row's own number may be an index, and so may be what was found in the rows.
        let (axes, index) = known.indexed_axes();
        let found = |dims: &[Dim]| dims.iter().any(|dim| known.symbols.depends_on_data(dim));
        let own = read.get(index).is_some_and(|marks| marks.place) || known.dims(index).is_none_or(found);
        (along(&axes) && !own).then_some("picks rows of the batch by an index")
    }

    /// Looks into the graphs that a node holds: what of the batch its outputs hold. `None` where it has none that are
    /// looked into.
    fn inside(&self, known: &Known<'_>, read: &[Marks]) -> Result<Option<Vec<Marks>>, String> {
        let node = known.node;
        let graphs = node.attributes.graphs();
        let captures: usize = graphs.iter().map(|(_, graph)| graph.captures.len()).sum();
        let Some(own) = node.inputs.len().checked_sub(captures).filter(|_| !graphs.is_empty()) else {
            return Ok(None);
        };
        let told = |how: &str| format!("{node} {how}");
        if !matches!(node.op.as_str(), "If" | "Loop" | "Scan") || (node.op == "Scan" && node.version < 9) {
            return Ok(None);
        }
        if self.depth == MAX_DEPTH {
            return Err(told("holds graphs too deep to be looked into"));
        }
        let fact = |at: usize| node.inputs[at].map_or(Fact::default(), |id| known.facts[id].clone());
        let inner = Search { batch: self.batch, depth: self.depth + 1, left: self.left };
        let mut from = own;
        let mut outputs: Vec<Marks> = vec![];
        for (_, graph) in graphs {
            let captured = from..from + graph.captures.len();
            from = captured.end;
            let mut round = match node.op.as_str() {
                "If" => Round::of_branch(read),
                "Loop" => Round::of_loop(known, read, own),
                _ => match Round::of_scan(known, read, own, graph) {
                    Some(round) => round,
                    None => return Ok(None),
                },
            };
            if let Some(how) = round.deciding.of_batch() {
                return Err(told(how));
            }
            if round.scans_rows(self, known) {
                // Each round sees one row.
                return match round.is_handed_on(graph) {
                    true => Ok(None),
                    false => Err(told("hands a state from row to row")),
                };
            }
            let given: Vec<Fact> = round.facts.iter().cloned().chain(captured.clone().map(fact)).collect();
            // What a state holds of the batch grows from round to round, until it does not.
            let mut gives = loop {
                let marks: Vec<Marks> =
                    round.marks.iter().copied().chain(captured.clone().map(|at| read[at])).collect();
                let gives = inner.graph(graph, &given, &marks, known.symbols)?;
                if let Some(how) = round.decides(&gives) {
                    return Err(told(how));
                }
                if !round.grow(&gives) {
                    break gives;
                }
            };
            // A loop may also give its states as they came.
            for (given, state) in gives.iter_mut().skip(round.deciders).zip(round.states()) {
                *given = given.or(*state);
            }
            let gives = &gives[round.deciders.min(gives.len())..];
            outputs.resize(outputs.len().max(gives.len()), Marks::default());
            for (output, marks) in outputs.iter_mut().zip(gives) {
                *output = output.or(*marks);
            }
        }
        Ok(Some(outputs))
    }
}

/// How often, and on what, the graph inside a node runs.
struct Round {
    /// What is known of its inputs, without its captures.
    facts: Vec<Fact>,
    marks: Vec<Marks>,
    /// What decides whether it runs.
    deciding: Marks,
    /// Its first outputs that decide whether it runs again.
    deciders: usize,
    /// Its inputs that are states: after so many others, so many.
    states: (usize, usize),
    /// Inputs of the node that are gone through, each with the axis.
    scanned: Vec<(usize, Option<usize>)>,
}

impl Round {
    fn of_branch(read: &[Marks]) -> Self {
        let deciding = read.first().copied().unwrap_or_default();
        Self { facts: vec![], marks: vec![], deciding, deciders: 0, states: (0, 0), scanned: vec![] }
    }

    /// The number of the round and the condition come before what a loop carries.
    fn of_loop(known: &Known<'_>, read: &[Marks], own: usize) -> Self {
        let scalar = || Fact { dims: Some(vec![]), ..Fact::default() };
        let state = |at: usize| Fact { elements: None, ..known.fact(at) };
        let facts = [scalar(), scalar()].into_iter().chain((2..own).map(state)).collect();
        let marks = [Marks::default(); 2].into_iter().chain(read.iter().take(own).skip(2).copied()).collect();
        let deciding = read.iter().take(2).fold(Marks::default(), |all, marks| all.or(*marks));
        let states = (2, own.saturating_sub(2));
        Self { facts, marks, deciding, deciders: 1, states, scanned: vec![] }
    }

    /// States, and then a slice of each input that is gone through.
    fn of_scan(known: &Known<'_>, read: &[Marks], own: usize, body: &Graph) -> Option<Self> {
        let scanned = usize::try_from(known.int("num_scan_inputs", 0)).ok()?;
        let states = body.inputs.len().checked_sub(scanned)?;
        let axis = |at: usize| (at, known.scanned_axis(at, states));
        let scanned: Vec<_> = (states..own).map(axis).collect();
        let state = |at: usize| Fact { elements: None, ..known.fact(at) };
        let slice = |(at, axis): &(usize, Option<usize>)| {
            let mut fact = Fact { elements: None, ..known.fact(*at) };
            match (fact.dims.as_mut(), axis) {
                (Some(dims), Some(axis)) => drop(dims.remove(*axis)),
                _ => fact.dims = None,
            }
            fact
        };
        let facts = (0..states).map(state).chain(scanned.iter().map(slice)).collect();
        let marks = read.iter().take(own).copied().collect();
        Some(Self { facts, marks, deciding: Marks::default(), deciders: 0, states: (0, states), scanned })
    }

    /// Whether the rounds go through the rows, or may do so.
    fn scans_rows(&self, search: &Search<'_>, known: &Known<'_>) -> bool {
        self.scanned.iter().any(|(input, axis)| match (known.dims(*input), axis) {
            (Some(dims), Some(axis)) => search.carries(&dims[*axis], known.symbols),
            _ => true,
        })
    }

    fn is_handed_on(&self, body: &Graph) -> bool {
        (0..self.states.1).all(|at| is_handed_on(body, at))
    }

    /// How what it gives makes the rounds of all rows depend on each other.
    fn decides(&self, gives: &[Marks]) -> Option<&'static str> {
        gives.iter().take(self.deciders).find_map(|marks| marks.of_batch())
    }

    /// What the states hold.
    fn states(&self) -> &[Marks] {
        let (first, count) = self.states;
        self.marks.get(first..first + count).unwrap_or_default()
    }

    /// Adds to the states what a round gave of them; whether that was anything new.
    fn grow(&mut self, gives: &[Marks]) -> bool {
        let (first, count) = self.states;
        let before = self.marks.clone();
        for (state, given) in
            self.marks.iter_mut().skip(first).take(count).zip(&gives[self.deciders.min(gives.len())..])
        {
            *state = state.or(*given);
        }
        self.marks != before
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
