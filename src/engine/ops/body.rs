//! Operators that run as a small graph of other operators: what a function body is to the standard.
//!
//! The graph is built when the model is loaded. Constant inputs are constants of it, and what follows from
//! them alone is computed at once.

use super::{BoxOp, Context, Inputs, Site};
use crate::engine::backend::Kernels;
use crate::engine::host::{self, Number};
use crate::engine::onnx::{Attribute, Attributes, Graph, Node, ValueId};
use crate::engine::optimize;
use crate::engine::program::Program;
use crate::engine::value::Value;
use crate::tensor::{DType, Tensor};

/// The version of the standard operator set that bodies are written in.
const VERSION: i64 = 23;
/// Bytes that one constant computed from constant inputs may take.
const CONSTANT: usize = 256 << 20;

pub struct Body<'a, 'g, B: Kernels> {
    site: &'a Site<'g, B>,
    graph: Graph,
    inputs: Vec<Option<ValueId>>,
    /// The places among the node's inputs that are inputs of the body.
    given: Vec<usize>,
}

impl<'a, 'g, B: Kernels> Body<'a, 'g, B> {
    pub fn new(site: &'a Site<'g, B>) -> Self {
        let mut body = Self { site, graph: Graph::default(), inputs: Vec::new(), given: Vec::new() };
        for place in 0..site.node.inputs.len() {
            let id = site.has_input(place).then(|| body.graph.new_value(""));
            if let (Some(id), Some(constant)) = (id, site.absorb(place)) {
                body.graph.constants.insert(id, constant.clone());
            } else if let Some(id) = id {
                body.graph.inputs.push(id);
                body.given.push(place);
            }
            body.inputs.push(id);
        }
        body
    }

    /// The node that the body is for.
    pub fn site(&self) -> &'a Site<'g, B> {
        self.site
    }

    /// An input of the node, which must be there.
    pub fn input(&self, place: usize) -> Result<ValueId, String> {
        self.optional(place).ok_or_else(|| format!("input {place} is missing"))
    }

    pub fn optional(&self, place: usize) -> Option<ValueId> {
        self.inputs.get(place).copied().flatten()
    }

    pub fn constant(&mut self, tensor: Tensor) -> ValueId {
        let id = self.graph.new_value("");
        self.graph.constants.insert(id, tensor);
        id
    }

    pub fn ints(&mut self, ints: &[i64]) -> Result<ValueId, String> {
        let tensor = host::from_ints(ints)?;
        Ok(self.constant(tensor))
    }

    pub fn float(&mut self, number: f64) -> Result<ValueId, String> {
        let tensor = host::scalar(DType::F32, Number::Float(number))?;
        Ok(self.constant(tensor))
    }

    /// A node of the standard domain with one output.
    pub fn node(&mut self, op: &str, inputs: &[ValueId]) -> ValueId {
        self.node_with(op, inputs, &[])
    }

    pub fn node_with(&mut self, op: &str, inputs: &[ValueId], attributes: &[(&str, Attribute)]) -> ValueId {
        let inputs = inputs.iter().copied().map(Some).collect();
        self.nodes(op, inputs, attributes, 1)[0]
    }

    /// A node with left out inputs, or several outputs.
    pub fn nodes(
        &mut self,
        op: &str,
        inputs: Vec<Option<ValueId>>,
        attributes: &[(&str, Attribute)],
        outputs: usize,
    ) -> Vec<ValueId> {
        self.of_domain("", op, inputs, attributes, outputs)
    }

    /// A node of any domain.
    pub fn of_domain(
        &mut self,
        domain: &str,
        op: &str,
        inputs: Vec<Option<ValueId>>,
        attributes: &[(&str, Attribute)],
        outputs: usize,
    ) -> Vec<ValueId> {
        let given: Vec<ValueId> = (0..outputs).map(|_| self.graph.new_value("")).collect();
        let mut all = Attributes::default();
        attributes.iter().for_each(|(name, attribute)| all.set(name, attribute.clone()));
        self.graph.nodes.push(Node {
            name: format!("#{}", self.graph.nodes.len()),
            domain: domain.to_owned(),
            op: op.to_owned(),
            version: VERSION,
            inputs,
            outputs: given.iter().copied().map(Some).collect(),
            attributes: all,
        });
        given
    }

    /// x + y, where there is a y.
    pub fn plus(&mut self, x: ValueId, y: Option<ValueId>) -> ValueId {
        match y {
            Some(y) => self.node("Add", &[x, y]),
            None => x,
        }
    }

    /// The operator that gives these values.
    pub fn build(mut self, outputs: &[ValueId]) -> Result<BoxOp<B>, String> {
        self.graph.outputs = outputs.to_vec();
        let cx = Context::<B>::alone(self.site.device.clone(), CONSTANT);
        optimize::optimize(&mut self.graph, self.site.registry, &cx);
        let site = self.site;
        let before = site.ledger.kept();
        let program = Program::build(&self.graph, site.device, site.registry, site.ledger);
        let program = program.map_err(|e| e.to_string())?;
        // The constants of the body are those that the node absorbed.
        site.has_kept(site.ledger.kept() - before);
        let given = self.given;
        Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
            let values =
                given.iter().map(|place| inputs.take(*place)).collect::<Result<Vec<Value<B>>, _>>()?;
            program.run(values, cx)
        }))
    }
}
