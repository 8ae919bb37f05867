//! Elements of host tensors: what shape arithmetic needs, and operators that are about moving or comparing
//! elements rather than about speed.

use super::onnx;
pub use super::shape::{count, strides};
pub use super::walk::{Looks, Walk, broadcast_indices, runs, walk};
pub(crate) use crate::tensor::cells::for_element;
pub use crate::tensor::cells::{cells, tensor};
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

/// Room for so many elements, or an error where there is none.
pub fn room<T>(len: usize) -> Result<Vec<T>, String> {
    let mut room = Vec::new();
    room.try_reserve_exact(len).map_err(|_| format!("there is no memory for {len} elements"))?;
    Ok(room)
}

/// All items, or an error where there is no memory for them, or the run is to end.
pub fn collected<T>(items: impl ExactSizeIterator<Item = T>) -> Result<Vec<T>, String> {
    let mut collected = room(items.len())?;
    let mut looks = Looks::default();
    for item in items {
        looks.look()?;
        collected.push(item);
    }
    Ok(collected)
}

/// That many elements which are all alike, or an error where there is no memory for them.
pub fn filled<T: Clone>(value: T, len: usize) -> Result<Vec<T>, String> {
    let mut filled = room(len)?;
    while filled.len() < len {
        Looks::look_now()?;
        filled.resize(len.min(filled.len() + super::walk::LOOK), value.clone());
    }
    Ok(filled)
}

/// Reads the elements of a tensor as numbers, one at a time.
#[derive(Clone, Copy)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    size: usize,
    read: Read,
}

#[derive(Clone, Copy)]
enum Read {
    Cell(fn(&[u8]) -> Number),
    Code(SmallFloat),
}

impl<'a> Reader<'a> {
    /// One without elements where they are strings.
    pub fn new(tensor: &'a Tensor) -> Self {
        fn cell<T: Cell>(bytes: &[u8]) -> Number {
            bytemuck::pod_read_unaligned::<T>(bytes).number()
        }
        let read = match tensor.dtype().small_float() {
            Some(format) => Read::Code(format),
            None => Read::Cell(for_element!(tensor.dtype(), T => cell::<T>)),
        };
        Self { bytes: tensor.bytes(), size: tensor.dtype().size(), read }
    }

    pub fn len(&self) -> usize {
        self.bytes.len() / self.size
    }

    /// REQUIRES an index within it.
    pub fn at(&self, index: usize) -> Number {
        let bytes = &self.bytes[index * self.size..][..self.size];
        match self.read {
            Read::Cell(read) => read(bytes),
            Read::Code(format) => Number::Float(format.decode(bytes[0])),
        }
    }
}

/// The elements as numbers; none where they are strings. They end early where the run of the thread is to end.
pub fn numbers(t: &Tensor) -> impl ExactSizeIterator<Item = Number> + Clone + '_ {
    let reader = Reader::new(t);
    walk(&[reader.len()], &[1], 0).map(move |index| reader.at(index))
}

/// Makes a tensor of numbers, one at a time.
pub struct Writer {
    dtype: DType,
    size: usize,
    bytes: Vec<u8>,
    write: Write,
}

enum Write {
    Bool,
    /// The bytes of an element come first.
    Cell(fn(Number) -> [u8; 8]),
    Code(Box<dyn Fn(Number) -> u8>),
}

impl Writer {
    /// One without elements, and with room for so many.
    fn new(dtype: DType, len: usize) -> Result<Self, String> {
        fn cell<T: Cell>(number: Number) -> [u8; 8] {
            let mut bytes = [0; 8];
            bytes[..size_of::<T>()].copy_from_slice(bytemuck::bytes_of(&T::from_number(number)));
            bytes
        }
        let write = match small_code(dtype, true, Rounding::Up) {
            _ if dtype == DType::Bool => Write::Bool,
            Some(code) => Write::Code(Box::new(code)),
            None => Write::Cell(for_element!(dtype, T => cell::<T>)),
        };
        let bytes = len.checked_mul(dtype.size()).ok_or("there is no memory for so many elements")?;
        Ok(Self { dtype, size: dtype.size(), bytes: room(bytes)?, write })
    }

    /// One with so many zeros, to be written over in any order.
    pub fn zeros(dtype: DType, len: usize) -> Result<Self, String> {
        let mut writer = Self::new(dtype, len)?;
        writer.bytes.resize(len * writer.size, 0);
        Ok(writer)
    }

    fn encoded(&self, number: Number) -> [u8; 8] {
        let code = |code| [code, 0, 0, 0, 0, 0, 0, 0];
        match &self.write {
            Write::Bool => code((number.as_f64() != 0.0).into()),
            Write::Cell(write) => write(number),
            Write::Code(encode) => code(encode(number)),
        }
    }

    fn push(&mut self, number: Number) {
        let bytes = self.encoded(number);
        self.bytes.extend_from_slice(&bytes[..self.size]);
    }

    /// REQUIRES an index of an element that is there.
    pub fn put(&mut self, index: usize, number: Number) {
        let bytes = self.encoded(number);
        self.bytes[index * self.size..][..self.size].copy_from_slice(&bytes[..self.size]);
    }

    pub fn finish(self, shape: Vec<usize>) -> Result<Tensor, String> {
        Tensor::from_bytes(self.dtype, shape, Bytes::from(self.bytes)).map_err(|e| e.to_string())
    }
}

pub fn from_numbers(
    dtype: DType,
    shape: Vec<usize>,
    numbers: impl IntoIterator<Item = Number>,
) -> Result<Tensor, String> {
    try_from_numbers(dtype, shape, numbers.into_iter().map(Ok))
}

/// Makes a tensor as [`from_numbers`] does, where a number may turn out to be an error.
pub fn try_from_numbers<E: From<String>>(
    dtype: DType,
    shape: Vec<usize>,
    numbers: impl IntoIterator<Item = Result<Number, E>>,
) -> Result<Tensor, E> {
    let mut writer = Writer::new(dtype, count(&shape)?)?;
    let mut looks = Looks::default();
    for number in numbers {
        looks.look()?;
        writer.push(number?);
    }
    Ok(writer.finish(shape)?)
}

/// The function that makes a number an element of less than a byte, or a small float.
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
    from_numbers(dtype, Vec::new(), [number])
}

pub fn from_ints(ints: &[i64]) -> Result<Tensor, String> {
    tensor(DType::I64, vec![ints.len()], ints.to_vec())
}

/// The one element of a tensor of one element.
pub fn only(tensor: &Tensor) -> Result<Number, String> {
    let reader = Reader::new(tensor);
    if reader.len() == 1 { Ok(reader.at(0)) } else { Err(format!("{tensor:?} where one element should be")) }
}

/// The elements at those indices, whatever their type. REQUIRES as many indices as the shape has elements.
pub fn pick(
    t: &Tensor,
    indices: impl IntoIterator<Item = usize>,
    shape: Vec<usize>,
) -> Result<Tensor, String> {
    const OUTSIDE: &str = "an index lies outside the tensor";
    let len = count(&shape)?;
    let mut looks = Looks::default();
    if let Some(from) = t.strings() {
        let mut picked = room(len)?;
        for index in indices {
            looks.look()?;
            picked.push(from.get(index).ok_or(OUTSIDE)?.clone());
        }
        return texts(shape, picked);
    }
    macro_rules! by_size {
        ($cell:ty) => {{
            let from = cells::<$cell>(t);
            let mut picked = room(len)?;
            for index in indices {
                looks.look()?;
                picked.push(*from.get(index).ok_or(OUTSIDE)?);
            }
            tensor::<$cell>(t.dtype(), shape, picked)
        }};
    }
    // What an element is does not matter, but for its size.
    match t.dtype().size() {
        8 => by_size!(u64),
        4 => by_size!(u32),
        2 => by_size!(u16),
        _ => by_size!(u8),
    }
}

/// The dtype of an ONNX element type, or an error that names it.
pub fn dtype_of(code: i64) -> Result<DType, String> {
    let code = i32::try_from(code).map_err(|_| format!("{code} is not an element type"))?;
    onnx::element::dtype(code).ok_or_else(|| format!("{} is not supported", onnx::element::type_name(code)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_go_through_every_type() {
        for dtype in
            [DType::F32, DType::F64, DType::F16, DType::I8, DType::I64, DType::U8, DType::U64, DType::I4]
        {
            let tensor = from_numbers(dtype, vec![3], [0, 1, 7].map(Number::Int)).unwrap();
            assert_eq!(numbers(&tensor).map(Number::as_f64).collect::<Vec<_>>(), [0.0, 1.0, 7.0], "{dtype}");
            let picked = pick(&tensor, [2, 0], vec![2]).unwrap();
            assert_eq!(picked.to_f64(), [7.0, 0.0]);
        }
        assert!(from_numbers(DType::I64, vec![4], [Number::Int(1)]).is_err());
        assert!(from_numbers(DType::I64, vec![1 << 62], []).is_err(), "there is no memory for it");
        assert!(pick(&from_ints(&[1]).unwrap(), [1], vec![1]).is_err());
    }
}
