//! The token that the admin listener may ask for.

use hyper::HeaderMap;
use hyper::header::AUTHORIZATION;

/// A token, of which only the hash is kept, so that comparing takes the same time whatever is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token(blake3::Hash);

impl Token {
    pub fn new(secret: &[u8]) -> Self {
        Self(blake3::hash(secret))
    }

    /// Whether the request has it: `authorization: Bearer SECRET`.
    pub fn is_in(&self, headers: &HeaderMap) -> bool {
        let Some(value) = headers.get(AUTHORIZATION) else { return false };
        let bytes = value.as_bytes();
        let scheme = b"bearer ";
        match bytes.split_at_checked(scheme.len()) {
            // Two hashes are compared in constant time.
            Some((given, secret)) => {
                given.eq_ignore_ascii_case(scheme) && blake3::hash(secret.trim_ascii()) == self.0
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    #[test]
    fn only_the_token_itself_will_do() {
        let token = Token::new(b"secret");
        let sent = |value: &'static str| {
            let headers = [(AUTHORIZATION, HeaderValue::from_static(value))].into_iter().collect();
            token.is_in(&headers)
        };
        assert!(sent("Bearer secret") && sent("bearer secret"));
        for wrong in
            ["Bearer Secret", "Bearer secre", "Bearer secrets", "Bearer ", "Basic secret", "secret", ""]
        {
            assert!(!sent(wrong), "{wrong:?}");
        }
        assert!(!token.is_in(&HeaderMap::new()));
    }
}
