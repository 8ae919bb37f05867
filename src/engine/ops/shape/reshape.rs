//! Reshape, Flatten, Squeeze, Unsqueeze; Identity and Dropout (which does nothing when a model is served).

use crate::engine::backend::Kernels;
use crate::engine::host;
use crate::engine::ops::{BoxOp, Context, Inputs, Site, axes, axis, one};
use crate::engine::value::Value;
use crate::tensor::DType;

/// 0 keeps an axis (unless `allowzero`), -1 takes what is left.
pub fn reshape<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let allow_zero = site.node.attributes.flag("allowzero")?;
    let known = site.absorb_ints(1)?;
    Ok(Box::new(move |mut inputs: Inputs<B>, _: &Context<B>| {
        let x = inputs.take(0)?;
        let shape = match &known {
            Some(shape) => resolve(shape, &x.shape(), allow_zero)?,
            None => resolve(&inputs.ints(1)?, &x.shape(), allow_zero)?,
        };
        one(x.reshaped(shape)?)
    }))
}

fn resolve(wanted: &[i64], dims: &[usize], allow_zero: bool) -> Result<Vec<usize>, String> {
    let refused = || format!("{dims:?} cannot be reshaped to {wanted:?}");
    let mut shape = Vec::with_capacity(wanted.len());
    let mut open = None;
    for (index, dim) in wanted.iter().enumerate() {
        shape.push(match dim {
            0 if !allow_zero => *dims.get(index).ok_or_else(refused)?,
            -1 if open.is_none() => {
                open = Some(index);
                1
            }
            dim => usize::try_from(*dim).map_err(|_| refused())?,
        });
    }
    if let Some(open) = open {
        let rest = shape.iter().try_fold(1usize, |n, d| n.checked_mul(*d)).ok_or_else(refused)?;
        let total: usize = dims.iter().product();
        if rest == 0 || !total.is_multiple_of(rest) {
            return Err(refused());
        }
        shape[open] = total / rest;
    }
    Ok(shape)
}

pub fn flatten<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let given = site.node.attributes.int("axis", 1)?;
    Ok(Box::new(move |mut inputs: Inputs<B>, _: &Context<B>| {
        let x = inputs.take(0)?;
        let dims = x.dims();
        let at = if given == dims.len() as i64 { dims.len() } else { axis(given, dims.len())? };
        one(x.reshaped(vec![dims[..at].iter().product(), dims[at..].iter().product()])?)
    }))
}

/// The axes are an attribute before opset 13, an input since.
fn known_axes<B: Kernels>(site: &Site<'_, B>) -> Result<Option<Vec<i64>>, String> {
    match site.node.attributes.find_ints("axes")? {
        Some(axes) => Ok(Some(axes.clone())),
        None => site.absorb_ints(1),
    }
}

pub fn squeeze<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let known = known_axes(site)?;
    Ok(Box::new(move |mut inputs: Inputs<B>, _: &Context<B>| {
        let x = inputs.take(0)?;
        let mut dims = x.dims();
        let given = match &known {
            Some(axes) => Some(axes.clone()),
            None => inputs.optional_ints(1)?,
        };
        match given {
            None => dims.retain(|d| *d != 1),
            Some(given) => {
                for axis in axes(&given, dims.len())?.into_iter().rev() {
                    if dims[axis] != 1 {
                        return Err(format!("axis {axis} of {dims:?} is not 1").into());
                    }
                    dims.remove(axis);
                }
            }
        }
        one(x.reshaped(dims)?)
    }))
}

pub fn unsqueeze<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let known = known_axes(site)?;
    Ok(Box::new(move |mut inputs: Inputs<B>, _: &Context<B>| {
        let x = inputs.take(0)?;
        let mut dims = x.dims();
        let given = match &known {
            Some(axes) => axes.clone(),
            None => inputs.ints(1)?,
        };
        for axis in axes(&given, dims.len() + given.len())? {
            if axis > dims.len() {
                return Err(format!("axes {given:?} leave a gap").into());
            }
            dims.insert(axis, 1);
        }
        one(x.reshaped(dims)?)
    }))
}

pub fn identity<B: Kernels>(_: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    Ok(Box::new(|mut inputs: Inputs<B>, _: &Context<B>| one(inputs.take(0)?)))
}

pub fn dropout<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let wants_mask = site.has_output(1);
    if let Some(training) = site.constant(2)
        && host::only(training)?.as_f64() != 0.0
    {
        return Err("training mode is not supported".into());
    }
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        let x = inputs.take(0)?;
        let mut outputs = vec![x.clone()];
        if wants_mask {
            cx.check(DType::Bool, &x.shape())?;
            let mask = host::tensor::<u8>(DType::Bool, x.dims(), vec![1; x.elements()])?;
            outputs.push(Value::Host(mask));
        }
        Ok(outputs)
    }))
}

#[cfg(test)]
mod tests {
    use super::resolve;

    #[test]
    fn shapes_are_resolved_as_onnx_says() {
        for (wanted, dims, allow_zero, shape) in [
            (&[0i64, -1][..], &[2usize, 3, 4][..], false, Some(vec![2, 12])),
            (&[-1], &[], false, Some(vec![1])),
            (&[0, 0], &[2, 3], false, Some(vec![2, 3])),
            (&[0, 3], &[3, 0], true, Some(vec![0, 3])),
            (&[-1, -1], &[4], false, None),
            (&[-2], &[4], false, None),
            (&[3, -1], &[4], false, None),
            (&[0, 0, 0], &[2], false, None),
            (&[i64::MAX, -1, i64::MAX], &[4], false, None),
        ] {
            assert_eq!(resolve(wanted, dims, allow_zero).ok(), shape, "{wanted:?}");
        }
    }
}
