//! The registry, and options of the formats that are wrong.

use super::registry;
use crate::diagnostic::{At, Report, SourceText, Span};
use crate::plan::Codecs;
use crate::spec::Codec;
use crate::spec::document::{Value, parse};

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
    assert_eq!(decode_errors(r#"{ format = "json", shape = [0] }"#).len(), 1);
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
            "`fields.a` of `encode.photo` has no `labels` @ a | name the file beside the model that has a label on \
             each line: `labels = \"labels.txt\"`",
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
