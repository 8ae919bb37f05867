//! Which element types each operator takes and gives, as the published schemas say.

use super::fact::Fact;
use crate::engine::onnx::Node;
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

    /// The port that a value is at; the last one may be repeated.
    fn port(ports: &[Port], index: usize) -> Option<&Port> {
        ports.get(index).or_else(|| ports.last().filter(|last| last.repeat != Repeat::Once))
    }
}

impl Port {
    fn parse(text: &'static str) -> Self {
        let (name, repeat) = match (text.strip_suffix('*'), text.strip_suffix('~')) {
            (Some(name), _) => (name, Repeat::Alike),
            (_, Some(name)) => (name, Repeat::Apart),
            _ => (text, Repeat::Once),
        };
        Self { of: dtype(name).map_or(Of::Variable(name), Of::One), repeat }
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
/// types that do not go together, or that the operator does not take.
pub fn output_types(node: &Node, inputs: &[Fact]) -> Result<Vec<Option<DType>>, String> {
    let versions = SCHEMAS.get(&(node.domain.as_str(), node.op.as_str()));
    let version = if node.domain.is_empty() { node.version } else { i64::MAX };
    let Some(schema) = versions.and_then(|all| all.iter().rfind(|schema| schema.since <= version)) else {
        return Ok(vec![None; node.outputs.len()]);
    };
    let mut bound: BTreeMap<&str, (DType, usize)> = BTreeMap::new();
    for (index, fact) in inputs.iter().enumerate() {
        let (Some(given), Some(port)) = (fact.dtype, Schema::port(&schema.inputs, index)) else { continue };
        match port.of {
            Of::One(wanted) if wanted == given => {}
            Of::One(wanted) => return Err(format!("input {index} is {given}, and it takes {wanted}")),
            Of::Variable(name) => {
                if let Some(types) = schema.variables.get(name)
                    && !types.contains(&given)
                {
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
