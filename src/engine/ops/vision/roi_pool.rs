//! MaxRoiPool: the greatest pixel of each bin of a region.

use crate::engine::backend::Kernels;
use crate::engine::host;
use crate::engine::ops::real::{for_real, from_reals, reals};
use crate::engine::ops::{BoxOp, Context, Inputs, Site, one};
use crate::engine::value::Value;

/// More bins along a side are taken for a mistake.
const MOST: i64 = 4096;

pub fn build<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let attributes = &site.node.attributes;
    let scale = f64::from(attributes.float("spatial_scale", 1.0)?);
    let pooled = match attributes.find_ints("pooled_shape")?.map(Vec::as_slice) {
        Some([rows, columns]) if (1..=MOST).contains(rows) && (1..=MOST).contains(columns) => {
            [*rows as usize, *columns as usize]
        }
        other => return Err(format!("pooled_shape is {other:?}")),
    };
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        let x = inputs.take(0)?.into_host()?;
        let rois = inputs.take(1)?.into_host()?;
        let ([batch, channels, height, width], [count, 5]) = (x.shape(), rois.shape()) else {
            return Err(format!("{x:?} and regions {rois:?} do not go together").into());
        };
        let (height, width, dtype) = (*height, *width, x.dtype());
        let dims = vec![*count, *channels, pooled[0], pooled[1]];
        cx.check(dtype, &dims)?;
        for_real!(dtype, T => cx.work::<T>(host::count(&dims)?.saturating_add(x.len()))?);
        let rois = rois.to_f64();
        one(Value::Host(for_real!(dtype, T => {
            let pixels = reals::<T>(&x);
            let mut out: Vec<T> = host::room(host::count(&dims)?)?;
            for roi in rois.chunks(5) {
                cx.run.go_on()?;
                let image = roi[0] as usize;
                if roi[0] < 0.0 || image >= *batch {
                    return Err(format!("{} is not one of {batch}", roi[0]).into());
                }
                let (rows, columns) = (
                    bins(roi[2] * scale, roi[4] * scale, pooled[0], height),
                    bins(roi[1] * scale, roi[3] * scale, pooled[1], width),
                );
                for channel in 0..*channels {
                    let map = &pixels[(image * channels + channel) * height * width..][..height * width];
                    for row in &rows {
                        for column in &columns {
                            let all = row.clone().flat_map(|y| &map[y * width..][column.clone()]);
                            let max = all.copied().reduce(|a, b| if b > a { b } else { a });
                            out.push(max.unwrap_or_default());
                        }
                    }
                }
            }
            from_reals(dtype, dims, out)?
        })))
    }))
}

/// The pixels of each bin along one axis; both ends of the region belong to it.
fn bins(start: f64, end: f64, count: usize, size: usize) -> Vec<std::ops::Range<usize>> {
    let (start, end) = (start.round(), end.round());
    let step = (end - start + 1.0).max(1.0) / count as f64;
    let within = |v: f64| v.clamp(0.0, size as f64) as usize;
    (0..count)
        .map(|i| {
            let first = within((i as f64 * step).floor() + start);
            first..within(((i + 1) as f64 * step).ceil() + start).max(first)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn bins_cover_the_region_and_stay_on_the_map() {
        assert_eq!(super::bins(0.0, 3.0, 2, 8), [0..2, 2..4]);
        assert_eq!(super::bins(6.0, 11.0, 2, 8), [6..8, 8..8]);
        assert_eq!(super::bins(f64::NAN, 1.0, 1, 8).len(), 1);
    }
}
