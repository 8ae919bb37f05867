//! docs/operators.md names every operator there is, and no other.

use super::{Registry, inner};
use burn_flex::Flex;
use std::collections::BTreeSet;
use std::path::Path;

const START: &str = "<!-- operators: written by the test `the_operators_are_documented` -->\n";
const END: &str = "<!-- end of operators -->";
const HEAD: &str = "\n| operator | domain | from opset |\n|---|---|---|\n";

/// The first opset that models are tried with.
const OLDEST: i64 = 7;

#[test]
fn the_operators_are_documented() {
    let registry = Registry::<Flex>::standard();
    let row = |(domain, name, since): (&str, &str, i64)| match domain {
        "" => format!("| {name} | ai.onnx | {} |", since.max(OLDEST)),
        domain => format!("| {name} | {domain} | 1 |"),
    };
    // What only the optimiser and bodies write is not for models.
    let public = registry.listed().filter(|(domain, ..)| *domain != inner::DOMAIN);
    let wanted: BTreeSet<String> = public.map(row).collect();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operators.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(START).expect("the mark where the operators begin");
    let (table, after) = rest.split_once(END).expect("the mark where they end");
    if std::env::var("RSERVE_BLESS").is_ok() {
        let rows: Vec<&str> = wanted.iter().map(String::as_str).collect();
        let text = format!("{before}{START}{HEAD}{}\n\n{END}{after}", rows.join("\n"));
        std::fs::write(&path, text).unwrap();
        return;
    }
    let listed: BTreeSet<String> =
        table.lines().skip(3).filter(|l| !l.is_empty()).map(str::to_owned).collect();
    let missing: Vec<_> = wanted.difference(&listed).collect();
    let gone: Vec<_> = listed.difference(&wanted).collect();
    assert!(
        missing.is_empty() && gone.is_empty(),
        "docs/operators.md lacks {missing:#?} and has {gone:#?}; `RSERVE_BLESS=1 cargo test --lib operators_are` writes it"
    );
}
