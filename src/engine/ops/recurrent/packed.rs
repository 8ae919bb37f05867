//! LSTM and GRU with constant weights and the usual activations, by the kernel.

use super::cell::{Cell, Kind};
use crate::engine::backend::Kernels;
use crate::engine::kernels::matmul;
use crate::engine::kernels::recurrent::{self, Layer, State};
use crate::engine::ops::{BoxOp, Context, Inputs, Op, OpError, OpResult, Site};
use crate::engine::value::Value;
use crate::tensor::{DType, Tensor};
use burn::tensor::TensorData;

struct Packed {
    kind: recurrent::Kind,
    /// A layer for each direction, and whether it runs from the end.
    layers: Vec<(Layer, bool)>,
}

/// The operator by the kernel; `None` where the layer asks for what the kernel does not do.
pub fn build<B: Kernels>(site: &Site<'_, B>, cells: &[Cell], backward: &[bool]) -> Option<BoxOp<B>> {
    let kind = match cells.first()?.kind {
        Kind::Lstm => recurrent::Kind::Lstm,
        Kind::Gru => recurrent::Kind::Gru,
        Kind::Rnn => return None,
    };
    let plain = |cell: &Cell| {
        cell.activations == cell.kind.activations()
            && cell.clip.is_none()
            && !cell.coupled
            && (kind == recurrent::Kind::Lstm || cell.reset_after)
    };
    if !B::ON_HOST || !cells.iter().all(plain) || site.has_input(4) || site.has_input(7) {
        return None;
    }
    // Only an LSTM has a state of its cells.
    if site.has_input(3) && site.constant(3).is_none() {
        return None;
    }
    let single = |input| site.constant(input).filter(|t: &&Tensor| t.dtype() == DType::F32);
    let (w, r) = (single(1)?, single(2)?);
    let bias = if site.has_input(3) { Some(single(3)?) } else { None };
    let (directions, rows, hidden) = match *r.shape() {
        [directions, rows, hidden] => (directions, rows, hidden),
        _ => return None,
    };
    let fits = directions == cells.len()
        && hidden.checked_mul(kind.gates()) == Some(rows)
        && matches!(*w.shape(), [d, r, _] if d == directions && r == rows)
        && bias.is_none_or(|b| *b.shape() == [directions, 2 * rows]);
    if !fits {
        return None;
    }
    let (w, r) = (w.elements::<f32>()?, r.elements::<f32>()?);
    let bias = match bias {
        Some(bias) => Some(bias.elements::<f32>()?),
        None => None,
    };
    let part = |all: &[f32], index: usize| {
        let size = all.len() / directions;
        index * size..(index + 1) * size
    };
    let width = w.len() / (directions * rows).max(1);
    let bytes = |inner| matmul::Packed::bytes([inner, rows])?.checked_mul(directions);
    site.keep(bytes(width).zip(bytes(hidden)).and_then(|(w, r)| w.checked_add(r))).ok()?;
    let layers = backward.iter().enumerate().map(|(index, backward)| {
        let bias = bias.as_deref().map(|bias| &bias[part(bias, index)]);
        let layer = Layer::new(kind, hidden, &w[part(&w, index)], &r[part(&r, index)], bias);
        layer.map(|layer| (layer, *backward))
    });
    let layers = layers.collect::<Option<Vec<_>>>()?;
    (1..4).for_each(|input| {
        site.absorb(input);
    });
    Some(Box::new(Packed { kind, layers }))
}

impl<B: Kernels> Op<B> for Packed {
    fn run(&self, mut inputs: Inputs<B>, cx: &Context<B>) -> OpResult<B> {
        let x = inputs.take(0)?;
        let (dims, directions) = (x.dims(), self.layers.len());
        let [steps, batch, width] = dims[..] else { return Err(format!("{dims:?} has not 3 axes").into()) };
        let (hidden, wanted) = match self.layers.first() {
            Some((layer, _)) => (layer.hidden(), layer.width()),
            None => return Err("it has no direction".into()),
        };
        if width != wanted || x.dtype() != DType::F32 {
            return Err(format!("an input {x:?} for weights of {wanted} float32").into());
        }
        cx.check(DType::F32, &[steps, batch, directions, self.kind.gates() * hidden])?;
        // What each direction gives, and both side by side.
        cx.check(DType::F32, &[steps, directions, batch, hidden])?;
        cx.check(DType::F32, &[steps, directions, batch, hidden])?;
        let mut initial = |input: usize| -> Result<Vec<f32>, OpError> {
            let Some(given) = inputs.optional(input) else {
                return Ok(vec![0.0; directions * batch * hidden]);
            };
            if given.dims() != [directions, batch, hidden] || given.dtype() != DType::F32 {
                let wanted = [directions, batch, hidden];
                return Err(format!("an initial state {given:?} where {wanted:?} is kept").into());
            }
            let copied = B::with_elements(&given.float(&cx.device)?, &mut |elements| elements.to_vec());
            copied.ok_or_else(|| "an initial state that is not float32".into())
        };
        let (h, c) = (initial(5)?, initial(6)?);
        let one = batch * hidden;
        let own = |index: usize| index * one..(index + 1) * one;
        let mut states: Vec<State> = (0..directions)
            .map(|index| State { h: h[own(index)].to_vec(), c: c[own(index)].to_vec() })
            .collect();
        let x = x.float(&cx.device)?;
        let ran = B::with_elements(&x, &mut |x: &[f32]| {
            recurrent::directions(&self.layers, x, [steps, batch], &mut states)
        });
        let ran = ran.ok_or("it takes float32")?;
        let float = |elements: Vec<f32>, dims: &[usize]| {
            Value::Float(B::float_from_data(TensorData::new(elements, dims.to_vec()), &cx.device))
        };
        let last = [directions, batch, hidden];
        let h = float(states.iter().flat_map(|state| &state.h).copied().collect(), &last);
        let c = float(states.iter().flat_map(|state| &state.c).copied().collect(), &last);
        let y = match <[Vec<f32>; 1]>::try_from(ran) {
            Ok([only]) => only,
            // The directions side by side, step by step.
            Err(ran) => (0..steps)
                .flat_map(|step| ran.iter().map(move |y| &y[step * one..(step + 1) * one]))
                .flatten()
                .copied()
                .collect(),
        };
        let y = float(y, &[steps, directions, batch, hidden]);
        Ok(if self.kind == recurrent::Kind::Lstm { vec![y, h, c] } else { vec![y, h] })
    }
}
