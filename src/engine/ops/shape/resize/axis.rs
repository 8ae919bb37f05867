//! One axis of a resize: its size before and after, and what each position of the output takes of the input.

use super::settings::{Aspect, Coordinates, Mode, Nearest, Settings};
use crate::engine::backend::Kernels;
use crate::engine::host;
use crate::engine::ops::shape::expand;
use crate::engine::ops::{Context, OpError, axis as check_axis};

/// The scales, sizes and region that a resize is given.
#[derive(Clone, Default)]
pub struct Target {
    pub scales: Option<Vec<f32>>,
    pub sizes: Option<Vec<i64>>,
    pub roi: Option<Vec<f32>>,
}

/// No position of a tensor is so far from its start.
const FAR: i64 = 1 << 60;

/// One axis: its size before and after, the scale between, the part of it that is looked at.
pub struct Axis {
    pub from: usize,
    pub to: usize,
    pub scale: f32,
    roi: (f32, f32),
}

/// The input positions that those of one axis of the output blend: for each, as many input positions, and their weights.
#[derive(Clone, Debug)]
pub struct AxisTaps {
    /// Taps of each position, which lie side by side.
    pub each: usize,
    pub list: Vec<(usize, f32)>,
}

impl AxisTaps {
    /// Positions of the output that each take one of the input.
    pub fn of_places(places: impl Iterator<Item = usize>) -> Self {
        Self { each: 1, list: places.map(|at| (at, 1.0)).collect() }
    }
}

/// The axes of an input, as they are and as they are to be.
pub fn plan(dims: &[usize], settings: &Settings, target: &Target) -> Result<Vec<Axis>, String> {
    let rank = dims.len();
    let listed = match &settings.axes {
        Some(axes) => axes.iter().map(|a| check_axis(*a, rank)).collect::<Result<Vec<_>, _>>()?,
        None => (0..rank).collect(),
    };
    let mut axes: Vec<Axis> =
        dims.iter().map(|d| Axis { from: *d, to: *d, scale: 1.0, roi: (0.0, 1.0) }).collect();
    let wrong = |what: &str, n: usize| format!("{n} {what} for {} axes", listed.len());
    let count = |what: &str, n: usize| if n == listed.len() { Ok(()) } else { Err(wrong(what, n)) };
    match (&target.scales, &target.sizes) {
        (_, Some(sizes)) => {
            count("sizes", sizes.len())?;
            to_sizes(&mut axes, &listed, &expand::sizes(sizes)?, settings.aspect);
        }
        (Some(scales), None) => {
            count("scales", scales.len())?;
            by_scales(&mut axes, &listed, scales)?;
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

/// Gives the listed axes their sizes, all by one scale where the aspect is kept.
fn to_sizes(axes: &mut [Axis], listed: &[usize], sizes: &[usize], aspect: Aspect) {
    // An axis of nothing has no ratio of its own.
    let some = listed.iter().zip(sizes).filter(|(a, _)| axes[**a].from > 0);
    let ratios = some.map(|(a, s)| *s as f32 / axes[*a].from as f32);
    let common = match aspect {
        Aspect::Stretch => None,
        Aspect::NotLarger => Some(ratios.fold(f32::INFINITY, f32::min)),
        Aspect::NotSmaller => Some(ratios.fold(0.0, f32::max)),
    };
    for (axis, size) in listed.iter().zip(sizes) {
        let axis = &mut axes[*axis];
        let from = axis.from as f32;
        axis.to = common.map_or(*size, |scale| (scale * from).round() as usize);
        axis.scale = if axis.from == 0 { 1.0 } else { common.unwrap_or(axis.to as f32 / from) };
    }
}

fn by_scales(axes: &mut [Axis], listed: &[usize], scales: &[f32]) -> Result<(), String> {
    for (axis, scale) in listed.iter().zip(scales) {
        if !(*scale > 0.0 && scale.is_finite()) {
            return Err(format!("{scale} is not a scale"));
        }
        let axis = &mut axes[*axis];
        axis.to = (axis.from as f32 * scale).floor() as usize;
        axis.scale = *scale;
    }
    Ok(())
}

impl Axis {
    /// The coordinate in the input of an output position.
    pub fn original(&self, position: usize, coordinates: Coordinates) -> f32 {
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
    pub fn nearest(&self, settings: &Settings) -> impl Iterator<Item = usize> {
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
    pub fn taps<B: Kernels>(&self, settings: &Settings, cx: &Context<B>) -> Result<AxisTaps, OpError> {
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
