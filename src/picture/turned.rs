//! How a file says that its picture is to be turned: in its EXIF data or, where those do not say, in its XMP, as Pillow's
//! `ImageOps.exif_transpose` reads them. Pure.

use flate2::read::ZlibDecoder;
use image::metadata::Orientation;
use std::borrow::Cow;
use std::io::Read;

/// What a file says beside its pixels.
#[derive(Debug, Default)]
pub struct Metadata<'a> {
    pub exif: Option<Cow<'a, [u8]>>,
    pub xmp: Option<Cow<'a, [u8]>>,
}

/// The tag of EXIF, as of TIFF.
const ORIENTATION: u64 = 274;
/// A text of a PNG is not unpacked beyond so many bytes; Pillow's bound.
const MAX_TEXT: u64 = 1 << 20;

impl<'a> Metadata<'a> {
    pub fn orientation(&self) -> Orientation {
        let exif = self.exif.as_deref().and_then(of_exif);
        let told = exif.or_else(|| self.xmp.as_deref().and_then(of_xmp).map(u64::from));
        let told = told.and_then(|told| u8::try_from(told).ok());
        told.and_then(Orientation::from_exif).unwrap_or(Orientation::NoTransforms)
    }

    /// Of a PNG, wherever in the file they stand: `eXIf`, the profile that ImageMagick writes as text, and XMP as text.
    /// `None` where the file ends within a chunk.
    pub fn of_png(bytes: &'a [u8]) -> Option<Self> {
        let (mut found, mut profile) = (Self::default(), None);
        let mut rest = bytes.get(8..).unwrap_or_default();
        while let Some((head, behind)) = rest.split_at_checked(8) {
            let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
            let data = behind.get(..length)?;
            match &head[4..] {
                b"IEND" => break,
                b"eXIf" => found.exif = Some(data.into()),
                b"tEXt" | b"zTXt" | b"iTXt" => match png_text(&head[4..], data) {
                    Some((b"XML:com.adobe.xmp", text)) => found.xmp = Some(text),
                    Some((b"Raw profile type exif", text)) => profile = unhexed(&text),
                    _ => {}
                },
                _ => {}
            }
            rest = behind.get(length + 4..).unwrap_or_default();
        }
        found.exif = found.exif.or(profile.map(Cow::Owned));
        Some(found)
    }

    pub fn of_webp(bytes: &'a [u8]) -> Self {
        let mut found = Self::default();
        let mut rest = bytes.get(12..).unwrap_or_default();
        while let Some((head, behind)) = rest.split_at_checked(8) {
            let length = u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize;
            let Some(data) = behind.get(..length) else { break };
            match &head[..4] {
                b"EXIF" => found.exif = Some(data.into()),
                b"XMP " => found.xmp = Some(data.into()),
                _ => {}
            }
            // Chunks begin at even places.
            rest = behind.get(length + length % 2..).unwrap_or_default();
        }
        found
    }
}

/// The keyword and the text of a chunk of text.
fn png_text<'a>(kind: &[u8], data: &'a [u8]) -> Option<(&'a [u8], Cow<'a, [u8]>)> {
    let (keyword, rest) = cut(data)?;
    let (packed, text) = match kind {
        b"tEXt" => (false, rest),
        b"zTXt" => (true, rest.strip_prefix(&[0])?),
        _ => {
            let [packed, 0, rest @ ..] = rest else { return None };
            let (_language, rest) = cut(rest)?;
            (*packed != 0, cut(rest)?.1)
        }
    };
    if !packed {
        return Some((keyword, text.into()));
    }
    let mut unpacked = vec![];
    let read = ZlibDecoder::new(text).take(MAX_TEXT + 1).read_to_end(&mut unpacked);
    (read.is_ok() && unpacked.len() as u64 <= MAX_TEXT).then_some((keyword, unpacked.into()))
}

/// What stands before the next zero, and behind it.
fn cut(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = data.iter().position(|byte| *byte == 0)?;
    Some((&data[..end], &data[end + 1..]))
}

/// The bytes that lines of hexadecimal digits stand for, after three lines of what they are.
fn unhexed(text: &[u8]) -> Option<Vec<u8>> {
    let lines = text.splitn(4, |byte| *byte == b'\n').nth(3)?;
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    let digits = lines.iter().filter(|byte| !byte.is_ascii_whitespace());
    let digits = digits.map(digit).collect::<Option<Vec<u32>>>()?;
    Some(digits.chunks_exact(2).map(|pair| (pair[0] * 16 + pair[1]) as u8).collect())
}

/// The orientation that EXIF data tell; 0 where it is none.
fn of_exif(exif: &[u8]) -> Option<u64> {
    let exif = exif.strip_prefix(b"Exif\0\0").unwrap_or(exif);
    let big_endian = match exif.get(..4)? {
        b"II*\0" => false,
        b"MM\0*" => true,
        _ => return None,
    };
    let number = |at: usize, size: usize| -> Option<u64> {
        let bytes = exif.get(at..at.checked_add(size)?)?;
        let add = |value: u64, byte: &u8| value << 8 | u64::from(*byte);
        Some(if big_endian { bytes.iter().fold(0, add) } else { bytes.iter().rev().fold(0, add) })
    };
    let directory = number(4, 4)? as usize;
    let entries = (0..number(directory, 2)?).map(|index| directory + 2 + 12 * index as usize);
    let entry = entries.into_iter().find(|at| number(*at, 2) == Some(ORIENTATION))?;
    let size = match (number(entry + 2, 2), number(entry + 4, 4)) {
        (Some(1), Some(1)) => 1,
        (Some(3), Some(1)) => 2,
        (Some(4), Some(1)) => 4,
        _ => return Some(0),
    };
    number(entry + 8, size)
}

/// The first `tiff:Orientation="6"` or `<tiff:Orientation>6`.
pub fn of_xmp(packet: &[u8]) -> Option<u8> {
    const NAME: &[u8] = b"tiff:Orientation";
    packet.windows(NAME.len()).enumerate().filter(|(_, name)| *name == NAME).find_map(|(at, _)| {
        let rest = &packet[at + NAME.len()..];
        let rest = rest.strip_prefix(b"=\"").or_else(|| rest.strip_prefix(b">"))?;
        rest.first().filter(|digit| digit.is_ascii_digit()).map(|digit| digit - b'0')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xmp_tells_what_exif_does_not() {
        let exif = |orientation: u8| -> Vec<u8> {
            [b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0", &[orientation, 0, 0, 0, 0, 0, 0, 0][..]]
                .concat()
        };
        let xmp = |text: &str| Some(text.as_bytes().to_vec().into());
        for (told, text, wanted) in [
            (None, "<x tiff:Orientation=\"6\"/>", 6),
            (None, "<tiff:Orientation>8</tiff:Orientation>", 8),
            (None, "tiff:Orientation='6'", 1),
            (None, "tiff:Orientation=\"9\"", 1),
            (None, "tiff:Orientation tiff:Orientation=\"3\"", 3),
            (None, "tiff:Orientation=\"", 1),
            (Some(1), "tiff:Orientation=\"6\"", 1),
            (Some(0), "tiff:Orientation=\"6\"", 1),
            (Some(3), "tiff:Orientation=\"6\"", 3),
        ] {
            let metadata = Metadata { exif: told.map(|told| exif(told).into()), xmp: xmp(text) };
            assert_eq!(metadata.orientation().to_exif(), wanted, "{told:?} {text}");
        }
        assert_eq!(Metadata { exif: Some(exif(5)[..12].into()), xmp: None }.orientation().to_exif(), 1);
    }

    #[test]
    fn what_stands_behind_a_png_is_not_looked_at() {
        let end = b"\x89PNG\r\n\x1a\n\0\0\0\0IEND\xae\x42\x60\x82";
        let cut = b"\xff\0\0\0tEXt...";
        assert!(Metadata::of_png(&[&end[..], cut].concat()).is_some());
        assert!(Metadata::of_png(&[&end[..8], cut].concat()).is_none());
    }

    proptest::proptest! {
        #[test]
        fn any_file_is_gone_through(bytes: Vec<u8>, text: Vec<u8>) {
            let mut png = b"\x89PNG\r\n\x1a\n\0\0\0\0iTXtXML:com.adobe.xmp\0\x01\0\0\0".to_vec();
            png[11] = text.len().min(200) as u8;
            png.extend(&text);
            for bytes in [&bytes, &png] {
                let _ = Metadata::of_png(bytes).map(|found| found.orientation());
                let _ = Metadata::of_webp(bytes).orientation();
            }
            let _ = (of_exif(&bytes), unhexed(&bytes));
        }
    }
}
