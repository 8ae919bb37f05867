//! Transposed convolution in blocks.

use super::{check_channels, dims_of, filter, refused};
use crate::engine::backend::Kernels;
use crate::engine::kernels::Activation;
use crate::engine::kernels::blocked::{BLOCK, ConvTranspose2d, blocks, view};
use crate::engine::ops::nn::window::Window;
use crate::engine::ops::{BoxOp, Context, Inputs, Site, one};
use crate::engine::value::Value;
use crate::tensor::DType;
use burn::tensor::TensorMetadata;

/// Inputs and attributes as of `ConvTranspose`, in one group, without dilation and with pads that are given; weights
/// and bias are constants.
pub fn build<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let attributes = &site.node.attributes;
    let window = Window::read(attributes)?;
    let (weight, shape, bias) = filter(site)?;
    let extra = attributes.find_ints("output_padding")?.cloned().unwrap_or_else(|| vec![0, 0]);
    let [down, across] = extra[..] else { return Err("output_padding has not two axes".into()) };
    let extra = [down, across].map(isize::try_from);
    let mut cut = [(0, 0); 2];
    for (axis, cut) in cut.iter_mut().enumerate() {
        let (begin, end) = window.given_pads(axis, 2)?;
        let end = isize::try_from(end).ok().zip(extra[axis].ok()).and_then(|(end, e)| end.checked_sub(e));
        *cut = (begin, end.ok_or("the pads are too large")?);
    }
    let stride = [window.stride(0, 2)?, window.stride(1, 2)?];
    let packed = ConvTranspose2d::new(&weight, shape, bias.as_deref(), stride, cut);
    let packed = packed.map_err(|e| e.to_string())?.ok_or("the pads are larger than the kernel")?;
    site.keep(Some(packed.bytes()))?;
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        let x = inputs.take(0)?.float(&cx.device)?;
        let [batch, found, height, width] = dims_of(x.shape().as_slice())?;
        check_channels(found, packed.channels_in())?;
        let out = packed.output_size([height, width]).ok_or("nothing is left of the result")?;
        let out = [batch, blocks(packed.channels_out()), out[0], out[1], BLOCK];
        cx.check(DType::F32, &out)?;
        cx.work::<u8>(packed.scratch([height, width]).ok_or(super::conv::TOO_FAR)?)?;
        let y = B::compute(&[&x], &out, &|given| {
            let input = view(given[0]);
            packed.run(input, batch, [height, width], Activation::None).map_err(|e| e.to_string())
        });
        one(Value::Float(y.unwrap_or_else(|| refused().and(Ok(x)))?))
    }))
}
