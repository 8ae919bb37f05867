//! MatMul and Gemm.

use crate::engine::backend::Kernels;
use crate::engine::kernels::matmul::Packed;
use crate::engine::ops::make::cast;
use crate::engine::ops::shape::concat;
use crate::engine::ops::shape::slice::{Part, slice};
use crate::engine::ops::{BoxOp, Context, Inputs, OpError, Site, broadcast, one};
use crate::engine::value::{Value, from_burn};
use crate::tensor::DType;
use burn::tensor::TensorMetadata;
use burn::tensor::ops::FloatTensor;

pub fn matmul<B: Kernels>() -> Result<BoxOp<B>, String> {
    Ok(Box::new(|mut inputs: Inputs<B>, cx: &Context<B>| {
        let (a, b) = (inputs.take(0)?, inputs.take(1)?);
        one(product(a, b, cx)?)
    }))
}

/// NumPy's matmul: vectors gain an axis and lose it again, leading axes broadcast.
pub fn product<B: Kernels>(a: Value<B>, b: Value<B>, cx: &Context<B>) -> Result<Value<B>, OpError> {
    broadcast::same_dtype(&a, &b)?;
    let (mut left, mut right) = (a.dims(), b.dims());
    let (vector_left, vector_right) = (left.len() == 1, right.len() == 1);
    let refused = || format!("{:?} and {:?} do not multiply", a.dims(), b.dims());
    if left.is_empty() || right.is_empty() {
        return Err(refused().into());
    }
    if vector_left {
        left.insert(0, 1);
    }
    if vector_right {
        right.push(1);
    }
    let ([outer_a @ .., rows, inner], [outer_b @ .., height, columns]) = (&left[..], &right[..]) else {
        return Err(refused().into());
    };
    if inner != height {
        return Err(refused().into());
    }
    let mut out = broadcast::shape(outer_a, outer_b)?;
    let rank = out.len() + 2;
    out.extend([*rows, *columns]);
    let dtype = a.dtype();
    cx.check(dtype, &out)?;
    // What the caller sees: without the axes that a vector was lent.
    let mut shown = out.clone();
    if vector_right {
        shown.pop();
    }
    if vector_left {
        shown.remove(shown.len() - if vector_right { 1 } else { 2 });
    }
    if B::ON_HOST {
        // The right factor, packed, once for each thread.
        let packed = Packed::bytes([*inner, *columns]).ok_or_else(refused)?;
        cx.work::<u8>(
            packed.saturating_mul(rayon::current_num_threads().min(out[..rank - 2].iter().product())),
        )?;
    }
    let aligned = |dims: &[usize]| -> Vec<usize> {
        std::iter::repeat_n(1, rank - dims.len()).chain(dims.iter().copied()).collect()
    };
    let (left, right) = (aligned(&left), aligned(&right));
    let one_matrix = right[..rank - 2].iter().all(|d| *d == 1) && rank > 2;
    let a = a.on_device(&cx.device);
    let b = b.on_device(&cx.device);
    if out.contains(&0) || *inner == 0 {
        return Ok(match a {
            Value::Int(_) => Value::Int(B::int_zeros(
                shown.into(),
                &cx.device,
                crate::engine::value::to_burn(dtype).into(),
            )),
            _ => Value::Float(B::float_zeros(
                shown.into(),
                &cx.device,
                crate::engine::value::to_burn(dtype).into(),
            )),
        });
    }
    if one_matrix {
        // One matrix for all: a single, taller product.
        let tall: usize = left[..rank - 1].iter().product();
        let (a, b) = (a.reshaped(vec![tall, *inner])?, b.reshaped(vec![*inner, *columns])?);
        return multiply(a, b, cx)?.reshaped(shown);
    }
    multiply(a.reshaped(left)?, b.reshaped(right)?, cx)?.reshaped(shown)
}

/// Multiply-adds of a product that the backend computes without a look at whether the run is to end: less than a second.
const LONG: usize = 1 << 30;

/// REQUIRES as many axes of both.
fn multiply<B: Kernels>(a: Value<B>, b: Value<B>, cx: &Context<B>) -> Result<Value<B>, OpError> {
    let dims = a.dims();
    let [.., rows, inner] = dims[..] else { return Err("it takes matrices".into()) };
    let columns = b.dims().last().copied().unwrap_or(0);
    let row = inner.saturating_mul(columns).saturating_mul(dims[..dims.len() - 2].iter().product());
    // Single precision has a kernel of its own, which looks.
    if !B::ON_HOST || a.dtype() == DType::F32 || rows < 2 || row.saturating_mul(rows) <= LONG {
        return Ok(at_once(a, b)?);
    }
    let at = dims.len() - 2;
    let per = (LONG / row.max(1)).max(1);
    let mut parts: Vec<Part> = dims.iter().map(|d| Part { start: 0, count: *d, step: 1 }).collect();
    let mut products = Vec::new();
    for start in (0..rows).step_by(per) {
        cx.run.go_on()?;
        parts[at] = Part { start, count: per.min(rows - start), step: 1 };
        products.push(at_once(slice(a.clone(), &parts)?, b.clone())?);
    }
    concat::join(products, at, cx)
}

fn at_once<B: Kernels>(a: Value<B>, b: Value<B>) -> Result<Value<B>, String> {
    match (a, b) {
        (Value::Float(a), Value::Float(b)) => Ok(Value::Float(B::matmul(a, b))),
        (Value::Int(a), Value::Int(b)) => {
            // Backends multiply the usual integers; others wrap around in the end as they would on the way.
            let dtype = a.dtype();
            if matches!(dtype, burn::tensor::DType::I32 | burn::tensor::DType::I64) {
                return Ok(Value::Int(B::int_matmul(a, b)));
            }
            let wide = |t| B::int_cast(t, burn::tensor::IntDType::I64);
            Ok(Value::Int(B::int_cast(B::int_matmul(wide(a), wide(b)), dtype.into())))
        }
        _ => Err("it takes numbers".into()),
    }
}

/// alpha · A' · B' + beta · C
pub fn gemm<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let attributes = &site.node.attributes;
    let (alpha, beta) =
        (f64::from(attributes.float("alpha", 1.0)?), f64::from(attributes.float("beta", 1.0)?));
    let (flip_a, flip_b) = (attributes.flag("transA")?, attributes.flag("transB")?);
    let float = |input| -> Result<Option<FloatTensor<B>>, OpError> {
        match site.constant(input) {
            Some(t) if t.dtype().is_float() => {
                site.absorb(input);
                Value::<B>::Host(t.clone()).float(site.device).map(Some)
            }
            _ => Ok(None),
        }
    };
    let (weight, bias) = (float(1).map_err(|e| e.reason)?, float(2).map_err(|e| e.reason)?);
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        let mut a = inputs.take(0)?;
        let dtype = a.dtype();
        if !dtype.is_float() {
            // Integers are multiplied in double precision, which holds them.
            for input in inputs.0.iter_mut().skip(1) {
                *input = input.take().map(|v| cast(v, DType::F64, cx)).transpose()?;
            }
            a = cast(a, DType::F64, cx)?;
        }
        let a = a.float(&cx.device)?;
        let b = match &weight {
            Some(weight) => weight.clone(),
            None => inputs.take(1)?.float(&cx.device)?,
        };
        if a.rank() != 2 || b.rank() != 2 || a.dtype() != b.dtype() {
            return Err("it takes two matrices".into());
        }
        let a = if flip_a { B::float_swap_dims(a, 0, 1) } else { a };
        let b = if flip_b { B::float_swap_dims(b, 0, 1) } else { b };
        let (left, right) = (a.shape(), b.shape());
        if left[1] != right[0] {
            return Err(format!("{:?} and {:?} do not multiply", left.as_slice(), right.as_slice()).into());
        }
        let dims = [left[0], right[1]];
        cx.check(from_burn(a.dtype()), &dims)?;
        let mut y = if dims.contains(&0) || left[1] == 0 {
            B::float_zeros(dims.into(), &cx.device, a.dtype().into())
        } else {
            multiply(Value::Float(a), Value::Float(b), cx)?.float(&cx.device)?
        };
        if alpha != 1.0 {
            y = B::float_mul_scalar(y, alpha.into());
        }
        let c = match (&bias, inputs.optional(2)) {
            (Some(bias), _) => Some(bias.clone()),
            (None, c) => c.map(|c| c.float(&cx.device)).transpose()?,
        };
        // What is multiplied by zero is not looked at, not even where it is no number.
        if let Some(c) = c.filter(|_| beta != 0.0) {
            let c = if beta == 1.0 { c } else { B::float_mul_scalar(c, beta.into()) };
            if broadcast::shape(&c.shape(), &dims)? != dims {
                return Err(format!("{:?} does not broadcast to {dims:?}", c.shape().as_slice()).into());
            }
            let c = broadcast::to(Value::Float(c), &dims, cx)?.float(&cx.device)?;
            y = B::float_add(y, c);
        }
        one(cast(Value::Float(y), dtype, cx)?)
    }))
}
