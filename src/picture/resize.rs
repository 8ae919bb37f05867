//! A picture to the size that a model wants, as Pillow does it: `resize`, `ImageOps.fit`, `ImageOps.pad`.

use super::resample::{Buffers, Filter, scale};
use crate::plan::Region;
use serde::Serialize;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Fit {
    /// The whole picture, its proportions lost.
    Stretch,
    /// Fills the size; what is over on two sides is cropped evenly.
    Cover,
    /// The whole picture, centred; what is missing on two sides is padded.
    Contain,
}

/// What a picture is brought to.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Target {
    /// Width and height.
    pub size: (u32, u32),
    pub fit: Fit,
    pub filter: Filter,
    /// What [`Fit::Contain`] pads with, in the channels of the picture.
    pub pad: [u8; 3],
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
    fn whole(self) -> Region {
        Region { left: 0.0, top: 0.0, width: f64::from(self.width), height: f64::from(self.height) }
    }
}

/// Brings `from` to `size` (width, height) in `out` and says what part of it the result shows.
/// `inner` is room to work in. REQUIRES sizes above 0.
pub fn resize(
    from: Pixels<'_>,
    to: &Target,
    buffers: &mut Buffers,
    inner: &mut Vec<u8>,
    out: &mut Vec<u8>,
) -> Region {
    let (width, height) = to.size;
    match to.fit {
        Fit::Stretch => {
            scale(from, from.whole(), to.size, to.filter, buffers, out);
            from.whole()
        }
        Fit::Cover => {
            let part = covered(from.width, from.height, width, height);
            scale(from, part, to.size, to.filter, buffers, out);
            part
        }
        Fit::Contain => {
            let (w, h) = contained(from.width, from.height, width, height);
            scale(from, from.whole(), (w, h), to.filter, buffers, inner);
            // Python's round, which Pillow uses, takes halves to the even neighbour.
            let left = (f64::from(width - w) * 0.5).round_ties_even() as u32;
            let top = (f64::from(height - h) * 0.5).round_ties_even() as u32;
            paste(inner, (w, h), (left, top), to.size, &to.pad[..from.channels], out);
            let (x, y) = (f64::from(from.width) / f64::from(w), f64::from(from.height) / f64::from(h));
            Region {
                left: -f64::from(left) * x,
                top: -f64::from(top) * y,
                width: f64::from(width) * x,
                height: f64::from(height) * y,
            }
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
