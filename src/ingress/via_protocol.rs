//! The headers and the body by which `rserve batch --via` has its items run through a server: by the offline
//! entry, giving way to other requests.

use super::problem::Problem;
use super::routes::Route;
use crate::plan::Priority;
use bytes::{Bytes, BytesMut};
use hyper::HeaderMap;
use hyper::header::HeaderName;

pub const PRIORITY: HeaderName = HeaderName::from_static("x-rserve-priority");
/// The item's name, percent-encoded: its presence asks for the offline entry, all encodes of it.
pub const ITEM: HeaderName = HeaderName::from_static("x-rserve-item");
/// The digest of the offline entry as the client has it.
pub const PLAN: HeaderName = HeaderName::from_static("x-rserve-plan");
pub const PARTS: &str = "application/x-rserve-parts";

/// The pipeline's priority, or the lower one that the client asks for. A higher one has no effect.
pub fn priority(headers: &HeaderMap, pipeline: Priority) -> Result<Priority, Problem> {
    let asked = match headers.get(PRIORITY).map(|value| value.as_bytes()) {
        None => return Ok(pipeline),
        Some(b"high") => Priority::High,
        Some(b"normal") => Priority::Normal,
        Some(b"low") => Priority::Low,
        Some(_) => {
            return Err(Problem::malformed(format!("`{PRIORITY}` is one of `high`, `normal` and `low`")));
        }
    };
    Ok(asked.max(pipeline))
}

/// The item's name, where the offline entry is asked for.
pub fn item(headers: &HeaderMap, route: &Route) -> Result<Option<String>, Problem> {
    let Some(name) = headers.get(ITEM) else { return Ok(None) };
    let name = decoded(name.as_bytes());
    let name = name.ok_or_else(|| Problem::malformed(format!("`{ITEM}` is a name in percent-encoding")))?;
    let taken_for = headers.get(PLAN).map(|value| value.as_bytes()).unwrap_or_default();
    if taken_for != route.offline.as_bytes() {
        return Err(Problem::malformed(format!(
            "the offline entry of `{}` is declared otherwise here; `rserve batch --via` must be given the \
             files that this server runs",
            route.pipeline.name
        )));
    }
    Ok(Some(name))
}

/// Encodes a name for a header: only letters, digits and `-._~/` stay as they are.
pub fn encoded(name: &str) -> String {
    let mut out = String::with_capacity(name.len() + 8);
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                out.push(byte.into())
            }
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

fn decoded(name: &[u8]) -> Option<String> {
    let mut out = Vec::with_capacity(name.len());
    let mut rest = name;
    while let [first, others @ ..] = rest {
        (rest, _) = match (first, others) {
            (b'%', [high, low, others @ ..]) => {
                let digit = |byte: &u8| char::from(*byte).to_digit(16);
                (others, out.push((digit(high)? * 16 + digit(low)?) as u8))
            }
            (b'%', _) => return None,
            (byte, others) => (others, out.push(*byte)),
        };
    }
    String::from_utf8(out).ok()
}

/// Several answers in one body: each with its length before it, in 8 bytes, the least first.
pub fn joined(parts: &[Vec<u8>]) -> Bytes {
    let mut out = BytesMut::with_capacity(parts.iter().map(|part| part.len() + 8).sum());
    for part in parts {
        out.extend_from_slice(&(part.len() as u64).to_le_bytes());
        out.extend_from_slice(part);
    }
    out.freeze()
}

/// `None` where they are not whole.
pub fn parted(mut body: Bytes) -> Option<Vec<Bytes>> {
    let mut parts = vec![];
    while !body.is_empty() {
        let length = u64::from_le_bytes(*body.first_chunk()?);
        let end = usize::try_from(length).ok()?.checked_add(8).filter(|end| *end <= body.len())?;
        parts.push(body.split_to(end).split_off(8));
    }
    Some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_parts_come_back() {
        for name in ["a/b.jpg", "ä ö\n%41.jpg", "", "\u{0}"] {
            assert_eq!(decoded(encoded(name).as_bytes()).as_deref(), Some(name));
        }
        assert_eq!(decoded(b"%4"), None);
        assert_eq!(decoded(b"%ff"), None);
        let parts = [b"one".to_vec(), vec![], b"three".to_vec()];
        let body = joined(&parts);
        assert_eq!(parted(body.clone()).unwrap(), parts);
        assert!(parted(body.slice(..body.len() - 1)).is_none());
    }

    #[test]
    fn a_client_may_lower_its_priority_and_not_raise_it() {
        let of = |asked: &'static str, pipeline| {
            let mut headers = HeaderMap::new();
            headers.insert(PRIORITY, hyper::header::HeaderValue::from_static(asked));
            priority(&headers, pipeline).ok()
        };
        assert_eq!(of("low", Priority::Normal), Some(Priority::Low));
        assert_eq!(of("high", Priority::Normal), Some(Priority::Normal));
        assert_eq!(of("normal", Priority::High), Some(Priority::Normal));
        assert_eq!(of("urgent", Priority::Normal), None);
        assert_eq!(priority(&HeaderMap::new(), Priority::High).ok(), Some(Priority::High));
    }
}
