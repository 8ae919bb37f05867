//! softmax(Q · K · scale + mask) · V, some queries at a time: their scores stay in the cache, and what all queries
//! look at is never in memory at once.

use super::arch;
use super::matmul::{After, Packed, multiply_here};
use super::memory::{grown, left};
use super::share::{share_chunks, threads_for};
use super::vector;
use crate::scheduler::is_stopped;
use pulp::{Simd, WithSimd};
use std::cell::RefCell;

/// The offsets at which the matrices of one head begin.
#[derive(Clone, Copy, Debug, Default)]
pub struct Head {
    pub q: usize,
    pub k: usize,
    pub v: usize,
    pub mask: usize,
}

pub struct Attention<'a> {
    pub heads: &'a [Head],
    pub queries: usize,
    pub keys: usize,
    /// The number of elements of a query.
    pub size: usize,
    /// The number of elements of a value.
    pub width: usize,
    /// `[queries][size]`, its elements side by side, rows so far apart.
    pub q: (&'a [f32], usize),
    /// `[size][keys]`, with the strides of both.
    pub k: (&'a [f32], [usize; 2]),
    /// `[keys][width]`, with the strides of both.
    pub v: (&'a [f32], [usize; 2]),
    /// `[queries][keys]`, its elements side by side, rows so far apart: 0 where they are all the same.
    pub mask: Option<(&'a [f32], usize)>,
    pub scale: f32,
    /// A query that may look nowhere gives zero; otherwise what a softmax gives, which is no number.
    pub nowhere_is_zero: bool,
}

/// Scores that are held at once.
const SCORES: usize = 1 << 15;
/// Multiply-adds under which threads do not pay.
const PARALLEL_FROM: usize = 100_000;

#[derive(Default)]
struct Scratch {
    k: Packed,
    v: Packed,
    scores: Vec<f32>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

impl Attention<'_> {
    /// Writes `[head][queries][width]`.
    ///
    /// REQUIRES every matrix within its slice, and `out` of that size; panics otherwise.
    pub fn run(&self, out: &mut [f32]) {
        let one = self.queries * self.width;
        assert!(out.len() == self.heads.len() * one);
        if out.is_empty() || self.keys == 0 {
            return out.fill(0.0);
        }
        let work = self.heads.len() * self.queries * self.keys * (self.size + self.width);
        let threads = threads_for(work, PARALLEL_FROM);
        let heads = self.heads;
        if heads.len().is_multiple_of(threads) || heads.len() > 4 * threads {
            share_chunks(out, one, threads, &|head, out| self.rows(heads[head], 0, out));
        } else {
            // Heads that do not go round: each is cut into as many parts as there are threads.
            let rows = self.queries.div_ceil(threads);
            for (head, out) in heads.iter().zip(out.chunks_mut(one)) {
                share_chunks(out, rows * self.width, threads, &|part, out| {
                    self.rows(*head, part * rows, out)
                });
            }
        }
    }

    /// The queries of one head from `first` on.
    fn rows(&self, head: Head, first: usize, out: &mut [f32]) {
        // Taken out while it is used.
        let mut scratch = SCRATCH.take();
        let Scratch { k, v, scores } = &mut scratch;
        k.pack(&self.k.0[head.k..], [self.size, self.keys], self.k.1);
        v.pack(&self.v.0[head.v..], [self.keys, self.width], self.v.1);
        let at_once = (SCORES / self.keys).clamp(12, 96);
        for (index, out) in out.chunks_mut(at_once * self.width).enumerate() {
            if is_stopped() {
                break;
            }
            let first = first + index * at_once;
            let rows = out.len() / self.width;
            grown(scores, rows * self.keys, 0.0);
            let scores = &mut scores[..rows * self.keys];
            let q = &self.q.0[head.q + first * self.q.1..];
            multiply_here(q, (rows, self.q.1), k, After::default(), scores);
            let mut inverses = [0.0; 96];
            arch().dispatch(Weights {
                attention: self,
                mask: head.mask + first * self.mask.map_or(0, |(_, stride)| stride),
                scores,
                inverses: &mut inverses,
            });
            multiply_here(scores, (rows, self.keys), v, After::default(), out);
            for (out, inverse) in out.chunks_exact_mut(self.width).zip(inverses) {
                out.iter_mut().for_each(|v| *v *= inverse);
            }
        }
        scratch.scores = left(scratch.scores);
        SCRATCH.set(scratch);
    }
}

/// The scores of some queries, made into weights that are yet to be divided by their sum.
struct Weights<'a, 'b> {
    attention: &'a Attention<'b>,
    /// Where the mask of the first of them begins.
    mask: usize,
    scores: &'a mut [f32],
    /// What to multiply by, for each query.
    inverses: &'a mut [f32],
}

impl WithSimd for Weights<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Attention { keys, scale, nowhere_is_zero, .. } = *self.attention;
        for (row, (scores, inverse)) in self.scores.chunks_exact_mut(keys).zip(self.inverses).enumerate() {
            let mask = self.attention.mask.map(|(mask, stride)| &mask[self.mask + row * stride..][..keys]);
            let (greatest, sum) = vector::weights(simd, scores, scale, mask);
            *inverse = 1.0 / sum;
            if nowhere_is_zero && greatest == f32::NEG_INFINITY {
                scores.fill(0.0);
                *inverse = 0.0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn numbers(count: usize, seed: usize) -> Vec<f32> {
        (0..count).map(|i| ((i * 7919 + seed * 104_729) % 2003) as f32 / 1001.5 - 1.0).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn it_is_a_softmax_between_two_products(
            heads in 1usize..4, queries in 1usize..130, keys in 1usize..90, size in 1usize..40, width in 1usize..40,
            masked: bool, turned: bool,
        ) {
            let (q, k) = (numbers(heads * queries * size, 1), numbers(heads * size * keys, 2));
            let (v, mask) = (numbers(heads * keys * width, 3), numbers(queries * keys, 4));
            let head = |i| Head { q: i * queries * size, k: i * size * keys, v: i * keys * width, mask: 0 };
            let all: Vec<Head> = (0..heads).map(head).collect();
            let attention = Attention {
                heads: &all, queries, keys, size, width,
                q: (&q, size),
                k: (&k, if turned { [1, size] } else { [keys, 1] }),
                v: (&v, [width, 1]),
                mask: masked.then_some((&mask[..], keys)),
                scale: 0.4,
                nowhere_is_zero: false,
            };
            let mut got = vec![0.0; heads * queries * width];
            attention.run(&mut got);
            for (i, head) in all.iter().enumerate() {
                for row in 0..queries {
                    let score = |key: usize| -> f64 {
                        let k = |d: usize| k[head.k + if turned { key * size + d } else { d * keys + key }];
                        let sum: f64 = (0..size)
                            .map(|d| f64::from(q[head.q + row * size + d]) * f64::from(k(d)))
                            .sum();
                        sum * 0.4 + if masked { f64::from(mask[row * keys + key]) } else { 0.0 }
                    };
                    let weights: Vec<f64> = (0..keys).map(|key| score(key).exp()).collect();
                    let sum: f64 = weights.iter().sum();
                    for column in 0..width {
                        let v = |key: usize| f64::from(v[head.v + key * width + column]);
                        let wanted: f64 = (0..keys).map(|key| weights[key] * v(key)).sum::<f64>() / sum;
                        let got = f64::from(got[(i * queries + row) * width + column]);
                        prop_assert!((got - wanted).abs() < 1e-5, "{got} for {wanted}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_query_that_may_look_nowhere_gives_zero_or_no_number() {
        let closed = [f32::NEG_INFINITY; 3];
        let run = |nowhere_is_zero| {
            let (q, k, v) = ([1.0, 2.0], [1.0; 6], [1.0; 3]);
            let attention = Attention {
                heads: &[Head::default()],
                queries: 1,
                keys: 3,
                size: 2,
                width: 1,
                q: (&q, 2),
                k: (&k, [3, 1]),
                v: (&v, [1, 1]),
                mask: Some((&closed, 0)),
                scale: 1.0,
                nowhere_is_zero,
            };
            let mut out = [f32::MAX];
            attention.run(&mut out);
            out
        };
        assert_eq!(run(true), [0.0]);
        assert!(run(false)[0].is_nan());
    }
}
