//! A line of text in the font that rserve brings with it. Pure.
//!
//! Latin, Greek and Cyrillic letters are drawn as they are; any other sign is a box, one after another from left to
//! right.

use ab_glyph::{Font, FontRef, GlyphId, PxScale, ScaleFont, point};
use std::sync::LazyLock;

/// DejaVu Sans Bold, of which font.txt tells.
static FONT: LazyLock<Option<FontRef<'static>>> =
    LazyLock::new(|| FontRef::try_from_slice(include_bytes!("font.ttf")).ok());

/// The most signs of a line; what comes after is left out.
const MOST_SIGNS: usize = 256;

/// A line of text that is laid out.
#[derive(Debug)]
pub struct Line {
    /// Each sign and where it begins.
    glyphs: Vec<(GlyphId, f32)>,
    size: f32,
    width: f32,
    /// How far below its top its letters stand.
    ascent: f32,
}

impl Line {
    /// Lays out `text` in a line of `size` pixels height. What is longer than `most` pixels ends in "…".
    pub fn new(text: &str, size: f32, most: f32) -> Self {
        let mut line = Self { glyphs: vec![], size, width: 0.0, ascent: 0.0 };
        let Some(font) = FONT.as_ref() else { return line };
        let scaled = font.as_scaled(PxScale::from(size));
        line.ascent = scaled.ascent();
        let mut signs =
            text.chars().filter(|c| !is_unseen(*c)).map(|c| if c.is_whitespace() { ' ' } else { c });
        for sign in signs.by_ref().take(MOST_SIGNS) {
            let glyph = scaled.glyph_id(sign);
            line.glyphs.push((glyph, line.width));
            line.width += scaled.h_advance(glyph);
        }
        if line.width > most || signs.next().is_some() {
            let end = scaled.glyph_id('…');
            let room = most - scaled.h_advance(end);
            while line.width > room
                && let Some((_, at)) = line.glyphs.pop()
            {
                line.width = at;
            }
            line.glyphs.push((end, line.width));
            line.width += scaled.h_advance(end);
        }
        line
    }

    pub fn width(&self) -> f32 {
        self.width
    }

    pub fn height(&self) -> f32 {
        self.size
    }

    /// Hands each pixel that the text covers to `draw`, with how much of it.
    pub(super) fn draw(&self, [left, top]: [f32; 2], mut draw: impl FnMut(i64, i64, f32)) {
        let Some(font) = FONT.as_ref() else { return };
        for (glyph, at) in &self.glyphs {
            let place = point(left + at, top + self.ascent);
            let glyph = glyph.with_scale_and_position(PxScale::from(self.size), place);
            if let Some(outline) = font.outline_glyph(glyph) {
                let corner = outline.px_bounds().min;
                outline.draw(|x, y, weight| {
                    draw(corner.x as i64 + i64::from(x), corner.y as i64 + i64::from(y), weight);
                });
            }
        }
    }
}

/// Signs that steer text and are not seen: controls, marks of direction, joiners.
fn is_unseen(sign: char) -> bool {
    (sign.is_control() && !sign.is_whitespace())
        || matches!(sign, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ink(text: &str) -> Vec<(i64, i64)> {
        let mut pixels = vec![];
        Line::new(text, 20.0, 1000.0).draw([3.0, 2.0], |x, y, weight| {
            if weight > 0.5 {
                pixels.push((x, y));
            }
        });
        pixels
    }

    #[test]
    fn letters_stand_within_their_line() {
        let line = Line::new("Äpfel 0.97", 20.0, 1000.0);
        let pixels = ink("Äpfel 0.97");
        assert!(pixels.len() > 200);
        assert!(
            pixels
                .iter()
                .all(|(x, y)| { (3..=3 + line.width().ceil() as i64).contains(x) && (2..=22).contains(y) })
        );
    }

    #[test]
    fn signs_that_the_font_has_not_are_boxes() {
        assert!(!ink("道").is_empty());
        assert_eq!(ink("道"), ink("路"));
        assert_ne!(ink("道"), ink("A"));
        assert_eq!(ink("a\u{200b}\u{0}b\n"), ink("ab"));
    }

    #[test]
    fn a_line_too_long_is_cut_and_says_so() {
        let whole = Line::new("a very long name", 16.0, 1e9);
        let cut = Line::new("a very long name", 16.0, 60.0);
        assert!(cut.width() <= 60.0 && cut.glyphs.len() < whole.glyphs.len());
        let many = Line::new(&"x".repeat(100_000), 16.0, 1e9);
        assert!(many.glyphs.len() <= MOST_SIGNS + 1);
        for size in [0.0, 1.0, -3.0, f32::NAN] {
            Line::new("x", size, 5.0).draw([0.0, 0.0], |_, _, _| {});
        }
        Line::new("x", 10.0, 0.0).draw([f32::NAN, 1e30], |_, _, _| {});
    }
}
