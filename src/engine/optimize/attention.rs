//! Recognises attention written out as products and a softmax, softmax(q · k · scale + mask) · v, and makes one
//! operator of it. What q, k and v come from does not matter, nor how many axes they have.

use super::pattern::{Links, Match, rewrite};
use crate::engine::onnx::{Attribute, Attributes, Graph, Node, ValueId};
use crate::engine::op::inner;

pub fn run(graph: &mut Graph) -> usize {
    rewrite(
        graph,
        |links, index| links.attention(index),
        |node, found| {
            node.domain = inner::DOMAIN.to_owned();
            node.op = inner::ATTEND.to_owned();
            node.version = 1;
            node.inputs = vec![Some(found.q), Some(found.k), Some(found.v)];
            node.inputs.extend(found.mask.map(Some));
            node.attributes = Attributes::default();
            node.attributes.set("scale", Attribute::Float(found.scale as f32));
        },
    )
}

/// An attention that was written out.
struct Attention {
    q: ValueId,
    /// `[.., size, keys]`, as the product has it.
    k: ValueId,
    v: ValueId,
    mask: Option<ValueId>,
    scale: f64,
}

impl Links<'_> {
    fn attention(&self, last: usize) -> Option<Match<Attention>> {
        if !self.node(last).is("MatMul") {
            return None;
        }
        let (weights, v) = (self.node(last).input(0)?, self.node(last).input(1)?);
        let softmax = self.only(weights, "Softmax")?;
        // Before version 13 the axes from this one on are one: the last is the same alone.
        let default = if self.node(softmax).version < 13 { 1 } else { -1 };
        let over_last = |node: &Node| match node.attributes.int("axis", default) {
            Ok(axis) => axis == -1 || (axis == 3 && self.has_four_axes(v)),
            Err(_) => false,
        };
        if !over_last(self.node(softmax)) {
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
        let (q, k) = (self.node(product).input(0)?, self.node(product).input(1)?);
        let (q, by) = self.scaled(q, &mut inner);
        scale *= by;
        let (k, by) = self.scaled(k, &mut inner);
        scale *= by;
        // A constant matrix is a layer, whatever comes after it.
        let constant = |id: ValueId| self.graph.constants.contains_key(&id);
        if !scale.is_finite() || constant(q) || constant(k) || constant(v) {
            return None;
        }
        Some(Match { last, inner, found: Attention { q, k, v, mask, scale } })
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
        let turn = self.producer(id, "Transpose");
        turn.and_then(|i| self.axes(i)).is_some_and(|perm| perm.len() == 4)
    }
}
