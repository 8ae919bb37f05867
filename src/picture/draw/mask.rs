//! A mask laid over a picture as a tint. Pure.

use super::{Canvas, Rgb};
use crate::picture::frame::{Bounds, Frame, Space, turns_sides};
use crate::picture::grid::{self, Between};

/// Tints what a mask has above `threshold`, `opacity` of the colour. The mask lies over the whole picture as it was sent,
/// `width` columns and `height` rows of it, and the canvas is that picture turned upright.
///
/// Nothing is drawn where the mask does not have as many values.
pub fn tint(
    canvas: &mut Canvas<'_>,
    mask: &[f32],
    (width, height): (usize, usize),
    frame: &Frame,
    (color, opacity, threshold): (Rgb, f32, f32),
) {
    if width.checked_mul(height) != Some(mask.len()) {
        return;
    }
    let Some(there) = extent(mask, width, threshold) else { return };
    let (sent, upright) = (frame.size(Space::Sent), frame.size(Space::Upright));
    let cells = [width as f64 / f64::from(sent.0), height as f64 / f64::from(sent.1)];
    // Between its cells the mask reaches half of one further.
    let [x0, y0, x1, y1] = there.map(|n| n as f64);
    let sent_bounds = Bounds {
        x0: (x0 - 0.5) / cells[0],
        y0: (y0 - 0.5) / cells[1],
        x1: (x1 + 0.5) / cells[0],
        y1: (y1 + 0.5) / cells[1],
    };
    let drawn = frame.bounds(sent_bounds, Space::Sent, Space::Upright).clipped(upright);
    let turned = turns_sides(frame.orientation);
    // Where a column or row of the picture lies in the mask, and along which of its axes.
    let along = |axis: usize, from: f64, to: f64| -> Vec<(usize, Between)> {
        let across = usize::from((axis == 1) != turned);
        let of = move |n: usize| {
            let centre = n as f64 + 0.5;
            let point = if axis == 0 { [centre, 0.0] } else { [0.0, centre] };
            let there = frame.point(point, Space::Upright, Space::Sent)[across];
            (n, Between::new(there * cells[across], [width, height][across]))
        };
        (from.floor() as usize..to.ceil() as usize).map(of).collect()
    };
    let (columns, rows) = (along(0, drawn.x0, drawn.x1), along(1, drawn.y0, drawn.y1));
    for (y, row) in &rows {
        for (x, column) in &columns {
            let (across, down) = if turned { (*row, *column) } else { (*column, *row) };
            if grid::value(mask, width, across, down) > threshold {
                canvas.blend(*x, *y, color, opacity);
            }
        }
    }
}

/// The first and last column and row, the last not included, of what is above a threshold.
fn extent(mask: &[f32], width: usize, threshold: f32) -> Option<[usize; 4]> {
    let mut found: Option<[usize; 4]> = None;
    for (y, row) in mask.chunks_exact(width.max(1)).enumerate() {
        let Some(first) = row.iter().position(|value| *value > threshold) else { continue };
        let last = row.iter().rposition(|value| *value > threshold).unwrap_or(first) + 1;
        found = Some(match found {
            None => [first, y, last, y + 1],
            Some([x0, y0, x1, _]) => [x0.min(first), y0, x1.max(last), y + 1],
        });
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Region;
    use image::metadata::Orientation;

    fn drawn(orientation: Orientation, upright: (u32, u32), mask: &[f32], size: (usize, usize)) -> Vec<u8> {
        let region = Region { left: 0.0, top: 0.0, width: 1.0, height: 1.0 };
        let frame = Frame { orientation, upright, region, input: (1, 1) };
        let mut rgb = vec![0; (upright.0 * upright.1 * 3) as usize];
        let mut canvas = Canvas::new(&mut rgb, upright).unwrap();
        tint(&mut canvas, mask, size, &frame, ([200, 0, 0], 0.5, 0.5));
        rgb.chunks(3).map(|pixel| pixel[0] / 100).collect()
    }

    #[test]
    fn a_mask_of_the_picture_that_was_sent_is_turned_upright() {
        // Stored 3 wide and 2 high; the first pixel of the first row is in the mask.
        let mask = [1.0, 0.0, 0.0, 0.0, 0.0, 0.0];
        assert_eq!(drawn(Orientation::NoTransforms, (3, 2), &mask, (3, 2)), [1, 0, 0, 0, 0, 0]);
        assert_eq!(drawn(Orientation::FlipHorizontal, (3, 2), &mask, (3, 2)), [0, 0, 1, 0, 0, 0]);
        // Turned clockwise, what is first comes last in the first row.
        assert_eq!(drawn(Orientation::Rotate90, (2, 3), &mask, (3, 2)), [0, 1, 0, 0, 0, 0]);
        assert_eq!(drawn(Orientation::Rotate270, (2, 3), &mask, (3, 2)), [0, 0, 0, 0, 1, 0]);
    }

    #[test]
    fn a_coarse_mask_grows_and_an_odd_one_draws_nothing() {
        assert_eq!(drawn(Orientation::NoTransforms, (4, 1), &[1.0, 0.0], (2, 1)), [1, 1, 0, 0]);
        for mask in [&[f32::NAN; 2][..], &[0.0; 2], &[], &[1.0; 3]] {
            assert_eq!(drawn(Orientation::NoTransforms, (4, 1), mask, (2, 1)), [0; 4], "{mask:?}");
        }
    }
}
