//! Boxes with their labels. Pure.

use super::{Canvas, Line, Rgb, ink_on};
use crate::picture::frame::Bounds;

/// A box and what is written on it.
#[derive(Clone, Debug)]
pub struct Labelled {
    /// In pixels of the picture that is drawn on.
    pub bounds: Bounds,
    /// Nothing is written where it is empty.
    pub text: String,
    pub color: Rgb,
}

/// How thick lines are and how high text is, in pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Style {
    pub line: u32,
    pub text: f32,
}

impl Style {
    /// What is seen well on a picture of this size.
    pub fn on((width, height): (usize, usize)) -> Self {
        let side = (width + height) as f32 / 2.0;
        Self { line: (side * 0.004).round().max(1.0) as u32, text: (side * 0.028).round().max(10.0) }
    }
}

/// Draws boxes, the first on top of the others, and above them their labels.
pub fn boxes(canvas: &mut Canvas<'_>, all: &[Labelled], style: Style) {
    for of in all.iter().rev() {
        canvas.outline(of.bounds, style.line, of.color);
    }
    for of in all.iter().rev().filter(|of| !of.text.is_empty()) {
        label(canvas, of, style);
    }
}

/// Writes the text above the upper edge of the box, or below it where the picture ends.
fn label(canvas: &mut Canvas<'_>, of: &Labelled, style: Style) {
    if !of.bounds.is_finite() {
        return;
    }
    let (width, height) = canvas.size();
    let (width, height) = (width as f64, height as f64);
    let space = (f64::from(style.text) * 0.25).round().max(1.0);
    let line = Line::new(&of.text, style.text, (width - 2.0 * space) as f32);
    let (across, down) = (f64::from(line.width()) + 2.0 * space, f64::from(line.height()) + space / 2.0);
    let edge = f64::from(style.line / 2);
    let (x0, y0) = (of.bounds.x0.round() - edge, of.bounds.y0.round() - edge);
    let left = x0.min(width - across.ceil()).max(0.0);
    let top = if y0 >= down { y0 - down.ceil() } else { y0.min(height - down.ceil()).max(0.0) };
    let plate = Bounds { x0: left, y0: top, x1: left + across.ceil(), y1: top + down.ceil() };
    canvas.fill(plate, of.color, 1.0);
    canvas.text(&line, [left + space, top + space / 4.0], ink_on(of.color));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(bounds: [f64; 4], text: &str) -> Vec<u8> {
        let mut rgb = vec![0; 60 * 40 * 3];
        let mut canvas = Canvas::new(&mut rgb, (60, 40)).unwrap();
        let of = Labelled { bounds: Bounds::new(bounds), text: text.into(), color: [255, 200, 0] };
        boxes(&mut canvas, &[of], Style::on((60, 40)));
        rgb
    }

    fn is_plate(rgb: &[u8], x: usize, y: usize) -> bool {
        rgb[(y * 60 + x) * 3..][..3] == [255, 200, 0]
    }

    #[test]
    fn a_label_stands_above_its_box_or_within_the_picture() {
        let above = drawn([10.0, 20.0, 50.0, 35.0], "a");
        assert!(is_plate(&above, 10, 19) && is_plate(&above, 10, 10) && !is_plate(&above, 12, 24));
        assert!(above.chunks(3).any(|pixel| pixel == [0; 3]));
        let at_the_top = drawn([10.0, 2.0, 50.0, 35.0], "a");
        assert!(is_plate(&at_the_top, 10, 4) && is_plate(&at_the_top, 11, 10));
        let at_the_right = drawn([55.0, 20.0, 59.0, 35.0], "wide");
        assert!(is_plate(&at_the_right, 59, 19) && is_plate(&at_the_right, 35, 19));
        assert!(!is_plate(&drawn([10.0, 20.0, 50.0, 35.0], ""), 10, 15));
    }

    #[test]
    fn any_label_and_any_box_is_survived() {
        for text in ["", "\u{0}", "🦀 道路 العربية", &"m".repeat(5000)] {
            for bounds in [[-1e9, -1e9, 1e9, 1e9], [f64::NAN; 4], [30., 20., 30., 20.], [90., 90., 99., 99.]]
            {
                drawn(bounds, text);
            }
        }
        let mut one = vec![0; 3];
        let mut canvas = Canvas::new(&mut one, (1, 1)).unwrap();
        let of = Labelled { bounds: Bounds::new([0., 0., 1., 1.]), text: "a".into(), color: [9; 3] };
        boxes(&mut canvas, &[of], Style::on((1, 1)));
    }
}
