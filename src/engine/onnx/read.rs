//! `ModelProto` to [`Model`]: names to indices, attributes typed, functions of the model written out in
//! place, nodes ordered.

use super::attribute::{Attribute, Attributes};
use super::external::ExternalData;
use super::function::{self, MAX_EXPANDED};
use super::graph::{Graph, Model, Node, ValueId};
use super::proto::{
    AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto, SparseTensorProto, attribute_type,
};
use super::scope::{Free, Scope, sort};
use super::{classes, element, rows, sequences, signature, wire};
use crate::engine::LoadError;
use crate::plan::{Declaration, Signature};
use crate::scheduler::is_stopped;
use crate::store::Content;
use crate::tensor::Tensor;
use bytes::Bytes;
use prost::Message;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;

/// Functions may call functions, to this depth.
const FUNCTION_DEPTH: usize = 32;
/// Graphs inside nodes inside graphs, those of functions included.
const MAX_NESTING: usize = 48;
/// Operator sets that a model or a function may import.
const MAX_OPSETS: usize = 1000;
/// Attributes that a node may have.
const MAX_ATTRIBUTES: usize = 1000;
/// Nodes that a model may have once its functions are written out.
const MAX_NODES: usize = 1 << 20;

/// Bytes that all sparse initialisers may take once they are filled up: in any model, and for each byte of its files; and
/// at most.
const SPARSE_FREE: usize = 64 << 20;
const SPARSE_EACH: usize = 16;
const MAX_SPARSE: usize = 2 << 30;

/// Reads a model from the bytes of its file, and of those that it names. Initialisers share those bytes.
pub fn read(file: Content, data: &ExternalData) -> Result<Model, LoadError> {
    if file.is_empty() {
        return Err(LoadError::NotOnnx("the file is empty".into()));
    }
    let written = data.values().map(Content::len).fold(file.len(), usize::saturating_add);
    wire::check(&file).map_err(LoadError::NotOnnx)?;
    let proto = ModelProto::decode(file.reader()).map_err(|e| LoadError::NotOnnx(e.to_string()))?;
    let opsets: Vec<(String, i64)> =
        proto.opset_import.iter().map(|o| (domain(&o.domain), o.version)).collect();
    let Some(graph) = proto.graph else {
        return Err(LoadError::NotOnnx("it has no graph".into()));
    };
    if opsets.is_empty() {
        return Err(LoadError::NotOnnx("it imports no operator set".into()));
    }
    let most = proto.functions.iter().map(|f| f.opset_import.len()).max().unwrap_or(0).max(opsets.len());
    if most > MAX_OPSETS {
        return Err(LoadError::Invalid(format!(
            "it imports {most} operator sets; {MAX_OPSETS} are the most"
        )));
    }
    let functions = proto.functions.iter().map(|f| ((domain(&f.domain), f.name.as_str()), f)).collect();
    let sparse = written.saturating_mul(SPARSE_EACH).clamp(SPARSE_FREE, MAX_SPARSE);
    let mut reader = Reader { functions, nesting: 0, budget: MAX_EXPANDED, nodes: 0, data, sparse };
    build(graph, &opsets, &mut reader, proto.producer_name, proto.producer_version)
        .map_err(LoadError::Invalid)
}

fn build(
    graph: GraphProto,
    opsets: &[(String, i64)],
    reader: &mut Reader<'_>,
    producer: String,
    producer_version: String,
) -> Result<Model, String> {
    let sparse = graph.sparse_initializer.iter().filter_map(|s| s.values.as_ref());
    let constants: HashSet<&str> = graph.initializer.iter().chain(sparse).map(|t| t.name.as_str()).collect();
    let inputs: Vec<_> = graph.input.iter().filter(|i| !constants.contains(i.name.as_str())).collect();
    let mut signature = Signature::new(
        inputs.into_iter().map(signature::port).collect::<Result<_, _>>()?,
        graph.output.iter().map(signature::port).collect::<Result<_, _>>()?,
    );
    if signature.outputs.is_empty() {
        return Err("the graph has no outputs".into());
    }
    let (mut graph, free) = reader.graph(graph, &opsets.iter().cloned().collect(), 0)?;
    if let Some(Free { name, reader, .. }) = free.first() {
        return Err(format!("{reader} reads {name:?}, which nothing in the model gives"));
    }
    sequences::unroll(&mut graph, &signature.inputs);
    let classes = classes::of(&graph);
    classes::unzip(&graph, &mut signature);
    rows::note(&graph, &mut signature);
    let signature = signature.declared(&Declaration::default());
    let producer = format!("{producer} {producer_version}").trim().to_owned();
    Ok(Model { graph, signature, classes, opsets: opsets.to_vec(), producer })
}

/// The standard domain has two names.
fn domain(name: &str) -> String {
    if name == "ai.onnx" { String::new() } else { name.to_owned() }
}

/// What a graph or a function imports, by domain.
type Opsets = Rc<[(String, i64)]>;

/// A node with the operator sets that it is read by.
struct Placed {
    node: NodeProto,
    version: i64,
    opsets: Opsets,
    /// Functions that it was written out of.
    depth: usize,
}

struct Reader<'a> {
    nesting: usize,
    /// Bytes that functions may still take once they are written out.
    budget: usize,
    data: &'a ExternalData,
    /// Bytes that are left for sparse initialisers.
    sparse: usize,
    functions: HashMap<(String, &'a str), &'a FunctionProto>,
    /// Read so far.
    nodes: usize,
}

impl Reader<'_> {
    /// `depth` is that of the functions around it.
    fn graph(
        &mut self,
        proto: GraphProto,
        opsets: &Opsets,
        depth: usize,
    ) -> Result<(Graph, Vec<Free>), String> {
        self.nesting += 1;
        if self.nesting > MAX_NESTING {
            return Err(format!("graphs are nested more than {MAX_NESTING} deep"));
        }
        let read = self.graph_here(proto, opsets, depth);
        self.nesting -= 1;
        read
    }

    fn graph_here(
        &mut self,
        proto: GraphProto,
        opsets: &Opsets,
        depth: usize,
    ) -> Result<(Graph, Vec<Free>), String> {
        let mut scope = Scope::default();
        for tensor in proto.initializer {
            let name = tensor.name.clone();
            let id = scope.declare(&name, "initialiser")?;
            let tensor =
                element::decode(tensor, self.data).map_err(|e| format!("initialiser {name:?}: {e}"))?;
            scope.graph.constants.insert(id, tensor);
        }
        for sparse in proto.sparse_initializer {
            let name = sparse.values.as_ref().map_or(String::new(), |v| v.name.clone());
            let id = scope.declare(&name, "initialiser")?;
            let tensor = self.sparse(sparse).map_err(|e| format!("initialiser {name:?}: {e}"))?;
            scope.graph.constants.insert(id, tensor);
        }
        for input in &proto.input {
            // Files of IR version 3 list the initialisers among the inputs.
            if !scope.ids.get(&input.name).is_some_and(|id| scope.graph.constants.contains_key(id)) {
                let id = scope.declare(&input.name, "graph input")?;
                scope.graph.inputs.push(id);
            }
        }
        let mut nodes = Vec::with_capacity(proto.node.len());
        self.inline(proto.node, opsets, &mut nodes, depth)?;
        for placed in &nodes {
            for output in placed.node.output.iter().filter(|o| !o.is_empty()) {
                scope.declare(output, "output of a node")?;
            }
        }
        for placed in nodes {
            if is_stopped() {
                return Err("the load was given up".into());
            }
            let node = self.node(placed, &mut scope)?;
            scope.graph.nodes.push(node);
        }
        for output in &proto.output {
            let id = scope.resolve(&output.name, || "the graph's output".into());
            scope.graph.outputs.push(id);
            scope.graph.output_types.push(signature::output_type(output));
        }
        for value in proto.value_info.iter().chain(&proto.input).chain(&proto.output) {
            scope.declare_type(&value.name, signature::value_type(value))?;
        }
        let Scope { mut graph, free, .. } = scope;
        sort(&mut graph)?;
        Ok((graph, free))
    }

    fn sparse(&mut self, proto: SparseTensorProto) -> Result<Tensor, String> {
        let tensor = element::decode_sparse(proto, self.data, self.sparse)?;
        self.sparse -= tensor.bytes().len();
        Ok(tensor)
    }

    /// Writes the model's own functions out in place of the nodes that call them.
    fn inline(
        &mut self,
        nodes: Vec<NodeProto>,
        opsets: &Opsets,
        out: &mut Vec<Placed>,
        depth: usize,
    ) -> Result<(), String> {
        for (index, mut node) in nodes.into_iter().enumerate() {
            self.nodes += 1;
            if self.nodes > MAX_NODES {
                return Err(format!("the model has more than {MAX_NODES} nodes"));
            }
            node.domain = domain(&node.domain);
            if node.name.is_empty() {
                node.name = match node.output.iter().find(|o| !o.is_empty()) {
                    Some(output) => output.clone(),
                    None => format!("#{index}"),
                };
            }
            match self.functions.get(&(node.domain.clone(), node.op_type.as_str())) {
                None => {
                    let version = opsets.iter().find(|(d, _)| *d == node.domain).map_or(1, |(_, v)| *v);
                    out.push(Placed { node, version, opsets: opsets.clone(), depth });
                }
                Some(_) if depth >= FUNCTION_DEPTH => {
                    return Err(format!(
                        "{} {:?}: functions call each other more than {FUNCTION_DEPTH} deep",
                        node.op_type, node.name
                    ));
                }
                Some(function) => {
                    let body = function::expand(function, &node, &mut self.budget)?;
                    let opsets: Opsets =
                        function.opset_import.iter().map(|o| (domain(&o.domain), o.version)).collect();
                    self.inline(body, &opsets, out, depth + 1)?;
                }
            }
        }
        Ok(())
    }

    fn node(&mut self, placed: Placed, scope: &mut Scope) -> Result<Node, String> {
        let Placed { node: proto, version, opsets, depth } = placed;
        let described = || format!("{} {:?}", proto.op_type, proto.name);
        let mut inputs: Vec<Option<ValueId>> = proto
            .input
            .iter()
            .map(|name| if name.is_empty() { None } else { Some(scope.resolve(name, described)) })
            .collect();
        let outputs = proto.output.iter().map(|name| scope.ids.get(name).copied()).collect();
        if proto.attribute.len() > MAX_ATTRIBUTES {
            let count = proto.attribute.len();
            return Err(format!("{} has {count} attributes; {MAX_ATTRIBUTES} are the most", described()));
        }
        let mut attributes = Attributes::default();
        for attribute in proto.attribute {
            let name = attribute.name.clone();
            let attribute = self
                .attribute(attribute, &opsets, depth, scope, &mut inputs)
                .map_err(|e| format!("{} {:?}, attribute {name:?}: {e}", proto.op_type, proto.name))?;
            attributes.set(&name, attribute);
        }
        Ok(Node {
            name: proto.name,
            domain: proto.domain,
            op: proto.op_type,
            version,
            inputs,
            outputs,
            attributes,
        })
    }

    fn attribute(
        &mut self,
        proto: AttributeProto,
        opsets: &Opsets,
        depth: usize,
        scope: &mut Scope,
        inputs: &mut Vec<Option<ValueId>>,
    ) -> Result<Attribute, String> {
        let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
        let kind = match proto.r#type {
            0 => proto.guessed_type(),
            kind => kind,
        };
        Ok(match kind {
            attribute_type::FLOAT => Attribute::Float(proto.f.unwrap_or_default()),
            attribute_type::INT => Attribute::Int(proto.i.unwrap_or_default()),
            attribute_type::STRING => Attribute::Text(proto.s.as_ref().map(text).unwrap_or_default()),
            attribute_type::FLOATS => Attribute::Floats(proto.floats),
            attribute_type::INTS => Attribute::Ints(proto.ints),
            attribute_type::STRINGS => {
                // A forest repeats a few words for each of its nodes.
                let mut known: HashMap<&Bytes, Arc<str>> = HashMap::new();
                let shared = |s| known.entry(s).or_insert_with(|| text(s).into()).clone();
                Attribute::Texts(proto.strings.iter().map(shared).collect())
            }
            attribute_type::SPARSE_TENSOR => {
                Attribute::Tensor(self.sparse(proto.sparse_tensor.unwrap_or_default())?)
            }
            attribute_type::TENSOR => {
                Attribute::Tensor(element::decode(proto.t.unwrap_or_default(), self.data)?)
            }
            attribute_type::GRAPH => {
                let (mut graph, free) = self.graph(*proto.g.unwrap_or_default(), opsets, depth)?;
                // What the inner graph reads from this one becomes a further input of the node.
                for Free { name, id, reader } in free {
                    let outer = scope.resolve(&name, || reader.clone());
                    graph.captures.push(id);
                    inputs.push(Some(outer));
                }
                Attribute::Graph(Box::new(graph))
            }
            9 => Attribute::Other("tensors"),
            10 => Attribute::Other("graphs"),
            12 => Attribute::Other("sparse tensors"),
            13 | 14 => Attribute::Other("types"),
            kind => return Err(format!("{kind} is not a kind of attribute")),
        })
    }
}
