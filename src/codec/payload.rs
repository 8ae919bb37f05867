//! The bytes of a payload: as they came, or base64 inside a JSON document.
//!
//! Base64 is taken in its usual spellings: the standard and the URL-safe alphabet, with or without padding, broken
//! into lines, and behind the head of a `data:` URL with any parameters.

use crate::plan::{DecodeError, Payload};
use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use std::borrow::Cow;

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The bytes of a format that is binary. Inside JSON it is a base64 string, with or without the head of a
/// `data:` URL; `what` says in errors what the string is to hold ("a picture").
pub fn binary(payload: &Payload, what: &str) -> Result<Bytes, DecodeError> {
    let bytes = binary_or_empty(payload, what)?;
    if bytes.is_empty() {
        return Err(DecodeError::Malformed(format!("empty, where {what} should be")));
    }
    Ok(bytes)
}

/// The bytes of a format in which no bytes may be a value, read as [`binary`] reads them.
pub fn binary_or_empty(payload: &Payload, what: &str) -> Result<Bytes, DecodeError> {
    Ok(match payload {
        Payload::Bytes(bytes) => bytes.clone(),
        Payload::Json(json) => {
            let text: Cow<'_, str> = match serde_json::from_str::<&str>(json.get()) {
                Ok(text) => text.into(),
                // A string with escapes cannot be borrowed.
                Err(_) => serde_json::from_str::<String>(json.get())
                    .map_err(|_| DecodeError::Invalid(format!("in JSON, {what} is a base64 string")))?
                    .into(),
            };
            let decoded = BASE64
                .decode(digits(&text)?.as_bytes())
                .map_err(|error| DecodeError::Invalid(format!("not {what} in base64: {error}")))?;
            Bytes::from(decoded)
        }
    })
}

/// The bytes of a payload, as far as they are to be had without work: inside JSON no more than the first `most`, or
/// fewer where the base64 is broken.
pub fn head(payload: &Payload, most: usize) -> Cow<'_, [u8]> {
    let json = match payload {
        Payload::Bytes(bytes) => return Cow::Borrowed(bytes),
        Payload::Json(json) => json.get(),
    };
    // Lines and escapes take room too. What is missing makes the head shorter, no more.
    let end = json.floor_char_boundary(most.saturating_mul(3) / 2 + MAX_DATA_HEAD);
    let text = json[..end].trim_start().trim_start_matches('"').replace("\\/", "/");
    let text = text.replace("\\n", "\n").replace("\\r", "\r");
    let Ok(digits) = digits(text.trim_end().trim_end_matches(['"', '\\'])) else { return Cow::Borrowed(&[]) };
    let whole = digits.trim_end_matches('=').len() / 4 * 4;
    let mut bytes = BASE64.decode(&digits.as_bytes()[..whole]).unwrap_or_default();
    bytes.truncate(most);
    Cow::Owned(bytes)
}

/// The longest head of a `data:` URL that is looked for a comma.
const MAX_DATA_HEAD: usize = 1024;

/// The digits of a base64 text in the standard alphabet, without white space.
fn digits(text: &str) -> Result<Cow<'_, str>, DecodeError> {
    let text = text.trim();
    let is_url = text.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("data:"));
    let digits = if is_url {
        let head_end = text.bytes().take(MAX_DATA_HEAD).position(|byte| byte == b',');
        let (head, digits) = head_end.map_or((text, ""), |at| (&text[..at], &text[at + 1..]));
        let last = head.rsplit(';').next().unwrap_or_default().trim();
        if !last.eq_ignore_ascii_case("base64") {
            return Err(DecodeError::Invalid("the data: URL is not base64".into()));
        }
        digits.trim_start()
    } else {
        text
    };
    let is_odd = |byte: u8| byte.is_ascii_whitespace() || matches!(byte, b'-' | b'_' | b'%');
    if !digits.bytes().any(is_odd) {
        return Ok(Cow::Borrowed(digits));
    }
    let mut plain = String::with_capacity(digits.len());
    let mut rest = digits.chars();
    while let Some(digit) = rest.next() {
        match digit {
            '-' => plain.push('+'),
            '_' => plain.push('/'),
            // In a URL, what is not a letter or a digit may be percent-encoded.
            '%' if is_url => {
                let escaped = rest.as_str().get(..2).and_then(|hex| u8::from_str_radix(hex, 16).ok());
                match escaped {
                    Some(byte) if byte.is_ascii() => {
                        rest.nth(1);
                        if !byte.is_ascii_whitespace() {
                            plain.push(char::from(byte));
                        }
                    }
                    _ => plain.push('%'),
                }
            }
            space if space.is_ascii_whitespace() => {}
            other => plain.push(other),
        }
    }
    Ok(Cow::Owned(plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> Payload {
        Payload::Json(serde_json::value::RawValue::from_string(text.into()).unwrap())
    }

    /// Every way in which senders write the bytes ff ef be.
    const SPELLINGS: [&str; 14] = [
        r#""/+++""#,
        r#""_---""#,
        r#""\/+++""#,
        r#""/+\n++""#,
        r#""/+\r\n++\r\n""#,
        r#""/ + + +""#,
        r#""\u002f+++""#,
        r#""data:image/png;base64,/+++""#,
        r#""data:;base64,/+++""#,
        r#""data:image/png;name=a.png;charset=utf-8;base64,/+++""#,
        r#""DATA:image/PNG;BASE64,/+++""#,
        r#"" data:image/png; base64, /+++""#,
        r#""data:image/png;base64,%2F%2b%2B+""#,
        r#""data:image/png;base64,_---""#,
    ];

    #[test]
    fn base64_comes_in_many_spellings() {
        for text in SPELLINGS {
            assert_eq!(binary(&json(text), "a picture").unwrap().as_ref(), [0xff, 0xef, 0xbe], "{text}");
            if !text.contains("\\u") {
                assert_eq!(head(&json(text), 100).as_ref(), [0xff, 0xef, 0xbe], "{text}");
            }
        }
        for text in [r#""/+8=""#, r#""/+8""#, r#"" /+8=\n""#, r#""_-8""#, r#""data:;base64,/+8%3D""#] {
            assert_eq!(binary(&json(text), "a picture").unwrap().as_ref(), [0xff, 0xef], "{text}");
        }
    }

    #[test]
    fn a_head_is_no_longer_than_asked_for() {
        let bytes: Vec<u8> = (0..10_000).map(|n| (n % 251) as u8).collect();
        let text = base64::prelude::BASE64_STANDARD.encode(&bytes);
        let lines: Vec<&str> = text.as_bytes().chunks(76).map(|l| std::str::from_utf8(l).unwrap()).collect();
        for text in [text.clone(), lines.join("\\r\\n"), format!("data:image/png;base64,{text}")] {
            let payload = json(&format!("\"{text}\""));
            assert_eq!(head(&payload, 500).as_ref(), &bytes[..500]);
            assert_eq!(binary(&payload, "a picture").unwrap(), bytes);
        }
        for text in ["[1]", "\"", "\"é", "\"*\"", "\"\"", "12"] {
            if serde_json::from_str::<&serde_json::value::RawValue>(text).is_ok() {
                assert!(head(&json(text), 500).len() < 3, "{text}");
            }
        }
    }

    #[test]
    fn what_is_no_base64_is_refused() {
        for (text, error) in [
            ("[1, 2]", "in JSON, a picture is a base64 string"),
            (r#""data:text/plain,hello""#, "the data: URL is not base64"),
            (r#""data:text/plain;base64""#, "empty, where a picture should be"),
            (r#""*""#, "not a picture in base64: Invalid symbol 42, offset 0."),
            (r#""/+8=/+8=""#, "not a picture in base64: Invalid symbol 61, offset 3."),
            (r#""""#, "empty, where a picture should be"),
        ] {
            assert_eq!(binary(&json(text), "a picture").unwrap_err().to_string(), error, "{text}");
        }
    }
}
