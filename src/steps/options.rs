//! Options that several operations share.

use crate::diagnostic::{At, Report};
use crate::plan::{Operand, Reads};
use crate::spec::document::{Expected, Reader, Value};

/// The one source of an operation, `from = "step.output"`.
pub fn from(options: &mut Reader<'_>, reads: Reads, report: &mut Report) -> Option<Operand> {
    options.require("from", "name what it reads: `from = \"step.output\"`");
    let from = options.string("from", report)?;
    Some(Operand { name: "from".into(), from, reads, file: None })
}

/// The sources of an operation that joins several, `from = ["a.output", "b.output"]`; one alone may stand without
/// brackets.
pub fn sources(options: &mut Reader<'_>, reads: Reads, report: &mut Report) -> Vec<Operand> {
    options.require("from", "name what it reads: `from = [\"a.output\", \"b.output\"]`");
    let wanted = || {
        Expected::new("a source or an array of sources").help("as in `from = [\"a.output\", \"b.output\"]`")
    };
    let read = options.take_as("from", report, |value| match &value.value {
        Value::String(one) => Ok(vec![value.with(one.clone())]),
        Value::Array(items) if !items.is_empty() => items
            .iter()
            .map(|item| match &item.value {
                Value::String(one) => Ok(item.with(one.clone())),
                _ => Err(wanted()),
            })
            .collect::<Result<Vec<At<String>>, _>>(),
        _ => Err(wanted()),
    });
    let sources = read.map(|sources| sources.value).unwrap_or_default();
    let one = sources.len() == 1;
    let name = |at: usize| if one { "from".to_owned() } else { format!("from[{at}]") };
    sources
        .into_iter()
        .enumerate()
        .map(|(at, from)| Operand { name: name(at), from, reads, file: None })
        .collect()
}
