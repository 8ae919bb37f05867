//! Convolution in blocks, with a sum and an activation after it.

use super::layout::product;
use super::{check_channels, dims_of, filter, refused};
use crate::engine::backend::Kernels;
use crate::engine::error::OpError;
use crate::engine::kernels::blocked::{BLOCK, Conv2d, Input, Layout, blocks};
use crate::engine::kernels::{Activation, blocked};
use crate::engine::ops::math::{Arithmetic, arithmetic};
use crate::engine::ops::nn::conv::{activation, geometry, groups};
use crate::engine::ops::nn::window::Window;
use crate::engine::ops::{BoxOp, Context, Inputs, Op, OpResult, Site, one};
use crate::engine::value::Value;
use crate::tensor::DType;
use burn::tensor::TensorMetadata;
use burn::tensor::ops::FloatTensor;

/// The error where the scratch of a kernel would be larger than any memory.
pub(super) const TOO_FAR: &str = "its windows cover more than there is memory for";

struct Conv {
    packed: Conv2d,
    activation: Activation,
}

/// Inputs X, W, B, Z and attributes as of `com.microsoft.FusedConv`; W and B are constants. X is in planes where
/// the attribute `planes` is set, Z and the result are in blocks. A fifth input, in blocks too, is what X is multiplied
/// by first: as large, or one position for each channel of an image, or that of X.
pub fn build<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let attributes = &site.node.attributes;
    let window = Window::read(attributes)?;
    let activation = activation(attributes)?;
    let layout = if attributes.flag("planes")? { Layout::Planes } else { Layout::Blocks };
    let (weight, shape, bias) = filter(site)?;
    let geometry = geometry(&window, groups(attributes)?)?.ok_or("its pads depend on the input")?;
    site.keep(Conv2d::packed_bytes(shape, geometry, layout))?;
    let packed = Conv2d::new(&weight, shape, bias.as_deref(), geometry, layout);
    let packed = packed.map_err(|e| e.to_string())?.ok_or("there is no form in blocks for these groups")?;
    Ok(Box::new(Conv { packed, activation }))
}

impl<B: Kernels> Op<B> for Conv {
    fn run(&self, mut inputs: Inputs<B>, cx: &Context<B>) -> OpResult<B> {
        let (x, scale) = self.factors(&mut inputs, cx)?;
        let (batch, size) = self.input(x.shape().as_slice())?;
        let out = self.packed.output_size(size).ok_or("the window does not fit")?;
        let out = [batch, blocks(self.packed.channels_out()), out[0], out[1], BLOCK];
        cx.check(DType::F32, &out)?;
        cx.work::<u8>(self.packed.scratch(size).ok_or(TOO_FAR)?)?;
        if out.contains(&0) {
            return one(Value::Float(B::float_zeros(out.into(), &cx.device, x.dtype().into())));
        }
        let run = |residual: Option<&FloatTensor<B>>, activation| {
            let given: Vec<_> = [&x].into_iter().chain(residual).chain(&scale).collect();
            B::compute(&given, &out, &|given| {
                if scale.is_some() {
                    let (scale, residual) =
                        (given.last().map(|s| blocked::view(s)), residual.and(given.get(1)));
                    let (input, residual) = (blocked::view(given[0]), residual.map(|r| blocked::view(r)));
                    let scale = scale.unwrap_or_default();
                    let y = self.packed.run_scaled(input, scale, batch, size, residual, activation);
                    return y.map_err(|e| e.to_string());
                }
                let input = match self.packed.layout() {
                    Layout::Planes => Input::Planes(given[0]),
                    Layout::Blocks => Input::Blocks(blocked::view(given[0])),
                };
                let residual = given.get(1).map(|r| blocked::view(r));
                self.packed.run(input, batch, size, residual, activation).map_err(|e| e.to_string())
            })
            .unwrap_or_else(|| refused().and(Ok(x.clone())))
        };
        one(match inputs.optional(3) {
            None => Value::Float(run(None, self.activation)?),
            Some(residual) if residual.shape().as_slice() == out && residual.dtype() == DType::F32 => {
                Value::Float(run(Some(&residual.float(&cx.device)?), self.activation)?)
            }
            Some(residual) => {
                dims_of(&residual.dims())?;
                let y = Value::Float(run(None, Activation::None)?);
                let sum = arithmetic(Arithmetic::Add, y, residual, cx)?.float(&cx.device)?;
                Value::Float(B::activate(sum, self.activation))
            }
        })
    }
}

impl Conv {
    /// The input, and what its channels are still to be multiplied by.
    fn factors<B: Kernels>(
        &self,
        inputs: &mut Inputs<B>,
        cx: &Context<B>,
    ) -> Result<(FloatTensor<B>, Option<FloatTensor<B>>), OpError> {
        let (x, by) = (inputs.take(0)?, inputs.optional(4));
        let Some(by) = by else { return Ok((x.float(&cx.device)?, None)) };
        let ([batch, channels, ..], [n, c, ..]) = (dims_of(&x.dims())?, dims_of(&by.dims())?);
        let (x, by) = if x.elements() < by.elements() { (by, x) } else { (x, by) };
        let [_, _, height, width] = dims_of(&x.dims())?;
        let each = (batch, channels) == (n, c) && by.elements() == n * c * BLOCK;
        if each && by.dtype() == DType::F32 && self.packed.scales_weights([height, width]) {
            return Ok((x.float(&cx.device)?, Some(by.float(&cx.device)?)));
        }
        Ok((product(x, by, cx)?.float(&cx.device)?, None))
    }

    /// Batch, and height and width, of an input with these dimensions.
    fn input(&self, dims: &[usize]) -> Result<(usize, [usize; 2]), String> {
        let channels = self.packed.channels_in();
        if self.packed.layout() == Layout::Planes {
            return match dims {
                [batch, found, height, width] if *found == channels => Ok((*batch, [*height, *width])),
                _ => Err(format!("{dims:?} where [N, {channels}, H, W] should be")),
            };
        }
        let [batch, found, height, width] = dims_of(dims)?;
        check_channels(found, channels)?;
        Ok((batch, [height, width]))
    }
}
