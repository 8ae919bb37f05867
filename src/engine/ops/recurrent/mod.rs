//! RNN, GRU and LSTM: what is alike in them, over time, direction and batch. What one step does is in `cell`.

mod activation;
mod cell;
mod packed;

use super::shape::permute;
use super::{BoxOp, Context, Inputs, Op, OpError, OpResult, Registry, Site, broadcast};
use crate::engine::backend::Kernels;
use crate::engine::value::{Value, from_burn};
use crate::tensor::Tensor;
use activation::Activation;
use burn::tensor::ops::{BoolTensor, FloatTensor};
use burn::tensor::{Slice, TensorMetadata};
use cell::{Cell, Kind, State, Weights};

pub fn register<B: Kernels>(r: &mut Registry<B>) {
    r.op("RNN", 7, |site| build(site, Kind::Rnn));
    r.op("GRU", 7, |site| build(site, Kind::Gru));
    r.op("LSTM", 7, |site| build(site, Kind::Lstm));
}

struct Recurrent<B: Kernels> {
    kind: Kind,
    /// Whether each direction runs from the end.
    backward: Vec<bool>,
    cells: Vec<Cell>,
    /// Whether the batch comes before time.
    batch_first: bool,
    /// The weights of each direction, where they are constants.
    weights: Option<Vec<Weights<B>>>,
    /// Whether the output of every step is wanted, not only that of the last.
    every_step: bool,
}

fn build<B: Kernels>(site: &Site<'_, B>, kind: Kind) -> Result<BoxOp<B>, String> {
    let attributes = &site.node.attributes;
    let backward = match attributes.text("direction", "forward")? {
        "forward" => vec![false],
        "reverse" => vec![true],
        "bidirectional" => vec![false, true],
        other => return Err(format!("direction {other:?} is not known")),
    };
    let clip = attributes.find_float("clip")?.map(|c| f64::from(*c)).filter(|c| *c > 0.0);
    let activations = Activation::read(attributes, kind.activations(), backward.len())?;
    let cell = |activations| -> Result<Cell, String> {
        Ok(Cell {
            kind,
            activations,
            clip,
            coupled: attributes.flag("input_forget")?,
            reset_after: attributes.flag("linear_before_reset")?,
        })
    };
    let cells = activations.into_iter().map(cell).collect::<Result<Vec<_>, _>>()?;
    let batch_first = attributes.flag("layout")?;
    if !batch_first && let Some(packed) = packed::build(site, &cells, &backward) {
        return Ok(packed);
    }
    let of_weights: &[usize] = if kind == Kind::Lstm { &[1, 2, 3, 7] } else { &[1, 2, 3] };
    let constant = of_weights.iter().all(|i| !site.has_input(*i) || site.constant(*i).is_some());
    let weights = if constant && site.has_input(1) && site.has_input(2) {
        let mut get = |i| site.absorb(i).map(|t| Value::Host(t.clone()));
        Some(read(&cells, &mut get, site.device).map_err(|e| e.reason)?)
    } else {
        None
    };
    Ok(Box::new(Recurrent { kind, backward, cells, batch_first, weights, every_step: site.has_output(0) }))
}

/// The weights of every direction: W, R, B and P.
fn read<B: Kernels>(
    cells: &[Cell],
    get: &mut dyn FnMut(usize) -> Option<Value<B>>,
    device: &B::Device,
) -> Result<Vec<Weights<B>>, OpError> {
    let (w, r) = (get(1).ok_or("input 1 is missing")?, get(2).ok_or("input 2 is missing")?);
    let bias = get(3);
    let peepholes = if cells.iter().any(|c| c.kind == Kind::Lstm) { get(7) } else { None };
    let of = |v: &Value<B>, direction| row(v.clone(), direction, cells.len(), device);
    (0..cells.len())
        .map(|direction| {
            let bias = bias.as_ref().map(|b| of(b, direction)).transpose()?;
            let peepholes = peepholes.as_ref().map(|p| of(p, direction)).transpose()?;
            Ok(Weights::new(&cells[direction], of(&w, direction)?, of(&r, direction)?, bias, peepholes)?)
        })
        .collect()
}

/// Takes one entry of the first axis, whose length is given, without that axis.
fn row<B: Kernels>(
    x: Value<B>,
    index: usize,
    count: usize,
    device: &B::Device,
) -> Result<FloatTensor<B>, OpError> {
    let dims = x.dims();
    if dims.first() != Some(&count) {
        return Err(format!("{dims:?} for {count} directions").into());
    }
    let x = x.float(device)?;
    let mut slices: Vec<Slice> = dims.iter().map(|d| Slice::new(0, Some(*d as isize), 1)).collect();
    slices[0] = Slice::new(index as isize, Some(index as isize + 1), 1);
    let x = if count == 1 { x } else { B::float_slice(x, &slices) };
    Ok(B::float_reshape(x, dims[1..].to_vec().into()))
}

impl<B: Kernels> Op<B> for Recurrent<B> {
    fn run(&self, mut inputs: Inputs<B>, cx: &Context<B>) -> OpResult<B> {
        let x = inputs.take(0)?;
        let x = if self.batch_first && x.rank() == 3 { permute(x, &[1, 0, 2])? } else { x };
        let lengths = inputs.optional_ints(4)?;
        let (h, c) = (inputs.optional(5), inputs.optional(6));
        let found;
        let weights = match &self.weights {
            Some(weights) => weights,
            None => {
                let mut get = |i| inputs.optional(i);
                found = read(&self.cells, &mut get, &cx.device)?;
                &found
            }
        };
        let dims = x.dims();
        let [steps, batch, width] = dims[..] else { return Err(format!("{dims:?} has not 3 axes").into()) };
        let hidden = weights[0].hidden;
        if weights.iter().any(|w| w.width != width || w.hidden != hidden) {
            return Err(format!("an input {dims:?} for weights of {}", weights[0].width).into());
        }
        cx.check(x.dtype(), &[steps, batch, self.cells.len(), self.kind.gates() * hidden])?;
        // What each step gives, with what a tensor takes beside its elements, and all of it joined.
        cx.check(x.dtype(), &[steps, batch, self.cells.len(), hidden])?;
        cx.check(x.dtype(), &[steps, batch, self.cells.len(), hidden])?;
        cx.work::<[u8; TENSOR]>(steps.saturating_mul(self.cells.len()))?;
        let masks = masks(lengths.as_deref(), [steps, batch, hidden], cx)?;
        let x = x.float(&cx.device)?;
        let (mut all, mut last_h, mut last_c) = (Vec::new(), Vec::new(), Vec::new());
        for (direction, weights) in weights.iter().enumerate() {
            let initial = |given: &Option<Value<B>>| match given {
                None => Ok(B::float_zeros([batch, hidden].into(), &cx.device, x.dtype().into())),
                Some(given) => self.initial(given.clone(), direction, [batch, hidden], cx),
            };
            let start = State { h: initial(&h)?, c: initial(&c)? };
            let (outputs, end) = self.direction(direction, &x, weights, start, &masks, [steps, batch], cx)?;
            if self.every_step && !outputs.is_empty() {
                all.push(B::float_cat(outputs, 0));
            }
            last_h.push(B::float_reshape(end.h, [1, batch, hidden].into()));
            last_c.push(B::float_reshape(end.c, [1, batch, hidden].into()));
        }
        let directions = self.cells.len();
        let y = if all.is_empty() {
            B::float_zeros([steps, directions, batch, hidden].into(), &cx.device, x.dtype().into())
        } else {
            B::float_cat(all, 1)
        };
        let (mut y, mut y_h, mut y_c) =
            (Value::Float(y), Value::Float(B::float_cat(last_h, 0)), Value::Float(B::float_cat(last_c, 0)));
        if self.batch_first {
            y = permute(y, &[2, 0, 1, 3])?;
            (y_h, y_c) = (permute(y_h, &[1, 0, 2])?, permute(y_c, &[1, 0, 2])?);
        }
        Ok(if self.kind == Kind::Lstm { vec![y, y_h, y_c] } else { vec![y, y_h] })
    }
}

/// Bytes that a small tensor takes beside its elements, about.
const TENSOR: usize = 512;

impl<B: Kernels> Recurrent<B> {
    fn initial(
        &self,
        given: Value<B>,
        direction: usize,
        dims: [usize; 2],
        cx: &Context<B>,
    ) -> Result<FloatTensor<B>, OpError> {
        let given = if self.batch_first && given.rank() == 3 { permute(given, &[1, 0, 2])? } else { given };
        if given.dims().get(1..) != Some(&dims[..]) {
            return Err(format!("an initial state {:?} where {dims:?} is kept", given.dims()).into());
        }
        row(given, direction, self.cells.len(), &cx.device)
    }

    #[expect(clippy::too_many_arguments, reason = "one call, all of it the direction's own")]
    /// Runs through time; gives the output of each step, `[1, 1, batch, hidden]`, and the last state.
    fn direction(
        &self,
        direction: usize,
        x: &FloatTensor<B>,
        weights: &Weights<B>,
        mut state: State<B>,
        masks: &[Option<BoolTensor<B>>],
        [steps, batch]: [usize; 2],
        cx: &Context<B>,
    ) -> Result<(Vec<FloatTensor<B>>, State<B>), OpError> {
        let cell = &self.cells[direction];
        let (hidden, gates) = (weights.hidden, cell.kind.gates());
        let mut outputs: Vec<FloatTensor<B>> = Vec::new();
        if steps == 0 || batch == 0 {
            return Ok((outputs, state));
        }
        // The share of the input, of all steps at once.
        let flat = B::float_reshape(x.clone(), [steps * batch, weights.width].into());
        let mut share = B::float_matmul(flat, weights.input.clone());
        if let Some(bias) = &weights.bias {
            let shape = share.shape();
            share = B::float_add(share, B::float_expand(bias.clone(), shape));
        }
        for index in 0..steps {
            cx.run.go_on()?;
            let time = if self.backward[direction] { steps - 1 - index } else { index };
            let rows = Slice::new((time * batch) as isize, Some(((time + 1) * batch) as isize), 1);
            let columns = Slice::new(0, Some((gates * hidden) as isize), 1);
            let now = B::float_slice(share.clone(), &[rows, columns]);
            let next = cell.step(now, &state, weights);
            let output = match &masks[time] {
                None => {
                    state = next;
                    state.h.clone()
                }
                // Sequences that have ended keep their state, and give zeros.
                Some(ended) => {
                    let output = B::float_mask_fill(next.h.clone(), ended.clone(), 0.0.into());
                    state.h = B::float_mask_where(next.h, ended.clone(), state.h);
                    state.c = B::float_mask_where(next.c, ended.clone(), state.c);
                    output
                }
            };
            if self.every_step {
                outputs.push(B::float_reshape(output, [1, 1, batch, hidden].into()));
            }
        }
        // What had no step has no state, as ONNX Runtime has it.
        if let Some(empty) = &masks[0] {
            state.h = B::float_mask_fill(state.h, empty.clone(), 0.0.into());
            state.c = B::float_mask_fill(state.c, empty.clone(), 0.0.into());
        }
        if self.backward[direction] {
            outputs.reverse();
        }
        Ok((outputs, state))
    }
}

/// The sequences that have ended at each step, `[batch, hidden]`; `None` where none has.
fn masks<B: Kernels>(
    lengths: Option<&[i64]>,
    [steps, batch, hidden]: [usize; 3],
    cx: &Context<B>,
) -> Result<Vec<Option<BoolTensor<B>>>, OpError> {
    let Some(lengths) = lengths else { return Ok(vec![None; steps]) };
    if lengths.len() != batch || lengths.iter().any(|l| *l < 0 || *l > steps as i64) {
        return Err(format!("sequence_lens {lengths:?} for {batch} sequences of {steps} steps").into());
    }
    (0..steps as i64)
        .map(|time| {
            let ended: Vec<bool> = lengths.iter().map(|l| *l <= time).collect();
            if !ended.contains(&true) {
                return Ok(None);
            }
            let ended = Tensor::from_bools(vec![batch, 1], ended).map_err(|e| e.to_string())?;
            broadcast::to(Value::Host(ended), &[batch, hidden], cx)?.bool(&cx.device).map(Some)
        })
        .collect()
}

/// An error where two tensors that go together are of different types.
fn same<B: Kernels>(a: &FloatTensor<B>, b: &FloatTensor<B>) -> Result<(), String> {
    let (a, b) = (from_burn(a.dtype()), from_burn(b.dtype()));
    if a == b { Ok(()) } else { Err(format!("{a} and {b} do not go together")) }
}
