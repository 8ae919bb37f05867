//! A convolution whose weights are packed, and the choice of its form.

use super::convolution::{Convolution, Shape};
use super::cut::Cut;
use super::dense::{Dense, OutputGrid, Piece};
use super::depthwise::Depthwise;
use super::rows::Rows;
use super::winograd::{self, Part, Side, Winograd};
use super::{BLOCK, Lanes, Line, Lines, Target, blocks, lanes, room, share, threads, tile};
use crate::engine::kernels::conv::{Geometry, ShapeError};
use crate::engine::kernels::{Activation, arch};

/// The layout of the input of a convolution; its output is in blocks always.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// `[batch, channels, height, width]`: the form for few channels.
    Planes,
    Blocks,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Rows,
    Dense,
    Winograd(Side),
    Depthwise,
}

#[derive(Debug)]
pub struct Conv2d {
    geometry: Geometry,
    form: Form,
    channels_in: usize,
    channels_out: usize,
    kernel: [usize; 2],
    /// Per group of blocks of output channels: `[input][channel of the group]`, inputs in the order in which the
    /// form reads them. Depthwise: per block, tap after tap. Winograd: see [`Side::pack`].
    weights: Vec<Line>,
    /// Winograd: the weights as the dense form has them, for tiles whose transformation would spread what lies at one
    /// position; empty otherwise.
    plain: Vec<Line>,
    bias: Vec<Line>,
}

impl Conv2d {
    /// Prepares a convolution as [`crate::engine::kernels::conv::Conv2d::new`] does; `None` where there is no form for
    /// it: several groups that are not of one channel each, or planes in groups.
    pub fn new(
        weight: &[f32],
        shape: [usize; 4],
        bias: Option<&[f32]>,
        geometry: Geometry,
        layout: Layout,
    ) -> Result<Option<Self>, ShapeError> {
        let [out, per_group, kh, kw] = shape;
        let slides = [kh, kw] == [3, 3] && geometry.stride == [1, 1] && geometry.dilation == [1, 1];
        let tame = weight.iter().all(|tap| tap.abs() <= winograd::LIMIT);
        let tiles = slides && geometry.groups == 1 && layout == Layout::Blocks && tame;
        let side = if tiles { Side::best(per_group, out) } else { None };
        Self::with(weight, shape, bias, geometry, (layout, side))
    }

    /// Bytes that the packed weights take, at most; `None` where no number is so large.
    pub fn packed_bytes(shape: [usize; 4], geometry: Geometry, layout: Layout) -> Option<usize> {
        let [out, per_group, kh, kw] = shape;
        let lines = blocks(out).checked_mul(per_group)?.checked_mul(kh)?.checked_mul(kw)?;
        let slides = [kh, kw] == [3, 3] && geometry.stride == [1, 1] && geometry.dilation == [1, 1];
        let tiles = slides && geometry.groups == 1 && layout == Layout::Blocks;
        // Tiles of Winograd have up to 36 products where the kernel has 9 taps, beside the weights as they are.
        let lines = if tiles && Side::best(per_group, out).is_some() { lines.checked_mul(5)? } else { lines };
        lines.checked_add(blocks(out))?.checked_mul(size_of::<Line>())
    }

    /// Prepares as [`Conv2d::new`] does, by the definition or with tiles of that side.
    pub(super) fn with(
        weight: &[f32],
        shape: [usize; 4],
        bias: Option<&[f32]>,
        geometry: Geometry,
        (layout, side): (Layout, Option<Side>),
    ) -> Result<Option<Self>, ShapeError> {
        let [out, per_group, kh, kw] = shape;
        let groups = geometry.groups;
        geometry.check(shape, weight.len(), bias.map(<[f32]>::len))?;
        let form = match layout {
            Layout::Planes if groups == 1 => Form::Rows,
            Layout::Blocks if groups == 1 => side.map_or(Form::Dense, Form::Winograd),
            Layout::Blocks if groups == out && per_group == 1 => Form::Depthwise,
            _ => return Ok(None),
        };
        let channels_in = per_group * groups;
        let taps = kh * kw;
        let at = |channel: usize, input: usize, tap: usize| {
            if channel < out { weight[(channel * per_group + input) * taps + tap] } else { 0.0 }
        };
        let line = |first: usize, input: usize, tap: usize| {
            Line(Lanes(std::array::from_fn(|lane| at(first * BLOCK + lane, input, tap))))
        };
        let grouped = |by_tap: bool| {
            let mut weights = Vec::with_capacity(blocks(out) * per_group * taps);
            let group = tile::group();
            for first in (0..blocks(out)).step_by(group) {
                let together = first..(first + group).min(blocks(out));
                let mut push =
                    |input, tap| weights.extend(together.clone().map(|block| line(block, input, tap)));
                if by_tap {
                    (0..taps).for_each(|tap| (0..per_group).for_each(|input| push(input, tap)));
                } else {
                    (0..per_group).for_each(|input| (0..taps).for_each(|tap| push(input, tap)));
                }
            }
            weights
        };
        let (weights, plain) = match form {
            Form::Winograd(side) => (side.pack(weight, [out, per_group]), grouped(true)),
            Form::Dense => (grouped(true), Vec::new()),
            Form::Rows => (grouped(false), Vec::new()),
            Form::Depthwise => {
                let block = |block| (0..taps).map(move |tap| (block, tap));
                let all = (0..blocks(out)).flat_map(block);
                (all.map(|(block, tap)| line(block, 0, tap)).collect(), Vec::new())
            }
        };
        let bias = (0..blocks(out))
            .map(|block| {
                let of = |lane| bias.and_then(|b| b.get(block * BLOCK + lane)).copied().unwrap_or_default();
                Line(Lanes(std::array::from_fn(of)))
            })
            .collect();
        let kernel = [kh, kw];
        Ok(Some(Self { geometry, form, channels_in, channels_out: out, kernel, weights, plain, bias }))
    }

    /// Bytes of the packed weights.
    pub fn bytes(&self) -> usize {
        (self.weights.len() + self.plain.len() + self.bias.len()) * size_of::<Line>()
    }

    pub fn layout(&self) -> Layout {
        if self.form == Form::Rows { Layout::Planes } else { Layout::Blocks }
    }

    pub fn channels_in(&self) -> usize {
        self.channels_in
    }

    pub fn channels_out(&self) -> usize {
        self.channels_out
    }

    /// The output's height and width for an input of that size; `None` where the kernel does not fit in.
    pub fn output_size(&self, input: [usize; 2]) -> Option<[usize; 2]> {
        self.geometry.output_size(self.kernel, input)
    }

    /// Lines of a result.
    fn total(&self, batch: usize, out: [usize; 2]) -> Option<usize> {
        blocks(self.channels_out).checked_mul(out[0])?.checked_mul(out[1])?.checked_mul(batch)
    }

    /// Bytes that a run needs beside its result, at most; `None` where no number is so large, or the kernel does not fit
    /// in.
    pub fn scratch(&self, size: [usize; 2]) -> Option<usize> {
        let to = self.output_size(size)?;
        let g = &self.geometry;
        let covered = |axis: usize| {
            let reach = (self.kernel[axis] - 1).checked_mul(g.dilation[axis])?.checked_add(1)?;
            to[axis].saturating_sub(1).checked_mul(g.stride[axis])?.checked_add(reach)
        };
        let lines = match self.form {
            Form::Depthwise if g.pad_begin == [0, 0] && g.pad_end == [0, 0] => 0,
            Form::Depthwise => covered(0)?.checked_mul(covered(1)?)?,
            Form::Rows => {
                let reach = (self.kernel[1] - 1).checked_mul(g.dilation[1])?;
                let length = to[1].checked_add(reach / g.stride[1])?;
                let rows = self.channels_in.checked_mul(self.kernel[0])?;
                let floats = rows.checked_mul(g.stride[1].min(reach + 1))?.checked_mul(length)?;
                floats.div_ceil(BLOCK).checked_add(rows.checked_mul(self.kernel[1])?)?
            }
            Form::Dense | Form::Winograd(_) => return self.scratch_of(size, to, OutputGrid::whole(to)),
        };
        lines.checked_mul(size_of::<Line>())?.checked_mul(rayon::current_num_threads())
    }

    /// The convolution of images of one size to images of the other, with the weights of its form.
    pub(super) fn of<'a>(
        &'a self,
        [from, to]: [[usize; 2]; 2],
        residual: Option<&'a [Lanes]>,
        activation: Activation,
        out: Target,
    ) -> Convolution<'a> {
        Convolution {
            geometry: &self.geometry,
            kernel: self.kernel,
            from: Shape { channels: self.channels_in, size: from },
            to: Shape { channels: self.channels_out, size: to },
            weights: lanes(&self.weights),
            bias: lanes(&self.bias),
            residual,
            activation,
            out,
        }
    }

    /// The bytes that [`Conv2d::scratch`] gives, for the convolution by its definition whose result is of that size.
    pub(super) fn scratch_of(&self, size: [usize; 2], to: [usize; 2], place: OutputGrid) -> Option<usize> {
        let nowhere = Target(std::ptr::null_mut());
        let conv = self.of([size, to], None, Activation::None, nowhere);
        let dense = Dense { conv, input: &[], place };
        dense.scratch()?.checked_mul(size_of::<Line>())?.checked_mul(rayon::current_num_threads())
    }

    /// `input` holds `batch` images of that size, in the layout of this convolution; `residual`, in blocks, has
    /// the elements of the result, and is added before the activation.
    pub fn run(
        &self,
        input: Input<'_>,
        batch: usize,
        size: [usize; 2],
        residual: Option<&[Lanes]>,
        activation: Activation,
    ) -> Result<Lines, ShapeError> {
        let refused = |why: &str| Err(ShapeError::new(why));
        let Some(out_size) = self.output_size(size) else {
            return refused("the kernel does not fit in the input");
        };
        // Whoever calls this has asked for both; nothing is multiplied here that is not known to fit.
        let (Some(_), Some(total)) = (self.scratch(size), self.total(batch, out_size)) else {
            return refused("it would need more memory than there is");
        };
        let image_out = total / batch.max(1);
        let pixels = size[0] * size[1];
        let whole = match input {
            Input::Planes(planes) => {
                self.form == Form::Rows && planes.len() == batch * self.channels_in * pixels
            }
            Input::Blocks(lanes) => {
                self.form != Form::Rows && lanes.len() == batch * blocks(self.channels_in) * pixels
            }
        };
        if !whole || residual.is_some_and(|r| r.len() != batch * image_out) {
            return refused("the elements do not fit their shape");
        }
        let mut result = room(total);
        if total == 0 {
            return Ok(result);
        }
        let out = Target(result.as_mut_ptr().cast::<f32>());
        let conv = self.of([size, out_size], residual, activation, out);
        let work = Work { packed: self, conv, batch, place: OutputGrid::whole(out_size) };
        match input {
            Input::Planes(planes) => work.rows(planes),
            Input::Blocks(lanes) => match self.form {
                Form::Depthwise => work.depthwise(lanes),
                Form::Winograd(side) => work.winograd(lanes, side),
                Form::Dense | Form::Rows => work.dense(lanes),
            },
        }
        Ok(result)
    }
}

/// Bytes of weights that a core's own cache does not keep.
const FAR: usize = 1 << 20;

impl Conv2d {
    /// Whether it costs less to multiply the weights than the inputs, where each input channel of an image has a factor.
    pub fn scales_weights(&self, size: [usize; 2]) -> bool {
        let plain = self.geometry.stride == [1, 1] && self.output_size(size) == Some(size);
        let pointwise = self.form == Form::Dense && self.kernel == [1, 1] && plain;
        // Inputs would be read and written once more, weights are read again while they are near.
        pointwise && self.weights.len() < 2 * blocks(self.channels_in) * size[0] * size[1]
    }

    /// Runs as [`Conv2d::run`] does, on inputs in blocks whose channels are multiplied by factors first,
    /// `[batch][blocks]` of them.
    ///
    /// REQUIRES [`Conv2d::scales_weights`].
    pub fn run_scaled(
        &self,
        input: &[Lanes],
        scale: &[Lanes],
        batch: usize,
        size: [usize; 2],
        residual: Option<&[Lanes]>,
        activation: Activation,
    ) -> Result<Lines, ShapeError> {
        let (per, pixels) = (blocks(self.channels_in), size[0] * size[1]);
        let out = self.output_size(size).map(|out| blocks(self.channels_out) * out[0] * out[1]);
        let whole = self.scales_weights(size)
            && scale.len() == batch * per
            && input.len() == batch * per * pixels
            && residual.is_none_or(|r| out.is_some_and(|out| r.len() == batch * out));
        let Some(out) = out.filter(|_| whole) else {
            return Err(ShapeError::new("the elements do not fit their shape"));
        };
        let mut result = room(batch * out);
        let mut scaled = Self {
            geometry: self.geometry,
            weights: Vec::with_capacity(self.weights.len()),
            plain: Vec::new(),
            bias: self.bias.clone(),
            ..*self
        };
        for image in 0..batch {
            let factors: &[f32] = bytemuck::cast_slice(&scale[image * per..(image + 1) * per]);
            scaled.weights.clear();
            let mut left = blocks(self.channels_out);
            let mut weights = &self.weights[..];
            while left > 0 {
                let together = tile::group().min(left);
                let (group, rest) = weights.split_at(self.channels_in * together);
                let lines = group.chunks_exact(together).zip(factors).flat_map(|(lines, factor)| {
                    lines.iter().map(move |line| Line(Lanes(line.0.0.map(|weight| weight * factor))))
                });
                scaled.weights.extend(lines);
                (weights, left) = (rest, left - together);
            }
            let own = residual.map(|r| &r[image * out..(image + 1) * out]);
            let target = Target(result.as_mut_ptr().wrapping_add(image * out).cast());
            let conv = scaled.of([size, size], own, activation, target);
            let work = Work { packed: &scaled, conv, batch: 1, place: OutputGrid::whole(size) };
            work.dense(&input[image * per * pixels..(image + 1) * per * pixels]);
        }
        Ok(result)
    }
}

#[derive(Clone, Copy)]
pub enum Input<'a> {
    Planes(&'a [f32]),
    Blocks(&'a [Lanes]),
}

/// One run, cut into pieces that threads share.
pub(super) struct Work<'a> {
    pub packed: &'a Conv2d,
    pub conv: Convolution<'a>,
    pub batch: usize,
    pub place: OutputGrid,
}

impl Work<'_> {
    pub fn dense(&self, input: &[Lanes]) {
        let conv = self.conv;
        let dense = Dense { conv, input, place: self.place };
        let positions = conv.to.size[0] * conv.to.size[1];
        let groups = blocks(conv.to.channels).div_ceil(tile::group());
        let operations = self.batch * positions * conv.weights.len();
        let threads = threads(operations);
        // Whole rows or tiles, so that only the last piece has smaller ones.
        let unit = if dense.by_row() { conv.to.size[1] } else { tile::MAX_POSITIONS };
        let far = size_of_val(conv.weights) > FAR;
        let cut = Cut {
            images: self.batch,
            units: positions.div_ceil(unit),
            tiles: unit.div_ceil(tile::MAX_POSITIONS),
            groups,
            lay: if dense.is_pointwise() {
                0.0
            } else if dense.in_rows() {
                0.07
            } else {
                0.2
            },
            fetch: if far { 1.1 } else { 0.3 },
        };
        let [units, per] = cut.best(threads);
        let step = units * unit;
        let (across, along) = (positions.div_ceil(step), groups.div_ceil(per));
        share(self.batch * across * along, threads, &|piece| {
            let (rest, group) = (piece / along, piece % along);
            let (image, part) = (rest / across, rest % across);
            let piece = Piece {
                dense: &dense,
                image,
                positions: part * step..((part + 1) * step).min(positions),
                groups: group * per..((group + 1) * per).min(groups),
            };
            arch().dispatch(piece);
        });
    }

    fn winograd(&self, input: &[Lanes], side: Side) {
        let conv = self.conv;
        let work = Winograd { side, conv, input };
        let plain = Convolution { weights: lanes(&self.packed.plain), ..conv };
        let dense = Dense { conv: plain, input, place: self.place };
        let groups = 0..blocks(conv.to.channels).div_ceil(tile::group());
        let threads = threads(self.batch * work.tiles() * conv.weights.len());
        let together = work.together(if self.batch < threads { threads } else { 1 });
        let parts = work.tiles().div_ceil(together);
        share(self.batch * parts, threads, &|piece| {
            let (image, part) = (piece / parts, piece % parts);
            let tiles = part * together..((part + 1) * together).min(work.tiles());
            // Each tile is this piece's own, whichever way it is computed.
            for tile in arch().dispatch(Part { of: &work, image, tiles }) {
                for positions in work.positions(tile) {
                    arch().dispatch(Piece { dense: &dense, image, positions, groups: groups.clone() });
                }
            }
        });
    }

    fn depthwise(&self, input: &[Lanes]) {
        let conv = self.conv;
        let planes = self.batch * blocks(conv.to.channels);
        let [height, width] = conv.to.size;
        let threads = threads(planes * height * width * conv.kernel[0] * conv.kernel[1]);
        // Planes, or where they do not go round, some rows of each.
        let wanted = if threads == 1 { 1 } else { threads * 4 };
        let parts = if planes >= 4 * wanted || planes.is_multiple_of(wanted) { 1 } else { wanted };
        let rows = height.div_ceil(parts.min(height.div_ceil(4)));
        let parts = height.div_ceil(rows);
        let per = if parts > 1 { 1 } else { planes.div_ceil(wanted) };
        share(planes.div_ceil(per) * parts, threads, &|piece| {
            let (piece, part) = (piece / parts, piece % parts);
            arch().dispatch(Depthwise {
                conv,
                input,
                planes: piece * per..((piece + 1) * per).min(planes),
                rows: part * rows..((part + 1) * rows).min(height),
            });
        });
    }

    fn rows(&self, input: &[f32]) {
        let conv = self.conv;
        let height = conv.to.size[0];
        let threads = threads(self.batch * height * conv.to.size[1] * conv.weights.len());
        let pieces = if threads == 1 { self.batch } else { (threads * 4).div_ceil(self.batch) * self.batch };
        let per = height.div_ceil(pieces.div_ceil(self.batch).min(height));
        let parts = height.div_ceil(per);
        share(self.batch * parts, threads, &|piece| {
            let (image, part) = (piece / parts, piece % parts);
            arch().dispatch(Rows { conv, input, image, rows: part * per..((part + 1) * per).min(height) });
        });
    }
}
