//! The bytes of a payload: as they came, or base64 inside a JSON document.

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

/// As [`binary`], of a format in which no bytes may be a value.
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
            let digits = match text.strip_prefix("data:").and_then(|url| url.split_once(',')) {
                Some((head, digits)) if head.ends_with(";base64") => digits,
                Some(_) => return Err(DecodeError::Invalid("the data: URL is not base64".into())),
                None => &text,
            };
            let decoded = BASE64
                .decode(digits.trim())
                .map_err(|error| DecodeError::Invalid(format!("not {what} in base64: {error}")))?;
            Bytes::from(decoded)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> Payload {
        Payload::Json(serde_json::value::RawValue::from_string(text.into()).unwrap())
    }

    #[test]
    fn base64_comes_plain_unpadded_escaped_or_as_a_data_url() {
        for text in [r#""/+8=""#, r#""/+8""#, r#""\/+8=""#, r#"" /+8=\n""#, r#""data:image/png;base64,/+8=""#]
        {
            assert_eq!(binary(&json(text), "a picture").unwrap().as_ref(), [0xff, 0xef], "{text}");
        }
    }

    #[test]
    fn what_is_no_base64_is_refused() {
        for (text, error) in [
            ("[1, 2]", "in JSON, a picture is a base64 string"),
            (r#""data:text/plain,hello""#, "the data: URL is not base64"),
            (r#""*""#, "not a picture in base64: Invalid symbol 42, offset 0."),
            (r#""""#, "empty, where a picture should be"),
        ] {
            assert_eq!(binary(&json(text), "a picture").unwrap_err().to_string(), error, "{text}");
        }
    }
}
