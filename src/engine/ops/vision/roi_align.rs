//! RoiAlign: regions of a feature map, each read at points between pixels and pooled to one size.

use crate::engine::backend::Kernels;
use crate::engine::host;
use crate::engine::ops::real::{Real, for_real, from_reals, reals};
use crate::engine::ops::{BoxOp, Context, Inputs, Site, ints, one};
use crate::engine::value::Value;
use crate::scheduler::StopFlag;
use rayon::prelude::*;

#[derive(Clone, Copy, Debug)]
struct Settings {
    max: bool,
    half_pixel: bool,
    /// Rows and columns.
    out: [usize; 2],
    /// Samples along each side of a bin; 0 for as many as it has pixels.
    samples: usize,
    scale: f64,
}

/// More samples in a bin, or bins in a region, are taken for a mistake.
const MOST: i64 = 4096;

pub fn build<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let attributes = &site.node.attributes;
    let size = |name, default: i64, least: i64| -> Result<usize, String> {
        let given = attributes.int(name, default)?;
        if (least..=MOST).contains(&given) { Ok(given as usize) } else { Err(format!("{name} is {given}")) }
    };
    let older = if site.node.version < 16 { "output_half_pixel" } else { "half_pixel" };
    let settings = Settings {
        max: attributes.choice("mode", "avg", &[("avg", false), ("max", true)])?,
        half_pixel: match attributes.text("coordinate_transformation_mode", older)? {
            "half_pixel" => true,
            "output_half_pixel" => false,
            other => return Err(format!("coordinate_transformation_mode {other:?} is not known")),
        },
        out: [size("output_height", 1, 1)?, size("output_width", 1, 1)?],
        samples: size("sampling_ratio", 0, 0)?,
        scale: f64::from(attributes.float("spatial_scale", 1.0)?),
    };
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        let x = inputs.take(0)?.into_host()?;
        let rois = inputs.take(1)?.into_host()?;
        let images = ints(&inputs.take(2)?.into_host()?)?;
        let [batch, channels, height, width] = x.shape()[..] else {
            return Err(format!("{x:?} has not 4 axes").into());
        };
        if rois.shape() != [images.len(), 4] {
            return Err(format!("regions {rois:?} for {} batch indices", images.len()).into());
        }
        let images = images.iter().map(|i| {
            usize::try_from(*i)
                .ok()
                .filter(|i| *i < batch)
                .ok_or_else(|| format!("{i} is not one of {batch}"))
        });
        let images = images.collect::<Result<Vec<_>, _>>()?;
        let dims = vec![images.len(), channels, settings.out[0], settings.out[1]];
        cx.check(x.dtype(), &dims)?;
        if height == 0 || width == 0 {
            return Err(format!("{x:?} is empty").into());
        }
        let dtype = x.dtype();
        for_real!(dtype, T => cx.work::<T>(host::count(&dims)?.saturating_add(x.len()))?);
        cx.work::<f64>(rois.len())?;
        let rois = rois.to_f64();
        one(Value::Host(for_real!(dtype, T => {
            let (pixels, plane) = (reals::<T>(&x), height * width);
            let area = settings.out[0] * settings.out[1];
            let mut out = host::filled(T::default(), host::count(&dims)?)?;
            let regions = rois.par_chunks(4).zip(images);
            out.par_chunks_mut((area * channels).max(1)).zip(regions).for_each(|(out, (roi, image))| {
                let stop = cx.run.stop();
                if stop.is_set() {
                    return;
                }
                let region = settings.region(roi, [height, width]);
                let planes = pixels[image * channels * plane..].chunks(plane);
                out.chunks_mut(area)
                    .zip(planes)
                    .for_each(|(out, map)| settings.pool(&region, map, width, out, stop));
            });
            from_reals(dtype, dims, out)?
        })))
    }))
}

/// Two neighbouring pixels of one axis, and how much of the second.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Sample {
    low: usize,
    high: usize,
    part: f64,
}

/// Along one axis, for each bin: its samples that lie on the map.
struct Along {
    bins: Vec<Vec<Sample>>,
    /// Samples of a bin, on the map or not.
    count: f64,
}

impl Settings {
    fn region(&self, roi: &[f64], size: [usize; 2]) -> [Along; 2] {
        let offset = if self.half_pixel { 0.5 } else { 0.0 };
        let side = |axis: usize| {
            // x comes before y in a region.
            let start = roi[1 - axis] * self.scale - offset;
            let length = roi[3 - axis] * self.scale - offset - start;
            // A region without area has a pixel, where half pixels are not counted.
            let length = if self.half_pixel { length } else { length.max(1.0) };
            along(start, length, self.out[axis], self.samples, size[axis])
        };
        [side(0), side(1)]
    }

    /// What is left undone once `stop` is set is never used.
    fn pool<T: Real>(
        &self,
        [rows, columns]: &[Along; 2],
        map: &[T],
        width: usize,
        out: &mut [T],
        stop: &StopFlag,
    ) {
        let samples = rows.count * columns.count;
        let scale = T::of(1.0 / samples.max(1.0));
        for (bin, to) in out.iter_mut().enumerate() {
            let (ys, xs) = (&rows.bins[bin / self.out[1]], &columns.bins[bin % self.out[1]]);
            // A sample beside the map is 0.
            let outside = ((ys.len() * xs.len()) as f64) < samples;
            let mut sum = T::default();
            let mut max = if outside { Some(T::default()) } else { None };
            for y in ys {
                if stop.is_set() {
                    return;
                }
                for x in xs {
                    let at = |row: usize, column: usize| map[row * width + column];
                    let four = [
                        at(y.low, x.low) * T::of((1.0 - y.part) * (1.0 - x.part)),
                        at(y.low, x.high) * T::of((1.0 - y.part) * x.part),
                        at(y.high, x.low) * T::of(y.part * (1.0 - x.part)),
                        at(y.high, x.high) * T::of(y.part * x.part),
                    ];
                    if self.max {
                        // The greatest share of a corner, as ONNX has it.
                        four.into_iter().for_each(|v| max = Some(max.filter(|m| *m >= v).unwrap_or(v)));
                    } else {
                        four.into_iter().for_each(|v| sum += v);
                    }
                }
            }
            *to = if self.max { max.unwrap_or_default() } else { sum * scale };
        }
    }
}

fn along(start: f64, length: f64, bins: usize, samples: usize, size: usize) -> Along {
    let bin = length / bins as f64;
    let count = if samples > 0 { samples as f64 } else { bin.ceil().max(0.0) };
    let step = bin / count;
    let of_bin = |index: usize| {
        let first = start + index as f64 * bin;
        // Only what lies on the map is looked at, however far the region reaches.
        let at = |y: f64| ((y - first) / step - 0.5).clamp(0.0, count);
        let (low, high) = (at(-1.0), at(size as f64));
        let (low, high) = if low <= high { (low, high) } else { (high, low) };
        if !(low.is_finite() && high.is_finite()) {
            return Vec::new();
        }
        (low.floor() as u64..(high.ceil() as u64 + 1).min(count as u64))
            .filter_map(|i| sample(first + (i as f64 + 0.5) * step, size))
            .collect()
    };
    Along { bins: (0..bins).map(of_bin).collect(), count: if count.is_finite() { count } else { 0.0 } }
}

/// `None` where the point lies more than a pixel beside the map.
fn sample(at: f64, size: usize) -> Option<Sample> {
    if !(-1.0..=size as f64).contains(&at) {
        return None;
    }
    let at = at.max(0.0);
    let low = at as usize;
    Some(if low >= size - 1 {
        Sample { low: size - 1, high: size - 1, part: 0.0 }
    } else {
        Sample { low, high: low + 1, part: at - low as f64 }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_far_beyond_the_map_cost_no_more_than_the_map() {
        let side = along(-1e12, 2e12, 1, 0, 8);
        assert_eq!(side.count, 2e12);
        assert!(side.bins[0].len() <= 12, "{}", side.bins[0].len());
        for odd in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert!(along(odd, 1.0, 2, 0, 8).bins.iter().all(Vec::is_empty));
            assert!(along(0.0, odd, 2, 0, 8).bins.iter().all(Vec::is_empty));
        }
    }

    #[test]
    fn samples_lie_in_the_middle_of_their_parts() {
        let side = along(0.0, 4.0, 2, 2, 8);
        let at = |s: &Sample| s.low as f64 + s.part;
        let all: Vec<f64> = side.bins.iter().flatten().map(at).collect();
        assert_eq!(all, [0.5, 1.5, 2.5, 3.5]);
    }
}
