//! External data: initialisers whose elements lie in files beside the model.
//!
//! Which files those are, a model says by names; whoever reads the model's folder decides what may be read
//! and hands the bytes in. Nothing here touches a disk.

use super::proto::{AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto};
use super::wire;
use crate::store::Content;
use bytes::Bytes;
use prost::Message;
use std::collections::BTreeMap;
use std::ops::Range;

/// The contents of the files that a model names, by those names.
pub type ExternalData = BTreeMap<String, Content>;

/// The files that a model names, as it names them, not to be trusted; for each, where the tensors in it lie.
/// Empty where it is not ONNX.
pub fn files(file: &Content) -> BTreeMap<String, Vec<Range<usize>>> {
    let mut files: BTreeMap<String, Vec<Range<usize>>> = BTreeMap::new();
    if !wire::check(file).is_ok_and(|seen| seen.external) {
        return files;
    }
    let Ok(model) = ModelProto::decode(file.clone().reader()) else { return files };
    let mut graphs: Vec<&GraphProto> = model.graph.iter().collect();
    let mut nodes: Vec<&NodeProto> = model.functions.iter().flat_map(|f| &f.node).collect();
    let mut add = |tensor: &TensorProto| {
        let Some(location) = entry(tensor, "location").filter(|_| tensor.data_location == 1) else { return };
        let start = number(tensor, "offset").ok().flatten().unwrap_or(0);
        // One that does not say how long it is may reach to the end.
        let length = number(tensor, "length").ok().flatten().unwrap_or(usize::MAX);
        files.entry(location.to_owned()).or_default().push(start..start.saturating_add(length));
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
    files
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
    let start = number(tensor, "offset")?.unwrap_or(0);
    let length = number(tensor, "length")?.unwrap_or(size);
    if length != size {
        return Err(format!("it takes {size} bytes, and has {length} in {location:?}"));
    }
    file.slice(start, length).ok_or_else(|| {
        format!(
            "its elements lie at {start} in {location:?}, {length} bytes long, beyond the end of {} bytes",
            file.len()
        )
    })
}

fn number(tensor: &TensorProto, key: &str) -> Result<Option<usize>, String> {
    match entry(tensor, key) {
        None | Some("") => Ok(None),
        Some(text) => {
            let location = entry(tensor, "location").unwrap_or_default();
            text.trim().parse().map(Some).map_err(|_| format!("its {key} in {location:?} is {text:?}"))
        }
    }
}
