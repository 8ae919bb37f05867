//! LSTM, GRU and RNN.

use super::{Call, Ruled};
use crate::engine::onnx::infer::dim::Dim;
use crate::engine::onnx::infer::fact::Fact;

pub fn layer(call: &mut Call<'_, '_>) -> Ruled {
    let Some(x) = call.dims(0) else { return Ok(vec![]) };
    let [first, second, _] = &x[..] else { return Err(format!("{} axes, and not 3", x.len())) };
    let directions = Dim::Fixed(if call.text("direction") == "bidirectional" { 2 } else { 1 });
    let hidden = match call.int("hidden_size", 0) {
        0 => call.dims(2).and_then(|dims| dims.last().cloned()).unwrap_or(Dim::Unknown),
        hidden => Dim::Fixed(hidden),
    };
    let batch_first = call.int("layout", 0) != 0;
    let (steps, batch) = if batch_first { (second, first) } else { (first, second) };
    let parts = |dims: [&Dim; 4]| Fact::of_dims(dims.into_iter().cloned().collect::<Vec<_>>());
    let (every, last) = match batch_first {
        true => (parts([batch, steps, &directions, &hidden]), vec![batch.clone(), directions, hidden]),
        false => (parts([steps, &directions, batch, &hidden]), vec![directions, batch.clone(), hidden]),
    };
    Ok(vec![every, Fact::of_dims(last.clone()), Fact::of_dims(last)])
}
