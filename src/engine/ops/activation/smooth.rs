//! Activations without settings, and Swish.

use crate::engine::backend::Kernels;
use crate::engine::host::{self, Number};
use crate::engine::kernels::Activation;
use crate::engine::kernels::elementwise::Map;
use crate::engine::ops::{BoxOp, Context, Inputs, Site, one};
use crate::engine::value::Value;
use burn::tensor::ops::FloatTensor;
use burn::tensor::{DType, FloatDType, TensorMetadata};

pub fn build<B: Kernels>(
    f: impl Fn(FloatTensor<B>) -> FloatTensor<B> + Send + Sync + 'static,
) -> Result<BoxOp<B>, String> {
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        let x = inputs.take(0)?.float(&cx.device)?;
        one(Value::Float(B::each(x, &|x| in_single::<B>(x, &f))))
    }))
}

/// Builds as [`build`] does, from a function that looks by itself at whether the run is to end.
pub fn at_once<B: Kernels>(
    f: impl Fn(FloatTensor<B>) -> FloatTensor<B> + Send + Sync + 'static,
) -> Result<BoxOp<B>, String> {
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        one(Value::Float(in_single::<B>(inputs.take(0)?.float(&cx.device)?, &f)))
    }))
}

/// Half precision is computed in single precision where the processor has no half: a step that rounds after each
/// operation strays further than the type's own last digit.
pub fn in_single<B: Kernels>(
    x: FloatTensor<B>,
    f: impl Fn(FloatTensor<B>) -> FloatTensor<B>,
) -> FloatTensor<B> {
    match x.dtype() {
        dtype @ (DType::F16 | DType::BF16) if B::ON_HOST => {
            B::float_cast(f(B::float_cast(x, FloatDType::F32)), dtype.into())
        }
        _ => f(x),
    }
}

/// A function that the backend has a form of its own for.
pub fn map<B: Kernels>(map: Map) -> Result<BoxOp<B>, String> {
    at_once(move |x| B::map(x, map))
}

/// max(x, 0), of integers too.
pub fn relu<B: Kernels>() -> Result<BoxOp<B>, String> {
    Ok(Box::new(|mut inputs: Inputs<B>, cx: &Context<B>| match inputs.take(0)? {
        x if x.dtype().is_float() => one(Value::Float(B::activate(x.float(&cx.device)?, Activation::Relu))),
        x => {
            let x = x.into_host()?;
            let zero = Number::Int(0);
            let cells = host::numbers(&x).map(|v| if v < zero { zero } else { v });
            one(Value::Host(host::from_numbers(x.dtype(), x.shape().to_vec(), cells)?))
        }
    }))
}

/// ln(1 + e^x), as max(x, 0) + ln(1 + e^-|x|) so that it does not overflow.
pub fn softplus<B: Kernels>(x: FloatTensor<B>) -> FloatTensor<B> {
    let tail = B::float_log1p(B::float_exp(B::float_neg(B::float_abs(x.clone()))));
    B::float_add(B::activate(x, Activation::Relu), tail)
}

pub fn softsign<B: Kernels>(x: FloatTensor<B>) -> FloatTensor<B> {
    let below = B::float_add_scalar(B::float_abs(x.clone()), 1.0.into());
    B::float_div(x, below)
}

pub fn mish<B: Kernels>(x: FloatTensor<B>) -> FloatTensor<B> {
    B::float_mul(B::float_tanh(softplus::<B>(x.clone())), x)
}

/// x · sigmoid(alpha · x)
pub fn swish<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let alpha = f64::from(site.node.attributes.float("alpha", 1.0)?);
    if alpha == 1.0 {
        return map(Map::Silu);
    }
    build::<B>(move |x: FloatTensor<B>| {
        let inner = B::float_mul_scalar(x.clone(), alpha.into());
        B::float_mul(B::sigmoid(inner), x)
    })
}

/// swish(a) · b
pub fn swiglu<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let alpha = f64::from(site.node.attributes.float("alpha", 1.0)?);
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        let (gate, x) = (inputs.take(0)?, inputs.take(1)?);
        if gate.dims() != x.dims() || gate.dtype() != x.dtype() {
            return Err(format!("{gate:?} and {x:?} are not alike").into());
        }
        let gate = gate.float(&cx.device)?;
        let gate = if alpha == 1.0 {
            B::map(gate, Map::Silu)
        } else {
            B::float_mul(B::sigmoid(B::float_mul_scalar(gate.clone(), alpha.into())), gate)
        };
        one(Value::Float(B::float_mul(gate, x.float(&cx.device)?)))
    }))
}
