//! Sequences of tensors of one type, and optionals.

use super::{Call, Rule, Ruled};
use crate::engine::onnx::ValueType;
use crate::engine::onnx::infer::dim::Dim;
use crate::engine::onnx::infer::fact::Fact;
use crate::tensor::DType;

pub fn find(op: &str) -> Option<Rule> {
    Some(match op {
        "SequenceEmpty" => empty,
        "SequenceConstruct" | "SplitToSequence" => of_tensors,
        "SequenceInsert" => insert,
        "SequenceErase" => same,
        "SequenceAt" => at,
        "SequenceLength" => length,
        "ConcatFromSequence" => joined,
        "Optional" => optional,
        "OptionalGetElement" => held,
        "OptionalHasElement" => has,
        _ => return None,
    })
}

fn sequence(dtype: Option<DType>) -> Fact {
    Fact::of_type(ValueType::Sequence(dtype))
}

fn tensor(dtype: Option<DType>) -> Fact {
    Fact { dtype, ..Fact::default() }
}

/// The element type of the sequence that is the first input. Anything else there is a mistake of the file.
fn of_sequence(call: &mut Call<'_, '_>) -> Option<DType> {
    match call.fact(0).value_type() {
        Some(ValueType::Sequence(dtype)) => dtype,
        None => None,
        Some(other) => {
            call.mistyped(format!("input 0 is {other}, and it takes a sequence"));
            None
        }
    }
}

fn empty(call: &mut Call<'_, '_>) -> Ruled {
    Ok(vec![sequence(call.dtype_named("dtype", 1))])
}

fn of_tensors(call: &mut Call<'_, '_>) -> Ruled {
    Ok(vec![sequence(call.fact(0).dtype)])
}

fn insert(call: &mut Call<'_, '_>) -> Ruled {
    let (of, given) = (of_sequence(call), call.fact(1).dtype);
    if let (Some(of), Some(given)) = (of, given)
        && of != given
    {
        call.mistyped(format!("input 0 is a sequence of {of} and input 1 is {given}"));
    }
    Ok(vec![sequence(of.or(given))])
}

fn same(call: &mut Call<'_, '_>) -> Ruled {
    Ok(vec![sequence(of_sequence(call))])
}

fn at(call: &mut Call<'_, '_>) -> Ruled {
    Ok(vec![tensor(of_sequence(call))])
}

fn joined(call: &mut Call<'_, '_>) -> Ruled {
    at(call)
}

fn length(call: &mut Call<'_, '_>) -> Ruled {
    of_sequence(call);
    Ok(vec![Fact::scalar(Dim::Unknown)])
}

fn optional(call: &mut Call<'_, '_>) -> Ruled {
    Ok(vec![Fact::of_type(ValueType::Optional(call.fact(0).dtype))])
}

/// What an optional holds; what is none is passed on as it is.
fn held(call: &mut Call<'_, '_>) -> Ruled {
    let given = call.fact(0);
    Ok(vec![match given.other {
        Some(ValueType::Optional(dtype)) => tensor(dtype),
        _ => given,
    }])
}

fn has(_: &mut Call<'_, '_>) -> Ruled {
    Ok(vec![Fact::of_dims(vec![])])
}
