//! Reading a table key by key: what is missing, of the wrong kind or unknown is reported, so that one pass
//! over a file finds every such error.

use super::document::{Table, Value};
use crate::diagnostic::{At, Diagnostic, Report, Span, nearest};

/// Takes the known keys from a table; [`Reader::finish`] reports the rest as unknown.
///
/// Each `take` returns `None` where the key is absent or its value is not usable; the second is reported.
pub struct Reader<'a> {
    /// What the table is, in the words of an error message: "`[models.surface]`".
    what: String,
    table: &'a Table,
    place: Span,
    known: Vec<&'static str>,
    /// Keys that are required and absent, with a help for each.
    missing: Vec<(&'static str, String)>,
}

impl<'a> Reader<'a> {
    /// `place` is shown where a required key is missing.
    pub fn new(what: impl Into<String>, table: &'a Table, place: &Span) -> Self {
        Self { what: what.into(), table, place: place.clone(), known: vec![], missing: vec![] }
    }

    pub fn what(&self) -> &str {
        &self.what
    }

    pub fn place(&self) -> &Span {
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
        read: impl FnOnce(&'a At<Value>) -> Result<T, Expected>,
    ) -> Option<At<T>> {
        let value = self.take(key)?;
        match read(value) {
            Ok(v) => Some(value.with(v)),
            Err(Expected { what, help }) => {
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
            _ => Err(Expected::new("a string")),
        })
    }

    pub fn bool(&mut self, key: &'static str, report: &mut Report) -> Option<At<bool>> {
        self.take_as(key, report, |v| match &v.value {
            Value::Bool(b) => Ok(*b),
            _ => Err(Expected::new("true or false")),
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
            _ if *range.end() == i64::MAX => Err(Expected::new(format!("an integer from {}", range.start()))),
            _ => Err(Expected::new(format!("an integer from {} to {}", range.start(), range.end()))),
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
                    Err(Expected {
                        what: format!("one of {}", list.join(", ")),
                        help: near.map(|n| format!("did you mean `\"{n}\"`?")),
                    })
                }
            },
            _ => Err(Expected::new(format!("one of {names:?}"))),
        })
    }

    /// An array of finite numbers.
    pub fn numbers(&mut self, key: &'static str, report: &mut Report) -> Option<At<Vec<f64>>> {
        self.take_as(key, report, |v| match &v.value {
            Value::Array(items) => items.iter().map(number).collect(),
            _ => Err(Expected::new("an array of numbers")),
        })
    }

    pub fn table(&mut self, key: &'static str, report: &mut Report) -> Option<At<&'a Table>> {
        self.take_as(key, report, |v| match &v.value {
            Value::Table(t) => Ok(t),
            _ => Err(Expected::new("a table")),
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

/// What a value should have been: the end of a sentence that begins with "must be".
pub struct Expected {
    pub what: String,
    pub help: Option<String>,
}

impl Expected {
    pub fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), help: None }
    }

    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// A finite number; integers count.
pub fn number(value: &At<Value>) -> Result<f64, Expected> {
    match value.value {
        Value::Integer(i) => Ok(i as f64),
        Value::Float(f) if f.is_finite() => Ok(f),
        _ => Err(Expected::new("a number")),
    }
}
