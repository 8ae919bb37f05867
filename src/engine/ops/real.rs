//! Numbers that operators on the host compute with.

use crate::engine::host::{Cell, cells, for_element, tensor};
use crate::tensor::{DType, Tensor};
use std::ops::{Add, AddAssign, Mul};

/// The type that samples are computed in: double precision for float64, single for every other type.
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
pub fn reals<T: Real>(t: &Tensor) -> Vec<T> {
    for_element!(t.dtype(), E => cells::<E>(t).iter().map(|v| T::from_number(v.number())).collect())
}

/// A tensor of that type from reals.
pub fn from_reals<T: Real>(dtype: DType, dims: Vec<usize>, reals: Vec<T>) -> Result<Tensor, String> {
    if dtype == DType::Bool {
        return Err("bool where a float should be".into());
    }
    for_element!(dtype, E => tensor::<E>(dtype, dims, reals.into_iter().map(|v| E::from_number(v.number())).collect()))
}
