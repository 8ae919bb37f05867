//! `fields` as they are written: sources, tables of options, and fields within fields.

use super::{As, FieldDraft, GroupDraft, MemberDraft};
use crate::codec::options;
use crate::diagnostic::{At, Diagnostic, Report, Span};
use crate::spec::document::{Reader, Table, Value};

/// What an encode that is made of fields can hold.
#[derive(Clone, Copy, Debug)]
pub struct Holds {
    /// Fields within fields.
    pub nested: bool,
    /// Rows: one for each item, or for each element of a list.
    pub rows: bool,
    /// What is there for each element of a list, in one value.
    pub lists: bool,
}

const WHAT_FOR: &str = "name what the answer holds: `fields.NAME = \"step.output\"`";

/// Reads the required `fields` of an encode.
pub fn read(options: &mut Reader<'_>, holds: Holds, report: &mut Report) -> Vec<MemberDraft> {
    let what = options.what().to_owned();
    if !options.has("fields")
        && let Some(from) = options.take("from")
    {
        for key in ["as", "labels", "top", "axis", "softmax", "round"] {
            options.take(key);
        }
        report.push(
            Diagnostic::error(format!("{what} is made of fields, each with a `from` of its own"))
                .at(&from.place, "")
                .help(format!("write it as `fields.NAME = {{ from = {}, … }}`", from.place.text())),
        );
        return vec![];
    }
    members(options, holds, report)
}

/// Reads `each` beside the `fields` of an encode: the list for each of whose elements there is a row.
pub fn read_each(options: &mut Reader<'_>, holds: Holds, report: &mut Report) -> Option<At<String>> {
    if holds.rows || !options.has("each") {
        return options.string("each", report);
    }
    let each = options.take("each")?;
    report.push(
        Diagnostic::error(format!("{} is one answer, and has no row for each element", options.what()))
            .at(&each.place, "")
            .help(format!(
                "an array of objects is a field: `fields.NAME = {{ each = {}, fields.… }}`",
                each.place.text()
            ))
            .help("jsonl, csv and parquet write rows"),
    );
    None
}

fn members(options: &mut Reader<'_>, holds: Holds, report: &mut Report) -> Vec<MemberDraft> {
    let what = options.what().to_owned();
    options.require("fields", WHAT_FOR);
    let Some(fields) = options.table("fields", report) else { return vec![] };
    if fields.entries.is_empty() {
        report.push(
            Diagnostic::error(format!("`fields` in {what} is empty")).at(&fields.place, "").help(WHAT_FOR),
        );
    }
    fields.entries.iter().filter_map(|(name, value)| member(&what, name, value, holds, report)).collect()
}

fn member(
    what: &str,
    name: &At<String>,
    value: &At<Value>,
    holds: Holds,
    report: &mut Report,
) -> Option<MemberDraft> {
    match &value.value {
        Value::Table(table) if is_group(table) => {
            let group = group(what, name, table, holds, report)?;
            Some(MemberDraft::Group(group))
        }
        _ => field(what, name, value, report).map(MemberDraft::Field),
    }
}

/// A table without a source of its own holds others.
fn is_group(table: &Table) -> bool {
    table.get("from").is_none() && (table.get("fields").is_some() || table.get("each").is_some())
}

fn group(
    encode: &str,
    name: &At<String>,
    table: &Table,
    holds: Holds,
    report: &mut Report,
) -> Option<GroupDraft> {
    let what = format!("`fields.{}` of {encode}", name.value);
    let before = report.errors();
    let mut options = Reader::new(what.clone(), table, &name.place);
    let each = options.string("each", report);
    let members = members(&mut options, holds, report);
    options.finish(report);
    if !holds.nested {
        let d =
            Diagnostic::error(format!("{what} holds fields, and a table has columns")).at(&name.place, "");
        report.push(match &each {
            Some(each) => d.help(format!(
                "`each = \"{}\"` beside `fields` writes a row for each of them; jsonl has fields within fields",
                each.value
            )),
            None => d.help("write them beside each other; jsonl has fields within fields"),
        });
        return None;
    }
    Some(GroupDraft { what, name: name.clone(), each, members, sound: report.errors() == before })
}

fn field(what: &str, name: &At<String>, value: &At<Value>, report: &mut Report) -> Option<FieldDraft> {
    let what = format!("`fields.{}` of {what}", name.value);
    let mut draft = FieldDraft {
        name: name.clone(),
        from: name.with(String::new()),
        kind: name.with(As::Values),
        labels: None,
        top: None,
        axis: None,
        softmax: false,
        round: None,
        sound: true,
    };
    let table: &Table = match &value.value {
        Value::String(from) => {
            draft.from = value.with(from.clone());
            return Some(draft);
        }
        Value::Table(table) => table,
        other => {
            report.push(
                Diagnostic::error(format!("{what} must be a source or a table"))
                    .at(&value.place, format!("this is {}", other.describe()))
                    .help(format!("as in `fields.{} = \"step.output\"`", name.value)),
            );
            return None;
        }
    };
    let before = report.errors();
    let mut options = Reader::new(what, table, &name.place);
    of_a_group(&mut options, report);
    let from = options::from(&mut options, report);
    if let Some(kind) = options.choice("as", As::NAMES, report) {
        draft.kind = kind;
    }
    draft.labels = options.string("labels", report);
    draft.top = options.integer("top", 1..=10_000, report).map(|t| t.map(|t| t as usize));
    draft.axis = options.integer("axis", 0..=15, report).map(|a| a.map(|a| a as usize));
    let softmax = options.bool("softmax", report);
    draft.softmax = softmax.as_ref().is_some_and(|s| s.value);
    let round = options.integer("round", 0..=15, report);
    draft.round = round.as_ref().map(|r| r.value as u32);
    let places = [softmax.map(|softmax| softmax.place), round.map(|round| round.place)];
    draft.has_no_use(options.what(), places, report);
    options.finish(report);
    draft.from = from?;
    if draft.kind.value == As::Source {
        draft.from.value = which_alternative(&draft.from.value);
    }
    draft.sound = report.errors() == before;
    Some(draft)
}

/// The output of a step that says which alternative it took.
fn which_alternative(step: &str) -> String {
    let step = step.strip_suffix(".source").or_else(|| step.strip_suffix(".value")).unwrap_or(step);
    format!("{step}.source")
}

/// Reports keys that only a field which holds others has.
fn of_a_group(options: &mut Reader<'_>, report: &mut Report) {
    let what = options.what().to_owned();
    for key in ["each", "fields"] {
        if !options.has(key) {
            continue;
        }
        let Some(value) = options.take(key) else { continue };
        let d =
            Diagnostic::error(format!("{what} has a `from` of its own, and `{key}`")).at(&value.place, "");
        report.push(match key {
            "each" => d.help("what is there for each element is an array by itself: leave `each` out").help(
                format!(
                    "an array of objects is `{{ each = {}, fields.NAME = \"step.output\" }}`",
                    value.place.text()
                ),
            ),
            _ => d.help("write `from` as a field within it: `fields.NAME = \"step.output\"`"),
        });
    }
}

impl FieldDraft {
    /// Reports options that what the field says has no use for. `softmax` and `round` are where these are written.
    fn has_no_use(&self, what: &str, [softmax, round]: [Option<Span>; 2], report: &mut Report) {
        let kind = self.kind.value;
        let useless: [(&str, Option<&Span>, &[As]); 5] = [
            (
                "labels",
                self.labels.as_ref().map(|v| &v.place),
                &[As::Label, As::Top, As::Scores, As::Argmax, As::Shares],
            ),
            ("top", self.top.as_ref().map(|v| &v.place), &[As::Top]),
            ("axis", self.axis.as_ref().map(|v| &v.place), &[As::Argmax, As::Shares]),
            ("softmax", softmax.as_ref(), &[As::Top, As::Scores]),
            ("round", round.as_ref(), &[As::Values, As::Scalar, As::Top, As::Scores, As::Shares, As::Mean]),
        ];
        for (key, place, users) in useless {
            let Some(place) = place.filter(|_| !users.contains(&kind)) else { continue };
            let users: Vec<String> = users.iter().map(|u| format!("`as = \"{}\"`", u.name())).collect();
            report.push(
                Diagnostic::error(format!("`{key}` in {what} has no effect with `as = \"{}\"`", kind.name()))
                    .at(place, "")
                    .help(format!("it is for {}", users.join(", "))),
            );
        }
    }
}
