//! The elements of tensors as numbers, and tensors from numbers. Pure.

use super::shape::room;
pub(super) use crate::tensor::cells::for_element;
pub use crate::tensor::cells::{cells as elements, tensor};
use crate::tensor::{DType, Tensor};
use std::sync::Arc;

/// A number of one of the types that tensors have.
pub trait Number: bytemuck::Pod + PartialOrd + Send + Sync {
    /// As a float; 64-bit integers beyond 2^53 are rounded.
    fn float(self) -> f64;
    /// As an integer; a float loses its fraction.
    fn integer(self) -> i128;
    /// The nearest number of this type to a float, or to an integer the one of its lowest bits.
    fn of_float(value: f64) -> Self;
    fn of_integer(value: i128) -> Self;
}

macro_rules! integers {
    ($($t:ty),*) => { $(impl Number for $t {
        fn float(self) -> f64 { self as f64 }
        fn integer(self) -> i128 { self.into() }
        fn of_float(value: f64) -> Self { value as $t }
        fn of_integer(value: i128) -> Self { value as $t }
    })* };
}
integers!(i8, i16, i32, i64, u8, u16, u32, u64);

macro_rules! floats {
    ($($t:ty, $of_float:expr, $of_integer:expr);*) => { $(impl Number for $t {
        fn float(self) -> f64 { self.into() }
        fn integer(self) -> i128 { f64::from(self) as i128 }
        fn of_float(value: f64) -> Self { $of_float(value) }
        fn of_integer(value: i128) -> Self { $of_integer(value) }
    })* };
}
floats!(f32, |v| v as f32, |v| v as f32; f64, |v| v, |v| v as f64;
    half::f16, half::f16::from_f64, |v| half::f16::from_f64(v as f64);
    half::bf16, half::bf16::from_f64, |v| half::bf16::from_f64(v as f64));

/// A tensor of floats, each the nearest of the dtype. REQUIRES a dtype of numbers.
pub fn of_floats(
    dtype: DType,
    shape: Vec<usize>,
    floats: impl IntoIterator<Item = f64>,
) -> Result<Tensor, String> {
    room(dtype, &shape)?;
    for_element!(dtype, T => {
        let elements: Vec<T> = floats.into_iter().map(<T as Number>::of_float).collect();
        tensor(dtype, shape, elements)
    })
}

/// Refuses elements that are no numbers.
pub fn numbers(tensor: &Tensor) -> Result<(), String> {
    match tensor.dtype() {
        dtype if dtype.is_number() => Ok(()),
        dtype => Err(format!("it computes with numbers, and this is {dtype}")),
    }
}

/// The elements as `f64`, of floats alone.
pub fn floats(tensor: &Tensor) -> Result<Vec<f64>, String> {
    match tensor.dtype() {
        dtype if dtype.is_float() => Ok(tensor.to_f64()),
        dtype => Err(format!("it computes with floats, and this is {dtype}")),
    }
}

/// A tensor that is put together from stretches of others, whatever their elements are.
pub struct Pieces {
    dtype: DType,
    shape: Vec<usize>,
    given: Given,
}

enum Given {
    Bytes(Vec<u8>),
    Text(Vec<Arc<str>>),
}

impl Pieces {
    pub fn new(dtype: DType, shape: Vec<usize>) -> Result<Self, String> {
        let count = room(dtype, &shape)?;
        let given = match dtype {
            DType::String => Given::Text(Vec::with_capacity(count)),
            _ => Given::Bytes(Vec::with_capacity(count * dtype.size())),
        };
        Ok(Self { dtype, shape, given })
    }

    /// Adds `count` elements from `start` on. REQUIRES a tensor of the same dtype that has them.
    pub fn push(&mut self, from: &Tensor, start: usize, count: usize) {
        let size = self.dtype.size();
        match &mut self.given {
            Given::Bytes(bytes) => bytes.extend_from_slice(&from.bytes()[start * size..][..count * size]),
            Given::Text(texts) => {
                texts.extend_from_slice(&from.strings().unwrap_or_default()[start..][..count]);
            }
        }
    }

    pub fn finish(self) -> Result<Tensor, String> {
        let made = match self.given {
            Given::Bytes(bytes) => Tensor::from_bytes(self.dtype, self.shape, bytes.into()),
            Given::Text(texts) => Tensor::from_strings(self.shape, texts),
        };
        made.map_err(|error| error.to_string())
    }
}
