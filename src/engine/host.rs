//! Elements of host tensors: what shape arithmetic needs, and operators that are about moving or comparing
//! elements rather than about speed.

use super::onnx;
use crate::tensor::{DType, Rounding, SmallFloat, Tensor};
use bytes::Bytes;
use half::{bf16, f16};
use std::sync::Arc;

/// A number as the host computes with it: integers exactly, floats in double precision.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub enum Number {
    Int(i128),
    Float(f64),
}

impl Number {
    pub fn as_f64(self) -> f64 {
        match self {
            Self::Int(v) => v as f64,
            Self::Float(v) => v,
        }
    }

    /// Towards zero, saturating; NaN is 0.
    pub fn as_i64(self) -> i64 {
        match self {
            Self::Int(v) => v as i64,
            Self::Float(v) => v as i64,
        }
    }
}

/// Runs a body with `T` standing for the Rust type of a dtype: `u8` for bool, and for small floats, whose codes
/// these are. Strings have no such type; a body must not meet them, or else finds no elements.
macro_rules! for_element {
    ($dtype:expr, $t:ident => $body:expr) => {
        match $dtype {
            $crate::tensor::DType::F32 => {
                type $t = f32;
                $body
            }
            $crate::tensor::DType::F64 => {
                type $t = f64;
                $body
            }
            $crate::tensor::DType::F16 => {
                type $t = half::f16;
                $body
            }
            $crate::tensor::DType::BF16 => {
                type $t = half::bf16;
                $body
            }
            $crate::tensor::DType::I8 | $crate::tensor::DType::I4 | $crate::tensor::DType::I2 => {
                type $t = i8;
                $body
            }
            $crate::tensor::DType::I16 => {
                type $t = i16;
                $body
            }
            $crate::tensor::DType::I32 => {
                type $t = i32;
                $body
            }
            $crate::tensor::DType::I64 => {
                type $t = i64;
                $body
            }
            $crate::tensor::DType::U16 => {
                type $t = u16;
                $body
            }
            $crate::tensor::DType::U32 => {
                type $t = u32;
                $body
            }
            $crate::tensor::DType::U64 => {
                type $t = u64;
                $body
            }
            _ => {
                type $t = u8;
                $body
            }
        }
    };
}
pub(crate) use for_element;

/// An element type as seen from [`Number`].
pub trait Cell: bytemuck::Pod + PartialOrd + Send + Sync {
    fn number(self) -> Number;
    /// Integers wrap, as a cast in C does; a float becomes the nearest float, or loses its fraction.
    fn from_number(number: Number) -> Self;
}

macro_rules! int_cells {
    ($($t:ty),*) => { $(impl Cell for $t {
        fn number(self) -> Number { Number::Int(self as i128) }
        fn from_number(number: Number) -> Self {
            match number { Number::Int(v) => v as $t, Number::Float(v) => truncated(v, <$t>::MAX.into()) as $t }
        }
    })* };
}
int_cells!(i8, i16, i32, i64, u8, u16, u32, u64);

/// A float without its fraction as an integer of a type, whose lowest bits the result has.
///
/// ONNX says nothing of what the type does not hold. It is as processors of the x86 family convert it, and with them
/// ONNX Runtime and NumPy: in 32 bits for the types that fit, else in 64; NaN and what is too large become the lowest
/// integer of that width.
fn truncated(v: f64, highest: i128) -> i128 {
    const WORD: f64 = 2_147_483_648.0;
    const LONG: f64 = 9_223_372_036_854_775_808.0;
    if highest <= i32::MAX.into() {
        return if v > -WORD - 1.0 && v < WORD { v as i128 } else { i32::MIN.into() };
    }
    if highest == u32::MAX.into() && (v.is_nan() || v <= -WORD - 1.0) {
        return i32::MIN.into();
    }
    if highest == u64::MAX.into() && v >= LONG {
        return if v < 2.0 * LONG { v as i128 } else { 0 };
    }
    if (-LONG..LONG).contains(&v) { v as i128 } else { i64::MIN.into() }
}

macro_rules! float_cells {
    ($($t:ty, $from:expr, $int:expr, $to:expr);*) => { $(impl Cell for $t {
        fn number(self) -> Number { Number::Float($to(self)) }
        fn from_number(number: Number) -> Self {
            match number { Number::Int(v) => $int(v), Number::Float(v) => $from(v) }
        }
    })* };
}
float_cells!(f32, |v| v as f32, |v| v as f32, f64::from; f64, |v| v, |v| v as f64, |v| v;
    f16, f16::from_f64, |v| f16::from_f64(v as f64), f64::from;
    bf16, bf16::from_f64, |v| bf16::from_f64(v as f64), f64::from);

/// The elements of a tensor as one Rust type. REQUIRES the type of its dtype.
pub fn cells<T: Cell>(tensor: &Tensor) -> Vec<T> {
    bytemuck::pod_collect_to_vec(tensor.bytes())
}

/// A tensor from elements. REQUIRES the type of the dtype, and as many elements as the shape has.
pub fn tensor<T: Cell>(dtype: DType, shape: Vec<usize>, cells: Vec<T>) -> Result<Tensor, String> {
    struct Owner<T>(Vec<T>);
    impl<T: bytemuck::Pod> AsRef<[u8]> for Owner<T> {
        fn as_ref(&self) -> &[u8] {
            bytemuck::cast_slice(&self.0)
        }
    }
    Tensor::from_bytes(dtype, shape, Bytes::from_owner(Owner(cells))).map_err(|e| e.to_string())
}

/// The elements as numbers; none where they are strings.
pub fn numbers(t: &Tensor) -> Vec<Number> {
    if let Some(format) = t.dtype().small_float() {
        return t.bytes().iter().map(|code| Number::Float(format.decode(*code))).collect();
    }
    for_element!(t.dtype(), T => cells::<T>(t).into_iter().map(Cell::number).collect())
}

pub fn from_numbers(dtype: DType, shape: Vec<usize>, numbers: &[Number]) -> Result<Tensor, String> {
    if dtype == DType::Bool {
        let bools = numbers.iter().map(|n| u8::from(n.as_f64() != 0.0)).collect();
        return tensor::<u8>(dtype, shape, bools);
    }
    if let Some(code) = small_code(dtype, true, Rounding::Up) {
        return tensor::<u8>(dtype, shape, numbers.iter().map(|n| code(*n)).collect());
    }
    for_element!(dtype, T => tensor::<T>(dtype, shape, numbers.iter().map(|n| T::from_number(*n)).collect()))
}

/// How a number becomes an element of less than a byte, or a small float.
pub fn small_code(dtype: DType, saturate: bool, rounding: Rounding) -> Option<impl Fn(Number) -> u8> {
    let format = dtype.small_float();
    let bits = dtype.bits().filter(|bits| *bits < 8);
    if format.is_none() && bits.is_none() {
        return None;
    }
    let signed = matches!(dtype, DType::I4 | DType::I2);
    let unused = 8 - bits.unwrap_or(8) as u32;
    Some(move |number: Number| match format {
        Some(SmallFloat::E8M0) => SmallFloat::encode_power(number.as_f64(), saturate, rounding),
        Some(format) => format.encode(number.as_f64(), saturate),
        // The lowest bits, as integers of other widths keep them.
        None if signed => (i8::from_number(number) << unused >> unused) as u8,
        None => u8::from_number(number) << unused >> unused,
    })
}

/// A tensor of strings.
pub fn texts(shape: Vec<usize>, strings: Vec<Arc<str>>) -> Result<Tensor, String> {
    Tensor::from_strings(shape, strings).map_err(|e| e.to_string())
}

/// The elements, which must be strings.
pub fn strings(tensor: &Tensor) -> Result<&[Arc<str>], String> {
    tensor.strings().ok_or_else(|| format!("{tensor:?} where strings should be"))
}

pub fn scalar(dtype: DType, number: Number) -> Result<Tensor, String> {
    from_numbers(dtype, Vec::new(), &[number])
}

pub fn from_ints(ints: &[i64]) -> Result<Tensor, String> {
    tensor(DType::I64, vec![ints.len()], ints.to_vec())
}

/// The one element of a tensor of one element.
pub fn only(tensor: &Tensor) -> Result<Number, String> {
    match numbers(tensor)[..] {
        [number] => Ok(number),
        _ => Err(format!("{tensor:?} where one element should be")),
    }
}

/// Elements between two along each axis, in C order.
pub fn strides(dims: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; dims.len()];
    for axis in (1..dims.len()).rev() {
        strides[axis - 1] = strides[axis] * dims[axis].max(1);
    }
    strides
}

/// The index of the element that broadcasts to each element of the larger shape, in C order.
///
/// REQUIRES that `from` broadcasts to `dims`.
pub fn broadcast_indices(from: &[usize], dims: &[usize]) -> Vec<usize> {
    let skip = dims.len() - from.len();
    let own = strides(from);
    let steps: Vec<usize> = (0..dims.len())
        .map(|axis| if axis < skip || from[axis - skip] == 1 { 0 } else { own[axis - skip] })
        .collect();
    walk(dims, &steps, 0)
}

/// The offsets `start + Σ index·step` over a shape, in C order.
pub fn walk(dims: &[usize], steps: &[usize], start: usize) -> Vec<usize> {
    let total: usize = dims.iter().product();
    let mut offsets = Vec::with_capacity(total);
    let mut index = vec![0usize; dims.len()];
    let mut offset = start;
    for _ in 0..total {
        offsets.push(offset);
        for axis in (0..dims.len()).rev() {
            index[axis] += 1;
            offset += steps[axis];
            if index[axis] < dims[axis] {
                break;
            }
            offset -= steps[axis] * dims[axis];
            index[axis] = 0;
        }
    }
    offsets
}

/// The elements at those indices, whatever their type.
pub fn pick(t: &Tensor, indices: &[usize], shape: Vec<usize>) -> Result<Tensor, String> {
    if let Some(from) = t.strings() {
        let picked = indices.iter().map(|i| from.get(*i).cloned()).collect::<Option<Vec<_>>>();
        return texts(shape, picked.ok_or("an index lies outside the tensor")?);
    }
    for_element!(t.dtype(), T => {
        let from = cells::<T>(t);
        let picked = indices.iter().map(|i| from.get(*i).copied()).collect::<Option<Vec<T>>>();
        tensor::<T>(t.dtype(), shape, picked.ok_or("an index lies outside the tensor")?)
    })
}

/// The dtype of an ONNX element type, or an error that names it.
pub fn dtype_of(code: i64) -> Result<DType, String> {
    let code = i32::try_from(code).map_err(|_| format!("{code} is not an element type"))?;
    onnx::element::dtype(code).ok_or_else(|| format!("{} is not supported", onnx::element::type_name(code)))
}
