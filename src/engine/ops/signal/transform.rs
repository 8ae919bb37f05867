//! DFT along one axis, and STFT: DFTs of windows that slide over a signal. The last axis of a signal holds the
//! real part, or the real and the imaginary part.

use super::fft::{Complex, Fft};
use super::{scalar, size};
use crate::engine::backend::Kernels;
use crate::engine::host;
use crate::engine::ops::real::from_reals;
use crate::engine::ops::{BoxOp, Context, Inputs, Site, axis as check_axis, one};
use crate::engine::value::Value;
use crate::tensor::DType;

fn checked(length: usize) -> Result<usize, String> {
    if (1..=Fft::MOST).contains(&length) {
        Ok(length)
    } else {
        Err(format!("a transform of {length} elements"))
    }
}

/// The axis is an attribute in opset 17 (default 1), an input since 20 (default -2).
pub fn dft<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let attributes = &site.node.attributes;
    let (inverse, one_sided) = (attributes.flag("inverse")?, attributes.flag("onesided")?);
    let known = if site.node.version < 20 { Some(attributes.int("axis", 1)?) } else { None };
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        let x = inputs.take(0)?.into_host()?;
        let length = size(&mut inputs, 1)?;
        let given = match known {
            Some(axis) => axis,
            None => scalar(&mut inputs, 2)?.map_or(-2, |a| a.as_i64()),
        };
        let dims = x.shape();
        let parts = dims.last().copied().unwrap_or(0);
        let axis = check_axis(given, dims.len())?;
        if !(parts == 1 || parts == 2) || axis + 1 == dims.len() || dims[axis] == 0 {
            return Err(format!("a transform of {x:?} along axis {given}").into());
        }
        let back = inverse && one_sided;
        let length = length.unwrap_or(if back { 2 * (dims[axis] - 1) } else { dims[axis] });
        let length = checked(length)?;
        let mut out = dims.to_vec();
        out[axis] = if one_sided && !inverse { length / 2 + 1 } else { length };
        out[dims.len() - 1] = if back { 1 } else { 2 };
        cx.check(DType::F64, &out)?;
        // What is kept along the axis while the transform runs.
        cx.check(DType::F64, &[length, 32])?;
        let fft = Fft::new(length);
        let (outer, inner): (usize, usize) =
            (dims[..axis].iter().product(), dims[axis + 1..dims.len() - 1].iter().product());
        cx.work::<f64>(x.len())?;
        cx.check(x.dtype(), &out)?;
        let cells = x.to_f64();
        let mut result = host::filled(0.0f64, host::count(&out)?)?;
        let mut line: Vec<Complex> = Vec::with_capacity(length);
        for row in 0..outer {
            for column in 0..inner {
                cx.run.go_on()?;
                line.clear();
                line.extend((0..length.min(dims[axis])).map(|i| {
                    let at = ((row * dims[axis] + i) * inner + column) * parts;
                    (cells[at], if parts == 2 { cells[at + 1] } else { 0.0 })
                }));
                line.resize(length, (0.0, 0.0));
                if back {
                    mirror(&mut line);
                }
                fft.run(&mut line, inverse);
                for (i, v) in line.iter().take(out[axis]).enumerate() {
                    let at = (row * out[axis] + i) * inner + column;
                    if back {
                        result[at] = v.0;
                    } else {
                        (result[2 * at], result[2 * at + 1]) = *v;
                    }
                }
            }
        }
        one(Value::Host(from_reals(x.dtype(), out, result)?))
    }))
}

/// The half that a real signal's transform leaves out: the conjugates of the first, backwards.
fn mirror(line: &mut [Complex]) {
    let n = line.len();
    line[0].1 = 0.0;
    for k in n / 2 + 1..n {
        line[k] = (line[n - k].0, -line[n - k].1);
    }
    if n.is_multiple_of(2) {
        line[n / 2].1 = 0.0;
    }
}

/// `[batch, signal, 1 or 2]` gives `[batch, frames, bins, 2]`.
pub fn stft<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let one_sided = site.node.attributes.int("onesided", 1)? != 0;
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        let x = inputs.take(0)?.into_host()?;
        let step = size(&mut inputs, 1)?.filter(|s| *s > 0).ok_or("frame_step is not positive")?;
        let window = inputs.optional(2).map(Value::into_host).transpose()?.map(|w| w.to_f64());
        let (batch, signal, parts) = match x.shape()[..] {
            [batch, signal] => (batch, signal, 1),
            [batch, signal, parts @ 1..=2] => (batch, signal, parts),
            _ => return Err(format!("{x:?} is not a batch of signals").into()),
        };
        let given = size(&mut inputs, 3)?;
        let length = given.or(window.as_ref().map(Vec::len)).unwrap_or(signal);
        let length = checked(length)?;
        if length > signal || window.as_ref().is_some_and(|w| w.len() != length) {
            return Err(format!("frames of {length} in a signal of {signal}").into());
        }
        if one_sided && parts == 2 {
            return Err("the transform of a complex signal has two sides".into());
        }
        let frames = (signal - length) / step + 1;
        let bins = if one_sided { length / 2 + 1 } else { length };
        let out = vec![batch, frames, bins, 2];
        cx.check(DType::F64, &out)?;
        cx.check(DType::F64, &[length, 32])?;
        let fft = Fft::new(length);
        cx.work::<f64>(x.len())?;
        cx.check(x.dtype(), &out)?;
        let cells = x.to_f64();
        let mut result = host::room(host::count(&out)?)?;
        let mut line: Vec<Complex> = Vec::with_capacity(length);
        for item in 0..batch {
            for frame in 0..frames {
                cx.run.go_on()?;
                line.clear();
                line.extend((0..length).map(|i| {
                    let at = (item * signal + frame * step + i) * parts;
                    let weight = window.as_ref().map_or(1.0, |w| w[i]);
                    (cells[at] * weight, if parts == 2 { cells[at + 1] * weight } else { 0.0 })
                }));
                fft.run(&mut line, false);
                line.iter().take(bins).for_each(|v| result.extend([v.0, v.1]));
            }
        }
        one(Value::Host(from_reals(x.dtype(), out, result)?))
    }))
}
