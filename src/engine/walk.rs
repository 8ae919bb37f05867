//! Ways over the elements of a shape that end where the run of their thread is to end.

use super::shape::strides;
use crate::scheduler::is_stopped;

/// Elements between two looks at whether the run that the thread works for is to end.
pub const LOOK: usize = 1 << 16;

/// Counts the elements that a loop goes over, so that it ends where its run is to end.
#[derive(Default)]
pub struct Looks(usize);

impl Looks {
    /// An error once the run is to end. To be asked for every element.
    #[inline]
    pub fn look(&mut self) -> Result<(), String> {
        self.0 = self.0.wrapping_add(1);
        if self.0.is_multiple_of(LOOK) { Self::look_now() } else { Ok(()) }
    }

    /// An error once the run is to end. To be asked for every some ten thousand elements.
    pub fn look_now() -> Result<(), String> {
        if is_stopped() { Err("the run was ended".into()) } else { Ok(()) }
    }
}

/// The index of the element that broadcasts to each element of the larger shape, in C order.
///
/// REQUIRES that `from` broadcasts to `dims`.
pub fn broadcast_indices(from: &[usize], dims: &[usize]) -> Walk {
    let skip = dims.len() - from.len();
    let own = strides(from);
    let steps: Vec<usize> = (0..dims.len())
        .map(|axis| if axis < skip || from[axis - skip] == 1 { 0 } else { own[axis - skip] })
        .collect();
    walk(dims, &steps, 0)
}

/// The offsets `start + Σ index·step` over a shape, in C order; a step back wraps around. REQUIRES a shape whose elements can be counted.
pub fn walk(dims: &[usize], steps: &[usize], start: usize) -> Walk {
    // Axes that run on are one, and those of 1 are none.
    let mut merged: Vec<Axis> = Vec::with_capacity(dims.len());
    for (size, step) in dims.iter().zip(steps).filter(|(size, _)| **size != 1) {
        match merged.last_mut() {
            Some(last) if last.step == step.wrapping_mul(*size) => {
                *last = Axis { size: last.size.wrapping_mul(*size), step: *step, index: 0 };
            }
            _ => merged.push(Axis { size: *size, step: *step, index: 0 }),
        }
    }
    let last = merged.pop().unwrap_or(Axis { size: 1, step: 0, index: 0 });
    let left = if dims.contains(&0) { 0 } else { dims.iter().product() };
    Walk { outer: merged, last, offset: start, left }
}

/// Walks over a shape without a list of where it leads.
///
/// It ends early where the run that its thread works for is to end: what is half done then is never used.
#[derive(Clone, Debug)]
pub struct Walk {
    outer: Vec<Axis>,
    last: Axis,
    offset: usize,
    left: usize,
}

#[derive(Clone, Copy, Debug)]
struct Axis {
    size: usize,
    step: usize,
    index: usize,
}

impl Walk {
    /// From the end of a line to the start of the next.
    fn turn(&mut self) {
        self.last.index = 0;
        self.offset = self.offset.wrapping_sub(self.last.step.wrapping_mul(self.last.size - 1));
        for axis in self.outer.iter_mut().rev() {
            axis.index += 1;
            if axis.index < axis.size {
                self.offset = self.offset.wrapping_add(axis.step);
                return;
            }
            axis.index = 0;
            self.offset = self.offset.wrapping_sub(axis.step.wrapping_mul(axis.size - 1));
        }
    }
}

impl Iterator for Walk {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        self.left = self.left.checked_sub(1)?;
        if self.left % LOOK == LOOK - 1 && is_stopped() {
            self.left = 0;
            return None;
        }
        let at = self.offset;
        self.last.index += 1;
        if self.last.index < self.last.size {
            self.offset = self.offset.wrapping_add(self.last.step);
        } else {
            self.turn();
        }
        Some(at)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Walk {}

/// Offsets of elements that lie in runs of `width`, of the offset at which each run begins.
pub fn runs(starts: impl Iterator<Item = usize>, width: usize) -> impl Iterator<Item = usize> {
    starts.flat_map(move |start| start..start + width)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_leads_where_the_indices_do() {
        let by_hand = |dims: [usize; 3], steps: [usize; 3], start: usize| {
            let mut offsets = Vec::new();
            for i in 0..dims[0] {
                for j in 0..dims[1] {
                    for k in 0..dims[2] {
                        offsets.push(start + i * steps[0] + j * steps[1] + k * steps[2]);
                    }
                }
            }
            offsets
        };
        for dims in [[2, 3, 4], [1, 5, 1], [3, 1, 2], [2, 0, 3], [1, 1, 1], [0, 2, 2]] {
            for steps in [[12, 4, 1], [0, 1, 0], [4, 0, 2], [0, 0, 0], [1, 2, 6], [5, 5, 1]] {
                let walked = walk(&dims, &steps, 7);
                assert_eq!(walked.len(), dims.iter().product::<usize>());
                assert_eq!(walked.collect::<Vec<_>>(), by_hand(dims, steps, 7), "{dims:?} {steps:?}");
            }
        }
        assert_eq!(walk(&[], &[], 3).collect::<Vec<_>>(), [3]);
        assert_eq!(
            broadcast_indices(&[3, 1], &[2, 3, 2]).collect::<Vec<_>>(),
            [0, 0, 1, 1, 2, 2, 0, 0, 1, 1, 2, 2]
        );
    }
}
