//! Softmax, LogSoftmax and Hardmax. Before opset 13 the axes from `axis` on are one (default 1); since, only
//! `axis` itself counts (default -1).

use super::smooth::in_single;
use crate::engine::backend::Kernels;
use crate::engine::ops::{BoxOp, Context, Inputs, Site, axis, one};
use crate::engine::value::Value;
use burn::tensor::{TensorMetadata, get_device_settings, ops::FloatTensor};

#[derive(Clone, Copy, Debug)]
pub enum Kind {
    Softmax,
    LogSoftmax,
    Hardmax,
}

pub fn build<B: Kernels>(site: &Site<'_, B>, kind: Kind) -> Result<BoxOp<B>, String> {
    let flattens = site.node.version < 13;
    let given = site.node.attributes.int("axis", if flattens { 1 } else { -1 })?;
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        let x = inputs.take(0)?;
        if x.elements() == 0 {
            return one(x);
        }
        let dims = x.dims();
        if !flattens {
            let axis = axis(given, dims.len())?;
            let x = x.float(&cx.device)?;
            return one(Value::Float(apply::<B>(kind, x, axis, cx)));
        }
        let at = if given == dims.len() as i64 { dims.len() } else { axis(given, dims.len())? };
        let rows: usize = dims[..at].iter().product();
        let flat = x.reshaped(vec![rows, dims[at..].iter().product()])?.float(&cx.device)?;
        one(Value::Float(apply::<B>(kind, flat, 1, cx)).reshaped(dims)?)
    }))
}

fn apply<B: Kernels>(kind: Kind, x: FloatTensor<B>, axis: usize, cx: &Context<B>) -> FloatTensor<B> {
    match kind {
        Kind::Softmax if axis + 1 == x.rank() => in_single::<B>(x, B::softmax_rows),
        Kind::Softmax => in_single::<B>(x, |x| B::softmax(x, axis)),
        Kind::LogSoftmax => in_single::<B>(x, |x| B::log_softmax(x, axis)),
        Kind::Hardmax => {
            let settings = get_device_settings::<B>(&cx.device);
            let dtype = x.dtype().into();
            let first = B::float_argmax(x.clone(), axis, settings.int_dtype);
            let shape = x.shape();
            let mut ramp = vec![1; shape.num_dims()];
            ramp[axis] = shape[axis];
            let index = B::int_arange(0..shape[axis] as i64, &cx.device, settings.int_dtype);
            let index = B::int_expand(B::int_reshape(index, ramp.into()), shape.clone());
            let first = B::int_expand(first, shape);
            B::bool_into_float(B::int_equal(index, first, settings.bool_dtype), dtype)
        }
    }
}
