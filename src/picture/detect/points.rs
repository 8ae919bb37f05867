//! Points of what was found: joints of a body, corners of a sign. Pure.

use super::Mismatch;
use super::rows::numbers;
use crate::picture::frame::{Frame, Space};
use crate::tensor::Tensor;

/// A point in pixels of the picture that was sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    pub at: [f64; 2],
    /// 1 where the detector gives none.
    pub score: f32,
}

/// Reads points out of a row: `values` numbers each, x and y in pixels of the input (or with its sides as 1, where
/// `normalised`), then a score where there are three. What is no finite number is a point that is nowhere (NaN) with a score of 0.
pub fn points(row: &Tensor, values: usize, normalised: bool, frame: &Frame) -> Result<Vec<Point>, Mismatch> {
    let numbers = numbers(row);
    if !(2..=3).contains(&values) || !numbers.len().is_multiple_of(values) {
        return Err(Mismatch(format!("{row:?} does not hold points of {values} numbers")));
    }
    let sides = if normalised { [f64::from(frame.input.0), f64::from(frame.input.1)] } else { [1.0; 2] };
    let read = |point: &[f32]| {
        let at = [f64::from(point[0]) * sides[0], f64::from(point[1]) * sides[1]];
        let score = point.get(2).copied().unwrap_or(1.0);
        if at.iter().all(|n| n.is_finite()) && score.is_finite() {
            Point { at: frame.point(at, Space::Input, Space::Sent), score }
        } else {
            Point { at: [f64::NAN; 2], score: 0.0 }
        }
    };
    Ok(numbers.chunks_exact(values).map(read).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Region;
    use image::metadata::Orientation;

    #[test]
    fn points_are_turned_back() {
        let region = Region { left: 0.0, top: 0.0, width: 40.0, height: 20.0 };
        let frame = Frame { orientation: Orientation::Rotate90, upright: (40, 20), region, input: (10, 10) };
        let of = |values: usize, normalised: bool, numbers: Vec<f32>| {
            let row = Tensor::from_vec(vec![numbers.len()], numbers).unwrap();
            points(&row, values, normalised, &frame)
                .map(|all| all.iter().map(|p| (p.at, p.score)).collect::<Vec<_>>())
        };
        // (4, 2) of the upright picture, which was stored 20 wide and 40 high.
        let there = [2.0, 36.0];
        let read = of(3, false, vec![1., 1., 0.5, f32::NAN, 1., 1.]).unwrap();
        assert_eq!(read[0], (there, 0.5));
        assert!(read[1].0.iter().all(|n| n.is_nan()) && read[1].1 == 0.0, "{read:?}");
        assert_eq!(of(2, true, vec![0.1, 0.1]).unwrap()[0].1, 1.0);
        assert!(of(2, false, vec![1.0; 3]).is_err() && of(4, false, vec![1.0; 4]).is_err());
        assert_eq!(of(3, false, vec![]), Ok(vec![]));
    }
}
