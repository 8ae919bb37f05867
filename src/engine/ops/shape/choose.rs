//! Compress, CenterCropPad, ReverseSequence and TensorScatter: parts chosen, cut, turned and put.

use super::gather::select;
use super::pad;
use crate::engine::backend::Kernels;
use crate::engine::host::{self, Number, for_element};
use crate::engine::ops::{BoxOp, Context, Inputs, Site, axis, ints, one};
use crate::engine::value::Value;
use crate::tensor::DType;

/// The slices along an axis, or the elements, for which a condition holds.
pub fn compress<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let given = site.node.attributes.find_int("axis")?.copied();
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        let mut x = inputs.take(0)?;
        let condition = inputs.take(1)?.into_host()?;
        let axis = match given {
            Some(given) => axis(given, x.rank())?,
            None => {
                let count = x.elements();
                x = x.reshaped(vec![count])?;
                0
            }
        };
        if condition.dtype() != DType::Bool || condition.shape().len() != 1 {
            return Err(format!("a condition {condition:?}").into());
        }
        cx.work::<usize>(condition.len())?;
        let at: Vec<usize> = (0..condition.len()).filter(|i| condition.bytes()[*i] != 0).collect();
        let mut dims = x.dims();
        if at.last().is_some_and(|last| *last >= dims[axis]) {
            return Err(format!(
                "a condition {condition:?} that holds beyond the {} of the axis",
                dims[axis]
            )
            .into());
        }
        if !x.is_host() && !at.is_empty() && x.elements() > 0 {
            return one(select(x, axis, &at, cx)?);
        }
        let (outer, inner): (usize, usize) =
            (dims[..axis].iter().product(), dims[axis + 1..].iter().product());
        let size = dims[axis];
        let starts = (0..outer).flat_map(|row| at.iter().map(move |i| (row * size + i) * inner));
        dims[axis] = at.len();
        one(Value::Host(host::pick(&x.into_host()?, host::runs(starts, inner), dims)?))
    }))
}

/// The middle of what is too large, and what is too small in the middle of zeros.
pub fn center_crop_pad<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let given = site.node.attributes.find_ints("axes")?.cloned();
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        let x = inputs.take(0)?;
        let shape = inputs.ints(1)?;
        let dims = x.dims();
        let axes = match &given {
            Some(axes) => axes.iter().map(|a| axis(*a, dims.len())).collect::<Result<Vec<_>, _>>()?,
            None => (0..dims.len()).collect(),
        };
        if axes.len() != shape.len() {
            return Err(format!("a shape {shape:?} for {} axes", axes.len()).into());
        }
        let mut pads = vec![(0i64, 0i64); dims.len()];
        let mut out = dims.clone();
        for (axis, size) in axes.into_iter().zip(&shape) {
            out[axis] = usize::try_from(*size).map_err(|_| format!("{shape:?} is not a shape"))?;
            let more = size - dims[axis] as i64;
            // The odd one out is at the end.
            pads[axis] = (more / 2, more - more / 2);
        }
        cx.check(x.dtype(), &out)?;
        one(pad::constant(x, &pads, &out, Number::Int(0), cx)?)
    }))
}

/// The first elements of each item's sequence backwards, as many as its length says.
pub fn reverse_sequence<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let attributes = &site.node.attributes;
    let (batch, time) = (attributes.int("batch_axis", 1)?, attributes.int("time_axis", 0)?);
    let (batch, time) = match (batch, time) {
        (0, 1) => (0, 1),
        (1, 0) => (1, 0),
        other => return Err(format!("batch and time axes {other:?}")),
    };
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        let x = inputs.take(0)?.into_host()?;
        let lengths = inputs.ints(1)?;
        let dims = x.shape();
        if dims.len() < 2 || lengths.len() != dims[batch] {
            return Err(format!("{} lengths for {x:?}", lengths.len()).into());
        }
        if let Some(length) = lengths.iter().find(|l| !(0..=dims[time] as i64).contains(*l)) {
            return Err(format!("a length of {length} in {x:?}").into());
        }
        let inner: usize = dims[2..].iter().product();
        let starts = (0..dims[0] * dims[1]).map(|item| {
            let mut at = [item / dims[1], item % dims[1]];
            let length = lengths[at[batch]] as usize;
            if at[time] < length {
                at[time] = length - 1 - at[time];
            }
            (at[0] * dims[1] + at[1]) * inner
        });
        cx.check(x.dtype(), dims)?;
        one(Value::Host(host::pick(&x, host::runs(starts, inner), dims.to_vec())?))
    }))
}

/// A cache with an update written into it, for each item from a place of its own.
pub fn tensor_scatter<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let given = site.node.attributes.int("axis", -2)?;
    let circular = site.node.attributes.choice("mode", "linear", &[("linear", false), ("circular", true)])?;
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        let cache = inputs.take(0)?.into_host()?;
        let update = inputs.take(1)?.into_host()?;
        let (dims, new) = (cache.shape(), update.shape());
        let axis = axis(given, dims.len())?;
        let alike = new.len() == dims.len() && (0..dims.len()).all(|a| a == axis || new[a] == dims[a]);
        if axis == 0 || !alike || new[axis] > dims[axis] || cache.dtype() != update.dtype() {
            return Err(format!("an update {update:?} along axis {axis} of {cache:?}").into());
        }
        let starts = match inputs.optional(2) {
            Some(starts) => ints(&starts.into_host()?)?,
            None => vec![0; dims[0]],
        };
        let room = if circular { i64::MAX } else { (dims[axis] - new[axis]) as i64 };
        if starts.len() != dims[0] || starts.iter().any(|s| !(0..=room).contains(s)) {
            return Err(format!("places {starts:?} for an update {update:?} of {cache:?}").into());
        }
        cx.check(cache.dtype(), dims)?;
        let inner: usize = dims[axis + 1..].iter().product();
        let (rows, per_item): (usize, usize) =
            (dims[..axis].iter().product(), dims[1..axis].iter().product());
        one(Value::Host(for_element!(cache.dtype(), T => {
            let mut cells = host::cells::<T>(&cache).into_owned();
            let written = host::cells::<T>(&update);
            for row in 0..rows {
                let start = starts[row / per_item] as u64;
                for i in 0..new[axis] {
                    let to = ((start % dims[axis] as u64) as usize + i) % dims[axis];
                    let line = &written[(row * new[axis] + i) * inner..][..inner];
                    cells[(row * dims[axis] + to) * inner..][..inner].copy_from_slice(line);
                }
            }
            host::tensor::<T>(cache.dtype(), dims.to_vec(), cells)?
        })))
    }))
}
