//! A tensor on the host: dtype, shape and shared bytes. Knows no Burn and no device.
//!
//! Elements are in C order (the last axis varies fastest), in the machine's byte order. A clone and a
//! slice along the first axis share the bytes.

use bytes::Bytes;
use std::borrow::Cow;
use std::fmt;

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
}

impl DType {
    pub const ALL: [DType; 13] = [
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

    /// Bytes that one element takes.
    pub fn size(self) -> usize {
        match self {
            Self::I8 | Self::U8 | Self::Bool => 1,
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
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|d| d.name() == name)
    }

    pub fn is_float(self) -> bool {
        matches!(self, Self::F32 | Self::F64 | Self::F16 | Self::BF16)
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

/// A tensor on the host. See the module's text for its layout.
#[derive(Clone)]
pub struct Tensor {
    dtype: DType,
    shape: Vec<usize>,
    data: Bytes,
}

impl Tensor {
    /// REQUIRES nothing: bytes that do not fit the shape are an error.
    pub fn from_bytes(dtype: DType, shape: Vec<usize>, data: Bytes) -> Result<Self, SizeMismatch> {
        match byte_len(dtype, &shape) {
            Some(wanted) if wanted == data.len() => Ok(Self { dtype, shape, data }),
            wanted => {
                let wanted = wanted.map_or("more than fit in memory".into(), |w| w.to_string());
                Err(SizeMismatch { dtype, shape, bytes: data.len(), wanted })
            }
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
        self.data.len() / self.dtype.size()
    }

    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    pub fn bytes(&self) -> &Bytes {
        &self.data
    }

    /// The elements, if they are of type `T`. Copies only where the bytes lie unaligned.
    pub fn elements<T: Element>(&self) -> Option<Cow<'_, [T]>> {
        if T::DTYPE != self.dtype {
            return None;
        }
        Some(match bytemuck::try_cast_slice(&self.data) {
            Ok(slice) => Cow::Borrowed(slice),
            Err(_) => Cow::Owned(bytemuck::pod_collect_to_vec(&self.data)),
        })
    }

    /// The elements as `f64`, whatever the dtype (64-bit integers beyond 2^53 are rounded).
    pub fn to_f64(&self) -> Vec<f64> {
        macro_rules! by_dtype {
            ($($d:ident => $t:ty, $f:expr);* $(;)?) => {
                match self.dtype {
                    $(DType::$d => bytemuck::pod_collect_to_vec::<u8, $t>(&self.data)
                        .into_iter().map($f).collect(),)*
                    DType::Bool => self.data.iter().map(|b| f64::from(*b != 0)).collect(),
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
        Self::from_bytes(self.dtype, shape, self.data)
    }

    /// Row `index` along the first axis, without that axis; shares the bytes.
    ///
    /// `None` where the tensor has no first axis or no such row.
    pub fn row(&self, index: usize) -> Option<Self> {
        let (rows, rest) = self.shape.split_first()?;
        if index >= *rows {
            return None;
        }
        let size = self.data.len() / rows;
        Some(Self {
            dtype: self.dtype,
            shape: rest.to_vec(),
            data: self.data.slice(index * size..(index + 1) * size),
        })
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
