//! Element types and initialisers: `TensorProto` to a host tensor, every size checked before memory is taken.

use super::external::{self, ExternalData};
use super::proto::{SparseTensorProto, TensorProto};
use crate::tensor::{DType, Tensor, byte_len};
use bytes::Bytes;
use std::sync::Arc;

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
        8 => DType::String,
        17 => DType::F8E4M3FN,
        18 => DType::F8E4M3FNUZ,
        19 => DType::F8E5M2,
        20 => DType::F8E5M2FNUZ,
        21 => DType::U4,
        22 => DType::I4,
        23 => DType::F4E2M1,
        24 => DType::F8E8M0,
        25 => DType::U2,
        26 => DType::I2,
        _ => return None,
    })
}

/// The name of an ONNX element type, ours or not.
pub fn type_name(code: i32) -> String {
    if let Some(dtype) = dtype(code) {
        return dtype.name().to_owned();
    }
    let name = match code {
        14 => "complex64",
        15 => "complex128",
        _ => return format!("element type {code}"),
    };
    name.to_owned()
}

/// Decodes an initialiser or a tensor attribute. The error does not name the tensor; the caller does.
pub fn decode(mut proto: TensorProto, data: &ExternalData) -> Result<Tensor, String> {
    let Some(dtype) = dtype(proto.data_type) else {
        return Err(format!("{} elements are not supported", type_name(proto.data_type)));
    };
    let shape = dims(&proto.dims)?;
    let Some(size) = byte_len(dtype, &shape) else {
        return Err(format!("{dtype}{shape:?} has more elements than fit in memory"));
    };
    if proto.data_location == 1 {
        proto.raw_data = Some(external::elements(&proto, data, packed_len(dtype, size))?);
    }
    if dtype == DType::String {
        return strings(shape, &proto);
    }
    let bytes = match proto.raw_data {
        Some(raw) if dtype.bits().is_some_and(|bits| bits < 8) && !raw.is_empty() => {
            if raw.len() != packed_len(dtype, size) {
                let (wanted, got) = (packed_len(dtype, size), raw.len());
                return Err(format!("{dtype}{shape:?} takes {wanted} bytes, the file has {got}"));
            }
            unpack(dtype, &raw, size)
        }
        Some(raw) if !raw.is_empty() => from_raw(dtype, raw),
        _ => typed(dtype, &proto, size)?,
    };
    if bytes.len() != size {
        return Err(format!("{dtype}{shape:?} takes {size} bytes, the file has {}", bytes.len()));
    }
    Tensor::from_bytes(dtype, shape, bytes).map_err(|e| e.to_string())
}

/// The number of bytes that elements take in a file, where elements of less than a byte share one.
fn packed_len(dtype: DType, size: usize) -> usize {
    match dtype.bits() {
        Some(bits) if bits < 8 => size.div_ceil(8 / bits),
        _ => size,
    }
}

/// A byte for each element; the first has the lowest bits.
fn unpack(dtype: DType, packed: &[u8], count: usize) -> Bytes {
    let bits = dtype.bits().filter(|bits| *bits < 8).unwrap_or(8);
    let unused = 8 - bits;
    let signed = matches!(dtype, DType::I4 | DType::I2);
    let element = |index: usize| {
        let byte = packed[index * bits / 8] >> (index * bits % 8) << unused;
        if signed { (byte as i8 >> unused) as u8 } else { byte >> unused }
    };
    (0..count).map(element).collect()
}

fn strings(shape: Vec<usize>, proto: &TensorProto) -> Result<Tensor, String> {
    let text = |bytes: &Bytes| {
        let text = std::str::from_utf8(bytes).map_err(|_| "one of its strings is not UTF-8")?;
        Ok::<Arc<str>, &str>(text.into())
    };
    let all = proto.string_data.iter().map(text).collect::<Result<Vec<_>, _>>()?;
    let count = all.len();
    Tensor::from_strings(shape, all).map_err(|e| {
        format!("string{:?} does not have as many elements as the file has strings, {count}", e.shape)
    })
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
    let small: fn(i32) -> u8 = |v| v as u8;
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
        DType::F8E4M3FN | DType::F8E4M3FNUZ | DType::F8E5M2 | DType::F8E5M2FNUZ | DType::F8E8M0 => {
            pack(ints, small)
        }
        DType::F4E2M1 | DType::I4 | DType::U4 | DType::I2 | DType::U2 => {
            let packed = pack(ints, small);
            if packed.len() != packed_len(dtype, size) {
                return Err(format!("{} bytes of elements, where {size} are wanted", packed.len()));
            }
            unpack(dtype, &packed, size)
        }
        DType::String => Bytes::new(),
    })
}

/// The tensor that a sparse one stands for, of at most `max` bytes.
pub fn decode_sparse(proto: SparseTensorProto, data: &ExternalData, max: usize) -> Result<Tensor, String> {
    let shape = dims(&proto.dims)?;
    let values = decode(proto.values.unwrap_or_default(), data)?;
    let indices = decode(proto.indices.unwrap_or_default(), data).map_err(|e| format!("its indices: {e}"))?;
    let (dtype, width) = (values.dtype(), values.dtype().size());
    let size = byte_len(dtype, &shape).filter(|size| *size <= max);
    let Some(size) = size else {
        return Err(format!("{dtype}{shape:?} is sparse, and too large to be filled up ({max} bytes)"));
    };
    if dtype == DType::String {
        return Err("sparse strings are not supported".into());
    }
    let Some(given) = indices.elements::<i64>() else {
        return Err(format!("its indices are {indices:?}, where int64 should be"));
    };
    let count = size / width;
    let rank = match *indices.shape() {
        [n] if n == values.len() => 1,
        [n, rank] if n == values.len() && rank == shape.len() && rank > 0 => rank,
        _ => return Err(format!("its indices {indices:?} do not fit its values {values:?}")),
    };
    let strides = crate::engine::shape::strides(&shape);
    let mut dense = vec![0u8; size];
    for (index, value) in given.chunks_exact(rank.max(1)).zip(values.bytes().chunks_exact(width)) {
        let at = match (indices.shape().len(), index) {
            (1, [at]) => usize::try_from(*at).ok().filter(|at| *at < count),
            _ => index.iter().zip(&shape).zip(&strides).try_fold(0usize, |at, ((i, dim), stride)| {
                let i = usize::try_from(*i).ok().filter(|i| i < dim)?;
                Some(at + i * stride)
            }),
        };
        let at = at.ok_or_else(|| format!("its index {index:?} lies outside {shape:?}"))?;
        dense[at * width..(at + 1) * width].copy_from_slice(value);
    }
    Tensor::from_bytes(dtype, shape, dense.into()).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(proto: TensorProto) -> Result<Tensor, String> {
        super::decode(proto, &ExternalData::default())
    }

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
        assert!(decode(proto(14, &[1])).unwrap_err().contains("complex64"));
    }

    #[test]
    fn elements_of_less_than_a_byte_are_unpacked() {
        let ints = |data_type, dims: &[i64], raw: &[u8]| {
            decode(TensorProto { raw_data: Some(raw.to_vec().into()), ..proto(data_type, dims) })
        };
        assert_eq!(ints(22, &[3], &[0x2f, 0x08]).unwrap().to_f64(), [-1.0, 2.0, -8.0]);
        assert_eq!(ints(21, &[3], &[0x2f, 0x08]).unwrap().to_f64(), [15.0, 2.0, 8.0]);
        assert_eq!(ints(26, &[4], &[0b11_10_01_00]).unwrap().to_f64(), [0.0, 1.0, -2.0, -1.0]);
        assert_eq!(ints(23, &[2], &[0xf7]).unwrap().to_f64(), [6.0, -6.0]);
        assert!(ints(22, &[3], &[0x2f]).unwrap_err().contains("takes 2 bytes"));
        let typed = decode(TensorProto { int32_data: vec![0x2f, 8], ..proto(22, &[3]) }).unwrap();
        assert_eq!(typed.to_f64(), [-1.0, 2.0, -8.0]);
        assert!(decode(TensorProto { int32_data: vec![0x2f], ..proto(22, &[3]) }).is_err());
    }

    #[test]
    fn strings_are_as_many_as_the_shape_says() {
        let strings = vec![Bytes::from_static(b"a"), Bytes::from_static("\u{e9}".as_bytes())];
        let tensor = decode(TensorProto { string_data: strings.clone(), ..proto(8, &[2]) }).unwrap();
        assert_eq!(&*tensor.strings().unwrap()[1], "\u{e9}");
        assert!(decode(TensorProto { string_data: strings, ..proto(8, &[1 << 40]) }).is_err());
        let broken = vec![Bytes::from_static(b"\xff")];
        assert!(decode(TensorProto { string_data: broken, ..proto(8, &[1]) }).unwrap_err().contains("UTF-8"));
    }

    #[test]
    fn sparse_tensors_are_filled_up_where_their_indices_lie_inside() {
        let floats =
            |values: &[f32]| TensorProto { float_data: values.to_vec(), ..proto(1, &[values.len() as i64]) };
        let sparse = |dims: &[i64], index_dims: &[i64], indices: &[i64], max| {
            let indices = TensorProto { int64_data: indices.to_vec(), ..proto(7, index_dims) };
            let (values, indices) = (Some(floats(&[5.0, 7.0])), Some(indices));
            let proto = SparseTensorProto { values, indices, dims: dims.to_vec() };
            decode_sparse(proto, &ExternalData::default(), max)
        };
        assert_eq!(sparse(&[2, 2], &[2], &[1, 2], 99).unwrap().to_f64(), [0.0, 5.0, 7.0, 0.0]);
        assert_eq!(sparse(&[2, 2], &[2, 2], &[0, 0, 1, 1], 99).unwrap().to_f64(), [5.0, 0.0, 0.0, 7.0]);
        for (dims, index_dims, indices) in [
            (&[2i64, 2][..], &[2i64][..], &[1i64, 4][..]),
            (&[2, 2], &[2], &[1, -1]),
            (&[2, 2], &[2, 2], &[0, 0, 0, 2]),
            (&[2, 2], &[2, 1], &[0, 0]),
            (&[2, 2], &[1], &[0]),
            (&[1 << 40], &[2], &[0, 1]),
            (&[1 << 40, 1 << 40], &[2], &[0, 1]),
            (&[], &[2, 0], &[]),
        ] {
            assert!(sparse(dims, index_dims, indices, 99).is_err(), "{dims:?} {indices:?}");
        }
    }

    #[test]
    fn empty_tensors_are_tensors() {
        assert_eq!(decode(proto(7, &[0])).unwrap().shape(), [0]);
    }
}
