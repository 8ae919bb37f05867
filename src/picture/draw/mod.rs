//! Shapes and text drawn on a picture, with smooth edges. Pure.
//!
//! Positions are continuous, as in `frame`: the pixel in column 3 covers 3 to 4. What lies outside of the picture is
//! not drawn, and what is no finite number draws nothing.

mod boxes;
mod mask;
mod text;

pub use boxes::{Labelled, Style, boxes};
pub use mask::tint;
pub use text::Line;

use super::frame::Bounds;
use std::ops::Range;

/// A colour, red first.
pub type Rgb = [u8; 3];

/// A picture that is drawn on: RGB, 8 bits.
pub struct Canvas<'a> {
    rgb: &'a mut [u8],
    width: usize,
    height: usize,
}

impl<'a> Canvas<'a> {
    /// `None` where there are fewer bytes than such a picture has.
    pub fn new(rgb: &'a mut [u8], (width, height): (u32, u32)) -> Option<Self> {
        let (width, height) = (width as usize, height as usize);
        let bytes = width.checked_mul(height)?.checked_mul(3)?;
        (rgb.len() >= bytes).then_some(Self { rgb, width, height })
    }

    pub fn size(&self) -> (usize, usize) {
        (self.width, self.height)
    }

    /// Lays a colour over one pixel, `weight` of it from 0 to 1. Nothing happens outside of the picture.
    pub fn blend(&mut self, x: usize, y: usize, color: Rgb, weight: f32) {
        if x >= self.width || y >= self.height {
            return;
        }
        let at = (y * self.width + x) * 3;
        if let Some(pixel) = self.rgb.get_mut(at..at + 3) {
            for (level, tint) in pixel.iter_mut().zip(color) {
                let (under, over) = (f32::from(*level), f32::from(tint));
                *level = (under + (over - under) * weight.clamp(0.0, 1.0)).round() as u8;
            }
        }
    }

    /// Fills a rectangle; pixels that it covers in part take as much of the colour.
    pub fn fill(&mut self, bounds: Bounds, color: Rgb, opacity: f32) {
        let columns = covered(bounds.x0, bounds.x1, self.width);
        let rows = covered(bounds.y0, bounds.y1, self.height);
        for y in rows {
            let down = share(bounds.y0, bounds.y1, y);
            for x in columns.clone() {
                self.blend(x, y, color, share(bounds.x0, bounds.x1, x) * down * opacity);
            }
        }
    }

    /// Draws the edges of a rectangle, whole pixels of them.
    pub fn outline(&mut self, bounds: Bounds, thickness: u32, color: Rgb) {
        if !bounds.is_finite() {
            return;
        }
        let thickness = f64::from(thickness);
        let out = (thickness / 2.0).floor();
        let [x0, y0, x1, y1] = bounds.corners().map(f64::round);
        let outer = Bounds { x0: x0 - out, y0: y0 - out, x1: x1 + out, y1: y1 + out };
        // Where there is no room for an inside, the edges meet.
        let (across, along) = (thickness.min(outer.width() / 2.0), thickness.min(outer.height() / 2.0));
        let inner_top = outer.y0 + along;
        let inner_bottom = outer.y1 - along;
        self.fill(Bounds { y1: inner_top, ..outer }, color, 1.0);
        self.fill(Bounds { y0: inner_bottom, ..outer }, color, 1.0);
        let middle = Bounds { y0: inner_top, y1: inner_bottom, ..outer };
        self.fill(Bounds { x1: outer.x0 + across, ..middle }, color, 1.0);
        self.fill(Bounds { x0: outer.x1 - across, ..middle }, color, 1.0);
    }

    /// Draws a disc.
    pub fn disc(&mut self, [x, y]: [f64; 2], radius: f64, color: Rgb) {
        self.line([x, y], [x, y], radius * 2.0, color);
    }

    /// Draws a line with round ends.
    pub fn line(&mut self, from: [f64; 2], to: [f64; 2], thickness: f64, color: Rgb) {
        let radius = thickness / 2.0;
        if !from.iter().chain(&to).chain([&radius]).all(|n| n.is_finite()) || radius <= 0.0 {
            return;
        }
        let reach = radius + 1.0;
        let rows = covered(from[1].min(to[1]) - reach, from[1].max(to[1]) + reach, self.height);
        let columns = covered(from[0].min(to[0]) - reach, from[0].max(to[0]) + reach, self.width);
        for y in rows {
            for x in columns.clone() {
                let away = distance([x as f64 + 0.5, y as f64 + 0.5], from, to);
                let weight = (radius + 0.5 - away).clamp(0.0, 1.0);
                if weight > 0.0 {
                    self.blend(x, y, color, weight as f32);
                }
            }
        }
    }

    /// Writes text, whose line begins at this left and top.
    pub fn text(&mut self, line: &Line, [left, top]: [f64; 2], color: Rgb) {
        line.draw([left as f32, top as f32], |x, y, weight| {
            if let (Ok(x), Ok(y)) = (usize::try_from(x), usize::try_from(y)) {
                self.blend(x, y, color, weight);
            }
        });
    }
}

/// The pixels along an axis that lie between two positions, wholly or in part.
fn covered(from: f64, to: f64, length: usize) -> Range<usize> {
    if from.is_nan() || to.is_nan() || from >= to {
        return 0..0;
    }
    // Casts take what is below 0 to 0.
    let (first, last) = (from.floor() as usize, to.ceil() as usize);
    first.min(length)..last.min(length)
}

/// How much of a pixel along an axis lies between two positions.
fn share(from: f64, to: f64, at: usize) -> f32 {
    let at = at as f64;
    ((at + 1.0).min(to) - at.max(from)).clamp(0.0, 1.0) as f32
}

/// How far a point is from a line between two others.
fn distance([x, y]: [f64; 2], [ax, ay]: [f64; 2], [bx, by]: [f64; 2]) -> f64 {
    let (dx, dy) = (bx - ax, by - ay);
    let length = dx * dx + dy * dy;
    let along = if length > 0.0 { (((x - ax) * dx + (y - ay) * dy) / length).clamp(0.0, 1.0) } else { 0.0 };
    (x - ax - along * dx).hypot(y - ay - along * dy)
}

/// Black or white, whichever is read better on a colour.
pub fn ink_on(color: Rgb) -> Rgb {
    if super::pixels::luma(color) > 140 { [0; 3] } else { [255; 3] }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn red(rgb: &[u8]) -> Vec<u8> {
        rgb.chunks(3).map(|p| p[0]).collect()
    }

    #[test]
    fn a_fill_covers_pixels_in_part() {
        let mut rgb = vec![0; 4 * 2 * 3];
        let mut canvas = Canvas::new(&mut rgb, (4, 2)).unwrap();
        canvas.fill(Bounds::new([0.5, -3.0, 2.25, 1.0]), [200, 0, 0], 1.0);
        assert_eq!(red(&rgb), [100, 200, 50, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn an_outline_has_whole_pixels() {
        let mut rgb = vec![0; 6 * 5 * 3];
        let mut canvas = Canvas::new(&mut rgb, (6, 5)).unwrap();
        canvas.outline(Bounds::new([0.8, 1.2, 5.1, 4.9]), 1, [9, 0, 0]);
        let rows: Vec<Vec<u8>> = red(&rgb).chunks(6).map(<[u8]>::to_vec).collect();
        assert_eq!(
            rows,
            [[0; 6], [0, 9, 9, 9, 9, 0], [0, 9, 0, 0, 9, 0], [0, 9, 0, 0, 9, 0], [0, 9, 9, 9, 9, 0]]
        );
    }

    #[test]
    fn nothing_odd_is_drawn_and_nothing_breaks() {
        let mut rgb = vec![7; 5 * 5 * 3];
        assert!(Canvas::new(&mut rgb, (6, 5)).is_none());
        let mut canvas = Canvas::new(&mut rgb, (5, 5)).unwrap();
        for odd in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            canvas.outline(Bounds::new([odd, 0.0, 3.0, 3.0]), 2, [0; 3]);
            canvas.disc([odd, 1.0], 2.0, [0; 3]);
            canvas.line([0.0, 1.0], [1.0, odd], 2.0, [0; 3]);
            canvas.disc([2.0, 2.0], odd, [0; 3]);
        }
        canvas.fill(Bounds::new([4.0, 4.0, 1.0, 1.0]), [0; 3], 1.0);
        canvas.disc([-90.0, 1e300], 3.0, [0; 3]);
        assert!(rgb.iter().all(|level| *level == 7));
        // A box larger than any picture is drawn without work for what is outside.
        let mut canvas = Canvas::new(&mut rgb, (5, 5)).unwrap();
        canvas.fill(Bounds::new([-1e300, -1e300, 1e300, 1e300]), [0; 3], 1.0);
        assert!(rgb.iter().all(|level| *level == 0));
    }

    #[test]
    fn a_disc_is_round_and_smooth() {
        let mut rgb = vec![0; 7 * 7 * 3];
        Canvas::new(&mut rgb, (7, 7)).unwrap().disc([3.5, 3.5], 2.5, [200, 0, 0]);
        let levels = red(&rgb);
        assert_eq!((levels[3 * 7 + 3], levels[3 * 7 + 1], levels[0]), (200, 200, 0));
        assert!((1..200).contains(&levels[7 + 2]), "{}", levels[7 + 2]);
        assert!((0..7).all(|y| (0..7).all(|x| levels[y * 7 + x] == levels[x * 7 + y])));
    }
}
