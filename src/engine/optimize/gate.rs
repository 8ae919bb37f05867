//! Recognises activations that exporters write out node by node: x · sigmoid(x), Gelu by erf, x/2 · (1 +
//! erf(x/√2)), and by tanh, x/2 · (1 + tanh(√(2/π) · (x + 0.044715 x³))).

use super::pattern::{Links, Match, rewrite};
use crate::engine::onnx::{Attribute, Attributes, Graph, ValueId};

pub fn run(graph: &mut Graph) -> usize {
    let find = |links: &Links<'_>, index: usize| {
        let product = links.node(index).is("Mul");
        product.then(|| links.silu(index).or_else(|| links.gelu(index))).flatten()
    };
    rewrite(graph, find, |node, Gate { input, kind }| {
        let (domain, op, version) = match kind {
            Kind::Silu => ("", "Swish", 24),
            Kind::Gelu => ("com.microsoft", "Gelu", 1),
            Kind::GeluByTanh => ("", "Gelu", 20),
        };
        node.op = op.to_owned();
        node.domain = domain.to_owned();
        node.version = version;
        node.inputs = vec![Some(input)];
        node.attributes = Attributes::default();
        if kind == Kind::GeluByTanh {
            node.attributes.set("approximate", Attribute::Text("tanh".into()));
        }
    })
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Silu,
    Gelu,
    GeluByTanh,
}

/// An activation that was written out.
struct Gate {
    input: ValueId,
    kind: Kind,
}

impl Links<'_> {
    /// Mul(x, Sigmoid(x))
    fn silu(&self, index: usize) -> Option<Match<Gate>> {
        self.pairs(index).into_iter().find_map(|(x, gate)| {
            let sigmoid = self.only(gate, "Sigmoid")?;
            (self.node(sigmoid).input(0)? == x).then(|| Match {
                last: index,
                inner: vec![sigmoid],
                found: Gate { input: x, kind: Kind::Silu },
            })
        })
    }

    /// A product of x, 1/2 and 1 + f(x), in any order.
    fn gelu(&self, index: usize) -> Option<Match<Gate>> {
        self.pairs(index).into_iter().find_map(|(a, b)| {
            // (x · (1 + f)) · 1/2, (x · 1/2) · (1 + f), or x · (1/2 · (1 + f))
            let (factors, mul) = if self.is_number(b, 0.5) {
                let mul = self.only(a, "Mul")?;
                (self.pairs(mul), mul)
            } else {
                let mul = self.only(b, "Mul")?;
                let halved = self.beside_number(mul, 0.5)?;
                (vec![(a, halved), (halved, a)], mul)
            };
            factors.into_iter().find_map(|(x, sum)| {
                let add = self.only(sum, "Add")?;
                let curve = self.beside_number(add, 1.0)?;
                let (kind, mut inner) = match self.erf(curve, x) {
                    Some(inner) => (Kind::Gelu, inner),
                    None => (Kind::GeluByTanh, self.tanh(curve, x)?),
                };
                inner.extend([mul, add]);
                Some(Match { last: index, inner, found: Gate { input: x, kind } })
            })
        })
    }

    /// The nodes of erf(x/√2).
    fn erf(&self, curve: ValueId, x: ValueId) -> Option<Vec<usize>> {
        let erf = self.only(curve, "Erf")?;
        let scaled = self.node(erf).input(0)?;
        let divided = |i: &usize| {
            let node = self.node(*i);
            node.input(0) == Some(x)
                && node.input(1).is_some_and(|b| self.is_number(b, std::f64::consts::SQRT_2))
        };
        let scale = self.only(scaled, "Div").filter(divided).or_else(|| {
            let halves = |i: &usize| self.beside_number(*i, std::f64::consts::FRAC_1_SQRT_2) == Some(x);
            self.only(scaled, "Mul").filter(halves)
        })?;
        Some(vec![erf, scale])
    }

    /// The nodes of tanh(√(2/π) · (x + 0.044715 x³)).
    fn tanh(&self, curve: ValueId, x: ValueId) -> Option<Vec<usize>> {
        let tanh = self.only(curve, "Tanh")?;
        let scale = self.only(self.node(tanh).input(0)?, "Mul")?;
        let sum = self.beside_number(scale, (2.0 / std::f64::consts::PI).sqrt())?;
        let add = self.only(sum, "Add")?;
        let small = self.pairs(add).into_iter().find(|(a, _)| *a == x)?.1;
        let mul = self.only(small, "Mul")?;
        let cubed = self.beside_number(mul, 0.044715)?;
        let mut inner = vec![tanh, scale, add, mul];
        if let Some(pow) = self.only(cubed, "Pow") {
            let (base, exponent) = *self.pairs(pow).first()?;
            inner.push(pow);
            return (base == x && self.is_number(exponent, 3.0)).then_some(inner);
        }
        // x · x · x
        let outer = self.only(cubed, "Mul")?;
        let square = self.pairs(outer).into_iter().find(|(a, _)| *a == x)?.1;
        let square = self.only(square, "Mul")?;
        inner.extend([outer, square]);
        self.pairs(square).iter().all(|(a, b)| (*a, *b) == (x, x)).then_some(inner)
    }
}
