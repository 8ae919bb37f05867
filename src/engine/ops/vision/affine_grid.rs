//! AffineGrid: the points of a regular grid under affine maps, as GridSample reads them.

use crate::engine::backend::Kernels;
use crate::engine::host;
use crate::engine::ops::real::{for_real, from_reals};
use crate::engine::ops::{BoxOp, Context, Inputs, Site, one};
use crate::engine::value::Value;

/// theta `[N, 2, 3]` and size N, C, H, W give `[N, H, W, 2]`; one axis more in three dimensions.
pub fn build<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let align = site.node.attributes.flag("align_corners")?;
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        let theta = inputs.take(0)?.into_host()?;
        let size = inputs.ints(1)?;
        let size = size.iter().map(|d| usize::try_from(*d).map_err(|_| format!("{size:?} is not a size")));
        let size = size.collect::<Result<Vec<_>, _>>()?;
        let spatial = size.get(2..).filter(|s| s.len() == 2 || s.len() == 3);
        let spatial = spatial.ok_or_else(|| format!("size is {size:?}, not of an image or a volume"))?;
        let axes = spatial.len();
        if theta.shape() != [size[0], axes, axes + 1] {
            return Err(format!("theta {theta:?} for a size {size:?}").into());
        }
        let dims = [&[size[0]], spatial, &[axes]].concat();
        cx.check(theta.dtype(), &dims)?;
        for size in spatial {
            cx.work::<f64>(*size)?;
        }
        cx.work::<f64>(host::count(&dims)?)?;
        let along: Vec<Vec<f64>> = spatial.iter().map(|d| positions(*d, align)).collect();
        let maps = theta.to_f64();
        let points = host::count(spatial)?;
        let mut grid = host::room(host::count(&dims)?)?;
        for map in maps.chunks(axes * (axes + 1)) {
            for point in 0..points {
                if point % (1 << 12) == 0 {
                    cx.run.go_on()?;
                }
                // The last spatial axis comes first, and a 1 last.
                let mut rest = point;
                let mut at = [0.0, 0.0, 0.0, 1.0];
                for axis in (0..axes).rev() {
                    at[axes - 1 - axis] = along[axis][rest % spatial[axis]];
                    rest /= spatial[axis];
                }
                at[axes] = 1.0;
                grid.extend(
                    map.chunks(axes + 1).map(|row| row.iter().zip(&at).map(|(m, v)| m * v).sum::<f64>()),
                );
            }
        }
        let dtype = theta.dtype();
        one(Value::Host(for_real!(dtype, T => {
            from_reals(dtype, dims, grid.into_iter().map(|v| v as T).collect())?
        })))
    }))
}

/// Positions from -1 to 1: of the pixels' centres, or, with aligned corners, of the first to the last.
fn positions(size: usize, align: bool) -> Vec<f64> {
    let n = size as f64;
    let at = |i: usize| match (align, size) {
        (true, 1) => -1.0,
        (true, _) => -1.0 + 2.0 * i as f64 / (n - 1.0),
        (false, _) => (2.0 * i as f64 + 1.0) / n - 1.0,
    };
    (0..size).map(at).collect()
}
