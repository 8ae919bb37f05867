//! Pictures of every format we read to upright RGB with 8 bits, with limits that hold before memory is
//! taken; their way to a given size; what a detector found in them; and what is drawn on them.
//!
//! - `prepare`: a picture, or a part of it, to the tensor that a model takes; `options` reads how.
//! - `frame`: where a tensor lies in the picture that was sent.
//! - `detect`: a detector's outputs to boxes, masks and points; `tile`: tiles that cover a picture.
//! - `draw`: shapes and text.
//!
//! Of the formats:
//!
//! - Recognised by content, never by name.
//! - The orientation that EXIF data tell, or else XMP, is applied.
//! - 16-bit samples keep their high byte; gray and palette become RGB; CMYK and YCCK follow Pillow.
//! - Transparency is dropped, as Pillow's `convert("RGB")` drops it, unless a background is given.

mod bmp;
pub mod detect;
pub mod draw;
pub mod frame;
mod grid;
mod jpeg;
mod normalise;
pub mod options;
mod other;
pub mod pixels;
pub mod prepare;
pub mod resample;
pub mod resize;
pub mod size;
mod tiff;
pub mod tile;
mod turn;
mod turned;

use crate::plan::DecodeError;
use image::ImageFormat;
use image::metadata::Orientation;
use serde::Serialize;

/// What a picture may have at most, checked from its header.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Limits {
    pub pixels: u64,
    /// The largest length of either side.
    pub side: u32,
}

impl Default for Limits {
    /// The largest pictures that phones and drones take (48 to 50 megapixels) pass.
    fn default() -> Self {
        Self { pixels: 50_000_000, side: 16_384 }
    }
}

impl Limits {
    /// Whether a picture may be so large.
    pub fn allow(self, width: u32, height: u32) -> bool {
        self.check(width, height).is_ok()
    }

    fn check(self, width: u32, height: u32) -> Result<(), DecodeError> {
        if width == 0 || height == 0 {
            return Err(DecodeError::Invalid(format!("the picture is {width}x{height}: it has no pixels")));
        }
        if width.max(height) > self.side {
            return Err(DecodeError::TooLarge(format!(
                "the picture is {width}x{height}; a side may have at most {} pixels (`max_side`)",
                self.side
            )));
        }
        let pixels = u64::from(width) * u64::from(height);
        if pixels > self.pixels {
            return Err(DecodeError::TooLarge(format!(
                "the picture is {width}x{height}, {pixels} pixels; it may have at most {} (`max_pixels`)",
                self.pixels
            )));
        }
        Ok(())
    }
}

/// Reads a picture to upright RGB in `rgb` (whatever it held before) and gives its width and height, and how it was
/// turned. `spare` is room to work in.
pub fn read(
    bytes: &[u8],
    limits: Limits,
    background: Option<[u8; 3]>,
    rgb: &mut Vec<u8>,
    spare: &mut Vec<u8>,
) -> Result<(u32, u32, Orientation), DecodeError> {
    let (width, height, orientation) = read_stored(bytes, limits, background, rgb)?;
    if orientation == Orientation::NoTransforms {
        return Ok((width, height, orientation));
    }
    let (width, height) = turn::upright(rgb, width, height, orientation, spare);
    std::mem::swap(rgb, spare);
    Ok((width, height, orientation))
}

/// Reads a picture to RGB in `rgb` as the file holds it, and gives its width and height and how it is to be turned.
pub fn read_stored(
    bytes: &[u8],
    limits: Limits,
    background: Option<[u8; 3]>,
    rgb: &mut Vec<u8>,
) -> Result<(u32, u32, Orientation), DecodeError> {
    match recognise(bytes)? {
        ImageFormat::Jpeg => jpeg::read(bytes, limits, rgb),
        ImageFormat::Tiff => tiff::read(bytes, limits, background, rgb),
        format => other::read(bytes, format, limits, background, rgb),
    }
}

/// A colour with some opacity over another.
fn over(top: [u8; 3], opacity: u8, under: [u8; 3]) -> [u8; 3] {
    std::array::from_fn(|c| {
        let (top, under, opacity) = (u32::from(top[c]), u32::from(under[c]), u32::from(opacity));
        ((top * opacity + under * (255 - opacity) + 127) / 255) as u8
    })
}

fn recognise(bytes: &[u8]) -> Result<ImageFormat, DecodeError> {
    use ImageFormat::*;
    let known = [Jpeg, Png, WebP, Bmp, Gif, Tiff];
    // BigTIFF, whose numbers are of 64 bits.
    if bytes.starts_with(b"II+\0") || bytes.starts_with(b"MM\0+") {
        return Ok(Tiff);
    }
    match image::guess_format(bytes) {
        Ok(format) if known.contains(&format) => Ok(format),
        _ => Err(DecodeError::WrongType(format!(
            "not a picture that is read here (JPEG, PNG, WebP, BMP, GIF, TIFF){}",
            foreign(bytes).map(|name| format!(": it looks like {name}")).unwrap_or_default()
        ))),
    }
}

/// What else is often sent.
fn foreign(bytes: &[u8]) -> Option<&'static str> {
    let brand = bytes.get(4..12).unwrap_or_default();
    let text = bytes.trim_ascii_start();
    Some(match bytes {
        _ if brand.starts_with(b"ftypavi") => "AVIF",
        _ if brand.starts_with(b"ftyphe") || brand.starts_with(b"ftypmif1") => "HEIC",
        _ if brand.starts_with(b"ftyp") => "a video",
        [0xff, 0x0a, ..] => "JPEG XL",
        [b'%', b'P', b'D', b'F', ..] => "PDF",
        [0x1f, 0x8b, ..] => "gzip; is its content-encoding set?",
        [b'P', b'K', 3, 4, ..] => "a ZIP archive",
        _ if text.starts_with(b"<") => "XML, SVG or HTML",
        _ if text.starts_with(b"{") || text.starts_with(b"[") => {
            "JSON; is its content-type set (`application/json`)?"
        }
        _ if text.starts_with(b"--") => "a multipart body; is its content-type set?",
        _ => return None,
    })
}
