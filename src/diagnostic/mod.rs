//! One kind of report about what the user gave: a title, the place in a file, notes and help.
//!
//! Every room that reads something a user wrote collects [`Diagnostic`]s in a [`Report`]; this is the
//! only place that renders one. It knows nothing of what the reports are about.

mod plain;
mod render;

pub use plain::{harmless, shortened, shown};
pub use render::render;

use std::collections::HashSet;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Names that are listed where none is near to what was meant.
const LISTED: usize = 50;

/// A text that diagnostics point into.
#[derive(Debug)]
pub struct SourceText {
    /// The path as the user gave it, shown in diagnostics and used to resolve relative paths.
    pub path: PathBuf,
    pub text: String,
}

impl SourceText {
    pub fn new(path: impl AsRef<Path>, text: impl Into<String>) -> Arc<Self> {
        Arc::new(Self { path: path.as_ref().to_owned(), text: text.into() })
    }

    /// The 1-based line that holds the byte at `offset`.
    pub fn line(&self, offset: usize) -> usize {
        self.text.as_bytes()[..offset.min(self.text.len())].iter().filter(|b| **b == b'\n').count() + 1
    }
}

/// A range of bytes in a text that the user wrote.
#[derive(Clone, Debug)]
pub struct Span {
    pub source: Arc<SourceText>,
    pub range: Range<usize>,
}

impl Span {
    pub fn new(source: &Arc<SourceText>, range: Range<usize>) -> Self {
        Self { source: source.clone(), range }
    }

    /// The text that the span covers.
    pub fn text(&self) -> &str {
        self.source.text.get(self.range.clone()).unwrap_or_default()
    }

    /// The 1-based line at which the span begins.
    pub fn line(&self) -> usize {
        self.source.line(self.range.start)
    }
}

/// A value and the place it was read from.
#[derive(Clone, Debug)]
pub struct At<T> {
    pub value: T,
    pub place: Span,
}

impl<T> At<T> {
    pub fn new(value: T, place: Span) -> Self {
        Self { value, place }
    }

    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> At<U> {
        At { value: f(self.value), place: self.place }
    }

    /// The same place with another value.
    pub fn with<U>(&self, value: U) -> At<U> {
        At { value, place: self.place.clone() }
    }
}

impl<T> std::ops::Deref for At<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.value
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    Error,
    Warning,
}

/// One finding. Build it with [`Diagnostic::error`] and the methods that return `Self`.
#[derive(Clone, Debug)]
pub struct Diagnostic {
    pub level: Level,
    /// What is wrong, in one line.
    pub title: String,
    /// Where, with a few words under each place; the first is the primary one.
    pub places: Vec<(Span, String)>,
    /// Facts that explain it, such as the model's own signature.
    pub notes: Vec<String>,
    /// How to mend it.
    pub helps: Vec<String>,
}

impl Diagnostic {
    pub fn error(title: impl Into<String>) -> Self {
        Self { level: Level::Error, title: title.into(), places: vec![], notes: vec![], helps: vec![] }
    }

    pub fn warning(title: impl Into<String>) -> Self {
        Self { level: Level::Warning, ..Self::error(title) }
    }

    pub fn at(mut self, place: &Span, label: impl Into<String>) -> Self {
        self.places.push((place.clone(), label.into()));
        self
    }

    pub fn note(mut self, text: impl Into<String>) -> Self {
        self.notes.push(text.into());
        self
    }

    pub fn help(mut self, text: impl Into<String>) -> Self {
        self.helps.push(text.into());
        self
    }

    /// A help line "did you mean `x`?" where one of `known` is near to `wrong`, else one that lists them.
    pub fn nearest<'a>(self, wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        let mut seen = HashSet::new();
        let known: Vec<&str> = known.into_iter().filter(|name| seen.insert(*name)).collect();
        match nearest(wrong, known.iter().copied()) {
            Some(near) => self.help(format!("did you mean `{}`?", shown(near))),
            None if known.is_empty() => self,
            None => {
                let list: Vec<String> =
                    known.iter().take(LISTED).map(|k| format!("`{}`", shown(k))).collect();
                let more = known.len() - list.len();
                let more = if more == 0 { String::new() } else { format!(" and {more} more") };
                self.help(format!("known here: {}{more}", list.join(", ")))
            }
        }
    }
}

/// The one of `known` nearest to `wrong`, if any is near enough to be what was meant. Capitals do not count.
pub fn nearest<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = wrong.to_lowercase();
    known
        .into_iter()
        .map(|k| (strsim::osa_distance(&lower, &k.to_lowercase()), k))
        .min()
        .filter(|(distance, k)| *distance <= wrong.len().max(k.len()).div_ceil(3))
        .map(|(_, k)| k)
}

/// A file and a range of its bytes.
type Where = (PathBuf, Range<usize>);

/// All that was found, in the order it was found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    pub diagnostics: Vec<Diagnostic>,
    /// Errors that were pushed, also those that were not kept: found before, or on a line of which enough
    /// was said.
    errors: usize,
    /// Title and place of what was found.
    seen: HashSet<(String, Option<Where>)>,
    /// Lines of which enough was said, as ranges of bytes.
    closed: Vec<Where>,
}

impl Report {
    /// Adds a finding, unless the very same was found before: what both entry points share is looked at
    /// twice.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.errors += usize::from(diagnostic.level == Level::Error);
        let place = diagnostic.places.first().map(|(place, _)| place);
        if place.is_some_and(|place| self.is_closed(place)) {
            return;
        }
        let key = place.map(|place| (place.source.path.clone(), place.range.clone()));
        if self.seen.insert((diagnostic.title.clone(), key)) {
            self.diagnostics.push(diagnostic);
        }
    }

    /// Drops whatever is pushed from here on about the line of this place: it could not be understood, so
    /// that anything more would be nonsense.
    pub fn close_line(&mut self, place: &Span) {
        let bytes = place.source.text.as_bytes();
        let at = place.range.start.min(bytes.len());
        let start = bytes[..at].iter().rposition(|b| *b == b'\n').map_or(0, |n| n + 1);
        let end = bytes[at..].iter().position(|b| *b == b'\n').map_or(bytes.len(), |n| at + n);
        self.closed.push((place.source.path.clone(), start..end + 1));
    }

    fn is_closed(&self, place: &Span) -> bool {
        self.closed.iter().any(|(path, line)| line.contains(&place.range.start) && *path == place.source.path)
    }

    /// How many errors were pushed, so that who compares before and after knows of its own.
    pub fn errors(&self) -> usize {
        self.errors
    }

    pub fn has_errors(&self) -> bool {
        self.errors() > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capitals_do_not_count() {
        assert_eq!(nearest("NHWC", ["nchw", "nhwc"]), Some("nhwc"));
        assert_eq!(nearest("Photo", ["mask", "photo"]), Some("photo"));
        assert_eq!(nearest("zebra", ["mask", "photo"]), None);
    }

    #[test]
    fn a_line_that_is_closed_takes_no_more() {
        let source = SourceText::new("a.toml", "one\ntwo\nthree");
        let at = |span: Range<usize>| Span::new(&source, span);
        let mut report = Report::default();
        report.push(Diagnostic::error("first").at(&at(4..5), ""));
        report.push(Diagnostic::error("first").at(&at(4..5), "again"));
        report.close_line(&at(5..6));
        for (title, span) in
            [("on it", 6..7), ("before it", 3..4), ("after it", 8..9), ("at the end", 13..13)]
        {
            report.push(Diagnostic::error(title).at(&at(span), ""));
        }
        let titles: Vec<&str> = report.diagnostics.iter().map(|d| d.title.as_str()).collect();
        assert_eq!(titles, ["first", "before it", "after it", "at the end"]);
        assert_eq!(report.errors(), 6);
    }
}
