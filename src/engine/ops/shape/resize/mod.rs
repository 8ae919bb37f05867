//! Resize and Upsample, axis by axis: nearest, linear, cubic; every coordinate transformation.
//!
//! Coordinates are computed in single precision, as ONNX Runtime does, so that the nearest of two equally
//! near pixels is the same one.

mod axis;
mod settings;

pub use axis::AxisTaps;

use super::gather::select;
use crate::engine::backend::Kernels;
use crate::engine::host;
use crate::engine::ops::{BoxOp, Context, Inputs, OpError, Site, one};
use crate::engine::value::Value;
use crate::tensor::{DType, Tensor};
use axis::{Axis, Target, plan};
use settings::{Coordinates, Mode, Settings};

pub fn build<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let resize = Resize::read(site, &site.node.op, site.node.version)?;
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        let x = inputs.take(0)?;
        let target = resize.target(&mut inputs)?;
        one(apply(x, &resize.settings, &target, cx)?)
    }))
}

/// The settings of a node, and its target as far as it is known before it runs.
pub struct Resize {
    settings: Settings,
    known: Target,
    /// The inputs that hold scales, sizes and region.
    places: [Option<usize>; 3],
}

impl Resize {
    /// Reads a node `Resize` or `Upsample` of that opset.
    pub fn read<B: Kernels>(site: &Site<'_, B>, op: &str, version: i64) -> Result<Self, String> {
        let attributes = &site.node.attributes;
        if op == "Upsample" || version < 11 {
            return Self::read_old(site);
        }
        let settings = Settings::read(attributes)?;
        let known = Target {
            roi: site.absorb(1).map(floats),
            scales: site.absorb(2).map(floats),
            sizes: site.absorb_ints(3)?,
        };
        Ok(Self { settings, known, places: [Some(2), Some(3), Some(1)] })
    }

    /// Reads the form before opset 11.
    fn read_old<B: Kernels>(site: &Site<'_, B>) -> Result<Self, String> {
        let settings = Settings::read_old(&site.node.attributes)?;
        let scales = match site.node.attributes.find_floats("scales")? {
            Some(scales) => Some(scales.clone()),
            None => site.absorb(1).map(floats),
        };
        Ok(Self { settings, known: Target { scales, ..Target::default() }, places: [Some(1), None, None] })
    }

    fn target<B: Kernels>(&self, inputs: &mut Inputs<B>) -> Result<Target, OpError> {
        let mut given = |place: Option<usize>, known: bool| {
            place.filter(|_| !known).and_then(|p| inputs.optional(p)).map(Value::into_host).transpose()
        };
        let Target { scales, sizes, roi } = self.known.clone();
        let [at_scales, at_sizes, at_roi] = self.places;
        let scales = scales.or(given(at_scales, self.known.scales.is_some())?.map(|t| floats(&t)));
        let sizes = match given(at_sizes, sizes.is_some())? {
            Some(given) => Some(crate::engine::ops::ints(&given)?),
            None => sizes,
        };
        let roi = roi.or(given(at_roi, self.known.roi.is_some())?.map(|t| floats(&t)));
        // An exporter that must fill the place writes an empty tensor.
        Ok(Target {
            scales: scales.filter(|s| !s.is_empty()),
            sizes: sizes.filter(|s| !s.is_empty()),
            roi: roi.filter(|r| !r.is_empty()),
        })
    }

    /// Whether every output position blends input positions of a plane, and nothing else.
    pub fn is_plain(&self) -> bool {
        self.settings.coordinates != Coordinates::TfCropAndResize
    }

    /// The positions that each row and each column of the output blends, for an input `[batch, channels, height, width]` of which
    /// height and width alone change. `blocks` are the channels as they are stored, which the result is checked with.
    pub fn planes<B: Kernels>(
        &self,
        dims: [usize; 4],
        blocks: [usize; 2],
        inputs: &mut Inputs<B>,
        cx: &Context<B>,
    ) -> Result<[AxisTaps; 2], OpError> {
        let axes = plan(&dims, &self.settings, &self.target(inputs)?)?;
        let out: Vec<usize> = axes.iter().map(|a| a.to).collect();
        if out[..2] != dims[..2] || out[2..].contains(&0) || dims[2..].contains(&0) {
            return Err(format!("{dims:?} cannot be resized to {out:?}").into());
        }
        cx.check(DType::F32, &[dims[0], blocks[0], out[2], out[3], blocks[1]])?;
        let taps = |axis: &Axis| -> Result<AxisTaps, OpError> {
            cx.work::<[usize; 4]>(axis.to)?;
            Ok(match self.settings.mode {
                Mode::Nearest => AxisTaps::of_places(axis.nearest(&self.settings)),
                _ if axis.from == axis.to && axis.scale == 1.0 => AxisTaps::of_places(0..axis.to),
                _ => axis.taps(&self.settings, cx)?,
            })
        };
        Ok([taps(&axes[2])?, taps(&axes[3])?])
    }
}

fn floats(tensor: &Tensor) -> Vec<f32> {
    tensor.to_f64().into_iter().map(|v| v as f32).collect()
}

fn apply<B: Kernels>(
    x: Value<B>,
    settings: &Settings,
    target: &Target,
    cx: &Context<B>,
) -> Result<Value<B>, OpError> {
    let dims = x.dims();
    let axes = plan(&dims, settings, target)?;
    let out: Vec<usize> = axes.iter().map(|a| a.to).collect();
    cx.check(x.dtype(), &out)?;
    if out.contains(&0) {
        return Ok(Value::Host(host::from_numbers(x.dtype(), out, [])?));
    }
    if dims.contains(&0) {
        return Err(format!("{dims:?} cannot be resized to {out:?}").into());
    }
    let dtype = x.dtype();
    let mut x = if dtype.is_float() || settings.mode == Mode::Nearest {
        x.on_device(&cx.device)
    } else {
        // Other types are interpolated as floats.
        let floats = x.into_host()?;
        cx.check(DType::F32, floats.shape())?;
        let cells = host::numbers(&floats);
        Value::Host(host::from_numbers(DType::F32, floats.shape().to_vec(), cells)?).on_device(&cx.device)
    };
    // Pixels that tf_crop_and_resize reads from outside the image.
    let mut outside: Vec<(usize, Vec<usize>)> = Vec::new();
    for (index, axis) in axes.iter().enumerate() {
        if settings.coordinates == Coordinates::TfCropAndResize {
            let beyond = |p: &usize| {
                let at = axis.original(*p, settings.coordinates);
                at < 0.0 || at > (axis.from - 1) as f32
            };
            cx.work::<usize>(axis.to)?;
            let positions: Vec<usize> = (0..axis.to).filter(beyond).collect();
            if !positions.is_empty() {
                outside.push((index, positions));
            }
        } else if axis.from == axis.to && axis.scale == 1.0 {
            continue;
        }
        x = along(x, index, axis, settings, cx)?;
    }
    if !outside.is_empty() {
        x = extrapolate(x, &outside, settings.extrapolation, cx)?;
    }
    if x.dtype() == dtype {
        return Ok(x);
    }
    let floats = x.into_host()?;
    Ok(Value::Host(host::from_numbers(dtype, floats.shape().to_vec(), host::numbers(&floats))?))
}

/// Resizes one axis.
fn along<B: Kernels>(
    x: Value<B>,
    index: usize,
    axis: &Axis,
    settings: &Settings,
    cx: &Context<B>,
) -> Result<Value<B>, OpError> {
    if settings.mode == Mode::Nearest {
        let mut dims = x.dims();
        dims[index] = axis.to;
        let _scope = cx.run.scope();
        cx.check(x.dtype(), &dims)?;
        cx.work::<[usize; 2]>(axis.to)?;
        let places: Vec<usize> = axis.nearest(settings).collect();
        return select(x, index, &places, cx);
    }
    let dtype = x.dtype();
    // What one tap picks, and what it is added to.
    let mut dims = x.dims();
    dims[index] = axis.to;
    let _scope = cx.run.scope();
    cx.check(dtype, &dims)?;
    cx.check(dtype, &dims)?;
    let taps = axis.taps(settings, cx)?;
    let mut weights_shape = vec![1; x.rank()];
    weights_shape[index] = axis.to;
    let mut sum = None;
    for tap in 0..taps.each {
        cx.run.go_on()?;
        let of_all = || taps.list.iter().skip(tap).step_by(taps.each);
        let at: Vec<usize> = of_all().map(|t| t.0).collect();
        if of_all().all(|t| t.1 == 0.0) {
            continue;
        }
        let weights = of_all().map(|t| host::Number::Float(f64::from(t.1)));
        let weights = Value::<B>::Host(host::from_numbers(dtype, weights_shape.clone(), weights)?);
        let part = select(x.clone(), index, &at, cx)?.float(&cx.device)?;
        let part = B::float_mul(part, weights.float(&cx.device)?);
        sum = Some(match sum {
            None => part,
            Some(sum) => B::float_add(sum, part),
        });
    }
    sum.map(Value::Float).ok_or_else(|| "every weight is zero".into())
}

fn extrapolate<B: Kernels>(
    x: Value<B>,
    outside: &[(usize, Vec<usize>)],
    value: f32,
    cx: &Context<B>,
) -> Result<Value<B>, OpError> {
    let x = x.into_host()?;
    cx.check(x.dtype(), x.shape())?;
    let own = host::strides(x.shape());
    let beyond = |at: usize| {
        let mut axes = outside.iter();
        axes.any(|(axis, positions)| positions.binary_search(&(at / own[*axis] % x.shape()[*axis])).is_ok())
    };
    let numbers = host::numbers(&x)
        .enumerate()
        .map(|(at, number)| if beyond(at) { host::Number::Float(f64::from(value)) } else { number });
    Ok(Value::Host(host::from_numbers(x.dtype(), x.shape().to_vec(), numbers)?))
}
