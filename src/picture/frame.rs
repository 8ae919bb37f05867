//! Where a tensor lies in the picture that was sent. Pure.
//!
//! A file holds a picture as it was stored; EXIF says how it is turned upright; a region of that is brought to the size
//! that a model takes. A [`Frame`] knows all three and takes points and boxes from one to another.
//!
//! Positions are continuous: the pixel in column 3 covers 3 to 4, and its centre is at 3.5.

use crate::plan::{Origin, Region};
use image::metadata::Orientation;

/// A rectangle with its edges along the axes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounds {
    pub x0: f64,
    pub y0: f64,
    pub x1: f64,
    pub y1: f64,
}

impl Bounds {
    pub fn new([x0, y0, x1, y1]: [f64; 4]) -> Self {
        Self { x0, y0, x1, y1 }
    }

    pub fn corners(self) -> [f64; 4] {
        [self.x0, self.y0, self.x1, self.y1]
    }

    /// The width; negative where the corners are the wrong way round.
    pub fn width(self) -> f64 {
        self.x1 - self.x0
    }

    /// The height; negative where the corners are the wrong way round.
    pub fn height(self) -> f64 {
        self.y1 - self.y0
    }

    pub fn is_finite(self) -> bool {
        self.corners().iter().all(|edge| edge.is_finite())
    }

    /// The rectangle moved out by `share` of its sides on every side (or in, where it is negative).
    pub fn grown(self, share: f64) -> Self {
        let (x, y) = (self.width() * share, self.height() * share);
        Self { x0: self.x0 - x, y0: self.y0 - y, x1: self.x1 + x, y1: self.y1 + y }
    }

    /// The part within a picture of this size.
    pub fn clipped(self, (width, height): (u32, u32)) -> Self {
        let (w, h) = (f64::from(width), f64::from(height));
        Self {
            x0: self.x0.clamp(0.0, w),
            y0: self.y0.clamp(0.0, h),
            x1: self.x1.clamp(0.0, w),
            y1: self.y1.clamp(0.0, h),
        }
    }

    /// The whole pixels that Pillow's `crop` takes for the part within a picture of this size: edges are rounded, halves
    /// to the even neighbour. `None` where no pixel is left, or an edge is no number.
    pub fn pixels(self, size: (u32, u32)) -> Option<Rect> {
        if self.corners().iter().any(|edge| edge.is_nan()) {
            return None;
        }
        let [x0, y0, x1, y1] = self.clipped(size).corners().map(|edge| edge.round_ties_even() as u32);
        (x0 < x1 && y0 < y1).then(|| Rect { left: x0, top: y0, width: x1 - x0, height: y1 - y0 })
    }
}

/// Whole pixels of a picture. Neither side is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rect {
    pub left: u32,
    pub top: u32,
    pub width: u32,
    pub height: u32,
}

impl From<Rect> for Bounds {
    fn from(rect: Rect) -> Self {
        let [x0, y0, w, h] = [rect.left, rect.top, rect.width, rect.height].map(f64::from);
        Self { x0, y0, x1: x0 + w, y1: y0 + h }
    }
}

/// What a position is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Space {
    /// Pixels of the tensor that the model is given.
    Input,
    /// Pixels of the picture, turned upright.
    Upright,
    /// Pixels of the picture as the file stores it: what a client that reads no EXIF sees.
    Sent,
}

/// How a tensor, the upright picture and the picture as it was sent lie on each other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Frame {
    /// How the stored picture is turned upright.
    pub orientation: Orientation,
    /// Width and height of the upright picture.
    pub upright: (u32, u32),
    /// The part of the upright picture that the tensor shows.
    pub region: Region,
    /// Width and height of the tensor.
    pub input: (u32, u32),
}

impl From<&Origin> for Frame {
    fn from(origin: &Origin) -> Self {
        Self {
            orientation: origin.orientation,
            upright: (origin.width, origin.height),
            region: origin.region,
            input: origin.input,
        }
    }
}

impl Frame {
    /// Width and height of what positions of a space are counted in.
    pub fn size(&self, space: Space) -> (u32, u32) {
        let (width, height) = self.upright;
        match space {
            Space::Input => self.input,
            Space::Upright => self.upright,
            Space::Sent if turns_sides(self.orientation) => (height, width),
            Space::Sent => (width, height),
        }
    }

    /// Takes a point from one space to another.
    pub fn point(&self, at: [f64; 2], from: Space, to: Space) -> [f64; 2] {
        if from == to {
            return at;
        }
        let Region { left, top, width, height } = self.region;
        let (input_width, input_height) = (f64::from(self.input.0), f64::from(self.input.1));
        let [x, y] = match from {
            Space::Input => [left + at[0] / input_width * width, top + at[1] / input_height * height],
            Space::Upright => at,
            Space::Sent => self.turned_upright(at),
        };
        match to {
            Space::Input => [(x - left) / width * input_width, (y - top) / height * input_height],
            Space::Upright => [x, y],
            Space::Sent => self.turned_back([x, y]),
        }
    }

    /// Takes a rectangle from one space to another.
    pub fn bounds(&self, bounds: Bounds, from: Space, to: Space) -> Bounds {
        let [a, b] = self.point([bounds.x0, bounds.y0], from, to);
        let [c, d] = self.point([bounds.x1, bounds.y1], from, to);
        // A turn may have another corner come first.
        Bounds { x0: a.min(c), y0: b.min(d), x1: a.max(c), y1: b.max(d) }
    }

    fn turned_back(&self, [x, y]: [f64; 2]) -> [f64; 2] {
        let (w, h) = self.size(Space::Sent);
        let (w, h) = (f64::from(w), f64::from(h));
        match self.orientation {
            Orientation::NoTransforms => [x, y],
            Orientation::FlipHorizontal => [w - x, y],
            Orientation::Rotate180 => [w - x, h - y],
            Orientation::FlipVertical => [x, h - y],
            Orientation::Rotate90FlipH => [y, x],
            Orientation::Rotate90 => [y, h - x],
            Orientation::Rotate270FlipH => [w - y, h - x],
            Orientation::Rotate270 => [w - y, x],
        }
    }

    fn turned_upright(&self, [x, y]: [f64; 2]) -> [f64; 2] {
        let (w, h) = self.size(Space::Sent);
        let (w, h) = (f64::from(w), f64::from(h));
        match self.orientation {
            Orientation::NoTransforms => [x, y],
            Orientation::FlipHorizontal => [w - x, y],
            Orientation::Rotate180 => [w - x, h - y],
            Orientation::FlipVertical => [x, h - y],
            Orientation::Rotate90FlipH => [y, x],
            Orientation::Rotate90 => [h - y, x],
            Orientation::Rotate270FlipH => [h - y, w - x],
            Orientation::Rotate270 => [y, w - x],
        }
    }
}

/// Whether the upright picture is as wide as the stored one is high.
pub fn turns_sides(orientation: Orientation) -> bool {
    orientation.to_exif() >= 5
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::picture::resample::{Buffers, Filter};
    use crate::picture::resize::{Fit, Pixels, Target, resize};
    use crate::picture::turn::upright;
    use proptest::prelude::*;

    /// A picture in which every pixel says where it is stored.
    fn coordinates((width, height): (u32, u32)) -> Vec<u8> {
        let pixel = |x: u32, y: u32| [x as u8, y as u8, (x >> 8 << 4 | y >> 8) as u8];
        (0..height).flat_map(|y| (0..width).flat_map(move |x| pixel(x, y))).collect()
    }

    fn place(rgb: &[u8], width: u32, [x, y]: [f64; 2]) -> [u32; 2] {
        let at = (y as usize * width as usize + x as usize) * 3;
        let high = u32::from(rgb[at + 2]);
        [u32::from(rgb[at]) | high >> 4 << 8, u32::from(rgb[at + 1]) | (high & 15) << 8]
    }

    proptest! {
        /// The centre of each pixel of the tensor lies, in the picture as it was sent, in the pixel that it was made of.
        #[test]
        fn a_centre_is_the_same_pixel_in_the_picture_that_was_sent(
            sent in (1u32..300, 1u32..300),
            input in (1u32..40, 1u32..40),
            exif in 1u8..=8,
            fit in prop::sample::select(vec![Fit::Stretch, Fit::Cover, Fit::Contain]),
        ) {
            let orientation = Orientation::from_exif(exif).unwrap();
            let mut turned = vec![];
            let (width, height) = upright(&coordinates(sent), sent.0, sent.1, orientation, &mut turned);
            let from = Pixels { bytes: &turned, width, height, channels: 3 };
            // No picture here is so large, so this is padding.
            let to = Target { size: input, fit, filter: Filter::Nearest, pad: [0, 0, 0xff] };
            let (mut inner, mut out) = (vec![], vec![]);
            let region = resize(from, &to, &mut Buffers::default(), &mut inner, &mut out);
            let frame = Frame { orientation, upright: (width, height), region, input };
            prop_assert_eq!(frame.size(Space::Sent), sent);
            for y in 0..input.1 {
                for x in 0..input.0 {
                    let centre = [f64::from(x) + 0.5, f64::from(y) + 0.5];
                    let is = place(&out, input.0, centre);
                    let at = frame.point(centre, Space::Input, Space::Sent);
                    let within = at.iter().zip([sent.0, sent.1]).all(|(at, side)| *at > -1e-4 && *at < f64::from(side) + 1e-4);
                    if is[0] >= 0xf00 {
                        prop_assert!(!(at[0] > 1e-4 && at[1] > 1e-4 && at[0] < f64::from(sent.0) - 1e-4 && at[1] < f64::from(sent.1) - 1e-4), "{at:?} is padding");
                        continue;
                    }
                    prop_assert!(within, "{centre:?} is {at:?}, outside of the picture");
                    for axis in 0..2 {
                        // Where a centre falls on an edge, either side is right.
                        let inside = at[axis] - f64::from(is[axis]);
                        prop_assert!((-1e-4..=1.0001).contains(&inside), "{centre:?} is {at:?}, not in {is:?}");
                    }
                }
            }
        }

        #[test]
        fn ways_there_and_back_meet(
            exif in 1u8..=8,
            region in (-50f64..50.0, -50f64..50.0, 1f64..500.0, 1f64..500.0),
            corners in [-100f64..700.0, -100f64..700.0, 0f64..300.0, 0f64..300.0],
        ) {
            let (left, top, width, height) = region;
            let frame = Frame {
                orientation: Orientation::from_exif(exif).unwrap(),
                upright: (321, 123),
                region: Region { left, top, width, height },
                input: (64, 96),
            };
            let [x, y, w, h] = corners;
            let bounds = Bounds::new([x, y, x + w, y + h]);
            let spaces = [Space::Input, Space::Upright, Space::Sent];
            for (from, to) in spaces.into_iter().flat_map(|a| spaces.map(|b| (a, b))) {
                let back = frame.bounds(frame.bounds(bounds, from, to), to, from);
                for (a, b) in back.corners().into_iter().zip(bounds.corners()) {
                    prop_assert!((a - b).abs() < 1e-6, "{from:?} to {to:?}: {back:?} was {bounds:?}");
                }
            }
        }
    }

    #[test]
    fn pixels_are_those_of_pillows_crop() {
        let pixels =
            |corners: [f64; 4]| Bounds::new(corners).pixels((10, 8)).map(|r| Bounds::from(r).corners());
        assert_eq!(pixels([0.5, 1.5, 2.5, 3.5]), Some([0., 2., 2., 4.]));
        assert_eq!(pixels([-3.0, -1e300, 99.0, f64::INFINITY]), Some([0., 0., 10., 8.]));
        assert_eq!(pixels([1.6, 0.0, 2.4, 5.0]), None);
        assert_eq!(pixels([10.0, 0.0, 12.0, 5.0]), None);
        assert_eq!(pixels([5.0, 5.0, 3.0, 3.0]), None);
        assert_eq!(pixels([f64::NAN, 0.0, 3.0, 3.0]), None);
        assert_eq!(Bounds::new([2., 2., 4., 6.]).grown(0.25).corners(), [1.5, 1., 4.5, 7.]);
    }
}
