//! TIFF, as Pillow reads it: the first picture of a file, in strips or tiles, together or in planes.
//!
//! - `directory`: the tags.
//! - `chunks`, `fax`: strips and tiles to rows of samples, one row at a time.
//! - `colors`: samples to levels to RGB.
//!
//! (`image`, by way of the tiff crate, does not read YCbCr, gray with alpha, numbers of 32 bits, palettes of fewer
//! than 8 bits, and fax pages other than group 4.)

mod chunks;
mod colors;
pub mod directory;
mod fax;

use super::Limits;
use super::jpeg::{self, Fault};
use super::turned::of_xmp;
use crate::plan::DecodeError;
use chunks::{Chunk, Layout, Packing, Predictor};
use colors::{Alpha, Colors, Format, Luma};
use directory::{Directory, Values, tag};
use image::metadata::Orientation;

/// More strips or tiles cost time and show nothing: tiles of 16 by 16 are the smallest that there may be.
const MAX_CHUNKS: usize = 1 << 18;

/// Reads a TIFF to RGB in `rgb` and tells its width, height and orientation.
pub fn read(
    bytes: &[u8],
    limits: Limits,
    background: Option<[u8; 3]>,
    rgb: &mut Vec<u8>,
) -> Result<(u32, u32, Orientation), DecodeError> {
    let directory = Directory::read(bytes).ok_or_else(|| error(Fault::Truncated))?;
    let side = |tag| directory.number(tag).and_then(|side| u32::try_from(side).ok());
    let (Some(width), Some(height)) = (side(tag::WIDTH), side(tag::HEIGHT)) else {
        return Err(error(Fault::Corrupt("it does not tell its size")));
    };
    limits.check(width, height)?;
    let picture = Picture::read(bytes, &directory, width, height).map_err(error)?;
    rgb.clear();
    rgb.resize(width as usize * height as usize * 3, 0);
    picture.decode(background, rgb).map_err(error)?;
    let orientation = match directory.values(tag::ORIENTATION) {
        Some(values) => values.get(0).and_then(|number| u8::try_from(number).ok()),
        None => directory.values(tag::XMP).and_then(|values| of_xmp(values.bytes()?)),
    };
    let orientation = orientation.and_then(Orientation::from_exif).unwrap_or(Orientation::NoTransforms);
    Ok((width, height, orientation))
}

fn error(fault: Fault) -> DecodeError {
    DecodeError::Invalid(match fault {
        Fault::Truncated => "the TIFF is truncated".into(),
        Fault::Corrupt(what) => format!("broken TIFF: {what}"),
        Fault::Unsupported(what) => format!("{what} is not read"),
    })
}

struct Picture<'a> {
    bytes: &'a [u8],
    width: usize,
    height: usize,
    layout: Layout<'a>,
    format: Format,
    colors: Colors,
    alpha: Alpha,
    /// The number of samples of one pixel.
    samples: usize,
    is_planar: bool,
    /// Luma across and down to one chroma.
    subsampling: (usize, usize),
    chunk_width: usize,
    chunk_height: usize,
    offsets: Values<'a>,
    lengths: Option<Values<'a>>,
}

impl<'a> Picture<'a> {
    fn read(bytes: &'a [u8], directory: &Directory<'a>, width: u32, height: u32) -> Result<Self, Fault> {
        let number = |tag: u16, usual: usize| match directory.values(tag) {
            None => Ok(usual),
            Some(values) => {
                let number = values.get(0).and_then(|number| usize::try_from(number).ok());
                number.ok_or(Fault::Corrupt("the value of a tag"))
            }
        };
        // A tag with a value for each sample, all of which must be one.
        let common = |tag: u16, usual: usize, what: &str| {
            let first = number(tag, usual)?;
            let others = directory.values(tag).map_or(0, |values| values.len().min(64));
            let differs = |i: usize| directory.values(tag).and_then(|v| v.get(i)) != Some(first as u64);
            if (1..others).any(differs) {
                return Err(Fault::Unsupported(format!("a TIFF with samples of different {what}")));
            }
            Ok(first)
        };
        let packing = Packing::read(directory)?;
        let bits = common(tag::BITS, 1, "bits")?;
        let format = match common(tag::SAMPLE_FORMAT, 1, "kinds")? {
            1 | 4 => Format::Unsigned,
            3 => Format::Float,
            // The one kind of signed samples that Pillow reads, as if they were not.
            2 if bits == 8 => Format::Unsigned,
            2 => return Err(Fault::Unsupported("a TIFF with signed samples".into())),
            _ => return Err(Fault::Unsupported("a TIFF with complex samples".into())),
        };
        if !colors::has_bits(format, bits) {
            return Err(Fault::Unsupported(format!("a TIFF with samples of {bits} bits")));
        }
        let photometric = number(tag::PHOTOMETRIC, 0)?;
        let usual_samples = if packing == Packing::Jpeg && matches!(photometric, 2 | 6) { 3 } else { 1 };
        let samples = number(tag::SAMPLES, usual_samples)?;
        let colors = match photometric {
            0 => Colors::Gray { white_is_zero: true },
            1 => Colors::Gray { white_is_zero: false },
            6 if samples == 1 => Colors::Gray { white_is_zero: false },
            2 => Colors::Rgb,
            3 => colors::palette(directory.values(tag::COLOR_MAP), bits)?,
            5 => Colors::Cmyk,
            6 if packing == Packing::Jpeg => Colors::YCbCr(Box::new(Luma::usual())),
            6 => Colors::YCbCr(Box::new(Luma::read(directory, packing == Packing::None)?)),
            8..=10 => return Err(Fault::Unsupported("a TIFF in Lab colours".into())),
            other => return Err(Fault::Unsupported(format!("a TIFF with colours of kind {other}"))),
        };
        if samples < colors.samples() || samples > 16 {
            return Err(Fault::Unsupported(format!(
                "a TIFF with {samples} samples of each pixel for its colours"
            )));
        }
        let extra = directory.values(tag::EXTRA_SAMPLES).and_then(|values| values.get(0));
        let alpha = match (&colors, extra) {
            (Colors::Cmyk | Colors::YCbCr(_), _) => Alpha::None,
            _ if samples == colors.samples() => Alpha::None,
            (_, Some(1)) => Alpha::Multiplied,
            (_, Some(2 | 999)) | (Colors::Rgb, None) => Alpha::Straight,
            _ => Alpha::None,
        };
        let is_planar = number(tag::PLANAR, 1)? == 2 && samples > 1;
        let subsampling = match (&colors, directory.values(tag::YCBCR_SUBSAMPLING)) {
            (Colors::YCbCr(_), values) if packing != Packing::Jpeg => {
                let part = |i: usize| values.map_or(Some(2), |values| values.get(i));
                match (part(0), part(1)) {
                    (Some(across @ (1 | 2 | 4)), Some(down @ (1 | 2 | 4))) => {
                        (across as usize, down as usize)
                    }
                    _ => return Err(Fault::Corrupt("what it says of YCbCr")),
                }
            }
            _ => (1, 1),
        };
        if subsampling != (1, 1) && (is_planar || bits != 8 || samples != 3) {
            return Err(Fault::Unsupported("a TIFF of this kind with fewer colours than pixels".into()));
        }
        let predictor = match number(tag::PREDICTOR, 1)? {
            1 => Predictor::None,
            2 => Predictor::Difference,
            3 if format == Format::Float => Predictor::Float,
            _ => return Err(Fault::Corrupt("its predictor")),
        };
        let tables = directory.values(tag::JPEG_TABLES).and_then(|values| values.bytes()).unwrap_or_default();
        let layout = Layout {
            packing,
            predictor,
            big_endian: directory.big_endian,
            reversed: number(tag::FILL_ORDER, 1)? == 2,
            bits,
            samples: if is_planar { 1 } else { samples },
            jpeg_tables: tables,
        };
        let (width, height) = (width as usize, height as usize);
        let is_tiled = directory.values(tag::TILE_OFFSETS).is_some();
        let (chunk_width, chunk_height, offsets, lengths) = if is_tiled {
            let (w, h) = (number(tag::TILE_WIDTH, 0)?, number(tag::TILE_HEIGHT, 0)?);
            (w, h, directory.values(tag::TILE_OFFSETS), directory.values(tag::TILE_LENGTHS))
        } else {
            let rows = number(tag::ROWS_PER_STRIP, height)?.min(height);
            (width, rows, directory.values(tag::STRIP_OFFSETS), directory.values(tag::STRIP_LENGTHS))
        };
        let offsets = offsets.ok_or(Fault::Corrupt("it does not tell where its pixels are"))?;
        // A tile may be larger than the picture, but not by much more than what fills it.
        let most = |side: usize| side.max(1024).next_multiple_of(16);
        if chunk_width == 0 || chunk_height == 0 || chunk_width > most(width) || chunk_height > most(height) {
            return Err(Fault::Corrupt("the size of its strips or tiles"));
        }
        let picture = Self {
            bytes,
            width,
            height,
            layout,
            format,
            colors,
            alpha,
            samples,
            is_planar,
            subsampling,
            chunk_width,
            chunk_height,
            offsets,
            lengths,
        };
        let planes = if is_planar { samples } else { 1 };
        let chunks = picture.across().saturating_mul(picture.down()).saturating_mul(planes);
        if chunks > MAX_CHUNKS || chunks > picture.offsets.len() {
            return Err(Fault::Corrupt("the number of its strips or tiles"));
        }
        Ok(picture)
    }

    fn across(&self) -> usize {
        self.width.div_ceil(self.chunk_width)
    }

    fn down(&self) -> usize {
        self.height.div_ceil(self.chunk_height)
    }

    /// The bytes of a strip or tile.
    fn data(&self, index: usize) -> Result<&'a [u8], Fault> {
        let offset = self.offsets.get(index).and_then(|offset| usize::try_from(offset).ok());
        let rest = offset.and_then(|offset| self.bytes.get(offset..)).ok_or(Fault::Truncated)?;
        let length = match self.lengths {
            Some(lengths) => lengths.get(index).ok_or(Fault::Corrupt("the length of a strip"))?,
            None => rest.len() as u64,
        };
        // What is missing shows when it is read.
        Ok(&rest[..usize::try_from(length).unwrap_or(usize::MAX).min(rest.len())])
    }

    fn decode(&self, background: Option<[u8; 3]>, rgb: &mut [u8]) -> Result<(), Fault> {
        if self.is_planar {
            return self.decode_planes(background, rgb);
        }
        let mut levels = vec![];
        for index in 0..self.across() * self.down() {
            let (left, top) =
                (index % self.across() * self.chunk_width, index / self.across() * self.chunk_height);
            self.chunk(index, left, top, &mut levels, |y, levels| {
                let columns = (self.width - left).min(self.chunk_width);
                let row = &mut rgb[(y * self.width + left) * 3..][..columns * 3];
                colors::to_rgb(levels, self.samples, &self.colors, self.alpha, background, row);
            })?;
        }
        Ok(())
    }

    /// Planes are read one after another into pixels. Those that say nothing of the colours are not read.
    fn decode_planes(&self, background: Option<[u8; 3]>, rgb: &mut [u8]) -> Result<(), Fault> {
        let planes = self.colors.samples() + usize::from(self.alpha != Alpha::None);
        let mut pixels = vec![0; self.width * self.height * planes];
        let mut levels = vec![];
        let chunks = self.across() * self.down();
        for plane in 0..planes {
            for index in 0..chunks {
                let (left, top) =
                    (index % self.across() * self.chunk_width, index / self.across() * self.chunk_height);
                self.chunk(plane * chunks + index, left, top, &mut levels, |y, levels| {
                    let columns = (self.width - left).min(self.chunk_width);
                    let row = &mut pixels[(y * self.width + left) * planes..][..columns * planes];
                    for (pixel, level) in row.chunks_exact_mut(planes).zip(levels) {
                        pixel[plane] = *level;
                    }
                })?;
            }
        }
        colors::to_rgb(&pixels, planes, &self.colors, self.alpha, background, rgb);
        Ok(())
    }

    /// Reads a strip or tile and gives each of its rows that lies in the picture, by its place in the picture, as
    /// levels. `levels` is room to work in.
    fn chunk(
        &self,
        index: usize,
        left: usize,
        top: usize,
        levels: &mut Vec<u8>,
        mut give: impl FnMut(usize, &[u8]),
    ) -> Result<(), Fault> {
        let layout = &self.layout;
        let rows = (self.height - top).min(self.chunk_height);
        debug_assert!(left < self.width);
        let mut chunk =
            Chunk::open(layout, self.data(index)?, self.chunk_width as u32, self.chunk_height as u32)?;
        levels.clear();
        levels.resize(self.chunk_width * layout.samples, 0);
        let (across, down) = self.subsampling;
        if (across, down) != (1, 1) {
            // Units of some luma and one of each chroma.
            let unit = across * down + 2;
            let mut units = vec![0; self.chunk_width.div_ceil(across) * unit];
            for y in 0..rows {
                if y % down == 0 {
                    chunk.next(layout, &mut units)?;
                }
                for (x, pixel) in levels.chunks_exact_mut(3).enumerate() {
                    let unit = &units[x / across * unit..][..unit];
                    pixel[0] = unit[y % down * across + x % across];
                    pixel[1..].copy_from_slice(&unit[across * down..]);
                }
                give(top + y, levels);
            }
            return Ok(());
        }
        let mut row = vec![0; (self.chunk_width * layout.samples * layout.bits).div_ceil(8)];
        let is_index = matches!(self.colors, Colors::Palette(_));
        for y in 0..rows {
            chunk.next(layout, &mut row)?;
            colors::to_levels(&row, layout.bits, self.format, layout.big_endian, is_index, levels);
            give(top + y, levels);
        }
        Ok(())
    }
}
