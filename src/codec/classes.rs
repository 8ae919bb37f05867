//! Class maps: which class each position of a tensor is of.

use crate::tensor::{DType, Tensor};

/// The class of every position, and the shape of the positions.
#[derive(Debug, PartialEq, Eq)]
pub struct ClassMap {
    pub shape: Vec<usize>,
    pub classes: Vec<u32>,
    /// The number of classes, where the tensor tells it.
    pub count: Option<usize>,
}

/// Whether a tensor of this dtype holds classes themselves, not a score for each.
pub fn holds_classes(dtype: DType) -> bool {
    !dtype.is_float()
}

/// The class of a position whose scores are all NaN, of which none is the largest.
pub const NO_CLASS: u32 = u32::MAX;

/// The index of the largest of `scores` by their order, NaN left out. `None` where there is none.
pub fn largest(scores: impl IntoIterator<Item = f64>) -> Option<usize> {
    let mut best: Option<(usize, f64)> = None;
    for (index, score) in scores.into_iter().enumerate().filter(|(_, score)| !score.is_nan()) {
        if best.is_none_or(|(_, top)| score > top) {
            best = Some((index, score));
        }
    }
    best.map(|(index, _)| index)
}

/// The class of each position: the index along `axis` of its largest score, or [`NO_CLASS`].
pub fn argmax(tensor: &Tensor, axis: usize) -> Option<ClassMap> {
    let shape = tensor.shape();
    let count = *shape.get(axis).filter(|n| **n > 0)?;
    let outer: usize = shape[..axis].iter().product();
    let inner: usize = shape[axis + 1..].iter().product();
    let classes = match tensor.elements::<f32>() {
        Some(scores) => along(&scores, outer, count, inner, f32::NEG_INFINITY),
        None => along(&tensor.to_f64(), outer, count, inner, f64::NEG_INFINITY),
    };
    let shape = shape.iter().enumerate().filter(|(a, _)| *a != axis).map(|(_, n)| *n).collect();
    Some(ClassMap { shape, classes, count: Some(count) })
}

/// Plane by plane, so that memory is read in order. A NaN never compares greater.
fn along<T: Copy + PartialOrd>(scores: &[T], outer: usize, count: usize, inner: usize, least: T) -> Vec<u32> {
    let mut classes = vec![0u32; outer * inner];
    let mut best = vec![least; inner];
    for (scores, classes) in scores.chunks_exact(count * inner).zip(classes.chunks_exact_mut(inner)) {
        best.fill(least);
        for (class, plane) in scores.chunks_exact(inner).enumerate() {
            for ((score, best), chosen) in plane.iter().zip(&mut best).zip(classes.iter_mut()) {
                if *score > *best {
                    *best = *score;
                    *chosen = class as u32;
                }
            }
        }
        // Whatever is there is above the least, but for that itself and for NaN.
        for (at, (best, chosen)) in best.iter().zip(classes.iter_mut()).enumerate() {
            let is_nan = |score: &T| score.partial_cmp(score).is_none();
            if *best == least && scores.iter().skip(at).step_by(inner).all(is_nan) {
                *chosen = NO_CLASS;
            }
        }
    }
    classes
}

/// The classes that an integer tensor holds.
pub fn stored(tensor: &Tensor) -> Result<ClassMap, String> {
    let class = |value: f64| match value {
        v if (0.0..=65_535.0).contains(&v) => Ok(v as u32),
        v => Err(format!("{v} is not the index of a class")),
    };
    let classes = tensor.to_f64().into_iter().map(class).collect::<Result<_, _>>()?;
    Ok(ClassMap { shape: tensor.shape().to_vec(), classes, count: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_along_each_axis() {
        let t = Tensor::from_vec(vec![2, 3], vec![1f32, 5., 2., 4., f32::NAN, 3.]).unwrap();
        let map = argmax(&t, 0).unwrap();
        assert_eq!((map.shape, map.classes, map.count), (vec![3], vec![1, 0, 1], Some(2)));
        let map = argmax(&t, 1).unwrap();
        assert_eq!((map.shape, map.classes), (vec![2], vec![1, 0]));
        assert!(argmax(&t, 2).is_none());
    }

    #[test]
    fn nan_is_never_the_largest() {
        assert_eq!(largest([f64::NAN, 1.0, f64::NAN, 2.0]), Some(3));
        assert_eq!(largest([f64::NAN]), None);
        assert_eq!(largest([]), None);
    }

    #[test]
    fn classes_that_are_stored() {
        let t = Tensor::from_vec(vec![2], vec![3i64, 0]).unwrap();
        assert_eq!(stored(&t).unwrap().classes, [3, 0]);
        let t = Tensor::from_vec(vec![1], vec![-1i64]).unwrap();
        assert_eq!(stored(&t).unwrap_err(), "-1 is not the index of a class");
    }
}
