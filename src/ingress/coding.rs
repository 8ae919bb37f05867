//! Bodies that come packed, by `Content-Encoding`: gzip and deflate, unpacked within the size that a body may
//! have.

use super::body_memory::BodyMemory;
use super::problem::Problem;
use bytes::Bytes;
use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use hyper::HeaderMap;
use hyper::header::CONTENT_ENCODING;
use std::io::{self, Read};

/// The codings that are taken, as a client is told that sends another one.
pub const TAKEN: &str = "gzip, deflate";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    Identity,
    Gzip,
    Deflate,
}

impl Coding {
    /// The coding of a request's body; a problem where it is another than those that are taken.
    pub fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let mut coding = Self::Identity;
        for value in headers.get_all(CONTENT_ENCODING) {
            let text = value.to_str().unwrap_or("?");
            for name in text.split(',').map(str::trim).filter(|name| !name.is_empty()) {
                let named = match name.to_ascii_lowercase().as_str() {
                    "identity" => continue,
                    "gzip" | "x-gzip" => Self::Gzip,
                    "deflate" => Self::Deflate,
                    _ => return Err(not_taken(name)),
                };
                if coding != Self::Identity {
                    return Err(Problem::wrong_coding(
                        TAKEN,
                        "the body is packed more than once; pack it once",
                    ));
                }
                coding = named;
            }
        }
        Ok(coding)
    }

    /// Unpacks `packed`, up to `limit` bytes and to what `reserved` can hold beside it. It computes, and is to be
    /// called where that holds up nobody.
    pub fn unpack(self, packed: Bytes, limit: usize, reserved: &mut BodyMemory) -> Result<Bytes, Problem> {
        let rest = &packed[..];
        match self {
            Self::Identity => Ok(packed),
            _ if packed.is_empty() => Ok(packed),
            Self::Gzip => read(self, MultiGzDecoder::new(rest), packed.len(), limit, reserved),
            // By its standard a zlib stream; some clients send the stream within it alone.
            Self::Deflate if is_zlib(&packed) => {
                let mut stream = ZlibDecoder::new(rest);
                let body = read(self, &mut stream, packed.len(), limit, reserved)?;
                whole(self, stream.total_in(), packed.len(), body)
            }
            Self::Deflate => {
                let mut stream = DeflateDecoder::new(rest);
                let body = read(self, &mut stream, packed.len(), limit, reserved)?;
                whole(self, stream.total_in(), packed.len(), body)
            }
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
        }
    }
}

fn not_taken(name: &str) -> Problem {
    let shown: String = name.chars().take(64).collect();
    Problem::wrong_coding(
        TAKEN,
        format!(
            "`Content-Encoding: {shown}` is not taken; send the body as it is, or packed with gzip or deflate"
        ),
    )
}

/// RFC 1950, 2.2: the method is 8, and the first two bytes are a multiple of 31.
fn is_zlib(packed: &[u8]) -> bool {
    matches!(packed, [first, second, ..] if first & 0x0f == 8 && u16::from_be_bytes([*first, *second]) % 31 == 0)
}

fn read(
    coding: Coding,
    mut stream: impl Read,
    packed: usize,
    limit: usize,
    reserved: &mut BodyMemory,
) -> Result<Bytes, Problem> {
    let mut body = vec![];
    let mut piece = vec![0; 64 << 10];
    loop {
        let length = match stream.read(&mut piece) {
            Ok(0) => return Ok(body.into()),
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(broken(coding, &error.to_string())),
        };
        if length > limit.saturating_sub(body.len()) {
            return Err(Problem::body_too_large(limit).with("unpacked", true));
        }
        // The buffer grows to the double of what it holds.
        reserved.hold(packed.saturating_add((body.len() + length).saturating_mul(2)))?;
        body.extend_from_slice(&piece[..length]);
    }
}

fn whole(coding: Coding, read: u64, packed: usize, body: Bytes) -> Result<Bytes, Problem> {
    if read == packed as u64 { Ok(body) } else { Err(broken(coding, "something follows its end")) }
}

fn broken(coding: Coding, why: &str) -> Problem {
    Problem::malformed(format!("the body is not what `Content-Encoding: {}` says: {why}", coding.name()))
}

#[cfg(test)]
mod tests {
    use super::super::clients::{ClientRules, PerAddress, RequestMemory};
    use super::*;
    use crate::memory::{Budget, Use};
    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
    use hyper::header::HeaderValue;
    use std::io::Write;

    fn memory(budget: &Budget) -> RequestMemory {
        RequestMemory::new(budget, &ClientRules::default(), &PerAddress::default(), &HeaderMap::new(), None)
    }

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut packer = GzEncoder::new(vec![], Compression::default());
        packer.write_all(text).unwrap();
        packer.finish().unwrap()
    }

    fn zlib(text: &[u8]) -> Vec<u8> {
        let mut packer = ZlibEncoder::new(vec![], Compression::default());
        packer.write_all(text).unwrap();
        packer.finish().unwrap()
    }

    fn raw(text: &[u8]) -> Vec<u8> {
        let mut packer = DeflateEncoder::new(vec![], Compression::default());
        packer.write_all(text).unwrap();
        packer.finish().unwrap()
    }

    fn unpack(coding: Coding, packed: Vec<u8>, limit: usize) -> Result<Bytes, u16> {
        let mut reserved = BodyMemory::nothing(&memory(&Budget::unlimited()));
        coding.unpack(packed.into(), limit, &mut reserved).map_err(|problem| problem.status().as_u16())
    }

    #[test]
    fn what_was_packed_comes_back() {
        let text: Vec<u8> = (0..200_000_u32).flat_map(|n| (n % 251).to_le_bytes()).collect();
        for (coding, packed) in
            [(Coding::Gzip, gzip(&text)), (Coding::Deflate, zlib(&text)), (Coding::Deflate, raw(&text))]
        {
            assert_eq!(unpack(coding, packed, text.len()).unwrap(), text);
        }
        let two = [gzip(b"one "), gzip(b"two")].concat();
        assert_eq!(unpack(Coding::Gzip, two, 100).unwrap(), "one two");
        assert_eq!(unpack(Coding::Gzip, vec![], 100).unwrap(), "");
    }

    #[test]
    fn a_bomb_is_too_large() {
        let bomb = vec![0; 50 << 20];
        for (coding, packed) in
            [(Coding::Gzip, gzip(&bomb)), (Coding::Deflate, zlib(&bomb)), (Coding::Deflate, raw(&bomb))]
        {
            assert!(packed.len() < 100_000);
            assert_eq!(unpack(coding, packed, 1 << 20), Err(413));
        }
        // Where many are unpacked at once, there may be no room for one more.
        let budget = Budget::new(64 << 20);
        let _others = budget.reserve(Use::Bodies, 10 << 20).unwrap();
        let mut reserved = BodyMemory::nothing(&memory(&budget));
        let problem = Coding::Gzip.unpack(gzip(&bomb).into(), 64 << 20, &mut reserved).unwrap_err();
        assert_eq!(problem.status(), 503);
    }

    #[test]
    fn what_is_broken_is_malformed() {
        let text = vec![7; 10_000];
        for (coding, packed) in
            [(Coding::Gzip, gzip(&text)), (Coding::Deflate, zlib(&text)), (Coding::Deflate, raw(&text))]
        {
            let cut = packed[..packed.len() - 6].to_vec();
            assert_eq!(unpack(coding, cut, 1 << 20), Err(400), "{coding:?}");
            let longer = [&packed[..], b"more"].concat();
            assert_eq!(unpack(coding, longer, 1 << 20), Err(400), "{coding:?}");
            assert_eq!(unpack(coding, b"this is not packed".to_vec(), 1 << 20), Err(400), "{coding:?}");
        }
    }

    #[test]
    fn codings_are_known_by_name() {
        let of = |value: &'static str| {
            let headers = HeaderMap::from_iter([(CONTENT_ENCODING, HeaderValue::from_static(value))]);
            Coding::of(&headers).map_err(|problem| problem.status().as_u16())
        };
        assert_eq!(of("gzip"), Ok(Coding::Gzip));
        assert_eq!(of("X-GZip"), Ok(Coding::Gzip));
        assert_eq!(of("deflate"), Ok(Coding::Deflate));
        assert_eq!(of("identity"), Ok(Coding::Identity));
        assert_eq!(of("identity, gzip"), Ok(Coding::Gzip));
        assert_eq!(of(""), Ok(Coding::Identity));
        for other in ["br", "zstd", "gzip, gzip", "gzip, deflate", "compress"] {
            assert_eq!(of(other), Err(415), "{other}");
        }
    }
}
