//! Reads the `.npy` files of the fixtures (version 1, little-endian, C order).

use rserve::tensor::{DType, Tensor};
use std::path::Path;

pub fn read(path: &Path) -> Tensor {
    let bytes = std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    assert_eq!(&bytes[..6], b"\x93NUMPY", "{}", path.display());
    let end = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let header = std::str::from_utf8(&bytes[10..end]).unwrap();
    assert!(header.contains("'fortran_order': False"), "{header}");
    let after = |key: &str| header.split(key).nth(1).unwrap();
    let dtype = match after("'descr': '").split('\'').next().unwrap() {
        "<f4" => DType::F32,
        "<f8" => DType::F64,
        "<f2" => DType::F16,
        "<i8" => DType::I64,
        "<i4" => DType::I32,
        "<i2" => DType::I16,
        "|i1" => DType::I8,
        "|u1" => DType::U8,
        "<u2" => DType::U16,
        "<u4" => DType::U32,
        "<u8" => DType::U64,
        "|b1" => DType::Bool,
        other => panic!("{other}"),
    };
    let dims = after("'shape': (").split(')').next().unwrap();
    let shape = dims.split(',').filter(|d| !d.trim().is_empty()).map(|d| d.trim().parse().unwrap()).collect();
    Tensor::from_bytes(dtype, shape, bytes::Bytes::copy_from_slice(&bytes[end..])).unwrap()
}
