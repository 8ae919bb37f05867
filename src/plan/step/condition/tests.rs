//! What conditions mean, and what is said of those that mean nothing.

use super::*;
use crate::diagnostic::{At, Report, SourceText, Span, render};
use crate::tensor::{DType, Tensor};
use proptest::prelude::*;
use std::fmt::Write;

#[test]
fn names_are_found_in_what_does_not_parse() {
    let names = |text| {
        guessed(text)
            .into_iter()
            .map(|(name, at)| {
                assert_eq!(&text[at], name);
                name
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(
        names("sure < 0.5 & made.x == 1st AND not 'a b' in [\"c\", 1e-3] é b"),
        ["sure", "made.x", "1st", "b"]
    );
    assert_eq!(names("count(faces) - -1 > 'open"), ["count", "faces"]);
    assert_eq!(names(""), Vec::<String>::new());
}

/// Values by the names of their sources.
fn holds(text: &str, values: &[(&str, Scalar)]) -> bool {
    let condition = parse(text).unwrap_or_else(|mistake| panic!("{text}: {mistake:?}"));
    let value = |name: &str| values.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone());
    let values: Vec<Scalar> = condition.sources().iter().map(|(name, _)| value(name).unwrap()).collect();
    condition.evaluate(&values)
}

fn float(value: f64) -> Scalar {
    Scalar::Float(value, DType::F64)
}

fn class(index: i128, label: &str) -> Scalar {
    Scalar::Class(index, Some(label.into()))
}

#[test]
fn comparisons_with_literals() {
    let x =
        [("x", float(0.5)), ("n", Scalar::Int(-3)), ("ok", Scalar::Bool(true)), ("kind", class(1, "truck"))];
    for (text, expected) in [
        ("x < 0.5", false),
        ("x <= 0.5", true),
        ("x>0.25", true),
        ("0.25<x", true),
        ("0.5 >= x", true),
        ("1 > x", true),
        ("x == 5e-1", true),
        ("n == -3", true),
        ("n<-2", true),
        ("n >= -2.5", false),
        ("n < -2.5", true),
        ("n in [1, -3]", true),
        ("n not in [1, -3,]", false),
        ("x in [0, 1]", false),
        ("ok", true),
        ("not ok", false),
        ("ok == true and ok != false", true),
        ("kind == 'truck'", true),
        ("kind == \"car\"", false),
        ("kind != \"car\"", true),
        ("kind == 1", true),
        ("kind in [\"car\", 'truck']", true),
        ("not kind in [\"car\"]", true),
    ] {
        assert_eq!(holds(text, &x), expected, "{text}");
    }
}

#[test]
fn or_binds_less_than_and_and_not_binds_most() {
    let all =
        |a: bool, b: bool, c: bool| [("a", Scalar::Bool(a)), ("b", Scalar::Bool(b)), ("c", Scalar::Bool(c))];
    for bits in 0..8 {
        let (a, b, c) = (bits & 1 == 1, bits & 2 == 2, bits & 4 == 4);
        let values = all(a, b, c);
        assert_eq!(holds("a or b and c", &values), a || b && c);
        assert_eq!(holds("(a or b) and c", &values), (a || b) && c);
        assert_eq!(holds("not a and b or not c", &values), !a && b || !c);
        assert_eq!(holds("not (a and b) or not not c", &values), !(a && b) || c);
        assert_eq!(holds("a == b or b != c", &values), a == b || b != c);
    }
}

#[test]
fn names_are_as_in_the_language() {
    let condition = parse("step-1.output-0<0.5 and 1st.x == -1 and _a/b:0 and step-1.output-0 > 0").unwrap();
    let names: Vec<&str> = condition.sources().iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["step-1.output-0", "1st.x", "_a/b:0"]);
    assert_eq!(condition.sources()[1].1, 24..29);
    // Spaces tell a minus from one within a name.
    assert_eq!(parse("a-1 == 2").unwrap().sources()[0].0, "a-1");
    assert!(parse("a -1 == 2").is_err());
}

#[test]
fn the_canonical_form_has_no_needless_brackets() {
    for (text, canonical) in [
        ("( (a)and(b and c) )", "a and b and c"),
        ("(a or b) and c", "(a or b) and c"),
        ("a or (b and c)", "a or b and c"),
        ("not(a==1)", "not a == 1"),
        ("not (a or b)", "not (a or b)"),
        ("0.850 > a", "a < 0.85"),
        ("a == 1e3", "a == 1000.0"),
        ("a == +7", "a == 7"),
        ("k in ['x' , \"it's\", 'say \"no\"',]", "k in [\"x\", \"it's\", 'say \"no\"']"),
        ("a not  in [1]", "a not in [1]"),
    ] {
        let condition = parse(text).unwrap();
        assert_eq!(condition.to_string(), canonical);
        assert_eq!(parse(canonical).unwrap().to_string(), canonical);
    }
}

#[test]
fn integers_are_compared_exactly() {
    let large = [
        ("n", Scalar::Int((1 << 53) + 1)),
        ("u", Scalar::Int(i128::from(u64::MAX))),
        ("x", float(2f64.powi(53))),
    ];
    for (text, expected) in [
        ("n == 9007199254740993", true),
        ("n == 9007199254740992", false),
        ("n == 9007199254740992.0", false),
        ("n > x", true),
        ("x < n", true),
        ("x != n", true),
        ("u == 18446744073709551615", true),
        ("u < 1e30", true),
        ("u > -1e300", true),
        ("u < 1e300", true),
    ] {
        assert_eq!(holds(text, &large), expected, "{text}");
    }
    for near in [-0.5, 0.5] {
        assert_eq!(holds("n < x", &[("n", Scalar::Int(0)), ("x", float(near))]), near > 0.0);
        assert_eq!(holds("n > x", &[("n", Scalar::Int(0)), ("x", float(near))]), near < 0.0);
    }
}

#[test]
fn a_number_of_the_condition_is_rounded_to_the_type_of_the_source() {
    let single = [("x", Scalar::Float(f64::from(0.85f32), DType::F32))];
    assert!(holds("x == 0.85", &single));
    assert!(!holds("x > 0.85", &single));
    assert!(holds("x in [0.85]", &single));
    let half = [("x", Scalar::Float(half::f16::from_f32(0.1).to_f64(), DType::F16))];
    assert!(holds("x <= 0.1 and x >= 0.1", &half));
    // What has no finite neighbour there stays itself.
    assert!(holds("x < 1e6", &[("x", Scalar::Float(65504.0, DType::F16))]));
    assert!(!holds("x == 1e6", &[("x", Scalar::Float(f64::INFINITY, DType::F16))]));
}

#[test]
fn not_a_number_differs_from_everything() {
    let nan = [("x", float(f64::NAN)), ("n", Scalar::Int(1))];
    for text in ["x < 1", "x >= 1", "x == 1", "x == x", "x in [0, 1]", "x > n", "n <= x"] {
        assert!(!holds(text, &nan), "{text}");
    }
    for text in ["x != 1", "x != x", "x not in [0, 1]", "not x < 1", "n != x"] {
        assert!(holds(text, &nan), "{text}");
    }
}

#[test]
fn values_are_the_single_elements_of_tensors() {
    let of = |tensor: Tensor| Scalar::of(&tensor);
    assert_eq!(of(Tensor::from_vec(vec![1, 1], vec![0.5f32]).unwrap()), Some(Scalar::Float(0.5, DType::F32)));
    assert_eq!(
        of(Tensor::from_vec(vec![], vec![u64::MAX]).unwrap()),
        Some(Scalar::Int(i128::from(u64::MAX)))
    );
    assert_eq!(
        of(Tensor::from_vec(vec![], vec![i64::MIN]).unwrap()),
        Some(Scalar::Int(i128::from(i64::MIN)))
    );
    assert_eq!(of(Tensor::from_vec(vec![1], vec![7u8]).unwrap()), Some(Scalar::Int(7)));
    assert_eq!(of(Tensor::from_bools(vec![], vec![true]).unwrap()), Some(Scalar::Bool(true)));
    assert_eq!(of(Tensor::from_strings(vec![], vec!["a".into()]).unwrap()), Some(Scalar::Text("a".into())));
    assert_eq!(of(Tensor::from_vec(vec![2], vec![1f32, 2.0]).unwrap()), None);
    assert_eq!(of(Tensor::from_vec(vec![0], Vec::<f32>::new()).unwrap()), None);
}

/// What is said of each, as people see it.
fn said(texts: &[&str], check: impl Fn(&Condition) -> Vec<Mistake>) -> String {
    let mut all = String::new();
    for text in texts {
        let source = SourceText::new("p.toml", format!("when = '''{text}'''\n"));
        let at = At::new((*text).to_owned(), Span::new(&source, 7..source.text.len() - 1));
        let mut report = Report::default();
        let mistakes = parse(text).map_or_else(|mistake| vec![mistake], |condition| check(&condition));
        mistakes.into_iter().for_each(|mistake| report.push(mistake.diagnostic(&at)));
        writeln!(all, "{}", render(&report, false)).unwrap();
    }
    all
}

#[test]
fn what_does_not_parse() {
    let deep = format!("{}a{}", "(".repeat(40), ")".repeat(40));
    let long = "a or ".repeat(1000);
    let said = said(
        &[
            "",
            "sure <",
            "sure < and x",
            "sure = 0.85",
            "sure === 1",
            "a && b",
            "a || b",
            "!a",
            "a AND b",
            "a b",
            "sure 3",
            "sure + 1 < 2",
            "sure -1 < 2",
            "a * 2 > 1",
            "count(faces) > 1",
            "0.2 < sure < 0.8",
            "sure < .5",
            "sure < 85%",
            "kind == “truck”",
            "kind == \"truck",
            "1 < 2",
            "true",
            "\"a\" in [1]",
            "kind in \"truck\"",
            "kind in []",
            "kind in [truck]",
            "kind in [1 2]",
            "kind in [1, 2",
            "kind == [1]",
            "(a or b",
            "a)",
            "(sure) < 1",
            "a not b",
            "not",
            "n == 1e999",
            "a ≥ 1",
            "a; b",
            "faces == 340282366920938463463374607431768211456",
            &deep,
            &long,
        ],
        |_| vec![],
    );
    insta::assert_snapshot!(said);
}

#[test]
fn what_does_not_compare() {
    let labels = ["car", "truck", "bus"].map(str::to_owned);
    let kind_of = |name: &str| {
        Some(match name {
            "sure" => Kind::Number(DType::F32),
            "n" => Kind::Number(DType::I64),
            "ok" => Kind::Bool,
            "kind" | "other" => Kind::Class { labels: Some(&labels) },
            "plain" => Kind::Class { labels: None },
            "text" => Kind::Text,
            "scores" => Kind::Many("float32[5]".into()),
            _ => return None,
        })
    };
    let check = |condition: &Condition| {
        let kinds: Vec<Option<Kind<'_>>> =
            condition.sources().iter().map(|(name, _)| kind_of(name)).collect();
        condition.check(&kinds)
    };
    let right = "sure < 1 and sure > n and ok and ok == true and kind == \"car\" and kind in [\"bus\", 2] and kind != other \
                 and plain == n and plain == 7 and text == kind and text != \"x\" and n < 2.5 and n == 2.0 and unknown < \"x\"";
    assert_eq!(check(&parse(right).unwrap()), []);
    let said = said(
        &[
            "kind == n",
            "kind == \"truk\"",
            "kind in [\"car\", \"zeppelin\"]",
            "kind == 3",
            "kind == -1",
            "plain == \"car\"",
            "sure == \"0.5\"",
            "sure == \"high\"",
            "sure == true",
            "text == 3",
            "ok == 1",
            "ok == 0",
            "ok == \"yes\"",
            "sure",
            "not n",
            "kind",
            "plain",
            "text",
            "kind < \"car\"",
            "text >= \"a\"",
            "ok > false",
            "kind < other",
            "n == 0.5",
            "n in [1, 1.5]",
            "scores < 0.5 or scores > 0.9 or sure == \"x\"",
            "text == sure",
            "sure == kind",
            "ok == n",
            "kind == 1.5",
            "plain < 3",
        ],
        check,
    );
    insta::assert_snapshot!(said);
}

#[test]
fn a_place_is_within_the_string_in_its_file() {
    let source =
        SourceText::new("p.toml", "when = \"a < b\"\nwhen = \"a \\u003c b\"\nwhen = \"\"\"\na < b\"\"\"");
    let place = |range: Range<usize>| place(&At::new("a < b".to_owned(), Span::new(&source, range)), &(4..5));
    assert_eq!(place(7..14).range, 12..13);
    assert_eq!(place(22..34).text(), "\"a \\u003c b\"");
    assert_eq!(place(42..54).text(), "b");
}

/// Conditions as people write them.
fn written() -> impl Strategy<Value = String> {
    let name = "[a-c][0-9._-]{0,3}";
    let number = prop_oneof![
        any::<i64>().prop_map(|n| n.to_string()),
        any::<f32>().prop_map(|x| format!("{:?}", if x.is_finite() { x } else { 0.5 }))
    ];
    let literal = prop_oneof![number, "\"[ a-z']{0,4}\"", "'[ a-z\"]{0,4}'", Just("true".to_owned())];
    let sign = prop_oneof![Just("<"), Just("<="), Just(">"), Just(">="), Just("=="), Just("!=")];
    let leaf = prop_oneof![
        name.prop_map(|name| name),
        (name, sign.clone(), literal.clone())
            .prop_map(|(name, sign, literal)| format!("{name} {sign} {literal}")),
        (literal.clone(), sign.clone(), name)
            .prop_map(|(literal, sign, name)| format!("{literal}{sign}{name}")),
        (name, sign, name).prop_map(|(left, sign, right)| format!("{left}{sign}{right}")),
        (name, prop::collection::vec(literal, 1..3))
            .prop_map(|(name, list)| format!("{name} not in [{}]", list.join(", "))),
    ];
    leaf.prop_recursive(5, 20, 3, |inner| {
        let joined = |word: &'static str| {
            prop::collection::vec(inner.clone(), 2..4).prop_map(move |all| all.join(word))
        };
        prop_oneof![
            joined(" and "),
            joined(" or "),
            inner.clone().prop_map(|one| format!("({one})")),
            inner.prop_map(|one| format!("not ({one})")),
        ]
    })
}

proptest! {
    #[test]
    fn the_canonical_form_is_the_same_condition(text in written(), seeds in prop::collection::vec(0usize..8, 64)) {
        let condition = parse(&text).unwrap();
        let canonical = condition.to_string();
        let again = parse(&canonical).unwrap();
        prop_assert_eq!(again.to_string(), &*canonical);
        let names = |condition: &Condition| condition.sources().iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        prop_assert_eq!(names(&again).len(), names(&condition).len());
        let value = |name: &String| match seeds[name.bytes().map(usize::from).sum::<usize>() % seeds.len()] {
            0 => float(f64::NAN),
            1 => float(0.5),
            2 => Scalar::Int(3),
            3 => Scalar::Bool(true),
            4 => Scalar::Bool(false),
            5 => Scalar::Text("a".into()),
            6 => class(1, "b"),
            _ => Scalar::Float(0.1, DType::F32),
        };
        let values = |condition: &Condition| names(condition).iter().map(value).collect::<Vec<_>>();
        prop_assert_eq!(condition.evaluate(&values(&condition)), again.evaluate(&values(&again)));
    }

    #[test]
    fn whatever_is_written_is_refused_or_taken(text in "\\PC{0,60}") {
        guessed(&text);
        if let Err(mistake) = parse(&text) {
            prop_assert!(text.get(mistake.at.clone()).is_some(), "{mistake:?}");
        }
    }
}
