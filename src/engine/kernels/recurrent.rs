//! LSTM and GRU layers with the usual activations: the input's share of every step in one product, then step by
//! step the state's, with the gates computed while its sums are in the cache.

use super::arch;
use super::matmul::{Activation, After, Packed, multiply, multiply_here};
use super::share::{Target, share_chunks};
use super::vector::{sigmoid, tanh};
use crate::scheduler::is_stopped;
use pulp::{Simd, WithSimd};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Gates in the order input, output, forget, cell.
    Lstm,
    /// Gates in the order update, reset, new; resets after the product with its weights.
    Gru,
}

impl Kind {
    pub fn gates(self) -> usize {
        match self {
            Self::Lstm => 4,
            Self::Gru => 3,
        }
    }
}

/// One direction of a layer.
#[derive(Debug)]
pub struct Layer {
    kind: Kind,
    hidden: usize,
    /// `[width][gates · hidden]`
    input: Packed,
    /// `[hidden][gates · hidden]`
    recurrent: Packed,
    /// What is added to the input's share.
    bias: Vec<f32>,
    /// What is added to the state's share.
    inner_bias: Vec<f32>,
}

/// The state of some sequences: `[batch][hidden]` each. Only an LSTM uses `c`.
pub struct State {
    pub h: Vec<f32>,
    pub c: Vec<f32>,
}

/// Multiply-adds of all steps under which threads do not pay.
const PARALLEL_FROM: usize = 1_000_000;

impl Layer {
    /// `input [gates · hidden, width]`, `recurrent [gates · hidden, hidden]`, and two biases of `gates · hidden`.
    ///
    /// `None` where the sizes do not agree.
    pub fn new(
        kind: Kind,
        hidden: usize,
        input: &[f32],
        recurrent: &[f32],
        bias: Option<&[f32]>,
    ) -> Option<Self> {
        let rows = kind.gates().checked_mul(hidden).filter(|rows| *rows > 0)?;
        let width = input.len() / rows;
        let sizes = input.len() == rows * width && recurrent.len() == rows * hidden;
        if !sizes || width == 0 || bias.is_some_and(|b| b.len() != 2 * rows) {
            return None;
        }
        let (mut outer, inner) = match bias {
            Some(bias) => (bias[..rows].to_vec(), bias[rows..].to_vec()),
            None => (vec![0.0; rows], vec![0.0; rows]),
        };
        // A GRU's new state resets its share together with its bias; all else is added once.
        let apart = if kind == Kind::Gru { 2 * hidden } else { rows };
        let mut inner_bias = vec![0.0; rows];
        inner_bias[apart..].copy_from_slice(&inner[apart..]);
        outer[..apart].iter_mut().zip(&inner).for_each(|(outer, inner)| *outer += inner);
        Some(Self {
            kind,
            hidden,
            input: Packed::new(input, [width, rows], true),
            recurrent: Packed::new(recurrent, [hidden, rows], true),
            bias: outer,
            inner_bias,
        })
    }

    pub fn width(&self) -> usize {
        self.input.inner()
    }

    pub fn hidden(&self) -> usize {
        self.hidden
    }

    /// Runs over `x [steps][batch][width]`, from its end where `backward`; the outputs are
    /// `[steps][batch][hidden]`, and the state is that after the last step.
    ///
    /// REQUIRES as many elements of each; panics otherwise.
    pub fn run(&self, x: &[f32], [steps, batch]: [usize; 2], backward: bool, state: &mut State) -> Vec<f32> {
        let (rows, hidden) = (self.kind.gates() * self.hidden, self.hidden);
        let mut out = vec![0.0; steps * batch * hidden];
        if out.is_empty() {
            return out;
        }
        let threads = rayon::current_num_threads();
        let split = if steps * batch * hidden * rows < PARALLEL_FROM { 1 } else { threads.min(batch) };
        let after = After { bias: Some(&self.bias), activation: Activation::None, residual: None };
        if split == 1 {
            let mut share = vec![0.0; steps * batch * rows];
            multiply(x, steps * batch, &self.input, after, &mut share);
            self.steps(&share, [steps, batch], backward, true, state, &mut |time, h| {
                out[time * h.len()..(time + 1) * h.len()].copy_from_slice(h);
            });
            return out;
        }
        // Sequences do not depend on each other: each thread takes some of them through all steps, and computes what
        // it needs itself, so that it is near.
        let (width, per) = (self.width(), batch.div_ceil(split));
        let mut parts: Vec<State> = (0..batch.div_ceil(per))
            .map(|index| {
                let range = index * per * hidden..((index + 1) * per).min(batch) * hidden;
                State { h: state.h[range.clone()].to_vec(), c: state.c[range].to_vec() }
            })
            .collect();
        let given = Target(out.as_mut_ptr());
        share_chunks(&mut parts, 1, threads, &|index, parts| {
            let (first, count) = (index * per, per.min(batch - index * per));
            let own: Vec<f32> = x
                .chunks_exact(batch * width)
                .flat_map(|x| &x[first * width..(first + count) * width])
                .copied()
                .collect();
            let mut share = vec![0.0; steps * count * rows];
            multiply_here(&own, (steps * count, width), &self.input, after, &mut share);
            for state in parts {
                self.steps(&share, [steps, count], backward, false, state, &mut |time, h| {
                    let to = given.get().wrapping_add((time * batch + first) * hidden);
                    // SAFETY: the states of these sequences after this step, which are within `out`; other parts
                    // write those of others.
                    unsafe { to.copy_from_nonoverlapping(h.as_ptr(), h.len()) };
                });
            }
        });
        for (index, own) in parts.into_iter().enumerate() {
            let start = index * per * hidden;
            state.h[start..start + own.h.len()].copy_from_slice(&own.h);
            state.c[start..start + own.c.len()].copy_from_slice(&own.c);
        }
        out
    }

    /// Takes all sequences of a `share` of the input, `[steps][count][gates · hidden]`, through all steps, which
    /// threads share if they may; `give` is told the states `[count][hidden]` after each.
    fn steps(
        &self,
        share: &[f32],
        [steps, count]: [usize; 2],
        backward: bool,
        threads: bool,
        state: &mut State,
        give: &mut dyn FnMut(usize, &[f32]),
    ) {
        let (rows, hidden) = (self.kind.gates() * self.hidden, self.hidden);
        let mut sums = vec![0.0; count * rows];
        let after = After { bias: Some(&self.inner_bias), activation: Activation::None, residual: None };
        let after = if self.kind == Kind::Gru { after } else { After::default() };
        for index in 0..steps {
            if is_stopped() {
                return;
            }
            let time = if backward { steps - 1 - index } else { index };
            if threads {
                // Each keeps a part of the weights near.
                multiply(&state.h, count, &self.recurrent, after, &mut sums);
            } else {
                multiply_here(&state.h, (count, hidden), &self.recurrent, after, &mut sums);
            }
            let share = &share[time * count * rows..][..count * rows];
            arch().dispatch(Gates {
                kind: self.kind,
                hidden,
                sums: &sums,
                share,
                h: &mut state.h,
                c: &mut state.c,
            });
            give(time, &state.h);
        }
    }
}

/// Several layers over the same input, each in its own direction, from its own state, which becomes that after the
/// last step. Gives the outputs of each.
///
/// REQUIRES what [`Layer::run`] does, and as many states; panics otherwise.
pub fn directions(
    layers: &[(Layer, bool)],
    x: &[f32],
    sizes: [usize; 2],
    states: &mut [State],
) -> Vec<Vec<f32>> {
    assert!(layers.len() == states.len(), "every layer has a state");
    let mut ran: Vec<(&mut State, Vec<f32>)> = states.iter_mut().map(|state| (state, Vec::new())).collect();
    let threads = rayon::current_num_threads();
    // Side by side where a layer alone does not keep the threads busy.
    let aside = if sizes[1] < threads || threads <= layers.len() { threads } else { 1 };
    share_chunks(&mut ran, 1, aside, &|index, parts| {
        let (layer, backward) = &layers[index];
        for (state, out) in parts {
            *out = layer.run(x, sizes, *backward, state);
        }
    });
    ran.into_iter().map(|(_, out)| out).collect()
}

/// What the sequences do with the sums of a step.
struct Gates<'a> {
    kind: Kind,
    hidden: usize,
    /// The states' share, `[count][gates · hidden]`.
    sums: &'a [f32],
    /// The input's.
    share: &'a [f32],
    /// `[count][hidden]`
    h: &'a mut [f32],
    c: &'a mut [f32],
}

impl WithSimd for Gates<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { kind, hidden, sums, share, h, c } = self;
        let rows = kind.gates() * hidden;
        let states = h.chunks_exact_mut(hidden).zip(c.chunks_exact_mut(hidden));
        for ((sums, share), (h, c)) in sums.chunks_exact(rows).zip(share.chunks_exact(rows)).zip(states) {
            match kind {
                Kind::Lstm => lstm(simd, sums, share, h, c),
                Kind::Gru => gru(simd, sums, share, h),
            }
        }
    }
}

/// c' = f · c + i · c~, h' = o · tanh(c')
#[inline(always)]
fn lstm<S: Simd>(simd: S, sums: &[f32], share: &[f32], h: &mut [f32], c: &mut [f32]) {
    let hidden = h.len();
    for at in (0..hidden).step_by(S::F32_LANES) {
        let count = S::F32_LANES.min(hidden - at);
        let [input, output, forget, new] = [0, 1, 2, 3].map(
            #[inline(always)]
            |gate| {
                let first = gate * hidden + at;
                let share = load(simd, &share[first..first + count]);
                simd.add_f32s(load(simd, &sums[first..first + count]), share)
            },
        );
        let new = simd.mul_f32s(sigmoid(simd, input), tanh(simd, new));
        let c = &mut c[at..at + count];
        let cell = simd.mul_add_e_f32s(sigmoid(simd, forget), load(simd, c), new);
        simd.partial_store_f32s(c, cell);
        let state = simd.mul_f32s(sigmoid(simd, output), tanh(simd, cell));
        simd.partial_store_f32s(&mut h[at..at + count], state);
    }
}

/// n = tanh(share + r · sum), h' = n + z · (h - n)
#[inline(always)]
fn gru<S: Simd>(simd: S, sums: &[f32], share: &[f32], h: &mut [f32]) {
    let hidden = h.len();
    for at in (0..hidden).step_by(S::F32_LANES) {
        let count = S::F32_LANES.min(hidden - at);
        let [sums, share] = [sums, share].map(
            #[inline(always)]
            |part| {
                [0, 1, 2].map(
                    #[inline(always)]
                    |gate| load(simd, &part[gate * hidden + at..][..count]),
                )
            },
        );
        let update = sigmoid(simd, simd.add_f32s(sums[0], share[0]));
        let reset = sigmoid(simd, simd.add_f32s(sums[1], share[1]));
        let new = tanh(simd, simd.mul_add_e_f32s(reset, sums[2], share[2]));
        let h = &mut h[at..at + count];
        let state = simd.mul_add_e_f32s(update, simd.sub_f32s(load(simd, h), new), new);
        simd.partial_store_f32s(h, state);
    }
}

/// A vector of up to as many elements as it has lanes.
#[inline(always)]
fn load<S: Simd>(simd: S, elements: &[f32]) -> S::f32s {
    match S::as_simd_f32s(elements).0 {
        [whole] => *whole,
        _ => simd.partial_load_f32s(elements),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn numbers(count: usize, seed: usize) -> Vec<f32> {
        (0..count).map(|i| ((i * 7919 + seed * 104_729) % 2003) as f32 / 1001.5 - 1.0).collect()
    }

    /// Computes one step of one sequence by the formulas, in double precision.
    fn step(kind: Kind, w: &[f32], r: &[f32], b: &[f32], x: &[f32], h: &mut [f64], c: &mut [f64]) {
        let (hidden, width, rows) = (h.len(), x.len(), kind.gates() * h.len());
        let of_x = |row: usize| -> f64 {
            (0..width).map(|i| f64::from(w[row * width + i]) * f64::from(x[i])).sum::<f64>()
                + f64::from(b[row])
        };
        let of_h = |row: usize| -> f64 {
            let sum: f64 = (0..hidden).map(|i| f64::from(r[row * hidden + i]) * h[i]).sum();
            sum + f64::from(b[rows + row])
        };
        let sigmoid = |v: f64| 1.0 / (1.0 + (-v).exp());
        let next: Vec<(f64, f64)> = (0..hidden)
            .map(|i| {
                let both = |gate: usize| of_x(gate * hidden + i) + of_h(gate * hidden + i);
                match kind {
                    Kind::Lstm => {
                        let c = sigmoid(both(2)) * c[i] + sigmoid(both(0)) * both(3).tanh();
                        (sigmoid(both(1)) * c.tanh(), c)
                    }
                    Kind::Gru => {
                        let (z, r) = (sigmoid(both(0)), sigmoid(both(1)));
                        let n = (of_x(2 * hidden + i) + r * of_h(2 * hidden + i)).tanh();
                        ((1.0 - z) * n + z * h[i], 0.0)
                    }
                }
            })
            .collect();
        for (i, next) in next.into_iter().enumerate() {
            (h[i], c[i]) = next;
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn layers_follow_the_formulas(
            steps in 1usize..9, batch in 1usize..6, width in 1usize..20, hidden in 1usize..40,
            backward: bool, lstm: bool,
        ) {
            let kind = if lstm { Kind::Lstm } else { Kind::Gru };
            let rows = kind.gates() * hidden;
            let (w, r) = (numbers(rows * width, 1), numbers(rows * hidden, 2));
            let (b, x) = (numbers(2 * rows, 3), numbers(steps * batch * width, 4));
            let layer = Layer::new(kind, hidden, &w, &r, Some(&b)).unwrap();
            let mut state = State { h: numbers(batch * hidden, 5), c: numbers(batch * hidden, 6) };
            let wide = |v: &[f32]| v.iter().map(|v| f64::from(*v)).collect::<Vec<f64>>();
            let (mut h, mut c) = (wide(&state.h), wide(&state.c));
            let got = layer.run(&x, [steps, batch], backward, &mut state);
            for index in 0..steps {
                let time = if backward { steps - 1 - index } else { index };
                for item in 0..batch {
                    let x = &x[(time * batch + item) * width..][..width];
                    let at = item * hidden..(item + 1) * hidden;
                    step(kind, &w, &r, &b, x, &mut h[at.clone()], &mut c[at.clone()]);
                    for (got, wanted) in got[(time * batch + item) * hidden..].iter().zip(&h[at]) {
                        prop_assert!((f64::from(*got) - wanted).abs() < 1e-4, "{got} for {wanted}");
                    }
                }
            }
            prop_assert!(state.h.iter().zip(&h).all(|(a, b)| (f64::from(*a) - b).abs() < 1e-4));
        }
    }

    /// Long enough for threads: each sequence alone gives what it gives among others.
    #[test]
    fn sequences_do_not_depend_on_each_other() {
        let (steps, batch, width, hidden) = (20, 5, 16, 120);
        let (w, r) = (numbers(4 * hidden * width, 1), numbers(4 * hidden * hidden, 2));
        let layer = Layer::new(Kind::Lstm, hidden, &w, &r, None).unwrap();
        let x = numbers(steps * batch * width, 3);
        let fresh = |batch: usize| State { h: vec![0.0; batch * hidden], c: vec![0.0; batch * hidden] };
        let together = layer.run(&x, [steps, batch], false, &mut fresh(batch));
        for item in 0..batch {
            let own: Vec<f32> =
                x.chunks(batch * width).flat_map(|x| &x[item * width..][..width]).copied().collect();
            let alone = layer.run(&own, [steps, 1], false, &mut fresh(1));
            for (alone, together) in alone.chunks(hidden).zip(together.chunks(batch * hidden)) {
                assert!(alone == &together[item * hidden..][..hidden]);
            }
        }
    }
}
