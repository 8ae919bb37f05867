//! Conditions of `when` and `refuse`: `sure < 0.85 and kind in ["truck", "bus"]`. Pure.
//!
//! A condition is parsed when its file is read, checked against the kinds of its sources when the plan is compiled,
//! and evaluated for every item. There are comparisons of a source with a number, a text, `true` or `false`, or with
//! another source; lists (`in`, `not in`); sources that are true or false by themselves; `and`, `or`, `not` and
//! brackets. Nothing is computed: operations do that.

mod check;
mod eval;
mod lex;
mod parse;
#[cfg(test)]
mod tests;

pub use check::Kind;
pub use eval::Scalar;
pub use parse::parse;

use crate::diagnostic::{At, Diagnostic, Span};
use std::fmt;
use std::ops::Range;

/// The bytes that a condition may have.
pub const LONGEST: usize = 4096;

/// The brackets and `not`s that may stand within each other.
pub const DEEPEST: usize = 32;

/// A condition that was parsed. Its `Display` is canonical: conditions that differ in spaces and needless brackets
/// are written alike.
#[derive(Clone, Debug)]
pub struct Condition {
    root: Expression,
    sources: Vec<(String, Range<usize>)>,
}

/// What is wrong with a condition, and the bytes of its text that are at fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    pub at: Range<usize>,
    pub title: String,
    pub help: Option<String>,
}

#[derive(Clone, Debug)]
enum Expression {
    /// A source that is true or false by itself.
    Flag(Reading),
    Compare {
        left: Reading,
        by: Comparison,
        right: Operand,
    },
    Among {
        left: Reading,
        negated: bool,
        list: Vec<Placed>,
    },
    Not(Box<Expression>),
    /// Two or more.
    All(Vec<Expression>),
    /// Two or more.
    Any(Vec<Expression>),
}

/// A place at which a source is read.
#[derive(Clone, Debug)]
struct Reading {
    /// The position in [`Condition::sources`].
    source: usize,
    at: Range<usize>,
}

#[derive(Clone, Debug)]
enum Operand {
    Source(Reading),
    Literal(Placed),
}

/// A literal and where it is written.
#[derive(Clone, Debug)]
struct Placed {
    literal: Literal,
    at: Range<usize>,
}

#[derive(Clone, Debug, PartialEq)]
enum Literal {
    Int(i128),
    Float(f64),
    Bool(bool),
    Text(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Equal,
    Different,
}

impl Condition {
    /// The distinct sources in the order in which they are first read, each with its first place.
    pub fn sources(&self) -> &[(String, Range<usize>)] {
        &self.sources
    }
}

/// The names in a text that is no condition, each with its place: what it was probably meant to read.
pub fn guessed(text: &str) -> Vec<(String, Range<usize>)> {
    lex::names(text).into_iter().map(|at| (text[at.clone()].to_owned(), at)).collect()
}

impl Mistake {
    fn new(at: Range<usize>, title: impl Into<String>) -> Self {
        Self { at, title: title.into(), help: None }
    }

    fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The mistake as a diagnostic, `text` being the condition in its file.
    pub fn diagnostic(self, text: &At<String>) -> Diagnostic {
        let d = Diagnostic::error(self.title).at(&place(text, &self.at), "");
        self.help.into_iter().fold(d, Diagnostic::help)
    }
}

/// The place in the file of some bytes of a condition; the whole string where it is written with escapes.
pub fn place(text: &At<String>, at: &Range<usize>) -> Span {
    let span = &text.place;
    let written = span.text();
    let quotes = written.len().saturating_sub(text.value.len());
    // The quotes are one or three characters long, and after three of them a line may begin.
    let starts = [quotes / 2, quotes.div_ceil(2)];
    let start = starts
        .into_iter()
        .find(|start| written.get(*start..start + text.value.len()) == Some(text.value.as_str()));
    match start {
        None => span.clone(),
        Some(start) => {
            let start = span.range.start + start;
            Span::new(&span.source, start + at.start..start + at.end)
        }
    }
}

impl Comparison {
    fn symbol(self) -> &'static str {
        match self {
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::Equal => "==",
            Self::Different => "!=",
        }
    }

    /// The comparison that holds of the two sides in the other order.
    fn mirrored(self) -> Self {
        match self {
            Self::Less => Self::Greater,
            Self::LessOrEqual => Self::GreaterOrEqual,
            Self::Greater => Self::Less,
            Self::GreaterOrEqual => Self::LessOrEqual,
            Self::Equal | Self::Different => self,
        }
    }

    /// Whether it asks which of two is the greater.
    fn is_of_order(self) -> bool {
        !matches!(self, Self::Equal | Self::Different)
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.symbol())
    }
}

impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(n) => write!(f, "{n}"),
            Self::Float(n) => write!(f, "{n:?}"),
            Self::Bool(b) => write!(f, "{b}"),
            // There are no escapes, so that a text holds one kind of quotes at most.
            Self::Text(text) if text.contains('"') => write!(f, "'{text}'"),
            Self::Text(text) => write!(f, "\"{text}\""),
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(&self.root, f)
    }
}

impl Condition {
    fn name(&self, reading: &Reading) -> &str {
        self.sources.get(reading.source).map_or("?", |(name, _)| name)
    }

    fn write(&self, expression: &Expression, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match expression {
            Expression::Flag(source) => f.write_str(self.name(source)),
            Expression::Compare { left, by, right: Operand::Source(right) } => {
                write!(f, "{} {by} {}", self.name(left), self.name(right))
            }
            Expression::Compare { left, by, right: Operand::Literal(right) } => {
                write!(f, "{} {by} {}", self.name(left), right.literal)
            }
            Expression::Among { left, negated, list } => {
                let list: Vec<String> = list.iter().map(|item| item.literal.to_string()).collect();
                let not = if *negated { "not " } else { "" };
                write!(f, "{} {not}in [{}]", self.name(left), list.join(", "))
            }
            Expression::Not(inner) => {
                f.write_str("not ")?;
                self.write_within(inner, matches!(**inner, Expression::All(_) | Expression::Any(_)), f)
            }
            Expression::All(parts) => {
                self.write_joined(parts, " and ", |part| matches!(part, Expression::Any(_)), f)
            }
            Expression::Any(parts) => self.write_joined(parts, " or ", |_| false, f),
        }
    }

    fn write_joined(
        &self,
        parts: &[Expression],
        word: &str,
        in_brackets: impl Fn(&Expression) -> bool,
        f: &mut fmt::Formatter<'_>,
    ) -> fmt::Result {
        for (index, part) in parts.iter().enumerate() {
            if index > 0 {
                f.write_str(word)?;
            }
            self.write_within(part, in_brackets(part), f)?;
        }
        Ok(())
    }

    fn write_within(&self, part: &Expression, brackets: bool, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !brackets {
            return self.write(part, f);
        }
        f.write_str("(")?;
        self.write(part, f)?;
        f.write_str(")")
    }
}
