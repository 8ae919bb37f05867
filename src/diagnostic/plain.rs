//! Text from files as people are shown it: nothing in it that a terminal or a log would obey, and no more of it than
//! anybody reads.

use std::borrow::Cow;

/// The lines that are kept of a list of reasons.
const LINES: usize = 20;

/// The characters that are kept of one line.
const WIDTH: usize = 1000;

/// A text of several lines without what a terminal would obey.
pub fn harmless(text: &str) -> Cow<'_, str> {
    escaped(text, |c| is_obeyed(c) && !matches!(c, '\n' | '\t'))
}

/// A name from a file as it is shown within a line: it begins no other one.
pub fn shown(name: &str) -> Cow<'_, str> {
    escaped(name, is_obeyed)
}

/// Reasons, one a line: the first of them, and how many more there are. What was shortened stays as it is.
pub fn shortened(reasons: &str) -> Cow<'_, str> {
    let mut rest = reasons.lines().skip(LINES);
    let more = match (rest.next(), rest.next()) {
        (Some(last), None) if last.trim_start().starts_with("... and ") => return Cow::Borrowed(reasons),
        _ => reasons.lines().skip(LINES).count(),
    };
    if more == 0 && reasons.lines().all(|line| line.len() <= WIDTH) {
        return Cow::Borrowed(reasons);
    }
    let mut kept: Vec<Cow<'_, str>> = reasons.lines().take(LINES).map(cut).collect();
    if more > 0 {
        let indent: String =
            reasons.lines().nth(1).unwrap_or_default().chars().take_while(|c| *c == ' ').collect();
        kept.push(format!("{indent}... and {more} more").into());
    }
    Cow::Owned(kept.join("\n"))
}

fn cut(line: &str) -> Cow<'_, str> {
    match line.char_indices().nth(WIDTH) {
        None => Cow::Borrowed(line),
        Some((end, _)) => Cow::Owned(format!("{}...", &line[..end])),
    }
}

fn escaped(text: &str, which: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&which) {
        return Cow::Borrowed(text);
    }
    let escape = |c: char| if which(c) { c.escape_default().to_string() } else { c.to_string() };
    Cow::Owned(text.chars().map(escape).collect())
}

/// Control characters, and those that turn the direction of the text around them.
fn is_obeyed(c: char) -> bool {
    let turns = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || turns || matches!(c, '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_escaped() {
        assert_eq!(harmless("a\n\tb é"), "a\n\tb é");
        assert_eq!(harmless("\u{1b}[2Jx\r\u{202e}\u{9b}"), "\\u{1b}[2Jx\\r\\u{202e}\\u{9b}");
        assert_eq!(shown("a\nb\u{2028}"), "a\\nb\\u{2028}");
    }

    #[test]
    fn of_many_reasons_the_first_are_kept() {
        let reasons = |n: usize| (0..n).map(|i| format!("node {i}")).collect::<Vec<_>>().join("\n");
        assert_eq!(shortened(&reasons(20)), reasons(20));
        assert_eq!(shortened(&reasons(100_000)), reasons(20) + "\n... and 99980 more");
        assert_eq!(shortened(&shortened(&reasons(100_000))), shortened(&reasons(100_000)));
        let indented = format!("of these:\n  {}", reasons(30).replace('\n', "\n  "));
        assert!(shortened(&indented).ends_with("\n  node 18\n  ... and 11 more"));
        assert_eq!(shortened(&"é".repeat(1 << 20)), "é".repeat(1000) + "...");
    }
}
