//! Recognises attention written out as products and a softmax: softmax(q · kᵀ · scale + mask) · v, which
//! becomes the standard's Attention.
//!
//! q, k and v must come from transposes of four axes: nothing else says that they have four.

use super::pattern::Look;
use crate::engine::onnx::{Attribute, Attributes, Graph, Node, ValueId};
use std::collections::BTreeSet;

pub fn run(graph: &mut Graph) -> usize {
    let look = Look::new(graph);
    let found: Vec<Found> = (0..graph.nodes.len()).filter_map(|i| look.attention(i)).collect();
    let mut gone = BTreeSet::new();
    for found in found {
        if found.inner.iter().chain([&found.last, &found.turn]).any(|i| gone.contains(i)) {
            continue;
        }
        gone.extend(&found.inner);
        // What gave kᵀ gives k.
        graph.nodes[found.turn].attributes.set("perm", Attribute::Ints(found.perm));
        let k = graph.nodes[found.turn].outputs[0];
        let node = &mut graph.nodes[found.last];
        node.op = "Attention".to_owned();
        node.version = 23;
        node.inputs = vec![Some(found.q), k, Some(found.v)];
        node.inputs.extend(found.mask.map(Some));
        node.attributes = Attributes::default();
        node.attributes.set("scale", Attribute::Float(found.scale as f32));
    }
    graph.remove(&gone)
}

struct Found {
    /// The last node, which becomes the attention.
    last: usize,
    /// Those before it that are no longer needed.
    inner: Vec<usize>,
    q: ValueId,
    v: ValueId,
    mask: Option<ValueId>,
    scale: f64,
    /// The transpose that gives kᵀ, and what it has to be to give k.
    turn: usize,
    perm: Vec<i64>,
}

impl Look<'_> {
    fn attention(&self, last: usize) -> Option<Found> {
        if !self.node(last).is("MatMul") {
            return None;
        }
        let (weights, v) = (self.node(last).input(0)?, self.node(last).input(1)?);
        let softmax = self.only(weights, "Softmax")?;
        let over_last =
            |node: &Node| match node.attributes.int("axis", if node.version < 13 { 1 } else { -1 }) {
                Ok(axis) => axis == -1 || axis == 3,
                Err(_) => false,
            };
        if !over_last(self.node(softmax)) || !self.has_four_axes(v) {
            return None;
        }
        let mut inner = vec![softmax];
        let scores = self.node(softmax).input(0)?;
        let (scores, mask) = match self.only(scores, "Add") {
            None => (scores, None),
            Some(add) => {
                inner.push(add);
                let is_product = |id: ValueId| self.unscaled(id, &mut Vec::new()).is_some();
                let pair = self.pairs(add).into_iter().find(|(a, _)| is_product(*a))?;
                (pair.0, Some(pair.1))
            }
        };
        let (product, mut scale) = self.unscaled(scores, &mut inner)?;
        inner.push(product);
        let (q, turned) = (self.node(product).input(0)?, self.node(product).input(1)?);
        let (q, by) = self.scaled(q, &mut inner);
        scale *= by;
        let (turned, by) = self.scaled(turned, &mut inner);
        scale *= by;
        let turn = self.only(turned, "Transpose")?;
        let mut perm = self.axes(turn).filter(|perm| perm.len() == 4)?;
        perm.swap(2, 3);
        // With the batch and the heads where they were, as attention wants them.
        if !self.has_four_axes(q) || !scale.is_finite() || scale <= 0.0 {
            return None;
        }
        Some(Found { last, inner, q, v, mask, scale, turn, perm })
    }

    /// The product behind a division or multiplication by a number.
    fn unscaled(&self, id: ValueId, inner: &mut Vec<usize>) -> Option<(usize, f64)> {
        let (id, scale) = self.scaled(id, inner);
        self.only(id, "MatMul").map(|product| (product, scale))
    }

    /// What is multiplied by a number, and the number.
    fn scaled(&self, id: ValueId, inner: &mut Vec<usize>) -> (ValueId, f64) {
        let by = |op: &str| {
            let index = self.only(id, op)?;
            self.pairs(index).into_iter().find_map(|(x, number)| Some((index, x, self.number(number)?)))
        };
        if let Some((index, x, number)) = by("Mul") {
            inner.push(index);
            return (x, number);
        }
        match by("Div") {
            Some((index, x, number)) if self.node(index).input(0) == Some(x) && number != 0.0 => {
                inner.push(index);
                (x, 1.0 / number)
            }
            _ => (id, 1.0),
        }
    }

    fn axes(&self, index: usize) -> Option<Vec<i64>> {
        self.node(index).attributes.find_ints("perm").ok()?.cloned()
    }

    fn has_four_axes(&self, id: ValueId) -> bool {
        let turn = self.giver(id, "Transpose");
        turn.and_then(|i| self.axes(i)).is_some_and(|perm| perm.len() == 4)
    }
}
