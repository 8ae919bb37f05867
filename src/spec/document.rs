//! TOML text to a tree of values, each with its place.

use super::syntax::{
    CLOSED_TABLE, DUPLICATE, blanked, closed_table, duplicate, is_below, is_in_header, other_language,
    syntax_error, unclosed_bracket, unclosed_string,
};
use crate::diagnostic::{At, Diagnostic, Report, SourceText, Span};
use std::sync::Arc;
use toml::de::{DeTable, DeValue};

pub use super::reader::{Expected, Reader, number};

/// A TOML value.
#[derive(Clone, Debug)]
pub enum Value {
    String(String),
    Integer(i64),
    Float(f64),
    Bool(bool),
    Array(Vec<At<Value>>),
    Table(Table),
    /// A date or a time, which the language has no use for.
    Datetime,
}

impl Value {
    /// What it is, in the words of an error message.
    pub fn describe(&self) -> String {
        match self {
            Self::String(s) if s.chars().count() <= 40 => format!("the string {s:?}"),
            Self::String(_) => "a string".into(),
            Self::Integer(i) => format!("the integer {i}"),
            Self::Float(f) => format!("the float {f}"),
            Self::Bool(b) => format!("the boolean {b}"),
            Self::Array(_) => "an array".into(),
            Self::Table(_) => "a table".into(),
            Self::Datetime => "a date or time".into(),
        }
    }
}

/// A TOML table, its entries in the order of the file.
#[derive(Clone, Debug, Default)]
pub struct Table {
    pub entries: Vec<(At<String>, At<Value>)>,
    /// The file has syntax errors, so that a key that is not here may be there in the text.
    pub broken: bool,
}

impl Table {
    pub fn get(&self, key: &str) -> Option<&At<Value>> {
        self.entries.iter().find(|(k, _)| k.value == key).map(|(_, v)| v)
    }

    /// Adds an entry; a table to a table of the same name entry by entry. What is there already stays.
    pub fn merge(&mut self, key: At<String>, value: At<Value>) {
        match self.entries.iter_mut().find(|(k, _)| k.value == key.value) {
            None => self.entries.push((key, value)),
            Some((_, At { value: Value::Table(there), .. })) => {
                if let Value::Table(more) = value.value {
                    more.entries.into_iter().for_each(|(key, value)| there.merge(key, value));
                }
            }
            Some(_) => {}
        }
    }
}

/// Parses a file's text. Every syntax error is reported, with its place; what could be read is returned.
pub fn parse(source: &Arc<SourceText>, report: &mut Report) -> At<Table> {
    if let Some(language) = other_language(source) {
        report.push(
            Diagnostic::error(format!("this is {language}, and pipelines are written in TOML"))
                .at(&Span::new(source, 0..source.text.trim_end().lines().next().map_or(0, str::len)), "")
                .help("a table is `[models.road-mask]`, a value in it `gpu = 0.7`"),
        );
        let root = Table { entries: vec![], broken: true };
        return At::new(root, Span::new(source, 0..0));
    }
    let mut text = source.text.clone();
    let mut unclosed: Vec<Diagnostic> = vec![];
    loop {
        let (table, errors) = DeTable::parse_recoverable(&text);
        // What is not closed swallows what follows. It is reported and blanked out, with what is up to the line at
        // which the parser stumbled, so that the rest is read as if it were not there.
        let string = errors.iter().find_map(|e| unclosed_string(&text, e.message(), e.span()?));
        let bracket = || errors.iter().find_map(|e| unclosed_bracket(&text, e.message(), e.span()?));
        if let Some((opening, unreadable)) = string.or_else(bracket)
            && unclosed.len() < 16
        {
            let mark = &text[opening..opening + 1];
            let title = match mark {
                "{" | "[" => format!("syntax: this `{mark}` is not closed"),
                _ => "syntax: this string is not closed".to_owned(),
            };
            unclosed.push(Diagnostic::error(title).at(&Span::new(source, opening..opening + 1), ""));
            text = blanked(&text, unreadable);
            continue;
        }
        let known = |e: &toml::de::Error| e.message() == DUPLICATE || e.message() == CLOSED_TABLE;
        let broken = !unclosed.is_empty() || errors.iter().any(|e| e.message() != DUPLICATE);
        unclosed.into_iter().for_each(|d| report.push(d));
        let (twice, wrong): (Vec<_>, Vec<_>) = errors.iter().partition(|e| known(e));
        let place = |error: &toml::de::Error| Span::new(source, error.span().unwrap_or(0..0));
        for error in wrong {
            report.push(syntax_error(error.message(), &place(error)));
            report.close_line(&place(error));
        }
        let mut root = Syntax { source, broken }.table(table.get_ref(), report);
        let headers: Vec<Span> = twice.iter().map(|e| place(e)).filter(is_in_header).collect();
        for error in twice {
            let place = place(error);
            // A table that is there twice has its keys twice: that is one mistake.
            if is_below(&place, &headers) {
                continue;
            }
            if error.message() == CLOSED_TABLE {
                report.push(closed_table(&place));
                continue;
            }
            let (diagnostic, hides_a_table) = duplicate(&root, &place);
            report.push(diagnostic);
            root.broken |= hides_a_table;
        }
        return At::new(root, Span::new(source, 0..0));
    }
}

struct Syntax<'a> {
    source: &'a Arc<SourceText>,
    broken: bool,
}

impl Syntax<'_> {
    fn table(&self, table: &DeTable<'_>, report: &mut Report) -> Table {
        let mut entries: Vec<(At<String>, At<Value>)> = table
            .iter()
            .filter(|(_, value)| !is_absent(value.get_ref()))
            .map(|(key, value)| {
                let key = At::new(key.get_ref().to_string(), Span::new(self.source, key.span()));
                let place = Span::new(self.source, value.span());
                let value = self.value(value.get_ref(), &place, report);
                (key, At::new(value, place))
            })
            .collect();
        entries.sort_by_key(|(key, _)| key.place.range.start);
        Table { entries, broken: self.broken }
    }

    fn value(&self, value: &DeValue<'_>, place: &Span, report: &mut Report) -> Value {
        let mut number_error = |what: &str| {
            report.push(Diagnostic::error(format!("this {what} is out of range")).at(place, ""));
            report.close_line(place);
        };
        match value {
            DeValue::String(s) => Value::String(s.to_string()),
            DeValue::Integer(i) => match i64::from_str_radix(i.as_str(), i.radix()) {
                Ok(i) => Value::Integer(i),
                Err(_) => {
                    number_error("integer");
                    Value::Integer(0)
                }
            },
            DeValue::Float(f) => match f.as_str().parse() {
                Ok(f) => Value::Float(f),
                Err(_) => {
                    number_error("float");
                    Value::Float(0.0)
                }
            },
            DeValue::Boolean(b) => Value::Bool(*b),
            DeValue::Datetime(_) => Value::Datetime,
            DeValue::Array(items) => Value::Array(
                items
                    .iter()
                    .filter(|item| !is_absent(item.get_ref()))
                    .map(|item| {
                        let place = Span::new(self.source, item.span());
                        let value = self.value(item.get_ref(), &place, report);
                        At::new(value, place)
                    })
                    .collect(),
            ),
            DeValue::Table(table) => Value::Table(self.table(table, report)),
        }
    }
}

/// What the toml crate puts where a value should be and none is (`gpu =`), having reported it.
fn is_absent(value: &DeValue<'_>) -> bool {
    matches!(value, DeValue::Integer(i) if i.as_str().is_empty())
}
