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
        let angle = |cache: Value<B>| -> Result<Value<B>, OpError> {
            let wanted = vec![dims[0], dims[1], 1, width / 2];
            let Some(positions) = &positions else { return cache.reshaped(wanted) };
            let cache = cache.into_host()?;
            let rows: Vec<usize> = positions
                .iter()
                .flat_map(|p| {
                    let start = usize::try_from(*p).unwrap_or(usize::MAX / 4).saturating_mul(width / 2);
                    start..start.saturating_add(width / 2)
                })
                .collect();
            Ok(Value::Host(host::pick(&cache, rows.iter().copied(), vec![rows.len()])?)
                .reshaped(wanted)?
                .on_device(&cx.device))
        };
        let (cos, sin) = (angle(cos)?, angle(sin)?);
        let part = |x: Value<B>, start: usize, count: usize| {
            let mut parts: Vec<Part> =
                x.dims().iter().map(|d| Part { start: 0, count: *d, step: 1 }).collect();
            parts[3] = Part { start, count, step: 1 };
            slice(x, &parts)
        };
        let turned = part(x.clone(), 0, width)?;
        let (a, b) = if interleaved {
            let pairs = turned.reshaped(vec![dims[0], dims[1], dims[2] * width / 2, 2])?;
            let half = vec![dims[0], dims[1], dims[2], width / 2];
            (part(pairs.clone(), 0, 1)?.reshaped(half.clone())?, part(pairs, 1, 1)?.reshaped(half)?)
        } else {
            (part(turned.clone(), 0, width / 2)?, part(turned, width / 2, width / 2)?)
        };
        let mul = |x: &Value<B>, y: &Value<B>| arithmetic(Arithmetic::Mul, x.clone(), y.clone(), cx);
        let real = arithmetic(Arithmetic::Sub, mul(&a, &cos)?, mul(&b, &sin)?, cx)?;
        let imaginary = arithmetic(Arithmetic::Add, mul(&a, &sin)?, mul(&b, &cos)?, cx)?;
        let turned = if interleaved {
            let thin = vec![dims[0], dims[1], dims[2] * width / 2, 1];
            let pairs = vec![real.reshaped(thin.clone())?, imaginary.reshaped(thin)?];
            concat::join(pairs, 3, cx)?.reshaped(vec![dims[0], dims[1], dims[2], width])?
        } else {
            concat::join(vec![real, imaginary], 3, cx)?
        };
        let whole = if width < dims[3] {
            concat::join(vec![turned, part(x, width, dims[3] - width)?], 3, cx)?
        } else {
            turned
        };
        one(if shape.len() == 4 { permute(whole, &[0, 2, 1, 3])? } else { whole.reshaped(shape)? })
    }))
}
