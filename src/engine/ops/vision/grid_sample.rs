//! GridSample: an image read at the points that a grid names, over any number of spatial axes.
//!
//! The last axis of the grid holds a point's coordinates, the last spatial axis first; -1 and 1 are the ends of
//! an axis: its outermost pixels with `align_corners`, else their outer edges.

use crate::engine::backend::Kernels;
use crate::engine::host;
use crate::engine::ops::real::{Real, for_real, from_reals, reals};
use crate::engine::ops::{BoxOp, Context, Inputs, OpError, Site, one};
use crate::engine::value::Value;
use crate::tensor::Tensor;
use rayon::prelude::*;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Nearest,
    Linear,
    Cubic,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outside {
    Zeros,
    Border,
    Reflection,
}

#[derive(Clone, Copy, Debug)]
struct Settings {
    mode: Mode,
    outside: Outside,
    align: bool,
}

/// A cubic reads 4 pixels an axis: this bounds what one point costs.
const MOST_AXES: usize = 4;

/// Points whose pixels are worked out at once, which bounds the memory that they take.
const BLOCK: usize = 4096;

pub fn build<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let attributes = &site.node.attributes;
    let settings = Settings {
        mode: attributes.choice(
            "mode",
            "linear",
            &[
                ("linear", Mode::Linear),
                ("bilinear", Mode::Linear),
                ("nearest", Mode::Nearest),
                ("cubic", Mode::Cubic),
                ("bicubic", Mode::Cubic),
            ],
        )?,
        outside: attributes.choice(
            "padding_mode",
            "zeros",
            &[("zeros", Outside::Zeros), ("border", Outside::Border), ("reflection", Outside::Reflection)],
        )?,
        align: attributes.flag("align_corners")?,
    };
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        let x = inputs.take(0)?.into_host()?;
        let grid = inputs.take(1)?.into_host()?;
        let ([batch, channels, spatial @ ..], [grids, points @ .., axes]) = (x.shape(), grid.shape()) else {
            return Err("an image and a grid have at least 3 axes".into());
        };
        if spatial.is_empty() || spatial.len() > MOST_AXES || *axes != spatial.len() || batch != grids {
            return Err(format!("a grid {:?} for an image {:?}", grid.shape(), x.shape()).into());
        }
        let dims = [&[*batch, *channels], points].concat();
        cx.check(x.dtype(), &dims)?;
        if dims.contains(&0) {
            return one(Value::Host(from_reals::<f32>(x.dtype(), dims, Vec::new())?));
        }
        if x.is_empty() {
            return Err(format!("{x:?} has nothing to read").into());
        }
        one(Value::Host(
            for_real!(x.dtype(), T => from_reals(x.dtype(), dims, settings.sample::<T, B>(&x, &grid, cx)?)?),
        ))
    }))
}

/// One axis: its size and the range in which coordinates are not outside.
#[derive(Clone, Copy)]
struct Axis {
    size: usize,
    low: f64,
    high: f64,
}

impl Axis {
    fn new(size: usize, align: bool) -> Self {
        let last = size as f64 - 1.0;
        let (low, high) = if align { (0.0, last) } else { (-0.5, last + 0.5) };
        Self { size, low, high }
    }

    /// A coordinate mirrored at the ends until it lies between them.
    fn reflected(&self, x: f64) -> f64 {
        let range = self.high - self.low;
        if range <= 0.0 || !x.is_finite() {
            return 0.0;
        }
        let beyond = if x < self.low { self.low - x } else { x - self.high };
        if beyond <= 0.0 {
            return x;
        }
        let (times, rest) = ((beyond / range).floor(), beyond % range);
        let from_low = (x < self.low) == (times % 2.0 == 0.0);
        if from_low { self.low + rest } else { self.high - rest }
    }
}

impl Settings {
    fn sample<T: Real, B: Kernels>(
        self,
        x: &Tensor,
        grid: &Tensor,
        cx: &Context<B>,
    ) -> Result<Vec<T>, OpError> {
        let (shape, points) = (x.shape(), grid.shape());
        let axes: Vec<Axis> = shape[2..].iter().map(|d| Axis::new(*d, self.align)).collect();
        let count: usize = points[1..points.len() - 1].iter().product();
        let plane: usize = shape[2..].iter().product();
        let total = host::count(&[shape[0], shape[1], count])?;
        cx.work::<T>(x.len().saturating_add(total))?;
        cx.work::<f64>(grid.len())?;
        let (pixels, grid) = (reals::<T>(x), grid.to_f64());
        let mut out = host::filled(T::default(), total)?;
        for (item, (image, out)) in
            pixels.chunks(plane * shape[1]).zip(out.chunks_mut(count * shape[1])).enumerate()
        {
            let grid = &grid[item * count * axes.len()..(item + 1) * count * axes.len()];
            for (block, grid) in grid.chunks(BLOCK * axes.len()).enumerate() {
                cx.run.go_on()?;
                let taps: Vec<Vec<(usize, T)>> =
                    grid.par_chunks(axes.len()).map(|point| self.taps(&axes, point)).collect();
                out.par_chunks_mut(count).zip(image.par_chunks(plane)).for_each(|(out, image)| {
                    for (to, taps) in out[block * BLOCK..].iter_mut().zip(&taps) {
                        let mut sum = T::default();
                        taps.iter().for_each(|(at, weight)| sum += image[*at] * *weight);
                        *to = sum;
                    }
                });
            }
        }
        Ok(out)
    }

    /// The pixels of a plane that a point blends, with their weights.
    fn taps<T: Real>(self, axes: &[Axis], point: &[f64]) -> Vec<(usize, T)> {
        let mut taps = vec![(0usize, 1.0f64)];
        for (axis, coordinate) in axes.iter().zip(point.iter().rev()) {
            let along = self.along(*axis, *coordinate);
            taps = taps
                .iter()
                .flat_map(|(at, w)| along.iter().map(move |(i, v)| (at * axis.size + i, w * v)))
                .collect();
        }
        taps.into_iter().map(|(at, weight)| (at, T::of(weight))).collect()
    }

    /// The pixels along one axis with their weights. Pixels that count as 0 are left out.
    fn along(self, axis: Axis, coordinate: f64) -> Vec<(usize, f64)> {
        let size = axis.size as f64;
        let mut x = if self.align {
            (coordinate + 1.0) / 2.0 * (size - 1.0)
        } else {
            ((coordinate + 1.0) * size - 1.0) / 2.0
        };
        if self.mode == Mode::Nearest {
            x = x.round_ties_even();
        }
        if x < axis.low || x > axis.high {
            x = match self.outside {
                Outside::Zeros => x,
                // The pixels that a cubic reads are moved to the border one by one, as PyTorch has it.
                Outside::Border if self.mode == Mode::Cubic => x,
                Outside::Border => x.clamp(0.0, size - 1.0),
                Outside::Reflection => axis.reflected(x),
            };
        }
        // Not a number: outside of everything.
        let base = if x.is_nan() { -1e9 } else { x.floor().clamp(-1e9, 1e9) };
        let t = if x.is_nan() { 0.0 } else { x - base };
        let weights: Vec<(i64, f64)> = match self.mode {
            Mode::Nearest => vec![(0, 1.0)],
            Mode::Linear => vec![(0, 1.0 - t), (1, t)],
            Mode::Cubic => (-1..3).zip([t + 1.0, t, 1.0 - t, 2.0 - t].map(cubic)).collect(),
        };
        let pixel = |(step, weight): (i64, f64)| {
            let i = base as i64 + step;
            let inside = i >= 0 && i < axis.size as i64;
            let i = match self.outside {
                _ if inside => i,
                Outside::Zeros => return None,
                Outside::Border => i.clamp(0, axis.size as i64 - 1),
                Outside::Reflection => (axis.reflected(i as f64) as i64).clamp(0, axis.size as i64 - 1),
            };
            Some((i as usize, weight))
        };
        weights.into_iter().filter_map(pixel).collect()
    }
}

/// Keys' kernel with a = -0.75, at a distance.
fn cubic(x: f64) -> f64 {
    const A: f64 = -0.75;
    let x = x.abs();
    if x <= 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        ((A * x - 5.0 * A) * x + 8.0 * A) * x - 4.0 * A
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coordinates_reflect_until_they_are_inside() {
        let edges = Axis::new(3, false);
        let at = |x| edges.reflected(x);
        assert_eq!([at(-0.75), at(2.75), at(1.0), at(5.5), at(-3.0)], [-0.25, 2.25, 1.0, -0.5, 2.0]);
        assert_eq!(Axis::new(1, true).reflected(7.0), 0.0);
        assert_eq!(edges.reflected(f64::INFINITY), 0.0);
    }

    #[test]
    fn points_that_are_no_numbers_read_nothing() {
        for mode in [Mode::Nearest, Mode::Linear, Mode::Cubic] {
            let settings = Settings { mode, outside: Outside::Zeros, align: true };
            assert_eq!(settings.along(Axis::new(4, true), f64::NAN), []);
            assert_eq!(settings.along(Axis::new(4, true), 1e300), []);
        }
    }
}
