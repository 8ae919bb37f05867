//! Syntax errors of the toml crate, told as a person would tell them.

use super::document::{Table, Value};
use crate::diagnostic::{Diagnostic, SourceText, Span};
use std::ops::Range;

/// The toml crate's words for a key or a table that is given twice.
pub const DUPLICATE: &str = "duplicate key";

/// The toml crate's words for a table within braces that is added to from outside.
pub const CLOSED_TABLE: &str = "cannot extend value of type inline table with a dotted key";

pub fn syntax_error(message: &str, place: &Span) -> Diagnostic {
    let error = |title: String, at: &Span| Diagnostic::error(format!("syntax: {title}")).at(at, "");
    if message.starts_with("string values must be quoted") {
        return match place.text().trim() {
            "" => error("no value".into(), place).help("a value follows the `=`"),
            words if words.contains(char::is_whitespace) && words.split_whitespace().all(is_number) => {
                let list: Vec<&str> = words.split_whitespace().collect();
                error("no comma between two values".into(), place)
                    .help(format!("write `{}`", list.join(", ")))
            }
            word => no_value(word, place),
        };
    }
    // "127.0.0.1:80" and "../models" begin as numbers do.
    match word_around(place) {
        Some(word) if message.starts_with("invalid") && !word.text().chars().all(is_of_a_number) => {
            no_value(word.text(), &word)
        }
        _ => error(message.to_owned(), place),
    }
}

/// A string without quotes, or in quotes that only look like some.
fn no_value(word: &str, place: &Span) -> Diagnostic {
    let d = Diagnostic::error(format!("syntax: `{word}` is no value")).at(place, "");
    let curly = |c: char| matches!(c, '“' | '”' | '„' | '‟' | '«' | '»' | '‘' | '’' | '‚');
    match word.contains(curly) {
        true => d.help(format!("a string stands in straight quotes: {:?}", word.replace(curly, ""))),
        false => d.help(format!("a string stands in quotes: {word:?}")),
    }
}

fn is_of_a_number(c: char) -> bool {
    c.is_ascii_digit() || matches!(c, '.' | '_' | '+' | '-' | 'e' | 'E')
}

/// The unquoted value that a place is in, where it is a value.
fn word_around(place: &Span) -> Option<Span> {
    let text = &place.source.text;
    let ends =
        |c: char| c.is_whitespace() || matches!(c, '=' | ',' | '[' | ']' | '{' | '}' | '#' | '"' | '\'');
    let before = text.get(..place.range.start)?;
    let start = before.rfind(ends).map_or(0, |at| at + 1);
    let end = text[start..].find(ends).map_or(text.len(), |length| start + length);
    let is_value = before[..start].trim_end().ends_with(['=', ',', '[']);
    (is_value && start < end && end >= place.range.start).then(|| Span::new(&place.source, start..end))
}

/// The string that begins on the line of a syntax error and is not closed there: its opening quote, and what it
/// makes unreadable.
pub fn unclosed_string(text: &str, message: &str, range: Range<usize>) -> Option<(usize, Range<usize>)> {
    if !["invalid basic string", "invalid literal string"].iter().any(|what| message.starts_with(what)) {
        return None;
    }
    let start = line_start(text, range.start.min(text.len()));
    let end = text[start..].find('\n').map_or(text.len(), |length| start + length);
    let quote = start + open_string(&text[start..end])?;
    // Within an array of several lines the rest of it may still be read.
    let goes_on = !open_brackets(&text[..start]).is_empty() && open_brackets(&text[start..quote]).is_empty();
    Some((quote, if goes_on { quote..end } else { start..end }))
}

/// The offset of a string that is not closed on this line.
fn open_string(line: &str) -> Option<usize> {
    let mut at = 0;
    while let Some(c) = line[at..].chars().next() {
        at += match c {
            '#' => return None,
            '"' | '\'' if line[at..].starts_with("\"\"\"") || line[at..].starts_with("\'\'\'") => {
                return None;
            }
            '"' | '\'' => {
                let Some(length) = closed_len(&line[at..], c) else { return Some(at) };
                length
            }
            c => c.len_utf8(),
        };
    }
    None
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
    let first = first_of(place).or_else(|| kept.map(|(place, _)| place.clone()));
    let d = match first {
        Some(first) => d.at(&first, "the first time"),
        None => d,
    };
    (d.help("keep one of the two"), hides)
}

/// A key of a table that was written whole, within braces, and is added to from outside.
pub fn closed_table(place: &Span) -> Diagnostic {
    let key = place.text();
    let d =
        Diagnostic::error(format!("`{key}` is written within braces, and cannot be added to")).at(place, "");
    match first_of(place) {
        Some(first) => d.at(&first, "it is written here"),
        None => d,
    }
    .help("write all of it in one place: within the braces, or below a header of its own")
}

/// Whether a place is below a table header that is itself one of `headers`.
pub fn is_below(place: &Span, headers: &[Span]) -> bool {
    let text = &place.source.text;
    let own = line_start(text, place.range.start);
    section(text, own).is_some_and(|line| {
        headers.iter().any(|header| line_start(text, header.range.start) == line && line != own)
    })
}

/// Whether a place is in a table's header.
pub fn is_in_header(place: &Span) -> bool {
    line_of(place).starts_with('[')
}

/// Where the header begins that the line at `start` is below.
fn section(text: &str, start: usize) -> Option<usize> {
    let mut at = 0;
    let mut found = None;
    for line in text[..start].split_inclusive('\n') {
        if line.trim_start().starts_with('[') {
            found = Some(at);
        }
        at += line.len();
    }
    found
}

/// The key that a place repeats: an earlier line that gives the same one, by the tables that both are in.
fn first_of(place: &Span) -> Option<Span> {
    let text = &place.source.text;
    let own_line = line_start(text, place.range.start);
    let mut section = vec![];
    let mut lines = vec![];
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let keys = keys_of(line, at);
        if line.trim_start().starts_with('[') {
            section = keys.iter().map(|(key, _)| key.clone()).collect();
            lines.push((vec![], keys));
        } else {
            lines.push((section.clone(), keys));
        }
        if at == own_line {
            break;
        }
        at += line.len();
    }
    let path = |(section, keys): &(Vec<String>, Vec<(String, Range<usize>)>)| -> Vec<String> {
        section.iter().cloned().chain(keys.iter().map(|(key, _)| key.clone())).collect()
    };
    let own = lines.pop()?;
    let index = own.1.iter().position(|(_, range)| *range == place.range)?;
    let wanted: Vec<String> = path(&own).into_iter().take(own.0.len() + index + 1).collect();
    let same = |line: &(Vec<String>, Vec<(String, Range<usize>)>)| {
        let within = wanted.len().checked_sub(line.0.len() + 1)?;
        (path(line).starts_with(&wanted)).then(|| line.1.get(within).map(|(_, range)| range.clone()))?
    };
    lines.iter().find_map(same).map(|range| Span::new(&place.source, range))
}

/// The parts of the dotted key that a line begins with, a header's too. `at` is where the line begins.
fn keys_of(line: &str, at: usize) -> Vec<(String, Range<usize>)> {
    let mut keys = vec![];
    let mut rest = line.trim_start().trim_start_matches('[');
    loop {
        rest = rest.trim_start();
        let bare = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        let length = match rest.chars().next() {
            Some(quote @ ('"' | '\'')) => string_len(rest, quote),
            _ => rest.find(|c| !bare(c)).unwrap_or(rest.len()),
        };
        if length == 0 {
            return keys;
        }
        let start = at + line.len() - rest.len();
        let key = rest[..length].trim_matches(['"', '\'']).to_owned();
        keys.push((key, start..start + length));
        match rest[length..].trim_start().strip_prefix('.') {
            Some(more) => rest = more,
            None => return keys,
        }
    }
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
    let line = text.find('\n').unwrap_or(text.len());
    closed_len(&text[..line], quote).unwrap_or(line)
}

/// Bytes of the string that the line begins with, quotes included. `None` where it is not closed.
fn closed_len(line: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in line.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' if quote == '"' => escaped = true,
            c if c == quote => return Some(at + 1),
            _ => {}
        }
    }
    None
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
    fn a_string_that_is_not_closed_is_found_on_its_line() {
        let table = [
            ("a = \"x", Some(4)),
            ("a = \"x\" # \"", None),
            ("a = { b = \"x\", c = 'y }", Some(19)),
            ("a = \"\\\"", Some(4)),
            ("a = \"\"", None),
            ("a = \"\"\"x", None),
            ("\"a = 1", Some(0)),
        ];
        for (line, at) in table {
            assert_eq!(open_string(line), at, "{line}");
        }
    }

    #[test]
    fn what_is_given_twice_is_told_by_the_tables_it_is_in() {
        let table = [
            ("[a]\nx = 1\n[b]\nx = 1\n'x' = 2", Some(14)),
            ("a.b = 1\n[a]\nb = 2", Some(2)),
            ("[a.b]\nc = 1\n[a]\nb.d = 1\n[a.b]", Some(3)),
            ("[[a]]\nb = 1\n[[a]]\nb = 2", Some(6)),
            ("[a]\nb = { c = 1 }\n[a.b]", Some(4)),
            ("[a]\nb = 1\n[c]\nb = 1", None),
            ("", None),
        ];
        for (text, first) in table {
            let source = SourceText::new("x.toml", text);
            let last =
                keys_of(text.lines().last().unwrap_or_default(), text.rfind('\n').map_or(0, |n| n + 1));
            let place = Span::new(&source, last.last().map_or(0..0, |(_, range)| range.clone()));
            assert_eq!(first_of(&place).map(|span| span.range.start), first, "{text}");
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
