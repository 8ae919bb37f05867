//! The registry, and options of the formats that are wrong.

use super::registry;
use crate::diagnostic::{At, Report, SourceText, Span};
use crate::plan::{Bound, Encode, Presence, SourceRef, TensorType};
use crate::spec::Codec;
use crate::spec::document::{Value, parse};
use crate::tensor::DType;
use std::sync::Arc;

/// The codec that `text` writes as `photo = { format = …, … }`.
pub fn codec(text: &str) -> Codec {
    let source = SourceText::new("p.toml", format!("photo = {text}"));
    let mut report = Report::default();
    let document = parse(&source, &mut report);
    assert!(!report.has_errors(), "{:?}", report.diagnostics);
    let (name, value) = document.value.entries.into_iter().next().unwrap();
    let Value::Table(table) = value.value else { panic!("not a table") };
    let format = match table.get("format").map(|f| (&f.value, &f.place)) {
        Some((Value::String(format), place)) => At::new(format.clone(), place.clone()),
        _ => panic!("no format"),
    };
    Codec { name, format, options: At::new(table, Span::new(&source, 0..source.text.len())) }
}

/// Titles and helps of what is wrong, each with the text its first place underlines.
fn errors(report: &Report) -> Vec<String> {
    report
        .diagnostics
        .iter()
        .map(|d| {
            let at = d.places.first().map(|(p, _)| &p.source.text[p.range.clone()]).unwrap_or_default();
            format!("{} @ {at} | {}", d.title, d.helps.join("; "))
        })
        .collect()
}

fn decode_errors(text: &str) -> Vec<String> {
    let mut report = Report::default();
    let found = registry().decode(&codec(text), &mut report);
    assert!(found.is_some() || report.has_errors());
    errors(&report)
}

fn encode_errors(text: &str) -> Vec<String> {
    let mut report = Report::default();
    let found = registry().encode(&codec(text), &mut report);
    assert!(found.is_some() || report.has_errors());
    errors(&report)
}

#[test]
fn formats_that_do_not_exist() {
    assert_eq!(
        decode_errors(r#"{ format = "imge" }"#),
        [r#"unknown decode format `imge` @ "imge" | did you mean `image`?"#]
    );
    assert_eq!(decode_errors(r#"{ format = "png" }"#), [r#"unknown decode format `png` @ "png" | "#]);
    assert_eq!(encode_errors(r#"{ format = "yaml" }"#), [r#"unknown encode format `yaml` @ "yaml" | "#]);
}

#[test]
fn all_that_is_wrong_with_an_image_is_said_at_once() {
    assert_eq!(
        decode_errors(
            r#"{ format = "image", siz = 64, fit = "fill", mean = [1, 2], std = [0, 1, 1], max_side = 0 }"#
        ),
        [
            r#"`fit` in `decode.photo` must be one of "stretch", "cover", "contain" @ "fill" | "#,
            "`mean` in `decode.photo` must be one number, or 3: one for each channel in the order of `color` \
             @ [1, 2] | ",
            "`std` in `decode.photo` must be above 0 in each channel @ [0, 1, 1] | ",
            "`max_side` in `decode.photo` must be an integer from 1 to 65535 @ 0 | ",
            "unknown key `siz` in `decode.photo` @ siz | did you mean `size`?",
        ]
    );
    assert_eq!(
        decode_errors(r#"{ format = "image", fit = "cover", pad = "red", dtype = "uint8", scale = 1 }"#),
        [
            "`pad` in `decode.photo` must be a colour @ \"red\" | write it as \"#ff3b30\" or as [255, 59, 48]",
            "`fit` in `decode.photo` has no effect without `size` @ \"cover\" | add the size that the model takes: \
             `size = [width, height]`",
            "`scale` in `decode.photo` has no effect on uint8 @ 1 | take a float dtype, or leave this out",
        ]
    );
    for size in ["[64]", "0", "[64, 20000]", "\"64x64\"", "[64, 64, 3]"] {
        let errors = decode_errors(&format!(r#"{{ format = "image", size = {size} }}"#));
        assert!(errors[0].starts_with("`size` in `decode.photo` must be [width, height]"), "{errors:?}");
    }
}

#[test]
fn options_of_the_other_decodes() {
    assert_eq!(
        decode_errors(r#"{ format = "raw", dtype = "float" }"#).last().unwrap(),
        "`decode.photo` has no `shape` @ photo | bytes do not say their shape: `shape = [3, 64, 64]`"
    );
    assert_eq!(
        decode_errors(r#"{ format = "raw", shape = [-1, -1] }"#),
        ["`shape` in `decode.photo` leaves more than one axis open @ [-1, -1] | give all lengths but one"]
    );
    assert_eq!(decode_errors(r#"{ format = "json", shape = [9999999999, 9999999999] }"#).len(), 1);
    assert_eq!(
        decode_errors(r#"{ format = "json", shape = [0, 9999999999, 9999999999] }"#).len(),
        1,
        "no elements, and axes that no machine holds"
    );
    assert_eq!(decode_errors(r#"{ format = "json", shape = [2, 0] }"#), Vec::<String>::new());
    assert_eq!(
        decode_errors(r#"{ format = "raw", shape = [0, -1] }"#),
        [
            "`shape` in `decode.photo` leaves an axis open that no body tells of @ [0, -1] | an axis of 0 leaves \
          no bytes: give all lengths"
        ]
    );
}

#[test]
fn what_is_written_as_a_path_is_a_key() {
    for field in ["customer.age", "customer/age", "/customer/age", "$.customer.age"] {
        assert_eq!(
            decode_errors(&format!(r#"{{ format = "json", field = "{field}" }}"#)),
            [format!(
                "`field` in `decode.photo` is one key of the document, not a path into it @ \"{field}\" | send the \
                 value beside the others, with `field = \"age\"` and a decode for each"
            )]
        );
    }
    for field in ["age", "price.", "a b", "/"] {
        assert_eq!(
            decode_errors(&format!(r#"{{ format = "json", field = "{field}" }}"#)),
            [""; 0],
            "{field}"
        );
    }
}

#[test]
fn options_of_the_encodes() {
    assert_eq!(
        encode_errors(r#"{ format = "json" }"#),
        [
            "`encode.photo` has no `fields` @ photo | name what the answer holds: `fields.NAME = \"step.output\"`"
        ]
    );
    assert_eq!(
        encode_errors(
            r#"{ format = "json", fields.a = { from = "s", as = "label" }, fields.b = 3, fields.c = { from = "s", top = 2 } }"#
        ),
        [
            "`fields.b` of `encode.photo` must be a source or a table @ 3 | as in `fields.b = \"step.output\"`",
            "`top` in `fields.c` of `encode.photo` has no effect with `as = \"values\"` @ 2 | it is for `as = \"top\"`",
        ]
    );
    assert_eq!(
        encode_errors(r#"{ format = "csv", fields.item = "s" }"#),
        ["`item` is no name for a field of `encode.photo` @ item | "]
    );
    assert_eq!(
        encode_errors(r##"{ format = "png", from = "mask", as = "overlay", palete = ["#fff"] }"##),
        [
            "unknown key `palete` in `encode.photo` @ palete | did you mean `palette`?",
            "`encode.photo` has no `on` @ photo | name the decode whose picture is drawn on: `on = \"photo\"`",
        ]
    );
}

/// The options of a format that the reference names: the first cells of the tables below its heading.
fn documented(heading: &str) -> Vec<String> {
    let text = include_str!("../../docs/formats.md");
    let section = text.split("\n### ").find(|section| section.starts_with(heading)).expect("a section");
    let section = section.split("\n## ").next().unwrap_or(section);
    let cells = section.lines().filter_map(|line| line.strip_prefix("| `")?.split_once(" |"));
    let names = cells.flat_map(|(cell, _)| cell.split(", ")).map(|name| name.trim_matches('`').to_owned());
    names.filter(|name| !name.starts_with('"')).collect()
}

/// What `canonical` says changes with each of `changed`, of which each changes one option of `plain`.
fn each_counts(
    heading: &str,
    plain: &str,
    changed: &[(&str, &str)],
    not_of_the_codec: &[&str],
    canonical: impl Fn(&str) -> serde_json::Value,
) {
    let before = canonical(plain);
    for (option, change) in changed {
        let text = plain.replace(" }", &format!(", {change} }}"));
        assert_ne!(canonical(&text), before, "{heading}: {option} in {text}");
    }
    for option in documented(heading) {
        let tried = changed.iter().any(|(name, _)| *name == option);
        assert!(tried || not_of_the_codec.contains(&option.as_str()), "{heading}: `{option}` is not tried");
    }
}

#[test]
fn every_option_of_a_decode_counts() {
    let options = |text: &str| {
        let mut report = Report::default();
        let decode = registry().decode(&codec(text), &mut report);
        assert!(!report.has_errors(), "{:?}", errors(&report));
        decode.unwrap().options()
    };
    let image = [
        ("size", "size = 32"),
        ("scale", "scale = 1"),
        ("mean", "mean = 0.5"),
        ("mean", "mean = [0, 0, 0.5]"),
        ("std", "std = [1, 2, 1]"),
        ("color", "color = \"bgr\""),
        ("background", "background = \"#ffffff\""),
        ("layout", "layout = \"nhwc\""),
        ("dtype", "dtype = \"float64\""),
        ("max_pixels", "max_pixels = 1000"),
        ("max_side", "max_side = 1000"),
    ];
    let with_size = ["size", "fit", "filter", "pad"];
    each_counts("image", r#"{ format = "image" }"#, &image, &with_size, options);
    let image = [("fit", "fit = \"cover\""), ("filter", "filter = \"box\"")];
    for (_, change) in image {
        let plain = r#"{ format = "image", size = 32 }"#;
        assert_ne!(options(&plain.replace(" }", &format!(", {change} }}"))), options(plain), "{change}");
    }
    let contain = |pad: &str| options(&format!(r#"{{ format = "image", size = 8, fit = "contain"{pad} }}"#));
    assert_ne!(contain(", pad = \"#ffffff\""), contain(""));
    let json = [
        ("field", "field = \"x\""),
        ("dtype", "dtype = \"string\""),
        ("shape", "shape = [2]"),
        ("max_elements", "max_elements = 5"),
    ];
    each_counts("json", r#"{ format = "json" }"#, &json, &[], options);
    let npy = [("dtype", "dtype = \"int64\""), ("shape", "shape = [2]")];
    each_counts("npy", r#"{ format = "npy" }"#, &npy, &["cast"], options);
    let cast = |cast: &str| options(&format!(r#"{{ format = "npy", dtype = "int64"{cast} }}"#));
    assert_ne!(cast(", cast = true"), cast(""));
    let raw = [("dtype", "dtype = \"int64\"")];
    each_counts("raw", r#"{ format = "raw", shape = [2] }"#, &raw, &["shape"], options);
    assert_ne!(options(r#"{ format = "raw", shape = [2] }"#), options(r#"{ format = "raw", shape = [3] }"#));
}

/// An encode bound to sources of this type, as it says what it does.
fn encode_options(text: &str, dims: &[usize], dtype: DType) -> serde_json::Value {
    let dims: Vec<Option<usize>> = dims.iter().map(|n| Some(*n)).collect();
    let (encode, report) = bound(text, &dims, dtype);
    assert!(!report.has_errors(), "{text}: {:?}", errors(&report));
    encode.unwrap().options()
}

/// An encode bound to sources of this type, and what is said about it.
fn bound(text: &str, dims: &[Option<usize>], dtype: DType) -> (Option<Arc<dyn Encode>>, Report) {
    let mut report = Report::default();
    let draft = registry().encode(&codec(text), &mut report).unwrap();
    let bound = |source: SourceRef| Bound {
        ty: TensorType { dtype: Some(dtype), dims: Some(dims.to_vec()) },
        labels: source.labels.map(|file| (file, dims.first().copied().flatten().unwrap_or(0))),
        from: source.from,
        lines: None,
        note: None,
        presence: Presence::default(),
    };
    let bound: Vec<Option<Bound>> = draft.sources().into_iter().map(|source| Some(bound(source))).collect();
    (draft.bind(&bound, &mut report), report)
}

#[test]
fn a_scalar_of_what_may_hold_more_is_warned_of() {
    let text = r#"{ format = "json", fields.n = { from = "m", as = "scalar" } }"#;
    for (dims, said) in [(&[][..], 0), (&[Some(1)], 0), (&[None], 1), (&[Some(1), None], 1), (&[Some(2)], 1)]
    {
        let (encode, report) = bound(text, dims, DType::F32);
        assert_eq!(report.diagnostics.len(), said, "{dims:?}");
        assert_eq!(encode.is_some(), dims.first() != Some(&Some(2)), "{dims:?}");
    }
    let (_, report) = bound(text, &[None], DType::F32);
    assert_eq!(
        errors(&report),
        [
            "`as = \"scalar\"` in `fields.n` of `encode.photo` takes a source with one element, and how many there are is \
             not known @ \"m\" | for any number take `as = \"values\"`"
        ]
    );
}

#[test]
fn every_option_of_an_encode_counts() {
    let fields = "json, jsonl, csv, parquet";
    for format in ["json", "jsonl", "csv", "parquet"] {
        let options = |text: &str| encode_options(text, &[7], DType::F32);
        let text =
            |option: &str| format!(r#"{{ format = "{format}", fields.f = {{ from = "s", {option} }} }}"#);
        // Where a source comes from and which labels it has, the plan says for every format.
        let each = |plain: &str, changed: &[(&str, &str)]| {
            for (_, change) in changed {
                let change = format!("{plain}, {change}");
                assert_ne!(options(&text(&change)), options(&text(plain)), "{format}: {change}");
            }
        };
        each("as = \"top\"", &[("top", "top = 3"), ("softmax", "softmax = true"), ("round", "round = 2")]);
        each("as = \"top\"", &[("labels", "labels = \"l\"")]);
        each("round = 3", &[("as", "as = \"mean\"")]);
        assert_ne!(options(&text("round = 2")), options(&text("round = 3")));
        let axis = |axis: usize| {
            let option = format!("as = \"argmax\", axis = {axis}");
            encode_options(&text(&option), &[3, 1], DType::F32)
        };
        if format != "csv" {
            assert_ne!(axis(0), axis(1));
        }
        assert_ne!(options(&text("round = 2")), options(&text("round = 2").replace("fields.f", "fields.g")));
    }
    // `each` and `fields` are tried where there are lists.
    let tried = ["from", "as", "labels", "top", "softmax", "axis", "round", "each", "fields"];
    for option in documented(fields) {
        assert!(tried.contains(&option.as_str()), "`{option}` is not tried");
    }

    let mask = |text: &str| encode_options(text, &[1, 8, 8], DType::F32);
    let scores = |text: &str| encode_options(text, &[2, 8, 8], DType::F32);
    let overlay = r#"{ format = "png", from = "m", as = "overlay", on = "photo" }"#;
    let changed = [
        ("range", "range = [0, 2]"),
        ("threshold", "threshold = 0.5"),
        ("color", "color = \"#ffffff\""),
        ("alpha", "alpha = 0.25"),
    ];
    let of_found = ["class", "line", "text", "text_size", "round", "scores", "lines"];
    let others = ["from", "as", "on", "palette", "labels"].into_iter().chain(of_found).collect::<Vec<_>>();
    each_counts("png", overlay, &changed, &others, mask);
    let palette = overlay.replace(" }", ", palette = [\"none\", \"#ffffff\"] }");
    assert_ne!(scores(&palette), scores(overlay));
    let gray = r#"{ format = "png", from = "m", as = "gray" }"#;
    assert_ne!(mask(gray), mask(overlay));
    assert_ne!(mask(gray), mask(&gray.replace(" }", ", on = \"photo\" }")));
}

#[test]
fn fields_that_hold_others() {
    assert_eq!(
        encode_errors(
            r#"{ format = "csv", fields.a = { fields.b = "s" }, fields.c = { each = "l", fields.b = "s" } }"#
        ),
        [
            "`fields.a` of `encode.photo` holds fields, and a table has columns @ a | write them beside each other; jsonl \
             has fields within fields",
            "`fields.c` of `encode.photo` holds fields, and a table has columns @ c | `each = \"l\"` beside `fields` writes \
             a row for each of them; jsonl has fields within fields",
        ]
    );
    assert_eq!(
        encode_errors(
            r#"{ format = "json", each = "l", fields.a = { each = "l" }, fields.b = { each = "l", from = "s" }, fields.c = { fields.d = "s", as = "top" }, fields.e = { from = "s", fields.f = "t" } }"#
        ),
        [
            "`encode.photo` is one answer, and has no row for each element @ \"l\" | an array of objects is a field: \
             `fields.NAME = { each = \"l\", fields.… }`; jsonl, csv and parquet write rows",
            "`fields.a` of `encode.photo` has no `fields` @ a | name what the answer holds: `fields.NAME = \"step.output\"`",
            "`fields.b` of `encode.photo` has a `from` of its own, and `each` @ \"l\" | what is there for each element is \
             an array by itself: leave `each` out; an array of objects is `{ each = \"l\", fields.NAME = \"step.output\" }`",
            "unknown key `as` in `fields.c` of `encode.photo` @ as | known here: `each`, `fields`",
            "`fields.e` of `encode.photo` has a `from` of its own, and `fields` @ fields | write `from` as a field within it: \
             `fields.NAME = \"step.output\"`",
        ]
    );
    assert_eq!(
        encode_errors(r#"{ format = "jsonl", fields.models = { fields.b = "s" } }"#),
        ["`models` is no name for a field of `encode.photo` @ models | "]
    );
}

#[test]
fn every_option_of_a_drawing_counts() {
    let draw = |kind: &str, dims: &[usize], changed: &[&str]| {
        let text = format!(r#"{{ format = "png", from = "m", as = "{kind}", on = "photo" }}"#);
        let before = encode_options(&text, dims, DType::F32);
        for change in changed {
            let text = text.replace(" }", &format!(", {change} }}"));
            assert_ne!(encode_options(&text, dims, DType::F32), before, "{kind}: {change}");
        }
    };
    let palette = "palette = [\"#000000\"]";
    draw("boxes", &[4], &["line = 3", "text_size = 9", "round = 0", palette]);
    draw("keypoints", &[5, 2], &["line = 3", "threshold = 0.1", "lines = [[0, 1]]", palette]);
    draw("masks", &[6, 7], &["threshold = 0.1", "alpha = 0.3", palette]);
}
