//! How large a picture is, from its first bytes: a hint for where to decode it, not a check.

use image::{ImageFormat, ImageReader};
use std::io::Cursor;

/// Width and height as the header says; `None` where that cannot be told. JPEG and PNG, which nearly all
/// pictures are, are looked at without a decoder.
pub fn hint(bytes: &[u8]) -> Option<(u32, u32)> {
    match image::guess_format(bytes).ok()? {
        ImageFormat::Jpeg => jpeg(bytes),
        ImageFormat::Png => {
            let side = |at: usize| bytes.get(at..at + 4)?.try_into().ok().map(u32::from_be_bytes);
            Some((side(16)?, side(20)?))
        }
        format => ImageReader::with_format(Cursor::new(bytes), format).into_dimensions().ok(),
    }
}

/// Walks the segments up to the frame header (SOF, ITU T.81 B.2.2).
fn jpeg(bytes: &[u8]) -> Option<(u32, u32)> {
    let short = |at: usize| bytes.get(at..at + 2)?.try_into().ok().map(u16::from_be_bytes);
    let mut at = 2;
    loop {
        let marker = match bytes.get(at..at + 2)? {
            // A marker may be preceded by fill bytes.
            [0xff, 0xff] => {
                at += 1;
                continue;
            }
            [0xff, marker] => *marker,
            _ => return None,
        };
        match marker {
            // SOF0 to SOF15, less DHT, JPG and DAC, which lie among them.
            0xc0..=0xcf if !matches!(marker, 0xc4 | 0xc8 | 0xcc) => {
                return Some((short(at + 7)?.into(), short(at + 5)?.into()));
            }
            0x01 | 0xd0..=0xd8 => at += 2,
            _ => at += 2 + usize::from(short(at + 2)?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{DynamicImage, RgbImage};

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
