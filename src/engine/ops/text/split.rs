//! StringSplit.

use crate::engine::backend::Kernels;
use crate::engine::host;
use crate::engine::ops::{BoxOp, Context, Inputs, Site};
use crate::engine::value::Value;
use crate::tensor::DType;
use std::sync::Arc;

pub fn build<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let delimiter = site.node.attributes.text("delimiter", "")?.to_owned();
    let limit = site.node.attributes.find_int("maxsplit")?.copied();
    let limit = limit.map_or(usize::MAX, |n| usize::try_from(n).unwrap_or(usize::MAX));
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        let x = inputs.take(0)?.into_host()?;
        let strings = host::strings(&x)?;
        // No text has more parts than bytes.
        cx.work::<[&str; 2]>(strings.iter().map(|s| s.len().min(limit).saturating_add(2)).sum())?;
        let parts: Vec<Vec<&str>> = strings.iter().map(|s| split(s, &delimiter, limit)).collect();
        let width = parts.iter().map(Vec::len).max().unwrap_or(0);
        let dims: Vec<usize> = x.shape().iter().copied().chain([width]).collect();
        cx.check(DType::String, &dims)?;
        cx.check(DType::U8, &[strings.iter().map(|s| s.len().saturating_add(32)).sum()])?;
        let empty: Arc<str> = "".into();
        let counts: Vec<i64> = parts.iter().map(|p| p.len() as i64).collect();
        let all = parts.iter().flat_map(|parts| {
            let rest = std::iter::repeat_n(empty.clone(), width - parts.len());
            parts.iter().map(|part| Arc::from(*part)).chain(rest)
        });
        let texts = host::texts(dims, all.collect())?;
        let counts = host::tensor(DType::I64, x.shape().to_vec(), counts)?;
        Ok(vec![Value::Host(texts), Value::Host(counts)])
    }))
}

/// Cuts a text as Python's `str.split` does: without a delimiter runs of white space are one, and none is at the ends.
fn split<'a>(text: &'a str, delimiter: &str, limit: usize) -> Vec<&'a str> {
    if !delimiter.is_empty() {
        return if text.is_empty() {
            vec![]
        } else {
            text.splitn(limit.saturating_add(1), delimiter).collect()
        };
    }
    let mut parts = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        if parts.len() == limit {
            parts.push(rest.trim_end());
            break;
        }
        let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
        parts.push(&rest[..end]);
        rest = rest[end..].trim_start();
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn strings_are_split_as_in_python() {
        for (text, delimiter, limit, wanted) in [
            ("a.b.c", ".", usize::MAX, &["a", "b", "c"][..]),
            ("a..b", ".", usize::MAX, &["a", "", "b"]),
            ("a.b.c", ".", 1, &["a", "b.c"]),
            ("  a  b c ", "", usize::MAX, &["a", "b", "c"]),
            (" a  b c ", "", 1, &["a", "b c"]),
            ("", "", 3, &[]),
            ("a", ".", 0, &["a"]),
        ] {
            assert_eq!(split(text, delimiter, limit), wanted, "{text:?} by {delimiter:?}");
        }
    }
}
