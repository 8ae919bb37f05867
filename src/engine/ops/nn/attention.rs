//! Attention: softmax(Q·Kᵀ·scale, softcapped, + bias)·V, with grouped heads, caches, masks and windows.

use super::fused_attention::in_one;
use super::matmul::product;
use crate::engine::backend::Kernels;
use crate::engine::host::{self, Number, Reader};
use crate::engine::ops::make::cast;
use crate::engine::ops::math::{Arithmetic, arithmetic};
use crate::engine::ops::shape::{concat, permute};
use crate::engine::ops::{BoxOp, Context, Inputs, OpError, OpResult, Site, broadcast};
use crate::engine::value::Value;
use crate::tensor::{DType, Tensor};
use burn::tensor::ops::FloatTensor;
use burn::tensor::{TensorMetadata, get_device_settings};

struct Attention {
    causal: bool,
    /// How far before and after itself a query looks; `None` without bound.
    window: (Option<i128>, Option<i128>),
    heads: (usize, usize),
    scale: Option<f64>,
    softcap: f64,
    precision: Option<DType>,
    /// What the fourth output shows: the scores, those softcapped, with bias, or after the softmax.
    mode: i64,
    /// Whether the fourth output is wanted.
    shown: bool,
}

pub fn build<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let attributes = &site.node.attributes;
    let heads = |name| -> Result<usize, String> {
        usize::try_from(attributes.int(name, 0)?).map_err(|_| format!("{name} is negative"))
    };
    let reach = |name| Ok::<_, String>(u32::try_from(attributes.int(name, -1)?).ok().map(i128::from));
    let attention = Attention {
        causal: attributes.flag("is_causal")?,
        window: (reach("left_window_size")?, reach("right_window_size")?),
        heads: (heads("q_num_heads")?, heads("kv_num_heads")?),
        scale: attributes.find_float("scale")?.map(|s| f64::from(*s)),
        softcap: f64::from(attributes.float("softcap", 0.0)?),
        precision: attributes.find_int("softmax_precision")?.map(|code| host::dtype_of(*code)).transpose()?,
        mode: attributes.int("qk_matmul_output_mode", 0)?,
        shown: site.has_output(3),
    };
    Ok(Box::new(move |inputs: Inputs<B>, cx: &Context<B>| attention.run(inputs, cx)))
}

/// `[batch, length, heads · size]` to `[batch, heads, length, size]`.
fn split_heads<B: Kernels>(x: Value<B>, heads: usize) -> Result<Value<B>, OpError> {
    let dims = x.dims();
    match dims[..] {
        [_, _, _, _] => Ok(x),
        [batch, length, width] if heads > 0 && width % heads == 0 => {
            Ok(permute(x.reshaped(vec![batch, length, heads, width / heads])?, &[0, 2, 1, 3])?)
        }
        _ => Err(format!("{dims:?} does not split into {heads} heads").into()),
    }
}

/// `[batch, heads, length, size]` to `[batch, length, heads · size]`.
fn join_heads<B: Kernels>(y: Value<B>) -> Result<Value<B>, OpError> {
    let dims = y.dims();
    permute(y, &[0, 2, 1, 3])?.reshaped(vec![dims[0], dims[2], dims[1] * dims[3]])
}

/// Repeats each head as often as queries share it.
pub fn repeat_heads<B: Kernels>(x: Value<B>, heads: usize, cx: &Context<B>) -> Result<Value<B>, OpError> {
    let dims = x.dims();
    let [batch, own, length, size] = dims[..] else { return Err(format!("{dims:?} has not 4 axes").into()) };
    if own == heads || own == 0 || !heads.is_multiple_of(own) {
        return Ok(x);
    }
    let x = x.reshaped(vec![batch, own, 1, length, size])?;
    broadcast::to(x, &[batch, own, heads / own, length, size], cx)?.reshaped(vec![batch, heads, length, size])
}

/// The weights of a query that may look nowhere are zero, not NaN.
fn zero_where_closed<B: Kernels>(
    weights: FloatTensor<B>,
    bias: FloatTensor<B>,
    cx: &Context<B>,
) -> Result<FloatTensor<B>, OpError> {
    let settings = get_device_settings::<B>(&cx.device);
    let (shape, last) = (weights.shape(), bias.rank() - 1);
    let closed = B::float_equal_elem(bias, f64::NEG_INFINITY.into(), settings.bool_dtype);
    let nowhere = B::bool_all_dim(closed, last);
    let nowhere = broadcast::to(Value::Bool(nowhere), &shape, cx)?.bool(&cx.device)?;
    Ok(B::float_mask_fill(weights, nowhere, 0.0.into()))
}

impl Attention {
    fn run<B: Kernels>(&self, inputs: Inputs<B>, cx: &Context<B>) -> OpResult<B> {
        let dtype = inputs.0.first().and_then(Option::as_ref).map(Value::dtype);
        match dtype {
            Some(half @ (DType::F16 | DType::BF16)) if B::ON_HOST => self.in_single(half, inputs, cx),
            _ => self.attend(inputs, cx),
        }
    }

    /// As activations: halves are computed in single precision where the processor has none.
    fn in_single<B: Kernels>(&self, half: DType, mut inputs: Inputs<B>, cx: &Context<B>) -> OpResult<B> {
        for input in inputs.0.iter_mut().filter(|i| i.as_ref().is_some_and(|v| v.dtype() == half)) {
            *input = input.take().map(|v| cast(v, DType::F32, cx)).transpose()?;
        }
        let outputs = self.attend(inputs, cx)?;
        outputs.into_iter().map(|v| cast(v, half, cx)).collect()
    }

    fn attend<B: Kernels>(&self, mut inputs: Inputs<B>, cx: &Context<B>) -> OpResult<B> {
        let (q, k, v) = (inputs.take(0)?, inputs.take(1)?, inputs.take(2)?);
        let (dtype, flat) = (q.dtype(), q.rank() == 3);
        let q = split_heads(q, self.heads.0)?;
        let (mut k, mut v) = (split_heads(k, self.heads.1)?, split_heads(v, self.heads.1)?);
        let mask = inputs.optional(3);
        let past = inputs.optional(4);
        let before = past.as_ref().map(|p| p.dims().get(2).copied().unwrap_or_default());
        if let (Some(past_key), Some(past_value)) = (past, inputs.optional(5)) {
            k = concat::join(vec![past_key, k], 2, cx)?;
            v = concat::join(vec![past_value, v], 2, cx)?;
        }
        let lengths = inputs.optional_ints(6)?;
        let (present_key, present_value) = (k.clone(), v.clone());
        let dims = q.dims();
        let [_, heads, queries, size] = dims[..] else {
            return Err(format!("{dims:?} has not 4 axes").into());
        };
        let keys = k.dims()[2];
        let (k, v) = (repeat_heads(k, heads, cx)?, repeat_heads(v, heads, cx)?);

        let scale = self.scale.unwrap_or(1.0 / (size.max(1) as f64).sqrt());
        let bias = self.bias(mask, before, lengths.as_deref(), (queries, keys), dtype, cx)?;
        if !self.shown && self.softcap <= 0.0 && self.precision.is_none_or(|p| p == dtype) {
            let turned = permute(k.clone(), &[0, 1, 3, 2])?;
            if let Some(y) = in_one(&q, &turned, &v, bias.as_ref(), scale, true, cx)? {
                return Ok(vec![if flat { join_heads(y)? } else { y }, present_key, present_value]);
            }
        }
        let (y, shown) = self.step_by_step([q, k, v], bias, scale, cx)?;
        let y = if flat { join_heads(y)? } else { y };
        Ok(vec![y, present_key, present_value, shown])
    }

    /// The result, and the scores as they are shown, where they are or one operator does not do for all.
    fn step_by_step<B: Kernels>(
        &self,
        [q, k, v]: [Value<B>; 3],
        bias: Option<Value<B>>,
        scale: f64,
        cx: &Context<B>,
    ) -> Result<(Value<B>, Value<B>), OpError> {
        let dtype = q.dtype();
        let scale = scale.sqrt();
        let scale =
            || -> Result<Value<B>, String> { Ok(Value::Host(host::scalar(dtype, Number::Float(scale))?)) };
        let q = arithmetic(Arithmetic::Mul, q.on_device(&cx.device), scale()?, cx)?;
        let k = arithmetic(Arithmetic::Mul, k.on_device(&cx.device), scale()?, cx)?;
        let mut scores = product(q, permute(k, &[0, 1, 3, 2])?, cx)?.float(&cx.device)?;
        let mut shown = if self.mode == 0 { Some(scores.clone()) } else { None };
        if self.softcap > 0.0 {
            let capped = B::float_tanh(B::float_div_scalar(scores, self.softcap.into()));
            scores = B::float_mul_scalar(capped, self.softcap.into());
        }
        if self.mode == 1 {
            shown = Some(scores.clone());
        }
        if let Some(bias) = &bias {
            scores =
                arithmetic(Arithmetic::Add, Value::Float(scores), bias.clone(), cx)?.float(&cx.device)?;
        }
        if self.mode == 2 {
            shown = Some(scores.clone());
        }
        let scores = cast(Value::Float(scores), self.precision.unwrap_or(dtype), cx)?.float(&cx.device)?;
        let mut weights = B::softmax(scores, 3);
        if let Some(bias) = bias {
            weights = zero_where_closed::<B>(weights, bias.float(&cx.device)?, cx)?;
        }
        let weights = cast(Value::Float(weights), dtype, cx)?;
        let shown = match shown {
            Some(shown) => Value::Float(shown),
            None => weights.clone(),
        };
        Ok((product(weights, v, cx)?, shown))
    }

    /// What is added to the scores: 0 where a query may look, -infinity where not, or the float mask.
    fn bias<B: Kernels>(
        &self,
        mask: Option<Value<B>>,
        before: Option<usize>,
        lengths: Option<&[i64]>,
        (queries, keys): (usize, usize),
        dtype: DType,
        cx: &Context<B>,
    ) -> Result<Option<Value<B>>, OpError> {
        let structural = self.structural(before, lengths, queries, keys, dtype, cx)?.map(Value::Host);
        let Some(mask) = mask else { return Ok(structural) };
        let mut mask = mask.into_host()?;
        if mask.dtype() == DType::Bool {
            cx.check(dtype, mask.shape())?;
            let open =
                mask.bytes().iter().map(|b| Number::Float(if *b != 0 { 0.0 } else { f64::NEG_INFINITY }));
            mask = host::from_numbers(dtype, mask.shape().to_vec(), open)?;
        }
        let mask = Value::<B>::Host(padded(&mask, keys, cx)?).on_device(&cx.device);
        Ok(Some(match structural {
            None => mask,
            Some(structural) => arithmetic(Arithmetic::Add, mask, structural, cx)?,
        }))
    }

    /// The mask by position alone: causality, windows, and keys past the end. `[1 or batch, 1, queries, keys]`.
    fn structural<B: Kernels>(
        &self,
        before: Option<usize>,
        lengths: Option<&[i64]>,
        queries: usize,
        keys: usize,
        dtype: DType,
        cx: &Context<B>,
    ) -> Result<Option<Tensor>, OpError> {
        if !self.causal && self.window == (None, None) && lengths.is_none() {
            return Ok(None);
        }
        let offsets: Vec<(i128, i128)> = match (before, lengths) {
            (None, Some(lengths)) => {
                lengths.iter().map(|l| (i128::from(*l) - queries as i128, i128::from(*l))).collect()
            }
            (before, _) => vec![(before.unwrap_or(0) as i128, keys as i128)],
        };
        let dims = vec![offsets.len(), 1, queries, keys];
        cx.check(dtype, &dims)?;
        let bias = offsets.iter().flat_map(|(offset, end)| {
            (0..queries as i128).flat_map(move |query| {
                (0..keys as i128).map(move |key| {
                    let ahead = key - (query + offset);
                    let open = key < *end
                        && (!self.causal || ahead <= 0)
                        && self.window.0.is_none_or(|left| -ahead <= left)
                        && self.window.1.is_none_or(|right| ahead <= right);
                    Number::Float(if open { 0.0 } else { f64::NEG_INFINITY })
                })
            })
        });
        Ok(Some(host::from_numbers(dtype, dims, bias)?))
    }
}

/// A mask of fewer keys closes the rest.
fn padded<B: Kernels>(mask: &Tensor, keys: usize, cx: &Context<B>) -> Result<Tensor, OpError> {
    let Some((&own, outer)) = mask.shape().split_last() else { return Ok(mask.clone()) };
    if own >= keys || own == 1 {
        return Ok(mask.clone());
    }
    let dims = [outer, &[keys]].concat();
    cx.check(mask.dtype(), &dims)?;
    let numbers = Reader::new(mask);
    let rows = numbers.len().checked_div(own).unwrap_or(0);
    let padded = (0..rows).flat_map(|row| {
        let key =
            move |key| if key < own { numbers.at(row * own + key) } else { Number::Float(f64::NEG_INFINITY) };
        (0..keys).map(key)
    });
    Ok(host::from_numbers(mask.dtype(), dims, padded)?)
}
