//! The size of a picture as its first bytes tell it, without a decoder: a hint for where to decode it, not a
//! check.

use super::tiff::directory;

/// What the first bytes of a file tell about the size of its picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hint {
    /// Width and height.
    Size(u32, u32),
    /// The file is of a format that is read here, and its size does not stand in these bytes.
    Unknown,
    /// The file is of no format that is read here.
    NoPicture,
}

/// How much of a JPEG is searched: profiles and previews come before the size.
const SEARCHED: usize = 256 << 10;

/// Looks for the size in `bytes`, the first of a file or all of them.
pub fn hint(bytes: &[u8]) -> Hint {
    let known = [&b"\x89PNG"[..], b"GIF8", b"BM", b"\xff\xd8", b"RIFF", b"II", b"MM"];
    match size(bytes) {
        Some((width, height)) => Hint::Size(width, height),
        None if known.iter().any(|magic| bytes.starts_with(magic)) => Hint::Unknown,
        None => Hint::NoPicture,
    }
}

fn size(bytes: &[u8]) -> Option<(u32, u32)> {
    let be16 = |at: usize| Some(u32::from(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?)));
    let be32 = |at: usize| Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    let le16 = |at: usize| Some(u32::from(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?)));
    let le32 = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    match bytes {
        [0x89, b'P', b'N', b'G', ..] => Some((be32(16)?, be32(20)?)),
        [b'G', b'I', b'F', ..] => Some((le16(6)?, le16(8)?)),
        // The oldest header, of 12 bytes, has sides of 16 bits.
        [b'B', b'M', ..] if le32(14)? == 12 => Some((le16(18)?, le16(20)?)),
        [b'B', b'M', ..] => Some((le32(18)?, (le32(22)? as i32).unsigned_abs())),
        [b'I', b'I', ..] | [b'M', b'M', ..] => directory::size(bytes),
        [0xff, 0xd8, ..] => {
            let mut at = 2;
            while at < SEARCHED {
                let [0xff, marker] = *bytes.get(at..at + 2)? else { return None };
                match marker {
                    // A marker may be preceded by fill bytes.
                    0xff => at += 1,
                    0x01 | 0xd0..=0xd8 => at += 2,
                    // SOF0 to SOF15 (ITU T.81 B.2.2), less DHT, JPG and DAC, which lie among them.
                    0xc0..=0xcf if !matches!(marker, 0xc4 | 0xc8 | 0xcc) => {
                        return Some((be16(at + 7)?, be16(at + 5)?));
                    }
                    _ => at += 2 + be16(at + 2)?.max(2) as usize,
                }
            }
            None
        }
        [b'R', b'I', b'F', b'F', ..] => match bytes.get(12..16)? {
            b"VP8X" => Some(((le32(24)? & 0xff_ffff) + 1, (le32(27)? & 0xff_ffff) + 1)),
            b"VP8L" => {
                let bits = le32(21)?;
                Some(((bits & 0x3fff) + 1, (bits >> 14 & 0x3fff) + 1))
            }
            b"VP8 " => Some((le16(26)? & 0x3fff, le16(28)? & 0x3fff)),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{DynamicImage, ImageFormat, RgbImage};
    use std::io::Cursor;

    #[test]
    fn every_format_tells_its_size() {
        let picture = DynamicImage::ImageRgb8(RgbImage::new(37, 21));
        for format in [
            ImageFormat::Jpeg,
            ImageFormat::Png,
            ImageFormat::Bmp,
            ImageFormat::Gif,
            ImageFormat::WebP,
            ImageFormat::Tiff,
        ] {
            let mut bytes = Cursor::new(vec![]);
            picture.write_to(&mut bytes, format).unwrap();
            let bytes = bytes.into_inner();
            assert_eq!(hint(&bytes), Hint::Size(37, 21), "{format:?}");
            for cut in [0, 3, 11, 19] {
                hint(&bytes[..cut]);
            }
        }
        assert_eq!(hint(b"\xff\xd8\xff\xe0"), Hint::Unknown);
        assert_eq!(hint(b"no picture"), Hint::NoPicture);
        assert_eq!(hint(b""), Hint::NoPicture);
    }
}
