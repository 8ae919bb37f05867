//! Which encode answers: `?encode=NAME`, else what `Accept` wants most, else the first.

use super::problem::Problem;
use crate::diagnostic::nearest;
use crate::plan::{EncodeId, EncodePlan, Id, IdVec};
use hyper::HeaderMap;
use hyper::header::ACCEPT;

/// The encode that a request asks for.
pub fn choose(
    query: Option<&str>,
    headers: &HeaderMap,
    encodes: &IdVec<EncodeId, EncodePlan>,
) -> Result<EncodeId, Problem> {
    let by_name = query.into_iter().flat_map(|q| q.split('&')).find_map(|pair| pair.strip_prefix("encode="));
    if let Some(name) = by_name {
        return encodes.position(|e| e.name == name).ok_or_else(|| {
            let shown: String = name.chars().take(64).collect();
            let near = nearest(&shown, encodes.iter().map(|e| e.name.as_str()));
            let hint = near.map_or(String::new(), |n| format!("; did you mean `{n}`?"));
            Problem::malformed(format!("no encode is called `{shown}`; there is {}{hint}", listed(encodes)))
                .with("encodes", names(encodes))
        });
    }
    prefers(headers, encodes.iter().map(|e| e.encode.media_type())).map(EncodeId::new).ok_or_else(|| {
        Problem::not_acceptable(format!("this pipeline answers with {}", listed(encodes)))
            .with("encodes", names(encodes))
    })
}

/// The one of `media_types` that the `Accept` header wants most: the first where it does not say, `None` where it
/// wants none of them.
pub fn prefers<'a>(headers: &HeaderMap, media_types: impl IntoIterator<Item = &'a str>) -> Option<usize> {
    let values = headers.get_all(ACCEPT).iter().filter_map(|v| v.to_str().ok());
    let ranges: Vec<Range<'_>> = values.flat_map(|v| v.split(',')).filter_map(Range::read).collect();
    if ranges.is_empty() {
        return Some(0);
    }
    let mut best: Option<(usize, u16)> = None;
    for (index, media_type) in media_types.into_iter().enumerate() {
        let quality = quality(&ranges, media_type);
        // Of equals the first stands: the order given is the server's own preference.
        if quality > best.map_or(0, |(_, q)| q) {
            best = Some((index, quality));
        }
    }
    best.map(|(index, _)| index)
}

fn names(encodes: &[EncodePlan]) -> Vec<&str> {
    encodes.iter().map(|e| e.name.as_str()).collect()
}

fn listed(encodes: &[EncodePlan]) -> String {
    let list: Vec<String> =
        encodes.iter().map(|e| format!("`{}` ({})", e.name, e.encode.media_type())).collect();
    list.join(", ")
}

/// One range of an `Accept` header: "image/*;q=0.8".
struct Range<'a> {
    kind: &'a str,
    subtype: &'a str,
    /// The quality in thousandths.
    quality: u16,
}

impl<'a> Range<'a> {
    fn read(text: &'a str) -> Option<Self> {
        let mut parts = text.split(';').map(str::trim);
        let (kind, subtype) = parts.next()?.split_once('/')?;
        let quality = parts
            .find_map(|p| p.strip_prefix("q=").or_else(|| p.strip_prefix("Q=")))
            .map_or(Some(1.0), |q| q.parse::<f32>().ok())
            .filter(|q| (0.0..=1.0).contains(q))?;
        Some(Self { kind, subtype, quality: (quality * 1000.0).round() as u16 })
    }

    /// How narrowly it names the media type; 0 where it does not.
    fn narrowness(&self, kind: &str, subtype: &str) -> u8 {
        let same = |a: &str, b: &str| a.eq_ignore_ascii_case(b);
        match (self.kind, self.subtype) {
            ("*", "*") => 1,
            (k, "*") if same(k, kind) => 2,
            (k, s) if same(k, kind) && same(s, subtype) => 3,
            _ => 0,
        }
    }
}

/// The quality of a media type, by RFC 9110, 12.5.1: that of the narrowest range that fits; 0 where none does.
fn quality(ranges: &[Range<'_>], media_type: &str) -> u16 {
    let bare = media_type.split(';').next().unwrap_or(media_type).trim();
    let Some((kind, subtype)) = bare.split_once('/') else { return 0 };
    ranges
        .iter()
        .map(|r| (r.narrowness(kind, subtype), r.quality))
        .filter(|(narrowness, _)| *narrowness > 0)
        .max()
        .map_or(0, |(_, quality)| quality)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn best<'a>(accept: &str, types: &[&'a str]) -> Option<&'a str> {
        let headers = HeaderMap::from_iter([(ACCEPT, accept.parse().unwrap())]);
        prefers(&headers, types.iter().copied()).map(|i| types[i])
    }

    #[test]
    fn accept_chooses_by_quality_and_narrowness() {
        let types = ["application/json", "image/png"];
        let table: [(&str, Option<&str>); 10] = [
            ("*/*", Some("application/json")),
            ("image/png", Some("image/png")),
            ("image/*", Some("image/png")),
            ("IMAGE/PNG", Some("image/png")),
            ("application/json;q=0.5, image/*;q=0.9", Some("image/png")),
            ("image/*;q=0, */*", Some("application/json")),
            ("application/json;q=0, */*;q=0.1", Some("image/png")),
            ("image/avif,image/webp,*/*;q=0.8", Some("application/json")),
            ("text/html", None),
            ("image/png;q=0", None),
        ];
        for (accept, expected) in table {
            assert_eq!(best(accept, &types), expected, "{accept}");
        }
    }

    #[test]
    fn parameters_of_the_media_type_do_not_matter() {
        assert_eq!(best("text/csv", &["text/csv; charset=utf-8"]), Some("text/csv; charset=utf-8"));
    }
}
