//! Resize and Upsample of tensors in blocks.

use super::{channels, check_channels, dims_of, refused};
use crate::engine::backend::Kernels;
use crate::engine::kernels::blocked::{self, BLOCK, Taps, view};
use crate::engine::ops::shape::resize::{AxisTaps, Resize};
use crate::engine::ops::{BoxOp, Context, Inputs, Site, one};
use crate::engine::value::Value;
use burn::tensor::TensorMetadata;

/// Inputs and attributes as of the operator in planes, with its name and opset, and the channels.
pub fn build<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let wanted = channels(site)?;
    let attributes = &site.node.attributes;
    let resize = Resize::read(site, attributes.text("op", "Resize")?, attributes.int("opset", 13)?)?;
    if !resize.is_plain() {
        return Err("it reads what is outside of the picture".into());
    }
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        let x = inputs.take(0)?.float(&cx.device)?;
        let [batch, found, height, width] = dims_of(x.shape().as_slice())?;
        check_channels(found, wanted)?;
        let [rows, columns] =
            resize.planes([batch, wanted, height, width], [found, BLOCK], &mut inputs, cx)?;
        let positions = |taps: &AxisTaps| taps.list.len() / taps.each.max(1);
        let out = [batch, found, positions(&rows), positions(&columns), BLOCK];
        if out.contains(&0) {
            return one(Value::Float(B::float_zeros(out.into(), &cx.device, x.dtype().into())));
        }
        // As they are, and as the kernel takes them.
        cx.work::<[usize; 2]>(rows.list.len().saturating_add(columns.list.len()))?;
        let [rows, columns] = [rows, columns].map(|taps| Taps::new(taps.each, &taps.list));
        let y = B::compute(&[&x], &out, &|given| {
            Ok(blocked::resize(view(given[0]), [height, width], &rows, &columns))
        });
        one(Value::Float(y.unwrap_or_else(|| refused().and(Ok(x)))?))
    }))
}
