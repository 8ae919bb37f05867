//! Held to the definition, for any shape.

use super::reference::{near, noise, reference};
use super::*;
use proptest::prelude::*;

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
