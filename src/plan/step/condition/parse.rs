//! The words of a condition to an expression. Pure.
//!
//! `or` binds the least, then `and`, then `not`, then comparisons, as in Python.

use super::lex::{Token, Word, lex};
use super::{Comparison, Condition, DEEPEST, Expression, LONGEST, Mistake, Operand, Placed, Reading};
use crate::diagnostic::shown;
use std::ops::Range;

/// Reads the text of a condition. The first mistake is the one that is told.
pub fn parse(text: &str) -> Result<Condition, Mistake> {
    if text.len() > LONGEST {
        let mistake =
            Mistake::new(0..0, format!("a condition of {} bytes: {LONGEST} are the most", text.len()));
        return Err(mistake.help("what needs so many cases is a model: export it as an ONNX file"));
    }
    let tokens = lex(text)?;
    if tokens.is_empty() {
        return Err(
            Mistake::new(0..text.len(), "the condition is empty").help("as in `when = \"sure < 0.85\"`")
        );
    }
    let mut parser = Parser { text, tokens: &tokens, next: 0, sources: vec![] };
    let root = parser.any(0)?;
    match parser.peek() {
        None => Ok(Condition { root, sources: parser.sources }),
        Some(token) => Err(parser.left_over(token)),
    }
}

struct Parser<'t> {
    text: &'t str,
    tokens: &'t [Token<'t>],
    next: usize,
    sources: Vec<(String, Range<usize>)>,
}

impl<'t> Parser<'t> {
    fn peek(&self) -> Option<&'t Token<'t>> {
        self.tokens.get(self.next)
    }

    fn take(&mut self) -> Option<&'t Token<'t>> {
        let token = self.peek()?;
        self.next += 1;
        Some(token)
    }

    fn eat(&mut self, word: &Word<'_>) -> bool {
        let found = self.peek().is_some_and(|token| token.word == *word);
        self.next += usize::from(found);
        found
    }

    /// What is missing at the end of the text, or in the place of the next word.
    fn missing(&self, what: &str) -> Mistake {
        match self.peek() {
            None => Mistake::new(
                self.text.len()..self.text.len(),
                format!("the condition ends where {what} should be"),
            ),
            Some(token) => {
                let found = shown(&self.text[token.at.clone()]).into_owned();
                Mistake::new(token.at.clone(), format!("`{found}` stands where {what} should be"))
            }
        }
    }

    fn any(&mut self, depth: usize) -> Result<Expression, Mistake> {
        let mut parts = vec![self.all(depth)?];
        while self.eat(&Word::Or) {
            parts.push(self.all(depth)?);
        }
        Ok(joined(
            parts,
            |part| if let Expression::Any(inner) = part { Ok(inner) } else { Err(part) },
            Expression::Any,
        ))
    }

    fn all(&mut self, depth: usize) -> Result<Expression, Mistake> {
        let mut parts = vec![self.unary(depth)?];
        while self.eat(&Word::And) {
            parts.push(self.unary(depth)?);
        }
        Ok(joined(
            parts,
            |part| if let Expression::All(inner) = part { Ok(inner) } else { Err(part) },
            Expression::All,
        ))
    }

    fn unary(&mut self, depth: usize) -> Result<Expression, Mistake> {
        let Some(token) = self.peek() else { return Err(self.missing("a source")) };
        if depth == DEEPEST && matches!(token.word, Word::Not | Word::Open) {
            let title = format!("more than {DEEPEST} brackets and `not`s within each other");
            return Err(Mistake::new(token.at.clone(), title));
        }
        match token.word {
            Word::Not => {
                self.next += 1;
                Ok(Expression::Not(Box::new(self.unary(depth + 1)?)))
            }
            Word::Open => {
                self.next += 1;
                let inner = self.any(depth + 1)?;
                if self.eat(&Word::Close) {
                    return Ok(inner);
                }
                match self.peek() {
                    None => Err(Mistake::new(token.at.clone(), "this bracket is not closed")),
                    Some(next) => Err(self.left_over(next)),
                }
            }
            _ => self.comparison(),
        }
    }

    fn comparison(&mut self) -> Result<Expression, Mistake> {
        let left = self.operand()?;
        let negated = self.eat(&Word::Not);
        if self.eat(&Word::In) {
            return self.among(left, negated);
        }
        if negated {
            return Err(self.missing("`in`"));
        }
        let Some(Token { word: Word::Compare(by), .. }) = self.peek() else {
            return match left {
                Operand::Source(source) => Ok(Expression::Flag(source)),
                Operand::Literal(literal) => Err(reads_nothing(literal.at)),
            };
        };
        self.next += 1;
        let right = self.operand()?;
        if let Some(Token { word: Word::Compare(again), at }) = self.peek() {
            return Err(self.chained(&right, *again, at));
        }
        match (left, right) {
            (Operand::Source(left), right) => Ok(Expression::Compare { left, by: *by, right }),
            (left, Operand::Source(right)) => {
                Ok(Expression::Compare { left: right, by: by.mirrored(), right: left })
            }
            (Operand::Literal(left), Operand::Literal(right)) => {
                Err(reads_nothing(left.at.start..right.at.end))
            }
        }
    }

    /// `0.2 < sure < 0.8`, which Python has and others have with another meaning.
    fn chained(&self, middle: &Operand, again: Comparison, at: &Range<usize>) -> Mistake {
        let mistake = Mistake::new(at.clone(), "comparisons do not chain");
        match middle {
            Operand::Source(middle) => {
                let name = &self.sources[middle.source].0;
                mistake.help(format!("write both: `... {name} and {name} {again} ...`"))
            }
            Operand::Literal(_) => mistake.help("write two comparisons, joined by `and`"),
        }
    }

    fn among(&mut self, left: Operand, negated: bool) -> Result<Expression, Mistake> {
        let left = match left {
            Operand::Source(left) => left,
            Operand::Literal(left) => return Err(reads_nothing(left.at)),
        };
        let Some(open) = self.peek().filter(|token| token.word == Word::OpenList) else {
            return Err(self.missing("a list").help("as in `kind in [\"truck\", \"bus\"]`"));
        };
        self.next += 1;
        let mut list = vec![];
        loop {
            if self.eat(&Word::CloseList) {
                break;
            }
            let Some(token) = self.take() else {
                return Err(Mistake::new(open.at.clone(), "this list is not closed"));
            };
            let Word::Literal(literal) = &token.word else {
                self.next -= 1;
                let mistake = self.missing("a number or a text");
                return Err(match &token.word {
                    Word::Source(name) => mistake.help(format!("texts stand in quotes: `\"{name}\"`")),
                    _ => mistake,
                });
            };
            list.push(Placed { literal: literal.clone(), at: token.at.clone() });
            if !self.eat(&Word::Comma) && self.peek().is_some_and(|token| token.word != Word::CloseList) {
                return Err(self.missing("`,` or `]`"));
            }
        }
        if list.is_empty() {
            let end = self.tokens[self.next - 1].at.end;
            return Err(Mistake::new(open.at.start..end, "nothing is in an empty list"));
        }
        Ok(Expression::Among { left, negated, list })
    }

    fn operand(&mut self) -> Result<Operand, Mistake> {
        let Some(token) = self.peek() else { return Err(self.missing("a value")) };
        let at = token.at.clone();
        let operand = match &token.word {
            Word::Literal(literal) => Operand::Literal(Placed { literal: literal.clone(), at }),
            Word::Source(name) => {
                let known = self.sources.iter().position(|(source, _)| source == name);
                let source = known.unwrap_or(self.sources.len());
                if known.is_none() {
                    self.sources.push(((*name).to_owned(), at.clone()));
                }
                Operand::Source(Reading { source, at })
            }
            Word::OpenList => {
                return Err(Mistake::new(at, "a list stands after `in` alone")
                    .help("as in `kind in [\"truck\", \"bus\"]`"));
            }
            _ => return Err(self.missing("a source")),
        };
        self.next += 1;
        Ok(operand)
    }

    /// A word where the condition could have ended.
    fn left_over(&self, token: &Token<'_>) -> Mistake {
        let at = token.at.clone();
        let before =
            self.next.checked_sub(1).and_then(|before| self.tokens.get(before)).map(|token| &token.word);
        match (&token.word, before) {
            (Word::Close, _) => Mistake::new(at, "this bracket closes none"),
            (Word::Open, Some(Word::Source(function))) => Mistake::new(at, "a condition has no functions")
                .help(format!(
                    "a step computes what is compared, as in `{{ op = \"{function}\", from = \"...\" }}`"
                )),
            (Word::Literal(_), Some(Word::Source(_))) if self.text[at.clone()].starts_with(['-', '+']) => {
                Mistake::new(at, "conditions compare and do not compute")
                    .help("a step of an operation does: `op = \"scale\"`, `op = \"sum\"`")
            }
            (Word::Literal(_), Some(Word::Source(_))) => self.missing("a comparison"),
            (Word::Source(_) | Word::Literal(_) | Word::Open | Word::Not, _) => self.missing("`and` or `or`"),
            (Word::Compare(_), Some(Word::Close)) => {
                self.missing("the end").help("brackets stand around comparisons, not around what is compared")
            }
            _ => self.missing("the end"),
        }
    }
}

fn reads_nothing(at: Range<usize>) -> Mistake {
    Mistake::new(at, "this reads no source, so that it is the same for every item")
        .help("compare a source: `sure < 0.85`, `kind == \"truck\"`")
}

/// Parts as one expression, those of the same kind within brackets taken in.
fn joined(
    parts: Vec<Expression>,
    same: impl Fn(Expression) -> Result<Vec<Expression>, Expression>,
    join: impl Fn(Vec<Expression>) -> Expression,
) -> Expression {
    let [_, _, ..] = parts.as_slice() else {
        return parts.into_iter().next().unwrap_or_else(|| join(vec![]));
    };
    let mut flat = vec![];
    for part in parts {
        match same(part) {
            Ok(inner) => flat.extend(inner),
            Err(part) => flat.push(part),
        }
    }
    join(flat)
}
