//! JPEG, straight through zune-jpeg: headers read once, pixels decoded into the buffer at hand.

use super::Limits;
use crate::plan::DecodeError;
use image::metadata::Orientation;
use zune_jpeg::JpegDecoder;
use zune_jpeg::errors::DecodeErrors;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

/// Scans of a progressive file; more cost time and show nothing.
const MAX_SCANS: usize = 64;

pub fn read(bytes: &[u8], limits: Limits, rgb: &mut Vec<u8>) -> Result<(u32, u32, Orientation), DecodeError> {
    let options = DecoderOptions::default()
        .jpeg_set_out_colorspace(ColorSpace::RGB)
        .jpeg_set_max_scans(MAX_SCANS)
        .set_max_width(usize::from(u16::MAX))
        .set_max_height(usize::from(u16::MAX));
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers().map_err(broken)?;
    let (width, height) = decoder.dimensions().unwrap_or_default();
    // Both are 16-bit numbers in the file.
    let (width, height) = (width as u32, height as u32);
    limits.check(width, height)?;
    let orientation = decoder
        .exif()
        .and_then(|exif| Orientation::from_exif_chunk(exif))
        .unwrap_or(Orientation::NoTransforms);

    // Odd headers are let pass; of the pixels themselves nothing may be missing.
    decoder.set_options(options.set_strict_mode(true));
    let size = decoder.output_buffer_size().ok_or_else(|| DecodeError::Invalid("an empty JPEG".into()))?;
    rgb.clear();
    rgb.resize(size, 0);
    decoder.decode_into(rgb).map_err(broken)?;
    Ok((width, height, orientation))
}

fn broken(error: DecodeErrors) -> DecodeError {
    DecodeError::Invalid(match error {
        DecodeErrors::ExhaustedData => "the JPEG is truncated".into(),
        DecodeErrors::FormatStatic("Premature end of buffer") => "the JPEG is truncated".into(),
        DecodeErrors::IoErrors(_) => "the JPEG is truncated".into(),
        error => format!("broken JPEG: {error}"),
    })
}
