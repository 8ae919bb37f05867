//! Two-dimensional convolution with bias, residual and activation in one pass, NCHW in and out.
//!
//! The input is copied once into zero-padded planes, one for each phase of the stride, so that every tap
//! of the kernel reads consecutive elements at a fixed offset. What remains is a matrix product whose
//! right-hand side is addressed by those offsets instead of being materialised (no im2col): a tile of
//! output channels by consecutive positions stays in registers while it runs over all taps. Positions are
//! counted along the padded width; the few between two rows are computed and thrown away.

use super::arch;
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;
use std::cell::RefCell;

/// Output channels that share a pass over the input; the weights are packed in blocks of as many.
const BLOCK: usize = 8;

/// Multiply-adds under which threads cost more than they bring.
const PARALLEL_FROM: usize = 2_000_000;

/// What is applied to each output after bias and residual.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Activation {
    None,
    Relu,
    Clip { min: f32, max: f32 },
}

impl Activation {
    #[inline(always)]
    fn apply(self, values: &mut [f32]) {
        match self {
            Self::None => {}
            Self::Relu => values.iter_mut().for_each(|v| *v = v.max(0.0)),
            Self::Clip { min, max } => values.iter_mut().for_each(|v| *v = v.max(min).min(max)),
        }
    }
}

/// The geometry of a convolution: `[height, width]` throughout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    pub stride: [usize; 2],
    pub dilation: [usize; 2],
    /// Rows and columns of zeros before the first.
    pub pad_begin: [usize; 2],
    /// And after the last.
    pub pad_end: [usize; 2],
    pub groups: usize,
}

/// A convolution whose weights are packed.
#[derive(Debug)]
pub struct Conv2d {
    geometry: Geometry,
    /// Input channels of one group.
    channels_in: usize,
    /// Output channels of one group.
    channels_out: usize,
    kernel: [usize; 2],
    /// Per group and block of output channels: `[tap][BLOCK]`, taps in the order channel, row, column.
    weights: Vec<f32>,
    /// Per output channel.
    bias: Vec<f32>,
}

/// The shapes do not make a convolution.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ShapeError(String);

impl Conv2d {
    /// `weight` is `[channels out, channels in / groups, kernel height, kernel width]` in C order; `bias`
    /// has an element for each output channel.
    pub fn new(
        weight: &[f32],
        shape: [usize; 4],
        bias: Option<&[f32]>,
        geometry: Geometry,
    ) -> Result<Self, ShapeError> {
        let [out, channels_in, kh, kw] = shape;
        let Geometry { stride, dilation, groups, .. } = geometry;
        let taps = channels_in * kh * kw;
        if out == 0 || taps == 0 || groups == 0 || out % groups != 0 || weight.len() != out * taps {
            return Err(ShapeError(format!("weights of shape {shape:?} do not make {groups} groups")));
        }
        if bias.is_some_and(|b| b.len() != out) {
            return Err(ShapeError(format!("the bias does not have one element for each of {out} channels")));
        }
        if stride.contains(&0) || dilation.contains(&0) {
            return Err(ShapeError("stride and dilation start at 1".into()));
        }
        let channels_out = out / groups;
        let blocks = channels_out.div_ceil(BLOCK);
        let mut weights = vec![0.0; groups * blocks * taps * BLOCK];
        for (channel, row) in weight.chunks_exact(taps).enumerate() {
            let (group, within) = (channel / channels_out, channel % channels_out);
            let base = (group * blocks + within / BLOCK) * taps * BLOCK + within % BLOCK;
            for (tap, value) in row.iter().enumerate() {
                weights[base + tap * BLOCK] = *value;
            }
        }
        let bias = bias.map_or_else(|| vec![0.0; out], <[f32]>::to_vec);
        Ok(Self { geometry, channels_in, channels_out, kernel: [kh, kw], weights, bias })
    }

    /// The output's height and width for an input of that size; `None` where the kernel does not fit in.
    pub fn output_size(&self, input: [usize; 2]) -> Option<[usize; 2]> {
        let g = &self.geometry;
        let mut size = [0; 2];
        for axis in 0..2 {
            let padded = input[axis].checked_add(g.pad_begin[axis])?.checked_add(g.pad_end[axis])?;
            let reach = (self.kernel[axis] - 1).checked_mul(g.dilation[axis])?.checked_add(1)?;
            size[axis] = padded.checked_sub(reach)? / g.stride[axis] + 1;
        }
        Some(size)
    }

    pub fn channels_out(&self) -> usize {
        self.channels_out * self.geometry.groups
    }

    /// `input` is `[batch, channels, height, width]`, as is the result (with the output's channels and
    /// size), as is `residual`, which is added before the activation.
    pub fn run(
        &self,
        input: &[f32],
        shape: [usize; 4],
        residual: Option<&[f32]>,
        activation: Activation,
    ) -> Result<Vec<f32>, ShapeError> {
        let [batch, channels, height, width] = shape;
        let groups = self.geometry.groups;
        if channels != self.channels_in * groups {
            let wanted = self.channels_in * groups;
            return Err(ShapeError(format!("the input has {channels} channels, the weights take {wanted}")));
        }
        let size = self
            .output_size([height, width])
            .ok_or_else(|| ShapeError(format!("a kernel of {:?} does not fit in {shape:?}", self.kernel)))?;
        let planes = Planes::new(self, [height, width], size);
        let (image_in, image_out) = (channels * height * width, self.channels_out() * size[0] * size[1]);
        let total = batch * image_out;
        if input.len() != batch * image_in || residual.is_some_and(|r| r.len() != total) {
            return Err(ShapeError("the elements do not fit their shape".into()));
        }
        let mut out = vec![0.0; total];
        if total == 0 {
            return Ok(out);
        }
        let arch = arch();
        let part = |image: usize| residual.map(|r| &r[image * image_out..(image + 1) * image_out]);
        let work = image_out * self.channels_in * self.kernel[0] * self.kernel[1];
        let threads = rayon::current_num_threads();
        let image = |(index, (input, out)): (usize, (&[f32], &mut [f32])), split: usize| {
            self.image(arch, &planes, input, part(index), activation, out, split)
        };
        let images = input.chunks_exact(image_in.max(1)).zip(out.chunks_exact_mut(image_out)).enumerate();
        if work * batch < PARALLEL_FROM || threads == 1 {
            images.for_each(|i| image(i, 1));
        } else if batch >= threads {
            input
                .par_chunks_exact(image_in.max(1))
                .zip(out.par_chunks_exact_mut(image_out))
                .enumerate()
                .for_each(|i| image(i, 1));
        } else {
            images.for_each(|i| image(i, threads));
        }
        Ok(out)
    }

    /// One image; its output channels are split among up to `split` threads.
    #[expect(clippy::too_many_arguments, reason = "one call, all of it the image's own")]
    fn image(
        &self,
        arch: Arch,
        planes: &Planes,
        input: &[f32],
        residual: Option<&[f32]>,
        activation: Activation,
        out: &mut [f32],
        split: usize,
    ) {
        let pixels = planes.size[0] * planes.size[1];
        let taps = planes.offsets.len();
        let group_in = self.channels_in * planes.input[0] * planes.input[1];
        let blocks = self.channels_out.div_ceil(BLOCK);
        // Taken out while it is used: a thread that waits for others may be given another convolution.
        let mut scratch = SCRATCH.take();
        for group in 0..self.geometry.groups {
            let input = &input[group * group_in..(group + 1) * group_in];
            let source = if planes.direct && planes.positions() >= MAX_TILE {
                input
            } else {
                arch.dispatch(
                    #[inline(always)]
                    || planes.fill(input, &mut scratch),
                );
                &scratch[..]
            };
            let first = group * self.channels_out;
            let out = &mut out[first * pixels..(first + self.channels_out) * pixels];
            let weights = &self.weights[group * blocks * taps * BLOCK..][..blocks * taps * BLOCK];
            let run = |index: usize, per: usize, out: &mut [f32]| {
                let channel = first + index * per * BLOCK;
                let count = out.len() / pixels;
                arch.dispatch(Channels {
                    planes,
                    source,
                    weights: &weights[index * per * taps * BLOCK..],
                    bias: &self.bias[channel..channel + count],
                    residual: residual.map(|r| &r[channel * pixels..(channel + count) * pixels]),
                    activation,
                    out,
                });
            };
            let per = blocks.div_ceil(split);
            if split == 1 || per == blocks {
                run(0, blocks, out);
            } else {
                out.par_chunks_mut(per * BLOCK * pixels).enumerate().for_each(|(i, out)| run(i, per, out));
            }
        }
        SCRATCH.set(scratch);
    }
}

thread_local! {
    static SCRATCH: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// Where the taps of a kernel find their elements: the padded planes of one image and group.
struct Planes {
    input: [usize; 2],
    size: [usize; 2],
    /// Height and width of one plane.
    plane: [usize; 2],
    /// The phases of the stride that some tap reads, rows and columns.
    phases: [Vec<usize>; 2],
    stride: [usize; 2],
    pad: [usize; 2],
    channels: usize,
    /// Whether the input is its own single plane, so that nothing is copied.
    direct: bool,
    /// For each tap, the offset of the element that the first output position reads.
    offsets: Vec<usize>,
}

impl Planes {
    fn new(conv: &Conv2d, input: [usize; 2], size: [usize; 2]) -> Self {
        let g = &conv.geometry;
        let mut plane = [0; 2];
        let mut phases = [vec![], vec![]];
        for axis in 0..2 {
            let reach = (conv.kernel[axis] - 1) * g.dilation[axis] / g.stride[axis];
            plane[axis] = size[axis] + reach;
            let mut used: Vec<usize> =
                (0..conv.kernel[axis]).map(|k| k * g.dilation[axis] % g.stride[axis]).collect();
            used.sort_unstable();
            used.dedup();
            phases[axis] = used;
        }
        let at = |axis: usize, k: usize| {
            let element = k * g.dilation[axis];
            let phase = phases[axis].binary_search(&(element % g.stride[axis])).unwrap_or_default();
            (phase, element / g.stride[axis])
        };
        let mut offsets = Vec::with_capacity(conv.channels_in * conv.kernel[0] * conv.kernel[1]);
        for channel in 0..conv.channels_in {
            for row in 0..conv.kernel[0] {
                let (row_phase, y) = at(0, row);
                for column in 0..conv.kernel[1] {
                    let (column_phase, x) = at(1, column);
                    let index = (channel * phases[0].len() + row_phase) * phases[1].len() + column_phase;
                    offsets.push((index * plane[0] + y) * plane[1] + x);
                }
            }
        }
        let direct = plane == input && g.stride == [1, 1] && g.pad_begin == [0, 0];
        let (stride, pad, channels) = (g.stride, g.pad_begin, conv.channels_in);
        Self { input, size, plane, phases, stride, pad, channels, direct, offsets }
    }

    /// Writes the planes of `input`, with room behind them for a tile that reads over the end.
    #[inline(always)]
    fn fill(&self, input: &[f32], scratch: &mut Vec<f32>) {
        let plane = self.plane[0] * self.plane[1];
        let wanted = self.channels * self.phases[0].len() * self.phases[1].len() * plane + MAX_TILE;
        scratch.clear();
        scratch.resize(wanted, 0.0);
        let (height, width) = (self.input[0], self.input[1]);
        let mut planes = scratch.chunks_exact_mut(plane);
        for channel in input.chunks_exact((height * width).max(1)) {
            for row_phase in &self.phases[0] {
                for column_phase in &self.phases[1] {
                    let Some(plane) = planes.next() else { return };
                    for (y, line) in plane.chunks_exact_mut(self.plane[1]).enumerate() {
                        let row = (y * self.stride[0] + row_phase).wrapping_sub(self.pad[0]);
                        if row < height {
                            let source = &channel[row * width..(row + 1) * width];
                            copy_line(source, line, *column_phase, self.pad[1], self.stride[1]);
                        }
                    }
                }
            }
        }
    }

    /// Output positions along the planes' width, those between two rows among them.
    fn positions(&self) -> usize {
        (self.size[0] - 1) * self.plane[1] + self.size[1]
    }
}

/// Every `stride`-th element of the padded source line, from `phase` on. `line` is zero before.
#[inline(always)]
fn copy_line(source: &[f32], line: &mut [f32], phase: usize, pad: usize, stride: usize) {
    // The first element of the line whose column, x * stride + phase - pad, is not in the padding.
    let first = pad.saturating_sub(phase).div_ceil(stride);
    let start = first * stride + phase - pad;
    if first >= line.len() || start >= source.len() {
        return;
    }
    if stride == 1 {
        let count = (line.len() - first).min(source.len() - start);
        line[first..first + count].copy_from_slice(&source[start..start + count]);
    } else if stride == 2 {
        // Pairs of a known size, which become vector shuffles.
        let pairs = source[start..].chunks_exact(2);
        let last = pairs.remainder().first();
        let count = pairs.len().min(line.len() - first);
        let (paired, rest) = line[first..].split_at_mut(count);
        paired.iter_mut().zip(pairs).for_each(|(to, pair)| *to = pair[0]);
        rest.iter_mut().zip(last).for_each(|(to, from)| *to = *from);
    } else {
        for (to, from) in line[first..].iter_mut().zip(source[start..].iter().step_by(stride)) {
            *to = *from;
        }
    }
}

/// Positions in the largest tile of any instruction set.
const MAX_TILE: usize = 64;

/// Consecutive output channels of one image.
struct Channels<'a> {
    planes: &'a Planes,
    source: &'a [f32],
    /// From the first block of these channels on.
    weights: &'a [f32],
    bias: &'a [f32],
    residual: Option<&'a [f32]>,
    activation: Activation,
    /// `[channel][row][column]`.
    out: &'a mut [f32],
}

impl WithSimd for Channels<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        // 32 registers hold tiles of 8 x 2 vectors, 16 registers tiles of 4 x 3.
        if S::F32_LANES >= 16 {
            self.tiles::<S, 8, 2>(simd);
        } else {
            self.tiles::<S, 4, 3>(simd);
        }
    }
}

impl Channels<'_> {
    #[inline(always)]
    fn tiles<S: Simd, const C: usize, const V: usize>(mut self, simd: S) {
        let positions = self.planes.positions();
        let tile = V * S::F32_LANES;
        let mut start = 0;
        loop {
            // The last tile of planes that have no room behind them overlaps the one before.
            let at = if self.planes.direct { start.min(positions.saturating_sub(tile)) } else { start };
            let mut channel = 0;
            while channel < self.bias.len() {
                let left = self.bias.len() - channel;
                let taken = if left >= C && C == 8 {
                    self.tile::<S, 8, V>(simd, channel, at)
                } else if left >= 4 {
                    self.tile::<S, 4, V>(simd, channel, at)
                } else if left >= 2 {
                    self.tile::<S, 2, V>(simd, channel, at)
                } else {
                    self.tile::<S, 1, V>(simd, channel, at)
                };
                channel += taken;
            }
            start += tile;
            if start >= positions {
                return;
            }
        }
    }

    /// `C` channels from `channel` on by `V` vectors of positions from `at` on; answers `C`.
    #[inline(always)]
    fn tile<S: Simd, const C: usize, const V: usize>(&mut self, simd: S, channel: usize, at: usize) -> usize {
        let taps = self.planes.offsets.len();
        let weights = &self.weights[channel / BLOCK * taps * BLOCK..][..taps * BLOCK];
        let lanes = S::F32_LANES;
        let within = channel % BLOCK;
        let mut sums = [[simd.splat_f32s(0.0); V]; C];
        for (weights, offset) in weights.chunks_exact(BLOCK).zip(&self.planes.offsets) {
            let weights = &weights[within..within + C];
            let (source, _) = S::as_simd_f32s(&self.source[offset + at..offset + at + V * lanes]);
            for c in 0..C {
                let weight = simd.splat_f32s(weights[c]);
                for v in 0..V {
                    sums[c][v] = simd.mul_add_e_f32s(weight, source[v], sums[c][v]);
                }
            }
        }
        for (c, sums) in sums.iter().enumerate() {
            let mut line = [0.0; MAX_TILE];
            let bias = simd.splat_f32s(self.bias[channel + c]);
            for v in 0..V {
                let sum = simd.add_f32s(sums[v], bias);
                S::as_mut_simd_f32s(&mut line[v * lanes..(v + 1) * lanes]).0[0] = sum;
            }
            self.write(channel + c, at, &mut line[..V * lanes]);
        }
        C
    }

    /// Puts the positions that are pixels where they belong; the rest lie between rows.
    #[inline(always)]
    fn write(&mut self, channel: usize, at: usize, line: &mut [f32]) {
        let ([height, width], stride) = (self.planes.size, self.planes.plane[1]);
        let (mut row, mut column) = (at / stride, at % stride);
        let mut done = 0;
        while done < line.len() && row < height {
            let run = (stride - column).min(line.len() - done);
            if column < width {
                let pixels = run.min(width - column);
                let values = &mut line[done..done + pixels];
                let to = channel * height * width + row * width + column;
                if let Some(residual) = self.residual {
                    for (value, add) in values.iter_mut().zip(&residual[to..to + pixels]) {
                        *value += add;
                    }
                }
                self.activation.apply(values);
                self.out[to..to + pixels].copy_from_slice(values);
            }
            done += run;
            row += 1;
            column = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Straight from the definition, in double precision.
    fn reference(
        input: &[f32],
        [batch, channels, height, width]: [usize; 4],
        weight: &[f32],
        [out, per_group, kh, kw]: [usize; 4],
        bias: &[f32],
        g: Geometry,
    ) -> Vec<f32> {
        let oh = (height + g.pad_begin[0] + g.pad_end[0] - (kh - 1) * g.dilation[0] - 1) / g.stride[0] + 1;
        let ow = (width + g.pad_begin[1] + g.pad_end[1] - (kw - 1) * g.dilation[1] - 1) / g.stride[1] + 1;
        let mut result = vec![];
        for n in 0..batch {
            for o in 0..out {
                let group = o / (out / g.groups);
                for (y, x) in (0..oh).flat_map(|y| (0..ow).map(move |x| (y, x))) {
                    let mut sum = f64::from(bias[o]);
                    for (c, i, j) in (0..per_group)
                        .flat_map(|c| (0..kh).flat_map(move |i| (0..kw).map(move |j| (c, i, j))))
                    {
                        let row = (y * g.stride[0] + i * g.dilation[0]).wrapping_sub(g.pad_begin[0]);
                        let column = (x * g.stride[1] + j * g.dilation[1]).wrapping_sub(g.pad_begin[1]);
                        if row < height && column < width {
                            let channel = group * per_group + c;
                            let value = input[((n * channels + channel) * height + row) * width + column];
                            let tap = weight[((o * per_group + c) * kh + i) * kw + j];
                            sum += f64::from(value) * f64::from(tap);
                        }
                    }
                    result.push(sum as f32);
                }
            }
        }
        result
    }

    fn noise(count: usize, seed: u32) -> Vec<f32> {
        let mut state = seed | 1;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        };
        (0..count).map(|_| next()).collect()
    }

    fn near(got: &[f32], wanted: &[f32]) {
        assert_eq!(got.len(), wanted.len());
        for (index, (got, wanted)) in got.iter().zip(wanted).enumerate() {
            assert!((got - wanted).abs() <= 1e-4 * (1.0 + wanted.abs()), "{index}: {got} for {wanted}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]
        #[test]
        fn any_shape_stride_pad_dilation_and_group(
            batch in 1usize..4, groups in 1usize..4, cin in 1usize..5, cout in 1usize..11,
            size in [1usize..23, 1usize..40], kernel in [1usize..5, 1usize..5],
            stride in [1usize..4, 1usize..4], dilation in [1usize..3, 1usize..3],
            begin in [0usize..4, 0usize..4], end in [0usize..4, 0usize..4], seed: u32,
        ) {
            let geometry = Geometry { stride, dilation, pad_begin: begin, pad_end: end, groups };
            let (shape, weights) = ([batch, cin * groups, size[0], size[1]], [cout * groups, cin, kernel[0], kernel[1]]);
            let (input, weight) = (noise(shape.iter().product(), seed), noise(weights.iter().product(), !seed));
            let bias = noise(cout * groups, seed.wrapping_add(7));
            let conv = Conv2d::new(&weight, weights, Some(&bias), geometry).unwrap();
            prop_assume!(conv.output_size(size).is_some());
            let got = conv.run(&input, shape, None, Activation::None).unwrap();
            near(&got, &reference(&input, shape, &weight, weights, &bias, geometry));
        }
    }

    const SAME: Geometry =
        Geometry { stride: [1, 1], dilation: [1, 1], pad_begin: [1, 1], pad_end: [1, 1], groups: 1 };

    #[test]
    fn large_work_is_split_among_threads_without_a_trace() {
        for batch in [1, 5] {
            let (shape, weights) = ([batch, 16, 40, 40], [50, 16, 3, 3]);
            let (input, weight) = (noise(shape.iter().product(), 1), noise(weights.iter().product(), 2));
            let conv = Conv2d::new(&weight, weights, None, SAME).unwrap();
            let got = conv.run(&input, shape, None, Activation::None).unwrap();
            near(&got, &reference(&input, shape, &weight, weights, &[0.0; 50], SAME));
        }
    }

    #[test]
    fn residual_comes_before_the_activation() {
        let geometry = Geometry { pad_begin: [0, 0], pad_end: [0, 0], ..SAME };
        let conv = Conv2d::new(&[1.0], [1, 1, 1, 1], Some(&[0.5]), geometry).unwrap();
        let run = |activation| conv.run(&[1.0, -2.0], [1, 1, 1, 2], Some(&[1.0, 1.0]), activation).unwrap();
        assert_eq!(run(Activation::None), [2.5, -0.5]);
        assert_eq!(run(Activation::Relu), [2.5, 0.0]);
        assert_eq!(run(Activation::Clip { min: -0.25, max: 2.0 }), [2.0, -0.25]);
    }

    #[test]
    fn what_does_not_fit_is_an_error() {
        assert!(Conv2d::new(&[1.0; 8], [2, 1, 2, 2], None, Geometry { groups: 3, ..SAME }).is_err());
        assert!(Conv2d::new(&[1.0; 8], [2, 1, 2, 2], None, Geometry { stride: [0, 1], ..SAME }).is_err());
        assert!(Conv2d::new(&[1.0; 8], [2, 1, 2, 2], Some(&[1.0]), SAME).is_err());
        let conv = Conv2d::new(&[1.0; 50], [2, 1, 5, 5], None, SAME).unwrap();
        assert!(conv.run(&[0.0; 4], [1, 1, 2, 2], None, Activation::None).is_err());
        assert!(conv.run(&[0.0; 32], [1, 2, 4, 4], None, Activation::None).is_err());
        assert!(conv.run(&[0.0; 9], [1, 1, 4, 4], None, Activation::None).is_err());
        assert!(conv.run(&[], [0, 1, 4, 4], None, Activation::None).unwrap().is_empty());
    }
}
