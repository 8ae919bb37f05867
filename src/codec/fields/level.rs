//! Where in an answer a source may be written: once, or for each element of the lists around it. Pure.

use crate::diagnostic::{At, Diagnostic, Report};
use crate::plan::{Bound, Given, Input};
use serde::Serialize;

/// The lists for each of whose elements a part of an answer is written, the outermost first; `None` where that is not
/// known, which was reported.
#[derive(Clone, Debug)]
pub struct Level(Option<Vec<String>>);

impl Level {
    /// What is written once.
    pub fn once() -> Self {
        Self(Some(vec![]))
    }

    /// The lists within this level for each of whose elements a source is there; `None` where it cannot be read here,
    /// which is reported. `what` is the part of the answer that reads it.
    pub fn lists(&self, what: &str, bound: &Bound, report: &mut Report) -> Option<usize> {
        let lineage = &bound.presence.each;
        let Self(Some(own)) = self else { return Some(0) };
        if own.starts_with(lineage) {
            return Some(0);
        }
        if lineage.starts_with(own) {
            return Some(lineage.len() - own.len());
        }
        report.push(
            strangers(
                Diagnostic::error(format!(
                    "`{}` is there {}, and {what} is written {}",
                    bound.from.value,
                    times(lineage),
                    times(own)
                )),
                &bound.from,
            )
            .help(format!("write it where there is `each = \"{}\"`", last(lineage))),
        );
        None
    }

    /// The level of the elements of a list which is written here.
    pub fn within(&self, what: &str, list: Option<&Bound>, report: &mut Report) -> Self {
        let (Self(Some(own)), Some(list)) = (self, list) else { return Self(None) };
        let (from, outer) = (&list.from, &list.presence.each);
        if own != outer {
            let d = Diagnostic::error(format!(
                "there is a list `{}` {}, and {what} is written {}",
                from.value,
                times(outer),
                times(own)
            ));
            report.push(if outer.starts_with(own) {
                d.at(&from.place, "").help(format!(
                    "write it within a field that has `each = \"{}\"`",
                    outer.get(own.len()).map_or("", String::as_str)
                ))
            } else {
                strangers(d, from)
                    .help("write it beside the field that is written for each of these, not within it")
            });
            return Self(None);
        }
        Self::of_rows(Some(list))
    }

    /// The level of the elements of a list which has a row for each.
    pub fn of_rows(list: Option<&Bound>) -> Self {
        Self(list.map(|list| list.presence.each.iter().chain([&list.from.value]).cloned().collect()))
    }
}

fn last(lineage: &[String]) -> &str {
    lineage.last().map_or("", String::as_str)
}

/// "once", "once for each `plate`"
fn times(lineage: &[String]) -> String {
    lineage.last().map_or("once".to_owned(), |list| format!("once for each `{list}`"))
}

fn strangers(d: Diagnostic, from: &At<String>) -> Diagnostic {
    d.at(&from.place, "").note("an element of one list never meets an element of another")
}

/// The list for each of whose elements there is a row.
#[derive(Clone, Debug, Serialize)]
pub struct RowsOf {
    /// The position of its source.
    pub source: usize,
}

impl RowsOf {
    /// The elements that there are, each by its positions in the lists that it lies in. Without a list, the item itself.
    pub fn elements(of: Option<&Self>, inputs: &[Input]) -> Vec<Vec<usize>> {
        let Some(Self { source }) = of else { return vec![vec![]] };
        let mut all = vec![];
        if let Some(input) = inputs.get(*source) {
            below(&input.given, &mut vec![], &mut all);
        }
        all
    }
}

fn below(given: &Given, path: &mut Vec<usize>, all: &mut Vec<Vec<usize>>) {
    let (count, lists) = match given {
        Given::Length(length) => (*length, None),
        Given::Each(lists) => (lists.len(), Some(lists)),
        // A list that is not there has no elements.
        Given::Absent | Given::One(_) => return,
    };
    for index in 0..count {
        path.push(index);
        match lists {
            Some(lists) => below(&lists[index], path, all),
            None => all.push(path.clone()),
        }
        path.pop();
    }
}

#[cfg(test)]
mod tests {
    use super::super::at;
    use super::*;

    #[test]
    fn elements_of_lists_within_lists_follow_each_other() {
        let given = Given::Each(vec![Given::Length(2), Given::Absent, Given::Length(0), Given::Length(1)]);
        let inputs = [Input { given, labels: None }];
        let elements = |of: Option<&RowsOf>| RowsOf::elements(of, &inputs);
        assert_eq!(elements(Some(&RowsOf { source: 0 })), [[0, 0], [0, 1], [3, 0]]);
        assert_eq!(elements(None), [[0usize; 0]]);
        assert!(elements(Some(&RowsOf { source: 1 })).is_empty());
        assert!(matches!(at(&inputs[0].given, &[3]), Given::Length(1)));
        assert!(matches!(at(&inputs[0].given, &[4]), Given::Absent));
        assert!(matches!(at(&inputs[0].given, &[1, 0]), Given::Absent));
    }
}
