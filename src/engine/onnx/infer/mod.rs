//! What is known of every value before a model runs: its type, and the lengths of its axes as far as they follow from
//! those of the inputs. Pure.
//!
//! A walk over the graph in its order: the published schemas say the types, the rules the lengths. Small integers
//! are computed as they go by, since exporters compute shapes from shapes. Of an operator without a rule nothing is
//! known but its types; what is said of the others holds whatever the inputs are.

mod dim;
mod fact;
mod rules;
mod schema;
#[cfg(test)]
mod tests;
#[cfg(test)]
pub mod text;

pub use dim::{Dim, Symbol, Symbols};
pub use fact::{Fact, integers};

use super::graph::{Graph, Model, Node, ValueId};
use crate::engine::UnsupportedNode;
use crate::plan::{self, Port};
use std::collections::HashMap;

/// What is known of a graph's values.
#[derive(Clone, Debug)]
pub struct Inference {
    /// What is known of each value, by [`ValueId`](super::ValueId).
    pub facts: Vec<Fact>,
    pub symbols: Symbols,
    /// Nodes whose values are of types that do not go together, or that have too few or too many of them; those of graphs
    /// inside nodes included. ONNX Runtime refuses a model that has one.
    pub mistyped: Vec<UnsupportedNode>,
    /// Nodes whose inputs have lengths that do not go together, whatever the symbols stand for: they cannot run.
    pub misshapen: Vec<UnsupportedNode>,
}

/// Infers from what is known of the graph's inputs, whose symbols are among those given.
pub fn infer<'a>(
    graph: &Graph,
    inputs: impl IntoIterator<Item = &'a Fact>,
    mut symbols: Symbols,
) -> Inference {
    let (mut mistyped, mut misshapen) = (Vec::new(), Vec::new());
    let mut walk = Walk {
        left: size(graph).saturating_mul(8),
        symbols: &mut symbols,
        mistyped: &mut mistyped,
        misshapen: &mut misshapen,
    };
    let facts = walk.graph(graph, inputs);
    Inference { facts, symbols, mistyped, misshapen }
}

/// The number of values and nodes of a graph and of those inside it.
pub fn size(graph: &Graph) -> usize {
    let inner = graph.nodes.iter().flat_map(|node| node.attributes.graphs());
    graph.values.len() + graph.nodes.len() + inner.map(|(_, graph)| size(graph)).sum::<usize>()
}

/// Infers from what a model declares of its inputs.
pub fn of_model(model: &Model) -> Inference {
    let mut symbols = Symbols::default();
    let inputs = declared(&model.signature.inputs, &mut symbols);
    infer(&model.graph, &inputs, symbols)
}

/// What the graph computes the dimensions of each of its outputs to be, given what the inputs declare; `None` where the
/// rank is not known.
pub fn outputs(graph: &Graph, inputs: &[Port]) -> Vec<Option<Vec<plan::Dim>>> {
    let mut symbols = Symbols::default();
    let given = declared(inputs, &mut symbols);
    let found = infer(graph, &given, symbols);
    let names = Names::of(inputs, &found.symbols);
    let dims = |id: &usize| {
        let dims = found.facts[*id].dims.as_ref()?;
        Some(dims.iter().map(|dim| names.dim(dim, &found.symbols)).collect())
    };
    graph.outputs.iter().map(dims).collect()
}

/// How lengths are told to the plan.
struct Names {
    /// The dimension that an axis of an input is told as, by the symbol of its length.
    known: HashMap<Symbol, plan::Dim>,
}

impl Names {
    fn of(inputs: &[Port], symbols: &Symbols) -> Self {
        let mut known = HashMap::new();
        for port in inputs {
            for (axis, dim) in port.dims.iter().flatten().enumerate() {
                let (name, told) = match dim {
                    plan::Dim::Fixed(_) => continue,
                    plan::Dim::Named(name) => (name.clone(), dim.clone()),
                    // Whether the first axis is the batch is not for its name to say, as it has none.
                    _ if axis == 0 => (unnamed(port, axis), plan::Dim::Unknown),
                    _ => (unnamed(port, axis), plan::Dim::Named(unnamed(port, axis))),
                };
                known.extend(symbols.find(&name).map(|symbol| (symbol, told)));
            }
        }
        Self { known }
    }

    fn dim(&self, dim: &Dim, symbols: &Symbols) -> plan::Dim {
        if let Some(n) = dim.fixed() {
            return plan::Dim::Fixed(n);
        }
        if let Some(symbol) = dim.as_symbol()
            && let Some(told) = self.known.get(&symbol)
        {
            return told.clone();
        }
        match symbols.depends_on_data(dim) {
            true => plan::Dim::DataDependent,
            // Several times an axis, or a product of some, is none of them.
            false if symbols.is_plain(dim) => plan::Dim::Named(symbols.show(dim)),
            false => plan::Dim::Unknown,
        }
    }
}

/// What an axis that has no name is called, as exporters call theirs.
fn unnamed(port: &Port, axis: usize) -> String {
    format!("{}_dim_{axis}", port.name)
}

/// What ports declare, as facts: an axis that has a name is a symbol of that name, one without is a symbol of its own.
pub fn declared(ports: &[Port], symbols: &mut Symbols) -> Vec<Fact> {
    let dim = |port: &Port, axis: usize, dim: &plan::Dim, symbols: &mut Symbols| match dim {
        plan::Dim::Fixed(n) => Dim::from(*n),
        plan::Dim::Named(name) => Dim::symbol(symbols.named(name)),
        _ => Dim::symbol(symbols.named(&unnamed(port, axis))),
    };
    let fact = |port: &Port| {
        let dims = port.dims.as_ref();
        let dims =
            dims.map(|dims| dims.iter().enumerate().map(|(axis, d)| dim(port, axis, d, symbols)).collect());
        Fact { dtype: port.dtype, ..Fact::of_dims(dims) }.bounded()
    };
    ports.iter().map(fact).collect()
}

/// What a walk over a graph and the graphs inside it gathers.
pub struct Walk<'w> {
    /// Values and nodes that may still be looked at. The body of a loop is looked at more than once, and so is one
    /// within it each time, which a file could nest without end.
    left: usize,
    symbols: &'w mut Symbols,
    mistyped: &'w mut Vec<UnsupportedNode>,
    misshapen: &'w mut Vec<UnsupportedNode>,
}

impl Walk<'_> {
    /// What is known of every value of a graph. `given` are the facts of its inputs and then of its captures.
    fn graph<'a>(&mut self, graph: &Graph, given: impl IntoIterator<Item = &'a Fact>) -> Vec<Fact> {
        let mut facts = vec![Fact::default(); graph.values.len()];
        match self.left.checked_sub(graph.values.len() + graph.nodes.len()) {
            Some(left) => self.left = left,
            None => return facts,
        }
        for (id, tensor) in &graph.constants {
            facts[*id] = Fact::of_constant(tensor);
        }
        for (id, fact) in graph.inputs.iter().chain(&graph.captures).zip(given) {
            facts[*id] = fact.clone();
        }
        for node in &graph.nodes {
            let inputs: Vec<Fact> =
                node.inputs.iter().map(|id| id.map_or(Fact::default(), |id| facts[id].clone())).collect();
            let known = self.node(graph, node, &inputs);
            for (id, fact) in node.outputs.iter().zip(known) {
                if let Some(id) = id {
                    self.compare(graph, node, *id, &fact);
                    facts[*id] = fact;
                }
            }
        }
        facts
    }

    /// Names a node that gives a value of another type than the graph declares of it.
    fn compare(&mut self, graph: &Graph, node: &Node, id: ValueId, fact: &Fact) {
        let (Some(declared), Some(given)) = (graph.declared.get(&id), fact.value_type()) else { return };
        if !given.differs(*declared) {
            return;
        }
        let is_output = graph.outputs.contains(&id);
        // ONNX Runtime, too, believes a constant rather than what is said of it on the way.
        if node.is("Constant") && !is_output {
            return;
        }
        let (what, name) = (if is_output { "output" } else { "value" }, &graph.values[id]);
        add(self.mistyped, node, format!("it gives {given}, and {what} {name:?} is declared {declared}"));
    }

    fn node(&mut self, graph: &Graph, node: &Node, inputs: &[Fact]) -> Vec<Fact> {
        let types = schema::output_types(node, inputs).unwrap_or_else(|why| {
            add(self.mistyped, node, why);
            vec![None; node.outputs.len()]
        });
        let mut call = rules::Call { node, inputs, constants: &graph.constants, walk: self };
        let ruled = rules::find(node).map_or_else(|| Ok(vec![]), |rule| rule(&mut call));
        let mut facts = ruled.unwrap_or_else(|why| {
            add(self.misshapen, node, why);
            vec![]
        });
        facts.resize(node.outputs.len(), Fact::default());
        for (fact, dtype) in facts.iter_mut().zip(types) {
            if fact.other.is_none() {
                fact.dtype = fact.dtype.or(dtype);
            }
        }
        facts.into_iter().map(Fact::bounded).collect()
    }
}

/// Nodes that are named of one kind, so that a file of a million of them costs no more than a look at each.
const MOST_NAMED: usize = 1000;

fn add(to: &mut Vec<UnsupportedNode>, node: &Node, why: String) {
    let found =
        UnsupportedNode { name: node.name.clone(), op: node.op.clone(), domain: node.domain.clone(), why };
    // The body of a loop is looked into more than once. Of very many, some say enough.
    if to.len() < MOST_NAMED && !to.contains(&found) {
        to.push(found);
    }
}
