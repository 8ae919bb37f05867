//! `format = "json"` in: fields to tensors, and what is said where they do not fit.

use super::{bytes, decode, decoded, json, refusal, ty};
use proptest::prelude::*;
use rserve::tensor::DType;

fn read(options: &str, body: &str) -> (String, Vec<f64>) {
    let tensor = decoded(&format!(r#"format = "json", field = "x"{options}"#), body.as_bytes().to_vec())
        .unwrap_or_else(|error| panic!("{body}: {error}"))
        .tensor;
    (format!("{tensor:?}"), tensor.to_f64())
}

fn refused(options: &str, body: &str) -> String {
    refusal(decoded(&format!(r#"format = "json", field = "x"{options}"#), body.as_bytes().to_vec()))
}

#[test]
fn fields_become_tensors() {
    assert_eq!(read("", r#"{"x": [1, 2.5, -3e2]}"#), ("float32[3]".into(), vec![1.0, 2.5, -300.0]));
    assert_eq!(read("", r#"{"y": {"x": 1}, "x": [[1], [2]]}"#), ("float32[2, 1]".into(), vec![1.0, 2.0]));
    assert_eq!(read("", "[[[7]]]"), ("float32[1, 1, 1]".into(), vec![7.0]));
    assert_eq!(read(", dtype = \"int64\"", " 9007199254740993 ").0, "int64[]");
    assert_eq!(
        read(", dtype = \"uint8\", shape = [-1, 2]", r#"{"x": [[1, 2.0], [3, 255]]}"#).1,
        [1., 2., 3., 255.]
    );
    assert_eq!(read(", dtype = \"bool\"", r#"{"x": [true, false, 1, 0]}"#).1, [1., 0., 1., 0.]);
    assert_eq!(read(", shape = []", r#"{"x": 0.5}"#), ("float32[]".into(), vec![0.5]));
}

#[test]
fn null_is_a_float_that_is_missing() {
    for dtype in ["float32", "float64", "float16", "bfloat16"] {
        let (shape, read) = read(&format!(", dtype = {dtype:?}"), r#"{"x": [[1, null], [null, 4]]}"#);
        assert_eq!(shape, format!("{dtype}[2, 2]"));
        assert_eq!(read.iter().map(|v| v.is_nan()).collect::<Vec<_>>(), [false, true, true, false]);
    }
    assert!(read(", shape = [-1]", "[null]").1[0].is_nan());
}

#[test]
fn what_json_has_no_words_for_is_read() {
    let body = "\u{feff}{\"y\": NaN, \"x\": [NaN, Infinity, -Infinity, \"NaN\", \"-Infinity\", 1]}";
    for dtype in ["float32", "float16"] {
        let values = read(&format!(", dtype = {dtype:?}"), body).1;
        assert!(values[0].is_nan() && values[3].is_nan());
        assert_eq!(
            [values[1], values[2], values[4], values[5]],
            [f64::INFINITY, -f64::INFINITY, -f64::INFINITY, 1.]
        );
    }
    let utf_16: Vec<u8> = r#"{"x": [1]}"#.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let error = refusal(decoded(r#"format = "json""#, utf_16));
    assert_eq!(error, "malformed: not JSON: it is UTF-16, and JSON is sent as UTF-8");
}

#[test]
fn a_tensor_may_have_no_elements() {
    assert_eq!(read(", shape = [2, -1, 4]", "[[], []]").0, "float32[2, 0, 4]");
    assert_eq!(read(", shape = [-1, -1]", r#"{"x": []}"#).0, "float32[0, 0]");
    assert_eq!(read(", shape = [0, 3]", "[]").0, "float32[0, 3]");
    assert_eq!(read(", shape = [-1], dtype = \"string\"", "[]").0, "string[0]");
}

#[test]
fn a_value_by_itself_is_one_element() {
    assert_eq!(read(", shape = [1]", r#"{"x": 30}"#), ("float32[1]".into(), vec![30.0]));
    assert_eq!(read(", shape = [-1, 1]", r#"{"x": 30}"#).0, "float32[1, 1]");
    assert_eq!(read(", shape = [1]", r#"{"x": [30]}"#).0, "float32[1]");
    assert!(read(", shape = [1]", r#"{"x": null}"#).1[0].is_nan());
    assert!(read(", shape = []", r#"{"x": null}"#).1[0].is_nan());
    assert_eq!(read(", shape = [1], dtype = \"string\"", r#"{"x": "Berlin"}"#).0, "string[1]");
    assert!(refused(", shape = [2]", r#"{"x": 30}"#).contains("where an array should be"));
    assert!(refused(", shape = [-1]", r#"{"x": 30}"#).contains("where an array should be"));

    // What the models take says the shape of what does not show its own, and nothing of what does.
    let told = |dims: &[Option<usize>], dtype: &str, body: &str| {
        let decode = decode(&format!(r#"format = "json", field = "x", dtype = {dtype:?}"#));
        decode.read_as(dims).unwrap().decode(&bytes(body.as_bytes().to_vec()), false)
    };
    let shape = |dims: &[Option<usize>], dtype: &str, body: &str| {
        told(dims, dtype, body).unwrap().tensor.shape().to_vec()
    };
    assert_eq!(shape(&[Some(1)], "float32", r#"{"x": 30}"#), [1]);
    assert_eq!(shape(&[Some(1)], "string", r#"{"x": "Berlin"}"#), [1]);
    assert_eq!(shape(&[Some(1)], "float32", r#"{"x": null}"#), [1]);
    assert_eq!(shape(&[Some(1)], "float32", "[1, 2]"), [2], "the model says what is wrong with it");
    assert_eq!(shape(&[], "float32", "30"), [0; 0]);
    assert_eq!(shape(&[None], "int64", "30"), [0; 0]);
    assert_eq!(shape(&[Some(2), None, Some(4)], "float32", "[[], []]"), [2, 0, 4]);
    let error = refusal(told(&[Some(1)], "float32", r#"{"x": "thirty"}"#));
    assert_eq!(error, "invalid: `x` is a string, where a number should be");
}

#[test]
fn a_field_is_called_as_the_decode_or_as_it_says() {
    let read = |body: &str| decoded(r#"format = "json", field = "x""#, body.as_bytes().to_vec());
    assert_eq!(read(r#"{"photo": [1]}"#).unwrap().tensor.to_f64(), [1.0]);
    assert_eq!(refusal(read(r#"{"photo": 1, "x": 2}"#)), "malformed: `x` is there twice");
    let near = decoded(r#"format = "json", field = "income""#, br#"{"incom": 1, "city": 2}"#.to_vec());
    assert_eq!(
        refusal(near),
        "malformed: the document has no field `income`: there is `incom`, did you mean `income`?"
    );
}

#[test]
fn the_fields_of_forms_are_text() {
    let read = |options: &str, text: &str| {
        let decode = decode(&format!(r#"format = "json"{options}"#));
        let payload = decode.json().unwrap().field(text.as_bytes().to_vec().into())?;
        decode.decode(&payload, false)
    };
    let numbers = |options: &str, text: &str| read(options, text).unwrap().tensor.to_f64();
    let strings = |options: &str, text: &str| {
        read(&format!(", dtype = \"string\"{options}"), text).unwrap().tensor.strings().unwrap().join("|")
    };
    assert_eq!(numbers("", " 30\n"), [30.0]);
    assert_eq!(numbers("", "[1, 2]"), [1.0, 2.0]);
    assert_eq!(numbers("", r#"{"photo": [1, 2]}"#), [1.0, 2.0]);
    assert_eq!(numbers(", dtype = \"bool\"", "True"), [1.0]);
    assert!(numbers(", shape = []", "NaN")[0].is_nan());
    assert_eq!(refusal(read("", "thirty")), "invalid: `thirty` is not a number");
    for (shape, text) in [("[]", ""), ("[]", " \n"), ("[1]", "")] {
        assert!(numbers(&format!(", shape = {shape}"), text)[0].is_nan(), "{shape}");
    }
    assert_eq!(
        refusal(read(", dtype = \"int64\", shape = []", "")),
        "invalid: an empty text is a value that is missing, which int64 does not have; floats do"
    );
    for text in ["Berlin", "42", "null", "\"q\"", " ", "", "{", "São Paulo"] {
        assert_eq!(strings("", text), text);
        assert_eq!(strings(", shape = [1]", text), text);
    }
    assert_eq!(strings(", shape = [1]", r#"["a"]"#), r#"["a"]"#);
    assert_eq!(strings(", shape = [2]", r#"["a", "b"]"#), "a|b");
    assert_eq!(strings("", r#"["a", "b"]"#), "a|b", "where no model says that it takes one");
    assert_eq!(strings("", "[draft]"), "[draft]");
}

#[test]
fn large_integers_stay_exact() {
    let tensor =
        decoded(r#"format = "json", dtype = "uint64""#, &b"[18446744073709551615]"[..]).unwrap().tensor;
    assert_eq!(tensor.elements::<u64>().unwrap().as_ref(), [u64::MAX]);
}

#[test]
fn a_field_of_a_larger_body_is_the_value_itself() {
    let tensor =
        decode(r#"format = "json", dtype = "int32""#).decode(&json("[[4, 5]]"), false).unwrap().tensor;
    assert_eq!((tensor.dtype(), tensor.shape()), (DType::I32, &[1, 2][..]));
    let error = refusal(decode(r#"format = "json""#).decode(&json(r#"{"photo": 1}"#), false));
    assert_eq!(error, "invalid: `photo` is an object, where a number or an array of numbers should be");
}

#[test]
fn the_type_is_that_of_the_options() {
    assert_eq!(decode(r#"format = "json""#).produces(), ty("float32[..]"));
    assert_eq!(decode(r#"format = "json", dtype = "int8", shape = [-1, 4]"#).produces(), ty("int8[?, 4]"));
}

#[test]
fn what_does_not_fit_is_named_by_its_path() {
    let cases = [
        (
            "",
            r#"{"first": 1, "second": 2}"#,
            "malformed: the document has no field `x`: there is `first`, `second`",
        ),
        ("", "{}", "malformed: the document has no field `x`: it is an empty object"),
        ("", r#"{"x": 1, "x": 2}"#, "malformed: `x` is there twice"),
        ("", r#"{"x": [[1, 2], [3]]}"#, "invalid: `x[1]` has length 1, others beside it have 2"),
        ("", r#"{"x": [1, [2]]}"#, "invalid: `x[1]` is an array, where a number should be"),
        ("", r#"{"x": [[2], 1]}"#, "invalid: `x[1]` is 1, where an array should be"),
        (", dtype = \"int64\"", r#"{"x": [1, null]}"#, "invalid: `x[1]` is null, where a number should be"),
        (
            ", dtype = \"bool\"",
            r#"{"x": [true, null]}"#,
            "invalid: `x[1]` is null, where true or false should be",
        ),
        (
            ", dtype = \"string\"",
            r#"{"x": ["a", null]}"#,
            "invalid: `x[1]` is null, where a string should be",
        ),
        ("", r#"{"x": null}"#, "invalid: `x` is null, where a number or an array of numbers should be"),
        ("", r#"{"x": [[1], null]}"#, "invalid: `x[1]` is null, where an array should be"),
        ("", r#"{"x": "1"}"#, "invalid: `x` is a string, where a number or an array of numbers should be"),
        (
            "",
            r#"{"x": [true]}"#,
            "invalid: `x[0]` is a boolean, where a number or an array of numbers should be",
        ),
        (
            "",
            r#"{"x": []}"#,
            "invalid: `x` is empty, and how many axes it has is not known without a `shape`",
        ),
        (
            "",
            r#"{"x": [[], []]}"#,
            "invalid: `x[0]` is empty, and how many axes it has is not known without a `shape`",
        ),
        (
            ", shape = [2, -1, 4]",
            r#"{"x": []}"#,
            "invalid: `x` has length 0, not 2; the shape wanted is [2, ?, 4]",
        ),
        (
            ", shape = [2, -1, 4]",
            r#"{"x": [[], [[1, 2, 3, 4]]]}"#,
            "invalid: `x[1]` has length 1, others beside it have 0",
        ),
        ("", r#"{"x": [1, 1e39]}"#, "invalid: `x[1]` is 1e39, which float32 does not hold"),
        (", dtype = \"uint8\"", r#"{"x": [256]}"#, "invalid: `x[0]` is 256, which uint8 does not hold"),
        (", dtype = \"uint8\"", r#"{"x": [-1]}"#, "invalid: `x[0]` is -1, which uint8 does not hold"),
        (", dtype = \"int32\"", r#"{"x": [1.5]}"#, "invalid: `x[0]` is 1.5, where int32 has integers"),
        (", dtype = \"bool\"", r#"{"x": [2]}"#, "invalid: `x[0]` is 2, which bool does not hold"),
        (
            ", shape = [2, 3]",
            r#"{"x": [[1, 2, 3], [4, 5]]}"#,
            "invalid: `x[1]` has length 2, not 3; the shape wanted is [2, 3]",
        ),
        (
            ", shape = [-1, 3]",
            r#"{"x": [1, 2, 3]}"#,
            "invalid: `x[0]` is 1, where an array should be; the shape wanted is [?, 3]",
        ),
        (", max_elements = 3", r#"{"x": [1, 2, 3, 4]}"#, "too large: `x` has more than 3 elements"),
        ("", "", "malformed: empty, where a JSON document should be"),
        ("", "{\"x\": [1, 2", "malformed: not JSON: EOF while parsing a list at line 1 column 11"),
        ("", "{\"x\": [1] } ]", "malformed: not JSON: trailing characters at line 1 column 13"),
        ("", "{\"x\": NaM}", "malformed: not JSON: expected value at line 1 column 7"),
        (
            ", dtype = \"int64\"",
            "{\"x\": [NaN]}",
            "invalid: `x[0]` is null, where a number or an array of numbers should be",
        ),
        (
            ", dtype = \"int64\"",
            "{\"x\": [Infinity]}",
            "invalid: `x[0]` is a string, where a number or an array of numbers should be",
        ),
        ("", "\u{ff}", "malformed: not JSON: expected value at line 1 column 1"),
    ];
    for (options, body, wanted) in cases {
        assert_eq!(refused(options, body), wanted, "{body}");
    }
}

#[test]
fn deep_documents_are_refused_not_followed() {
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    let error = refused("", &deep);
    assert!(error.ends_with("nests arrays more than 16 deep"), "{error}");
    let elsewhere = format!(r#"{{"y": {deep}, "x": [1]}}"#);
    assert_eq!(read("", &elsewhere).1, [1.0]);
}

proptest! {
    #[test]
    fn any_body_is_answered(body: Vec<u8>) {
        let _ = decode(r#"format = "json", field = "x""#).decode(&bytes(body), false);
    }

    #[test]
    fn any_json_is_answered(body in r#"[\[\]{}":,xe0-9.\-]{0,40}"#) {
        let _ = decode(r#"format = "json", field = "x", shape = [-1, 2]"#).decode(&bytes(body.into_bytes()), false);
    }

    #[test]
    fn what_is_written_is_read(rows in prop::collection::vec(prop::array::uniform3(any::<f32>()), 1..8)) {
        prop_assume!(rows.iter().flatten().all(|v| v.is_finite()));
        let body = serde_json::to_vec(&serde_json::json!({ "x": rows })).unwrap();
        let tensor = decoded(r#"format = "json", field = "x", shape = [-1, 3]"#, body).unwrap().tensor;
        prop_assert_eq!(tensor.shape(), &[rows.len(), 3]);
        let elements = tensor.elements::<f32>().unwrap();
        prop_assert_eq!(elements.to_vec(), rows.concat());
    }
}
