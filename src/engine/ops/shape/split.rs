//! Split: sizes are an attribute before opset 13, an input since; or a number of equal parts.

use super::slice::{Part, slice};
use crate::engine::backend::Kernels;
use crate::engine::ops::{BoxOp, Context, Inputs, Site, axis};

pub fn build<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let attributes = &site.node.attributes;
    let given = attributes.int("axis", 0)?;
    let known = match attributes.find_ints("split")? {
        Some(sizes) => Some(sizes.clone()),
        None => site.absorb_ints(1)?,
    };
    let outputs = site.node.outputs.len();
    let count = attributes.find_int("num_outputs")?.copied().unwrap_or(outputs as i64);
    let count =
        usize::try_from(count).ok().filter(|c| *c > 0).ok_or("num_outputs is not a number of parts")?;
    Ok(Box::new(move |mut inputs: Inputs<B>, _: &Context<B>| {
        let x = inputs.take(0)?;
        let dims = x.dims();
        let axis = axis(given, dims.len())?;
        let sizes = match &known {
            Some(sizes) => Some(sizes.clone()),
            None => inputs.optional_ints(1)?,
        };
        let sizes: Vec<usize> = match sizes {
            Some(sizes) => super::expand::sizes(&sizes)?,
            None => {
                // The last part is smaller where the axis does not divide.
                let size = dims[axis].div_ceil(count);
                (0..count).map(|i| size.min(dims[axis].saturating_sub(i * size))).collect()
            }
        };
        let total = sizes.iter().try_fold(0usize, |sum, size| sum.checked_add(*size));
        if total != Some(dims[axis]) || sizes.len() < outputs {
            return Err(format!("axis {axis} of {dims:?} cannot be split into {sizes:?}").into());
        }
        let mut parts: Vec<Part> = dims.iter().map(|d| Part { start: 0, count: *d, step: 1 }).collect();
        let mut start = 0;
        sizes
            .into_iter()
            .map(|count| {
                parts[axis] = Part { start, count, step: 1 };
                start += count;
                slice(x.clone(), &parts)
            })
            .collect()
    }))
}
