//! What tests hold convolutions to.

use super::Geometry;

/// Straight from the definition, in double precision.
pub fn reference(
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
                for (c, i, j) in
                    (0..per_group).flat_map(|c| (0..kh).flat_map(move |i| (0..kw).map(move |j| (c, i, j))))
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

pub fn noise(count: usize, seed: u32) -> Vec<f32> {
    let mut state = seed | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

pub fn near(got: &[f32], wanted: &[f32]) {
    assert_eq!(got.len(), wanted.len());
    for (index, (got, wanted)) in got.iter().zip(wanted).enumerate() {
        assert!((got - wanted).abs() <= 1e-4 * (1.0 + wanted.abs()), "{index}: {got} for {wanted}");
    }
}
