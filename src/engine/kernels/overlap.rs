//! Rectangles that are held against many others.

use super::arch;

/// A rectangle by its corners.
#[derive(Clone, Copy, Debug)]
pub struct Rectangle {
    pub low: [f32; 2],
    pub high: [f32; 2],
}

impl Rectangle {
    fn area(&self) -> f32 {
        (self.high[0] - self.low[0]) * (self.high[1] - self.low[1])
    }
}

/// Rectangles side by side, so that several are looked at at once.
#[derive(Debug, Default)]
pub struct Rectangles {
    low: [Vec<f32>; 2],
    high: [Vec<f32>; 2],
    areas: Vec<f32>,
}

/// Rectangles that are looked at before it is asked whether one was found.
const TOGETHER: usize = 64;

impl Rectangles {
    pub fn push(&mut self, rectangle: Rectangle) {
        for axis in 0..2 {
            self.low[axis].push(rectangle.low[axis]);
            self.high[axis].push(rectangle.high[axis]);
        }
        self.areas.push(rectangle.area());
    }

    /// Whether there is one with which what both cover is more than that part of what either covers.
    pub fn overlap(&self, rectangle: Rectangle, part: f32) -> bool {
        arch().dispatch(
            #[inline(always)]
            || self.any(rectangle, part),
        )
    }

    #[inline(always)]
    fn any(&self, own: Rectangle, part: f32) -> bool {
        let area = own.area();
        let side = |low: f32, high: f32, axis: usize| {
            let (from, to) = (low.max(own.low[axis]), high.min(own.high[axis]));
            if to > from { to - from } else { 0.0 }
        };
        for start in (0..self.areas.len()).step_by(TOGETHER) {
            let end = (start + TOGETHER).min(self.areas.len());
            let across = self.low[0][start..end].iter().zip(&self.high[0][start..end]);
            let down = self.low[1][start..end].iter().zip(&self.high[1][start..end]);
            let mut found = false;
            for (((left, right), (top, bottom)), other) in across.zip(down).zip(&self.areas[start..end]) {
                let both = side(*left, *right, 0) * side(*top, *bottom, 1);
                let more = both / (area + other - both) > part;
                found |= more & (both > 0.0) & (area > 0.0) & (*other > 0.0);
            }
            if found {
                return true;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn one_that_overlaps_is_found_wherever_it_is(
            corners in prop::collection::vec([0u8..20, 0u8..20, 0u8..9, 0u8..9], 0..150), part in 0.0f32..1.0,
        ) {
            let rectangle = |c: &[u8; 4]| {
                let [x, y, width, height] = c.map(f32::from);
                Rectangle { low: [x, y], high: [x + width, y + height] }
            };
            let own = rectangle(&[5, 5, 6, 4]);
            let mut all = Rectangles::default();
            let mut wanted = false;
            for other in corners.iter().map(rectangle) {
                all.push(other);
                let side = |axis: usize| {
                    (own.high[axis].min(other.high[axis]) - own.low[axis].max(other.low[axis])).max(0.0)
                };
                let both = side(0) * side(1);
                wanted |= both > 0.0 && both / (own.area() + other.area() - both) > part;
                prop_assert_eq!(all.overlap(own, part), wanted);
            }
        }
    }
}
