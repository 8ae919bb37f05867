//! Columns of every kind, and rows of arrays.

use super::*;
use crate::codec::npy::Header;

#[test]
fn columns_are_found_by_name_or_are_all_numbers() {
    let record = |text: &str| ByteRecord::from(text.split('|').collect::<Vec<_>>());
    let json =
        |name: &str| DecodePlan { name: name.into(), decode: std::sync::Arc::new(Json), keep_origin: false };
    let find = |first: &str, decodes: &[DecodePlan]| Columns::find(&record(first), decodes, Path::new(""));
    let given = |first: &str, row: &str, decodes: &[DecodePlan]| -> Vec<String> {
        let (columns, _) = find(first, decodes).unwrap();
        match columns.payloads(&record(row), decodes) {
            Ok(payloads) => payloads
                .iter()
                .map(|payload| match payload {
                    Payload::Json(json) => json.get().to_owned(),
                    other => format!("{other:?}"),
                })
                .collect(),
            Err(refused) => vec![refused.reason],
        }
    };
    let one = [json("x")];
    assert_eq!(given("1|2.5|-3", "1|2.5|-3", &one), ["[1,2.5,-3]"]);
    assert_eq!(given("a|b|c", "+1|.5|2.", &one), ["[1,0.5,2]"]);
    assert_eq!(given("id|x_0|x_1", "7|1|2", &one), ["[1,2]"]);
    assert_eq!(given("id|x", "7|[[1],[2]]", &one), ["[[1],[2]]"]);
    assert_eq!(given("y|x", "hello|4", &[json("x"), json("y")]), ["4", "\"hello\""]);
    assert!(given("a|b", "1|two", &one)[0].contains("`two` in column 2 is not a number"));
    assert!(find("1|2", &one).unwrap().1.eq(&false), "numbers are no header");
    assert!(find("a|2", &one).unwrap().1);
    assert!(find("a|b", &[json("x"), json("y")]).is_err());
}

#[derive(Debug)]
struct Json;

impl crate::plan::Decode for Json {
    fn format(&self) -> &'static str {
        "json"
    }
    fn produces(&self) -> crate::plan::TensorType {
        crate::plan::TensorType::default()
    }
    fn extensions(&self) -> &'static [&'static str] {
        &["json"]
    }
    fn options(&self) -> serde_json::Value {
        serde_json::Value::Null
    }
    fn curl_example(&self) -> String {
        String::new()
    }
    fn decode(&self, _: &Payload, _: bool) -> Result<crate::plan::Decoded, crate::plan::DecodeError> {
        Err(crate::plan::DecodeError::Invalid("nothing here decodes".into()))
    }
}

#[test]
fn rows_of_an_array_are_arrays() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.npy");
    let mut bytes = Header::write(crate::tensor::DType::F32, &[2, 3]);
    bytes.extend((0..6).flat_map(|v| (v as f32).to_ne_bytes()));
    std::fs::write(&path, &bytes).unwrap();
    let array = Array::open(&path).unwrap();
    assert_eq!(array.rows(), 2);
    let row = array.item(1).unwrap();
    let header = Header::read(&row).unwrap();
    assert_eq!(header.shape, [3]);
    let elements: Vec<u8> = (3..6).flat_map(|v| (v as f32).to_ne_bytes()).collect();
    assert_eq!(&row[header.start..], elements);
    std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
    assert!(Array::open(&path).is_err(), "cut off");
}
