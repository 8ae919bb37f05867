//! Resize and Upsample, axis by axis: nearest, linear, cubic; every coordinate transformation.
//!
//! Coordinates are computed in single precision, as ONNX Runtime does, so that the nearest of two equally
//! near pixels is the same one.

use super::gather::select;
use crate::engine::backend::Kernels;
use crate::engine::host;
use crate::engine::ops::{BoxOp, Context, Inputs, OpError, Site, axis as check_axis, one};
use crate::engine::value::Value;
use crate::tensor::{DType, Tensor};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Nearest,
    Linear,
    Cubic,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coordinates {
    HalfPixel,
    HalfPixelSymmetric,
    PytorchHalfPixel,
    AlignCorners,
    Asymmetric,
    TfHalfPixelForNn,
    TfCropAndResize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Nearest {
    RoundPreferFloor,
    RoundPreferCeil,
    Floor,
    Ceil,
    /// What ONNX Runtime does before opset 11, where the standard is silent: up when it shrinks, else down.
    Simple,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Aspect {
    Stretch,
    NotLarger,
    NotSmaller,
}

#[derive(Clone, Debug)]
struct Settings {
    mode: Mode,
    coordinates: Coordinates,
    nearest: Nearest,
    /// The cubic coefficient.
    a: f32,
    exclude_outside: bool,
    extrapolation: f32,
    antialias: bool,
    aspect: Aspect,
    axes: Option<Vec<i64>>,
}

pub fn build<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let resize = Resize::read(site, &site.node.op, site.node.version)?;
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        let x = inputs.take(0)?;
        let target = resize.target(&mut inputs)?;
        one(apply(x, &resize.settings, &target, cx)?)
    }))
}

/// What a node asks for, and what of it is known before it runs.
pub struct Resize {
    settings: Settings,
    known: Target,
    /// The inputs that hold scales, sizes and region.
    places: [Option<usize>; 3],
}

#[derive(Clone, Default)]
struct Target {
    scales: Option<Vec<f32>>,
    sizes: Option<Vec<i64>>,
    roi: Option<Vec<f32>>,
}

/// What the positions of one axis of the output blend: for each, as many input positions, and their weights.
#[derive(Clone, Debug)]
pub struct AxisTaps {
    /// Taps of each position, which lie side by side.
    pub each: usize,
    pub list: Vec<(usize, f32)>,
}

impl AxisTaps {
    /// Positions of the output that each take one of the input.
    fn of_places(places: impl Iterator<Item = usize>) -> Self {
        Self { each: 1, list: places.map(|at| (at, 1.0)).collect() }
    }
}

impl Resize {
    /// Reads a node `Resize` or `Upsample` of that opset.
    pub fn read<B: Kernels>(site: &Site<'_, B>, op: &str, version: i64) -> Result<Self, String> {
        let attributes = &site.node.attributes;
        if op == "Upsample" || version < 11 {
            return Self::read_old(site);
        }
        let coordinates = match attributes.text("coordinate_transformation_mode", "half_pixel")? {
            "half_pixel" => Coordinates::HalfPixel,
            "half_pixel_symmetric" => Coordinates::HalfPixelSymmetric,
            "pytorch_half_pixel" => Coordinates::PytorchHalfPixel,
            "align_corners" => Coordinates::AlignCorners,
            "asymmetric" => Coordinates::Asymmetric,
            "tf_half_pixel_for_nn" => Coordinates::TfHalfPixelForNn,
            "tf_crop_and_resize" => Coordinates::TfCropAndResize,
            other => return Err(format!("coordinate_transformation_mode {other:?} is not known")),
        };
        let nearest = match attributes.text("nearest_mode", "round_prefer_floor")? {
            "round_prefer_floor" => Nearest::RoundPreferFloor,
            "round_prefer_ceil" => Nearest::RoundPreferCeil,
            "floor" => Nearest::Floor,
            "ceil" => Nearest::Ceil,
            other => return Err(format!("nearest_mode {other:?} is not known")),
        };
        let aspect = match attributes.text("keep_aspect_ratio_policy", "stretch")? {
            "stretch" => Aspect::Stretch,
            "not_larger" => Aspect::NotLarger,
            "not_smaller" => Aspect::NotSmaller,
            other => return Err(format!("keep_aspect_ratio_policy {other:?} is not known")),
        };
        let settings = Settings {
            mode: mode(site)?,
            coordinates,
            nearest,
            a: attributes.float("cubic_coeff_a", -0.75)?,
            exclude_outside: attributes.flag("exclude_outside")?,
            extrapolation: attributes.float("extrapolation_value", 0.0)?,
            antialias: attributes.flag("antialias")?,
            aspect,
            axes: attributes.find_ints("axes")?.cloned(),
        };
        let known = Target {
            roi: site.absorb(1).map(floats),
            scales: site.absorb(2).map(floats),
            sizes: site.absorb_ints(3)?,
        };
        Ok(Self { settings, known, places: [Some(2), Some(3), Some(1)] })
    }

    /// Reads the form before opset 11.
    fn read_old<B: Kernels>(site: &Site<'_, B>) -> Result<Self, String> {
        let settings = Settings {
            mode: mode(site)?,
            coordinates: Coordinates::Asymmetric,
            nearest: Nearest::Simple,
            a: -0.75,
            exclude_outside: false,
            extrapolation: 0.0,
            antialias: false,
            aspect: Aspect::Stretch,
            axes: None,
        };
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

    /// What each row and each column of the output blends, for an input `[batch, channels, height, width]` of which
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

fn mode<B: Kernels>(site: &Site<'_, B>) -> Result<Mode, String> {
    Ok(match site.node.attributes.text("mode", "nearest")? {
        "nearest" => Mode::Nearest,
        "linear" | "bilinear" | "trilinear" => Mode::Linear,
        "cubic" => Mode::Cubic,
        other => return Err(format!("mode {other:?} is not known")),
    })
}

fn floats(tensor: &Tensor) -> Vec<f32> {
    tensor.to_f64().into_iter().map(|v| v as f32).collect()
}

/// No position of a tensor is so far from its start.
const FAR: i64 = 1 << 60;

/// One axis: its size before and after, the scale between, the part of it that is looked at.
struct Axis {
    from: usize,
    to: usize,
    scale: f32,
    roi: (f32, f32),
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

fn plan(dims: &[usize], settings: &Settings, target: &Target) -> Result<Vec<Axis>, String> {
    let rank = dims.len();
    let listed = match &settings.axes {
        Some(axes) => axes.iter().map(|a| check_axis(*a, rank)).collect::<Result<Vec<_>, _>>()?,
        None => (0..rank).collect(),
    };
    let mut axes: Vec<Axis> =
        dims.iter().map(|d| Axis { from: *d, to: *d, scale: 1.0, roi: (0.0, 1.0) }).collect();
    let wrong = |what: &str, n: usize| format!("{n} {what} for {} axes", listed.len());
    match (&target.scales, &target.sizes) {
        (_, Some(sizes)) => {
            if sizes.len() != listed.len() {
                return Err(wrong("sizes", sizes.len()));
            }
            let sizes = super::expand::sizes(sizes)?;
            // An axis of nothing has no ratio of its own.
            let some = listed.iter().zip(&sizes).filter(|(a, _)| dims[**a] > 0);
            let ratios = some.map(|(a, s)| *s as f32 / dims[*a] as f32);
            let common = match settings.aspect {
                Aspect::Stretch => None,
                Aspect::NotLarger => Some(ratios.fold(f32::INFINITY, f32::min)),
                Aspect::NotSmaller => Some(ratios.fold(0.0, f32::max)),
            };
            for (axis, size) in listed.iter().zip(sizes) {
                let from = dims[*axis] as f32;
                let to = common.map_or(size, |scale| (scale * from).round() as usize);
                axes[*axis].to = to;
                axes[*axis].scale = if dims[*axis] == 0 { 1.0 } else { common.unwrap_or(to as f32 / from) };
            }
        }
        (Some(scales), None) => {
            if scales.len() != listed.len() {
                return Err(wrong("scales", scales.len()));
            }
            for (axis, scale) in listed.iter().zip(scales) {
                if !(*scale > 0.0 && scale.is_finite()) {
                    return Err(format!("{scale} is not a scale"));
                }
                axes[*axis].to = (dims[*axis] as f32 * scale).floor() as usize;
                axes[*axis].scale = *scale;
            }
        }
        (None, None) => return Err("neither scales nor sizes are given".into()),
    }
    if settings.coordinates == Coordinates::TfCropAndResize {
        let roi = target.roi.as_ref().ok_or("tf_crop_and_resize without roi")?;
        if roi.len() != listed.len() * 2 {
            return Err(wrong("roi bounds", roi.len()));
        }
        for (index, axis) in listed.iter().enumerate() {
            axes[*axis].roi = (roi[index], roi[index + listed.len()]);
        }
    }
    Ok(axes)
}

impl Axis {
    /// Where in the input an output position lies.
    fn original(&self, position: usize, coordinates: Coordinates) -> f32 {
        let (p, from, to) = (position as f32, self.from as f32, self.to as f32);
        match coordinates {
            Coordinates::HalfPixel => (p + 0.5) / self.scale - 0.5,
            Coordinates::HalfPixelSymmetric => {
                let adjustment = to / (self.scale * from);
                let center = from / 2.0;
                center * (1.0 - adjustment) + (p + 0.5) / self.scale - 0.5
            }
            Coordinates::PytorchHalfPixel if self.to == 1 => 0.0,
            Coordinates::PytorchHalfPixel => (p + 0.5) / self.scale - 0.5,
            Coordinates::AlignCorners if self.to == 1 => 0.0,
            Coordinates::AlignCorners => p * (from - 1.0) / (to - 1.0),
            Coordinates::Asymmetric => p / self.scale,
            Coordinates::TfHalfPixelForNn => (p + 0.5) / self.scale,
            Coordinates::TfCropAndResize if self.to == 1 => 0.5 * (self.roi.0 + self.roi.1) * (from - 1.0),
            Coordinates::TfCropAndResize => {
                self.roi.0 * (from - 1.0) + p * (self.roi.1 - self.roi.0) * (from - 1.0) / (to - 1.0)
            }
        }
    }

    /// The input index that each output position takes.
    fn nearest(&self, settings: &Settings) -> impl Iterator<Item = usize> {
        (0..self.to).map(|p| {
            let at = self.original(p, settings.coordinates);
            let at = match settings.nearest {
                Nearest::RoundPreferFloor if at == at.trunc() + 0.5 => at.floor(),
                Nearest::RoundPreferFloor => at.round(),
                Nearest::RoundPreferCeil => (at + 0.5).floor(),
                Nearest::Floor => at.floor(),
                Nearest::Ceil => at.ceil(),
                Nearest::Simple if self.scale < 1.0 => at.ceil(),
                Nearest::Simple => at.floor(),
            };
            (at.max(0.0) as usize).min(self.from - 1)
        })
    }

    /// The input indices that each output position blends and their weights, as many for each.
    fn taps<B: Kernels>(&self, settings: &Settings, cx: &Context<B>) -> Result<AxisTaps, OpError> {
        let reach = if settings.mode == Mode::Linear { 1.0f32 } else { 2.0 };
        let kernel = |x: f32| match settings.mode {
            Mode::Cubic => cubic(x, settings.a),
            _ => (1.0 - x.abs()).max(0.0),
        };
        let shrink = if settings.antialias { self.scale.min(1.0) } else { 1.0 };
        let reach = (reach / shrink).ceil() as i64;
        let each = usize::try_from(reach).ok().and_then(|reach| reach.checked_mul(2));
        let each = each.ok_or("its scale is too small")?;
        let count = each.checked_mul(self.to).ok_or("it has too many taps")?;
        cx.work::<(usize, f32)>(count)?;
        let mut list = host::room(count)?;
        let last = self.from as i64 - 1;
        for p in 0..self.to {
            cx.run.go_on()?;
            let mut at = self.original(p, settings.coordinates);
            if settings.mode == Mode::Linear && !settings.antialias {
                at = at.clamp(0.0, (self.from - 1) as f32);
            }
            // What lies far outside is far outside.
            let base = (at.floor() as i64).clamp(-FAR, FAR);
            let begin = list.len();
            list.extend((base - reach + 1..=base + reach).map(|i| {
                let inside = (0..=last).contains(&i);
                let weight = kernel((i as f32 - at) * shrink);
                let weight = if settings.exclude_outside && !inside { 0.0 } else { weight };
                (i.clamp(0, last) as usize, weight)
            }));
            let taps = &mut list[begin..];
            if settings.exclude_outside || settings.antialias {
                let sum: f32 = taps.iter().map(|(_, w)| w).sum();
                taps.iter_mut().for_each(|(_, w)| *w /= sum);
            }
        }
        Ok(AxisTaps { each, list })
    }
}

/// The cubic convolution kernel of Keys (1981) with coefficient `a`.
fn cubic(x: f32, a: f32) -> f32 {
    let x = x.abs();
    if x <= 1.0 {
        ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        ((x - 5.0) * x + 8.0) * x * a - 4.0 * a
    } else {
        0.0
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_of_two_is_chosen_by_mode() {
        let axis = Axis { from: 4, to: 8, scale: 2.0, roi: (0.0, 1.0) };
        let settings = |coordinates, nearest| Settings {
            mode: Mode::Nearest,
            coordinates,
            nearest,
            a: -0.75,
            exclude_outside: false,
            extrapolation: 0.0,
            antialias: false,
            aspect: Aspect::Stretch,
            axes: None,
        };
        let at = |c, n| axis.nearest(&settings(c, n)).collect::<Vec<_>>();
        assert_eq!(at(Coordinates::Asymmetric, Nearest::Floor), [0, 0, 1, 1, 2, 2, 3, 3]);
        assert_eq!(at(Coordinates::Asymmetric, Nearest::RoundPreferCeil), [0, 1, 1, 2, 2, 3, 3, 3]);
        assert_eq!(at(Coordinates::Asymmetric, Nearest::RoundPreferFloor), [0, 0, 1, 1, 2, 2, 3, 3]);
        assert_eq!(at(Coordinates::HalfPixel, Nearest::Ceil), [0, 1, 1, 2, 2, 3, 3, 3]);
    }
}
