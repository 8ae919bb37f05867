//! Hann, Hamming and Blackman windows: sums of cosines.

use super::size;
use crate::engine::backend::Kernels;
use crate::engine::host;
use crate::engine::ops::{BoxOp, Context, Inputs, Site, one};
use crate::engine::value::Value;
use crate::tensor::DType;
use std::f64::consts::PI;

#[derive(Clone, Copy, Debug)]
pub enum Kind {
    Hann,
    Hamming,
    Blackman,
}

/// A periodic window is the start of a symmetric one that is longer by one.
pub fn build<B: Kernels>(site: &Site<'_, B>, kind: Kind) -> Result<BoxOp<B>, String> {
    let dtype = host::dtype_of(site.node.attributes.int("output_datatype", 1)?)?;
    let periodic = site.node.attributes.int("periodic", 1)? != 0;
    // a0 - a1 · cos(2πn/N) + a2 · cos(4πn/N)
    let [a0, a1, a2] = match kind {
        Kind::Hann => [0.5, 0.5, 0.0],
        Kind::Hamming => [25.0 / 46.0, 21.0 / 46.0, 0.0],
        Kind::Blackman => [0.42, 0.5, 0.08],
    };
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        let length = size(&mut inputs, 0)?.ok_or("input 0 is missing")?;
        cx.check(dtype, &[length])?;
        let period = if periodic { length } else { length.saturating_sub(1) };
        let at = |n: usize| {
            // Of a symmetric window of one element the definition makes no number: its period is zero.
            let angle = 2.0 * PI * n as f64 / period as f64;
            a0 - a1 * angle.cos() + a2 * (2.0 * angle).cos()
        };
        if dtype == DType::Bool {
            return Err("bool where a float should be".into());
        }
        let window = (0..length).map(|n| host::Number::Float(at(n)));
        one(Value::Host(host::from_numbers(dtype, vec![length], window)?))
    }))
}
