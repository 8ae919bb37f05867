//! Resampling as Pillow does it, so that a model sees what it was trained on.
//!
//! Each new pixel is a weighted mean of those under the filter, whose support grows with the factor of
//! reduction (antialiasing). Rows are filtered first, then columns, or the other way round (see
//! `columns_come_first`), with levels rounded to 8 bits between and at the end. Weights are those of Pillow's
//! `precompute_coeffs` (libImaging/Resample.c); sums are in float32 where Pillow's are in fixed point, which now
//! and then turns a tie by one level.
//!
//! (fast_image_resize has weights of 16 bits and other ties for the box filter: measured against Pillow on
//! noise, it is off by up to 3 levels where pictures shrink much, and by more with `box`.)

use super::resize::Pixels;
use crate::plan::Region;
use serde::Serialize;
use std::f64::consts::PI;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Filter {
    Nearest,
    Box,
    Bilinear,
    Hamming,
    Bicubic,
    Lanczos,
}

impl Filter {
    /// How far the filter reaches, in pixels of the smaller picture.
    fn support(self) -> f64 {
        match self {
            Self::Nearest | Self::Box => 0.5,
            Self::Bilinear | Self::Hamming => 1.0,
            Self::Bicubic => 2.0,
            Self::Lanczos => 3.0,
        }
    }

    fn weight(self, x: f64) -> f64 {
        let sinc = |x: f64| if x == 0.0 { 1.0 } else { (x * PI).sin() / (x * PI) };
        let distance = x.abs();
        match self {
            Self::Nearest | Self::Box => f64::from(x > -0.5 && x <= 0.5),
            Self::Bilinear => (1.0 - distance).max(0.0),
            Self::Hamming if distance >= 1.0 => 0.0,
            Self::Hamming => sinc(distance) * (0.54 + 0.46 * (distance * PI).cos()),
            // Keys' cubic with a = -0.5.
            Self::Bicubic if distance < 1.0 => (1.5 * distance - 2.5) * distance * distance + 1.0,
            Self::Bicubic if distance < 2.0 => (((distance - 5.0) * distance + 8.0) * distance - 4.0) * -0.5,
            Self::Bicubic => 0.0,
            Self::Lanczos if (-3.0..3.0).contains(&x) => sinc(x) * sinc(x / 3.0),
            Self::Lanczos => 0.0,
        }
    }
}

/// Along one axis: for each new position, the first old one it is made of, and the weights from there.
#[derive(Default)]
struct Weights {
    /// What they were computed for last: pictures of a folder often have one size.
    of: Option<(Filter, usize, f64, f64, usize)>,
    /// First position, and where its weights begin and end.
    spans: Vec<(usize, usize, usize)>,
    weights: Vec<f32>,
}

impl Weights {
    /// `count` new positions over `extent` old ones that begin at `start`, of `length` there are.
    fn fill(&mut self, filter: Filter, length: usize, start: f64, extent: f64, count: usize) {
        let of = Some((filter, length, start, extent, count));
        if self.of == of {
            return;
        }
        self.of = of;
        let scale = extent / count as f64;
        let stretch = scale.max(1.0);
        let support = filter.support() * stretch;
        self.spans.clear();
        self.weights.clear();
        let mut row: Vec<f64> = vec![];
        for new in 0..count {
            let centre = start + (new as f64 + 0.5) * scale;
            // Casts take what is below 0 to 0.
            let first = ((centre - support + 0.5) as usize).min(length - 1);
            let last = ((centre + support + 0.5) as usize).clamp(first + 1, length);
            row.clear();
            row.extend((first..last).map(|old| filter.weight((old as f64 - centre + 0.5) / stretch)));
            let sum: f64 = row.iter().sum();
            let begin = self.weights.len();
            self.weights.extend(row.iter().map(|w| if sum == 0.0 { *w } else { w / sum } as f32));
            self.spans.push((first, begin, self.weights.len()));
        }
    }

    /// The first old position and the weights of each new position.
    fn iter(&self) -> impl Iterator<Item = (usize, &[f32])> {
        self.spans.iter().map(|(first, begin, end)| (*first, &self.weights[*begin..*end]))
    }

    /// The old positions that are used.
    fn range(&self) -> std::ops::Range<usize> {
        let first = self.spans.first().map_or(0, |(first, ..)| *first);
        let last = self.spans.iter().map(|(first, begin, end)| first + end - begin).max();
        first..last.unwrap_or(0)
    }
}

/// Rows of colour pixels that are filtered together: a column of them is one vector, each pixel padded to
/// four bytes.
const ROWS: usize = 4;
type Column = [u8; 4 * ROWS];
type Sums = [f32; 4 * ROWS];

/// Memory that is kept from picture to picture.
#[derive(Default)]
pub struct Buffers {
    across: Weights,
    down: Weights,
    lanes: Lanes,
    /// The picture between the two passes.
    between: Vec<u8>,
    sums: Vec<f32>,
}

/// Rows that are filtered together, before and after.
#[derive(Default)]
struct Lanes {
    columns: Vec<Column>,
    shrunk: Vec<Sums>,
    levels: Vec<Column>,
}

impl Buffers {
    /// Bytes held.
    pub fn held(&self) -> usize {
        let Lanes { columns, shrunk, levels } = &self.lanes;
        let floats = shrunk.capacity() * 4 * ROWS + self.sums.capacity();
        let weights = self.across.weights.capacity() + self.down.weights.capacity();
        let columns = (columns.capacity() + levels.capacity()) * 4 * ROWS;
        (floats + weights) * size_of::<f32>() + self.between.capacity() + columns
    }
}

/// The part `part` of `from`, scaled to `size` (width, height), into `out`.
pub fn scale(
    from: Pixels<'_>,
    part: Region,
    size: (u32, u32),
    filter: Filter,
    buffers: &mut Buffers,
    out: &mut Vec<u8>,
) {
    let part = narrowed(part);
    if filter == Filter::Nearest {
        return nearest(from, part, size, out);
    }
    pulp::Arch::new().dispatch(Filtered { from, part, size, filter, buffers, out });
}

/// The arguments of [`scale`], for the instructions that the machine has.
struct Filtered<'a> {
    from: Pixels<'a>,
    part: Region,
    size: (u32, u32),
    filter: Filter,
    buffers: &'a mut Buffers,
    out: &'a mut Vec<u8>,
}

impl pulp::NullaryFnOnce for Filtered<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { from, part, size, filter, buffers, out } = self;
        let (width, height) = (size.0 as usize, size.1 as usize);
        buffers.across.fill(filter, from.width as usize, part.left, part.width, width);
        buffers.down.fill(filter, from.height as usize, part.top, part.height, height);
        let Buffers { across, down, lanes, between, sums } = buffers;
        let stride = from.width as usize * from.channels;
        if part.width == f64::from(size.0) && part.left == 0.0 && from.width == size.0 {
            filter_columns(from.bytes, stride, down, 0, sums, out);
        } else if columns_come_first(from, size) {
            filter_columns(from.bytes, stride, down, 0, sums, between);
            filter_rows(between, from.width as usize, from.channels, across, lanes, out);
        } else {
            let rows = down.range();
            let used = from.bytes.get(rows.start * stride..rows.end * stride).unwrap_or_default();
            filter_rows(used, from.width as usize, from.channels, across, lanes, between);
            filter_columns(between, width * from.channels, down, rows.start, sums, out);
        }
    }
}

/// Whether the height is brought to its new size before the width. Levels are cut to 0 and 255 between the two,
/// so the order shows where a filter overshoots.
///
/// The rule is Pillow's from version 13 on, found by comparing its results with those of both orders: the height
/// shrinks, and by more than twice as many pixels as the width. It looks at the whole picture, whatever part of it
/// is taken.
fn columns_come_first(from: Pixels<'_>, size: (u32, u32)) -> bool {
    let (width, height) = (i64::from(from.width), i64::from(from.height));
    let (new_width, new_height) = (i64::from(size.0), i64::from(size.1));
    new_height < height && height - new_height > 2 * (width - new_width)
}

/// Brings rows of `width` pixels to the width of `across`.
#[inline(always)]
fn filter_rows(
    from: &[u8],
    width: usize,
    channels: usize,
    across: &Weights,
    lanes: &mut Lanes,
    out: &mut Vec<u8>,
) {
    let (stride, new_width) = (width * channels, across.spans.len());
    out.clear();
    if channels == 1 {
        return from.chunks_exact(stride).for_each(|row| shrink_gray(row, across, out));
    }
    out.resize(from.len() / stride * new_width * channels, 0);
    let Lanes { columns, shrunk, levels } = lanes;
    columns.resize(width, [0; 4 * ROWS]);
    shrunk.resize(new_width, [0.0; 4 * ROWS]);
    levels.resize(new_width, [0; 4 * ROWS]);
    // A loop, not an iterator's fold: only what is inlined here is compiled for the machine's instructions.
    for (rows, out) in from.chunks(stride * ROWS).zip(out.chunks_mut(new_width * channels * ROWS)) {
        gather(rows, stride, columns);
        shrink_rgb(columns, across, shrunk);
        round(shrunk.as_flattened(), levels.as_flattened_mut());
        scatter(levels, out, new_width);
    }
}

/// Brings rows of `stride` bytes, the first of which is row `first_row` of the picture, to the height of `down`.
#[inline(always)]
fn filter_columns(
    from: &[u8],
    stride: usize,
    down: &Weights,
    first_row: usize,
    sums: &mut Vec<f32>,
    out: &mut Vec<u8>,
) {
    out.clear();
    out.resize(stride * down.spans.len(), 0);
    for ((first, weights), out) in down.iter().zip(out.chunks_exact_mut(stride)) {
        sums.clear();
        sums.resize(stride, 0.5);
        let rows_under = from.chunks_exact(stride).skip(first - first_row);
        for (row, weight) in rows_under.zip(weights) {
            for (sum, level) in sums.iter_mut().zip(row) {
                *sum += weight * f32::from(*level);
            }
        }
        round(sums, out);
    }
}

/// Pillow keeps the edges of a part as float32; the place of a tie depends on it.
fn narrowed(part: Region) -> Region {
    let edge = |start: f64, extent: f64| {
        let (start, end) = (start as f32, (start + extent) as f32);
        (f64::from(start), f64::from(end - start))
    };
    let ((left, width), (top, height)) = (edge(part.left, part.width), edge(part.top, part.height));
    Region { left, top, width, height }
}

/// Up to [`ROWS`] rows of `stride` bytes, one beside the other. Where there are fewer, the last stands in for
/// those that are missing.
#[inline(always)]
fn gather(rows: &[u8], stride: usize, columns: &mut [Column]) {
    let last = rows.len() / stride - 1;
    let row = |index: usize| &rows[index.min(last) * stride..][..stride];
    // Four bytes at once; what the fourth holds is never read. The last pixel has no fourth.
    let pixels = |index: usize| row(index).windows(4).step_by(3);
    let (first, others) = (pixels(0).zip(pixels(1)), pixels(2).zip(pixels(3)));
    for (column, ((a, b), (c, d))) in columns.iter_mut().zip(first.zip(others)) {
        column[..4].copy_from_slice(a);
        column[4..8].copy_from_slice(b);
        column[8..12].copy_from_slice(c);
        column[12..].copy_from_slice(d);
    }
    if let Some(column) = columns.last_mut() {
        for (index, pixel) in column.as_chunks_mut::<4>().0.iter_mut().enumerate() {
            pixel[..3].copy_from_slice(&row(index)[stride - 3..]);
        }
    }
}

#[inline(always)]
fn shrink_rgb(columns: &[Column], across: &Weights, shrunk: &mut [Sums]) {
    for ((first, weights), to) in across.iter().zip(shrunk) {
        let mut sum: Sums = [0.5; 4 * ROWS];
        for (pixels, weight) in columns[first..first + weights.len()].iter().zip(weights) {
            for (sum, level) in sum.iter_mut().zip(pixels) {
                *sum += weight * f32::from(*level);
            }
        }
        *to = sum;
    }
}

/// Cuts off fractions, and at 0 and 255 what a filter overshoots. Casts of floats do not compile to vectors;
/// this does.
#[inline(always)]
fn round(sums: &[f32], levels: &mut [u8]) {
    // From here on a float has no fraction, and its last byte counts up from 0.
    const WHOLE: f32 = (1 << 23) as f32;
    for (level, sum) in levels.iter_mut().zip(sums) {
        let cut = if *sum > 0.0 { *sum } else { 0.0 };
        let cut = if cut < 255.0 { cut } else { 255.0 };
        let near = cut + WHOLE;
        let above = u32::from(near - WHOLE > cut);
        *level = near.to_bits().wrapping_sub(above) as u8;
    }
}

/// The reverse of [`gather`].
#[inline(always)]
fn scatter(levels: &[Column], rows: &mut [u8], width: usize) {
    for (index, row) in rows.chunks_exact_mut(width * 3).enumerate().take(ROWS) {
        let (pixels, _) = row.as_chunks_mut::<3>();
        for (to, column) in pixels.iter_mut().zip(levels) {
            let [r, g, b, _] = column.as_chunks::<4>().0[index];
            *to = [r, g, b];
        }
    }
}

#[inline(always)]
fn shrink_gray(row: &[u8], across: &Weights, narrow: &mut Vec<u8>) {
    for (first, weights) in across.iter() {
        let levels = &row[first..first + weights.len()];
        let sum: f32 = levels.iter().zip(weights).map(|(level, w)| f32::from(*level) * w).sum();
        narrow.push((sum + 0.5) as u8);
    }
}

/// The pixel under the middle of each new one. Positions are summed up step by step, as Pillow's are.
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
