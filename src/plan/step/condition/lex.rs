//! The text of a condition to words, each with its place. Pure.

use super::{Comparison, Literal, Mistake};
use std::ops::Range;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Word<'t> {
    Source(&'t str),
    Literal(Literal),
    Compare(Comparison),
    And,
    Or,
    Not,
    In,
    Open,
    Close,
    OpenList,
    CloseList,
    Comma,
}

#[derive(Clone, Debug)]
pub(super) struct Token<'t> {
    pub word: Word<'t>,
    pub at: Range<usize>,
}

/// The signs of the language, the longer before those that they begin with.
const SIGNS: [(&str, Word<'static>); 11] = [
    ("<=", Word::Compare(Comparison::LessOrEqual)),
    (">=", Word::Compare(Comparison::GreaterOrEqual)),
    ("==", Word::Compare(Comparison::Equal)),
    ("!=", Word::Compare(Comparison::Different)),
    ("<", Word::Compare(Comparison::Less)),
    (">", Word::Compare(Comparison::Greater)),
    ("(", Word::Open),
    (")", Word::Close),
    ("[", Word::OpenList),
    ("]", Word::CloseList),
    (",", Word::Comma),
];

/// Signs of other languages, and what is written here in their place.
const FOREIGN: [(&str, &str); 14] = [
    ("===", "write `==`"),
    ("!==", "write `!=`"),
    ("<>", "write `!=`"),
    ("=<", "write `<=`"),
    ("=>", "write `>=`"),
    ("≤", "write `<=`"),
    ("≥", "write `>=`"),
    ("≠", "write `!=`"),
    ("&&", "write `and`"),
    ("||", "write `or`"),
    ("&", "write `and`"),
    ("|", "write `or`"),
    ("!", "write `not`"),
    ("%", "a share of one is written as a number: `0.85`"),
];

/// Signs that compute something.
const ARITHMETIC: [char; 5] = ['+', '*', '/', '-', '^'];

pub(super) fn lex(text: &str) -> Result<Vec<Token<'_>>, Mistake> {
    let mut tokens = vec![];
    let mut at = 0;
    while let Some(first) = text[at..].chars().next() {
        if first.is_whitespace() {
            at += first.len_utf8();
            continue;
        }
        let (word, length) = next(text, at)?;
        tokens.push(Token { word, at: at..at + length });
        at += length;
    }
    Ok(tokens)
}

/// Where names stand in a text, whatever else is wrong with it.
pub(super) fn names(text: &str) -> Vec<Range<usize>> {
    let mut names = vec![];
    let mut at = 0;
    while let Some(first) = text[at..].chars().next() {
        let rest = &text[at..];
        let word = rest.find(|c| !is_of_name(c)).unwrap_or(rest.len());
        let length = match first {
            '"' | '\'' => rest[1..].find(first).map_or(rest.len(), |end| end + 2),
            _ => number_length(rest).unwrap_or(word.max(first.len_utf8())),
        };
        let is_name = begins_a_name(first) && number_length(rest).is_none();
        if is_name && matches!(name(&rest[..word], at), Ok(Word::Source(_))) {
            names.push(at..at + word);
        }
        at += length;
    }
    names
}

/// The word that begins at `at`, and the bytes that it takes.
fn next(text: &str, at: usize) -> Result<(Word<'_>, usize), Mistake> {
    let rest = &text[at..];
    if let Some(length) = number_length(rest) {
        return Ok((Word::Literal(number(&rest[..length], at)?), length));
    }
    let length = rest.find(|c| !is_of_name(c)).unwrap_or(rest.len());
    if rest.starts_with(begins_a_name) {
        return Ok((name(&rest[..length], at)?, length));
    }
    if let Some(quote) = rest.chars().next().filter(|c| matches!(c, '"' | '\'')) {
        return quoted(rest, quote, at);
    }
    let foreign =
        FOREIGN.iter().find(|(sign, _)| rest.starts_with(sign) && !(*sign == "!" && rest.starts_with("!=")));
    // `===` begins as `==` does, which is a sign of ours.
    if let Some((sign, help)) = foreign {
        return Err(Mistake::new(at..at + sign.len(), format!("a condition has no `{sign}`")).help(*help));
    }
    if let Some((sign, word)) = SIGNS.iter().find(|(sign, _)| rest.starts_with(sign)) {
        return Ok((word.clone(), sign.len()));
    }
    Err(unknown(rest, at))
}

fn unknown(rest: &str, at: usize) -> Mistake {
    let c = rest.chars().next().unwrap_or_default();
    let mistake = Mistake::new(at..at + c.len_utf8(), format!("a condition has no `{}`", c.escape_debug()));
    match c {
        '=' => mistake.help("write `==` to compare"),
        '.' => mistake.help("a number begins with a digit: `0.5`"),
        '“' | '”' | '‘' | '’' | '`' => mistake.help("a text stands in straight quotes: `\"truck\"`"),
        c if ARITHMETIC.contains(&c) => mistake
            .help("conditions compare and do not compute: a step of an operation does, as `op = \"scale\"` or `op = \"sum\"`"),
        _ => mistake,
    }
}

fn begins_a_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// Whether a name may hold the character: those of the language, and those that models have in the names of outputs.
fn is_of_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/' | ':')
}

fn name(word: &str, at: usize) -> Result<Word<'_>, Mistake> {
    Ok(match word {
        "and" => Word::And,
        "or" => Word::Or,
        "not" => Word::Not,
        "in" => Word::In,
        "true" => Word::Literal(Literal::Bool(true)),
        "false" => Word::Literal(Literal::Bool(false)),
        _ => {
            let lower = word.to_ascii_lowercase();
            let keywords = ["and", "or", "not", "in", "true", "false"];
            if let Some(keyword) = keywords.into_iter().find(|keyword| *keyword == lower) {
                let mistake = Mistake::new(at..at + word.len(), format!("a condition has no `{word}`"));
                return Err(mistake.help(format!("write `{keyword}`")));
            }
            Word::Source(word)
        }
    })
}

fn quoted(rest: &str, quote: char, at: usize) -> Result<(Word<'_>, usize), Mistake> {
    match rest[1..].split_once(quote) {
        Some((text, _)) => Ok((Word::Literal(Literal::Text(text.to_owned())), text.len() + 2)),
        None => Err(Mistake::new(at..at + 1, "this text is not closed")
            .help(format!("it ends with the quotes that it begins with: `{quote}`"))),
    }
}

/// The bytes of the number that the text begins with: `-12`, `0.5`, `1e-3`. `None` where it is the beginning of a name,
/// as in `1st`.
fn number_length(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let digits = |from: usize| bytes[from..].iter().take_while(|b| b.is_ascii_digit()).count();
    let mut end = usize::from(matches!(bytes.first(), Some(b'-' | b'+')));
    let whole = digits(end);
    if whole == 0 {
        return None;
    }
    end += whole;
    if bytes.get(end) == Some(&b'.') && digits(end + 1) > 0 {
        end += 1 + digits(end + 1);
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'-' | b'+')));
        let exponent = bytes.get(end + 1 + sign..).map_or(0, |_| digits(end + 1 + sign));
        if exponent > 0 {
            end += 1 + sign + exponent;
        }
    }
    let goes_on = text[end..].starts_with(is_of_name);
    (!goes_on).then_some(end)
}

fn number(text: &str, at: usize) -> Result<Literal, Mistake> {
    let too_large = || Mistake::new(at..at + text.len(), "this number is too large");
    if text.contains(['.', 'e', 'E']) {
        let value = text.parse::<f64>().ok().filter(|value| value.is_finite());
        return value.map(Literal::Float).ok_or_else(too_large);
    }
    text.parse().map(Literal::Int).map_err(|_| too_large())
}
