//! RotaryEmbedding: pairs of elements turned by an angle that depends on the position.

use crate::engine::backend::Kernels;
use crate::engine::host;
use crate::engine::ops::math::{Arithmetic, arithmetic};
use crate::engine::ops::shape::slice::{Part, slice};
use crate::engine::ops::shape::{concat, permute};
use crate::engine::ops::{BoxOp, Context, Inputs, OpError, Site, one};
use crate::engine::value::Value;

pub fn build<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let attributes = &site.node.attributes;
    let interleaved = attributes.flag("interleaved")?;
    let size = |name| -> Result<usize, String> {
        usize::try_from(attributes.int(name, 0)?).map_err(|_| format!("{name} is negative"))
    };
    let (heads, rotated) = (size("num_heads")?, size("rotary_embedding_dim")?);
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        let x = inputs.take(0)?.on_device(&cx.device);
        let shape = x.dims();
        // [batch, length, heads, size] from here on.
        let x = match shape[..] {
            [_, _, _, _] => permute(x, &[0, 2, 1, 3])?,
            [batch, length, width] if heads > 0 && width % heads == 0 => {
                x.reshaped(vec![batch, length, heads, width / heads])?
            }
            _ => return Err(format!("{shape:?} does not split into {heads} heads").into()),
        };
        let dims = x.dims();
        let width = if rotated == 0 { dims[3] } else { rotated };
        if width > dims[3] || width % 2 != 0 {
            return Err(format!("{width} of {} elements cannot be turned in pairs", dims[3]).into());
        }
        let (cos, sin) = (inputs.take(1)?, inputs.take(2)?);
        let positions = inputs.optional_ints(3)?;
        let wanted = [dims[0], dims[1], 1, width / 2];
        let angle = |cache| angles(cache, positions.as_deref(), wanted, cx);
        let (cos, sin) = (angle(cos)?, angle(sin)?);
        let turned = turned(part(x.clone(), 0, width)?, [&cos, &sin], interleaved, cx)?;
        let whole = if width < dims[3] {
            concat::join(vec![turned, part(x, width, dims[3] - width)?], 3, cx)?
        } else {
            turned
        };
        one(if shape.len() == 4 { permute(whole, &[0, 2, 1, 3])? } else { whole.reshaped(shape)? })
    }))
}

/// The cosines or sines of each position: those of a table at `positions`, or one for each as they are given.
fn angles<B: Kernels>(
    cache: Value<B>,
    positions: Option<&[i64]>,
    wanted: [usize; 4],
    cx: &Context<B>,
) -> Result<Value<B>, OpError> {
    let Some(positions) = positions else { return cache.reshaped(wanted.to_vec()) };
    let (cache, half) = (cache.into_host()?, wanted[3]);
    let row = |position: &i64| {
        let start = usize::try_from(*position).unwrap_or(usize::MAX / 4).saturating_mul(half);
        start..start.saturating_add(half)
    };
    let rows: Vec<usize> = positions.iter().flat_map(row).collect();
    Ok(Value::Host(host::pick(&cache, rows.iter().copied(), vec![rows.len()])?)
        .reshaped(wanted.to_vec())?
        .on_device(&cx.device))
}

/// Some elements of the last of four axes.
fn part<B: Kernels>(x: Value<B>, start: usize, count: usize) -> Result<Value<B>, OpError> {
    let mut parts: Vec<Part> = x.dims().iter().map(|d| Part { start: 0, count: *d, step: 1 }).collect();
    parts[3] = Part { start, count, step: 1 };
    slice(x, &parts)
}

/// Pairs of elements of the last axis, turned: neighbours where they are interleaved, else those of its halves.
fn turned<B: Kernels>(
    x: Value<B>,
    [cos, sin]: [&Value<B>; 2],
    interleaved: bool,
    cx: &Context<B>,
) -> Result<Value<B>, OpError> {
    let dims = x.dims();
    let half = dims[3] / 2;
    let (a, b) = if interleaved {
        let pairs = x.reshaped(vec![dims[0], dims[1], dims[2] * half, 2])?;
        let halves = vec![dims[0], dims[1], dims[2], half];
        (part(pairs.clone(), 0, 1)?.reshaped(halves.clone())?, part(pairs, 1, 1)?.reshaped(halves)?)
    } else {
        (part(x.clone(), 0, half)?, part(x, half, half)?)
    };
    let mul = |x: &Value<B>, y: &Value<B>| arithmetic(Arithmetic::Mul, x.clone(), y.clone(), cx);
    let real = arithmetic(Arithmetic::Sub, mul(&a, cos)?, mul(&b, sin)?, cx)?;
    let imaginary = arithmetic(Arithmetic::Add, mul(&a, sin)?, mul(&b, cos)?, cx)?;
    if !interleaved {
        return concat::join(vec![real, imaginary], 3, cx);
    }
    let thin = vec![dims[0], dims[1], dims[2] * half, 1];
    let pairs = vec![real.reshaped(thin.clone())?, imaginary.reshaped(thin)?];
    concat::join(pairs, 3, cx)?.reshaped(dims)
}
