//! Writes small ONNX files by hand, right or wrong.

fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

fn field(tag: u64, content: &[u8]) -> Vec<u8> {
    [varint(tag << 3 | 2), varint(content.len() as u64), content.to_vec()].concat()
}

fn number(tag: u64, value: i64) -> Vec<u8> {
    [varint(tag << 3), varint(value as u64)].concat()
}

/// A model with one dynamic float input `x` of shape `[N, 2]` and one output `y` of unknown rank.
#[derive(Clone, Default)]
pub struct Model {
    graph: Vec<u8>,
}

impl Model {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn node(mut self, node: Vec<u8>) -> Self {
        self.graph.extend(field(1, &node));
        self
    }

    pub fn initializer(mut self, tensor: Vec<u8>) -> Self {
        self.graph.extend(field(5, &tensor));
        self
    }

    pub fn graph(&self) -> Vec<u8> {
        self.graph.clone()
    }

    pub fn bytes(&self) -> Vec<u8> {
        self.bytes_at(17)
    }

    /// The same, which imports that version of the standard operators.
    pub fn bytes_at(&self, opset: i64) -> Vec<u8> {
        let dims = [field(1, &field(2, b"N")), field(1, &number(1, 2))].concat();
        let float = |shape: &[u8]| field(1, &[number(1, 1), shape.to_vec()].concat());
        let x = [field(1, b"x"), field(2, &float(&field(2, &dims)))].concat();
        let y = [field(1, b"y"), field(2, &float(&[]))].concat();
        Self::at(opset, &[self.graph.clone(), field(11, &x), field(12, &y)].concat())
    }

    pub fn of_graph(graph: &[u8]) -> Vec<u8> {
        Self::at(17, graph)
    }

    fn at(opset: i64, graph: &[u8]) -> Vec<u8> {
        [number(1, 8), field(8, &number(2, opset)), field(7, graph)].concat()
    }

    pub fn bytes_without_graph(&self) -> Vec<u8> {
        [number(1, 8), field(8, &number(2, 17))].concat()
    }
}

pub fn node(op: &str, name: &str, inputs: &[&str], outputs: &[&str], attributes: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Vec::new();
    inputs.iter().for_each(|i| out.extend(field(1, i.as_bytes())));
    outputs.iter().for_each(|o| out.extend(field(2, o.as_bytes())));
    out.extend(field(3, name.as_bytes()));
    out.extend(field(4, op.as_bytes()));
    attributes.iter().for_each(|a| out.extend(field(5, a)));
    out
}

pub fn attribute_int(name: &str, value: i64) -> Vec<u8> {
    [field(1, name.as_bytes()), number(3, value), number(20, 2)].concat()
}

pub fn attribute_float(name: &str, value: f32) -> Vec<u8> {
    let value = [varint(2 << 3 | 5), value.to_le_bytes().to_vec()].concat();
    [field(1, name.as_bytes()), value, number(20, 1)].concat()
}

pub fn attribute_text(name: &str, value: &str) -> Vec<u8> {
    [field(1, name.as_bytes()), field(4, value.as_bytes()), number(20, 3)].concat()
}

pub fn attribute_ints(name: &str, values: &[i64]) -> Vec<u8> {
    let values: Vec<u8> = values.iter().flat_map(|v| number(8, *v)).collect();
    [field(1, name.as_bytes()), values, number(20, 7)].concat()
}

pub fn attribute_graph(name: &str, graph: &[u8]) -> Vec<u8> {
    [field(1, name.as_bytes()), field(6, graph), number(20, 5)].concat()
}

pub fn tensor_raw(name: &str, data_type: i64, dims: &[i64], raw: &[u8]) -> Vec<u8> {
    let dims: Vec<u8> = dims.iter().flat_map(|d| number(1, *d)).collect();
    [dims, number(2, data_type), field(8, name.as_bytes()), field(9, raw)].concat()
}

pub fn tensor_external(name: &str, data_type: i64, dims: &[i64], entries: &[(&str, &str)]) -> Vec<u8> {
    let dims: Vec<u8> = dims.iter().flat_map(|d| number(1, *d)).collect();
    let entry = |(key, value): &(&str, &str)| {
        field(13, &[field(1, key.as_bytes()), field(2, value.as_bytes())].concat())
    };
    let entries: Vec<u8> = entries.iter().flat_map(entry).collect();
    [dims, number(2, data_type), field(8, name.as_bytes()), entries, number(14, 1)].concat()
}

/// An input (11) or output (12) of a graph, without a type.
pub fn value(tag: u64, name: &str) -> Vec<u8> {
    field(tag, &field(1, name.as_bytes()))
}

/// To be appended to a node of that domain.
pub fn domain(name: &str) -> Vec<u8> {
    field(7, name.as_bytes())
}

pub fn function(domain: &str, name: &str, inputs: &[&str], outputs: &[&str], nodes: &[Vec<u8>]) -> Vec<u8> {
    let mut out = field(1, name.as_bytes());
    inputs.iter().for_each(|i| out.extend(field(4, i.as_bytes())));
    outputs.iter().for_each(|o| out.extend(field(5, o.as_bytes())));
    nodes.iter().for_each(|n| out.extend(field(7, n)));
    out.extend(field(9, &number(2, 17)));
    out.extend(field(10, domain.as_bytes()));
    out
}

/// A whole model with functions of its own.
pub fn of_graph_with(model: &Model, functions: &[Vec<u8>]) -> Vec<u8> {
    let functions: Vec<u8> = functions.iter().flat_map(|f| field(25, f)).collect();
    [model.bytes(), functions].concat()
}

pub fn attribute_floats(name: &str, values: &[f32]) -> Vec<u8> {
    let values: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    [field(1, name.as_bytes()), field(7, &values), number(20, 6)].concat()
}

/// An attribute of a node within a function: it has what the call has under another name.
pub fn attribute_of_call(name: &str, of: &str) -> Vec<u8> {
    [field(1, name.as_bytes()), number(20, 6), field(21, of.as_bytes())].concat()
}
