//! Patterns in the syntax of RE2, which is that of ONNX's operators: `\w` and its like stand for ASCII.
//!
//! All of it takes time linear in the text, whatever the pattern.

use regex::Regex;
use regex_automata::hybrid::dfa::{Cache, DFA};
use regex_automata::{Anchored, Input, MatchKind};
use std::ops::Range;

/// A pattern of which the longest match is wanted among those that begin first, where Rust's engine, as Perl's, takes
/// the alternative that is written first.
pub struct Longest {
    pattern: Regex,
    dfa: DFA,
}

impl Longest {
    pub fn compile(pattern: &str) -> Result<Self, String> {
        let dfa = DFA::builder()
            .configure(DFA::config().match_kind(MatchKind::All))
            .build(&translated(pattern))
            .map_err(|e| format!("pattern {pattern:?}: {e}"))?;
        Ok(Self { pattern: compile(pattern)?, dfa })
    }

    /// The memory that a search needs beside the pattern; used again by the next one.
    pub fn cache(&self) -> Cache {
        self.dfa.create_cache()
    }

    /// The place of the match that begins at `at` or after it.
    pub fn find_at(&self, text: &str, at: usize, cache: &mut Cache) -> Result<Option<Range<usize>>, String> {
        let Some(found) = self.pattern.find_at(text, at) else { return Ok(None) };
        let input = Input::new(text).range(found.start()..).anchored(Anchored::Yes);
        let longest = self.dfa.try_search_fwd(cache, &input).map_err(|e| e.to_string())?;
        Ok(Some(found.start()..longest.map_or(found.end(), |end| end.offset())))
    }
}

/// A pattern for Rust's engine, whose classes are those of Unicode where RE2's are of ASCII.
pub fn compile(pattern: &str) -> Result<Regex, String> {
    Regex::new(&translated(pattern)).map_err(|e| format!("pattern {pattern:?}: {e}"))
}

/// Replaces every class that the two mean differently.
fn translated(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len());
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('w') => out.push_str("[0-9A-Za-z_]"),
            Some('W') => out.push_str("[^0-9A-Za-z_]"),
            Some('d') => out.push_str("[0-9]"),
            Some('D') => out.push_str("[^0-9]"),
            Some('s') => out.push_str("[\\t\\n\\f\\r ]"),
            Some('S') => out.push_str("[^\\t\\n\\f\\r ]"),
            Some('b') => out.push_str("(?-u:\\b)"),
            Some('Q') => {
                // Everything up to `\E` stands for itself.
                let rest = chars.as_str();
                let (quoted, after) = rest.split_once("\\E").unwrap_or((rest, ""));
                out.push_str(&regex::escape(quoted));
                chars = after.chars();
            }
            Some(other) => out.extend(['\\', other]),
            None => out.push('\\'),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_match_is_taken() {
        let longest = Longest::compile("a|ab|abc|b").unwrap();
        let mut cache = longest.cache();
        assert_eq!(longest.find_at("xabcb", 0, &mut cache), Ok(Some(1..4)));
        assert_eq!(longest.find_at("xabcb", 4, &mut cache), Ok(Some(4..5)));
        assert_eq!(longest.find_at("xabcb", 5, &mut cache), Ok(None));
        let lazy = Longest::compile(r"\ba+?").unwrap();
        assert_eq!(lazy.find_at("aaa", 0, &mut lazy.cache()), Ok(Some(0..3)));
    }

    #[test]
    fn classes_are_of_ascii() {
        let found = |pattern: &str, text: &str| -> Vec<String> {
            compile(pattern).unwrap().find_iter(text).map(|m| m.as_str().to_owned()).collect()
        };
        assert_eq!(found(r"\w+", "naïve x_1"), ["na", "ve", "x_1"]);
        assert_eq!(found(r"[\w-]+", "a-b é"), ["a-b"]);
        assert_eq!(found(r"[^\W\d]+", "ab12"), ["ab"]);
        assert_eq!(found(r"\b\w\w+\b", "a bc def"), ["bc", "def"]);
        assert_eq!(found(r"\Qa.b\E+", "a.bb acb"), ["a.bb"]);
        assert_eq!(found(r"\p{L}+", "naïve 1"), ["naïve"]);
    }
}
