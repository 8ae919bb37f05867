//! Conv with one, two or three spatial axes, and FusedConv: with a sum and an activation after it.

use super::window::{self, AutoPad, Window};
use crate::engine::backend::Accelerator;
use crate::engine::kernels::conv::{Activation, Conv2d, Geometry};
use crate::engine::ops::math::{Arithmetic, arithmetic};
use crate::engine::ops::{BoxOp, Context, Inputs, Op, OpResult, Site, one};
use crate::engine::value::{Value, from_burn};
use crate::tensor::{DType, Tensor};
use burn::tensor::TensorMetadata;
use burn::tensor::ops::{ConvOptions, FloatTensor};

struct Conv<B: Accelerator> {
    window: Window,
    groups: usize,
    /// With its weights packed, where the backend's memory is ours.
    packed: Option<Conv2d>,
    weight: Option<FloatTensor<B>>,
    bias: Option<FloatTensor<B>>,
    after: After,
}

/// What follows the sum.
#[derive(Clone, Copy, Debug, PartialEq)]
enum After {
    /// In the same pass, where there is one.
    Fused(Activation),
    LeakyRelu(f64),
    HardSigmoid(f64, f64),
    Sigmoid,
    Tanh,
}

pub fn build<B: Accelerator>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    with_activation(site, After::Fused(Activation::None))
}

/// `com.microsoft.FusedConv`: inputs X, W, B, Z.
pub fn fused<B: Accelerator>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let empty = Vec::new();
    let params = site.node.attributes.find_floats("activation_params")?.unwrap_or(&empty);
    let param = |index: usize, default: f32| params.get(index).copied().unwrap_or(default);
    let after = match site.node.attributes.text("activation", "")? {
        "" => After::Fused(Activation::None),
        "Relu" => After::Fused(Activation::Relu),
        "Clip" => After::Fused(Activation::Clip { min: param(0, f32::MIN), max: param(1, f32::MAX) }),
        "LeakyRelu" => After::LeakyRelu(param(0, 0.01).into()),
        "HardSigmoid" => After::HardSigmoid(param(0, 0.2).into(), param(1, 0.5).into()),
        "Sigmoid" => After::Sigmoid,
        "Tanh" => After::Tanh,
        other => return Err(format!("activation {other:?} is not supported")),
    };
    with_activation(site, after)
}

fn with_activation<B: Accelerator>(site: &Site<'_, B>, after: After) -> Result<BoxOp<B>, String> {
    let window = Window::read(&site.node.attributes)?;
    let groups = site.node.attributes.int("group", 1)?;
    let groups =
        usize::try_from(groups).ok().filter(|g| *g > 0).ok_or_else(|| format!("group is {groups}"))?;
    let packed = pack(site, &window, groups)?;
    let prepare = |input| -> Result<Option<FloatTensor<B>>, String> {
        let constant = site.absorb(input).filter(|_| packed.is_none());
        constant.map(|t| Value::<B>::Host(t.clone()).float(site.device)).transpose()
    };
    let (weight, bias) = (prepare(1)?, prepare(2)?);
    Ok(Box::new(Conv { window, groups, packed, weight, bias, after }))
}

/// The kernel for constant weights in two dimensions.
fn pack<B: Accelerator>(
    site: &Site<'_, B>,
    window: &Window,
    groups: usize,
) -> Result<Option<Conv2d>, String> {
    let bias = site.constant(2);
    match site.constant(1) {
        Some(weight) if bias.is_some() || !site.has_input(2) => packed::<B>(weight, bias, window, groups),
        _ => Ok(None),
    }
}

/// The kernel for these weights; `None` where there is none.
pub fn packed<B: Accelerator>(
    weight: &Tensor,
    bias: Option<&Tensor>,
    window: &Window,
    groups: usize,
) -> Result<Option<Conv2d>, String> {
    let same = matches!(window.auto_pad, AutoPad::SameUpper | AutoPad::SameLower);
    let (Ok(shape), true) = (<[usize; 4]>::try_from(weight.shape()), B::ON_HOST && !same) else {
        return Ok(None);
    };
    if weight.is_empty() || weight.dtype() != DType::F32 || bias.is_some_and(|b| b.dtype() != DType::F32) {
        return Ok(None);
    }
    let pads = |axis| match window.auto_pad {
        AutoPad::NotSet => window.given_pads(axis, 2),
        _ => Ok((0, 0)),
    };
    let (rows, columns) = (pads(0)?, pads(1)?);
    let geometry = Geometry {
        stride: [window.stride(0, 2)?, window.stride(1, 2)?],
        dilation: [window.dilation(0, 2)?, window.dilation(1, 2)?],
        pad_begin: [rows.0, columns.0],
        pad_end: [rows.1, columns.1],
        groups,
    };
    let elements = |t: &Tensor| t.elements::<f32>().map(|e| e.into_owned()).unwrap_or_default();
    let bias = bias.map(elements);
    Conv2d::new(&elements(weight), shape, bias.as_deref(), geometry).map(Some).map_err(|e| e.to_string())
}

impl<B: Accelerator> Op<B> for Conv<B> {
    fn run(&self, mut inputs: Inputs<B>, cx: &Context<B>) -> OpResult<B> {
        let x = inputs.take(0)?.float(&cx.device)?;
        let residual = inputs.optional(3);
        let (fused, after) = match self.after {
            After::Fused(activation) => (activation, None),
            other => (Activation::None, Some(other)),
        };
        let y = if let Some(packed) = &self.packed {
            run_packed::<B>(packed, x, residual, fused, cx)?
        } else {
            let weight = match &self.weight {
                Some(weight) => weight.clone(),
                None => inputs.take(1)?.float(&cx.device)?,
            };
            let bias = match (&self.bias, inputs.optional(2)) {
                (Some(bias), _) => Some(bias.clone()),
                (None, bias) => bias.map(|b| b.float(&cx.device)).transpose()?,
            };
            let mut y = Value::Float(conv::<B>(x, weight, bias, &self.window, self.groups, cx)?);
            if let Some(residual) = residual {
                y = arithmetic(Arithmetic::Add, y, residual, cx)?;
            }
            activate::<B>(y.float(&cx.device)?, fused)
        };
        one(Value::Float(match after {
            None | Some(After::Fused(_)) => y,
            Some(After::LeakyRelu(slope)) => B::leaky_relu(y, slope.into()),
            Some(After::HardSigmoid(alpha, beta)) => {
                let line = B::float_add_scalar(B::float_mul_scalar(y, alpha.into()), beta.into());
                B::float_clamp(line, 0.0.into(), 1.0.into())
            }
            Some(After::Sigmoid) => B::sigmoid(y),
            Some(After::Tanh) => B::float_tanh(y),
        }))
    }
}

fn activate<B: Accelerator>(y: FloatTensor<B>, activation: Activation) -> FloatTensor<B> {
    match activation {
        Activation::None => y,
        Activation::Relu => B::relu(y),
        Activation::Clip { min, max } => B::float_clamp(y, min.into(), max.into()),
    }
}

/// By the kernel; its result may take a residual and an activation on the way.
pub fn run_packed<B: Accelerator>(
    packed: &Conv2d,
    x: FloatTensor<B>,
    residual: Option<Value<B>>,
    activation: Activation,
    cx: &Context<B>,
) -> Result<FloatTensor<B>, String> {
    let refused = || format!("{:?} does not go with its weights", x.shape().as_slice());
    let [batch, _, height, width] = x.shape().as_slice().try_into().map_err(|_| refused())?;
    let [out_height, out_width] = packed.output_size([height, width]).ok_or_else(refused)?;
    let out = [batch, packed.channels_out(), out_height, out_width];
    cx.check(DType::F32, &out)?;
    if out.contains(&0) {
        return Ok(B::float_zeros(out.into(), &cx.device, x.dtype().into()));
    }
    let run = |added: Option<&FloatTensor<B>>, activation| {
        B::conv2d_packed(packed, &x, added, activation)
            .unwrap_or_else(|| Err(format!("{} where float32 should be", from_burn(x.dtype()))))
    };
    match residual {
        None => run(None, activation),
        Some(residual) if residual.shape().as_slice() == out && residual.dtype() == DType::F32 => {
            run(Some(&residual.float(&cx.device)?), activation)
        }
        Some(residual) => {
            let sum = arithmetic(Arithmetic::Add, Value::Float(run(None, Activation::None)?), residual, cx)?;
            Ok(activate::<B>(sum.float(&cx.device)?, activation))
        }
    }
}

/// By Burn's own operations.
pub fn conv<B: Accelerator>(
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    bias: Option<FloatTensor<B>>,
    window: &Window,
    groups: usize,
    cx: &Context<B>,
) -> Result<FloatTensor<B>, String> {
    let (shape, filter) = (x.shape().to_vec(), weight.shape().to_vec());
    let ([_, channels, spatial @ ..], [outputs, per_group, kernel @ ..]) = (&shape[..], &filter[..]) else {
        return Err(format!("an input {shape:?} and a weight {filter:?} do not make a convolution"));
    };
    let bias_fits = bias.as_ref().is_none_or(|b| b.shape().as_slice() == [*outputs]);
    if per_group.checked_mul(groups) != Some(*channels) || outputs % groups != 0 || !bias_fits {
        return Err(format!(
            "an input {shape:?}, a weight {filter:?} and {groups} groups do not go together"
        ));
    }
    if weight.dtype() != x.dtype() || kernel.contains(&0) {
        return Err(format!("a weight {filter:?} of another type, or empty"));
    }
    // Sums of halves are kept in single precision.
    if B::ON_HOST && matches!(from_burn(x.dtype()), DType::F16 | DType::BF16) {
        let single = |t| B::float_cast(t, burn::tensor::FloatDType::F32);
        let dtype = x.dtype().into();
        let y = conv::<B>(single(x), single(weight), bias.map(single), window, groups, cx)?;
        return Ok(B::float_cast(y, dtype));
    }
    let slides = window.slides(spatial, kernel)?;
    let mut out = vec![shape[0], *outputs];
    out.extend(slides.iter().map(|s| s.out));
    cx.check(from_burn(x.dtype()), &out)?;
    if out.contains(&0) || *channels == 0 {
        return Ok(B::float_zeros(out.into(), &cx.device, x.dtype().into()));
    }
    let even = slides.iter().all(|s| s.pads.0 == s.pads.1);
    let x = if even { x } else { window::padded::<B>(x, &slides, 0.0, cx)? };
    let at = |axis: usize| {
        let slide = slides[axis];
        (slide.stride, if even { slide.pads.0 } else { 0 }, slide.dilation)
    };
    match slides.len() {
        1 => Ok(B::conv1d(x, weight, bias, options(at, groups))),
        2 => Ok(B::conv2d(x, weight, bias, options(at, groups))),
        3 => Ok(B::conv3d(x, weight, bias, options(at, groups))),
        axes => Err(format!("a convolution over {axes} axes is not supported")),
    }
}

fn options<const N: usize>(at: impl Fn(usize) -> (usize, usize, usize), groups: usize) -> ConvOptions<N> {
    ConvOptions::new(
        std::array::from_fn(|a| at(a).0),
        std::array::from_fn(|a| at(a).1),
        std::array::from_fn(|a| at(a).2),
        groups,
    )
}
