//! One kind of report about what the user gave: a title, the place in a file, notes and help.
//!
//! Every room that reads something a user wrote collects [`Diagnostic`]s in a [`Report`]; this is the
//! only place that renders one. It knows nothing of what the reports are about.

mod render;

pub use render::render;

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

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

/// A range of bytes in a text.
#[derive(Clone, Debug)]
pub struct Place {
    pub source: Arc<SourceText>,
    pub span: Range<usize>,
}

impl Place {
    pub fn new(source: &Arc<SourceText>, span: Range<usize>) -> Self {
        Self { source: source.clone(), span }
    }

    fn key(&self) -> (&Path, Range<usize>) {
        (&self.source.path, self.span.clone())
    }

    /// What stands there.
    pub fn text(&self) -> &str {
        self.source.text.get(self.span.clone()).unwrap_or_default()
    }

    /// The 1-based line at which the place begins.
    pub fn line(&self) -> usize {
        self.source.line(self.span.start)
    }
}

/// A value and the place it was read from.
#[derive(Clone, Debug)]
pub struct At<T> {
    pub value: T,
    pub place: Place,
}

impl<T> At<T> {
    pub fn new(value: T, place: Place) -> Self {
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
    pub places: Vec<(Place, String)>,
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

    pub fn at(mut self, place: &Place, label: impl Into<String>) -> Self {
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
        let known: Vec<&str> = known.into_iter().collect();
        match nearest(wrong, known.iter().copied()) {
            Some(near) => self.help(format!("did you mean `{near}`?")),
            None if known.is_empty() => self,
            None => {
                let list: Vec<String> = known.iter().map(|k| format!("`{k}`")).collect();
                self.help(format!("known here: {}", list.join(", ")))
            }
        }
    }
}

/// The one of `known` nearest to `wrong`, if any is near enough to be what was meant.
pub fn nearest<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|k| (strsim::osa_distance(wrong, k), k))
        .min()
        .filter(|(distance, k)| *distance <= wrong.len().max(k.len()).div_ceil(3))
        .map(|(_, k)| k)
}

/// All that was found, in the order it was found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    pub diagnostics: Vec<Diagnostic>,
    /// Errors that were not kept: found before, or on a line of which enough was said.
    dropped: usize,
    /// Lines of which enough was said.
    closed: Vec<(PathBuf, usize)>,
}

impl Report {
    /// Adds a finding, unless the very same was found before: what both entry points share is looked at
    /// twice.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        let same = |d: &Diagnostic| {
            d.title == diagnostic.title
                && d.places.first().map(|(p, _)| p.key()) == diagnostic.places.first().map(|(p, _)| p.key())
        };
        let closed = diagnostic.places.first().is_some_and(|(place, _)| self.is_closed(place));
        if !closed && !self.diagnostics.iter().any(same) {
            self.diagnostics.push(diagnostic);
        } else if diagnostic.level == Level::Error {
            self.dropped += 1;
        }
    }

    /// Drops whatever is pushed from here on about the line of this place: it could not be understood, so
    /// that anything more would be nonsense.
    pub fn close_line(&mut self, place: &Place) {
        if !self.is_closed(place) {
            self.closed.push((place.source.path.clone(), place.line()));
        }
    }

    fn is_closed(&self, place: &Place) -> bool {
        // Counting lines is slow, and mostly there is none to look for.
        let path = &place.source.path;
        self.closed.iter().any(|(p, _)| p == path) && {
            let line = place.line();
            self.closed.iter().any(|(p, closed)| p == path && *closed == line)
        }
    }

    /// How many errors were pushed, so that who compares before and after knows of its own.
    pub fn errors(&self) -> usize {
        self.dropped + self.diagnostics.iter().filter(|d| d.level == Level::Error).count()
    }

    pub fn has_errors(&self) -> bool {
        self.errors() > 0
    }
}
