//! PNG, WebP, BMP and GIF through `image`.

use super::turned::Metadata;
use super::{Limits, bmp, over};
use crate::plan::DecodeError;
use image::error::ImageError;
use image::metadata::Orientation;
use image::{ColorType, ImageDecoder, ImageFormat, ImageReader};
use std::io::Cursor;

pub fn read(
    bytes: &[u8],
    format: ImageFormat,
    limits: Limits,
    background: Option<[u8; 3]>,
    rgb: &mut Vec<u8>,
) -> Result<(u32, u32, Orientation), DecodeError> {
    let name = name(format);
    let broken = |error| broken(name, error);
    if format == ImageFormat::WebP && is_cut(bytes) {
        return Err(DecodeError::Invalid("the WebP is truncated".into()));
    }
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader.limits(memory(format, limits));
    let decoder = reader.into_decoder().map_err(broken)?;
    let (width, height) = decoder.dimensions();
    limits.check(width, height)?;
    let metadata = match format {
        // Other decoders do not look at what comes behind the pixels, which may be the orientation.
        ImageFormat::Png => {
            Metadata::of_png(bytes).ok_or_else(|| DecodeError::Invalid("the PNG is truncated".into()))?
        }
        ImageFormat::WebP => Metadata::of_webp(bytes),
        _ => Metadata::default(),
    };
    let orientation = metadata.orientation();
    let color = decoder.color_type();
    let size = usize::try_from(decoder.total_bytes())
        .map_err(|_| DecodeError::TooLarge(format!("the {name} is {width}x{height}")))?;

    rgb.clear();
    rgb.resize(size, 0);
    decoder.read_image(rgb).map_err(broken)?;
    if color != ColorType::Rgb8 {
        *rgb = to_rgb(rgb, color, background).ok_or_else(|| {
            DecodeError::Invalid(format!("a {name} with pixels of a kind that is not read ({color:?})"))
        })?;
    }
    if format == ImageFormat::Bmp {
        bmp::as_pillow(bytes, rgb);
    }
    Ok((width, height, orientation))
}

/// Whether a RIFF file is shorter than it says. What is missing may be the orientation, which comes last.
fn is_cut(bytes: &[u8]) -> bool {
    let size = bytes.get(4..8).and_then(|size| size.try_into().ok()).map_or(0, u32::from_le_bytes);
    (bytes.len() as u64) < u64::from(size) + 8
}

/// What a decoder may allocate beside the pixels it gives: the largest picture allowed at 16 bits and four
/// channels, twice. A PNG is read row by row; what it could take memory for is a colour profile, which is
/// packed, and with us unused: one that unpacks to more than a profile ever has is not read.
fn memory(format: ImageFormat, limits: Limits) -> image::Limits {
    let mut memory = image::Limits::no_limits();
    memory.max_alloc = Some(match format {
        ImageFormat::Png => 16 << 20,
        _ => limits.pixels.saturating_mul(16).max(64 << 20),
    });
    memory
}

fn name(format: ImageFormat) -> &'static str {
    match format {
        ImageFormat::Png => "PNG",
        ImageFormat::WebP => "WebP",
        ImageFormat::Bmp => "BMP",
        _ => "GIF",
    }
}

fn broken(name: &str, error: ImageError) -> DecodeError {
    match error {
        ImageError::Limits(_) => {
            DecodeError::TooLarge(format!("the {name} takes more memory than its size allows"))
        }
        ImageError::IoError(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            DecodeError::Invalid(format!("the {name} is truncated"))
        }
        error => DecodeError::Invalid(format!("broken {name}: {error}")),
    }
}

/// Pixels as `image` gives them (16-bit and float samples in the machine's byte order) to RGB.
fn to_rgb(raw: &[u8], color: ColorType, background: Option<[u8; 3]>) -> Option<Vec<u8>> {
    let high = |sample: &[u8]| (u16::from_ne_bytes([sample[0], sample[1]]) >> 8) as u8;
    let unit = |sample: &[u8]| {
        let value = f32::from_ne_bytes([sample[0], sample[1], sample[2], sample[3]]);
        (value.clamp(0.0, 1.0) * 255.0).round() as u8
    };
    let over = |rgb: [u8; 3], alpha: u8| background.map_or(rgb, |under| over(rgb, alpha, under));
    let pixels = |size: usize, read: &dyn Fn(&[u8]) -> [u8; 3]| {
        let mut rgb = Vec::with_capacity(raw.len() / size * 3);
        raw.chunks_exact(size).for_each(|pixel| rgb.extend_from_slice(&read(pixel)));
        rgb
    };
    Some(match color {
        ColorType::L8 => pixels(1, &|p| [p[0]; 3]),
        ColorType::La8 => pixels(2, &|p| over([p[0]; 3], p[1])),
        ColorType::Rgb8 => raw.to_vec(),
        ColorType::Rgba8 => pixels(4, &|p| over([p[0], p[1], p[2]], p[3])),
        ColorType::L16 => pixels(2, &|p| [high(p); 3]),
        ColorType::La16 => pixels(4, &|p| over([high(p); 3], high(&p[2..]))),
        ColorType::Rgb16 => pixels(6, &|p| [high(p), high(&p[2..]), high(&p[4..])]),
        ColorType::Rgba16 => pixels(8, &|p| over([high(p), high(&p[2..]), high(&p[4..])], high(&p[6..]))),
        ColorType::Rgb32F => pixels(12, &|p| [unit(p), unit(&p[4..]), unit(&p[8..])]),
        ColorType::Rgba32F => pixels(16, &|p| over([unit(p), unit(&p[4..]), unit(&p[8..])], unit(&p[12..]))),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::codecs::png::PngEncoder;
    use image::{ExtendedColorType, ImageEncoder};

    /// A kilobyte of a profile unpacked to hundreds of megabytes.
    #[test]
    fn a_packed_profile_does_not_take_memory() {
        let png = |profile: usize| {
            let mut bytes = vec![];
            let mut encoder = PngEncoder::new(&mut bytes);
            encoder.set_icc_profile(vec![0; profile]).unwrap();
            encoder.write_image(&[7, 8, 9], 1, 1, ExtendedColorType::Rgb8).unwrap();
            bytes
        };
        let profile = |bytes: &[u8]| {
            let mut reader = ImageReader::with_format(Cursor::new(bytes), ImageFormat::Png);
            reader.limits(memory(ImageFormat::Png, Limits::default()));
            reader.into_decoder().unwrap().icc_profile().unwrap()
        };
        assert_eq!(profile(&png(4000)).map(|p| p.len()), Some(4000));
        let bomb = png(100 << 20);
        assert_eq!(profile(&bomb), None);
        let mut rgb = vec![];
        let read = read(&bomb, ImageFormat::Png, Limits::default(), None, &mut rgb).unwrap();
        assert_eq!(((read.0, read.1), rgb), ((1, 1), vec![7, 8, 9]));
    }
}
