//! Clip: bounds are attributes before opset 11, optional inputs since.

use crate::engine::backend::Kernels;
use crate::engine::host::{self, Number};
use crate::engine::kernels::Activation;
use crate::engine::ops::{BoxOp, Context, Inputs, OpError, Site, one};
use crate::engine::value::{Value, to_burn};
use burn::tensor::ops::FloatTensor;
use burn::tensor::{DType, TensorMetadata, get_device_settings};

pub fn build<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let attributes = &site.node.attributes;
    let (low, high) = if site.node.version < 11 {
        let bound = |name| attributes.find_float(name).map(|b| b.map(|v| Number::Float(f64::from(*v))));
        (bound("min")?, bound("max")?)
    } else {
        let bound = |input| site.absorb(input).map(host::only).transpose();
        (bound(1)?, bound(2)?)
    };
    Ok(Box::new(move |mut inputs: Inputs<B>, _: &Context<B>| {
        let given = |value: Option<Value<B>>, known: Option<Number>| match value {
            Some(bound) => Ok(Some(host::only(&bound.into_host()?)?)),
            None => Ok::<_, OpError>(known),
        };
        let (low, high) = (given(inputs.optional(1), low)?, given(inputs.optional(2), high)?);
        one(clip(inputs.take(0)?, low, high)?)
    }))
}

fn clip<B: Kernels>(x: Value<B>, low: Option<Number>, high: Option<Number>) -> Result<Value<B>, OpError> {
    Ok(match x {
        Value::Float(x) => {
            // A bound that is missing is the type's own lowest or highest, which infinity is beyond.
            let (least, most) = ends(x.dtype());
            let min = low.map_or(least, Number::as_f64);
            let max = high.map_or(most, Number::as_f64);
            Value::Float(if x.dtype() == DType::F64 {
                wide::<B>(x, min, max)
            } else {
                B::activate(x, Activation::Clip { min: min as f32, max: max as f32 })
            })
        }
        x => {
            let x = x.into_host()?;
            let ends = x.dtype().is_float().then(|| ends(to_burn(x.dtype())));
            let low = low.or(ends.map(|(least, _)| Number::Float(least)));
            let high = high.or(ends.map(|(_, most)| Number::Float(most)));
            let clipped = host::numbers(&x).map(|v| {
                let v = low.map_or(v, |low| if v < low { low } else { v });
                high.map_or(v, |high| if v > high { high } else { v })
            });
            Value::Host(host::from_numbers(x.dtype(), x.shape().to_vec(), clipped)?)
        }
    })
}

/// The lowest and the highest finite number of a type.
fn ends(dtype: DType) -> (f64, f64) {
    let most = match dtype {
        DType::F64 => f64::MAX,
        DType::F16 => half::f16::MAX.to_f64(),
        DType::BF16 => half::bf16::MAX.to_f64(),
        _ => f64::from(f32::MAX),
    };
    (-most, most)
}

/// Clips in double precision.
fn wide<B: Kernels>(x: FloatTensor<B>, min: f64, max: f64) -> FloatTensor<B> {
    let out = get_device_settings::<B>(&B::float_device(&x)).bool_dtype;
    let below = B::float_lower_elem(x.clone(), min.into(), out);
    let x = B::float_mask_fill(x, below, min.into());
    let above = B::float_greater_elem(x.clone(), max.into(), out);
    B::float_mask_fill(x, above, max.into())
}
