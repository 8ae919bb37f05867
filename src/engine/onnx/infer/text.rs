//! Graphs for tests, written a node a line.

use super::{Dim, Fact, Inference, Symbols, infer};
use crate::engine::onnx::{Attribute, Attributes, Graph, Node};
use crate::tensor::{DType, Tensor};
use std::collections::HashMap;

/// Lists of integers by name.
pub type Constants<'a> = &'a [(&'a str, &'a [i64])];

/// A graph of one operator a line: `y = Op(a, b) axis=1 perm=0,2,1 to=`. `inputs` are `x: float32[N, 3]`, constants are
/// lists of integers.
pub struct Text {
    pub graph: Graph,
    pub ids: HashMap<String, usize>,
    pub symbols: Symbols,
    /// What is known of its inputs.
    pub facts: Vec<Fact>,
}

impl Text {
    pub fn new(inputs: &str, constants: Constants<'_>, nodes: &str) -> Self {
        let (graph, ids) = Default::default();
        let mut text = Self { graph, ids, symbols: Symbols::default(), facts: vec![] };
        for input in inputs.split("; ").filter(|input| !input.is_empty()) {
            let (name, ty) = input.split_once(": ").unwrap();
            let (dtype, dims) = ty.trim_end_matches(']').split_once('[').unwrap();
            let dim = |d: &str| match d.parse() {
                Ok(n) => Dim::Fixed(n),
                Err(_) => Dim::symbol(text.symbols.named(d)),
            };
            let dims = dims.split(", ").filter(|d| !d.is_empty()).map(dim).collect();
            text.facts.push(Fact::new(DType::from_name(dtype).unwrap(), dims));
            let id = text.id(name);
            text.graph.inputs.push(id);
        }
        for (name, ints) in constants {
            let id = text.id(name);
            let tensor = Tensor::from_vec(vec![ints.len()], ints.to_vec()).unwrap();
            text.graph.constants.insert(id, tensor);
        }
        nodes.split("; ").for_each(|node| text.node(node));
        text
    }

    fn id(&mut self, name: &str) -> usize {
        if let Some(id) = self.ids.get(name) {
            return *id;
        }
        let id = self.graph.new_value(name);
        self.ids.insert(name.to_owned(), id);
        id
    }

    fn node(&mut self, text: &str) {
        let (outputs, call) = text.split_once(" = ").unwrap();
        let (op, rest) = call.split_once('(').unwrap();
        let (inputs, attributes) = rest.split_once(')').unwrap();
        let mut all = Attributes::default();
        for attribute in attributes.split_whitespace() {
            let (name, value) = attribute.split_once('=').unwrap();
            let ints: Result<Vec<i64>, _> = value.trim_end_matches(',').split(',').map(str::parse).collect();
            let value = match ints {
                Ok(ints) if value.contains(',') => Attribute::Ints(ints),
                Ok(ints) => Attribute::Int(ints[0]),
                Err(_) => Attribute::Text(value.to_owned()),
            };
            all.set(name, value);
        }
        let mut list = |names: &str| -> Vec<Option<usize>> {
            let names = names.split(", ").filter(|n| !n.is_empty());
            names.map(|name| if name == "-" { None } else { Some(self.id(name)) }).collect()
        };
        let (inputs, outputs) = (list(inputs), list(outputs));
        let (domain, op) = op.rsplit_once('.').unwrap_or(("", op));
        self.graph.nodes.push(Node {
            name: outputs[0].map_or(String::new(), |id| self.graph.values[id].clone()),
            domain: domain.to_owned(),
            op: op.to_owned(),
            version: 18,
            inputs,
            outputs,
            attributes: all,
        });
    }

    pub fn inference(&self) -> Inference {
        infer(&self.graph, &self.facts, self.symbols.clone())
    }

    /// What is known of a value: `float32[N, 3]`.
    pub fn show(&self, name: &str) -> String {
        let found = self.inference();
        assert_eq!(found.misshapen, [], "{name}");
        assert_eq!(found.mistyped, [], "{name}");
        let fact = &found.facts[self.ids[name]];
        let dtype = fact.dtype.map_or("?", DType::name);
        let dims = fact.dims.as_ref().map_or("[..]".to_owned(), |dims| found.symbols.show_all(dims));
        format!("{dtype}{dims}")
    }
}
