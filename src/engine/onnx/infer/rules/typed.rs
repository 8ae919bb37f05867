//! Operators whose attributes say the type of what they give.

use super::{Call, Ruled};
use crate::engine::onnx::infer::fact::Fact;
use crate::tensor::DType;

/// A tensor as long as the input, of the type that is asked for or of the input's.
pub fn like(call: &mut Call<'_, '_>) -> Ruled {
    let asked = call.dtype_named("dtype", 0);
    Ok(vec![Fact { dtype: asked.or(call.fact(0).dtype), ..Fact::of_dims(call.dims(0)) }])
}

/// The type is that of the zero point, and where there is none the one that is asked for.
pub fn quantized(call: &mut Call<'_, '_>) -> Ruled {
    let (asked, zero) = (call.dtype_named("output_dtype", 0), call.fact(2).dtype);
    if let (Some(asked), Some(zero)) = (asked, zero)
        && asked != zero
    {
        call.mistyped(format!("output_dtype is {asked} and its zero point is {zero}"));
    }
    let dtype = if call.has(2) { zero } else { asked.or(Some(DType::U8)) };
    Ok(vec![Fact { dtype, ..Fact::of_dims(call.dims(0)) }])
}

pub fn dequantized(call: &mut Call<'_, '_>) -> Ruled {
    let asked = call.dtype_named("output_dtype", 0);
    // Until opset 18 it gave float32 alone.
    let dtype = asked.or(call.fact(1).dtype);
    Ok(vec![Fact { dtype, ..Fact::of_dims(call.dims(0)) }])
}

pub fn mel(call: &mut Call<'_, '_>) -> Ruled {
    Ok(vec![Fact { dtype: call.dtype_named("output_datatype", 1), ..Fact::default() }])
}

/// A product that is quantised again where it is given a scale to do so.
pub fn quantized_gemm(call: &mut Call<'_, '_>) -> Ruled {
    let dtype = if call.has(7) { call.fact(8).dtype.or(call.fact(0).dtype) } else { Some(DType::F32) };
    Ok(vec![Fact { dtype, ..Fact::default() }])
}
