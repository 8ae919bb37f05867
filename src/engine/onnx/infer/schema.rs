//! How many values each operator takes and gives, and of which element types, as the published schemas say.

use super::fact::Fact;
use crate::engine::onnx::{Node, ValueId};
use crate::tensor::DType;
use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

/// Written by `schemas.py`, which says what a line holds.
const TABLE: &str = include_str!("schemas.txt");

static SCHEMAS: LazyLock<HashMap<(&str, &str), Vec<Schema>>> = LazyLock::new(|| {
    let mut schemas: HashMap<_, Vec<Schema>> = HashMap::new();
    for line in TABLE.lines() {
        if let Some((operator, schema)) = Schema::parse(line) {
            schemas.entry(operator).or_default().push(schema);
        }
    }
    schemas
});

/// One version of an operator.
struct Schema {
    since: i64,
    inputs: Vec<Port>,
    outputs: Vec<Port>,
    /// The element types that each type variable may stand for.
    variables: BTreeMap<&'static str, Vec<DType>>,
}

struct Port {
    of: Of,
    repeat: Repeat,
}

#[derive(Clone, Copy)]
enum Of {
    One(DType),
    Variable(&'static str),
}

#[derive(Clone, Copy, PartialEq)]
enum Repeat {
    Once,
    /// Once, or left out.
    Optional,
    /// Any number of values of one type.
    Alike,
    /// Any number of values, each of a type of its own.
    Apart,
}

impl Schema {
    fn parse(line: &'static str) -> Option<((&'static str, &'static str), Self)> {
        let (head, body) = line.split_once(':')?;
        let [domain, op, since] = head.split(' ').collect::<Vec<_>>().try_into().ok()?;
        let (ports, variables) = body.split_once(';').unwrap_or((body, ""));
        let (inputs, outputs) = ports.split_once("->")?;
        let list = |text: &'static str| text.split_whitespace().map(Port::parse).collect();
        let variables = variables.split_whitespace().filter_map(|variable| {
            let (name, types) = variable.split_once('=')?;
            Some((name, types.split(',').filter_map(dtype).collect()))
        });
        let schema = Self {
            since: since.parse().ok()?,
            inputs: list(inputs),
            outputs: list(outputs),
            variables: variables.collect(),
        };
        Some(((if domain == "ai.onnx" { "" } else { domain }, op), schema))
    }

    /// Whether nothing but a tensor may be at that port.
    fn takes_tensors(&self, port: &Port) -> bool {
        match port.of {
            Of::One(_) => true,
            Of::Variable(name) => self.variables.contains_key(name),
        }
    }

    /// An error where a node has more values than the operator, or lacks one that it needs. `own` are the inputs that
    /// graphs inside the node do not capture.
    fn count(&self, node: &Node, own: usize) -> Result<(), String> {
        // What is left out at the end is not counted.
        let named = |values: &[Option<ValueId>]| values.iter().rposition(Option::is_some);
        let own_inputs = &node.inputs[..own.min(node.inputs.len())];
        let sides = [
            ("inputs, and takes", &self.inputs, own_inputs),
            ("outputs, and gives", &self.outputs, &node.outputs[..]),
        ];
        for (side, ports, values) in sides {
            if let Some(last) = named(values).filter(|last| Self::port(ports, *last).is_none()) {
                return Err(format!("it has {} {side} {}", last + 1, ports.len()));
            }
        }
        let lacks = |(index, port): &(usize, &Port)| {
            port.repeat == Repeat::Once && (*index >= own || node.input(*index).is_none())
        };
        match self.inputs.iter().enumerate().find(lacks) {
            Some((index, _)) => Err(format!("input {index} is left out, which it needs")),
            None => Ok(()),
        }
    }

    /// What each type variable stands for, and the input that says so.
    fn bind(&self, inputs: &[Fact]) -> Result<BTreeMap<&'static str, (DType, usize)>, String> {
        let mut bound = BTreeMap::new();
        for (index, fact) in inputs.iter().enumerate() {
            let Some(port) = Self::port(&self.inputs, index) else { continue };
            if let Some(other) = fact.other.filter(|_| self.takes_tensors(port)) {
                return Err(format!("input {index} is {other}, and it takes a tensor"));
            }
            let Some(given) = fact.dtype else { continue };
            match port.of {
                Of::One(wanted) if wanted == given => {}
                Of::One(wanted) => return Err(format!("input {index} is {given}, and it takes {wanted}")),
                Of::Variable(name) => {
                    if self.variables.get(name).is_some_and(|types| !types.contains(&given)) {
                        return Err(format!("input {index} is {given}, which it does not take"));
                    }
                    if port.repeat == Repeat::Apart {
                        continue;
                    }
                    let (first, at) = *bound.entry(name).or_insert((given, index));
                    if first != given {
                        return Err(format!(
                            "input {at} is {first} and input {index} is {given}, where both must be of one type"
                        ));
                    }
                }
            }
        }
        Ok(bound)
    }

    /// The port that a value is at; the last one may be repeated.
    fn port(ports: &[Port], index: usize) -> Option<&Port> {
        ports.get(index).or_else(|| ports.last().filter(|last| last.is_repeated()))
    }
}

impl Port {
    fn parse(text: &'static str) -> Self {
        let marks = [('?', Repeat::Optional), ('*', Repeat::Alike), ('~', Repeat::Apart)];
        let marked = marks.into_iter().find_map(|(mark, repeat)| Some((text.strip_suffix(mark)?, repeat)));
        let (name, repeat) = marked.unwrap_or((text, Repeat::Once));
        Self { of: dtype(name).map_or(Of::Variable(name), Of::One), repeat }
    }

    fn is_repeated(&self) -> bool {
        matches!(self.repeat, Repeat::Alike | Repeat::Apart)
    }
}

fn dtype(short: &str) -> Option<DType> {
    Some(match short {
        "f32" => DType::F32,
        "f64" => DType::F64,
        "f16" => DType::F16,
        "bf16" => DType::BF16,
        "str" => DType::String,
        "bool" => DType::Bool,
        "i8" => DType::I8,
        "i16" => DType::I16,
        "i32" => DType::I32,
        "i64" => DType::I64,
        "u8" => DType::U8,
        "u16" => DType::U16,
        "u32" => DType::U32,
        "u64" => DType::U64,
        "i4" => DType::I4,
        "u4" => DType::U4,
        "i2" => DType::I2,
        "u2" => DType::U2,
        "f4e2m1" => DType::F4E2M1,
        "f8e4m3fn" => DType::F8E4M3FN,
        "f8e4m3fnuz" => DType::F8E4M3FNUZ,
        "f8e5m2" => DType::F8E5M2,
        "f8e5m2fnuz" => DType::F8E5M2FNUZ,
        "f8e8m0" => DType::F8E8M0,
        _ => return None,
    })
}

/// The type of each output of a node, where its inputs and its schema decide it. An error where the inputs are of
/// types that do not go together or that the operator does not take, or where it has too few or too many of them.
pub fn output_types(node: &Node, inputs: &[Fact]) -> Result<Vec<Option<DType>>, String> {
    let versions = SCHEMAS.get(&(node.domain.as_str(), node.op.as_str()));
    let version = if node.domain.is_empty() { node.version } else { i64::MAX };
    let Some(schema) = versions.and_then(|all| all.iter().rfind(|schema| schema.since <= version)) else {
        return Ok(vec![None; node.outputs.len()]);
    };
    let captures: usize = node.attributes.graphs().iter().map(|(_, graph)| graph.captures.len()).sum();
    let own = node.inputs.len().saturating_sub(captures);
    schema.count(node, own)?;
    let bound = schema.bind(&inputs[..own.min(inputs.len())])?;
    let output = |index| {
        let port = Schema::port(&schema.outputs, index)?;
        match port.of {
            Of::One(dtype) => Some(dtype),
            Of::Variable(_) if port.repeat == Repeat::Apart => None,
            Of::Variable(name) => bound.get(name).map(|(dtype, _)| *dtype),
        }
    };
    Ok((0..node.outputs.len()).map(output).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_table_is_read() {
        for line in TABLE.lines() {
            let (_, schema) = Schema::parse(line).unwrap_or_else(|| panic!("{line}"));
            let named = schema.variables.values().flatten().count();
            assert_eq!(named, line.matches(',').count() + schema.variables.len(), "{line}");
        }
    }
}
