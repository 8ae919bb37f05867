//! JPEG, as libjpeg-turbo reads it: every sampling, every layout of scans, sequential and progressive, of 8 bits and
//! with Huffman codes. All else is refused with its reason.
//!
//! - `header`: the segments of a file, up to its end.
//! - `huffman`, `scan`: codes to coefficients.
//! - `idct`, `rows`: coefficients to levels to pixels, with libjpeg's numbers to the bit.
//!
//! (zune-jpeg 0.5.15 answers garbage where components lie in scans of their own and the lines of one are fewer, and
//! is off by up to four levels at the edges of saturated colours; jpeg-decoder has another upsampling.)

mod header;
mod huffman;
mod idct;
pub mod rows;
mod scan;

use super::Limits;
use super::turned::Metadata;
use crate::plan::DecodeError;
use header::{Header, Tables};
use image::metadata::Orientation;
use rows::Upsample;

/// Why a file is not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    Truncated,
    /// What is wrong in it.
    Corrupt(&'static str),
    /// What of the standard is not read.
    Unsupported(String),
}

impl From<Fault> for DecodeError {
    fn from(fault: Fault) -> Self {
        Self::Invalid(match fault {
            Fault::Truncated => "the JPEG is truncated".into(),
            Fault::Corrupt(what) => format!("broken JPEG: {what}"),
            Fault::Unsupported(what) => format!("{what} is not read"),
        })
    }
}

/// One component of a picture, at its own size.
pub struct Plane {
    pub levels: Vec<u8>,
    /// Bytes from one row to the next.
    pub stride: usize,
    /// The size that belongs to the picture; what is beyond fills whole blocks.
    pub columns: usize,
    pub rows: usize,
    pub upsample: Upsample,
}

/// A component while its blocks are read.
struct Component {
    id: u8,
    h: usize,
    v: usize,
    quant_index: usize,
    /// The quantisation table in natural order, as it was when the component's first scan began.
    quant: [u16; 64],
    has_quant: bool,
    /// Blocks that hold pixels of the picture, a row and in all rows.
    blocks_wide: usize,
    blocks_high: usize,
    /// Blocks a row, those that fill units included.
    padded_width: usize,
    columns: usize,
    rows: usize,
    levels: Vec<u8>,
    /// The coefficients of a progressive picture, in rows of `padded_width`.
    coefficients: Vec<[i16; 64]>,
    /// The number of low bits that are not told yet, by position in the zigzag; 255 before the first scan.
    missing_bits: [u8; 64],
}

/// What the frame header says, and its components.
struct Frame {
    progressive: bool,
    width: usize,
    height: usize,
    h_max: usize,
    v_max: usize,
    /// Units of an interleaved scan, a row and rows.
    units_wide: usize,
    units_high: usize,
    components: Vec<Component>,
}

/// Reads a JPEG to RGB in `rgb` and tells its width, height and orientation.
pub fn read(bytes: &[u8], limits: Limits, rgb: &mut Vec<u8>) -> Result<(u32, u32, Orientation), DecodeError> {
    let header = Header::read(bytes, Tables::default())?;
    let (width, height) = (header.frame.width as u32, header.frame.height as u32);
    limits.check(width, height)?;
    let metadata = Metadata { exif: header.exif.map(Into::into), xmp: header.xmp.map(Into::into) };
    let orientation = metadata.orientation();
    let colors = header.colors()?;
    let picture = header.decode()?;
    rgb.clear();
    rows::append(&picture.planes, colors, picture.width, picture.height, rgb);
    Ok((width, height, orientation))
}

/// A picture whose colours its container knows.
pub struct Picture {
    pub width: usize,
    pub height: usize,
    pub planes: Vec<Plane>,
}

/// Reads the planes of a JPEG inside another file, whose tables may stand apart, in a JPEG of tables alone. Its
/// size must be known to be allowed: it is at most `width` and `height`.
pub fn read_planes(bytes: &[u8], tables: &[u8], width: u32, height: u32) -> Result<Picture, Fault> {
    let tables = if tables.is_empty() { Tables::default() } else { header::read_tables(tables)? };
    let header = Header::read(bytes, tables)?;
    if header.frame.width > width as usize || header.frame.height > height as usize {
        return Err(Fault::Corrupt("it is larger than its place"));
    }
    header.decode()
}

impl Component {
    /// Takes memory for what the scans tell.
    fn prepare(&mut self, frame_is_progressive: bool, padded_height: usize) {
        let blocks = self.padded_width * padded_height;
        if frame_is_progressive {
            self.coefficients = vec![[0; 64]; blocks];
        } else {
            self.levels = vec![0; blocks * 64];
        }
    }

    fn into_plane(mut self, h_max: usize, v_max: usize) -> Plane {
        if !self.coefficients.is_empty() {
            let coefficients = std::mem::take(&mut self.coefficients);
            self.levels = vec![0; coefficients.len() * 64];
            for (row, blocks) in coefficients.chunks_exact(self.padded_width).enumerate() {
                scan::to_levels(&mut self, row, blocks);
            }
        }
        Plane {
            stride: self.padded_width * 8,
            columns: self.columns,
            rows: self.rows,
            upsample: Upsample::new(h_max / self.h, v_max / self.v, self.columns),
            levels: self.levels,
        }
    }
}
