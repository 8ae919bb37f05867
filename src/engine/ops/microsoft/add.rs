//! QLinearAdd, rounded as ONNX Runtime rounds it.
//!
//! The sum is not taken of the dequantised numbers: those of `erf(x) + 1` lie on ties for every other element, which
//! the order of roundings then decides. It is `a · (scale of a / scale of c) + (b · (scale of b / scale of c) + rest)`,
//! each of the two a fused multiply-add, rounded to even.

use crate::engine::backend::Kernels;
use crate::engine::host;
use crate::engine::ops::{BoxOp, Context, Inputs, OpError, Site, broadcast, one};
use crate::engine::value::Value;
use crate::tensor::{DType, Tensor};

/// A tensor of 8-bit integers with its scale and zero point.
struct Quantised {
    cells: Vec<f32>,
    shape: Vec<usize>,
    scale: f32,
    zero: f32,
}

/// Inputs: A, its scale and zero point, B with its own, scale and zero point of the result.
pub fn build<B: Kernels>(_: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    Ok(Box::new(|mut inputs: Inputs<B>, cx: &Context<B>| {
        let a = inputs.take(0)?.into_host()?;
        let (sa, za) = numbers(&mut inputs, 1)?;
        let b = inputs.take(3)?.into_host()?;
        let (sb, zb) = numbers(&mut inputs, 4)?;
        let (sc, zc) = numbers(&mut inputs, 6)?;
        if a.dtype() != b.dtype() || !matches!(a.dtype(), DType::U8 | DType::I8) {
            return Err(format!(
                "{} and {} where 8-bit integers of one type should be",
                a.dtype(),
                b.dtype()
            )
            .into());
        }
        let dims = broadcast::shape(a.shape(), b.shape())?;
        cx.check(a.dtype(), &dims)?;
        let dtype = a.dtype();
        // Both sides and the sum, as floats.
        for dims in [a.shape(), b.shape(), &dims] {
            cx.work::<f32>(host::count(dims)?)?;
        }
        let sum = sum(&quantised(&a, sa, za), &quantised(&b, sb, zb), (sc, zc), &dims);
        one(Value::Host(match dtype {
            DType::U8 => {
                host::tensor(dtype, dims, sum.into_iter().map(|v| v.clamp(0.0, 255.0) as u8).collect())?
            }
            _ => host::tensor(dtype, dims, sum.into_iter().map(|v| v.clamp(-128.0, 127.0) as i8).collect())?,
        }))
    }))
}

/// The scale at an input and the zero point behind it, one number each.
fn numbers<B: Kernels>(inputs: &mut Inputs<B>, place: usize) -> Result<(f32, f32), OpError> {
    let scale = host::only(&inputs.take(place)?.into_host()?)?;
    let zero = match inputs.optional(place + 1) {
        Some(zero) => host::only(&zero.into_host()?)?.as_f64(),
        None => 0.0,
    };
    Ok((scale.as_f64() as f32, zero as f32))
}

fn quantised(x: &Tensor, scale: f32, zero: f32) -> Quantised {
    let cells = match x.dtype() {
        DType::U8 => host::cells::<u8>(x).iter().copied().map(f32::from).collect(),
        _ => host::cells::<i8>(x).iter().copied().map(f32::from).collect(),
    };
    Quantised { cells, shape: x.shape().to_vec(), scale, zero }
}

/// The elements of the result, rounded and not yet cut to their type.
fn sum(a: &Quantised, b: &Quantised, (scale, zero): (f32, f32), dims: &[usize]) -> Vec<f32> {
    // A single number is added first, whichever side it is on.
    let (a, b) = if a.cells.len() == 1 && b.cells.len() != 1 { (b, a) } else { (a, b) };
    let (by_a, by_b) = (a.scale / scale, b.scale / scale);
    let rest = zero - (by_a * a.zero + by_b * b.zero);
    let element = |a: f32, b: f32| a.mul_add(by_a, b.mul_add(by_b, rest)).round_ties_even();
    if a.shape == b.shape {
        return a.cells.iter().zip(&b.cells).map(|(a, b)| element(*a, *b)).collect();
    }
    let left = host::broadcast_indices(&a.shape, dims);
    let right = host::broadcast_indices(&b.shape, dims);
    left.zip(right).map(|(i, j)| element(a.cells[i], b.cells[j])).collect()
}
