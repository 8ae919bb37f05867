//! Element types and initialisers: `TensorProto` to a host tensor, every size checked before memory is taken.

use super::proto::TensorProto;
use crate::tensor::{DType, Tensor, byte_len};
use bytes::Bytes;

/// The dtype of an ONNX element type; `None` where it is not one of ours.
pub fn dtype(code: i32) -> Option<DType> {
    Some(match code {
        1 => DType::F32,
        2 => DType::U8,
        3 => DType::I8,
        4 => DType::U16,
        5 => DType::I16,
        6 => DType::I32,
        7 => DType::I64,
        9 => DType::Bool,
        10 => DType::F16,
        11 => DType::F64,
        12 => DType::U32,
        13 => DType::U64,
        16 => DType::BF16,
        _ => return None,
    })
}

/// The name of an ONNX element type, ours or not.
pub fn type_name(code: i32) -> String {
    if let Some(dtype) = dtype(code) {
        return dtype.name().to_owned();
    }
    let name = match code {
        8 => "string",
        14 => "complex64",
        15 => "complex128",
        17 => "float8e4m3fn",
        18 => "float8e4m3fnuz",
        19 => "float8e5m2",
        20 => "float8e5m2fnuz",
        21 => "uint4",
        22 => "int4",
        23 => "float4e2m1",
        24 => "float8e8m0",
        25 => "uint2",
        26 => "int2",
        _ => return format!("element type {code}"),
    };
    name.to_owned()
}

/// Decodes an initialiser or a tensor attribute. The error does not name the tensor; the caller does.
pub fn decode(proto: TensorProto) -> Result<Tensor, String> {
    let Some(dtype) = dtype(proto.data_type) else {
        return Err(format!("{} elements are not supported", type_name(proto.data_type)));
    };
    if proto.data_location == 1 {
        return Err("its elements lie in another file (external data), which is not supported yet".into());
    }
    let shape = dims(&proto.dims)?;
    let Some(size) = byte_len(dtype, &shape) else {
        return Err(format!("{dtype}{shape:?} has more elements than fit in memory"));
    };
    let bytes = match proto.raw_data {
        Some(raw) if !raw.is_empty() => from_raw(dtype, raw),
        _ => typed(dtype, &proto, size)?,
    };
    if bytes.len() != size {
        return Err(format!("{dtype}{shape:?} takes {size} bytes, the file has {}", bytes.len()));
    }
    Tensor::from_bytes(dtype, shape, bytes).map_err(|e| e.to_string())
}

fn dims(dims: &[i64]) -> Result<Vec<usize>, String> {
    dims.iter()
        .map(|d| usize::try_from(*d).map_err(|_| format!("{d} in its shape {dims:?} is not a dimension")))
        .collect()
}

/// `raw_data` is little-endian whatever the machine; bools are made 0 or 1.
fn from_raw(dtype: DType, raw: Bytes) -> Bytes {
    if dtype == DType::Bool && raw.iter().any(|b| *b > 1) {
        return raw.iter().map(|b| u8::from(*b != 0)).collect();
    }
    if cfg!(target_endian = "big") && dtype.size() > 1 {
        return raw.chunks(dtype.size()).flat_map(|c| c.iter().rev().copied()).collect();
    }
    raw
}

/// The elements from the typed fields, of which each serves several element types.
fn typed(dtype: DType, proto: &TensorProto, size: usize) -> Result<Bytes, String> {
    fn pack<T: bytemuck::Pod, S: Copy>(from: &[S], convert: impl Fn(S) -> T) -> Bytes {
        let converted: Vec<T> = from.iter().map(|v| convert(*v)).collect();
        Bytes::copy_from_slice(bytemuck::cast_slice(&converted))
    }
    let given = [
        proto.float_data.len(),
        proto.int32_data.len(),
        proto.int64_data.len(),
        proto.double_data.len(),
        proto.uint64_data.len(),
    ];
    if given.iter().all(|n| *n == 0) && size > 0 {
        return Err("it has no elements in the file".into());
    }
    let ints = &proto.int32_data;
    Ok(match dtype {
        DType::F32 => pack(&proto.float_data, |v| v),
        DType::F64 => pack(&proto.double_data, |v| v),
        DType::I64 => pack(&proto.int64_data, |v| v),
        DType::U64 => pack(&proto.uint64_data, |v| v),
        DType::U32 => pack(&proto.uint64_data, |v| v as u32),
        DType::I32 => pack(ints, |v| v),
        DType::I16 => pack(ints, |v| v as i16),
        DType::U16 | DType::F16 | DType::BF16 => pack(ints, |v| v as u16),
        DType::I8 => pack(ints, |v| v as i8),
        DType::U8 => pack(ints, |v| v as u8),
        DType::Bool => pack(ints, |v| u8::from(v != 0)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proto(data_type: i32, dims: &[i64]) -> TensorProto {
        TensorProto { data_type, dims: dims.to_vec(), ..Default::default() }
    }

    #[test]
    fn raw_and_typed_fields_give_the_same_tensor() {
        let typed = decode(TensorProto { float_data: vec![1.0, -2.5], ..proto(1, &[2]) }).unwrap();
        let raw: Vec<u8> = [1.0f32, -2.5].iter().flat_map(|v| v.to_le_bytes()).collect();
        let raw = decode(TensorProto { raw_data: Some(raw.into()), ..proto(1, &[2]) }).unwrap();
        assert_eq!(typed.bytes(), raw.bytes());
        let half = decode(TensorProto { int32_data: vec![0x3c00], ..proto(10, &[]) }).unwrap();
        assert_eq!(half.to_f64(), [1.0]);
        let bools = decode(TensorProto { raw_data: Some(vec![0, 7].into()), ..proto(9, &[2]) }).unwrap();
        assert_eq!(bools.bytes().as_ref(), [0, 1]);
    }

    #[test]
    fn sizes_that_lie_are_refused_before_memory_is_taken() {
        for (dims, wanted) in [
            (&[1i64 << 40][..], "takes 4398046511104 bytes"),
            (&[-1], "is not a dimension"),
            (&[1 << 40, 1 << 40], "more elements than fit"),
            (&[3], "takes 12 bytes, the file has 8"),
        ] {
            let tensor = TensorProto { raw_data: Some(vec![0; 8].into()), ..proto(1, dims) };
            let error = decode(tensor).unwrap_err();
            assert!(error.contains(wanted), "{dims:?}: {error}");
        }
        let error = decode(proto(1, &[1 << 40])).unwrap_err();
        assert!(error.contains("no elements"), "{error}");
        assert!(decode(proto(8, &[1])).unwrap_err().contains("string"));
    }

    #[test]
    fn empty_tensors_are_tensors() {
        assert_eq!(decode(proto(7, &[0])).unwrap().shape(), [0]);
    }
}
