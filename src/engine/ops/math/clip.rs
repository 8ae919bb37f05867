//! Clip: bounds are attributes before opset 11, optional inputs since.

use crate::engine::backend::Accelerator;
use crate::engine::host::{self, Number};
use crate::engine::ops::{BoxOp, Context, Inputs, OpError, Site, one};
use crate::engine::value::Value;

pub fn build<B: Accelerator>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
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

fn clip<B: Accelerator>(x: Value<B>, low: Option<Number>, high: Option<Number>) -> Result<Value<B>, OpError> {
    Ok(match x {
        Value::Float(x) => Value::Float(match (low, high) {
            (Some(low), Some(high)) if low > high => {
                B::float_clamp_max(B::float_clamp_min(x, low.as_f64().into()), high.as_f64().into())
            }
            (Some(low), Some(high)) => B::float_clamp(x, low.as_f64().into(), high.as_f64().into()),
            (Some(low), None) => B::float_clamp_min(x, low.as_f64().into()),
            (None, Some(high)) => B::float_clamp_max(x, high.as_f64().into()),
            (None, None) => x,
        }),
        x => {
            let x = x.into_host()?;
            let clipped: Vec<Number> = host::numbers(&x)
                .into_iter()
                .map(|v| {
                    let v = low.map_or(v, |low| if v < low { low } else { v });
                    high.map_or(v, |high| if v > high { high } else { v })
                })
                .collect();
            Value::Host(host::from_numbers(x.dtype(), x.shape().to_vec(), &clipped)?)
        }
    })
}
