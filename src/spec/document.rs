//! TOML text to a tree of values, each with its place; and reading a table key by key.
//!
//! [`Reader`] takes keys from a table and reports what is missing, of the wrong kind or unknown, so that
//! one pass over a file finds every such error.

use crate::diagnostic::{At, Diagnostic, Place, Report, SourceText};
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
    pub fn kind(&self) -> &'static str {
        match self {
            Self::String(_) => "a string",
            Self::Integer(_) => "an integer",
            Self::Float(_) => "a float",
            Self::Bool(_) => "a boolean",
            Self::Array(_) => "an array",
            Self::Table(_) => "a table",
            Self::Datetime => "a date or time",
        }
    }
}

/// A TOML table, its entries in the order of the file.
#[derive(Clone, Debug, Default)]
pub struct Table {
    pub entries: Vec<(At<String>, At<Value>)>,
}

impl Table {
    pub fn get(&self, key: &str) -> Option<&At<Value>> {
        self.entries.iter().find(|(k, _)| k.value == key).map(|(_, v)| v)
    }
}

/// Parses a file's text. Every syntax error is reported, with its place; what could be read is returned.
pub fn parse(source: &Arc<SourceText>, report: &mut Report) -> At<Table> {
    let (table, errors) = DeTable::parse_recoverable(&source.text);
    for error in errors {
        let span = error.span().unwrap_or(0..0);
        report.push(Diagnostic::error(error.message()).at(&Place::new(source, span), ""));
    }
    let place = Place::new(source, table.span());
    At::new(convert_table(source, table.get_ref(), report), place)
}

fn convert_table(source: &Arc<SourceText>, table: &DeTable<'_>, report: &mut Report) -> Table {
    let mut entries: Vec<(At<String>, At<Value>)> = table
        .iter()
        .map(|(key, value)| {
            let key = At::new(key.get_ref().to_string(), Place::new(source, key.span()));
            let place = Place::new(source, value.span());
            let value = convert(source, value.get_ref(), &place, report);
            (key, At::new(value, place))
        })
        .collect();
    entries.sort_by_key(|(key, _)| key.place.span.start);
    Table { entries }
}

fn convert(source: &Arc<SourceText>, value: &DeValue<'_>, place: &Place, report: &mut Report) -> Value {
    let mut number_error = |what: &str| {
        report.push(Diagnostic::error(format!("this {what} is out of range")).at(place, ""));
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
                .map(|item| {
                    let place = Place::new(source, item.span());
                    let value = convert(source, item.get_ref(), &place, report);
                    At::new(value, place)
                })
                .collect(),
        ),
        DeValue::Table(table) => Value::Table(convert_table(source, table, report)),
    }
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
}

impl<'a> Reader<'a> {
    /// `place` is shown where a required key is missing.
    pub fn new(what: impl Into<String>, table: &'a Table, place: &Place) -> Self {
        Self { what: what.into(), table, place: place.clone(), known: vec![] }
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
                    .at(&value.place, format!("this is {}", value.kind()));
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
                    let near = crate::diagnostic::nearest(s, names.iter().copied());
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

    /// Reports that a key the table must have is absent. Call it where a `take` gave `None` and
    /// [`Reader::has`] says that the key is not there.
    pub fn missing(&self, key: &str, help: impl Into<String>, report: &mut Report) {
        report.push(
            Diagnostic::error(format!("{} has no `{key}`", self.what)).at(&self.place, "").help(help.into()),
        );
    }

    pub fn has(&self, key: &str) -> bool {
        self.table.get(key).is_some()
    }

    /// Reports every key that was not taken.
    pub fn finish(self, report: &mut Report) {
        for (key, _) in &self.table.entries {
            if !self.known.contains(&key.value.as_str()) {
                report.push(
                    Diagnostic::error(format!("unknown key `{}` in {}", key.value, self.what))
                        .at(&key.place, "")
                        .nearest(key, self.known.iter().copied()),
                );
            }
        }
    }
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
