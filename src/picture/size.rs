//! The size of a picture as its head tells it, without a decoder, and what memory decoding it takes: where it is decoded
//! and what is reserved for it is decided by that. A picture that turns out to be larger is refused by whoever decodes
//! it.

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

/// How many segments of a JPEG are looked at: profiles and previews come before the size.
const SEGMENTS: usize = 4096;

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
            let at = jpeg_frame(bytes)?;
            Some((be16(at + 7)?, be16(at + 5)?))
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

/// Where the frame header of a JPEG lies (ITU T.81 B.2.2).
fn jpeg_frame(bytes: &[u8]) -> Option<usize> {
    let mut at = 2;
    for _ in 0..SEGMENTS {
        let [0xff, marker] = *bytes.get(at..at + 2)? else { return None };
        match marker {
            // A marker may be preceded by fill bytes.
            0xff => at += 1,
            0x01 | 0xd0..=0xd8 => at += 2,
            // SOF0 to SOF15, less DHT, JPG and DAC, which lie among them.
            0xc0..=0xcf if !matches!(marker, 0xc4 | 0xc8 | 0xcc) => return Some(at),
            _ => {
                let length = u16::from_be_bytes(bytes.get(at + 2..at + 4)?.try_into().ok()?);
                at += 2 + usize::from(length.max(2));
            }
        }
    }
    None
}

/// The most bytes for each pixel that decoding a picture of any kind takes.
pub const MOST_PER_PIXEL: u64 = 19;

/// The most bytes that a picture of this size takes until it is RGB, that RGB included. Without its head, as many as the
/// worst kind takes.
pub fn working_bytes(bytes: &[u8], width: u32, height: u32) -> u64 {
    let byte = |at: usize| bytes.get(at).copied().map(u64::from);
    let (mut width, mut height) = (u64::from(width), u64::from(height));
    let per_pixel = match bytes {
        // The samples as they are in the file, one more where a colour stands for what is transparent, and RGB.
        [0x89, b'P', b'N', b'G', ..] => match (byte(24), byte(25)) {
            (Some(bits), Some(colors)) => {
                let samples = match colors {
                    0 => 2,
                    4 => 2,
                    _ => 4,
                };
                samples * if bits == 16 { 2 } else { 1 } + 3
            }
            _ => MOST_PER_PIXEL,
        },
        [b'B', b'M', ..] => 4 + 3,
        // The frame and what it is drawn on.
        [b'G', b'I', b'F', ..] | [b'R', b'I', b'F', b'F', ..] => 4 + 4 + 3,
        // Levels of each component, and where it is progressive coefficients of 16 bits; whole blocks of them.
        [0xff, 0xd8, ..] => {
            (width, height) = (width.next_multiple_of(32), height.next_multiple_of(32));
            match jpeg_frame(bytes).and_then(|at| Some((byte(at + 1)?, byte(at + 9)?))) {
                Some((0xc2, components)) => components.min(4) * 3 + 3,
                Some((_, components)) => components.min(4) + 3,
                None => MOST_PER_PIXEL,
            }
        }
        [b'I', b'I', ..] | [b'M', b'M', ..] if !directory::holds_jpeg(bytes) => 5 + 3,
        [b'I', b'I', ..] | [b'M', b'M', ..] => {
            // A tile may be larger than the picture.
            (width, height) = (width.max(1024), height.max(1024));
            MOST_PER_PIXEL
        }
        _ => MOST_PER_PIXEL,
    };
    width.saturating_mul(height).saturating_mul(per_pixel)
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{DynamicImage, ImageFormat, RgbImage, RgbaImage};
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
        // A file that hides its size behind megabytes of comments.
        let mut jpeg = Cursor::new(vec![]);
        picture.write_to(&mut jpeg, ImageFormat::Jpeg).unwrap();
        let comment = [&[0xff, 0xfe, 0xff, 0xff][..], &[7; 0xfffd]].concat();
        let hidden = [b"\xff\xd8", &*comment.repeat(40), &jpeg.into_inner()[2..]].concat();
        assert_eq!(hint(&hidden), Hint::Size(37, 21));
        let never = [b"\xff\xd8", &*[0xff, 0xfe, 0, 2].repeat(2 * SEGMENTS)].concat();
        assert_eq!(hint(&never), Hint::Unknown);
        assert_eq!(hint(b"no picture"), Hint::NoPicture);
        assert_eq!(hint(b""), Hint::NoPicture);
    }

    #[test]
    fn the_memory_of_a_decode_follows_from_the_head() {
        let bytes = |picture: DynamicImage, format| {
            let mut bytes = Cursor::new(vec![]);
            picture.write_to(&mut bytes, format).unwrap();
            working_bytes(&bytes.into_inner(), picture.width(), picture.height())
        };
        let rgb = || DynamicImage::ImageRgb8(RgbImage::new(64, 32));
        let rgba = DynamicImage::ImageRgba8(RgbaImage::new(64, 32));
        assert_eq!(bytes(rgb(), ImageFormat::Jpeg), 64 * 32 * 6);
        assert_eq!(bytes(rgb(), ImageFormat::Tiff), 64 * 32 * 8);
        assert_eq!(bytes(rgba.clone(), ImageFormat::Png), 64 * 32 * 7);
        assert_eq!(bytes(DynamicImage::ImageRgba16(rgba.to_rgba16()), ImageFormat::Png), 64 * 32 * 11);
        assert_eq!(working_bytes(b"", 64, 32), 64 * 32 * MOST_PER_PIXEL);
        let _ = working_bytes(b"\xff\xd8", u32::MAX, u32::MAX);
    }
}
