//! TOML text to a tree of values, each with its place; and reading a table key by key.
//!
//! [`Reader`] takes keys from a table and reports what is missing, of the wrong kind or unknown, so that
//! one pass over a file finds every such error.

use super::syntax::{DUPLICATE, blanked, duplicate, syntax_error, unclosed_bracket};
use crate::diagnostic::{At, Diagnostic, Place, Report, SourceText, nearest};
use std::sync::Arc;
use toml::de::{DeTable, DeValue};

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
    fn merge(&mut self, key: At<String>, value: At<Value>) {
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
    let mut text = source.text.clone();
    let mut unclosed: Vec<Diagnostic> = vec![];
    loop {
        let (table, errors) = DeTable::parse_recoverable(&text);
        // A bracket that is not closed swallows what follows. It is reported and blanked out, with what is
        // up to the line at which the parser stumbled, so that the rest is read as if it were not there.
        let open = errors.iter().find_map(|e| unclosed_bracket(&text, e.message(), e.span()?));
        if let Some((bracket, unreadable)) = open
            && unclosed.len() < 16
        {
            unclosed.push(
                Diagnostic::error(format!("syntax: this `{}` is not closed", &text[bracket..bracket + 1]))
                    .at(&Place::new(source, bracket..bracket + 1), ""),
            );
            text = blanked(&text, unreadable);
            continue;
        }
        let broken = !unclosed.is_empty() || errors.iter().any(|e| e.message() != DUPLICATE);
        unclosed.into_iter().for_each(|d| report.push(d));
        let (twice, wrong): (Vec<_>, Vec<_>) = errors.iter().partition(|e| e.message() == DUPLICATE);
        let place = |error: &toml::de::Error| Place::new(source, error.span().unwrap_or(0..0));
        for error in wrong {
            report.push(syntax_error(error.message(), &place(error)));
            report.close_line(&place(error));
        }
        let mut root = Syntax { source, broken }.table(table.get_ref(), report);
        for error in twice {
            let (diagnostic, hides_a_table) = duplicate(&root, &place(error));
            report.push(diagnostic);
            root.broken |= hides_a_table;
        }
        return At::new(root, Place::new(source, 0..0));
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
                let key = At::new(key.get_ref().to_string(), Place::new(self.source, key.span()));
                let place = Place::new(self.source, value.span());
                let value = self.value(value.get_ref(), &place, report);
                (key, At::new(value, place))
            })
            .collect();
        entries.sort_by_key(|(key, _)| key.place.span.start);
        Table { entries, broken: self.broken }
    }

    fn value(&self, value: &DeValue<'_>, place: &Place, report: &mut Report) -> Value {
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
                        let place = Place::new(self.source, item.span());
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

/// Takes the known keys from a table; [`Reader::finish`] reports the rest as unknown.
///
/// Each `take` returns `None` where the key is absent or its value is not usable; the second is reported.
pub struct Reader<'a> {
    /// What the table is, in the words of an error message: "`[models.surface]`".
    what: String,
    table: &'a Table,
    place: Place,
    known: Vec<&'static str>,
    /// Keys that are required and absent, with a help for each.
    missing: Vec<(&'static str, String)>,
}

impl<'a> Reader<'a> {
    /// `place` is shown where a required key is missing.
    pub fn new(what: impl Into<String>, table: &'a Table, place: &Place) -> Self {
        Self { what: what.into(), table, place: place.clone(), known: vec![], missing: vec![] }
    }

    pub fn what(&self) -> &str {
        &self.what
    }

    pub fn place(&self) -> &Place {
        &self.place
    }

    /// The value of `key`, whatever its kind; `key` counts as known from here on.
    pub fn take(&mut self, key: &'static str) -> Option<&'a At<Value>> {
        self.known.push(key);
        self.table.get(key)
    }

    /// The value of `key` as read by `read`, which says what it wants where it returns `Err`.
    pub fn take_as<T>(
        &mut self,
        key: &'static str,
        report: &mut Report,
        read: impl FnOnce(&'a At<Value>) -> Result<T, Wanted>,
    ) -> Option<At<T>> {
        let value = self.take(key)?;
        match read(value) {
            Ok(v) => Some(value.with(v)),
            Err(Wanted { what, help }) => {
                let mut d = Diagnostic::error(format!("`{key}` in {} must be {what}", self.what))
                    .at(&value.place, format!("this is {}", value.describe()));
                if let Some(help) = help {
                    d = d.help(help);
                }
                report.push(d);
                None
            }
        }
    }

    pub fn string(&mut self, key: &'static str, report: &mut Report) -> Option<At<String>> {
        self.take_as(key, report, |v| match &v.value {
            Value::String(s) => Ok(s.clone()),
            _ => Err(Wanted::new("a string")),
        })
    }

    pub fn bool(&mut self, key: &'static str, report: &mut Report) -> Option<At<bool>> {
        self.take_as(key, report, |v| match &v.value {
            Value::Bool(b) => Ok(*b),
            _ => Err(Wanted::new("true or false")),
        })
    }

    /// An integer within `range`.
    pub fn integer(
        &mut self,
        key: &'static str,
        range: std::ops::RangeInclusive<i64>,
        report: &mut Report,
    ) -> Option<At<i64>> {
        self.take_as(key, report, |v| match &v.value {
            Value::Integer(i) if range.contains(i) => Ok(*i),
            _ if *range.end() == i64::MAX => Err(Wanted::new(format!("an integer from {}", range.start()))),
            _ => Err(Wanted::new(format!("an integer from {} to {}", range.start(), range.end()))),
        })
    }

    /// A finite number; integers count.
    pub fn number(&mut self, key: &'static str, report: &mut Report) -> Option<At<f64>> {
        self.take_as(key, report, number)
    }

    /// One of `choices`, by name.
    pub fn choice<T: Copy>(
        &mut self,
        key: &'static str,
        choices: &[(&'static str, T)],
        report: &mut Report,
    ) -> Option<At<T>> {
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        self.take_as(key, report, |v| match &v.value {
            Value::String(s) => match choices.iter().find(|(name, _)| name == s) {
                Some((_, choice)) => Ok(*choice),
                None => {
                    let list: Vec<String> = names.iter().map(|n| format!("\"{n}\"")).collect();
                    let near = nearest(s, names.iter().copied());
                    Err(Wanted {
                        what: format!("one of {}", list.join(", ")),
                        help: near.map(|n| format!("did you mean `\"{n}\"`?")),
                    })
                }
            },
            _ => Err(Wanted::new(format!("one of {names:?}"))),
        })
    }

    /// An array of finite numbers.
    pub fn numbers(&mut self, key: &'static str, report: &mut Report) -> Option<At<Vec<f64>>> {
        self.take_as(key, report, |v| match &v.value {
            Value::Array(items) => items.iter().map(number).collect(),
            _ => Err(Wanted::new("an array of numbers")),
        })
    }

    pub fn table(&mut self, key: &'static str, report: &mut Report) -> Option<At<&'a Table>> {
        self.take_as(key, report, |v| match &v.value {
            Value::Table(t) => Ok(t),
            _ => Err(Wanted::new("a table")),
        })
    }

    /// A key that the table must have, [`Reader::finish`] reports it where it is absent (and was not just
    /// misspelt). `help` says what to add.
    pub fn require(&mut self, key: &'static str, help: impl Into<String>) {
        if !self.has(key) && !self.table.broken {
            self.missing.push((key, help.into()));
        }
    }

    pub fn has(&self, key: &str) -> bool {
        self.table.get(key).is_some()
    }

    /// Reports every key that was not taken, and every required one that is absent.
    pub fn finish(mut self, report: &mut Report) {
        for (key, _) in &self.table.entries {
            if self.known.contains(&key.value.as_str()) {
                continue;
            }
            // A key that is already there cannot be what was meant.
            let open = self.known.iter().copied().filter(|k| self.table.get(k).is_none());
            if let Some(near) = nearest(key, open) {
                self.missing.retain(|(missing, _)| *missing != near);
            }
            report.push(
                Diagnostic::error(format!("unknown key `{}` in {}", key.value, self.what))
                    .at(&key.place, "")
                    .nearest(key, self.known.iter().copied()),
            );
        }
        for (key, help) in self.missing {
            let title = format!("{} has no `{key}`", self.what);
            report.push(Diagnostic::error(title).at(&self.place, "").help(help));
        }
    }
}

/// The table with every table under a misspelt key moved to where it was meant to be, so that what is
/// below is still read. Each is reported; `what` is the table in the words of an error message.
pub fn mended(what: &str, table: &Table, known: &[&str], report: &mut Report) -> Table {
    let mut mended = Table { entries: vec![], broken: table.broken };
    let mut misspelt = vec![];
    for (key, value) in &table.entries {
        let near = nearest(key, known.iter().copied()).filter(|_| !known.contains(&key.value.as_str()));
        match (near, &value.value) {
            (Some(near), Value::Table(_)) => misspelt.push((key, near, value)),
            _ => mended.entries.push((key.clone(), value.clone())),
        }
    }
    for (key, near, value) in misspelt {
        report.push(
            Diagnostic::error(format!("unknown key `{}` in {what}", key.value))
                .at(&key.place, "")
                .help(format!("did you mean `{near}`?")),
        );
        mended.merge(key.with(near.to_owned()), value.clone());
    }
    mended
}

/// What a value should have been, for "must be …".
pub struct Wanted {
    pub what: String,
    pub help: Option<String>,
}

impl Wanted {
    pub fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), help: None }
    }

    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// A finite number; integers count.
pub fn number(value: &At<Value>) -> Result<f64, Wanted> {
    match value.value {
        Value::Integer(i) => Ok(i as f64),
        Value::Float(f) if f.is_finite() => Ok(f),
        _ => Err(Wanted::new("a number")),
    }
}
