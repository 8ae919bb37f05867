//! Shapes, and how their elements lie. Pure.

/// The number of elements of a shape, or an error where no number is so large.
pub fn count(shape: &[usize]) -> Result<usize, String> {
    if shape.contains(&0) {
        return Ok(0);
    }
    let count = shape.iter().try_fold(1usize, |count, dim| count.checked_mul(*dim));
    count.ok_or_else(|| format!("{shape:?} has more elements than can be counted"))
}

/// The shape that both broadcast to.
pub fn broadcast(a: &[usize], b: &[usize]) -> Result<Vec<usize>, String> {
    let rank = a.len().max(b.len());
    let at = |dims: &[usize], axis: usize| (axis + dims.len()).checked_sub(rank).map_or(1, |i| dims[i]);
    (0..rank)
        .map(|axis| match (at(a, axis), at(b, axis)) {
            (x, y) if x == y => Ok(x),
            (1, y) => Ok(y),
            (x, 1) => Ok(x),
            _ => Err(format!("{a:?} and {b:?} do not broadcast")),
        })
        .collect()
}

/// The shape that any number of shapes broadcast to.
pub fn broadcast_all<'a>(shapes: impl IntoIterator<Item = &'a [usize]>) -> Result<Vec<usize>, String> {
    shapes.into_iter().try_fold(Vec::new(), |all, one| broadcast(&all, one))
}

/// Elements between two along each axis, in C order.
pub fn strides(dims: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; dims.len()];
    for axis in (1..dims.len()).rev() {
        strides[axis - 1] = strides[axis] * dims[axis].max(1);
    }
    strides
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_meet_as_in_numpy() {
        for (a, b, wanted) in [
            (&[2usize, 3][..], &[3usize][..], Some(vec![2, 3])),
            (&[4, 1, 3], &[2, 1], Some(vec![4, 2, 3])),
            (&[], &[0], Some(vec![0])),
            (&[1, 0], &[5, 1], Some(vec![5, 0])),
            (&[2], &[3], None),
        ] {
            assert_eq!(broadcast(a, b).ok(), wanted, "{a:?} {b:?}");
        }
    }
}
