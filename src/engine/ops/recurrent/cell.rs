//! One step of each kind of recurrent layer. Formulas as ONNX has them; gates lie side by side in the order of
//! its weights: an LSTM's i o f c, a GRU's z r h.

use super::activation::Activation;
use super::same;
use crate::engine::backend::Kernels;
use crate::engine::kernels;
use burn::tensor::ops::FloatTensor;
use burn::tensor::{Slice, TensorMetadata};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Rnn,
    Gru,
    Lstm,
}

impl Kind {
    pub fn gates(self) -> usize {
        match self {
            Self::Rnn => 1,
            Self::Gru => 3,
            Self::Lstm => 4,
        }
    }

    /// The activations that a model leaves out.
    pub fn activations(self) -> &'static [Activation] {
        match self {
            Self::Rnn => &[Activation::Tanh],
            Self::Gru => &[Activation::Sigmoid, Activation::Tanh],
            Self::Lstm => &[Activation::Sigmoid, Activation::Tanh, Activation::Tanh],
        }
    }
}

pub struct Cell {
    pub kind: Kind,
    pub activations: Vec<Activation>,
    /// What goes into a gate's activation lies within ± this.
    pub clip: Option<f64>,
    /// An LSTM's forget gate is 1 - its input gate.
    pub coupled: bool,
    /// A GRU resets after the product with its weights, not before.
    pub reset_after: bool,
}

/// `[batch, hidden]` each. Only an LSTM uses `c`.
pub struct State<B: Kernels> {
    pub h: FloatTensor<B>,
    pub c: FloatTensor<B>,
}

/// The weights of one direction.
pub struct Weights<B: Kernels> {
    pub width: usize,
    pub hidden: usize,
    /// `[width, gates · hidden]`
    pub input: FloatTensor<B>,
    /// `[hidden, gates · hidden]`
    recurrent: FloatTensor<B>,
    /// A GRU's gates and its new state apart, where it resets before the product.
    apart: Option<[FloatTensor<B>; 2]>,
    /// What is added to the input's share, `[1, gates · hidden]`.
    pub bias: Option<FloatTensor<B>>,
    /// What a GRU that resets after the product adds before it, `[1, hidden]`.
    inner_bias: Option<FloatTensor<B>>,
    /// An LSTM's, of the gates i, o and f, `[1, hidden]` each.
    peepholes: Option<[FloatTensor<B>; 3]>,
}

/// Columns of a matrix.
fn columns<B: Kernels>(x: &FloatTensor<B>, start: usize, count: usize) -> FloatTensor<B> {
    let rows = x.shape()[0];
    let all = Slice::new(0, Some(rows as isize), 1);
    B::float_slice(x.clone(), &[all, Slice::new(start as isize, Some((start + count) as isize), 1)])
}

impl<B: Kernels> Weights<B> {
    /// `w [gates · hidden, width]`, `r [gates · hidden, hidden]`, `bias [2 · gates · hidden]`, `p [3 · hidden]`
    pub fn new(
        cell: &Cell,
        w: FloatTensor<B>,
        r: FloatTensor<B>,
        bias: Option<FloatTensor<B>>,
        p: Option<FloatTensor<B>>,
    ) -> Result<Self, String> {
        let (shape_w, shape_r) = (w.shape(), r.shape());
        let gates = cell.kind.gates();
        let refused =
            || format!("weights {:?} and {:?} do not go together", shape_w.as_slice(), shape_r.as_slice());
        let ([rows, width], [rows_r, hidden]) = (shape_w.as_slice(), shape_r.as_slice()) else {
            return Err(refused());
        };
        let hidden = *hidden;
        if rows != rows_r || hidden.checked_mul(gates) != Some(*rows) || hidden == 0 || *width == 0 {
            return Err(refused());
        }
        same::<B>(&w, &r)?;
        let sized = |t: FloatTensor<B>, count: usize| -> Result<FloatTensor<B>, String> {
            same::<B>(&w, &t)?;
            if t.shape().as_slice() != [count] {
                return Err(format!("{:?} where [{count}] should be", t.shape().as_slice()));
            }
            Ok(B::float_reshape(t, [1, count].into()))
        };
        let mut inner_bias = None;
        let bias = match bias {
            None => None,
            Some(bias) => {
                let bias = sized(bias, 2 * rows)?;
                let (outer, inner) = (columns::<B>(&bias, 0, *rows), columns::<B>(&bias, *rows, *rows));
                if cell.kind == Kind::Gru && cell.reset_after {
                    inner_bias = Some(columns::<B>(&inner, 2 * hidden, hidden));
                    let both = B::float_add(
                        columns::<B>(&outer, 0, 2 * hidden),
                        columns::<B>(&inner, 0, 2 * hidden),
                    );
                    Some(B::float_cat(vec![both, columns::<B>(&outer, 2 * hidden, hidden)], 1))
                } else {
                    Some(B::float_add(outer, inner))
                }
            }
        };
        let peepholes = match p {
            None => None,
            Some(p) => {
                let p = sized(p, 3 * hidden)?;
                Some(std::array::from_fn(|i| columns::<B>(&p, i * hidden, hidden)))
            }
        };
        let recurrent = B::float_transpose(r);
        let apart = (cell.kind == Kind::Gru && !cell.reset_after)
            .then(|| [columns::<B>(&recurrent, 0, 2 * hidden), columns::<B>(&recurrent, 2 * hidden, hidden)]);
        Ok(Self {
            width: *width,
            hidden,
            input: B::float_transpose(w),
            recurrent,
            apart,
            bias,
            inner_bias,
            peepholes,
        })
    }
}

impl Cell {
    /// `share` is the input's share of the gates, `[batch, gates · hidden]`.
    pub fn step<B: Kernels>(
        &self,
        share: FloatTensor<B>,
        state: &State<B>,
        weights: &Weights<B>,
    ) -> State<B> {
        match self.kind {
            Kind::Rnn => {
                let sum = B::float_add(share, B::float_matmul(state.h.clone(), weights.recurrent.clone()));
                State { h: self.through::<B>(0, sum), c: state.c.clone() }
            }
            Kind::Gru => State { h: self.gru(share, &state.h, weights), c: state.c.clone() },
            Kind::Lstm => self.lstm(share, state, weights),
        }
    }

    fn through<B: Kernels>(&self, index: usize, x: FloatTensor<B>) -> FloatTensor<B> {
        let x = match self.clip {
            Some(clip) => B::activate(x, kernels::Activation::Clip { min: -clip as f32, max: clip as f32 }),
            None => x,
        };
        self.activations[index].apply::<B>(x)
    }

    /// H' = (1 - z) · n + z · H
    fn gru<B: Kernels>(
        &self,
        share: FloatTensor<B>,
        h: &FloatTensor<B>,
        weights: &Weights<B>,
    ) -> FloatTensor<B> {
        let size = weights.hidden;
        let of_input = columns::<B>(&share, 0, 2 * size);
        // Of what the state gives to the gates: z and r.
        let gates = |of_state| {
            let both = self.through::<B>(0, B::float_add(of_input, of_state));
            (columns::<B>(&both, 0, size), columns::<B>(&both, size, size))
        };
        let (z, inner) = match &weights.apart {
            Some([of_gates, of_new]) => {
                let (z, r) = gates(B::float_matmul(h.clone(), of_gates.clone()));
                (z, B::float_matmul(B::float_mul(r, h.clone()), of_new.clone()))
            }
            None => {
                let product = B::float_matmul(h.clone(), weights.recurrent.clone());
                let (z, r) = gates(columns::<B>(&product, 0, 2 * size));
                let mut new = columns::<B>(&product, 2 * size, size);
                if let Some(bias) = &weights.inner_bias {
                    let shape = new.shape();
                    new = B::float_add(new, B::float_expand(bias.clone(), shape));
                }
                (z, B::float_mul(r, new))
            }
        };
        let new = self.through::<B>(1, B::float_add(columns::<B>(&share, 2 * size, size), inner));
        // n + z · (H - n)
        B::float_add(new.clone(), B::float_mul(z, B::float_sub(h.clone(), new)))
    }

    fn lstm<B: Kernels>(&self, share: FloatTensor<B>, state: &State<B>, weights: &Weights<B>) -> State<B> {
        let size = weights.hidden;
        let gates = B::float_add(share, B::float_matmul(state.h.clone(), weights.recurrent.clone()));
        let gate = |index: usize| columns::<B>(&gates, index * size, size);
        let peep = |index: usize, gate: FloatTensor<B>, c: &FloatTensor<B>| match &weights.peepholes {
            None => gate,
            Some(p) => {
                let weight = B::float_expand(p[index].clone(), c.shape());
                B::float_add(gate, B::float_mul(weight, c.clone()))
            }
        };
        let i = self.through::<B>(0, peep(0, gate(0), &state.c));
        let f = if self.coupled {
            B::float_add_scalar(B::float_neg(i.clone()), 1.0.into())
        } else {
            self.through::<B>(0, peep(2, gate(2), &state.c))
        };
        let new = self.through::<B>(1, gate(3));
        let c = B::float_add(B::float_mul(f, state.c.clone()), B::float_mul(i, new));
        let o = self.through::<B>(0, peep(1, gate(1), &c));
        let h = B::float_mul(o, self.activations[2].apply::<B>(c.clone()));
        State { h, c }
    }
}
