//! Operators that compute element by element, and those that leave the shape as it is.

use super::{Call, Ruled};
use crate::engine::onnx::infer::dim::{Dim, Symbols};
use crate::engine::onnx::infer::fact::Fact;
use crate::tensor::DType;

/// The first output has the shape of the first input.
pub fn same(call: &mut Call<'_, '_>) -> Ruled {
    Ok(vec![Fact::of_dims(call.dims(0))])
}

/// All inputs broadcast to one shape. Small integers are computed.
pub fn broadcast(call: &mut Call<'_, '_>) -> Ruled {
    let mut dims = call.dims(0);
    for input in 1..call.inputs.len() {
        dims = match (dims, call.dims(input)) {
            (Some(a), Some(b)) => Some(call.broadcast(&a, &b)?),
            _ => None,
        };
    }
    let elements = match call.inputs {
        [a, b] => computed(&call.node.op, a, b, call.walk.symbols),
        _ => None,
    };
    Ok(vec![Fact { elements, ..Fact::of_dims(dims) }])
}

/// The elements that an operator of two small lists of integers gives.
fn computed(op: &str, a: &Fact, b: &Fact, symbols: &mut Symbols) -> Option<Vec<Dim>> {
    let (left, right) = (a.elements.as_ref()?, b.elements.as_ref()?);
    let count = match (left.len(), right.len()) {
        (x, y) if x == y || y == 1 => x,
        (1, y) => y,
        _ => return None,
    };
    let at = |all: &[Dim], i: usize| all[if all.len() == 1 { 0 } else { i }].clone();
    (0..count).map(|i| element(op, &at(left, i), &at(right, i), symbols)).collect()
}

fn element(op: &str, a: &Dim, b: &Dim, symbols: &mut Symbols) -> Option<Dim> {
    Some(match op {
        "Add" => symbols.add_dims(a, b),
        "Sub" => symbols.subtract(a, b),
        "Mul" => a.times(b),
        "Div" if !matches!(a, Dim::Fixed(n) if *n < 0) => symbols.divide(a, b),
        "Equal" => match equal(a, b) {
            Some(equal) => Dim::Fixed(i64::from(equal)),
            None => Dim::Unknown,
        },
        "Max" | "Min" | "Less" | "Greater" | "LessOrEqual" | "GreaterOrEqual" | "And" | "Or" => {
            let (Dim::Fixed(x), Dim::Fixed(y)) = (a, b) else { return Some(Dim::Unknown) };
            let (x, y) = (*x, *y);
            Dim::Fixed(match op {
                "Max" => x.max(y),
                "Min" => x.min(y),
                "Less" => (x < y).into(),
                "Greater" => (x > y).into(),
                "LessOrEqual" => (x <= y).into(),
                "GreaterOrEqual" => (x >= y).into(),
                "And" => (x != 0 && y != 0).into(),
                _ => (x != 0 || y != 0).into(),
            })
        }
        _ => return None,
    })
}

/// Whether two elements are equal, where that is known. A length is never negative.
fn equal(a: &Dim, b: &Dim) -> Option<bool> {
    match (a, b) {
        (Dim::Fixed(x), Dim::Fixed(y)) => Some(x == y),
        (Dim::Product(n, _), Dim::Fixed(x)) | (Dim::Fixed(x), Dim::Product(n, _)) if *n > 0 && *x < 0 => {
            Some(false)
        }
        _ if a.same(b) => Some(true),
        _ => None,
    }
}

pub fn choose(call: &mut Call<'_, '_>) -> Ruled {
    let mut dims = call.dims(0);
    for input in 1..3 {
        dims = match (dims, call.dims(input)) {
            (Some(a), Some(b)) => Some(call.broadcast(&a, &b)?),
            _ => None,
        };
    }
    let (condition, then, other) = (call.fact(0), call.fact(1), call.fact(2));
    let elements = match (condition.integers(), then.elements, other.elements) {
        (Some(condition), Some(then), Some(other)) => {
            let count = condition.len().max(then.len()).max(other.len());
            let at = |all: &[Dim], i: usize| all.get(if all.len() == 1 { 0 } else { i }).cloned();
            let chosen = |i: usize| {
                let holds = *condition.get(if condition.len() == 1 { 0 } else { i })? != 0;
                if holds { at(&then, i) } else { at(&other, i) }
            };
            (0..count).map(chosen).collect()
        }
        _ => None,
    };
    Ok(vec![Fact { elements, ..Fact::of_dims(dims) }])
}

pub fn cast(call: &mut Call<'_, '_>) -> Ruled {
    let fact = call.fact(0);
    if call.node.op == "Identity" {
        return Ok(vec![fact]);
    }
    let dtype = call.dtype_named("to", 0);
    let whole = dtype.is_some_and(|dtype| matches!(dtype.name(), "int64" | "int32" | "uint64" | "bool"));
    let mut elements = fact.elements.filter(|_| whole);
    if dtype.is_some_and(|dtype| dtype.name() == "bool") {
        let truth = |e: &Dim| if let Dim::Fixed(n) = e { Dim::Fixed((*n != 0).into()) } else { Dim::Unknown };
        elements = elements.map(|all| all.iter().map(truth).collect());
    }
    Ok(vec![Fact { dtype, dims: fact.dims, elements, ..Fact::default() }])
}

pub fn cast_like(call: &mut Call<'_, '_>) -> Ruled {
    Ok(vec![Fact { dtype: call.fact(1).dtype, ..Fact::of_dims(call.dims(0)) }])
}

pub fn bit_cast(call: &mut Call<'_, '_>) -> Ruled {
    let dtype = call.dtype_named("to", 0);
    Ok(vec![Fact { dtype, ..Fact::of_dims(call.dims(0)) }])
}

pub fn dropout(call: &mut Call<'_, '_>) -> Ruled {
    let dims = call.dims(0);
    // Before opset 10 the mask was of the type of the input.
    let mask = if call.node.version < 10 { call.fact(0).dtype } else { Some(DType::Bool) };
    Ok(vec![Fact::of_dims(dims.clone()), Fact { dtype: mask, ..Fact::of_dims(dims) }])
}

/// The mean and the inverse deviation have lengths of 1 from the axis on, and a type of their own.
pub fn layer_norm(call: &mut Call<'_, '_>) -> Ruled {
    let dims = call.dims(0);
    let mut reduced = dims.clone();
    if let Some(dims) = &mut reduced
        && let Some(axis) = super::index(call.int("axis", -1), dims.len())
    {
        dims[axis..].fill(Dim::Fixed(1));
    }
    let moments = Fact { dtype: call.dtype_named("stash_type", 1), ..Fact::of_dims(reduced) };
    Ok(vec![Fact::of_dims(dims), moments.clone(), moments])
}

pub fn skip_norm(call: &mut Call<'_, '_>) -> Ruled {
    let dims = call.dims(0);
    Ok(vec![Fact::of_dims(dims.clone()), Fact::default(), Fact::default(), Fact::of_dims(dims)])
}

pub fn batch_norm(call: &mut Call<'_, '_>) -> Ruled {
    let channels = call.dims(0).and_then(|dims| dims.get(1).cloned());
    let line = Fact::of_dims(channels.map(|channels| vec![channels]));
    Ok(vec![Fact::of_dims(call.dims(0)), line.clone(), line.clone(), line.clone(), line])
}

pub fn dynamic_quantize(call: &mut Call<'_, '_>) -> Ruled {
    let scalar = Fact::of_dims(vec![]);
    Ok(vec![Fact::of_dims(call.dims(0)), scalar.clone(), scalar])
}

/// Two inputs, each with its scale and zero point.
pub fn quantized_pair(call: &mut Call<'_, '_>) -> Ruled {
    let (Some(a), Some(b)) = (call.dims(0), call.dims(3)) else { return Ok(vec![]) };
    Ok(vec![Fact::of_dims(call.broadcast(&a, &b)?)])
}
