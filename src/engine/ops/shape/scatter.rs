//! ScatterElements (and Scatter, as it was called) and ScatterND.

use super::gather::{element_offsets, tuple_offsets};
use crate::engine::backend::Kernels;
use crate::engine::host::for_element;
use crate::engine::host::{self, Cell, Number};
use crate::engine::ops::{BoxOp, Context, Inputs, Site, axis, one};
use crate::engine::value::Value;
use crate::tensor::Tensor;

#[derive(Clone, Copy, Debug)]
enum Reduction {
    None,
    Add,
    Mul,
    Max,
    Min,
}

impl Reduction {
    fn read<B: Kernels>(site: &Site<'_, B>) -> Result<Self, String> {
        site.node.attributes.choice(
            "reduction",
            "none",
            &[
                ("none", Self::None),
                ("add", Self::Add),
                ("mul", Self::Mul),
                ("max", Self::Max),
                ("min", Self::Min),
            ],
        )
    }

    fn apply<T: Cell>(self, old: T, new: T) -> T {
        match (self, old.number(), new.number()) {
            (Self::None, ..) => new,
            // What is not a number stays, as NumPy has it.
            (Self::Max | Self::Min, a, b) if b.as_f64().is_nan() || a.as_f64().is_nan() => {
                if b.as_f64().is_nan() { new } else { old }
            }
            (Self::Max, a, b) => {
                if b > a {
                    new
                } else {
                    old
                }
            }
            (Self::Min, a, b) => {
                if b < a {
                    new
                } else {
                    old
                }
            }
            (Self::Add, Number::Int(a), Number::Int(b)) => T::from_number(Number::Int(a + b)),
            (Self::Mul, Number::Int(a), Number::Int(b)) => T::from_number(Number::Int(a.wrapping_mul(b))),
            (Self::Add, a, b) => T::from_number(Number::Float(a.as_f64() + b.as_f64())),
            (Self::Mul, a, b) => T::from_number(Number::Float(a.as_f64() * b.as_f64())),
        }
    }
}

pub fn elements<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let given = site.node.attributes.int("axis", 0)?;
    let reduction = Reduction::read(site)?;
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        let (x, indices) = (inputs.take(0)?.into_host()?, inputs.take(1)?.into_host()?);
        let updates = inputs.take(2)?.into_host()?;
        let axis = axis(given, x.shape().len())?;
        if updates.shape() != indices.shape() {
            return Err(format!("updates {updates:?} for indices {indices:?}").into());
        }
        let offsets = element_offsets(x.shape(), axis, &indices, cx)?;
        cx.check(x.dtype(), x.shape())?;
        one(Value::Host(scatter(&x, &offsets, 1, &updates, reduction)?))
    }))
}

pub fn nd<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let reduction = Reduction::read(site)?;
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        let (x, indices) = (inputs.take(0)?.into_host()?, inputs.take(1)?.into_host()?);
        let updates = inputs.take(2)?.into_host()?;
        let (offsets, rest) = tuple_offsets(x.shape(), &indices, 0, cx)?;
        cx.check(x.dtype(), x.shape())?;
        one(Value::Host(scatter(&x, &offsets, rest.iter().product(), &updates, reduction)?))
    }))
}

/// Writes runs of `width` elements at the offsets.
fn scatter(
    x: &Tensor,
    offsets: &[usize],
    width: usize,
    updates: &Tensor,
    reduction: Reduction,
) -> Result<Tensor, String> {
    if updates.dtype() != x.dtype() || updates.len() != offsets.len() * width {
        return Err(format!("updates {updates:?} do not fit {x:?}"));
    }
    if let Some(old) = x.strings() {
        if !matches!(reduction, Reduction::None) {
            return Err("strings have no reduction".into());
        }
        let (mut cells, new) = (old.to_vec(), host::strings(updates)?);
        for (run, offset) in offsets.iter().enumerate() {
            cells[*offset..offset + width].clone_from_slice(&new[run * width..(run + 1) * width]);
        }
        return host::texts(x.shape().to_vec(), cells);
    }
    for_element!(x.dtype(), T => {
        let mut cells = host::cells::<T>(x).into_owned();
        let new = host::cells::<T>(updates);
        let mut looks = host::Looks::default();
        for (run, offset) in offsets.iter().enumerate() {
            looks.look()?;
            for (old, new) in cells[*offset..offset + width].iter_mut().zip(&new[run * width..]) {
                *old = reduction.apply(*old, *new);
            }
        }
        host::tensor::<T>(x.dtype(), x.shape().to_vec(), cells)
    })
}
