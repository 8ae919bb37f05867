//! Held to the definition, for any shape.

use super::*;
use crate::engine::kernels::Activation;
use crate::engine::kernels::conv::Geometry;
use crate::engine::kernels::conv::reference::{near, noise, reference};
use proptest::prelude::*;

/// The blocked convolution of planes, as planes.
fn blocked(
    (input, shape): (&[f32], [usize; 4]),
    (weight, weights): (&[f32], [usize; 4]),
    bias: &[f32],
    residual: Option<&[f32]>,
    (geometry, layout, activation): (Geometry, Layout, Activation),
) -> Option<Vec<f32>> {
    let [batch, channels, height, width] = shape;
    let conv = Conv2d::new(weight, weights, Some(bias), geometry, layout).unwrap().unwrap();
    let size = conv.output_size([height, width])?;
    let pixels = size[0] * size[1];
    let lines = from_planes(input, batch, channels, height * width);
    let input = if layout == Layout::Planes { Input::Planes(input) } else { Input::Blocks(lanes(&lines)) };
    let residual = residual.map(|r| from_planes(r, batch, weights[0], pixels));
    let out = conv.run(input, batch, [height, width], residual.as_deref().map(lanes), activation).unwrap();
    Some(to_planes(lanes(&out), batch, weights[0], pixels))
}

fn window() -> impl Strategy<Value = ([usize; 2], Geometry)> {
    let two = |range: std::ops::Range<usize>| [range.clone(), range];
    (two(1..6), two(1..4), two(1..3), two(0..4), two(0..4)).prop_map(
        |(kernel, stride, dilation, begin, end)| {
            (kernel, Geometry { stride, dilation, pad_begin: begin, pad_end: end, groups: 1 })
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]

    #[test]
    fn any_convolution(
        (kernel, geometry) in window(), batch in 1usize..3, cin in 1usize..40, cout in 1usize..70,
        size in [1usize..14, 1usize..36], planes: bool, add: bool, seed: u32,
    ) {
        let (shape, weights) = ([batch, cin, size[0], size[1]], [cout, cin, kernel[0], kernel[1]]);
        let (input, weight) = (noise(shape.iter().product(), seed), noise(weights.iter().product(), !seed));
        let bias = noise(cout, seed.wrapping_add(7));
        prop_assume!(geometry.output_size(kernel, size).is_some());
        let wanted = reference(&input, shape, &weight, weights, &bias, geometry);
        let residual = noise(wanted.len(), seed.wrapping_add(9));
        let layout = if planes { Layout::Planes } else { Layout::Blocks };
        let form = (geometry, layout, Activation::Relu);
        let got = blocked((&input, shape), (&weight, weights), &bias, add.then_some(&residual[..]), form);
        let after = |(w, r): (&f32, &f32)| (w + if add { *r } else { 0.0 }).max(0.0);
        near(&got.unwrap(), &wanted.iter().zip(&residual).map(after).collect::<Vec<_>>());
    }

    #[test]
    fn any_depthwise_convolution(
        (kernel, geometry) in window(), batch in 1usize..3, channels in 1usize..40,
        size in [1usize..14, 1usize..36], add: bool, seed: u32,
    ) {
        let geometry = Geometry { groups: channels, ..geometry };
        let (shape, weights) = ([batch, channels, size[0], size[1]], [channels, 1, kernel[0], kernel[1]]);
        let (input, weight) = (noise(shape.iter().product(), seed), noise(weights.iter().product(), !seed));
        let bias = noise(channels, seed.wrapping_add(7));
        prop_assume!(geometry.output_size(kernel, size).is_some());
        let wanted = reference(&input, shape, &weight, weights, &bias, geometry);
        let residual = noise(wanted.len(), seed.wrapping_add(9));
        let form = (geometry, Layout::Blocks, Activation::HardSwish);
        let got = blocked((&input, shape), (&weight, weights), &bias, add.then_some(&residual[..]), form);
        let after = |(w, r): (&f32, &f32)| {
            let v = w + if add { *r } else { 0.0 };
            v * (v / 6.0 + 0.5).clamp(0.0, 1.0)
        };
        near(&got.unwrap(), &wanted.iter().zip(&residual).map(after).collect::<Vec<_>>());
    }

    #[test]
    fn blocks_and_planes_hold_the_same(batch in 1usize..3, channels in 1usize..40, pixels in 1usize..70, seed: u32) {
        let planes = noise(batch * channels * pixels, seed);
        let lines = from_planes(&planes, batch, channels, pixels);
        prop_assert_eq!(&to_planes(lanes(&lines), batch, channels, pixels), &planes);
        let means = to_planes(lanes(&global_average(lanes(&lines), pixels)), batch, channels, 1);
        let wanted: Vec<f32> = planes.chunks(pixels).map(|p| p.iter().sum::<f32>() / pixels as f32).collect();
        near(&means, &wanted);
        let mut scaled: Vec<f32> = lanes(&lines).iter().flat_map(|l| l.0).collect();
        scale_channels(&mut scaled, pixels, lanes(&global_average(lanes(&lines), pixels)));
        let scaled = to_planes(view(&scaled), batch, channels, pixels);
        let wanted: Vec<f32> = planes.iter().enumerate().map(|(i, v)| v * means[i / pixels]).collect();
        near(&scaled, &wanted);
    }

    #[test]
    fn any_pool((kernel, geometry) in window(), size in [1usize..14, 1usize..20], pads: bool, seed: u32) {
        let Some(out) = geometry.output_size(kernel, size) else { return Ok(()) };
        let Geometry { stride, dilation, pad_begin, pad_end, .. } = geometry;
        // A window in the pads alone has no greatest element.
        prop_assume!((0..2).all(|a| pad_begin[a].max(pad_end[a]) < kernel[a] * dilation[a].min(2)));
        let window = Window { kernel, stride, dilation, pad_begin, pad_end, out };
        let planes = noise(size[0] * size[1] * 16, seed);
        let lines = from_planes(&planes, 1, 16, size[0] * size[1]);
        let got = |kind| to_planes(lanes(&pool(lanes(&lines), size, &window, kind)), 1, 16, out[0] * out[1]);
        let (greatest, mean) = (got(Pool::Max), got(Pool::Average { pads }));
        for channel in 0..16 {
            for (y, x) in (0..out[0]).flat_map(|y| (0..out[1]).map(move |x| (y, x))) {
                let at = |axis: usize, position: usize, tap: usize| {
                    (position * stride[axis] + tap * dilation[axis]).wrapping_sub(pad_begin[axis])
                };
                let elements: Vec<f32> = (0..kernel[0])
                    .flat_map(|i| (0..kernel[1]).map(move |j| (i, j)))
                    .map(|(i, j)| (at(0, y, i), at(1, x, j)))
                    .filter(|(i, j)| *i < size[0] && *j < size[1])
                    .map(|(i, j)| planes[(channel * size[0] + i) * size[1] + j])
                    .collect();
                let index = (channel * out[0] + y) * out[1] + x;
                let counted = if pads { kernel[0] * kernel[1] } else { elements.len().max(1) };
                let wanted = elements.iter().sum::<f32>() / counted as f32;
                prop_assert!((mean[index] - wanted).abs() < 1e-5, "{} for {wanted}", mean[index]);
                let wanted = elements.into_iter().fold(f32::NEG_INFINITY, f32::max);
                prop_assert_eq!(greatest[index], wanted);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Convolutions that go by tiles, with more channels than a block, and sizes that do not fill the last tiles.
    #[test]
    fn any_convolution_of_three_by_three(
        batch in 1usize..3, (cin, cout, size) in prop_oneof![
            (16usize..40, 16usize..40, [1usize..14, 1usize..20]),
            // Too many for tiles of four.
            (20usize..24, 370usize..390, [1usize..5, 1usize..6]),
        ], begin in [0usize..3, 0usize..3], end in [0usize..3, 0usize..3],
        add: bool, seed: u32,
    ) {
        let geometry =
            Geometry { stride: [1, 1], dilation: [1, 1], pad_begin: begin, pad_end: end, groups: 1 };
        prop_assume!(geometry.output_size([3, 3], size).is_some());
        let (shape, weights) = ([batch, cin, size[0], size[1]], [cout, cin, 3, 3]);
        let (input, weight) = (noise(shape.iter().product(), seed), noise(weights.iter().product(), !seed));
        let bias = noise(cout, seed.wrapping_add(7));
        let wanted = reference(&input, shape, &weight, weights, &bias, geometry);
        let residual = noise(wanted.len(), seed.wrapping_add(9));
        for (activation, f) in [
            (Activation::Relu, (|v: f32| v.max(0.0)) as fn(f32) -> f32),
            (Activation::Tanh, |v: f32| v.tanh()),
        ] {
            let form = (geometry, Layout::Blocks, activation);
            let got = blocked((&input, shape), (&weight, weights), &bias, add.then_some(&residual[..]), form);
            let after = |(w, r): (&f32, &f32)| f(w + if add { *r } else { 0.0 });
            near(&got.unwrap(), &wanted.iter().zip(&residual).map(after).collect::<Vec<_>>());
        }
    }

    #[test]
    fn any_transposed_convolution(
        batch in 1usize..3, cin in 1usize..40, cout in 1usize..40, size in [1usize..9, 1usize..13],
        kernel in [1usize..6, 1usize..6], stride in [1usize..4, 1usize..4], cut in [(0usize..4, -2isize..4), (0usize..4, -2isize..4)],
        seed: u32,
    ) {
        let (shape, weights) = ([batch, cin, size[0], size[1]], [cin, cout, kernel[0], kernel[1]]);
        let (input, weight) = (noise(shape.iter().product(), seed), noise(weights.iter().product(), !seed));
        let bias = noise(cout, seed.wrapping_add(7));
        let conv = ConvTranspose2d::new(&weight, weights, Some(&bias), stride, cut).unwrap();
        prop_assume!(conv.is_some());
        let conv = conv.unwrap();
        let Some(out) = conv.output_size(size) else { return Ok(()) };
        let mut wanted = vec![0.0; batch * cout * out[0] * out[1]];
        for (plane, wanted) in wanted.chunks_exact_mut(out[0] * out[1]).enumerate() {
            let (image, o) = (plane / cout, plane % cout);
            wanted.fill(bias[o]);
            for i in 0..cin {
                for at in 0..size[0] * size[1] * kernel[0] * kernel[1] {
                    let (pixel, tap) = (at / (kernel[0] * kernel[1]), at % (kernel[0] * kernel[1]));
                    let (y, x) = (pixel / size[1], pixel % size[1]);
                    let (r, c) = (tap / kernel[1], tap % kernel[1]);
                    let row = (y * stride[0] + r).wrapping_sub(cut[0].0);
                    let column = (x * stride[1] + c).wrapping_sub(cut[1].0);
                    if row < out[0] && column < out[1] {
                        let value = input[((image * cin + i) * size[0] + y) * size[1] + x];
                        wanted[row * out[1] + column] +=
                            value * weight[((i * cout + o) * kernel[0] + r) * kernel[1] + c];
                    }
                }
            }
        }
        let lines = from_planes(&input, batch, cin, size[0] * size[1]);
        let got = conv.run(lanes(&lines), batch, size, Activation::None).unwrap();
        near(&to_planes(lanes(&got), batch, cout, out[0] * out[1]), &wanted);
    }

    #[test]
    fn channels_become_pixels(
        batch in 1usize..3, channels in 1usize..6, of in [1usize..6, 1usize..10], size in [1usize..5, 1usize..9],
        seed: u32,
    ) {
        let ([rows, columns], [height, width]) = (of, size);
        let all = channels * rows * columns;
        let planes = noise(batch * all * height * width, seed);
        let lines = from_planes(&planes, batch, all, height * width);
        let got = to_space(lanes(&lines), batch, channels, of, size);
        let line = width * columns;
        for (index, got) in got.iter().enumerate() {
            let (plane, y, x) = (index / (height * rows * line), index / line % (height * rows), index % line);
            let pixel = (plane * rows + y % rows) * columns + x % columns;
            prop_assert_eq!(*got, planes[(pixel * height + y / rows) * width + x / columns]);
        }
    }

    #[test]
    fn channels_come_after_one_another(
        channels in prop::collection::vec(1usize..40, 1..5), batch in 1usize..3, pixels in 1usize..20, seed: u32,
    ) {
        let planes: Vec<Vec<f32>> = (channels.iter().zip(seed..))
            .map(|(channels, seed)| noise(batch * channels * pixels, seed))
            .collect();
        let parts: Vec<Lines> = (planes.iter().zip(&channels))
            .map(|(planes, channels)| from_planes(planes, batch, *channels, pixels))
            .collect();
        let given: Vec<_> = parts.iter().zip(&channels).map(|(part, c)| (lanes(part), *c)).collect();
        let joined = to_planes(lanes(&join_channels(&given, batch, pixels)), batch, channels.iter().sum(), pixels);
        let wanted: Vec<f32> = (0..batch)
            .flat_map(|image| planes.iter().zip(&channels).map(move |(p, c)| (image, p, c)))
            .flat_map(|(image, planes, channels)| &planes[image * channels * pixels..][..channels * pixels])
            .copied()
            .collect();
        prop_assert_eq!(joined, wanted);
    }

    #[test]
    fn a_resized_plane_blends_rows_and_columns(
        size in [1usize..9, 1usize..9], seed: u32,
        rows in prop::collection::vec(prop::collection::vec((0usize..9, 0.0f32..1.0), 1..4), 1..12),
        columns in prop::collection::vec(prop::collection::vec((0usize..9, 0.0f32..1.0), 2..3), 1..40),
    ) {
        let within = |taps: Vec<Vec<(usize, f32)>>, size: usize| -> Vec<Vec<(usize, f32)>> {
            taps.into_iter().map(|t| t.into_iter().map(|(at, weight)| (at % size, weight)).collect()).collect()
        };
        let (rows, columns) = (within(rows, size[0]), within(columns, size[1]));
        let pixels = size[0] * size[1];
        let planes = noise(20 * pixels, seed);
        let lines = from_planes(&planes, 1, 20, pixels);
        let taps = |lists: &[Vec<(usize, f32)>]| {
            let each = lists.iter().map(Vec::len).max().unwrap_or(0);
            let filled = |list: &Vec<(usize, f32)>| {
                list.iter().copied().chain(std::iter::repeat_n((0, 0.0), each - list.len())).collect::<Vec<_>>()
            };
            Taps::new(each, &lists.iter().flat_map(filled).collect::<Vec<_>>())
        };
        let got = resize(lanes(&lines), size, &taps(&rows), &taps(&columns));
        let mut wanted = Vec::new();
        for plane in planes.chunks_exact(pixels) {
            for (row, column) in rows.iter().flat_map(|row| columns.iter().map(move |column| (row, column))) {
                let blended = |(y, a): &(usize, f32)| -> f32 {
                    column.iter().map(|(x, b)| plane[y * size[1] + x] * b).sum::<f32>() * a
                };
                wanted.push(row.iter().map(blended).sum::<f32>());
            }
        }
        near(&to_planes(lanes(&got), 1, 20, rows.len() * columns.len()), &wanted);
    }
}

#[test]
fn large_work_is_shared_among_threads_without_a_trace() {
    let same = Geometry { stride: [1, 1], dilation: [1, 1], pad_begin: [1, 1], pad_end: [1, 1], groups: 1 };
    // Many positions; many channels and few positions; several images.
    for (batch, cin, cout, side) in [(1, 16, 32, 40), (1, 96, 200, 5), (3, 20, 40, 12)] {
        let (shape, weights) = ([batch, cin, side, side], [cout, cin, 3, 3]);
        let (input, weight) = (noise(shape.iter().product(), 1), noise(weights.iter().product(), 2));
        let bias = noise(cout, 3);
        let wanted = reference(&input, shape, &weight, weights, &bias, same);
        for layout in [Layout::Planes, Layout::Blocks] {
            let form = (same, layout, Activation::None);
            near(&blocked((&input, shape), (&weight, weights), &bias, None, form).unwrap(), &wanted);
        }
    }
}

#[test]
fn what_does_not_fit_is_an_error() {
    let plain = Geometry { stride: [1, 1], dilation: [1, 1], pad_begin: [0, 0], pad_end: [0, 0], groups: 1 };
    let new =
        |groups, layout| Conv2d::new(&[1.0; 8], [4, 2, 1, 1], None, Geometry { groups, ..plain }, layout);
    assert!(new(3, Layout::Blocks).is_err());
    assert!(new(2, Layout::Blocks).unwrap().is_none() && new(4, Layout::Planes).unwrap().is_none());
    let conv = new(1, Layout::Blocks).unwrap().unwrap();
    let run = |input: Input<'_>, size, residual: Option<&[Lanes]>| {
        conv.run(input, 1, size, residual, Activation::None).map(|out| out.len())
    };
    assert_eq!(run(Input::Blocks(&[Lanes::ZERO; 6]), [2, 3], None).unwrap(), 6);
    assert!(run(Input::Blocks(&[Lanes::ZERO; 5]), [2, 3], None).is_err());
    assert!(run(Input::Planes(&[0.0; 12]), [2, 3], None).is_err());
    assert!(run(Input::Blocks(&[Lanes::ZERO; 6]), [2, 3], Some(&[Lanes::ZERO; 5])).is_err());
}
