//! Resizing of planes: each output position blends some input rows and some input columns.

use super::{BLOCK, Lanes, Lines, Target, room, share, threads};
use crate::engine::kernels::arch;
use std::ops::Range;

/// The places that the positions of an axis blend, as many for each, and their weights.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Taps {
    count: usize,
    places: Vec<usize>,
    weights: Vec<f32>,
}

impl Taps {
    /// Makes taps of places with their weights, `each` for every position. Taps that weigh nothing anywhere are left out.
    pub fn new(each: usize, list: &[(usize, f32)]) -> Self {
        let weighs = |tap: &usize| list.iter().skip(*tap).step_by(each).any(|(_, w)| *w != 0.0);
        let kept: Vec<usize> = (0..each).filter(weighs).collect();
        let positions = list.chunks_exact(each.max(1));
        let taps = positions.flat_map(|taps| kept.iter().map(|tap| taps[*tap]));
        let (places, weights) = taps.unzip();
        Self { count: kept.len(), places, weights }
    }

    fn positions(&self) -> usize {
        self.places.len().checked_div(self.count).unwrap_or_default()
    }

    /// Places and weights of a position.
    #[inline(always)]
    fn at(&self, position: usize) -> (&[usize], &[f32]) {
        let own = position * self.count..(position + 1) * self.count;
        (&self.places[own.clone()], &self.weights[own])
    }

    /// Whether every position is a copy of the one place that it names.
    fn copies(&self) -> bool {
        self.count == 1 && self.weights.iter().all(|w| *w == 1.0)
    }
}

/// `input` holds planes of that size; the result holds planes of as many rows and columns as there are positions.
///
/// REQUIRES whole planes, and places within them.
pub fn resize(input: &[Lanes], [height, width]: [usize; 2], rows: &Taps, columns: &Taps) -> Lines {
    let (pixels, out) = (height * width, [rows.positions(), columns.positions()]);
    assert!(rows.places.iter().all(|p| *p < height) && columns.places.iter().all(|p| *p < width));
    let planes = input.len().checked_div(pixels).unwrap_or_default();
    let total = planes * out[0] * out[1];
    let mut result = room(total);
    let to = Target(result.as_mut_ptr().cast::<f32>());
    let threads = threads(total * (rows.count + columns.count));
    // Pieces of rows, enough of them that threads finish together.
    let parts = (threads * 4).div_ceil(planes.max(1)).min(out[0].max(1));
    let per = out[0].div_ceil(parts).max(1);
    let parts = out[0].div_ceil(per);
    share(planes * parts, threads, &|piece| {
        let (plane, part) = (piece / parts, piece % parts);
        let taken = part * per..((part + 1) * per).min(out[0]);
        // SAFETY: rows of this piece, which nobody else writes to; `Lanes` are floats, and every one is written.
        let to = unsafe {
            let at = (plane * out[0] + taken.start) * out[1];
            std::slice::from_raw_parts_mut(to.get().cast::<Lanes>().add(at), taken.len() * out[1])
        };
        let input = &input[plane * pixels..(plane + 1) * pixels];
        arch().dispatch(
            #[inline(always)]
            || some_rows(input, width, rows, columns, taken, to),
        );
    });
    result
}

#[inline(always)]
fn some_rows(
    input: &[Lanes],
    width: usize,
    rows: &Taps,
    columns: &Taps,
    taken: Range<usize>,
    to: &mut [Lanes],
) {
    let mut blended = vec![Lanes::ZERO; width];
    let row = |place: usize| &input[place * width..(place + 1) * width];
    for (y, to) in taken.zip(to.chunks_exact_mut(columns.positions().max(1))) {
        let (places, weights) = rows.at(y);
        let line = match (places, weights) {
            ([place], [1.0]) => row(*place),
            ([first, second], [a, b]) => {
                for ((to, first), second) in blended.iter_mut().zip(row(*first)).zip(row(*second)) {
                    (0..BLOCK).for_each(|i| to.0[i] = first.0[i] * a + second.0[i] * b);
                }
                &blended[..]
            }
            _ => {
                blended.fill(Lanes::ZERO);
                for (place, weight) in places.iter().zip(weights) {
                    for (to, from) in blended.iter_mut().zip(row(*place)) {
                        (0..BLOCK).for_each(|i| to.0[i] += from.0[i] * weight);
                    }
                }
                &blended[..]
            }
        };
        if columns.copies() {
            to.iter_mut().zip(&columns.places).for_each(|(to, place)| *to = line[*place]);
        } else if columns.count == 2 {
            let (places, _) = columns.places.as_chunks::<2>();
            let (weights, _) = columns.weights.as_chunks::<2>();
            for ((to, [first, second]), [a, b]) in to.iter_mut().zip(places).zip(weights) {
                let (first, second) = (&line[*first], &line[*second]);
                (0..BLOCK).for_each(|i| to.0[i] = first.0[i] * a + second.0[i] * b);
            }
        } else {
            for (x, to) in to.iter_mut().enumerate() {
                let (places, weights) = columns.at(x);
                let mut sum = [0.0; BLOCK];
                for (place, weight) in places.iter().zip(weights) {
                    (0..BLOCK).for_each(|i| sum[i] += line[*place].0[i] * weight);
                }
                *to = Lanes(sum);
            }
        }
    }
}
