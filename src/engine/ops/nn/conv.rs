//! Conv with one, two or three spatial axes, and FusedConv: with a sum and an activation after it.

use super::pieces::{LONG, joined, part};
use super::window::{self, AutoPad, Slide, Window};
use crate::engine::backend::Kernels;
use crate::engine::kernels::Activation;
use crate::engine::kernels::conv::{Conv2d, Geometry};
use crate::engine::onnx::Attributes;
use crate::engine::ops::math::{Arithmetic, arithmetic};
use crate::engine::ops::{BoxOp, Context, Inputs, Op, OpError, OpResult, Site, one};
use crate::engine::value::{Value, from_burn};
use crate::tensor::{DType, Tensor};
use burn::tensor::TensorMetadata;
use burn::tensor::ops::{ConvOptions, FloatTensor};
use std::ops::Range;

struct Conv<B: Kernels> {
    window: Window,
    groups: usize,
    /// The convolution with its weights packed, where the backend's memory is ours.
    packed: Option<Conv2d>,
    weight: Option<FloatTensor<B>>,
    bias: Option<FloatTensor<B>>,
    activation: Activation,
}

pub fn build<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    with_activation(site, Activation::None)
}

/// `com.microsoft.FusedConv`: inputs X, W, B, Z.
pub fn fused<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    with_activation(site, activation(&site.node.attributes)?)
}

/// The activation that the attributes of a FusedConv name; beside those that ONNX Runtime's have, the optimiser's.
pub fn activation(attributes: &Attributes) -> Result<Activation, String> {
    let empty = Vec::new();
    let params = attributes.find_floats("activation_params")?.unwrap_or(&empty);
    let param = |index: usize, default: f32| params.get(index).copied().unwrap_or(default);
    Ok(match attributes.text("activation", "")? {
        "" => Activation::None,
        "Relu" => Activation::Relu,
        "Clip" => Activation::Clip { min: param(0, f32::MIN), max: param(1, f32::MAX) },
        "LeakyRelu" => Activation::LeakyRelu { alpha: param(0, 0.01) },
        "HardSigmoid" => Activation::HardSigmoid { alpha: param(0, 0.2), beta: param(1, 0.5) },
        "Sigmoid" => Activation::Sigmoid,
        "Tanh" => Activation::Tanh,
        "Swish" => Activation::Silu,
        "HardSwish" => Activation::HardSwish,
        other => return Err(format!("activation {other:?} is not supported")),
    })
}

/// The number of groups, at least 1.
pub fn groups(attributes: &Attributes) -> Result<usize, String> {
    let groups = attributes.int("group", 1)?;
    usize::try_from(groups).ok().filter(|g| *g > 0).ok_or_else(|| format!("group is {groups}"))
}

fn with_activation<B: Kernels>(site: &Site<'_, B>, activation: Activation) -> Result<BoxOp<B>, String> {
    let window = Window::read(&site.node.attributes)?;
    let groups = groups(&site.node.attributes)?;
    let packed = pack(site, &window, groups)?;
    let prepare = |input| -> Result<Option<FloatTensor<B>>, OpError> {
        let constant = site.absorb(input).filter(|_| packed.is_none());
        constant.map(|t| Value::<B>::Host(t.clone()).float(site.device)).transpose()
    };
    let (weight, bias) = (prepare(1).map_err(|e| e.reason)?, prepare(2).map_err(|e| e.reason)?);
    Ok(Box::new(Conv { window, groups, packed, weight, bias, activation }))
}

/// The kernel for constant weights in two dimensions.
fn pack<B: Kernels>(site: &Site<'_, B>, window: &Window, groups: usize) -> Result<Option<Conv2d>, String> {
    let bias = site.constant(2);
    match site.constant(1) {
        Some(weight) if bias.is_some() || !site.has_input(2) => {
            site.keep(Conv2d::packed_bytes(weight.shape(), groups))?;
            packed::<B>(weight, bias, window, groups)
        }
        _ => Ok(None),
    }
}

/// The kernel for these weights; `None` where there is none.
pub fn packed<B: Kernels>(
    weight: &Tensor,
    bias: Option<&Tensor>,
    window: &Window,
    groups: usize,
) -> Result<Option<Conv2d>, String> {
    let Ok(shape) = <[usize; 4]>::try_from(weight.shape()) else { return Ok(None) };
    let usable = B::ON_HOST && !weight.is_empty() && weight.dtype() == DType::F32;
    if !usable || bias.is_some_and(|b| b.dtype() != DType::F32) {
        return Ok(None);
    }
    let Some(geometry) = geometry(window, groups)? else { return Ok(None) };
    let elements = |t: &Tensor| t.elements::<f32>().map(|e| e.into_owned()).unwrap_or_default();
    let bias = bias.map(elements);
    Conv2d::new(&elements(weight), shape, bias.as_deref(), geometry).map(Some).map_err(|e| e.to_string())
}

/// The geometry in two dimensions; `None` where the pads depend on the input.
pub fn geometry(window: &Window, groups: usize) -> Result<Option<Geometry>, String> {
    let pads = |axis| match window.auto_pad {
        AutoPad::NotSet => window.given_pads(axis, 2).map(Some),
        AutoPad::Valid => Ok(Some((0, 0))),
        AutoPad::SameUpper | AutoPad::SameLower => Ok(None),
    };
    let (Some(rows), Some(columns)) = (pads(0)?, pads(1)?) else { return Ok(None) };
    Ok(Some(Geometry {
        stride: [window.stride(0, 2)?, window.stride(1, 2)?],
        dilation: [window.dilation(0, 2)?, window.dilation(1, 2)?],
        pad_begin: [rows.0, columns.0],
        pad_end: [rows.1, columns.1],
        groups,
    }))
}

impl<B: Kernels> Op<B> for Conv<B> {
    fn run(&self, mut inputs: Inputs<B>, cx: &Context<B>) -> OpResult<B> {
        let x = inputs.take(0)?.float(&cx.device)?;
        let residual = inputs.optional(3);
        let y = if let Some(packed) = &self.packed {
            run_packed::<B>(packed, x, residual, self.activation, cx)?
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
            B::activate(y.float(&cx.device)?, self.activation)
        };
        one(Value::Float(y))
    }
}

/// Convolves by the kernel; its result may take a residual and an activation on the way.
pub fn run_packed<B: Kernels>(
    packed: &Conv2d,
    x: FloatTensor<B>,
    residual: Option<Value<B>>,
    activation: Activation,
    cx: &Context<B>,
) -> Result<FloatTensor<B>, OpError> {
    let refused = || format!("{:?} does not go with its weights", x.shape().as_slice());
    let [batch, _, height, width] = x.shape().as_slice().try_into().map_err(|_| refused())?;
    let [out_height, out_width] = packed.output_size([height, width]).ok_or_else(refused)?;
    let out = [batch, packed.channels_out(), out_height, out_width];
    cx.check(DType::F32, &out)?;
    let scratch = packed.scratch([height, width]).ok_or("its windows cover more than there is memory for")?;
    cx.work::<u8>(scratch)?;
    if out.contains(&0) {
        return Ok(B::float_zeros(out.into(), &cx.device, x.dtype().into()));
    }
    let run = |added: Option<&FloatTensor<B>>, activation| -> Result<_, OpError> {
        let given = B::conv2d_packed(packed, &x, added, activation);
        let given = given
            .ok_or_else(|| OpError::graph(format!("{} where float32 should be", from_burn(x.dtype()))))?;
        Ok(given?)
    };
    match residual {
        None => run(None, activation),
        Some(residual) if residual.shape().as_slice() == out && residual.dtype() == DType::F32 => {
            run(Some(&residual.float(&cx.device)?), activation)
        }
        Some(residual) => {
            let sum = arithmetic(Arithmetic::Add, Value::Float(run(None, Activation::None)?), residual, cx)?;
            Ok(B::activate(sum.float(&cx.device)?, activation))
        }
    }
}

/// Convolves by Burn's own operations.
pub fn conv<B: Kernels>(
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    bias: Option<FloatTensor<B>>,
    window: &Window,
    groups: usize,
    cx: &Context<B>,
) -> Result<FloatTensor<B>, OpError> {
    let (shape, filter) = (x.shape().to_vec(), weight.shape().to_vec());
    let ([_, channels, spatial @ ..], [outputs, per_group, kernel @ ..]) = (&shape[..], &filter[..]) else {
        return Err(format!("an input {shape:?} and a weight {filter:?} do not make a convolution").into());
    };
    let bias_fits = bias.as_ref().is_none_or(|b| b.shape().as_slice() == [*outputs]);
    if per_group.checked_mul(groups) != Some(*channels) || outputs % groups != 0 || !bias_fits {
        return Err(format!(
            "an input {shape:?}, a weight {filter:?} and {groups} groups do not go together"
        )
        .into());
    }
    if weight.dtype() != x.dtype() || kernel.contains(&0) {
        return Err(format!("a weight {filter:?} of another type, or empty").into());
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
    // The backend turns what it reads and what it gives around.
    for dims in [&shape, &filter, &out] {
        cx.check(from_burn(x.dtype()), dims)?;
    }
    let even = slides.iter().all(|s| s.pads.0 == s.pads.1);
    let (x, slides) = if even { (x, slides) } else { without_pads::<B>(x, &slides, cx)? };
    in_pieces::<B>(Operands { x, weight, bias, groups }, &slides, cx, LONG)
}

/// What a convolution reads, whose sizes go together.
struct Operands<B: Kernels> {
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    bias: Option<FloatTensor<B>>,
    groups: usize,
}

/// The input with its pads filled, and slides that have none.
fn without_pads<B: Kernels>(
    x: FloatTensor<B>,
    slides: &[Slide],
    cx: &Context<B>,
) -> Result<(FloatTensor<B>, Vec<Slide>), OpError> {
    let x = window::padded::<B>(x, slides, 0.0, cx)?;
    Ok((x, slides.iter().map(|slide| Slide { pads: (0, 0), ..*slide }).collect()))
}

/// Convolves in one call of the backend, or in several where that is more than `most` multiply-adds: some items of the batch at a time, or else
/// some groups, some channels of the result, some of its rows.
///
/// REQUIRES pads that are alike at both ends.
fn in_pieces<B: Kernels>(
    given: Operands<B>,
    slides: &[Slide],
    cx: &Context<B>,
    most: usize,
) -> Result<FloatTensor<B>, OpError> {
    let Operands { x, weight, bias, groups } = &given;
    let (batch, outputs) = (x.shape()[0], weight.shape()[0]);
    let taps = weight.shape()[1..].iter().copied().fold(1, usize::saturating_mul);
    let work = slides.iter().map(|s| s.out).chain([batch, outputs, taps]).fold(1, usize::saturating_mul);
    if !B::ON_HOST || work <= most {
        // What the backend lays out for each of its threads, given back with the call.
        let _scope = cx.run.scope();
        let windows = slides.iter().map(|s| s.out).fold(1, usize::saturating_mul).min(TILE);
        if B::ON_HOST {
            cx.check(from_burn(x.dtype()), &[taps, windows, rayon::current_num_threads()])?;
        }
        return at_once(given, slides);
    }
    let bias_of = |range: &Range<usize>| bias.as_ref().map(|bias| part::<B>(bias, 0, range));
    if batch > 1 {
        return joined(batch, work / most, 0, cx, &mut |range| {
            let (weight, bias) = (weight.clone(), bias.clone());
            in_pieces(
                Operands { x: part::<B>(x, 0, &range), weight, bias, groups: *groups },
                slides,
                cx,
                most,
            )
        });
    }
    if *groups > 1 {
        let (of_x, of_y) = (weight.shape()[1], outputs / groups);
        return joined(*groups, work / most, 1, cx, &mut |range| {
            let (from, to) = (range.start * of_x..range.end * of_x, range.start * of_y..range.end * of_y);
            let (x, weight) = (part::<B>(x, 1, &from), part::<B>(weight, 0, &to));
            in_pieces(Operands { x, weight, bias: bias_of(&to), groups: range.len() }, slides, cx, most)
        });
    }
    if outputs > 1 {
        return joined(outputs, work / most, 1, cx, &mut |range| {
            let (x, weight) = (x.clone(), part::<B>(weight, 0, &range));
            in_pieces(Operands { x, weight, bias: bias_of(&range), groups: 1 }, slides, cx, most)
        });
    }
    // One channel of one item.
    let Some(axis) = slides.iter().position(|slide| slide.out > 1) else { return at_once(given, slides) };
    let (whole, slides) = without_pads::<B>(x.clone(), slides, cx)?;
    joined(slides[axis].out, work / most, axis + 2, cx, &mut |range| {
        let Slide { kernel, stride, dilation, .. } = slides[axis];
        let rows = range.start * stride..(range.end - 1) * stride + (kernel - 1) * dilation + 1;
        let mut some = slides.clone();
        some[axis].out = range.len();
        let (weight, bias) = (weight.clone(), bias.clone());
        in_pieces(
            Operands { x: part::<B>(&whole, axis + 2, &rows), weight, bias, groups: 1 },
            &some,
            cx,
            most,
        )
    })
}

/// The windows that the backend lays out side by side.
const TILE: usize = 512;

fn at_once<B: Kernels>(given: Operands<B>, slides: &[Slide]) -> Result<FloatTensor<B>, OpError> {
    let Operands { x, weight, bias, groups } = given;
    let at = |axis: usize| (slides[axis].stride, slides[axis].pads.0, slides[axis].dilation);
    match slides.len() {
        1 => Ok(B::conv1d(x, weight, bias, options(at, groups))),
        2 => Ok(B::conv2d(x, weight, bias, options(at, groups))),
        3 => Ok(B::conv3d(x, weight, bias, options(at, groups))),
        axes => Err(OpError::from(format!("a convolution over {axes} axes is not supported"))),
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

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::TensorData;
    use burn_flex::{Flex, FlexDevice, FlexTensor};

    fn tensor(shape: &[usize]) -> FlexTensor {
        let len: usize = shape.iter().product();
        let elements: Vec<f32> = (0..len).map(|i| ((i * 37 + 11) % 19) as f32 - 9.0).collect();
        FlexTensor::from_data(TensorData::new(elements, shape.to_vec()))
    }

    #[test]
    fn pieces_make_what_the_whole_makes() {
        let cx = Context::<Flex>::alone(FlexDevice, 1 << 24);
        for (x, weight, groups, pads) in [
            (vec![3, 4, 9, 7], vec![6, 2, 3, 2], 2, [1, 0]),
            (vec![1, 4, 9, 7], vec![4, 1, 2, 3], 4, [0, 2]),
            (vec![1, 3, 11, 1], vec![1, 3, 4, 1], 1, [3, 0]),
            (vec![1, 1, 1, 40], vec![1, 1, 1, 3], 1, [0, 1]),
        ] {
            let slides: Vec<Slide> = (0..2)
                .map(|axis| {
                    let (kernel, stride, dilation, pads) = (weight[axis + 2], 2, 2 - axis, pads[axis]);
                    let out = (x[axis + 2] + 2 * pads - (kernel - 1) * dilation - 1) / stride + 1;
                    Slide { kernel, stride, dilation, pads: (pads, pads), out }
                })
                .collect();
            let given = || Operands::<Flex> {
                x: tensor(&x),
                weight: tensor(&weight),
                bias: Some(tensor(&weight[..1])),
                groups,
            };
            let whole = at_once(given(), &slides).unwrap();
            for most in [1, 20, 300, 5000] {
                let pieces = in_pieces(given(), &slides, &cx, most).unwrap();
                assert_eq!(pieces.shape(), whole.shape());
                let numbers = |t: &FlexTensor| Value::<Flex>::Float(t.clone()).into_host().unwrap().to_f64();
                assert_eq!(numbers(&pieces), numbers(&whole), "{x:?} {weight:?} {most}");
            }
        }
    }
}
