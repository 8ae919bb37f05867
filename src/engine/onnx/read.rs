//! `ModelProto` to [`Model`]: names to indices, attributes typed, functions of the model written out in
//! place, nodes ordered.

use super::attribute::{Attribute, Attributes};
use super::external::ExternalData;
use super::graph::{Graph, Model, Node, ValueId};
use super::proto::{
    AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto, SparseTensorProto, attribute_type,
};
use super::{classes, element, signature, wire};
use crate::engine::LoadError;
use crate::plan::Signature;
use crate::tensor::Tensor;
use bytes::Bytes;
use prost::Message;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::rc::Rc;

/// Functions may call functions, to this depth.
const FUNCTION_DEPTH: usize = 32;
/// Graphs inside nodes inside graphs, those of functions included.
const MAX_NESTING: usize = 48;
/// Bytes that the calls of functions may take once they are written out.
const MAX_EXPANDED: usize = 1 << 30;
/// Nodes that a model may have once its functions are written out.
const MAX_NODES: usize = 1 << 20;

/// Bytes that all sparse initialisers may take once they are filled up.
const MAX_SPARSE: usize = 2 << 30;

/// Reads a model from the bytes of its file, and of those that it names. Initialisers share those bytes.
pub fn read(file: Bytes, data: &ExternalData) -> Result<Model, LoadError> {
    if file.is_empty() {
        return Err(LoadError::NotOnnx("the file is empty".into()));
    }
    wire::check(&file).map_err(LoadError::NotOnnx)?;
    let proto = ModelProto::decode(file).map_err(|e| LoadError::NotOnnx(e.to_string()))?;
    let opsets: Vec<(String, i64)> =
        proto.opset_import.iter().map(|o| (domain(&o.domain), o.version)).collect();
    let Some(graph) = proto.graph else {
        return Err(LoadError::NotOnnx("it has no graph".into()));
    };
    if opsets.is_empty() {
        return Err(LoadError::NotOnnx("it imports no operator set".into()));
    }
    let functions = proto.functions.iter().map(|f| ((domain(&f.domain), f.name.as_str()), f)).collect();
    let mut reader = Reader { functions, nesting: 0, expanded: 0, nodes: 0, data, sparse: MAX_SPARSE };
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
    let (graph, free) = reader.graph(graph, &opsets.iter().cloned().collect(), 0)?;
    if let Some((name, reader)) = free.first() {
        return Err(format!("{reader} reads {name:?}, which nothing in the model gives"));
    }
    let classes = classes::of(&graph);
    classes::unzip(&graph, &mut signature);
    let producer = format!("{producer} {producer_version}").trim().to_owned();
    Ok(Model { graph, signature, classes, opsets: opsets.to_vec(), producer })
}

/// The standard domain has two names.
fn domain(name: &str) -> String {
    if name == "ai.onnx" { String::new() } else { name.to_owned() }
}

/// A name that a graph reads but does not give, and who reads it.
type Free = Vec<(String, String)>;

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
    /// Bytes of the functions written out so far.
    expanded: usize,
    data: &'a ExternalData,
    /// Bytes that are left for sparse initialisers.
    sparse: usize,
    functions: HashMap<(String, &'a str), &'a FunctionProto>,
    /// Read so far.
    nodes: usize,
}

impl Reader<'_> {
    /// `depth` is that of the functions around it.
    fn graph(&mut self, proto: GraphProto, opsets: &Opsets, depth: usize) -> Result<(Graph, Free), String> {
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
    ) -> Result<(Graph, Free), String> {
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
            let node = self.node(placed, &mut scope)?;
            scope.graph.nodes.push(node);
        }
        for output in &proto.output {
            let id = scope.resolve(&output.name, || "the graph's output".into());
            scope.graph.outputs.push(id);
            scope.graph.output_types.push(signature::output_type(output));
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
                    self.expanded = self.expanded.saturating_add(function.encoded_len());
                    if self.expanded > MAX_EXPANDED {
                        return Err(format!(
                            "its functions come to more than {MAX_EXPANDED} bytes once they are written out"
                        ));
                    }
                    let body = expand(function, &node);
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
            0 => guess_type(&proto),
            kind => kind,
        };
        Ok(match kind {
            attribute_type::FLOAT => Attribute::Float(proto.f.unwrap_or_default()),
            attribute_type::INT => Attribute::Int(proto.i.unwrap_or_default()),
            attribute_type::STRING => Attribute::Text(proto.s.as_ref().map(text).unwrap_or_default()),
            attribute_type::FLOATS => Attribute::Floats(proto.floats),
            attribute_type::INTS => Attribute::Ints(proto.ints),
            attribute_type::STRINGS => {
                Attribute::Texts(proto.strings.iter().map(|s| text(s).into()).collect())
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
                for (name, reader) in free {
                    let Some(inner) = graph.values.iter().position(|v| *v == name) else { continue };
                    let outer = scope.resolve(&name, || reader.clone());
                    graph.captures.push(inner);
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

/// Files of IR version 1 do not say what kind an attribute is.
fn guess_type(proto: &AttributeProto) -> i32 {
    match proto {
        a if a.f.is_some() => attribute_type::FLOAT,
        a if a.i.is_some() => attribute_type::INT,
        a if a.s.is_some() => attribute_type::STRING,
        a if a.t.is_some() => attribute_type::TENSOR,
        a if a.g.is_some() => attribute_type::GRAPH,
        a if !a.floats.is_empty() => attribute_type::FLOATS,
        a if !a.strings.is_empty() => attribute_type::STRINGS,
        _ => attribute_type::INTS,
    }
}

/// The body of a function under the names of one call.
fn expand(function: &FunctionProto, call: &NodeProto) -> Vec<NodeProto> {
    let mut names: HashMap<&str, &str> = HashMap::new();
    for (index, name) in function.input.iter().enumerate() {
        names.insert(name, call.input.get(index).map_or("", String::as_str));
    }
    for (name, given) in function.output.iter().zip(&call.output).filter(|(_, given)| !given.is_empty()) {
        names.insert(name, given);
    }
    let expansion = Expansion { function, call, names };
    let mut body = function.node.clone();
    for (index, node) in body.iter_mut().enumerate() {
        let own = if node.name.is_empty() { format!("#{index}") } else { std::mem::take(&mut node.name) };
        node.name = format!("{}/{own}", call.name);
        expansion.write(node, &mut Vec::new());
    }
    body
}

/// One call of a function.
struct Expansion<'a> {
    function: &'a FunctionProto,
    call: &'a NodeProto,
    /// Of the function's inputs and outputs, what the call has for them.
    names: HashMap<&'a str, &'a str>,
}

impl Expansion<'_> {
    /// `inner` are the names that the graphs around the node, within the function, give themselves.
    fn write(&self, node: &mut NodeProto, inner: &mut Vec<HashSet<String>>) {
        let rename = |name: &String| match self.names.get(name.as_str()) {
            _ if name.is_empty() || inner.iter().any(|own| own.contains(name)) => name.clone(),
            Some(given) => (*given).to_owned(),
            None => format!("{}/{name}", self.call.name),
        };
        node.input = node.input.iter().map(rename).collect();
        node.output = node.output.iter().map(rename).collect();
        let attributes = std::mem::take(&mut node.attribute);
        node.attribute = attributes.into_iter().filter_map(|attribute| self.attribute(attribute)).collect();
        for graph in node.attribute.iter_mut().filter_map(|a| a.g.as_deref_mut()) {
            self.graph(graph, inner);
        }
    }

    fn graph(&self, graph: &mut GraphProto, inner: &mut Vec<HashSet<String>>) {
        let given = graph.node.iter().flat_map(|node| &node.output);
        let sparse = graph.sparse_initializer.iter().filter_map(|s| s.values.as_ref());
        let constants = graph.initializer.iter().chain(sparse).map(|t| &t.name);
        let own = given.chain(constants).chain(graph.input.iter().map(|i| &i.name)).cloned().collect();
        inner.push(own);
        for node in &mut graph.node {
            self.write(node, inner);
        }
        for output in &mut graph.output {
            // A graph may give what it was not given: a value from around it.
            if !inner.iter().any(|own| own.contains(&output.name)) {
                output.name = match self.names.get(output.name.as_str()) {
                    Some(given) => (*given).to_owned(),
                    None => format!("{}/{}", self.call.name, output.name),
                };
            }
        }
        inner.pop();
    }

    /// An attribute that takes its value from the call, or from the function's default; gone where neither
    /// has one.
    fn attribute(&self, attribute: AttributeProto) -> Option<AttributeProto> {
        if attribute.ref_attr_name.is_empty() {
            return Some(attribute);
        }
        let wanted = |a: &&AttributeProto| a.name == attribute.ref_attr_name;
        let given = self.call.attribute.iter().find(wanted);
        let given = given.or_else(|| self.function.attribute_proto.iter().find(wanted))?;
        Some(AttributeProto { name: attribute.name, ..given.clone() })
    }
}

#[derive(Default)]
struct Scope {
    graph: Graph,
    ids: HashMap<String, ValueId>,
    free: Free,
}

impl Scope {
    fn declare(&mut self, name: &str, what: &str) -> Result<ValueId, String> {
        let id = self.graph.new_value(name);
        if self.ids.insert(name.to_owned(), id).is_some() {
            return Err(format!("{what} {name:?}: something else in the graph has that name"));
        }
        Ok(id)
    }

    fn resolve(&mut self, name: &str, reader: impl Fn() -> String) -> ValueId {
        if let Some(id) = self.ids.get(name) {
            return *id;
        }
        self.free.push((name.to_owned(), reader()));
        let id = self.graph.new_value(name);
        self.ids.insert(name.to_owned(), id);
        id
    }
}

/// Puts every node after those it reads from, keeping the file's order where it can (Kahn's algorithm).
fn sort(graph: &mut Graph) -> Result<(), String> {
    let mut giver = vec![None; graph.values.len()];
    for (index, node) in graph.nodes.iter().enumerate() {
        for output in node.outputs.iter().flatten() {
            giver[*output] = Some(index);
        }
    }
    let givers = |node: &Node| -> HashSet<usize> {
        node.inputs.iter().flatten().filter_map(|id| giver[*id]).collect()
    };
    let mut waits: Vec<usize> = Vec::with_capacity(graph.nodes.len());
    let mut readers: Vec<Vec<usize>> = vec![Vec::new(); graph.nodes.len()];
    for (index, node) in graph.nodes.iter().enumerate() {
        let from = givers(node);
        waits.push(from.len());
        from.into_iter().for_each(|g| readers[g].push(index));
    }
    let ready = waits.iter().enumerate().filter(|(_, w)| **w == 0).map(|(i, _)| std::cmp::Reverse(i));
    let mut ready: BinaryHeap<_> = ready.collect();
    let mut order = Vec::with_capacity(graph.nodes.len());
    while let Some(std::cmp::Reverse(index)) = ready.pop() {
        order.push(index);
        for reader in &readers[index] {
            waits[*reader] -= 1;
            if waits[*reader] == 0 {
                ready.push(std::cmp::Reverse(*reader));
            }
        }
    }
    if order.len() < graph.nodes.len() {
        let stuck = waits.iter().position(|w| *w > 0).unwrap_or_default();
        return Err(format!("{} waits for its own output: the graph has a cycle", graph.nodes[stuck]));
    }
    let mut nodes: Vec<Option<Node>> = std::mem::take(&mut graph.nodes).into_iter().map(Some).collect();
    graph.nodes = order.into_iter().filter_map(|i| nodes[i].take()).collect();
    Ok(())
}
