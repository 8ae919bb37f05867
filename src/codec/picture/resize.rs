//! A picture to the size that a model wants, as Pillow does it: `resize`, `ImageOps.fit`, `ImageOps.pad`.
//!
//! The filters are antialiased (their support grows with the factor of reduction), and the picture is
//! filtered along its rows first and its columns then, rounded to 8 bits between, which is Pillow's order.

use crate::plan::Region;
use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeError, ResizeOptions, Resizer};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// The whole picture, its proportions lost.
    Stretch,
    /// Fills the size; what is over on two sides is cropped evenly.
    Cover,
    /// The whole picture, centred; what is missing on two sides is padded.
    Contain,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filter {
    Nearest,
    Box,
    Bilinear,
    Hamming,
    Bicubic,
    Lanczos,
}

impl Filter {
    /// The filter and how far it reaches, in pixels of the smaller of the two pictures.
    fn convolution(self) -> Option<(FilterType, f64)> {
        Some(match self {
            Self::Nearest => return None,
            Self::Box => (FilterType::Box, 0.5),
            Self::Bilinear => (FilterType::Bilinear, 1.0),
            Self::Hamming => (FilterType::Hamming, 1.0),
            // Pillow's bicubic has a = -0.5, which is Catmull-Rom.
            Self::Bicubic => (FilterType::CatmullRom, 2.0),
            Self::Lanczos => (FilterType::Lanczos3, 3.0),
        })
    }
}

/// Pixels with `channels` bytes each, row after row.
#[derive(Clone, Copy)]
pub struct Pixels<'a> {
    pub bytes: &'a [u8],
    pub width: u32,
    pub height: u32,
    /// 1 or 3.
    pub channels: usize,
}

impl Pixels<'_> {
    fn kind(self) -> PixelType {
        if self.channels == 1 { PixelType::U8 } else { PixelType::U8x3 }
    }

    fn whole(self) -> Region {
        Region { left: 0.0, top: 0.0, width: f64::from(self.width), height: f64::from(self.height) }
    }
}

/// What resizing needs besides the pixels; kept from picture to picture.
#[derive(Default)]
pub struct Room {
    resizer: Resizer,
    rows: Vec<u8>,
    inner: Vec<u8>,
}

impl Room {
    /// Bytes held for the next picture.
    pub fn held(&self) -> usize {
        self.resizer.size_of_internal_buffers() + self.rows.capacity() + self.inner.capacity()
    }
}

/// Brings `from` to `size` (width, height) in `out` and says what part of it the result shows.
pub fn resize(
    from: Pixels<'_>,
    size: (u32, u32),
    fit: Fit,
    filter: Filter,
    pad: [u8; 3],
    room: &mut Room,
    out: &mut Vec<u8>,
) -> Result<Region, ResizeError> {
    let (width, height) = size;
    match fit {
        Fit::Stretch => {
            scale(from, from.whole(), size, filter, &mut room.resizer, &mut room.rows, out)?;
            Ok(from.whole())
        }
        Fit::Cover => {
            let part = covered(from.width, from.height, width, height);
            scale(from, part, size, filter, &mut room.resizer, &mut room.rows, out)?;
            Ok(part)
        }
        Fit::Contain => {
            let (w, h) = contained(from.width, from.height, width, height);
            scale(from, from.whole(), (w, h), filter, &mut room.resizer, &mut room.rows, &mut room.inner)?;
            // Python's round, which Pillow uses, takes halves to the even neighbour.
            let left = (f64::from(width - w) * 0.5).round_ties_even() as u32;
            let top = (f64::from(height - h) * 0.5).round_ties_even() as u32;
            paste(&room.inner, (w, h), (left, top), size, &pad[..from.channels], out);
            let (x, y) = (f64::from(from.width) / f64::from(w), f64::from(from.height) / f64::from(h));
            Ok(Region {
                left: -f64::from(left) * x,
                top: -f64::from(top) * y,
                width: f64::from(width) * x,
                height: f64::from(height) * y,
            })
        }
    }
}

/// The part of a picture that `ImageOps.fit` keeps.
fn covered(from_w: u32, from_h: u32, to_w: u32, to_h: u32) -> Region {
    let (w, h) = (f64::from(from_w), f64::from(from_h));
    let (ratio, wanted) = (w / h, f64::from(to_w) / f64::from(to_h));
    let (width, height) = if ratio == wanted {
        (w, h)
    } else if ratio > wanted {
        (wanted * h, h)
    } else {
        (w, w / wanted)
    };
    Region { left: (w - width) * 0.5, top: (h - height) * 0.5, width, height }
}

/// The size that `ImageOps.contain` gives.
fn contained(from_w: u32, from_h: u32, to_w: u32, to_h: u32) -> (u32, u32) {
    let (w, h) = (f64::from(from_w), f64::from(from_h));
    let (ratio, wanted) = (w / h, f64::from(to_w) / f64::from(to_h));
    if ratio > wanted {
        let height = (h / w * f64::from(to_w)).round_ties_even() as u32;
        (to_w, height.clamp(1, to_h))
    } else if ratio < wanted {
        let width = (w / h * f64::from(to_h)).round_ties_even() as u32;
        (width.clamp(1, to_w), to_h)
    } else {
        (to_w, to_h)
    }
}

/// The part `part` of `from`, scaled to `size`.
fn scale(
    from: Pixels<'_>,
    part: Region,
    size: (u32, u32),
    filter: Filter,
    resizer: &mut Resizer,
    rows: &mut Vec<u8>,
    out: &mut Vec<u8>,
) -> Result<(), ResizeError> {
    let (width, height) = size;
    let Some((filter, reach)) = filter.convolution() else {
        nearest(from, part, size, out);
        return Ok(());
    };
    let options = |part: Region| {
        ResizeOptions::new().resize_alg(ResizeAlg::Convolution(filter)).use_alpha(false).crop(
            part.left,
            part.top,
            part.width,
            part.height,
        )
    };
    let kind = from.kind();

    // The rows that the columns' filter reaches, each filtered to the new width.
    let reach = reach * (part.height / f64::from(height)).max(1.0) + 1.0;
    let first = (part.top - reach).floor().max(0.0);
    let last = (part.top + part.height + reach).ceil().min(f64::from(from.height));
    let tall = last - first;
    let source = ImageRef::new(from.width, from.height, from.bytes, kind).map_err(buffer)?;
    sized(rows, width as usize * tall as usize * from.channels);
    let mut narrow = Image::from_slice_u8(width, tall as u32, rows, kind).map_err(buffer)?;
    let band = Region { left: part.left, top: first, width: part.width, height: tall };
    resizer.resize(&source, &mut narrow, &options(band))?;

    sized(out, width as usize * height as usize * from.channels);
    let mut target = Image::from_slice_u8(width, height, out, kind).map_err(buffer)?;
    let band = Region { left: 0.0, top: part.top - first, width: f64::from(width), height: part.height };
    resizer.resize(&narrow, &mut target, &options(band))
}

fn sized(bytes: &mut Vec<u8>, len: usize) {
    bytes.clear();
    bytes.resize(len, 0);
}

/// The buffers are made to measure, so this is not met; it is an error all the same.
fn buffer(_: fast_image_resize::ImageBufferError) -> ResizeError {
    ResizeError::PixelTypesAreDifferent
}

/// The source pixel under the middle of each new one. Positions are summed up step by step, as Pillow's are.
fn nearest(from: Pixels<'_>, part: Region, size: (u32, u32), out: &mut Vec<u8>) {
    let positions = |start: f64, length: f64, count: u32, limit: u32| -> Vec<usize> {
        let step = length / f64::from(count);
        let mut at = start + step * 0.5;
        (0..count)
            .map(|_| {
                let index = (at.max(0.0) as usize).min(limit as usize - 1);
                at += step;
                index
            })
            .collect()
    };
    let columns = positions(part.left, part.width, size.0, from.width);
    let c = from.channels;
    out.clear();
    out.reserve(size.0 as usize * size.1 as usize * c);
    for y in positions(part.top, part.height, size.1, from.height) {
        let row = &from.bytes[y * from.width as usize * c..];
        for x in &columns {
            out.extend_from_slice(&row[x * c..x * c + c]);
        }
    }
}

/// `inner` on a canvas of one colour.
fn paste(
    inner: &[u8],
    (w, h): (u32, u32),
    (left, top): (u32, u32),
    (width, height): (u32, u32),
    pad: &[u8],
    out: &mut Vec<u8>,
) {
    let c = pad.len();
    let (w, left, width) = (w as usize * c, left as usize * c, width as usize * c);
    out.clear();
    out.extend(pad.iter().copied().cycle().take(width * height as usize));
    for (row, inner) in
        out.chunks_exact_mut(width).skip(top as usize).zip(inner.chunks_exact(w)).take(h as usize)
    {
        row[left..left + w].copy_from_slice(inner);
    }
}
