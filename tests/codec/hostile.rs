//! Pictures made to do harm: refused from their header, in no time and no memory.

use super::{bytes, decode, decoded, fixture, refusal};
use proptest::prelude::*;
use std::time::{Duration, Instant};

fn chunk(kind: &[u8; 4], content: &[u8]) -> Vec<u8> {
    let mut checked = kind.to_vec();
    checked.extend(content);
    let mut out = (content.len() as u32).to_be_bytes().to_vec();
    out.extend(&checked);
    out.extend(crc(&checked).to_be_bytes());
    out
}

/// CRC-32 as PNG has it.
fn crc(content: &[u8]) -> u32 {
    !content.iter().fold(!0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |c, _| if c & 1 == 1 { c >> 1 ^ 0xedb8_8320 } else { c >> 1 })
    })
}

fn png_header(width: u32, height: u32) -> Vec<u8> {
    let mut header = vec![];
    header.extend(width.to_be_bytes());
    header.extend(height.to_be_bytes());
    header.extend([8, 2, 0, 0, 0]);
    let mut out = b"\x89PNG\r\n\x1a\n".to_vec();
    out.extend(chunk(b"IHDR", &header));
    out.extend(chunk(b"IDAT", &[0x78, 0x9c, 3, 0, 0, 0, 0, 1]));
    out.extend(chunk(b"IEND", &[]));
    out
}

/// Files of a few bytes that say they have 50,000 pixels on each side, or the most of their format.
fn giants() -> Vec<(&'static str, Vec<u8>)> {
    let mut jpeg = fixture("pictures/rgb.jpg");
    let sof = jpeg.windows(2).position(|w| w == [0xff, 0xc0]).unwrap();
    jpeg[sof + 5..sof + 9].copy_from_slice(&[0xff, 0xff, 0xff, 0xff]);
    let mut progressive = fixture("pictures/progressive.jpg");
    let sof = progressive.windows(2).position(|w| w == [0xff, 0xc2]).unwrap();
    progressive[sof + 5..sof + 9].copy_from_slice(&[0xff, 0xff, 0xff, 0xff]);
    let mut bmp = fixture("pictures/rgb.bmp");
    bmp[18..22].copy_from_slice(&50_000u32.to_le_bytes());
    bmp[22..26].copy_from_slice(&50_000u32.to_le_bytes());
    let mut gif = fixture("pictures/palette.gif");
    gif[6..10].copy_from_slice(&[0xff; 4]);
    let mut tiff = fixture("pictures/rgb.tif");
    let directory = u32::from_le_bytes(tiff[4..8].try_into().unwrap()) as usize;
    for entry in tiff[directory + 2..].chunks_exact_mut(12) {
        // ImageWidth, ImageLength and RowsPerStrip: a tag, its type (LONG), a count of one and the value.
        if [256, 257, 278].contains(&u16::from_le_bytes([entry[0], entry[1]])) {
            entry[2..4].copy_from_slice(&4u16.to_le_bytes());
            entry[8..12].copy_from_slice(&50_000u32.to_le_bytes());
        }
    }
    let mut webp = fixture("pictures/rgb.webp");
    let start = webp.windows(4).position(|w| w == b"VP8L").unwrap() + 9;
    webp[start..start + 4].copy_from_slice(&(16_382u32 | 16_382 << 14).to_le_bytes());
    vec![
        ("png", png_header(50_000, 50_000)),
        ("jpeg", jpeg),
        ("progressive jpeg", progressive),
        ("bmp", bmp),
        ("gif", gif),
        ("tiff", tiff),
        ("webp", webp),
    ]
}

#[test]
fn giant_headers_cost_nothing() {
    for (name, file) in giants() {
        let begin = Instant::now();
        let error = refusal(decoded(r#"format = "image", size = 64"#, file));
        assert!(error.starts_with("too large: the picture is "), "{name}: {error}");
        assert!(begin.elapsed() < Duration::from_millis(100), "{name}: {:?}", begin.elapsed());
    }
    assert_eq!(
        refusal(decoded(r#"format = "image""#, png_header(50_000, 50_000))),
        "too large: the picture is 50000x50000; a side may have at most 16384 pixels (`max_side`)"
    );
    assert_eq!(
        refusal(decoded(r#"format = "image", max_side = 65535"#, png_header(50_000, 50_000))),
        "too large: the picture is 50000x50000, 2500000000 pixels; it may have at most 50000000 (`max_pixels`)"
    );
    assert!(refusal(decoded(r#"format = "image""#, png_header(0, 5))).starts_with("invalid: "));
}

#[test]
fn a_long_line_is_refused_or_read_as_the_limits_say() {
    let line = super::resize::png(&[7; 100_000 * 3], 100_000, 1);
    let error = refusal(decoded(r#"format = "image", size = 64"#, line));
    assert_eq!(
        error,
        "too large: the picture is 100000x1; a side may have at most 16384 pixels (`max_side`)"
    );
    let line = super::resize::png(&[7; 60_000 * 3], 60_000, 1);
    for fit in ["stretch", "cover", "contain"] {
        let options =
            format!(r#"format = "image", size = [8, 4], fit = "{fit}", scale = 1, max_side = 65535"#);
        let tensor = decoded(&options, line.clone()).unwrap().tensor;
        assert!(tensor.to_f64().contains(&7.0), "{fit}");
    }
}

#[test]
fn what_is_no_picture_is_said_to_be_none() {
    let image = |body: &'static [u8]| refusal(decoded(r#"format = "image""#, body));
    assert_eq!(image(b""), "malformed: empty, where a picture should be");
    let unread = "wrong type: not a picture that is read here (JPEG, PNG, WebP, BMP, GIF, TIFF)";
    assert_eq!(image(b"hello"), unread);
    assert_eq!(image(b"%PDF-1.7"), format!("{unread}: it looks like PDF"));
    assert_eq!(
        image(b"{\"photo\": 1}"),
        format!("{unread}: it looks like JSON; is its content-type set (`application/json`)?")
    );
    assert_eq!(image(b"\0\0\0\x1cftypheic\0\0\0\0"), format!("{unread}: it looks like HEIC"));
    assert_eq!(image(b"\xff\xd8\xff\xe0"), "invalid: the JPEG is truncated");
    assert!(image(b"\x89PNG\r\n\x1a\n").starts_with("invalid: "));
    assert!(image(b"BM").starts_with("invalid: "));
}

/// Tags of a TIFF that would take memory, or time, without a byte of pixels.
#[test]
fn a_tiff_that_lies_about_its_parts_is_refused() {
    let with = |tag: u16, value: u32| {
        let mut file = fixture("pictures/float-little.tif");
        let directory = u32::from_le_bytes(file[4..8].try_into().unwrap()) as usize;
        let entry = file[directory + 2..].chunks_exact_mut(12).find(|e| e[..2] == tag.to_le_bytes()).unwrap();
        entry[2..4].copy_from_slice(&4u16.to_le_bytes());
        entry[4..8].copy_from_slice(&1u32.to_le_bytes());
        entry[8..12].copy_from_slice(&value.to_le_bytes());
        refusal(decoded(r#"format = "image""#, file))
    };
    let begin = Instant::now();
    let (bits, samples, rows, length) = (258, 277, 278, 279);
    assert_eq!(with(bits, 64), "invalid: the TIFF is truncated");
    assert_eq!(with(bits, 7), "invalid: a TIFF with samples of 7 bits is not read");
    assert_eq!(
        with(samples, u32::MAX),
        "invalid: a TIFF with 4294967295 samples of each pixel for its colours is not read"
    );
    assert_eq!(with(rows, 0), "invalid: broken TIFF: the size of its strips or tiles");
    assert_eq!(with(rows, 1), "invalid: broken TIFF: the number of its strips or tiles");
    assert_eq!(with(length, 5), "invalid: the TIFF is truncated");
    assert!(begin.elapsed() < Duration::from_millis(200), "{:?}", begin.elapsed());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// One byte of a picture changed, anywhere, and its end cut off: an answer, whatever it is.
    #[test]
    fn a_damaged_picture_is_answered(
        name in prop::sample::select(vec![
            "rgb.jpg", "progressive.jpg", "cmyk.jpg", "subsampled.jpg", "restarts.jpg", "palette.png", "alpha-16.png",
            "palette.gif", "alpha.webp", "lossy.webp", "lzw.tif", "gray-16.tif", "palette.bmp", "turned-6.jpg",
            "own-22-apart.jpg", "own-33-together.jpg", "own-progressive-apart.jpg", "own-cmyk-apart.jpg",
            "fax-group3.tif", "fax-group3-2d.tif", "fax-group4.tif", "fax-tiff_ccitt.tif", "packbits.tif", "jpeg.tif",
            "ycbcr-quarter.tif", "float-predicted.tif", "planes.tif", "big.tif", "palette-2.tif",
        ]),
        at: prop::sample::Index,
        byte: u8,
        cut in 0usize..60,
    ) {
        let mut file = fixture(&format!("pictures/{name}"));
        let at = at.index(file.len());
        file[at] = byte;
        file.truncate(file.len() - cut);
        let _ = decode(r#"format = "image", size = [9, 9], fit = "cover""#).decode(&bytes(file), true);
    }
}
