//! `com.microsoft.Tokenizer`, which skl2onnx writes for text: strings are cut into tokens.

use super::re2::Longest;
use crate::engine::backend::Kernels;
use crate::engine::host;
use crate::engine::ops::{BoxOp, Context, Inputs, OpError, Site, one};
use crate::engine::value::Value;
use crate::tensor::DType;
use regex_automata::hybrid::dfa::Cache;
use std::sync::Arc;

/// What marks the beginning and the end of a text.
const MARKS: [&str; 2] = ["\u{2}", "\u{3}"];

/// How a text is cut.
enum Cut {
    /// Every character is a token.
    Characters,
    /// What lies between matches of the first, then of the second, and so on.
    Separators(Vec<Longest>),
    /// Every match, one after another.
    Matches(Box<Longest>),
}

struct Tokenizer {
    cut: Cut,
    /// Characters that a token has at least.
    least: usize,
    mark: bool,
    pad: Arc<str>,
}

impl Tokenizer {
    fn read<B: Kernels>(site: &Site<'_, B>) -> Result<Self, String> {
        let attributes = &site.node.attributes;
        let separators = attributes.find_texts("separators")?.filter(|all| !all.is_empty());
        let pattern = attributes.find_text("tokenexp")?.filter(|pattern| !pattern.is_empty());
        let cut = match (separators, pattern) {
            (Some(separators), None) if separators.iter().all(|s| s.is_empty()) => Cut::Characters,
            (Some(separators), None) => {
                Cut::Separators(separators.iter().map(|s| Longest::compile(s)).collect::<Result<_, _>>()?)
            }
            (None, Some(pattern)) if pattern == "." => Cut::Characters,
            (None, Some(pattern)) => Cut::Matches(Box::new(Longest::compile(pattern)?)),
            _ => return Err("it has neither separators nor tokenexp, or both".into()),
        };
        let least = attributes.int("mincharnum", 1)?;
        let least = usize::try_from(least).ok().filter(|n| *n > 0);
        Ok(Self {
            cut,
            least: least.ok_or("mincharnum is not positive")?,
            mark: attributes.flag("mark")?,
            pad: attributes.text("pad_value", "")?.into(),
        })
    }

    fn tokens<'t>(&self, text: &'t str, caches: &mut [Cache]) -> Result<Vec<&'t str>, String> {
        match &self.cut {
            Cut::Characters => Ok(text.char_indices().map(|(at, c)| &text[at..at + c.len_utf8()]).collect()),
            Cut::Separators(separators) => {
                let mut parts = vec![text];
                for (separator, cache) in separators.iter().zip(caches) {
                    let mut next = Vec::new();
                    for part in parts {
                        self.between(part, separator, cache, &mut next)?;
                    }
                    parts = next;
                }
                Ok(parts)
            }
            Cut::Matches(pattern) => match caches {
                [cache, ..] => self.matches(text, pattern, cache),
                [] => Ok(vec![]),
            },
        }
    }

    /// What each pattern needs to search.
    fn caches(&self) -> Vec<Cache> {
        match &self.cut {
            Cut::Characters => vec![],
            Cut::Separators(separators) => separators.iter().map(Longest::cache).collect(),
            Cut::Matches(pattern) => vec![pattern.cache()],
        }
    }

    fn is_long(&self, token: &str) -> bool {
        token.chars().nth(self.least - 1).is_some()
    }

    fn between<'t>(
        &self,
        text: &'t str,
        separator: &Longest,
        cache: &mut Cache,
        parts: &mut Vec<&'t str>,
    ) -> Result<(), String> {
        let mut start = 0;
        while start <= text.len()
            && let Some(found) = separator.find_at(text, start, cache)?
        {
            parts.extend(Some(&text[start..found.start]).filter(|part| self.is_long(part)));
            start = if found.is_empty() { next(text, found.start) } else { found.end };
        }
        parts.extend(text.get(start..).filter(|part| self.is_long(part)));
        Ok(())
    }

    fn matches<'t>(
        &self,
        text: &'t str,
        pattern: &Longest,
        cache: &mut Cache,
    ) -> Result<Vec<&'t str>, String> {
        let mut tokens = Vec::new();
        let mut start = 0;
        while start <= text.len()
            && let Some(found) = pattern.find_at(text, start, cache)?
        {
            let token = &text[found.clone()];
            // What is too short is passed over by its first character, and looked at again from the second.
            start = if self.is_long(token) { found.end } else { next(text, found.start) };
            tokens.extend(Some(token).filter(|token| self.is_long(token)));
        }
        Ok(tokens)
    }
}

/// The place behind the character at a place; beyond the end where there is none.
fn next(text: &str, at: usize) -> usize {
    at + text[at..].chars().next().map_or(1, char::len_utf8)
}

/// `[C]` gives `[C, D]` and `[N, C]` gives `[N, C, D]`, D being the most tokens that any text has; texts that have
/// fewer are padded at their ends.
pub fn build<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let tokenizer = Tokenizer::read(site)?;
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        let x = inputs.take(0)?.into_host()?;
        if !matches!(x.shape().len(), 1 | 2) {
            return Err(OpError::from(format!("{x:?} has not one axis or two")));
        }
        let mut caches = tokenizer.caches();
        let tokens = host::strings(&x)?.iter().map(|text| tokenizer.tokens(text, &mut caches));
        let tokens = tokens.collect::<Result<Vec<Vec<&str>>, String>>()?;
        let marks = if tokenizer.mark { MARKS.len() } else { 0 };
        let most = tokens.iter().map(|tokens| tokens.len() + marks).max().unwrap_or(0);
        let dims: Vec<usize> = match x.is_empty() {
            true => x.shape().to_vec(),
            false => x.shape().iter().copied().chain([most]).collect(),
        };
        cx.check(DType::String, &dims)?;
        let [begin, end] = MARKS.map(|mark| Some(mark).filter(|_| tokenizer.mark));
        let mut all: Vec<Arc<str>> = Vec::with_capacity(tokens.len() * most);
        for tokens in &tokens {
            let own = begin.into_iter().chain(tokens.iter().copied()).chain(end);
            let first = all.len();
            all.extend(own.map(Arc::from));
            all.resize(first + most, tokenizer.pad.clone());
        }
        one(Value::Host(host::texts(dims, all)?))
    }))
}
