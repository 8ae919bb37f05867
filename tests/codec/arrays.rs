//! `npy` and `raw` in, `npy` out.

use super::{bind, bytes, decode, decoded, f32s, fixture, input, json, refusal, ty};
use base64::Engine;
use proptest::prelude::*;
use rserve::tensor::{DType, Tensor};

fn array(name: &str) -> Vec<u8> {
    fixture(&format!("arrays/{name}.npy"))
}

#[test]
fn numpys_files_of_every_dtype() {
    for (name, dtype) in [
        ("f2", DType::F16),
        ("f4", DType::F32),
        ("f8", DType::F64),
        ("i1", DType::I8),
        ("i2", DType::I16),
        ("i4", DType::I32),
        ("i8", DType::I64),
        ("u1", DType::U8),
        ("u2", DType::U16),
        ("u4", DType::U32),
        ("u8", DType::U64),
        ("big-endian", DType::F32),
        ("version-2", DType::F32),
        ("version-3", DType::F32),
    ] {
        let tensor = decoded(r#"format = "npy""#, array(name)).unwrap().tensor;
        assert_eq!((tensor.dtype(), tensor.shape()), (dtype, &[2, 3][..]), "{name}");
        assert_eq!(tensor.to_f64(), [0.0, 1.0, 2.0, 3.0, 4.0, 100.0], "{name}");
    }
    let tensor = decoded(r#"format = "npy""#, array("b1")).unwrap().tensor;
    assert_eq!((tensor.dtype(), tensor.to_f64()), (DType::Bool, vec![1.0, 0.0, 1.0, 0.0, 1.0, 1.0]));
    let tensor = decoded(r#"format = "npy""#, array("scalar")).unwrap().tensor;
    assert_eq!((tensor.shape(), tensor.to_f64()), (&[][..], vec![2.5]));
}

#[test]
fn fortran_order_is_turned() {
    let tensor =
        decoded(r#"format = "npy", dtype = "int32", shape = [2, 3, 4]"#, array("fortran")).unwrap().tensor;
    assert_eq!(tensor.elements::<i32>().unwrap().as_ref(), (0..24).collect::<Vec<i32>>());
}

#[test]
fn what_an_array_must_be_is_checked() {
    let cases = [
        (", shape = [3, -1]", "f4", "invalid: the npy file has shape [2, 3], where [3, ?] is wanted"),
        (
            ", dtype = \"float32\"",
            "f8",
            "invalid: the npy file holds float64, where float32 is wanted; convert it, or set `cast = true`",
        ),
        ("", "complex", "invalid: the npy file holds elements of NumPy type '<c8', which no tensor has"),
        ("", "text", "invalid: the npy file holds elements of NumPy type '<U2', which no tensor has"),
        ("", "records", "invalid: the npy file holds records, where plain numbers are read"),
        (
            ", dtype = \"uint8\", cast = true",
            "f8-large",
            "invalid: the npy file has 1000 at element 0, which uint8 does not hold",
        ),
    ];
    for (options, name, wanted) in cases {
        let file = if name == "f8-large" {
            let encode = bind(r#"format = "npy", from = "x""#, &[("float64[1]", 0)]).unwrap();
            encode.encode(&[input(Tensor::from_vec(vec![1], vec![1000f64]).unwrap())], None).unwrap()
        } else {
            array(name)
        };
        assert_eq!(refusal(decoded(&format!(r#"format = "npy"{options}"#), file)), wanted);
    }
    let cast = decoded(r#"format = "npy", dtype = "float32", cast = true"#, array("f8")).unwrap().tensor;
    assert_eq!((cast.dtype(), cast.to_f64()[5]), (DType::F32, 100.0));
}

#[test]
fn a_header_that_promises_more_than_there_is() {
    let mut file = array("f4");
    let shape = file.windows(6).position(|w| w == b"(2, 3)").unwrap();
    file[shape..shape + 6].copy_from_slice(b"(9,9e)");
    assert!(refusal(decoded(r#"format = "npy""#, file.clone())).contains("`9e` in its shape"));
    let huge = String::from_utf8_lossy(&file[10..]).replace("(9,9e), }", "(999999999999, 99999999999), }");
    let mut header = b"\x93NUMPY\x01\x00".to_vec();
    header.extend((huge.len() as u16).to_le_bytes());
    header.extend(huge.bytes());
    assert!(refusal(decoded(r#"format = "npy""#, header)).ends_with("takes more than fit in memory"));
    let file = array("f4");
    let error = refusal(decoded(r#"format = "npy""#, file[..file.len() - 1].to_vec()));
    assert_eq!(error, "invalid: the npy file has 23 bytes of elements, where float32[2, 3] takes 24");
    assert_eq!(refusal(decoded(r#"format = "npy""#, &b"hello"[..])), "wrong type: not an npy file");
    assert_eq!(
        refusal(decoded(r#"format = "npy""#, &b""[..])),
        "malformed: empty, where an npy file should be"
    );
}

#[test]
fn raw_elements_have_an_exact_length() {
    let raw = |options: &str, body: &'static [u8]| decoded(&format!(r#"format = "raw", {options}"#), body);
    let t = raw(r#"dtype = "uint16", shape = [2, 1]"#, &[1, 0, 0, 1]).unwrap().tensor;
    assert_eq!((t.shape(), t.to_f64()), (&[2, 1][..], vec![1.0, 256.0]));
    let t = raw(r#"dtype = "uint8", shape = [-1, 2]"#, &[1, 2, 3, 4]).unwrap().tensor;
    assert_eq!(t.shape(), [2, 2]);
    assert_eq!(refusal(raw(r#"shape = [2]"#, &[0; 7])), "invalid: 7 bytes, where float32[2] takes 8");
    assert_eq!(
        refusal(raw(r#"shape = [-1, 2]"#, &[0; 9])),
        "invalid: 9 bytes, where float32[?, 2] takes a multiple of 8"
    );
    assert_eq!(refusal(raw(r#"dtype = "bool", shape = [1]"#, &[7])), "invalid: a bool is a byte of 0 or 1");
    let base64 = base64::engine::general_purpose::STANDARD.encode([5u8, 6]);
    let in_json = decode(r#"format = "raw", dtype = "uint8", shape = [2]"#);
    assert_eq!(in_json.decode(&json(&format!("{base64:?}")), false).unwrap().tensor.to_f64(), [5.0, 6.0]);
    assert_eq!(in_json.produces(), ty("uint8[2]"));
}

#[test]
fn bfloat16_is_written_as_float32() {
    let tensor =
        Tensor::from_vec(vec![2], vec![half::bf16::from_f32(1.5), half::bf16::from_f32(-2.0)]).unwrap();
    let encode = bind(r#"format = "npy", from = "x""#, &[("bfloat16[2]", 0)]).unwrap();
    let file = encode.encode(&[input(tensor)], None).unwrap();
    let back = decoded(r#"format = "npy""#, file).unwrap().tensor;
    assert_eq!((back.dtype(), back.to_f64()), (DType::F32, vec![1.5, -2.0]));
}

proptest! {
    #[test]
    fn an_array_comes_back(rows in 1usize..5, columns in 1usize..5, seed: u32) {
        let values: Vec<f32> = (0..rows * columns).map(|i| f32::from_bits(seed.rotate_left(i as u32))).collect();
        let encode = bind(r#"format = "npy", from = "x""#, &[("float32[?, ?]", 0)]).unwrap();
        let tensor = f32s(&[rows, columns], &values);
        let file = encode.encode(&[input(tensor.clone())], None).unwrap();
        let back = decoded(r#"format = "npy""#, file).unwrap().tensor;
        prop_assert_eq!(back.shape(), tensor.shape());
        prop_assert_eq!(back.bytes(), tensor.bytes());
    }

    #[test]
    fn any_array_is_answered(cut in 0usize..200, at in 0usize..140, byte: u8) {
        let mut file = array("fortran");
        file[at] = byte;
        file.truncate(file.len().saturating_sub(cut));
        let _ = decode(r#"format = "npy""#).decode(&bytes(file), false);
    }
}
