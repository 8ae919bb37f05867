//! A product with constant weights, and what follows it, in one pass: what the optimiser makes of MatMul, Gemm, the
//! sums and the activation behind them.

use super::matmul::product;
use crate::engine::backend::Kernels;
use crate::engine::kernels;
use crate::engine::kernels::matmul::{Activation, Packed};
use crate::engine::ops::math::{Arithmetic, arithmetic};
use crate::engine::ops::{BoxOp, Context, Inputs, Op, OpResult, Site, inner, one};
use crate::engine::value::Value;
use crate::tensor::{DType, Tensor};
use burn::tensor::ops::FloatTensor;

struct Linear<B: Kernels> {
    weights: Weights<B>,
    activation: Activation,
}

enum Weights<B: Kernels> {
    Packed { weights: Packed, bias: Option<Vec<f32>> },
    Plain { weights: FloatTensor<B>, bias: Option<FloatTensor<B>> },
}

/// Inputs: x, weights `[inner, columns]` (the other way round with `transB`), bias `[columns]`, residual.
pub fn build<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let attributes = &site.node.attributes;
    let transposed = attributes.flag("transB")?;
    let params = attributes.find_floats("activation_params")?;
    let param = |index: usize, default| params.and_then(|p| p.get(index)).copied().unwrap_or(default);
    let activation = match attributes.text("activation", "")? {
        "" => Activation::None,
        "Clip" => Activation::Clip { min: param(0, f32::MIN), max: param(1, f32::MAX) },
        name => match inner::LINEAR_ACTIVATIONS.iter().find(|(known, _)| *known == name) {
            Some((_, map)) => Activation::Map(*map),
            None => return Err(format!("activation {name:?} is not known")),
        },
    };
    let weights = site.absorb(1).ok_or("its weights are not constant")?;
    let bias = site.absorb(2);
    let [first, second] = *weights.shape() else { return Err(format!("{weights:?} is no matrix")) };
    let (inner, columns) = if transposed { (second, first) } else { (first, second) };
    if bias.is_some_and(|b| b.shape() != [columns] || b.dtype() != DType::F32)
        || weights.dtype() != DType::F32
    {
        return Err("its weights and its bias are not of one kind".into());
    }
    let elements = |t: &Tensor| t.elements::<f32>().map(|e| e.into_owned()).unwrap_or_default();
    let weights = if B::ON_HOST {
        let packed = match weights.elements::<f32>() {
            Some(elements) => {
                site.keep(Packed::bytes([inner, columns]))?;
                Packed::new(&elements, [inner, columns], transposed)
            }
            None => return Err("its weights are not float32".into()),
        };
        Weights::Packed { weights: packed, bias: bias.map(elements) }
    } else {
        let on_device = |t: &Tensor| Value::<B>::Host(t.clone()).float(site.device).map_err(|e| e.reason);
        let weights = on_device(weights)?;
        let weights = if transposed { B::float_swap_dims(weights, 0, 1) } else { weights };
        Weights::Plain { weights, bias: bias.map(on_device).transpose()? }
    };
    Ok(Box::new(Linear { weights, activation }))
}

impl<B: Kernels> Op<B> for Linear<B> {
    fn run(&self, mut inputs: Inputs<B>, cx: &Context<B>) -> OpResult<B> {
        let x = inputs.take(0)?;
        let residual = inputs.optional(3);
        match &self.weights {
            Weights::Packed { weights, bias } => {
                let dims = x.dims();
                let Some((inner, lead)) = dims.split_last() else { return Err("it takes a matrix".into()) };
                if *inner != weights.inner() || x.dtype() != DType::F32 {
                    let columns = weights.columns();
                    return Err(
                        format!("{x:?} and float32[{}, {columns}] do not multiply", weights.inner()).into()
                    );
                }
                let out = [lead, &[weights.columns()]].concat();
                cx.check(DType::F32, &out)?;
                let x = x.float(&cx.device)?;
                let merged = |r: &Value<B>| r.dtype() == DType::F32 && r.dims() == out;
                let (merged, apart) = match residual {
                    Some(residual) if merged(&residual) => (Some(residual.float(&cx.device)?), None),
                    other => (None, other),
                };
                let activation = if apart.is_some() { Activation::None } else { self.activation };
                let y = B::multiply_packed(&x, weights, bias.as_deref(), merged.as_ref(), activation)
                    .ok_or("its operands do not fit")?;
                match apart {
                    None => one(Value::Float(y)),
                    Some(residual) => self.finish(Value::Float(y), residual, cx),
                }
            }
            Weights::Plain { weights, bias } => {
                let mut y = product(x, Value::Float(weights.clone()), cx)?;
                if let Some(bias) = bias {
                    y = arithmetic(Arithmetic::Add, y, Value::Float(bias.clone()), cx)?;
                }
                match residual {
                    None => one(Value::Float(activate::<B>(y.float(&cx.device)?, self.activation))),
                    Some(residual) => self.finish(y, residual, cx),
                }
            }
        }
    }
}

impl<B: Kernels> Linear<B> {
    /// A residual of another shape is added with broadcasting.
    fn finish(&self, y: Value<B>, residual: Value<B>, cx: &Context<B>) -> OpResult<B> {
        let sum = arithmetic(Arithmetic::Add, y, residual, cx)?;
        one(Value::Float(activate::<B>(sum.float(&cx.device)?, self.activation)))
    }
}

fn activate<B: Kernels>(y: FloatTensor<B>, activation: Activation) -> FloatTensor<B> {
    match activation {
        Activation::None => y,
        Activation::Clip { min, max } => B::activate(y, kernels::Activation::Clip { min, max }),
        Activation::Map(map) => B::map(y, map),
    }
}
