//! Operators that make a tensor of numbers given to them, and those of text.

use super::{Call, Ruled};
use crate::engine::onnx::Attribute;
use crate::engine::onnx::infer::dim::Dim;
use crate::engine::onnx::infer::fact::Fact;
use crate::tensor::DType;

pub fn constant(call: &mut Call<'_, '_>) -> Ruled {
    let line = |dtype, count: usize| Fact::new(dtype, vec![count.into()]);
    let fact = call.node.attributes.0.iter().find_map(|(_, attribute)| match attribute {
        Attribute::Tensor(tensor) => Some(Fact::of_constant(tensor)),
        Attribute::Int(n) => Some(Fact { dtype: Some(DType::I64), ..Fact::scalar(Dim::Fixed(*n)) }),
        Attribute::Float(_) => Some(Fact::new(DType::F32, vec![])),
        Attribute::Text(_) => Some(Fact::new(DType::String, vec![])),
        Attribute::Ints(all) => Some(Fact {
            dtype: Some(DType::I64),
            ..Fact::list(all.iter().copied().map(Dim::Fixed).collect())
        }),
        Attribute::Floats(all) => Some(line(DType::F32, all.len())),
        Attribute::Texts(all) => Some(line(DType::String, all.len())),
        _ => None,
    });
    Ok(vec![fact.unwrap_or_default()])
}

pub fn of_shape(call: &mut Call<'_, '_>) -> Ruled {
    let value = call.node.attributes.find_tensor("value").ok().flatten();
    let dtype = value.map_or(DType::F32, |value| value.dtype());
    let shape = call.fact(0).elements;
    let whole = value.and_then(|value| super::super::fact::integers(value)?.first().copied());
    let elements = match (shape.as_deref(), whole) {
        (Some([Dim::Fixed(count)]), Some(n)) if (0..=64).contains(count) => {
            Some(vec![Dim::Fixed(n); *count as usize])
        }
        _ => None,
    };
    let rank = call.dims(0).and_then(|dims| dims.first()?.fixed()).filter(|rank| *rank < 64);
    let dims = shape.or_else(|| rank.map(|rank| vec![Dim::Unknown; rank]));
    Ok(vec![Fact { dtype: Some(dtype), dims, elements, ..Fact::default() }])
}

pub fn range(call: &mut Call<'_, '_>) -> Ruled {
    let one = |input: usize| match call.fact(input).elements.as_deref() {
        Some([one]) => Some(one.clone()),
        _ => None,
    };
    let length = match (one(0), one(1), one(2)) {
        (Some(Dim::Fixed(start)), Some(Dim::Fixed(limit)), Some(Dim::Fixed(step))) if step != 0 => {
            let span = if step > 0 { limit - start } else { start - limit };
            Dim::Fixed((span.max(0) as u64).div_ceil(step.unsigned_abs()) as i64)
        }
        (Some(start), Some(limit), Some(Dim::Fixed(1))) => call.walk.symbols.subtract(&limit, &start),
        _ => Dim::Unknown,
    };
    Ok(vec![Fact::of_dims(vec![length])])
}

pub fn random(call: &mut Call<'_, '_>) -> Ruled {
    let dims = call.ints("shape").map(|shape| shape.into_iter().map(Dim::Fixed).collect::<Vec<_>>());
    Ok(vec![Fact { dtype: call.dtype_named("dtype", 1), ..Fact::of_dims(dims) }])
}

pub fn window(call: &mut Call<'_, '_>) -> Ruled {
    let size = call.fact(0).elements.and_then(|all| all.first().cloned()).unwrap_or(Dim::Unknown);
    Ok(vec![Fact { dtype: call.dtype_named("output_datatype", 1), ..Fact::of_dims(vec![size]) }])
}

pub fn multinomial(call: &mut Call<'_, '_>) -> Ruled {
    let batch = call.dims(0).and_then(|dims| dims.first().cloned()).unwrap_or(Dim::Unknown);
    let dims = vec![batch, Dim::Fixed(call.int("sample_size", 1))];
    Ok(vec![Fact { dtype: call.dtype_named("dtype", 6), ..Fact::of_dims(dims) }])
}

/// Strings that are removed make the last axis shorter.
pub fn normalized_strings(call: &mut Call<'_, '_>) -> Ruled {
    let Some(mut dims) = call.dims(0) else { return Ok(vec![]) };
    let removes =
        call.node.attributes.find_texts("stopwords").ok().flatten().is_some_and(|all| !all.is_empty());
    if let Some(last) = dims.last_mut().filter(|_| removes) {
        *last = call.walk.symbols.data();
    }
    Ok(vec![Fact::of_dims(dims)])
}

pub fn split_strings(call: &mut Call<'_, '_>) -> Ruled {
    let Some(dims) = call.dims(0) else { return Ok(vec![]) };
    let parts = call.walk.symbols.data();
    Ok(vec![Fact::of_dims([&dims[..], &[parts]].concat()), Fact::of_dims(dims)])
}

/// A new axis is as long as the text that has the most tokens has of them.
pub fn tokens(call: &mut Call<'_, '_>) -> Ruled {
    let Some(dims) = call.dims(0) else { return Ok(vec![]) };
    let most = call.walk.symbols.data();
    Ok(vec![Fact::of_dims([&dims[..], &[most]].concat())])
}

pub fn ngrams(call: &mut Call<'_, '_>) -> Ruled {
    let Some(mut dims) = call.dims(0) else { return Ok(vec![]) };
    let columns = call.ints("ngram_indexes").and_then(|all| all.into_iter().max());
    dims.pop();
    dims.push(columns.map_or(Dim::Unknown, |last| Dim::Fixed(last + 1)));
    Ok(vec![Fact::of_dims(dims)])
}
