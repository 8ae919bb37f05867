//! QuantizeLinear and DequantizeLinear: one scale for the tensor, one for each index of an axis, or one for
//! each block along an axis.

use crate::engine::backend::Kernels;
use crate::engine::host::{self, Number};
use crate::engine::ops::make::cast;
use crate::engine::ops::{BoxOp, Context, Inputs, Site, axis, one};
use crate::engine::value::Value;
use crate::tensor::{DType, Rounding, Tensor};

/// The elements that share one scale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grain {
    Tensor,
    /// Each index of the axis has its own.
    Axis(usize),
    /// Each block of that length along the axis has its own, at every place of the other axes.
    Blocks(usize, usize),
}

impl Grain {
    /// What the shape of the scale says. `block` is 0 where the model names none.
    fn of(dims: &[usize], scale: &[usize], given: i64, block: usize) -> Result<Self, String> {
        let refused = || format!("a scale of shape {scale:?} for {dims:?}");
        if block == 0 && scale.iter().product::<usize>() == 1 && scale.len() <= 1 {
            return Ok(Self::Tensor);
        }
        let axis = axis(given, dims.len())?;
        if scale.len() == 1 && block == 0 {
            return if scale[0] == dims[axis] { Ok(Self::Axis(axis)) } else { Err(refused()) };
        }
        let alike = scale.len() == dims.len() && (0..dims.len()).all(|a| a == axis || scale[a] == dims[a]);
        if !alike || scale[axis] == 0 {
            return Err(refused());
        }
        let block = if block == 0 { dims[axis].div_ceil(scale[axis]) } else { block };
        if dims[axis].div_ceil(block.max(1)) != scale[axis] {
            return Err(refused());
        }
        Ok(Self::Blocks(axis, block))
    }

    /// Calls with each run of elements, the index of its first scale, and how many scales to go on for each
    /// element.
    fn runs(self, dims: &[usize], mut f: impl FnMut(std::ops::Range<usize>, usize, usize)) {
        let around = |axis: usize| -> (usize, usize) {
            (dims[..axis].iter().product(), dims[axis + 1..].iter().product())
        };
        match self {
            Self::Tensor => f(0..dims.iter().product(), 0, 0),
            Self::Axis(axis) => {
                let (outer, inner) = around(axis);
                for row in 0..outer * dims[axis] {
                    f(row * inner..(row + 1) * inner, row % dims[axis], 0);
                }
            }
            Self::Blocks(axis, block) => {
                let (outer, inner) = around(axis);
                let blocks = dims[axis].div_ceil(block);
                for row in 0..outer * dims[axis] {
                    let (place, index) = (row / dims[axis], row % dims[axis]);
                    f(row * inner..(row + 1) * inner, (place * blocks + index / block) * inner, 1);
                }
            }
        }
    }
}

struct Settings {
    axis: i64,
    block: usize,
    dtype: Option<DType>,
    saturate: bool,
}

impl Settings {
    fn read<B: Kernels>(site: &Site<'_, B>) -> Result<Self, String> {
        let attributes = &site.node.attributes;
        let block = attributes.int("block_size", 0)?;
        Ok(Self {
            axis: attributes.int("axis", 1)?,
            block: usize::try_from(block).map_err(|_| format!("block_size is {block}"))?,
            dtype: match attributes.int("output_dtype", 0)? {
                0 => None,
                code => Some(host::dtype_of(code)?),
            },
            saturate: attributes.int("saturate", 1)? != 0,
        })
    }
}

pub fn quantize<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let settings = Settings::read(site)?;
    Ok(Box::new(move |mut inputs: Inputs<B>, _: &Context<B>| {
        let x = inputs.take(0)?.into_host()?;
        let scale = inputs.take(1)?.into_host()?;
        let zero = inputs.optional(2).map(Value::into_host).transpose()?;
        let dtype = zero.as_ref().map(Tensor::dtype).or(settings.dtype).unwrap_or(DType::U8);
        let grain = Grain::of(x.shape(), scale.shape(), settings.axis, settings.block)?;
        one(Value::Host(quantise(&x, &scale, zero.as_ref(), grain, dtype, settings.saturate)?))
    }))
}

/// round(x / scale) + zero point, within what the type holds.
pub fn quantise(
    x: &Tensor,
    scale: &Tensor,
    zero: Option<&Tensor>,
    grain: Grain,
    dtype: DType,
    saturate: bool,
) -> Result<Tensor, String> {
    let scales: Vec<f32> = scale.to_f64().into_iter().map(|v| v as f32).collect();
    let zeros = zeros(zero, scales.len())?;
    let x = singles(x);
    let each = |keep: &mut dyn FnMut(f32, f32)| {
        grain.runs(x.1, |range, start, step| {
            for (i, v) in x.0[range].iter().enumerate() {
                let at = start + i * step;
                keep(v / scales[at], zeros[at]);
            }
        });
    };
    macro_rules! integers {
        ($t:ty, $lowest:expr, $highest:expr) => {{
            let mut cells: Vec<$t> = host::room(x.0.len())?;
            // What is not a number becomes the lowest, as in ONNX Runtime, whose comparison with it fails.
            let within = |v: f32| if v > $lowest as f32 { v.min($highest as f32) as $t } else { $lowest };
            each(&mut |v, zero| cells.push(within(v.round_ties_even() + zero)));
            host::tensor(dtype, x.1.to_vec(), cells)
        }};
    }
    match dtype {
        DType::I8 => integers!(i8, i8::MIN, i8::MAX),
        DType::U8 => integers!(u8, u8::MIN, u8::MAX),
        DType::I16 => integers!(i16, i16::MIN, i16::MAX),
        DType::U16 => integers!(u16, u16::MIN, u16::MAX),
        DType::I32 => integers!(i32, i32::MIN, i32::MAX),
        DType::I4 => integers!(i8, -8, 7),
        DType::U4 => integers!(u8, 0, 15),
        DType::I2 => integers!(i8, -2, 1),
        DType::U2 => integers!(u8, 0, 3),
        _ => {
            // A small float rounds by itself.
            let code = host::small_code(dtype, saturate, Rounding::Nearest)
                .ok_or_else(|| format!("{dtype} is not a type to quantise to"))?;
            let mut cells: Vec<u8> = host::room(x.0.len())?;
            each(&mut |v, zero| cells.push(code(Number::Float(f64::from(v + zero)))));
            host::tensor(dtype, x.1.to_vec(), cells)
        }
    }
}

/// The zero points, one for each scale.
fn zeros(zero: Option<&Tensor>, scales: usize) -> Result<Vec<f32>, String> {
    match zero {
        None => Ok(vec![0.0; scales]),
        Some(zero) if zero.len() == scales => Ok(zero.to_f64().into_iter().map(|v| v as f32).collect()),
        Some(zero) => Err(format!("{scales} scales and zero points {zero:?}")),
    }
}

/// The elements in single precision, and the shape.
fn singles(x: &Tensor) -> (std::borrow::Cow<'_, [f32]>, &[usize]) {
    let elements = match x.elements::<f32>() {
        Some(elements) => elements,
        None => x.to_f64().into_iter().map(|v| v as f32).collect(),
    };
    (elements, x.shape())
}

pub fn dequantize<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let settings = Settings::read(site)?;
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        let x = inputs.take(0)?.into_host()?;
        let scale = inputs.take(1)?.into_host()?;
        let zero = inputs.optional(2).map(Value::into_host).transpose()?;
        if zero.as_ref().is_some_and(|z| z.dtype() != x.dtype()) {
            return Err(format!("{x:?} with a zero point {zero:?}").into());
        }
        let dtype = settings.dtype.unwrap_or(scale.dtype());
        cx.check(DType::F32, x.shape())?;
        let grain = Grain::of(x.shape(), scale.shape(), settings.axis, settings.block)?;
        let values = Value::Host(dequantise(&x, &scale, zero.as_ref(), grain)?);
        one(cast(values, dtype, cx)?.on_device(&cx.device))
    }))
}

/// (x - zero point) · scale, in single precision.
fn dequantise(x: &Tensor, scale: &Tensor, zero: Option<&Tensor>, grain: Grain) -> Result<Tensor, String> {
    let scales: Vec<f32> = scale.to_f64().into_iter().map(|v| v as f32).collect();
    let zeros = zeros(zero, scales.len())?;
    let mut real = host::filled(0f32, x.len())?;
    fn fill<T: Copy>(
        real: &mut [f32],
        x: &[T],
        f: impl Fn(T) -> f32,
        (dims, grain): (&[usize], Grain),
        (scales, zeros): (&[f32], &[f32]),
    ) {
        grain.runs(dims, |range, start, step| {
            for (i, (to, v)) in real[range.clone()].iter_mut().zip(&x[range]).enumerate() {
                let at = start + i * step;
                *to = (f(*v) - zeros[at]) * scales[at];
            }
        });
    }
    let (place, line) = ((x.shape(), grain), (&scales[..], &zeros[..]));
    match x.dtype() {
        DType::U8 => fill(&mut real, &host::cells::<u8>(x), f32::from, place, line),
        DType::I8 => fill(&mut real, &host::cells::<i8>(x), f32::from, place, line),
        _ => fill(&mut real, &x.to_f64(), |v| v as f32, place, line),
    }
    host::tensor(DType::F32, x.shape().to_vec(), real)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn floats(shape: &[usize], v: &[f32]) -> Tensor {
        Tensor::from_vec(shape.to_vec(), v.to_vec()).unwrap()
    }

    #[test]
    fn halves_go_to_the_even_and_ends_hold() {
        let x = floats(&[6], &[0.5, 1.5, -0.5, 1e9, -1e9, 3.0]);
        let zero = Tensor::from_vec(vec![], vec![0i8]).unwrap();
        let q = quantise(&x, &floats(&[], &[1.0]), Some(&zero), Grain::Tensor, DType::I8, true).unwrap();
        assert_eq!(q.elements::<i8>().unwrap().as_ref(), [0, 2, 0, 127, -128, 3]);
    }

    #[test]
    fn blocks_have_scales_of_their_own() {
        let x = Tensor::from_vec(vec![2, 3, 2], (0..12u8).collect()).unwrap();
        let scale = floats(&[2, 2, 2], &[1., 2., 3., 4., 5., 6., 7., 8.]);
        let grain = Grain::of(x.shape(), scale.shape(), 1, 2).unwrap();
        assert_eq!(grain, Grain::Blocks(1, 2));
        let y = dequantise(&x, &scale, None, grain).unwrap();
        let wanted = [0., 2., 2., 6., 12., 20., 30., 42., 40., 54., 70., 88.];
        assert_eq!(y.elements::<f32>().unwrap().as_ref(), wanted);
        assert!(Grain::of(&[2, 3], &[2], 1, 0).is_err());
        assert!(Grain::of(&[2, 3], &[2, 3], 1, 2).is_err());
        assert_eq!(Grain::of(&[2, 3], &[3], -1, 0).unwrap(), Grain::Axis(1));
    }
}
