//! MatMulInteger and QLinearMatMul.

use super::linear::{Grain, quantise};
use super::{centred, exact, greatest, reach, to_int32};
use crate::engine::backend::Kernels;
use crate::engine::error::OpError;
use crate::engine::host::{self, Walk};
use crate::engine::ops::nn::product;
use crate::engine::ops::{BoxOp, Context, Inputs, Site, broadcast, one};
use crate::engine::value::Value;
use crate::tensor::{DType, Tensor};

/// The right factor, less its zero points.
enum Right<B: Kernels> {
    /// A constant, as floats in which the sums with 8-bit factors are exact.
    Ready(Value<B>),
    Given {
        factor: Tensor,
        zero: Option<Tensor>,
    },
}

/// Where a zero point or scale of the left factor lies: one a row, where it is a list.
fn by_row(zero: &Tensor) -> Vec<usize> {
    match zero.shape() {
        [rows] if *rows > 1 => vec![*rows, 1],
        shape => shape.to_vec(),
    }
}

fn ready<B: Kernels>(site: &Site<'_, B>, factor: usize, zero: usize) -> Result<Option<Right<B>>, String> {
    if site.has_input(zero) && site.constant(zero).is_none() {
        return Ok(None);
    }
    let Some(matrix) = site.absorb(factor) else { return Ok(None) };
    let zero = site.absorb(zero);
    // As floats, some of double precision.
    site.keep(matrix.len().checked_mul(size_of::<f64>()))?;
    let shape = zero.map_or(Vec::new(), |z| z.shape().to_vec());
    let whole = centred(matrix, zero, &shape, DType::F32)?;
    let rows = matrix.shape().iter().rev().nth(1).or(matrix.shape().first()).copied().unwrap_or(1);
    let whole = match exact(rows, [reach(DType::U8), greatest(&whole)]) {
        DType::F32 => whole,
        dtype => centred(matrix, zero, &shape, dtype)?,
    };
    Ok(Some(Right::Ready(Value::Host(whole).on_device(site.device))))
}

/// The sums, as floats that hold them exactly.
fn sums<B: Kernels>(
    a: &Tensor,
    zero: Option<&Tensor>,
    right: &Right<B>,
    cx: &Context<B>,
) -> Result<Value<B>, OpError> {
    let shape = zero.map_or(Vec::new(), by_row);
    let left = |dtype| -> Result<Value<B>, OpError> {
        cx.check(dtype, a.shape())?;
        Ok(Value::Host(centred(a, zero, &shape, dtype)?).on_device(&cx.device))
    };
    match right {
        Right::Ready(b) if reach(a.dtype()) <= reach(DType::U8) => product(left(b.dtype())?, b.clone(), cx),
        Right::Ready(_) => Err(format!("{a:?} is not of 8 bits").into()),
        Right::Given { factor, zero } => {
            let terms = a.shape().last().copied().unwrap_or(1);
            let dtype = exact(terms, [reach(a.dtype()), reach(factor.dtype())]);
            cx.check(dtype, factor.shape())?;
            let shape = zero.as_ref().map_or(Vec::new(), |z| z.shape().to_vec());
            let right = centred(factor, zero.as_ref(), &shape, dtype)?;
            product(left(dtype)?, Value::Host(right).on_device(&cx.device), cx)
        }
    }
}

pub fn integer<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let known = ready(site, 1, 3)?;
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        let a = inputs.take(0)?.into_host()?;
        let zero = inputs.optional(2).map(Value::into_host).transpose()?;
        let found;
        let right = match &known {
            Some(right) => right,
            None => {
                let factor = inputs.take(1)?.into_host()?;
                found = Right::Given { factor, zero: inputs.optional(3).map(Value::into_host).transpose()? };
                &found
            }
        };
        one(to_int32(sums(&a, zero.as_ref(), right, cx)?, cx)?)
    }))
}

pub fn linear<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let known = ready(site, 3, 5)?;
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        let mut given = |i| -> Result<Tensor, OpError> { inputs.take(i)?.into_host() };
        let (a, a_scale, a_zero) = (given(0)?, given(1)?, given(2)?);
        let b_scale = given(4)?;
        let (y_scale, y_zero) = (given(6)?, given(7)?);
        let found;
        let right = match &known {
            Some(right) => right,
            None => {
                found = Right::Given { factor: given(3)?, zero: Some(given(5)?) };
                &found
            }
        };
        let sums = sums(&a, Some(&a_zero), right, cx)?.into_host()?;
        let dims = sums.shape().to_vec();
        // Each sum times the scales of its row and its column.
        let scales = |scale: &Tensor, shape: &[usize]| -> Result<Walk, String> {
            match broadcast::shape(shape, &dims)? {
                whole if whole == dims => Ok(host::broadcast_indices(shape, &dims)),
                _ => Err(format!("a scale {scale:?} for {dims:?}")),
            }
        };
        let (rows, columns) = (by_row(&a_scale), b_scale.shape().to_vec());
        let rows = if rows.iter().product::<usize>() == 1 { Vec::new() } else { rows };
        let columns = if columns.iter().product::<usize>() == 1 { Vec::new() } else { columns };
        let (at_row, at_column) = (scales(&a_scale, &rows)?, scales(&b_scale, &columns)?);
        let (a_scales, b_scales) = (a_scale.to_f64(), b_scale.to_f64());
        cx.check(DType::F32, &dims)?;
        cx.check(y_zero.dtype(), &dims)?;
        let real = host::numbers(&sums).zip(at_row.zip(at_column));
        let real = real.map(|(v, (row, column))| v.as_f64() * a_scales[row] * b_scales[column]);
        let real = super::floats(DType::F32, &dims, real)?;
        let dtype = y_zero.dtype();
        one(Value::Host(quantise(&real, &y_scale, Some(&y_zero), Grain::Tensor, dtype, true)?))
    }))
}
