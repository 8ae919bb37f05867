//! EXIF orientation: stored pixels to upright ones.

use super::frame::turns_sides;
use image::metadata::Orientation;

/// Writes the upright picture into `out` and gives its width and height. `rgb` is `width * height * 3` bytes.
pub fn upright(
    rgb: &[u8],
    width: u32,
    height: u32,
    orientation: Orientation,
    out: &mut Vec<u8>,
) -> (u32, u32) {
    let (w, h) = (width as usize, height as usize);
    // Where the pixel of the upright picture at (x, y) is stored.
    let source: fn(usize, usize, usize, usize) -> (usize, usize) = match orientation {
        Orientation::NoTransforms => |x, y, _, _| (x, y),
        Orientation::FlipHorizontal => |x, y, w, _| (w - 1 - x, y),
        Orientation::Rotate180 => |x, y, w, h| (w - 1 - x, h - 1 - y),
        Orientation::FlipVertical => |x, y, _, h| (x, h - 1 - y),
        Orientation::Rotate90FlipH => |x, y, _, _| (y, x),
        Orientation::Rotate90 => |x, y, _, h| (y, h - 1 - x),
        Orientation::Rotate270FlipH => |x, y, w, h| (w - 1 - y, h - 1 - x),
        Orientation::Rotate270 => |x, y, w, _| (w - 1 - y, x),
    };
    let (new_w, new_h) = if turns_sides(orientation) { (height, width) } else { (width, height) };
    out.clear();
    out.reserve(rgb.len());
    for y in 0..new_h as usize {
        for x in 0..new_w as usize {
            let (sx, sy) = source(x, y, w, h);
            let at = (sy * w + sx) * 3;
            out.extend_from_slice(&rgb[at..at + 3]);
        }
    }
    (new_w, new_h)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The six pixels of a 3x2 picture, turned by each of the eight orientations.
    #[test]
    fn the_eight_orientations() {
        let rgb: Vec<u8> = (0..6u8).flat_map(|v| [v; 3]).collect();
        let cases: [(u8, u32, [u8; 6]); 8] = [
            (1, 3, [0, 1, 2, 3, 4, 5]),
            (2, 3, [2, 1, 0, 5, 4, 3]),
            (3, 3, [5, 4, 3, 2, 1, 0]),
            (4, 3, [3, 4, 5, 0, 1, 2]),
            (5, 2, [0, 3, 1, 4, 2, 5]),
            (6, 2, [3, 0, 4, 1, 5, 2]),
            (7, 2, [5, 2, 4, 1, 3, 0]),
            (8, 2, [2, 5, 1, 4, 0, 3]),
        ];
        for (exif, width, wanted) in cases {
            let mut out = vec![];
            let (w, h) = upright(&rgb, 3, 2, Orientation::from_exif(exif).unwrap(), &mut out);
            let got: Vec<u8> = out.chunks(3).map(|p| p[0]).collect();
            assert_eq!((w, h, got), (width, 6 / width, wanted.to_vec()), "orientation {exif}");
        }
    }
}
