//! Quantisation: floats to small integers and back, products and convolutions of them.
//!
//! real = (integer - zero point) · scale. Products are computed on floats that hold the integers: in single
//! precision where no sum can leave the integers that it holds exactly, else in double precision.

mod conv;
mod dynamic;
mod linear;
mod product;

use super::{Context, OpError, Registry};
use crate::engine::backend::Kernels;
use crate::engine::host::{self, Number};
use crate::engine::value::Value;
use crate::tensor::{DType, Tensor};

pub fn register<B: Kernels>(r: &mut Registry<B>) {
    r.op("QuantizeLinear", 10, linear::quantize).elementwise();
    r.op("DequantizeLinear", 10, linear::dequantize).elementwise();
    r.op("DynamicQuantizeLinear", 11, dynamic::build);
    r.op("MatMulInteger", 10, product::integer);
    r.op("QLinearMatMul", 10, product::linear);
    r.op("ConvInteger", 10, conv::integer);
    r.op("QLinearConv", 10, conv::linear);
}

/// Integers up to this are floats of single precision without loss.
const EXACT: f64 = 16_777_216.0;

/// The float type in which sums of so many products are exact. `most` bounds each factor.
fn exact(terms: usize, most: [f64; 2]) -> DType {
    if terms as f64 * most[0] * most[1] <= EXACT { DType::F32 } else { DType::F64 }
}

/// The greatest distance of an element from its zero point that a type allows.
fn reach(dtype: DType) -> f64 {
    match dtype {
        DType::I8 | DType::U8 => 255.0,
        _ => 65535.0 * 65536.0,
    }
}

/// The greatest magnitude in a tensor that [`centred`] made.
fn greatest(centred: &Tensor) -> f64 {
    host::numbers(centred).fold(0.0, |m, v| v.as_f64().abs().max(m))
}

/// The elements less their zero points, as floats. The zero point, if there is one, is seen under `shape`,
/// which broadcasts to the tensor's.
fn centred(x: &Tensor, zero: Option<&Tensor>, shape: &[usize], dtype: DType) -> Result<Tensor, String> {
    if x.dtype().is_float() {
        return Err(format!("{x:?} where integers should be"));
    }
    let zeros = match zero {
        None => vec![0.0],
        Some(zero) if zero.dtype() != x.dtype() => {
            return Err(format!("{x:?} with a zero point {zero:?}"));
        }
        Some(zero) => zero.to_f64(),
    };
    if let [zero] = zeros[..] {
        return floats(dtype, x.shape(), host::numbers(x).map(|v| v.as_f64() - zero));
    }
    let fits = shape.iter().product::<usize>() == zeros.len()
        && super::broadcast::shape(shape, x.shape()).is_ok_and(|s| s == x.shape());
    if !fits {
        return Err(format!("{x:?} with {} zero points", zeros.len()));
    }
    let at = host::broadcast_indices(shape, x.shape());
    floats(dtype, x.shape(), host::numbers(x).zip(at).map(|(v, i)| v.as_f64() - zeros[i]))
}

fn floats(dtype: DType, shape: &[usize], values: impl Iterator<Item = f64>) -> Result<Tensor, String> {
    if dtype == DType::F32 {
        return host::tensor(dtype, shape.to_vec(), values.map(|v| v as f32).collect());
    }
    host::from_numbers(dtype, shape.to_vec(), values.map(Number::Float))
}

/// A tensor of float sums of integers as int32.
fn to_int32<B: Kernels>(sums: Value<B>, cx: &Context<B>) -> Result<Value<B>, OpError> {
    super::make::cast(sums, DType::I32, cx)
}
