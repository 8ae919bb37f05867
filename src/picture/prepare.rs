//! A picture, or a part of it, to the tensor that a model takes: brought to a size, its colours arranged, its levels
//! normalised.
//!
//! A part is cut out before it is resized, so that no filter sees what lies beside it: `crop(box).resize(size)` of
//! Pillow.

use super::frame::Rect;
use super::pixels::{self, Color, Layout, Normalise, Table};
use super::resample;
use super::resize::{Pixels, Target, resize};
use crate::plan::{Mend, Region, TensorType};
use crate::tensor::{SizeMismatch, Tensor};
use serde::Serialize;
use std::cell::RefCell;

/// How pixels become a tensor.
#[derive(Debug, Serialize)]
pub struct Prepare {
    /// `None` keeps the size that the pixels have.
    pub target: Option<Target>,
    pub color: Color,
    pub layout: Layout,
    pub normalise: Normalise,
    /// Follows from `normalise`.
    #[serde(skip)]
    pub table: Table,
}

/// What was made of a picture or a part of it.
#[derive(Debug)]
pub struct Prepared {
    pub tensor: Tensor,
    /// What of the whole picture the tensor shows.
    pub region: Region,
    /// Width and height of the tensor.
    pub input: (u32, u32),
}

/// Buffers that a thread keeps from picture to picture.
#[derive(Default)]
struct Scratch {
    cut: Vec<u8>,
    gray: Vec<u8>,
    inner: Vec<u8>,
    resized: Vec<u8>,
    resample: resample::Buffers,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

impl Scratch {
    /// What a thread may keep; the buffers of a larger picture go back at once.
    const KEPT: usize = 16 << 20;

    fn shrink(&mut self) {
        let own = [&self.cut, &self.gray, &self.inner, &self.resized];
        let held = own.iter().map(|b| b.capacity()).sum::<usize>() + self.resample.held();
        if held > Self::KEPT {
            *self = Self::default();
        }
    }
}

impl Prepare {
    pub fn produces(&self) -> TensorType {
        let (width, height) = self.target.map(|to| (to.size.0 as usize, to.size.1 as usize)).unzip();
        let channels = Some(self.color.channels());
        let dims = match self.layout {
            Layout::Nchw => vec![channels, height, width],
            Layout::Nhwc => vec![height, width, channels],
        };
        TensorType { dtype: Some(self.table.dtype()), dims: Some(dims) }
    }

    /// The most bytes that a picture or a part of this size takes beside its RGB until its tensor is made, the tensor
    /// included.
    pub fn working_bytes(&self, pixels: u64, height: u64) -> u64 {
        let channels = self.color.channels() as u64;
        let element = self.table.dtype().size() as u64;
        let after = match &self.target {
            Some(to) => {
                let (width, lines) = (u64::from(to.size.0), u64::from(to.size.1));
                // Lines that are narrowed already, those that are done, and the tensor.
                width * channels * (height + lines * (1 + element))
            }
            None => pixels.saturating_mul(channels * element),
        };
        // Gray, where it is wanted.
        pixels.saturating_add(after)
    }

    /// The bytes of the tensor of a picture or a part of this many pixels.
    pub fn tensor_bytes(&self, pixels: u64) -> u64 {
        let pixels = self.target.map_or(pixels, |to| u64::from(to.size.0) * u64::from(to.size.1));
        pixels.saturating_mul(self.color.channels() as u64 * self.table.dtype().size() as u64)
    }

    /// Makes the tensor of a whole picture: RGB, 8 bits, of this width and height.
    pub fn whole(&self, rgb: &[u8], size: (u32, u32)) -> Result<Prepared, SizeMismatch> {
        self.with_scratch(|scratch| self.prepare(rgb, size, scratch))
    }

    /// Makes the tensor of a part. `None` where the part is not within the picture.
    pub fn part(
        &self,
        rgb: &[u8],
        (width, height): (u32, u32),
        part: Rect,
    ) -> Option<Result<Prepared, SizeMismatch>> {
        let within =
            |from: u32, length: u32, limit: u32| from.checked_add(length).is_some_and(|end| end <= limit);
        if !within(part.left, part.width, width) || !within(part.top, part.height, height) {
            return None;
        }
        let stride = width as usize * 3;
        let rows = rgb.chunks_exact(stride).skip(part.top as usize).take(part.height as usize);
        if rows.len() < part.height as usize {
            return None;
        }
        Some(self.with_scratch(|scratch| {
            let mut cut = std::mem::take(&mut scratch.cut);
            cut.clear();
            let (from, length) = (part.left as usize * 3, part.width as usize * 3);
            rows.for_each(|row| cut.extend_from_slice(&row[from..from + length]));
            let prepared = self.prepare(&cut, (part.width, part.height), scratch);
            scratch.cut = cut;
            let mut prepared = prepared?;
            prepared.region.left += f64::from(part.left);
            prepared.region.top += f64::from(part.top);
            Ok(prepared)
        }))
    }

    fn with_scratch<T>(&self, work: impl FnOnce(&mut Scratch) -> T) -> T {
        SCRATCH.with_borrow_mut(|scratch| {
            let done = work(scratch);
            scratch.shrink();
            done
        })
    }

    fn prepare(
        &self,
        rgb: &[u8],
        (width, height): (u32, u32),
        scratch: &mut Scratch,
    ) -> Result<Prepared, SizeMismatch> {
        let Scratch { gray, inner, resized, resample, .. } = scratch;
        let source: &[u8] = if self.color == Color::Gray {
            pixels::to_gray(rgb, gray);
            gray
        } else {
            rgb
        };
        let (pixels, input, region) = match &self.target {
            Some(to) => {
                let from = Pixels { bytes: source, width, height, channels: self.color.channels() };
                let region = resize(from, to, resample, inner, resized);
                (resized.as_slice(), to.size, region)
            }
            None => {
                let whole = Region { left: 0.0, top: 0.0, width: width.into(), height: height.into() };
                (source, (width, height), whole)
            }
        };
        let tensor =
            self.table.tensor(pixels, input.0 as usize, input.1 as usize, self.color, self.layout)?;
        Ok(Prepared { tensor, region, input })
    }

    /// The changes with which the tensor would have these axes: planes ("nchw": channels, height, width) or pixels
    /// ("nhwc": height, width, channels).
    pub fn mend_dims(&self, wanted: &[Option<usize>]) -> Vec<Mend> {
        let [first, second, third] = *wanted else {
            let axes = wanted.len();
            return vec![Mend::Impossible(format!(
                "an image decode gives three axes; the model wants {axes} beside the batch"
            ))];
        };
        let channels = |dim: Option<usize>| matches!(dim, Some(1 | 3));
        let layout = match (channels(first), channels(third)) {
            (true, false) => Layout::Nchw,
            (false, true) => Layout::Nhwc,
            _ => self.layout,
        };
        let (count, height, width) = match layout {
            Layout::Nchw => (first, second, third),
            Layout::Nhwc => (third, first, second),
        };
        let option = |key, value: String| Mend::Option { key, value };
        let mut mends = vec![];
        if layout != self.layout {
            let name = if layout == Layout::Nchw { "nchw" } else { "nhwc" };
            mends.push(option("layout", format!("\"{name}\"")));
        }
        if count.is_some_and(|count| count != self.color.channels()) {
            mends.push(match count {
                Some(1) => option("color", "\"gray\"".into()),
                Some(3) => option("color", "\"rgb\"".into()),
                _ => {
                    Mend::Impossible("an image decode gives 3 channels, or 1 with `color = \"gray\"`".into())
                }
            });
        }
        let own = self.target.map(|to| (to.size.0 as usize, to.size.1 as usize));
        let (own_width, own_height) = own.unzip();
        if let (Some(w), Some(h)) = (width.or(own_width), height.or(own_height))
            && own != Some((w, h))
        {
            mends.push(option("size", format!("[{w}, {h}]")));
        }
        mends
    }
}
