//! Which versions a request asks for: `x-rserve-version: surface=2, road-mask=1`; and what decides where
//! traffic is split.

use super::problem::Problem;
use super::request_id::REQUEST_ID;
use hyper::HeaderMap;
use hyper::header::HeaderName;

const VERSION: HeaderName = HeaderName::from_static("x-rserve-version");

/// No pipeline calls more models, and each is compared with all.
const MOST: usize = 64;

/// Models, each once, with the version that is asked for.
pub fn pins(headers: &HeaderMap) -> Result<Vec<(String, u64)>, Problem> {
    let mut pins: Vec<(String, u64)> = vec![];
    for value in headers.get_all(VERSION) {
        let text = value.to_str().map_err(|_| malformed("it is not text"))?;
        for one in text.split(',').map(str::trim).filter(|one| !one.is_empty()) {
            let (model, version) = one.split_once('=').unwrap_or((one, ""));
            let (model, version) = (model.trim(), version.trim().parse::<u64>());
            let (false, Ok(version)) = (model.is_empty(), version) else {
                let shown: String = one.chars().take(64).collect();
                return Err(malformed(&format!("`{shown}` is not MODEL=VERSION")));
            };
            if pins.len() == MOST {
                return Err(malformed(&format!("it asks for more than {MOST} versions")));
            }
            if let Some((_, other)) = pins.iter().find(|(name, _)| name == model) {
                let twice = format!("it asks for the versions {other} and {version} of `{model}`");
                return Err(malformed(&twice));
            }
            pins.push((model.to_owned(), version));
        }
    }
    Ok(pins)
}

fn malformed(what: &str) -> Problem {
    Problem::malformed(format!(
        "the header x-rserve-version cannot be read: {what}; it is to be such as `x-rserve-version: surface=2`"
    ))
}

/// The key that decides for each model whose traffic is split: the value of its header, or the request's id where the request
/// has none.
pub fn keys(headers: &HeaderMap, sticky: &[(String, String)]) -> Vec<(String, Vec<u8>)> {
    let value = |name: &str| headers.get(name).map(|value| value.as_bytes().to_vec());
    let key = |(model, header): &(String, String)| {
        let key = value(header).or_else(|| value(REQUEST_ID.as_str())).unwrap_or_default();
        (model.clone(), key)
    };
    sticky.iter().map(key).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let line = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        lines.iter().map(line).collect()
    }

    #[test]
    fn versions_are_asked_for_by_model() {
        assert_eq!(pins(&headers(&[])).unwrap(), []);
        let asked = headers(&[("x-rserve-version", "surface=2, road-mask = 1"), ("x-rserve-version", "c=3")]);
        let expected = [("surface".to_owned(), 2), ("road-mask".to_owned(), 1), ("c".to_owned(), 3)];
        assert_eq!(pins(&asked).unwrap(), expected);
        for wrong in ["surface", "surface=", "=2", "surface=two", "surface=-1", "a=1,a=2"] {
            let problem = pins(&headers(&[("x-rserve-version", wrong)])).unwrap_err();
            assert_eq!(problem.status(), 400, "{wrong}");
        }
        let many: Vec<String> = (0..=MOST).map(|n| format!("m{n}=1")).collect();
        let headers =
            |count: usize| HeaderMap::from_iter([(VERSION, many[..count].join(",").parse().unwrap())]);
        assert_eq!(pins(&headers(MOST)).unwrap().len(), MOST);
        assert_eq!(pins(&headers(MOST + 1)).unwrap_err().status(), 400);
    }

    #[test]
    fn a_split_is_decided_by_its_header_or_by_the_request() {
        let sticky = [("surface".to_owned(), "x-user".to_owned())];
        let with = headers(&[("x-request-id", "7"), ("x-user", "ada")]);
        assert_eq!(keys(&with, &sticky), [("surface".to_owned(), b"ada".to_vec())]);
        let without = headers(&[("x-request-id", "7")]);
        assert_eq!(keys(&without, &sticky), [("surface".to_owned(), b"7".to_vec())]);
    }
}
