//! Masks of what was found, at the size of the picture. Pure.
//!
//! A mask lies over the whole input of the model, mostly coarser than it. It is either given as it is, or as the sum of
//! prototypes that all boxes share, each times a coefficient of the box's row (YOLACT and the segmenting YOLOs).

use super::Mismatch;
use super::rows::numbers;
use crate::picture::frame::{Bounds, Frame, Space, turns_sides};
use crate::picture::grid::{self, Between};
use crate::tensor::Tensor;
use std::borrow::Cow;

/// A mask over the whole input of the model.
#[derive(Clone, Debug)]
pub struct Mask<'a> {
    values: Cow<'a, [f32]>,
    width: usize,
    height: usize,
    /// Whether the values are taken from 0 to 1 by the logistic function.
    logits: bool,
}

impl<'a> Mask<'a> {
    /// A mask that an output has, `[H, W]` or with axes of length 1 before that.
    pub fn given(tensor: &'a Tensor, logits: bool) -> Result<Self, Mismatch> {
        match *tensor.shape() {
            [ref ones @ .., height, width] if ones.iter().all(|n| *n == 1) && height > 0 && width > 0 => {
                Ok(Self { values: numbers(tensor), width, height, logits })
            }
            _ => Err(Mismatch(format!("{tensor:?} is no mask, which has axes [H, W]"))),
        }
    }

    /// The sum of `prototypes`, `[K, H, W]`, each times one of the K `coefficients`.
    pub fn of_prototypes(coefficients: &Tensor, prototypes: &Tensor) -> Result<Self, Mismatch> {
        let mut shape = prototypes.shape();
        while let [1, rest @ ..] = shape
            && rest.len() >= 3
        {
            shape = rest;
        }
        let [count, height, width] = *shape else {
            return Err(Mismatch(format!("the prototypes are {prototypes:?}, not [K, H, W]")));
        };
        let weights = numbers(coefficients);
        if weights.len() != count || height == 0 || width == 0 {
            return Err(Mismatch(format!(
                "{count} prototypes of {height}x{width}, and {} coefficients",
                weights.len()
            )));
        }
        let mut values = vec![0f32; height * width];
        for (weight, plane) in weights.iter().zip(numbers(prototypes).chunks_exact(height * width)) {
            for (value, prototype) in values.iter_mut().zip(plane) {
                *value += weight * prototype;
            }
        }
        Ok(Self { values: values.into(), width, height, logits: true })
    }

    /// The mask within a box in pixels of the picture that was sent, 0 to 1, and 0 elsewhere: rows of the picture as it
    /// was sent, brought to `size` (width and height).
    pub fn over_picture(&self, bounds: Bounds, frame: &Frame, size: (u32, u32)) -> Vec<f32> {
        let (columns, rows) = self.places(bounds, frame, size);
        let turned = turns_sides(frame.orientation);
        let mut out = vec![0f32; size.0 as usize * size.1 as usize];
        for (line, row) in out.chunks_exact_mut((size.0 as usize).max(1)).zip(&rows) {
            let Some(row) = row else { continue };
            for (value, column) in line.iter_mut().zip(&columns) {
                let Some(column) = column else { continue };
                let (x, y) = if turned { (row, column) } else { (column, row) };
                *value = self.level(*x, *y);
            }
        }
        out
    }

    /// Where each column and each row of the result lies in the mask, `None` outside of the box and of the input.
    fn places(
        &self,
        bounds: Bounds,
        frame: &Frame,
        size: (u32, u32),
    ) -> (Vec<Option<Between>>, Vec<Option<Between>>) {
        let sent = frame.size(Space::Sent);
        let turned = turns_sides(frame.orientation);
        let along = |axis: usize, count: u32, length: u32, low: f64, high: f64| {
            let across = usize::from((axis == 1) != turned);
            let (input, cells) =
                if across == 0 { (frame.input.0, self.width) } else { (frame.input.1, self.height) };
            let at = move |n: u32| {
                let place = (f64::from(n) + 0.5) / f64::from(count) * f64::from(length);
                let point = if axis == 0 { [place, 0.0] } else { [0.0, place] };
                let there = frame.point(point, Space::Sent, Space::Input)[across] / f64::from(input);
                let within = (low..high).contains(&place) && (0.0..=1.0).contains(&there);
                within.then(|| Between::new(there * cells as f64, cells))
            };
            (0..count).map(at).collect()
        };
        (along(0, size.0, sent.0, bounds.x0, bounds.x1), along(1, size.1, sent.1, bounds.y0, bounds.y1))
    }

    fn level(&self, x: Between, y: Between) -> f32 {
        let value = grid::value(&self.values, self.width, x, y);
        let value = if self.logits { 1.0 / (1.0 + (-value).exp()) } else { value };
        if value.is_nan() { 0.0 } else { value.clamp(0.0, 1.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Region;
    use image::metadata::Orientation;

    fn frame(orientation: Orientation, upright: (u32, u32), input: (u32, u32)) -> Frame {
        let region = Region { left: 0.0, top: 0.0, width: upright.0.into(), height: upright.1.into() };
        Frame { orientation, upright, region, input }
    }

    #[test]
    fn a_mask_is_turned_back_and_cut_to_its_box() {
        // The left half of the upright picture.
        let tensor = Tensor::from_vec(vec![1, 1, 2], vec![1f32, 0.0]).unwrap();
        let mask = Mask::given(&tensor, false).unwrap();
        let whole = Bounds::new([0., 0., 9., 9.]);
        let upright = frame(Orientation::NoTransforms, (4, 2), (8, 8));
        assert_eq!(mask.over_picture(whole, &upright, (4, 2)), [1.0, 0.75, 0.25, 0.0, 1.0, 0.75, 0.25, 0.0]);
        // Stored 2 wide and 4 high; turned by 90 degrees clockwise what is below comes to the left.
        let turned = frame(Orientation::Rotate90, (4, 2), (8, 8));
        assert_eq!(mask.over_picture(whole, &turned, (2, 4)), [0.0, 0.0, 0.25, 0.25, 0.75, 0.75, 1.0, 1.0]);
        let part = Bounds::new([1.0, 0.0, 2.0, 1.0]);
        assert_eq!(mask.over_picture(part, &upright, (4, 2)), [0.0, 0.75, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
        assert_eq!(mask.over_picture(whole, &upright, (2, 1)), [1.0, 0.0]);
    }

    #[test]
    fn prototypes_are_weighed_and_taken_from_0_to_1() {
        let prototypes = Tensor::from_vec(vec![1, 2, 1, 1], vec![2f32, -1.0]).unwrap();
        let of = |coefficients: Vec<f32>| {
            let coefficients = Tensor::from_vec(vec![coefficients.len()], coefficients).unwrap();
            let mask = Mask::of_prototypes(&coefficients, &prototypes).map_err(|error| error.to_string())?;
            let whole = frame(Orientation::NoTransforms, (1, 1), (1, 1));
            Ok(mask.over_picture(Bounds::new([0., 0., 1., 1.]), &whole, (1, 1))[0])
        };
        assert_eq!(of(vec![1.0, 2.0]), Ok(0.5));
        assert_eq!(of(vec![90.0, -90.0]), Ok(1.0));
        assert_eq!(of(vec![f32::NAN, 1.0]), Ok(0.0));
        assert_eq!(of(vec![1.0]), Err::<f32, _>("2 prototypes of 1x1, and 1 coefficients".to_owned()));
    }
}
