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
    assert_eq!(given("a|b|c", "1|2|3", &one), ["[1,2,3]"]);
    assert_eq!(given("id|x_0|x_1", "7|1|2", &one), ["[1,2]"]);
    assert_eq!(given("id|x", "7|[[1],[2]]", &one), ["[[1],[2]]"]);
    assert_eq!(
        given("y|z|x", "5|6|4", &[json("x"), json("y")]),
        ["4", "5"],
        "in any order, others passed over"
    );
    assert_eq!(given("a|b", "1|two", &one), ["column 2 (`b`): `two` is not a number"]);
    assert_eq!(given("1|2", "1|two", &one), ["column 2: `two` is not a number"]);
    assert_eq!(given("a|b", "1", &one), ["the row has no column 2 for `x`"]);
    assert_eq!(given("a|b", "1|2||", &one), ["[1,2]"], "a delimiter at the end");
    assert!(given("a|b", "1|2|3", &one)[0].starts_with("the row has 3 cells, and the table 2 columns"));
    assert!(find("1|2", &one).unwrap().1.eq(&false), "numbers are no header");
    assert!(find("a|2", &one).unwrap().1);
    assert!(find("a|b", &[json("x"), json("y")]).is_err());
    for first in ["1||3", "|NaN|2", "True|0.5", "\\N|1", "|"] {
        assert!(!find(first, &one).unwrap().1, "{first}: values, of which some are missing");
    }
    for first in ["|a", "1|x"] {
        assert!(find(first, &one).unwrap().1, "{first}");
    }
}

#[test]
fn two_columns_for_one_decode_are_refused() {
    let json =
        |name: &str| DecodePlan { name: name.into(), decode: std::sync::Arc::new(Json), keep_origin: false };
    let find = |names: &[&str]| Columns::find(&ByteRecord::from(names.to_vec()), &[json("x")], Path::new(""));
    let error = find(&["id", "x", "b", "x"]).map(drop).unwrap_err();
    assert!(error.starts_with("columns 2 (`x`) and 4 (`x`) are both for decode `x`"), "{error}");
    let error = find(&["x_0", "x_1", "x_0"]).map(drop).unwrap_err();
    assert!(error.starts_with("columns 1 (`x_0`) and 3 (`x_0`)"), "{error}");
    assert!(find(&["a", "x", "a"]).is_ok(), "what is passed over may be there twice");
}

#[test]
fn a_line_before_the_header_names_the_delimiter() {
    for (line, wanted) in [
        ("sep=;\r\n", Some(b';')),
        ("\u{feff}SEP=\t\n", Some(b'\t')),
        ("\"sep=,\"\n", Some(b',')),
        ("sep=\n", None),
        ("sep=;;\n", None),
        ("sep\n", None),
        ("", None),
    ] {
        assert_eq!(record::named_delimiter(line.as_bytes()), wanted, "{line:?}");
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.csv");
    std::fs::write(&path, "\u{feff}sep=|\r\nx_0|x_1\r\n1|2\r\n3|4\r\n").unwrap();
    let decode = DecodePlan { name: "x".into(), decode: std::sync::Arc::new(Json), keep_origin: false };
    let decodes = [decode];
    let kind = RowFormat::of(&path, &decodes, None).unwrap().unwrap();
    assert_eq!(kind, RowFormat::Csv { delimiter: b'|' });
    assert_eq!(Rows::open(kind, &path, &decodes).unwrap().count(), Ok(2));
}

#[test]
fn the_delimiter_is_the_one_by_which_columns_are_found() {
    let decode =
        |name: &str| DecodePlan { name: name.into(), decode: std::sync::Arc::new(Json), keep_origin: false };
    let one = [decode("x")];
    let two = [decode("age"), decode("city")];
    for (line, decodes, wanted) in [
        ("x_0,x_1\n", &one[..], b','),
        ("x_0;x_1\n", &one, b';'),
        ("x_0\tx_1\r\n", &one, b'\t'),
        ("x_0|x_1", &one, b'|'),
        ("x", &one, b','),
        ("1;2;3", &one, b';'),
        ("1.5,2;3", &one, b','),
        ("a;b", &one, b';'),
        ("id;age;\"the city; or town\";city", &two, b';'),
        ("age;city, or town;city", &two, b';'),
        ("age,city;state,city", &two, b','),
        ("", &one, b','),
    ] {
        assert_eq!(char::from(record::delimiter(line.as_bytes(), decodes)), char::from(wanted), "{line}");
    }
}

#[derive(Debug)]
struct Json;

impl crate::plan::JsonValues for Json {
    fn field(&self, text: Bytes) -> Result<Payload, crate::plan::DecodeError> {
        Ok(Payload::Bytes(text))
    }
    fn cell(&self, cell: &str) -> Result<Payload, crate::plan::DecodeError> {
        let raw = serde_json::value::RawValue::from_string(cell.to_owned());
        raw.map(Payload::Json).map_err(|error| crate::plan::DecodeError::Invalid(error.to_string()))
    }
    fn element(&self, cell: &str, out: &mut String) -> Result<(), String> {
        cell.parse::<f64>().map_err(|_| format!("`{cell}` is not a number"))?;
        out.push_str(cell);
        Ok(())
    }
}

impl crate::plan::Decode for Json {
    fn format(&self) -> &'static str {
        "json"
    }
    fn produces(&self) -> crate::plan::TensorType {
        crate::plan::TensorType::default()
    }
    fn json(&self) -> Option<&dyn crate::plan::JsonValues> {
        Some(self)
    }
    fn extensions(&self) -> &'static [&'static str] {
        &["json"]
    }
    fn options(&self) -> serde_json::Value {
        serde_json::Value::Null
    }
    fn example(&self) -> crate::plan::Example {
        crate::plan::Example::File(String::new())
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
