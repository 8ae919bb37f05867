//! A tensor on the host: dtype, shape and shared elements. Knows no Burn and no device.
//!
//! Elements are in C order (the last axis varies fastest), in the machine's byte order; those of less than
//! eight bits take a byte each. A clone and a slice along the first axis share the elements.

pub mod cells;
mod small;

pub use small::{Rounding, SmallFloat};

use bytes::Bytes;
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

/// An element type, by ONNX's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DType {
    F32,
    F64,
    F16,
    BF16,
    I8,
    I16,
    I32,
    I64,
    U8,
    U16,
    U32,
    U64,
    Bool,
    /// Text of any length.
    String,
    F8E4M3FN,
    F8E4M3FNUZ,
    F8E5M2,
    F8E5M2FNUZ,
    /// An exponent alone: powers of two.
    F8E8M0,
    F4E2M1,
    I4,
    U4,
    I2,
    U2,
}

impl DType {
    /// The types that files and requests may hold, as numbers.
    pub const NUMBERS: [DType; 13] = [
        Self::F32,
        Self::F64,
        Self::F16,
        Self::BF16,
        Self::I8,
        Self::I16,
        Self::I32,
        Self::I64,
        Self::U8,
        Self::U16,
        Self::U32,
        Self::U64,
        Self::Bool,
    ];

    const OTHERS: [DType; 11] = [
        Self::String,
        Self::F8E4M3FN,
        Self::F8E4M3FNUZ,
        Self::F8E5M2,
        Self::F8E5M2FNUZ,
        Self::F8E8M0,
        Self::F4E2M1,
        Self::I4,
        Self::U4,
        Self::I2,
        Self::U2,
    ];

    /// Bytes that one element takes in memory; of a string, those beside its text.
    pub fn size(self) -> usize {
        match self {
            Self::I8 | Self::U8 | Self::Bool => 1,
            Self::F8E4M3FN | Self::F8E4M3FNUZ | Self::F8E5M2 | Self::F8E5M2FNUZ | Self::F8E8M0 => 1,
            Self::F4E2M1 | Self::I4 | Self::U4 | Self::I2 | Self::U2 => 1,
            Self::String => size_of::<Arc<str>>(),
            Self::F16 | Self::BF16 | Self::I16 | Self::U16 => 2,
            Self::F32 | Self::I32 | Self::U32 => 4,
            Self::F64 | Self::I64 | Self::U64 => 8,
        }
    }

    /// The name used in pipelines, diagnostics and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "float32",
            Self::F64 => "float64",
            Self::F16 => "float16",
            Self::BF16 => "bfloat16",
            Self::I8 => "int8",
            Self::I16 => "int16",
            Self::I32 => "int32",
            Self::I64 => "int64",
            Self::U8 => "uint8",
            Self::U16 => "uint16",
            Self::U32 => "uint32",
            Self::U64 => "uint64",
            Self::Bool => "bool",
            Self::String => "string",
            Self::F8E4M3FN => "float8e4m3fn",
            Self::F8E4M3FNUZ => "float8e4m3fnuz",
            Self::F8E5M2 => "float8e5m2",
            Self::F8E5M2FNUZ => "float8e5m2fnuz",
            Self::F8E8M0 => "float8e8m0",
            Self::F4E2M1 => "float4e2m1",
            Self::I4 => "int4",
            Self::U4 => "uint4",
            Self::I2 => "int2",
            Self::U2 => "uint2",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::NUMBERS.into_iter().chain(Self::OTHERS).find(|d| d.name() == name)
    }

    /// Whether it is one of [`DType::NUMBERS`]: what models compute with, and what a device can hold.
    pub fn is_number(self) -> bool {
        Self::NUMBERS.contains(&self)
    }

    /// The format of a float of eight bits or fewer.
    pub fn small_float(self) -> Option<SmallFloat> {
        Some(match self {
            Self::F8E4M3FN => SmallFloat::E4M3FN,
            Self::F8E4M3FNUZ => SmallFloat::E4M3FNUZ,
            Self::F8E5M2 => SmallFloat::E5M2,
            Self::F8E5M2FNUZ => SmallFloat::E5M2FNUZ,
            Self::F8E8M0 => SmallFloat::E8M0,
            Self::F4E2M1 => SmallFloat::E2M1,
            _ => return None,
        })
    }

    /// Bits that one element takes in a file; `None` for a string.
    pub fn bits(self) -> Option<usize> {
        match self {
            Self::String => None,
            Self::F4E2M1 | Self::I4 | Self::U4 => Some(4),
            Self::I2 | Self::U2 => Some(2),
            other => Some(other.size() * 8),
        }
    }

    /// A float that is computed with; the smaller ones are only cast from and to.
    pub fn is_float(self) -> bool {
        matches!(self, Self::F32 | Self::F64 | Self::F16 | Self::BF16)
    }
}

impl serde::Serialize for DType {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.name())
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A Rust type that is the in-memory form of a [`DType`].
pub trait Element: bytemuck::Pod + Send + Sync {
    const DTYPE: DType;
}

macro_rules! elements {
    ($($t:ty => $d:ident),*) => { $(impl Element for $t { const DTYPE: DType = DType::$d; })* };
}
elements!(f32 => F32, f64 => F64, half::f16 => F16, half::bf16 => BF16, i8 => I8, i16 => I16, i32 => I32,
    i64 => I64, u8 => U8, u16 => U16, u32 => U32, u64 => U64);

/// The bytes do not make a tensor of that shape and dtype.
#[derive(Debug, thiserror::Error)]
#[error("{bytes} bytes do not make a {dtype} tensor of shape {shape:?}, which takes {wanted}")]
pub struct SizeMismatch {
    pub dtype: DType,
    pub shape: Vec<usize>,
    pub bytes: usize,
    /// Bytes wanted, or "more than fit in memory".
    pub wanted: String,
}

impl SizeMismatch {
    fn new(dtype: DType, shape: Vec<usize>, bytes: usize, wanted: Option<usize>) -> Self {
        let wanted = wanted.map_or("more than fit in memory".into(), |w| w.to_string());
        Self { dtype, shape, bytes, wanted }
    }
}

/// A tensor on the host. See the module's text for its layout.
#[derive(Clone)]
pub struct Tensor {
    dtype: DType,
    shape: Vec<usize>,
    data: Data,
}

#[derive(Clone)]
enum Data {
    Bytes(Bytes),
    Text { all: Arc<[Arc<str>]>, start: usize, len: usize },
}

static NO_BYTES: Bytes = Bytes::new();

impl Tensor {
    /// REQUIRES nothing: bytes that do not fit the shape are an error.
    pub fn from_bytes(dtype: DType, shape: Vec<usize>, data: Bytes) -> Result<Self, SizeMismatch> {
        match byte_len(dtype, &shape) {
            _ if dtype == DType::String => {
                Err(SizeMismatch { dtype, shape, bytes: data.len(), wanted: "text".into() })
            }
            Some(wanted) if wanted == data.len() => Ok(Self { dtype, shape, data: Data::Bytes(data) }),
            wanted => Err(SizeMismatch::new(dtype, shape, data.len(), wanted)),
        }
    }

    /// A tensor of strings. REQUIRES nothing: a number of them that does not fit the shape is an error.
    pub fn from_strings(shape: Vec<usize>, strings: Vec<Arc<str>>) -> Result<Self, SizeMismatch> {
        let (dtype, bytes) = (DType::String, strings.len().saturating_mul(DType::String.size()));
        match byte_len(dtype, &shape) {
            Some(wanted) if wanted == bytes => {
                let data = Data::Text { start: 0, len: strings.len(), all: strings.into() };
                Ok(Self { dtype, shape, data })
            }
            wanted => Err(SizeMismatch::new(dtype, shape, bytes, wanted)),
        }
    }

    /// Takes the elements over without a copy.
    pub fn from_vec<T: Element>(shape: Vec<usize>, elements: Vec<T>) -> Result<Self, SizeMismatch> {
        Self::from_bytes(T::DTYPE, shape, Bytes::from_owner(Elements(elements)))
    }

    /// A bool tensor from bytes that are each 0 or 1.
    pub fn from_bools(shape: Vec<usize>, elements: Vec<bool>) -> Result<Self, SizeMismatch> {
        let bytes: Vec<u8> = elements.into_iter().map(u8::from).collect();
        Self::from_bytes(DType::Bool, shape, Bytes::from(bytes))
    }

    pub fn dtype(&self) -> DType {
        self.dtype
    }

    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The number of elements.
    pub fn len(&self) -> usize {
        match &self.data {
            Data::Bytes(data) => data.len() / self.dtype.size(),
            Data::Text { len, .. } => *len,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The elements' bytes; none where they are strings.
    pub fn bytes(&self) -> &Bytes {
        match &self.data {
            Data::Bytes(data) => data,
            Data::Text { .. } => &NO_BYTES,
        }
    }

    /// The elements, if they are strings.
    pub fn strings(&self) -> Option<&[Arc<str>]> {
        match &self.data {
            Data::Bytes(_) => None,
            Data::Text { all, start, len } => all.get(*start..start + len),
        }
    }

    /// Bytes that it takes in memory, its text included.
    pub fn weight(&self) -> usize {
        match self.strings() {
            None => self.bytes().len(),
            Some(strings) => strings.iter().map(|s| s.len() + self.dtype.size()).sum(),
        }
    }

    /// The elements, if they are of type `T`. Copies only where the bytes lie unaligned.
    pub fn elements<T: Element>(&self) -> Option<Cow<'_, [T]>> {
        if T::DTYPE != self.dtype {
            return None;
        }
        Some(match bytemuck::try_cast_slice(self.bytes()) {
            Ok(slice) => Cow::Borrowed(slice),
            Err(_) => Cow::Owned(bytemuck::pod_collect_to_vec(self.bytes())),
        })
    }

    /// The elements as `f64`, whatever the dtype (64-bit integers beyond 2^53 are rounded, a string is read
    /// as the number that it spells, else it is NaN).
    pub fn to_f64(&self) -> Vec<f64> {
        let small = |decode: &dyn Fn(u8) -> f64| self.bytes().iter().map(|b| decode(*b)).collect();
        macro_rules! by_dtype {
            ($($d:ident => $t:ty, $f:expr);* $(;)?) => {
                match self.dtype {
                    $(DType::$d => bytemuck::pod_collect_to_vec::<u8, $t>(self.bytes())
                        .into_iter().map($f).collect(),)*
                    DType::Bool => small(&|b| f64::from(b != 0)),
                    DType::String => self.strings().unwrap_or_default().iter()
                        .map(|s| s.trim().parse().unwrap_or(f64::NAN)).collect(),
                    DType::I4 | DType::I2 => small(&|b| f64::from(b as i8)),
                    DType::U4 | DType::U2 => small(&f64::from),
                    dtype => match dtype.small_float() {
                        Some(format) => small(&|b| format.decode(b)),
                        None => Vec::new(),
                    },
                }
            };
        }
        by_dtype! {
            F32 => f32, f64::from; F64 => f64, |v| v; F16 => half::f16, f64::from; BF16 => half::bf16, f64::from;
            I8 => i8, f64::from; I16 => i16, f64::from; I32 => i32, f64::from; I64 => i64, |v| v as f64;
            U8 => u8, f64::from; U16 => u16, f64::from; U32 => u32, f64::from; U64 => u64, |v| v as f64;
        }
    }

    /// The same elements under another shape of as many elements.
    pub fn reshaped(self, shape: Vec<usize>) -> Result<Self, SizeMismatch> {
        match byte_len(self.dtype, &shape) {
            Some(wanted) if wanted == self.len() * self.dtype.size() => Ok(Self { shape, ..self }),
            wanted => Err(SizeMismatch::new(self.dtype, shape, self.len() * self.dtype.size(), wanted)),
        }
    }

    /// Row `index` along the first axis, without that axis; shares the bytes.
    ///
    /// `None` where the tensor has no first axis or no such row.
    pub fn row(&self, index: usize) -> Option<Self> {
        let (rows, rest) = self.shape.split_first()?;
        if index >= *rows {
            return None;
        }
        let data = match &self.data {
            Data::Bytes(data) => {
                let size = data.len() / rows;
                Data::Bytes(data.slice(index * size..(index + 1) * size))
            }
            Data::Text { all, start, len } => {
                let size = len / rows;
                Data::Text { all: all.clone(), start: start + index * size, len: size }
            }
        };
        Some(Self { dtype: self.dtype, shape: rest.to_vec(), data })
    }

    /// What lies at `index` along an axis, without that axis. The bytes are shared along the first axis, and
    /// copied along others.
    ///
    /// `None` where the tensor has no such axis or no such index.
    pub fn along(&self, axis: usize, index: usize) -> Option<Self> {
        if axis == 0 {
            return self.row(index);
        }
        let length = *self.shape.get(axis)?;
        if index >= length {
            return None;
        }
        let inner: usize = self.shape[axis + 1..].iter().product();
        let mut shape = self.shape.clone();
        shape.remove(axis);
        let data = match &self.data {
            Data::Bytes(data) => {
                let size = inner * self.dtype.size();
                let taken = data.chunks_exact((length * size).max(1));
                let taken: Vec<u8> = taken.flat_map(|all| &all[index * size..][..size]).copied().collect();
                Data::Bytes(taken.into())
            }
            Data::Text { all, start, len } => {
                let texts = all.get(*start..start + len)?;
                let taken = texts.chunks_exact((length * inner).max(1));
                let taken: Vec<Arc<str>> =
                    taken.flat_map(|all| &all[index * inner..][..inner]).cloned().collect();
                return Self::from_strings(shape, taken).ok();
            }
        };
        Some(Self { dtype: self.dtype, shape, data })
    }
}

impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{:?}", self.dtype, self.shape)
    }
}

/// Bytes that a tensor takes; `None` where they are more than a machine addresses.
pub fn byte_len(dtype: DType, shape: &[usize]) -> Option<usize> {
    shape
        .iter()
        .try_fold(dtype.size(), |size, dim| size.checked_mul(*dim))
        .filter(|size| *size <= isize::MAX as usize)
}

struct Elements<T>(Vec<T>);

impl<T: bytemuck::Pod> AsRef<[u8]> for Elements<T> {
    fn as_ref(&self) -> &[u8] {
        bytemuck::cast_slice(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_share_the_bytes_and_lose_the_first_axis() {
        let t = Tensor::from_vec(vec![2, 3], vec![1f32, 2., 3., 4., 5., 6.]).unwrap();
        let row = t.row(1).unwrap();
        assert_eq!(row.shape(), [3]);
        assert_eq!(row.elements::<f32>().unwrap().as_ref(), [4., 5., 6.]);
        assert_eq!(row.bytes().as_ptr(), t.bytes()[12..].as_ptr());
        assert!(t.row(2).is_none());
        assert!(row.row(0).unwrap().row(0).is_none());
    }

    #[test]
    fn what_lies_along_an_axis_loses_it() {
        let t = Tensor::from_vec(vec![2, 3, 2], (0..12).map(|i| i as f32).collect()).unwrap();
        let middle = t.along(1, 1).unwrap();
        assert_eq!(middle.shape(), [2, 2]);
        assert_eq!(middle.elements::<f32>().unwrap().as_ref(), [2., 3., 8., 9.]);
        let last = t.along(2, 0).unwrap();
        assert_eq!(last.elements::<f32>().unwrap().as_ref(), [0., 2., 4., 6., 8., 10.]);
        assert_eq!(t.along(0, 1).unwrap().bytes(), t.row(1).unwrap().bytes());
        assert!(t.along(1, 3).is_none() && t.along(3, 0).is_none());
        let none = Tensor::from_vec::<f32>(vec![0, 3, 2], vec![]).unwrap();
        assert_eq!(none.along(1, 2).unwrap().shape(), [0, 2]);
        let texts = Tensor::from_strings(vec![2, 2], ["a", "b", "c", "d"].map(Arc::from).to_vec()).unwrap();
        assert_eq!(texts.along(1, 1).unwrap().strings().unwrap(), ["b", "d"].map(Arc::from));
    }

    #[test]
    fn strings_have_rows_and_shapes_but_no_bytes() {
        let t = Tensor::from_strings(vec![2, 2], ["a", "b", "c", "4"].map(Arc::from).to_vec()).unwrap();
        assert_eq!((t.len(), t.dtype()), (4, DType::String));
        let row = t.row(1).unwrap().reshaped(vec![2, 1]).unwrap();
        assert_eq!(row.strings().unwrap(), ["c", "4"].map(Arc::from));
        assert!(row.to_f64()[0].is_nan() && row.to_f64()[1] == 4.0);
        assert!(t.bytes().is_empty() && t.elements::<u8>().is_none());
        assert!(Tensor::from_strings(vec![3], vec!["a".into()]).is_err());
        assert!(Tensor::from_bytes(DType::String, vec![0], Bytes::new()).is_err());
    }

    #[test]
    fn a_shape_that_overflows_is_an_error() {
        let error = Tensor::from_bytes(DType::F64, vec![1 << 40, 1 << 40], Bytes::new()).unwrap_err();
        assert!(error.to_string().contains("more than fit in memory"), "{error}");
    }

    #[test]
    fn unaligned_bytes_are_copied_not_refused() {
        let bytes = Bytes::from(vec![0u8; 9]).slice(1..);
        let t = Tensor::from_bytes(DType::F32, vec![2], bytes).unwrap();
        assert_eq!(t.elements::<f32>().unwrap().as_ref(), [0., 0.]);
        assert!(t.elements::<i32>().is_none());
    }
}
