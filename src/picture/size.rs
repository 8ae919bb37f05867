//! How large a picture is, from its first bytes and without a decoder: a hint for where to decode it, not
//! a check.

/// Width and height as the header tells them; `None` where that takes more than a glance.
pub fn hint(bytes: &[u8]) -> Option<(u32, u32)> {
    let be16 = |at: usize| Some(u32::from(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?)));
    let be32 = |at: usize| Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    let le16 = |at: usize| Some(u32::from(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?)));
    let le32 = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    match bytes {
        [0x89, b'P', b'N', b'G', ..] => Some((be32(16)?, be32(20)?)),
        [b'G', b'I', b'F', ..] => Some((le16(6)?, le16(8)?)),
        [b'B', b'M', ..] => Some((le32(18)?, (le32(22)? as i32).unsigned_abs())),
        [0xff, 0xd8, ..] => {
            let mut at = 2;
            loop {
                let [0xff, marker] = *bytes.get(at..at + 2)? else { return None };
                match marker {
                    // A marker may be preceded by fill bytes.
                    0xff => at += 1,
                    0x01 | 0xd0..=0xd8 => at += 2,
                    // SOF0 to SOF15 (ITU T.81 B.2.2), less DHT, JPG and DAC, which lie among them.
                    0xc0..=0xcf if !matches!(marker, 0xc4 | 0xc8 | 0xcc) => {
                        return Some((be16(at + 7)?, be16(at + 5)?));
                    }
                    _ => at += 2 + be16(at + 2)? as usize,
                }
            }
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
        for format in
            [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::Bmp, ImageFormat::Gif, ImageFormat::WebP]
        {
            let mut bytes = Cursor::new(vec![]);
            picture.write_to(&mut bytes, format).unwrap();
            let bytes = bytes.into_inner();
            assert_eq!(hint(&bytes), Some((37, 21)), "{format:?}");
            for cut in [0, 3, 11, 19] {
                hint(&bytes[..cut]);
            }
        }
        assert_eq!(hint(b"\xff\xd8\xff\xe0"), None);
        assert_eq!(hint(b"no picture"), None);
    }
}
