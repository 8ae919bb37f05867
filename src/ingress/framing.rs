//! What RFC 9112 asks of a request of HTTP/1 before anything is made of it: one `Host`, and a body whose end
//! two servers in a row would find in the same place.

use super::problem::Problem;
use hyper::Version;
use hyper::header::{HOST, TRANSFER_ENCODING};
use hyper::http::request::Parts;
use hyper::http::uri::Authority;
use std::net::Ipv6Addr;

/// Refuses a head whose recipients could disagree on what it asks of whom.
pub fn check(head: &Parts) -> Result<(), Problem> {
    if head.version > Version::HTTP_11 {
        return Ok(());
    }
    host(head).and_then(|()| transfer_coding(head)).map_err(Problem::closing)
}

/// RFC 9112, 3.2: HTTP/1.1 sends exactly one `Host`, which is a host with or without a port.
fn host(head: &Parts) -> Result<(), Problem> {
    let mut given = head.headers.get_all(HOST).iter();
    match (given.next(), given.next()) {
        (None, _) if head.version < Version::HTTP_11 => Ok(()),
        (None, _) => {
            Err(Problem::malformed("a request of HTTP/1.1 has a `Host` header, and this one has none"))
        }
        (Some(_), Some(_)) => Err(Problem::malformed("the `Host` header is there more than once")),
        (Some(host), None) => {
            // HTTP/1.0 knows no `Host`, and tools that send one leave it empty.
            let may_be_empty = head.version < Version::HTTP_11;
            let is_host = |text: &str| {
                (text.is_empty() && may_be_empty)
                    || (!text.contains('@') && text.parse::<Authority>().is_ok_and(is_sane))
            };
            match host.to_str().is_ok_and(is_host) {
                true => Ok(()),
                false => Err(Problem::malformed("the `Host` header is not a host with or without a port")),
            }
        }
    }
}

/// Whether it is a name or an address, with a port or without. Of the characters that a URI's host may have, those are
/// taken that names of machines have.
fn is_sane(authority: Authority) -> bool {
    let host = authority.host();
    let rest = authority.as_str().strip_prefix(host).unwrap_or_default();
    let has_sane_port = matches!(rest, "" | ":") || authority.port_u16().is_some();
    let is_label = |label: &str| {
        !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    let is_name = || host.strip_suffix('.').unwrap_or(host).split('.').all(is_label);
    let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let is_address = inner.is_some_and(|inner| inner.parse::<Ipv6Addr>().is_ok());
    has_sane_port && (is_address || is_name())
}

/// RFC 9112, 6.1: a body is sent `chunked` at most once, and no other coding is known here.
fn transfer_coding(head: &Parts) -> Result<(), Problem> {
    let given: Vec<&[u8]> =
        head.headers.get_all(TRANSFER_ENCODING).iter().map(|value| value.as_bytes().trim_ascii()).collect();
    match given.as_slice() {
        [] => Ok(()),
        [only] if only.eq_ignore_ascii_case(b"chunked") => Ok(()),
        _ => Err(Problem::malformed("of transfer codings `chunked` alone is taken, and once")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::Request;

    fn status(version: Version, lines: &[(&str, &str)]) -> u16 {
        let mut request = Request::builder().version(version);
        for (name, value) in lines {
            request = request.header(*name, *value);
        }
        let (head, ()) = request.body(()).unwrap().into_parts();
        check(&head).err().map_or(200, |problem| problem.status().as_u16())
    }

    #[test]
    fn one_host_is_asked_for() {
        let old = Version::HTTP_10;
        let new = Version::HTTP_11;
        for fine in ["x", "x:80", "127.0.0.1:8080", "[::1]:8080", "[::1]", "a-b.example", "a_b.example."] {
            assert_eq!(status(new, &[("host", fine)]), 200, "{fine:?}");
        }
        for bad in [
            "a b", "a/b", "x:y", "user@x", "x:99999", ":80", "a, b", "[::1", "x?y", "", "a,b", "..", ".",
            "a..b", ".a", "[x]", "[]", "a~b", "a%41",
        ] {
            assert_eq!(status(new, &[("host", bad)]), 400, "{bad:?}");
        }
        assert_eq!(status(new, &[]), 400);
        assert_eq!(status(old, &[]), 200);
        assert_eq!(status(old, &[("host", "")]), 200);
        assert_eq!(status(Version::HTTP_2, &[]), 200);
        assert_eq!(status(new, &[("host", "a"), ("host", "a")]), 400);
        assert_eq!(status(old, &[("host", "a"), ("host", "b")]), 400);
    }

    #[test]
    fn a_body_is_chunked_once_or_not_at_all() {
        let of = |codings: &[&'static str]| {
            let lines: Vec<(&str, &str)> =
                codings.iter().map(|coding| ("transfer-encoding", *coding)).collect();
            status(Version::HTTP_11, &[&[("host", "x")][..], &lines].concat())
        };
        assert_eq!(of(&["chunked"]), 200);
        assert_eq!(of(&["Chunked"]), 200);
        for odd in
            [&["chunked, chunked"][..], &["gzip, chunked"], &["chunked", "chunked"], &["identity"], &[""]]
        {
            assert_eq!(of(odd), 400, "{odd:?}");
        }
    }
}
