//! Request ids: taken over from the client where they are sane, else made.

use bytes::Bytes;
use hyper::header::{HeaderName, HeaderValue};
use std::hash::{BuildHasher, RandomState};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

const LONGEST: usize = 128;

/// The client's own id where it is short and of characters that are harmless in a log, else a new one.
pub fn request_id(from_client: Option<&HeaderValue>) -> HeaderValue {
    match from_client {
        Some(id) if is_sane(id.as_bytes()) => id.clone(),
        _ => fresh(),
    }
}

fn is_sane(id: &[u8]) -> bool {
    !id.is_empty()
        && id.len() <= LONGEST
        && id.iter().all(|b| b.is_ascii_alphanumeric() || b"-_.:/+=@".contains(b))
}

/// Sixteen hexadecimal digits: unlike between processes, in no order that says how many came before.
fn fresh() -> HeaderValue {
    static KEYS: OnceLock<RandomState> = OnceLock::new();
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let n = NEXT.fetch_add(1, Ordering::Relaxed);
    let mixed = KEYS.get_or_init(RandomState::new).hash_one(n);
    let digits: Vec<u8> =
        (0..16).rev().map(|i| b"0123456789abcdef"[(mixed >> (4 * i)) as usize & 15]).collect();
    HeaderValue::from_maybe_shared(Bytes::from(digits)).unwrap_or(HeaderValue::from_static("0"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sane_id_is_kept_and_any_other_replaced() {
        let given = HeaderValue::from_static("3f2a-1/abc=");
        assert_eq!(request_id(Some(&given)), given);
        let long = "x".repeat(LONGEST + 1);
        for bad in ["", "a b", "a\"b", "{}", long.as_str()] {
            let bad = HeaderValue::from_str(bad).unwrap();
            let id = request_id(Some(&bad));
            assert_ne!(id, bad);
            assert_eq!(id.len(), 16);
        }
        assert_ne!(request_id(None), request_id(None));
    }
}
