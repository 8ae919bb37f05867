//! Maps of a model's size drawn at the size of the picture they were computed from.

use crate::plan::{Origin, Region};

/// Where each column (or row) of the picture lies in the map; `None` outside of it.
fn positions(length: u32, start: f64, extent: f64, map: usize) -> Vec<Option<f64>> {
    (0..length)
        .map(|at| {
            let along = (f64::from(at) + 0.5 - start) / extent;
            (0.0..1.0).contains(&along).then_some(along * map as f64)
        })
        .collect()
}

/// Two neighbours and how much the second weighs.
#[derive(Clone, Copy)]
struct Between {
    first: usize,
    second: usize,
    weight: f32,
}

fn between(position: f64, map: usize) -> Between {
    let centre = (position - 0.5).clamp(0.0, (map - 1) as f64);
    let first = centre as usize;
    Between { first, second: (first + 1).min(map - 1), weight: (centre - first as f64) as f32 }
}

/// A mask of `height` rows and `width` columns, bilinear, at the size of the picture; `None` where the
/// model did not see the picture. REQUIRES a mask that is not empty.
pub fn bilinear(
    mask: &[f32],
    (height, width): (usize, usize),
    origin: &Origin,
    mut draw: impl FnMut(usize, Option<f32>),
) {
    let Region { left, top, width: w, height: h } = origin.region;
    let locate = |places: Vec<Option<f64>>, map: usize| -> Vec<Option<Between>> {
        places.into_iter().map(|p| p.map(|p| between(p, map))).collect()
    };
    let columns = locate(positions(origin.width, left, w, width), width);
    let rows = locate(positions(origin.height, top, h, height), height);
    let mut at = 0;
    let mut line = vec![0f32; width];
    for row in rows {
        if let Some(y) = row {
            let (above, below) = (&mask[y.first * width..], &mask[y.second * width..]);
            for ((value, a), b) in line.iter_mut().zip(above).zip(below) {
                *value = a + (b - a) * y.weight;
            }
        }
        for column in &columns {
            let value = row.and(*column).map(|x| line[x.first] + (line[x.second] - line[x.first]) * x.weight);
            draw(at, value);
            at += 1;
        }
    }
}

/// Reads a map of classes, each at the nearest position.
pub fn nearest(
    classes: &[u32],
    (height, width): (usize, usize),
    origin: &Origin,
    mut draw: impl FnMut(usize, Option<u32>),
) {
    let Region { left, top, width: w, height: h } = origin.region;
    let locate = |places: Vec<Option<f64>>, map: usize| -> Vec<Option<usize>> {
        places.into_iter().map(|p| p.map(|p| (p as usize).min(map - 1))).collect()
    };
    let columns = locate(positions(origin.width, left, w, width), width);
    let rows = locate(positions(origin.height, top, h, height), height);
    let mut at = 0;
    for row in rows {
        for column in &columns {
            let class = row.and_then(|y| column.map(|x| classes[y * width + x]));
            draw(at, class);
            at += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use image::metadata::Orientation;

    fn origin(width: u32, height: u32, region: [f64; 4]) -> Origin {
        let [left, top, w, h] = region;
        let region = Region { left, top, width: w, height: h };
        let orientation = Orientation::NoTransforms;
        Origin { width, height, rgb: Bytes::new(), region, input: (width, height), orientation }
    }

    #[test]
    fn a_mask_grows_smoothly() {
        let mut out = vec![];
        let whole = origin(4, 1, [0., 0., 4., 1.]);
        bilinear(&[0.0, 1.0], (1, 2), &whole, |_, v| out.push(v.unwrap()));
        assert_eq!(out, [0.0, 0.25, 0.75, 1.0]);
    }

    #[test]
    fn what_was_cropped_away_is_not_drawn() {
        let mut out = vec![];
        let cropped = origin(6, 1, [2., 0., 2., 1.]);
        nearest(&[7, 8], (1, 2), &cropped, |_, v| out.push(v));
        assert_eq!(out, [None, None, Some(7), Some(8), None, None]);
    }

    #[test]
    fn padding_is_cut_off() {
        let mut out = vec![];
        let padded = origin(2, 2, [-1., 0., 4., 2.]);
        nearest(&[1, 2, 3, 4, 5, 6, 7, 8], (2, 4), &padded, |_, v| out.push(v.unwrap()));
        assert_eq!(out, [2, 3, 6, 7]);
    }
}
