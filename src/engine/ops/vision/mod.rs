//! Sampling, regions and boxes: computed on the host, plane by plane.

mod affine_grid;
mod col2im;
mod deform_conv;
mod grid_sample;
mod roi_align;
mod roi_pool;
mod suppress;

use super::Registry;
use crate::engine::backend::Accelerator;
use crate::engine::host::Cell;
use std::ops::{Add, AddAssign, Mul};

pub fn register<B: Accelerator>(r: &mut Registry<B>) {
    r.op("AffineGrid", 20, affine_grid::build);
    r.op("Col2Im", 18, col2im::build);
    r.op("DeformConv", 19, deform_conv::build);
    r.op("GridSample", 16, grid_sample::build);
    r.op("MaxRoiPool", 1, roi_pool::build);
    r.op("NonMaxSuppression", 10, suppress::build);
    r.op("RoiAlign", 10, roi_align::build);
}

/// What samples are computed in: double precision for float64, single for every other type.
pub trait Real:
    Cell + Default + Add<Output = Self> + Mul<Output = Self> + AddAssign + PartialOrd + Send + Sync
{
    fn of(v: f64) -> Self;
}

impl Real for f32 {
    fn of(v: f64) -> Self {
        v as f32
    }
}

impl Real for f64 {
    fn of(v: f64) -> Self {
        v
    }
}

/// Runs a body with `T` as the [`Real`] type for a dtype.
macro_rules! for_real {
    ($dtype:expr, $t:ident => $body:expr) => {
        if $dtype == $crate::tensor::DType::F64 {
            type $t = f64;
            $body
        } else {
            type $t = f32;
            $body
        }
    };
}
pub(crate) use for_real;

/// The elements as reals.
pub fn reals<T: Real>(t: &crate::tensor::Tensor) -> Vec<T> {
    use crate::engine::host::{cells, for_element};
    for_element!(t.dtype(), E => cells::<E>(t).into_iter().map(|v| T::from_number(v.number())).collect())
}

/// A tensor of that type from reals.
pub fn from_reals<T: Real>(
    dtype: crate::tensor::DType,
    dims: Vec<usize>,
    reals: Vec<T>,
) -> Result<crate::tensor::Tensor, String> {
    use crate::engine::host::{for_element, tensor};
    if dtype == crate::tensor::DType::Bool {
        return Err("bool where a float should be".into());
    }
    for_element!(dtype, E => tensor::<E>(dtype, dims, reals.into_iter().map(|v| E::from_number(v.number())).collect()))
}
