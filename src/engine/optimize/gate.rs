//! Recognises activations that exporters write out node by node: x · sigmoid(x), and x/2 · (1 + erf(x/√2)).

use crate::engine::host;
use crate::engine::onnx::{Attributes, Graph, Node, ValueId};
use std::collections::BTreeSet;

pub fn run(graph: &mut Graph) -> usize {
    let mut giver = vec![None; graph.values.len()];
    for (index, node) in graph.nodes.iter().enumerate() {
        node.outputs.iter().flatten().for_each(|id| giver[*id] = Some(index));
    }
    let uses = graph.uses();
    let look = Look { graph, giver: &giver, uses: &uses };
    let found: Vec<Found> =
        (0..graph.nodes.len()).filter_map(|i| look.silu(i).or_else(|| look.gelu(i))).collect();
    let mut gone = BTreeSet::new();
    for found in &found {
        if found.inner.iter().chain([&found.node]).any(|i| gone.contains(i)) {
            continue;
        }
        gone.extend(&found.inner);
        let node = &mut graph.nodes[found.node];
        node.op = found.op.to_owned();
        node.domain = found.domain.to_owned();
        node.version = found.version;
        node.inputs = vec![Some(found.input)];
        node.attributes = Attributes::default();
    }
    graph.remove(&gone)
}

struct Found {
    /// The last node, which becomes the activation.
    node: usize,
    /// Those before it that are no longer needed.
    inner: Vec<usize>,
    input: ValueId,
    op: &'static str,
    domain: &'static str,
    version: i64,
}

struct Look<'a> {
    graph: &'a Graph,
    giver: &'a [Option<usize>],
    uses: &'a [usize],
}

impl Look<'_> {
    fn node(&self, index: usize) -> &Node {
        &self.graph.nodes[index]
    }

    /// The node that gives a value which nothing else reads, if it is that operator.
    fn only(&self, id: ValueId, op: &str) -> Option<usize> {
        self.giver[id].filter(|i| self.uses[id] == 1 && self.node(*i).is(op))
    }

    fn is_constant(&self, id: ValueId, value: f64) -> bool {
        let constant = self.graph.constants.get(&id).filter(|t| t.len() == 1 && t.shape().len() <= 1);
        constant.and_then(|t| host::only(t).ok()).is_some_and(|n| (n.as_f64() - value).abs() < 1e-6)
    }

    /// Both ways of a node of two inputs.
    fn pairs(&self, index: usize) -> Vec<(ValueId, ValueId)> {
        match (self.node(index).input(0), self.node(index).input(1)) {
            (Some(a), Some(b)) => vec![(a, b), (b, a)],
            _ => Vec::new(),
        }
    }

    /// Mul(x, Sigmoid(x))
    fn silu(&self, index: usize) -> Option<Found> {
        if !self.node(index).is("Mul") {
            return None;
        }
        self.pairs(index).into_iter().find_map(|(x, gate)| {
            let sigmoid = self.only(gate, "Sigmoid")?;
            (self.node(sigmoid).input(0)? == x).then(|| Found {
                node: index,
                inner: vec![sigmoid],
                input: x,
                op: "Swish",
                domain: "",
                version: 24,
            })
        })
    }

    /// A product of x, 1/2 and 1 + Erf(x/√2), in any order.
    fn gelu(&self, index: usize) -> Option<Found> {
        if !self.node(index).is("Mul") {
            return None;
        }
        self.pairs(index).into_iter().find_map(|(a, b)| {
            // (x · (1 + erf)) · 1/2, (x · 1/2) · (1 + erf), or x · (1/2 · (1 + erf))
            let (factors, mul) = if self.is_constant(b, 0.5) {
                let mul = self.only(a, "Mul")?;
                (self.pairs(mul), mul)
            } else {
                let mul = self.only(b, "Mul")?;
                let halved = self.pairs(mul).into_iter().find(|(_, half)| self.is_constant(*half, 0.5))?.0;
                (vec![(a, halved), (halved, a)], mul)
            };
            factors.into_iter().find_map(|(x, sum)| {
                let add = self.only(sum, "Add")?;
                let erf = self.pairs(add).into_iter().find(|(_, one)| self.is_constant(*one, 1.0))?.0;
                let erf = self.only(erf, "Erf")?;
                let scaled = self.node(erf).input(0)?;
                let scale = self.only(scaled, "Div").filter(|i| self.divides(*i, x)).or_else(|| {
                    self.only(scaled, "Mul").filter(|i| {
                        let halves = std::f64::consts::FRAC_1_SQRT_2;
                        self.pairs(*i).iter().any(|(a, b)| *a == x && self.is_constant(*b, halves))
                    })
                })?;
                let inner = vec![mul, add, erf, scale];
                Some(Found { node: index, inner, input: x, op: "Gelu", domain: "com.microsoft", version: 1 })
            })
        })
    }

    /// Div(x, √2)
    fn divides(&self, index: usize, x: ValueId) -> bool {
        let node = self.node(index);
        node.input(0) == Some(x)
            && node.input(1).is_some_and(|b| self.is_constant(b, std::f64::consts::SQRT_2))
    }
}
