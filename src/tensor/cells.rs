//! The elements of tensors as Rust types. Pure.

use super::{DType, Tensor};
use bytes::Bytes;
use std::borrow::Cow;

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

/// The elements of a tensor as one Rust type, copied only where they lie unaligned. REQUIRES the type of its dtype.
pub fn cells<T: bytemuck::Pod>(tensor: &Tensor) -> Cow<'_, [T]> {
    match bytemuck::try_cast_slice(tensor.bytes()) {
        Ok(cells) => Cow::Borrowed(cells),
        Err(_) => Cow::Owned(bytemuck::pod_collect_to_vec(tensor.bytes())),
    }
}

/// A tensor from elements. REQUIRES the type of the dtype, and as many elements as the shape has.
pub fn tensor<T: bytemuck::Pod + Send + Sync>(
    dtype: DType,
    shape: Vec<usize>,
    cells: Vec<T>,
) -> Result<Tensor, String> {
    struct Owner<T>(Vec<T>);
    impl<T: bytemuck::Pod> AsRef<[u8]> for Owner<T> {
        fn as_ref(&self) -> &[u8] {
            bytemuck::cast_slice(&self.0)
        }
    }
    Tensor::from_bytes(dtype, shape, Bytes::from_owner(Owner(cells))).map_err(|e| e.to_string())
}
