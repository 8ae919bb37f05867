//! Syntax errors of the toml crate, told as a person would tell them.

use super::document::{Table, Value};
use crate::diagnostic::{Diagnostic, SourceText, Span};
use std::ops::Range;

/// The toml crate's words for a key or a table that is given twice.
pub const DUPLICATE: &str = "duplicate key";

pub fn syntax_error(message: &str, place: &Span) -> Diagnostic {
    let error = |title: String| Diagnostic::error(format!("syntax: {title}")).at(place, "");
    if message.starts_with("string values must be quoted") {
        return match place.text().trim() {
            "" => error("no value".into()).help("a value follows the `=`"),
            words if words.contains(char::is_whitespace) && words.split_whitespace().all(is_number) => {
                let list: Vec<&str> = words.split_whitespace().collect();
                error("no comma between two values".into()).help(format!("write `{}`", list.join(", ")))
            }
            word => {
                error(format!("`{word}` is no value")).help(format!("a string stands in quotes: {word:?}"))
            }
        };
    }
    error(message.to_owned())
}

/// JSON or YAML, where the text is in one of them.
pub fn other_language(source: &SourceText) -> Option<&'static str> {
    let is_code = |line: &&str| !line.is_empty() && !line.starts_with('#');
    let mut lines = source.text.lines().map(str::trim).filter(is_code);
    let first = lines.next()?;
    if first.starts_with('{') {
        return Some("JSON");
    }
    // "models:" or "gpu: 0.7": no line of TOML has a colon after its first bare word.
    let is_yaml = |line: &str| {
        line.split_once(':').is_some_and(|(key, rest)| {
            let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
            !key.is_empty() && key.chars().all(is_word) && (rest.is_empty() || rest.starts_with(' '))
        })
    };
    (first == "---" || is_yaml(first)).then_some("YAML")
}

fn is_number(word: &str) -> bool {
    word.parse::<f64>().is_ok()
}

/// The report of a key that is given twice; and whether a table of the user's went missing with it.
pub fn duplicate(root: &Table, place: &Span) -> (Diagnostic, bool) {
    let key = place.text();
    let d = Diagnostic::error(format!("`{key}` is given twice")).at(place, "the second time");
    let kept = earlier(root, key, place);
    let hides = kept.is_some_and(|(_, value)| matches!(value, Value::Table(_)));
    // A header is repeated by a header, whatever else bears its last name.
    let header = line_of(place).starts_with('[').then(|| same_line_before(place)).flatten();
    let first = header.or_else(|| kept.map(|(place, _)| place.clone())).or_else(|| same_line_before(place));
    let d = match first {
        Some(first) => d.at(&first, "the first time"),
        None => d,
    };
    (d.help("keep one of the two"), hides)
}

/// The nearest key of this text before `place`, and its value.
fn earlier<'a>(table: &'a Table, key: &str, place: &Span) -> Option<(&'a Span, &'a Value)> {
    let before = |p: &Span| p.text() == key && p.range.start < place.range.start;
    table
        .entries
        .iter()
        .flat_map(|(k, v)| {
            let inner = if let Value::Table(t) = &v.value { earlier(t, key, place) } else { None };
            [inner, before(&k.place).then_some((&k.place, &v.value))]
        })
        .flatten()
        .max_by_key(|(p, _)| p.range.start)
}

/// Of a table header, which the parser forgets once it is repeated: the same header on an earlier line.
fn same_line_before(place: &Span) -> Option<Span> {
    let text = &place.source.text;
    let start = line_start(text, place.range.start);
    let line = line_of(place);
    let within = text[start..place.range.start].trim_start().len();
    let mut at = 0;
    for earlier in text[..start].split_inclusive('\n') {
        if earlier.trim() == line {
            let first = at + earlier.len() - earlier.trim_start().len() + within;
            return Some(Span::new(&place.source, first..first + place.range.len()));
        }
        at += earlier.len();
    }
    None
}

/// The line that holds the beginning of a place, without its indent.
fn line_of(place: &Span) -> &str {
    let text = &place.source.text;
    text[line_start(text, place.range.start)..].lines().next().unwrap_or_default().trim()
}

fn line_start(text: &str, offset: usize) -> usize {
    text.get(..offset).and_then(|before| before.rfind('\n')).map_or(0, |n| n + 1)
}

/// The bracket on an earlier line because of which the parser stumbled at `span`; and what it makes
/// unreadable: from the first bracket that is open to the beginning of the line at which it stumbled.
pub fn unclosed_bracket(text: &str, message: &str, span: Range<usize>) -> Option<(usize, Range<usize>)> {
    if !["comma", "inline table", "array"].iter().any(|word| message.contains(word)) {
        return None;
    }
    let line = if text.trim_end().len() <= span.start { text.len() } else { line_start(text, span.start) };
    let open = open_brackets(&text[..line]);
    Some((*open.last()?, *open.first()?..line))
}

/// Offsets of the brackets that are still open at the end of the text.
fn open_brackets(text: &str) -> Vec<usize> {
    let mut open = vec![];
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let skip = match c {
            '#' => rest.find('\n').unwrap_or(rest.len()),
            '"' | '\'' => string_len(rest, c),
            '{' | '[' => {
                open.push(text.len() - rest.len());
                1
            }
            '}' | ']' => {
                open.pop();
                1
            }
            c => c.len_utf8(),
        };
        rest = &rest[skip..];
    }
    open
}

/// Bytes of the string that the text begins with, quotes included; of one that is not closed, its line.
fn string_len(text: &str, quote: char) -> usize {
    let three = [quote; 3].iter().collect::<String>();
    if let Some(inner) = text.strip_prefix(&three) {
        return inner.find(&three).map_or(text.len(), |at| at + 6);
    }
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            '\n' => return at,
            _ if escaped => escaped = false,
            '\\' if quote == '"' => escaped = true,
            c if c == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The text with what lies from the beginning of the range's first line to its end turned to spaces.
pub fn blanked(text: &str, Range { start, end: to }: Range<usize>) -> String {
    let from = line_start(text, start);
    let blank = |b: u8| if b == b'\n' || b == b'\r' { char::from(b) } else { ' ' };
    let blank: String = text[from..to].bytes().map(blank).collect();
    [&text[..from], &blank, &text[to..]].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_in_strings_and_comments_do_not_count() {
        let table = [
            ("a = { b = 1", vec![4]),
            ("a = [1, 2]\nb = [", vec![15]),
            ("a = \"{\" # [", vec![]),
            ("a = '\\' # {\nb = {", vec![16]),
            ("a = \"\\\"{\"\n", vec![]),
            ("a = \"\"\"\n{\"\"\"\nb = '''[''' # {", vec![]),
            ("a = \"{\nb = [", vec![11]),
            ("ü = {", vec![5]),
        ];
        for (text, open) in table {
            assert_eq!(open_brackets(text), open, "{text}");
        }
    }

    #[test]
    fn blanking_keeps_every_offset_and_line() {
        let text = "a = 1\nü = {\r\nc = 1\n";
        let blank = blanked(text, 12..14);
        assert_eq!(blank, "a = 1\n      \r\nc = 1\n");
        assert_eq!(blank.len(), text.len());
    }
}
