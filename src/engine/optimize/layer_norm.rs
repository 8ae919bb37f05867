//! Recognises layer and RMS normalisation over the last axis, written out node by node as exporters do
//! before opset 17 and models do by hand.

use super::pattern::{Links, Match, rewrite};
use crate::engine::onnx::{Attribute, Attributes, Graph, Node, ValueId};
use crate::tensor::DType;

pub fn run(graph: &mut Graph) -> usize {
    let find = |links: &Links<'_>, index: usize| {
        let product = links.node(index).is("Mul");
        product.then(|| links.layer(index).or_else(|| links.rms(index))).flatten()
    };
    rewrite(graph, find, |node, found: Normalisation| {
        (node.op, node.version) = match found.centred {
            true => ("LayerNormalization".to_owned(), 17),
            false => ("SimplifiedLayerNormalization".to_owned(), 1),
        };
        node.inputs = vec![Some(found.input), Some(found.scale)];
        node.inputs.extend(found.bias.map(Some));
        node.attributes = Attributes::default();
        node.attributes.set("axis", Attribute::Int(-1));
        node.attributes.set("epsilon", Attribute::Float(found.epsilon as f32));
    })
}

/// A normalisation that was written out.
struct Normalisation {
    input: ValueId,
    scale: ValueId,
    bias: Option<ValueId>,
    epsilon: f64,
    centred: bool,
}

impl Links<'_> {
    /// A constant of one axis, one number for each element of a row.
    fn is_row(&self, id: ValueId) -> Option<usize> {
        let constant = self.graph.constants.get(&id).filter(|t| t.dtype() == DType::F32)?;
        match constant.shape() {
            [width] if *width > 1 => Some(*width),
            _ => None,
        }
    }

    /// The input of a ReduceMean over the last axis that keeps it.
    fn mean(&self, id: ValueId) -> Option<(usize, ValueId)> {
        let index = self.producer(id, "ReduceMean")?;
        let node = self.node(index);
        let axes = match node.input(1) {
            Some(axes) => crate::engine::op::ints(self.graph.constants.get(&axes)?).ok()?,
            None => node.attributes.find_ints("axes").ok()??.clone(),
        };
        (axes == [-1] && keeps(node)).then_some((index, node.input(0)?))
    }

    /// The node that squares `x`.
    fn square(&self, id: ValueId, x: ValueId) -> Option<usize> {
        if let Some(pow) = self.only(id, "Pow") {
            let node = self.node(pow);
            return (node.input(0) == Some(x) && self.is_number(node.input(1)?, 2.0)).then_some(pow);
        }
        let mul = self.only(id, "Mul")?;
        self.pairs(mul).iter().all(|pair| *pair == (x, x)).then_some(mul)
    }

    /// √(mean(x²) + ε): the nodes and ε.
    fn deviation(&self, id: ValueId, x: ValueId) -> Option<(Vec<usize>, f64)> {
        let root = self.only(id, "Sqrt")?;
        let sum = self.only(self.node(root).input(0)?, "Add")?;
        let (mean, epsilon) = self.pairs(sum).into_iter().find_map(|(a, b)| Some((a, self.number(b)?)))?;
        if self.uses(mean) != 1 {
            return None;
        }
        let (mean, squared) = self.mean(mean)?;
        let square = self.square(squared, x)?;
        Some((vec![root, sum, mean, square], epsilon))
    }

    /// scale · (x - mean) / √(…) + bias, ending in that Mul or in the Add after it.
    fn layer(&self, mul: usize) -> Option<Match<Normalisation>> {
        let (normal, scale) = self.pairs(mul).into_iter().find(|(_, s)| self.is_row(*s).is_some())?;
        let div = self.only(normal, "Div")?;
        let (off, deviation) = (self.node(div).input(0)?, self.node(div).input(1)?);
        let (mut inner, epsilon) = self.deviation(deviation, off)?;
        // Read by the Div and by the square alone.
        let sub = self.producer(off, "Sub")?;
        let squares = if self.node(*inner.last()?).is("Mul") { 2 } else { 1 };
        if self.uses(off) != 1 + squares {
            return None;
        }
        let (input, mean) = (self.node(sub).input(0)?, self.node(sub).input(1)?);
        let (reduce, of) = self.mean(mean)?;
        if of != input || self.uses(mean) != 1 {
            return None;
        }
        inner.extend([div, sub, reduce]);
        let scaled = self.output(mul)?;
        let add = self.only_reader(scaled, "Add");
        let bias = add.and_then(|add| {
            let other = self.pairs(add).into_iter().find(|(a, _)| *a == scaled)?.1;
            (self.is_row(other) == self.is_row(scale)).then_some((add, other))
        });
        Some(match bias {
            Some((add, bias)) => {
                inner.push(mul);
                Match {
                    last: add,
                    inner,
                    found: Normalisation { input, scale, bias: Some(bias), epsilon, centred: true },
                }
            }
            None => Match {
                last: mul,
                inner,
                found: Normalisation { input, scale, bias: None, epsilon, centred: true },
            },
        })
    }

    /// scale · x / √(mean(x²) + ε)
    fn rms(&self, mul: usize) -> Option<Match<Normalisation>> {
        let (normal, scale) = self.pairs(mul).into_iter().find(|(_, s)| self.is_row(*s).is_some())?;
        let (input, deviation, mut inner) = match self.only(normal, "Div") {
            Some(div) => (self.node(div).input(0)?, self.node(div).input(1)?, vec![div]),
            None => {
                let product = self.only(normal, "Mul")?;
                let (input, inverse, at) = self.pairs(product).into_iter().find_map(|(x, inverse)| {
                    let one = |i: &usize| self.node(*i).input(0).is_some_and(|n| self.is_number(n, 1.0));
                    let reciprocal = self.only(inverse, "Reciprocal").map(|i| (i, 0));
                    let reciprocal =
                        reciprocal.or_else(|| self.only(inverse, "Div").filter(one).map(|i| (i, 1)));
                    let (at, place) = reciprocal?;
                    Some((x, self.node(at).input(place)?, at))
                })?;
                (input, inverse, vec![product, at])
            }
        };
        let (nodes, epsilon) = self.deviation(deviation, input)?;
        inner.extend(nodes);
        Some(Match {
            last: mul,
            inner,
            found: Normalisation { input, scale, bias: None, epsilon, centred: false },
        })
    }
}

fn keeps(node: &Node) -> bool {
    node.attributes.int("keepdims", 1) == Ok(1)
}
