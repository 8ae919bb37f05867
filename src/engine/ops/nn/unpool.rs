//! MaxPool with the places of what it found, and MaxUnpool, which puts it back there. On the host.

use super::window::{Slide, Window};
use crate::engine::backend::Kernels;
use crate::engine::host::{self, for_element};
use crate::engine::ops::{BoxOp, Context, Inputs, OpError, Site, one};
use crate::engine::value::Value;
use crate::tensor::{DType, Tensor};

/// The maxima and their indices in the flattened input: row after row, or with `storage_order` 1 column after
/// column.
pub fn max_with_places<B: Kernels>(site: &Site<'_, B>, window: Window) -> Result<BoxOp<B>, String> {
    let kernel = window.kernel.clone().ok_or("attribute \"kernel_shape\" is missing")?;
    let columns_first = site.node.attributes.flag("storage_order")?;
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        let x = inputs.take(0)?.into_host()?;
        let [_, _, spatial @ ..] = x.shape() else { return Err(format!("{x:?} has no spatial axes").into()) };
        let slides = window.slides(spatial, &kernel)?;
        let mut dims = x.shape()[..2].to_vec();
        dims.extend(slides.iter().map(|s| s.out));
        // The values, the places, and where they lie, before and after they are turned.
        cx.check(x.dtype(), &dims)?;
        cx.check(DType::I64, &dims)?;
        cx.work::<[usize; 2]>(host::count(&dims)?)?;
        for slide in &slides {
            cx.work::<[usize; 3]>(slide.out)?;
            cx.work::<usize>(slide.out.saturating_mul(slide.kernel.min(spatial_most(spatial))))?;
        }
        if x.is_empty() && !dims.contains(&0) {
            return Err(format!("{x:?} is empty").into());
        }
        let offsets = maxima(&x, &slides, cx)?;
        let places = if columns_first { by_columns(&offsets, spatial) } else { offsets.clone() };
        let places = places.into_iter().map(|at| at as i64).collect();
        let values = host::pick(&x, offsets.iter().copied(), dims.clone())?;
        Ok(vec![Value::Host(values), Value::Host(host::tensor(DType::I64, dims, places)?)])
    }))
}

/// The longest of the axes.
fn spatial_most(spatial: &[usize]) -> usize {
    spatial.iter().copied().max().unwrap_or(1)
}

/// Where the greatest element of each window lies; the first of several.
fn maxima<B: Kernels>(x: &Tensor, slides: &[Slide], cx: &Context<B>) -> Result<Vec<usize>, OpError> {
    let spatial = &x.shape()[2..];
    let strides = host::strides(spatial);
    // For each axis and each window along it, the offsets of its elements that are not in the pads.
    let along: Vec<Vec<Vec<usize>>> = slides
        .iter()
        .enumerate()
        .map(|(axis, slide)| {
            let inside = slide.pads.0..slide.pads.0 + spatial[axis];
            let window = |out: usize| {
                let at = |k: usize| (out * slide.stride + k * slide.dilation - slide.pads.0) * strides[axis];
                slide.taps(out, inside.clone()).map(at).collect()
            };
            (0..slide.out).map(window).collect()
        })
        .collect();
    let plane: usize = spatial.iter().product();
    let outs: Vec<usize> = slides.iter().map(|s| s.out).collect();
    let windows: usize = outs.iter().product();
    let mut found = host::room(x.len().checked_div(plane).unwrap_or(0).saturating_mul(windows))?;
    for_element!(x.dtype(), T => {
        let cells = host::cells::<T>(x);
        let mut offsets: Vec<usize> = Vec::new();
        for start in (0..cells.len()).step_by(plane.max(1)) {
            for window in 0..windows {
                cx.run.go_on()?;
                offsets.clear();
                offsets.push(start);
                let mut rest = window;
                for axis in (0..outs.len()).rev() {
                    let steps = &along[axis][rest % outs[axis]];
                    rest /= outs[axis];
                    offsets = offsets.iter().flat_map(|at| steps.iter().map(move |s| at + s)).collect();
                }
                offsets.sort_unstable();
                // What is not a number loses to every number.
                let is_none = |at: usize| cells[at].partial_cmp(&cells[at]).is_none();
                let wins = |b: usize, a: usize| cells[b] > cells[a] || (is_none(a) && !is_none(b));
                let best = offsets.iter().copied().reduce(|a, b| if wins(b, a) { b } else { a });
                found.push(best.ok_or("a window lies in the pads alone")?);
            }
        }
    });
    Ok(found)
}

fn by_columns(offsets: &[usize], spatial: &[usize]) -> Vec<usize> {
    let plane: usize = spatial.iter().product();
    let strides = host::strides(spatial);
    let turned = |at: usize| {
        let mut step = 1;
        let mut place = 0;
        for (stride, size) in strides.iter().zip(spatial) {
            place += at % plane / stride % size * step;
            step *= size;
        }
        at / plane * plane + place
    };
    offsets.iter().map(|at| turned(*at)).collect()
}

pub fn max_unpool<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let window = Window::read(&site.node.attributes)?;
    let kernel = window.kernel.clone().ok_or("attribute \"kernel_shape\" is missing")?;
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        let x = inputs.take(0)?.into_host()?;
        let places = inputs.take(1)?.into_host()?;
        let rank = kernel.len();
        if places.shape() != x.shape() || x.shape().len() != rank + 2 {
            return Err(format!("{x:?} and places {places:?} for a window {kernel:?}").into());
        }
        // The size that such a pool would have had before.
        let mut dims = x.shape()[..2].to_vec();
        for (axis, kernel) in kernel.iter().enumerate() {
            let (before, after) = window.given_pads(axis, rank)?;
            let size = x.shape()[axis + 2].saturating_sub(1).checked_mul(window.stride(axis, rank)?);
            let size = size.and_then(|size| size.checked_add(*kernel)?.checked_sub(before + after));
            dims.push(size.ok_or("its pads are larger than what they pad")?);
        }
        cx.check(x.dtype(), &dims)?;
        let total: usize = dims.iter().product();
        let out = match inputs.optional_ints(2)? {
            None => dims.clone(),
            Some(given) => {
                let given: Option<Vec<usize>> = given.iter().map(|d| usize::try_from(*d).ok()).collect();
                given
                    .filter(|g| g.len() == dims.len() && g.iter().zip(&dims).all(|(g, d)| g >= d))
                    .ok_or_else(|| format!("output_shape for {dims:?}"))?
            }
        };
        cx.check(x.dtype(), &out)?;
        cx.work::<[usize; 2]>(places.len())?;
        let at = crate::engine::ops::ints(&places)?;
        let at = at.iter().map(|i| usize::try_from(*i).ok().filter(|i| *i < total));
        let at = at.collect::<Option<Vec<_>>>().ok_or("a place lies outside the result")?;
        // Where the smaller result lies in that which was asked for.
        let (own, wide) = (host::strides(&dims), host::strides(&out));
        let corner = |place: usize| -> usize {
            let axes = own.iter().zip(&dims).zip(&wide);
            axes.map(|((own, dim), wide)| place / own % dim * wide).sum()
        };
        one(Value::Host(for_element!(x.dtype(), T => {
            let mut cells: Vec<T> = host::filled(bytemuck::Zeroable::zeroed(), host::count(&out)?)?;
            for (place, v) in at.into_iter().zip(host::cells::<T>(&x).iter()) {
                cells[corner(place)] = *v;
            }
            host::tensor::<T>(x.dtype(), out, cells)?
        })))
    }))
}

#[cfg(test)]
mod tests {
    #[test]
    fn places_count_by_rows_or_by_columns() {
        // [2, 3] planes: (1, 2) of the second.
        assert_eq!(super::by_columns(&[11, 1], &[2, 3]), [11, 2]);
    }
}
