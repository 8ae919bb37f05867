//! Who may speak to the admin listener at all. A page in a browser reaches whatever its user's machine reaches, loopback
//! too; it says where it is from, and by which name it looked the listener up.

use super::problem::Problem;
use hyper::HeaderMap;
use hyper::header::{HOST, HeaderName, ORIGIN};
use hyper::http::request::Parts;
use hyper::http::uri::Authority;
use std::net::IpAddr;

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Refuses what a page of another site sends, and what is sent to a name that is none of `names`: whoever owns a name can
/// have it mean this machine.
pub fn check(head: &Parts, names: &[String]) -> Result<(), Problem> {
    for authority in [head.uri.authority().cloned(), host(&head.headers)?].into_iter().flatten() {
        if !is_known(&authority, names) {
            let shown: String = authority.host().chars().take(64).collect();
            return Err(Problem::forbidden(format!(
                "`{shown}` is not known as a name of this listener; use its address, or list the name as \
                 `admin_hosts = [\"{shown}\"]` in `[server]`"
            )));
        }
    }
    let is_foreign =
        |site: &[u8]| !site.eq_ignore_ascii_case(b"none") && !site.eq_ignore_ascii_case(b"same-origin");
    if head.headers.get_all(FETCH_SITE).iter().any(|site| is_foreign(site.as_bytes())) || !is_own_origin(head)
    {
        return Err(from_a_page());
    }
    Ok(())
}

/// Refuses whatever a page sends, its own too: there is none that gives orders.
pub fn check_order(headers: &HeaderMap) -> Result<(), Problem> {
    if headers.contains_key(ORIGIN) { Err(from_a_page()) } else { Ok(()) }
}

fn from_a_page() -> Problem {
    Problem::forbidden("requests that a web page sends are not taken here")
}

/// `None` where there is no such header, which HTTP/1.0 and HTTP/2 allow.
fn host(headers: &HeaderMap) -> Result<Option<Authority>, Problem> {
    let Some(host) = headers.get(HOST) else { return Ok(None) };
    let authority = Authority::try_from(host.as_bytes());
    authority
        .map(Some)
        .map_err(|_| Problem::malformed("the `Host` header is not a host with or without a port"))
}

fn is_known(authority: &Authority, names: &[String]) -> bool {
    let host = authority.host();
    let is_address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().is_ok();
    let host = host.strip_suffix('.').unwrap_or(host);
    is_address
        || host.eq_ignore_ascii_case("localhost")
        || names.iter().any(|name| name.trim_end_matches('.').eq_ignore_ascii_case(host))
}

/// Whether what the request says of its origin is the address that it was sent to.
fn is_own_origin(head: &Parts) -> bool {
    let Some(origin) = head.headers.get(ORIGIN) else { return true };
    let authority = head.headers.get(HOST).map(|host| host.as_bytes());
    let authority = authority.or_else(|| head.uri.authority().map(|authority| authority.as_str().as_bytes()));
    let of = origin.as_bytes();
    let rest = of.strip_prefix(b"http://").or_else(|| of.strip_prefix(b"https://"));
    rest.is_some() && rest == authority
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::Request;

    fn status(uri: &str, lines: &[(&str, &str)]) -> u16 {
        let mut request = Request::get(uri);
        for (name, value) in lines {
            request = request.header(*name, *value);
        }
        let (head, ()) = request.body(()).unwrap().into_parts();
        check(&head, &["rserve.internal".to_owned()]).err().map_or(200, |problem| problem.status().as_u16())
    }

    #[test]
    fn only_addresses_and_names_that_are_listed_are_known() {
        for known in [
            "127.0.0.1:8081",
            "[::1]:8081",
            "10.0.0.1",
            "localhost:8081",
            "LOCALHOST",
            "Rserve.Internal:80",
            "rserve.internal.",
        ] {
            assert_eq!(status("/status", &[("host", known)]), 200, "{known}");
        }
        for foreign in
            ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "internal", "rserve:8081"]
        {
            assert_eq!(status("/status", &[("host", foreign)]), 403, "{foreign}");
            assert_eq!(
                status(&format!("http://{foreign}/status"), &[("host", "localhost")]),
                403,
                "{foreign}"
            );
        }
        assert_eq!(status("/status", &[]), 200, "as HTTP/1.0 has it");
        assert_eq!(status("/status", &[("host", "")]), 400);
    }

    #[test]
    fn pages_of_other_sites_are_refused() {
        let host = ("host", "127.0.0.1:8081");
        for (site, expected) in
            [("none", 200), ("same-origin", 200), ("same-site", 403), ("cross-site", 403), ("", 403)]
        {
            assert_eq!(status("/", &[host, ("sec-fetch-site", site)]), expected, "{site}");
        }
        for (origin, expected) in [
            ("http://127.0.0.1:8081", 200),
            ("http://127.0.0.1:9999", 403),
            ("http://evil.example", 403),
            ("null", 403),
        ] {
            assert_eq!(status("/", &[host, ("origin", origin)]), expected, "{origin}");
        }
    }
}
