//! External data: initialisers whose elements lie in files beside the model.
//!
//! Which files those are, a model says by names; whoever reads the model's folder decides what may be read
//! and hands the bytes in. Nothing here touches a disk.

use super::proto::{AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto};
use super::wire;
use bytes::Bytes;
use prost::Message;
use std::collections::{BTreeMap, BTreeSet};

/// The bytes of the files that a model names, by those names.
pub type ExternalData = BTreeMap<String, Bytes>;

/// The files that a model names, as it names them: not to be trusted. Empty where it is not ONNX.
pub fn names(file: &Bytes) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    if wire::check(file).is_err() {
        return names;
    }
    let Ok(model) = ModelProto::decode(file.clone()) else { return names };
    let mut graphs: Vec<&GraphProto> = model.graph.iter().collect();
    let mut nodes: Vec<&NodeProto> = model.functions.iter().flat_map(|f| &f.node).collect();
    let mut add = |tensor: &TensorProto| {
        if tensor.data_location == 1 {
            names.extend(entry(tensor, "location").map(str::to_owned));
        }
    };
    while !(graphs.is_empty() && nodes.is_empty()) {
        if let Some(graph) = graphs.pop() {
            graph.initializer.iter().for_each(&mut add);
            let sparse = graph.sparse_initializer.iter();
            sparse.flat_map(|s| s.values.iter().chain(&s.indices)).for_each(&mut add);
            nodes.extend(&graph.node);
        }
        if let Some(node) = nodes.pop() {
            for attribute in &node.attribute {
                let AttributeProto { t, g, .. } = attribute;
                t.iter().for_each(&mut add);
                graphs.extend(g.as_deref());
            }
        }
    }
    names
}

fn entry<'a>(tensor: &'a TensorProto, key: &str) -> Option<&'a str> {
    tensor.external_data.iter().find(|e| e.key == key).map(|e| e.value.as_str())
}

/// The bytes of a tensor's elements, of which there must be `size`.
pub fn elements(tensor: &TensorProto, data: &ExternalData, size: usize) -> Result<Bytes, String> {
    let location =
        entry(tensor, "location").ok_or("its elements lie in another file, which it does not name")?;
    let file = data
        .get(location)
        .ok_or_else(|| format!("its elements lie in {location:?}, which is not beside the model"))?;
    let number = |key: &str| match entry(tensor, key) {
        None | Some("") => Ok(None),
        Some(text) => {
            let number = text.trim().parse::<usize>();
            number.map(Some).map_err(|_| format!("its {key} in {location:?} is {text:?}"))
        }
    };
    let start = number("offset")?.unwrap_or(0);
    let length = number("length")?.unwrap_or(size);
    if length != size {
        return Err(format!("it takes {size} bytes, and has {length} in {location:?}"));
    }
    match start.checked_add(length).filter(|end| *end <= file.len()) {
        Some(end) => Ok(file.slice(start..end)),
        None => Err(format!(
            "its elements lie at {start} in {location:?}, {length} bytes long, beyond the end of {} bytes",
            file.len()
        )),
    }
}
