//! How long a request may take: what its pipeline allows, or less where the client asks for less.

use super::problem::Problem;
use hyper::HeaderMap;
use std::time::Duration;

const HEADER: &str = "x-rserve-timeout-ms";

/// The pipeline's time, or the shorter one that the client asks for. A longer one has no effect.
pub fn allowed(headers: &HeaderMap, pipeline: Duration) -> Result<Duration, Problem> {
    let mut given = headers.get_all(HEADER).iter();
    let Some(value) = given.next() else { return Ok(pipeline) };
    let malformed = || {
        Problem::malformed(format!("`{HEADER}` is a whole number of milliseconds, at least 1, given once"))
    };
    let text = value.to_str().map(str::trim).ok().filter(|_| given.next().is_none()).ok_or_else(malformed)?;
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(malformed());
    }
    // More digits than a number can hold are longer than any pipeline.
    let millis: u64 = text.parse().unwrap_or(u64::MAX);
    if millis == 0 {
        return Err(malformed());
    }
    Ok(Duration::from_millis(millis).min(pipeline))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    fn with(values: &[&str]) -> Option<u128> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(HEADER, HeaderValue::from_str(value).unwrap());
        }
        allowed(&headers, Duration::from_secs(2)).ok().map(|allowed| allowed.as_millis())
    }

    #[test]
    fn a_client_may_shorten_the_time_and_not_lengthen_it() {
        assert_eq!(with(&[]), Some(2000));
        assert_eq!(with(&["150"]), Some(150));
        assert_eq!(with(&[" 1 "]), Some(1));
        assert_eq!(with(&["5000"]), Some(2000));
        assert_eq!(with(&["99999999999999999999999999"]), Some(2000));
    }

    #[test]
    fn what_is_no_number_of_milliseconds_is_malformed() {
        for wrong in ["", "0", "-5", "+5", "1.5", "1e3", "2s", "0x10", "ten"] {
            assert_eq!(with(&[wrong]), None, "{wrong:?}");
        }
        assert_eq!(with(&["10", "20"]), None);
    }
}
