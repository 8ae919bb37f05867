//! ConvInteger and QLinearConv.

use super::linear::{Grain, quantise};
use super::{centred, exact, floats, greatest, reach, to_int32};
use crate::engine::backend::Kernels;
use crate::engine::error::OpError;
use crate::engine::kernels::Activation;
use crate::engine::kernels::conv::Conv2d;
use crate::engine::ops::nn::conv::{conv, packed, run_packed};
use crate::engine::ops::nn::window::Window;
use crate::engine::ops::{BoxOp, Context, Inputs, Site, one};
use crate::engine::value::Value;
use crate::tensor::{DType, Tensor};
use burn::tensor::ops::FloatTensor;

/// A convolution of integers, its weights less their zero points where they are constants.
struct Sums<B: Kernels> {
    window: Window,
    groups: usize,
    ready: Option<Ready<B>>,
    /// Whether every sum must be exact; else single precision will do.
    exact: bool,
}

enum Ready<B: Kernels> {
    /// The kernel's form, with the bias if there is one.
    Packed(Conv2d),
    Weight(FloatTensor<B>, DType),
}

/// Where a convolution's tensors are among its inputs.
struct Places {
    x_zero: usize,
    weight: usize,
    w_zero: usize,
    bias: Option<usize>,
}

/// A list of one number for each filter, beside the weights.
fn by_filter(list: Option<&Tensor>, rank: usize) -> Vec<usize> {
    match list {
        Some(list) if list.len() > 1 && rank > 0 => {
            let mut shape = vec![1; rank];
            shape[0] = list.len();
            shape
        }
        _ => Vec::new(),
    }
}

/// Products of so many pairs are summed for one output.
fn terms(weight: &Tensor) -> usize {
    weight.shape().iter().skip(1).product()
}

impl<B: Kernels> Sums<B> {
    fn new(site: &Site<'_, B>, at: &Places, must_be_exact: bool) -> Result<Self, String> {
        let window = Window::read(&site.node.attributes)?;
        let groups = site.node.attributes.int("group", 1)?;
        let groups =
            usize::try_from(groups).ok().filter(|g| *g > 0).ok_or_else(|| format!("group is {groups}"))?;
        let mut sums = Self { window, groups, ready: None, exact: must_be_exact };
        let constant = |input| !site.has_input(input) || site.constant(input).is_some();
        if site.constant(at.weight).is_none() || !constant(at.w_zero) || !at.bias.is_none_or(constant) {
            return Ok(sums);
        }
        let Some(weight) = site.absorb(at.weight) else { return Ok(sums) };
        let zero = site.absorb(at.w_zero);
        // As floats, some of double precision.
        site.keep(weight.len().checked_mul(size_of::<f64>()))?;
        let shape = by_filter(zero, weight.shape().len());
        let whole = centred(weight, zero, &shape, DType::F32)?;
        let single =
            !must_be_exact || exact(terms(weight), [reach(DType::U8), greatest(&whole)]) == DType::F32;
        if single {
            let bias = at.bias.and_then(|b| site.constant(b));
            let bias = bias.map(|b| floats(DType::F32, b.shape(), b.to_f64().into_iter())).transpose()?;
            if let Some(packed) = packed::<B>(&whole, bias.as_ref(), &sums.window, groups)? {
                at.bias.and_then(|b| site.absorb(b));
                sums.ready = Some(Ready::Packed(packed));
                return Ok(sums);
            }
        }
        let dtype = if single { DType::F32 } else { DType::F64 };
        let weight = Value::<B>::Host(centred(weight, zero, &shape, dtype)?).float(site.device);
        let weight = weight.map_err(|e| e.reason)?;
        sums.ready = Some(Ready::Weight(weight, dtype));
        Ok(sums)
    }

    fn run(&self, inputs: &mut Inputs<B>, at: &Places, cx: &Context<B>) -> Result<FloatTensor<B>, OpError> {
        let x = inputs.take(0)?.into_host()?;
        let x_zero = inputs.optional(at.x_zero).map(Value::into_host).transpose()?;
        let input = |dtype| -> Result<FloatTensor<B>, OpError> {
            cx.check(dtype, x.shape())?;
            Value::<B>::Host(centred(&x, x_zero.as_ref(), &[], dtype)?).float(&cx.device)
        };
        let (weight, dtype) = match &self.ready {
            Some(Ready::Packed(packed)) => {
                return run_packed::<B>(packed, input(DType::F32)?, None, Activation::None, cx);
            }
            Some(Ready::Weight(weight, dtype)) => (weight.clone(), *dtype),
            None => {
                let weight = inputs.take(at.weight)?.into_host()?;
                let zero = inputs.optional(at.w_zero).map(Value::into_host).transpose()?;
                let most = [reach(x.dtype()), reach(weight.dtype())];
                let dtype = if self.exact { exact(terms(&weight), most) } else { DType::F32 };
                let shape = by_filter(zero.as_ref(), weight.shape().len());
                (Value::<B>::Host(centred(&weight, zero.as_ref(), &shape, dtype)?).float(&cx.device)?, dtype)
            }
        };
        let bias = match at.bias.and_then(|b| inputs.optional(b)) {
            None => None,
            Some(bias) => {
                let bias = bias.into_host()?;
                let bias = floats(dtype, bias.shape(), bias.to_f64().into_iter())?;
                Some(Value::<B>::Host(bias).float(&cx.device)?)
            }
        };
        conv::<B>(input(dtype)?, weight, bias, &self.window, self.groups, cx)
    }
}

pub fn integer<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    const AT: Places = Places { x_zero: 2, weight: 1, w_zero: 3, bias: None };
    let sums = Sums::new(site, &AT, true)?;
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        one(to_int32(Value::Float(sums.run(&mut inputs, &AT, cx)?), cx)?)
    }))
}

pub fn linear<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    const AT: Places = Places { x_zero: 2, weight: 3, w_zero: 5, bias: Some(8) };
    let sums = Sums::new(site, &AT, false)?;
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        let mut host = |i| -> Result<Tensor, OpError> { inputs.take(i)?.into_host() };
        let (x_scale, w_scale, y_scale, y_zero) = (host(1)?, host(4)?, host(6)?, host(7)?);
        let ([x_scale], [y_scale], [_]) =
            (&x_scale.to_f64()[..], &y_scale.to_f64()[..], &y_zero.to_f64()[..])
        else {
            return Err("the input and the output have one scale each".into());
        };
        let sums = Value::<B>::Float(sums.run(&mut inputs, &AT, cx)?).into_host()?;
        // One scale takes a sum to the output's integers: it is divided by this.
        let steps = w_scale.to_f64().into_iter().map(|w| y_scale / (x_scale * w));
        let grain = if w_scale.len() == 1 { Grain::Tensor } else { Grain::Axis(1) };
        if grain == Grain::Axis(1) && sums.shape().get(1) != Some(&w_scale.len()) {
            return Err(format!("{} scales for {:?}", w_scale.len(), sums.shape()).into());
        }
        let steps = floats(DType::F32, &[w_scale.len()], steps)?;
        let zero =
            crate::engine::host::pick(&y_zero, std::iter::repeat_n(0, w_scale.len()), vec![w_scale.len()])?;
        one(Value::Host(quantise(&sums, &steps, Some(&zero), grain, y_zero.dtype(), true)?))
    }))
}
