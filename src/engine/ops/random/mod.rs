//! Random generators.
//!
//! A node with a seed gives the same numbers whenever it runs, so that an answer depends on the request alone;
//! one without takes new ones every time. The numbers of other runtimes are not reproduced: the standard names no
//! generator.

mod generator;

use super::{BoxOp, Context, Inputs, OpError, Registry, Site, one};
use crate::engine::backend::Kernels;
use crate::engine::host::{self, Number, Writer};
use crate::engine::value::Value;
use crate::tensor::{DType, Tensor};
use generator::Seed;

pub fn register<B: Kernels>(r: &mut Registry<B>) {
    r.op("RandomNormal", 1, |site| fill(site, true, false)).random();
    r.op("RandomNormalLike", 1, |site| fill(site, true, true)).random();
    r.op("RandomUniform", 1, |site| fill(site, false, false)).random();
    r.op("RandomUniformLike", 1, |site| fill(site, false, true)).random();
    r.op("Bernoulli", 15, bernoulli).random();
    r.op("Multinomial", 7, multinomial).random();
}

fn seed<B: Kernels>(site: &Site<'_, B>) -> Result<Seed, String> {
    Ok(Seed::new(site.node.attributes.find_float("seed")?.copied()))
}

fn dtype<B: Kernels>(site: &Site<'_, B>) -> Result<Option<DType>, String> {
    site.node.attributes.find_int("dtype")?.map(|code| host::dtype_of(*code)).transpose()
}

/// Random{Normal,Uniform}{,Like}
fn fill<B: Kernels>(site: &Site<'_, B>, normal: bool, like: bool) -> Result<BoxOp<B>, String> {
    let attributes = &site.node.attributes;
    let float = |name, default| attributes.float(name, default).map(f64::from);
    let (first, second) = if normal {
        (float("mean", 0.0)?, float("scale", 1.0)?)
    } else {
        (float("low", 0.0)?, float("high", 1.0)?)
    };
    let (seed, given) = (seed(site)?, dtype(site)?);
    let shape = if like {
        None
    } else {
        let shape = attributes.find_ints("shape")?.ok_or("attribute \"shape\" is missing")?;
        let size = |d: &i64| usize::try_from(*d).map_err(|_| format!("{shape:?} is not a shape"));
        Some(shape.iter().map(size).collect::<Result<Vec<_>, _>>()?)
    };
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        let (dims, dtype) = match &shape {
            Some(shape) => (shape.clone(), given.unwrap_or(DType::F32)),
            None => {
                let x = inputs.take(0)?;
                (x.dims(), given.unwrap_or(x.dtype()))
            }
        };
        cx.check(dtype, &dims)?;
        let mut generator = seed.generator();
        let count = host::count(&dims)?;
        let mut draw = || {
            if normal {
                first + second * generator.normal()
            } else {
                first + (second - first) * generator.uniform()
            }
        };
        if dtype == DType::Bool {
            return Err("bool where a float should be".into());
        }
        let drawn = (0..count).map(|index| {
            if index % (1 << 16) == 0 {
                cx.run.go_on()?;
            }
            Ok::<_, OpError>(Number::Float(draw()))
        });
        one(Value::Host(host::try_from_numbers(dtype, dims, drawn)?))
    }))
}

/// 1 with the probability that the element says, else 0.
fn bernoulli<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let (seed, given) = (seed(site)?, dtype(site)?);
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        let x = inputs.take(0)?.into_host()?;
        let mut generator = seed.generator();
        let dtype = given.unwrap_or(x.dtype());
        cx.check(dtype, x.shape())?;
        let draws = host::numbers(&x).map(|p| Number::Int((generator.uniform() < p.as_f64()).into()));
        one(Value::Host(host::from_numbers(dtype, x.shape().to_vec(), draws)?))
    }))
}

/// Classes drawn by unnormalised logarithms of their probabilities, `[batch, classes]`.
fn multinomial<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let (seed, dtype) = (seed(site)?, dtype(site)?.unwrap_or(DType::I32));
    let samples = site.node.attributes.int("sample_size", 1)?;
    let samples = usize::try_from(samples).map_err(|_| format!("sample_size is {samples}"))?;
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        let x: Tensor = inputs.take(0)?.into_host()?;
        let (batch, classes) = match x.shape()[..] {
            [batch, classes] if classes > 0 => (batch, classes),
            _ => return Err(format!("{x:?} has no classes").into()),
        };
        let dims = vec![batch, samples];
        cx.check(dtype, &dims)?;
        cx.work::<f64>(x.len().saturating_add(classes))?;
        let mut generator = seed.generator();
        let mut drawn = Writer::zeros(dtype, host::count(&dims)?)?;
        let mut next = 0;
        for row in x.to_f64().chunks(classes) {
            let highest = row.iter().fold(f64::NEG_INFINITY, |m, v| m.max(*v));
            let mut sum = 0.0;
            let sums: Vec<f64> = row
                .iter()
                .map(|v| {
                    sum += (v - highest).exp();
                    sum
                })
                .collect();
            for _ in 0..samples {
                let at = generator.uniform() * sum;
                cx.run.go_on()?;
                // The sums grow, unless they are no numbers.
                let class = match sums.last() {
                    Some(last) if !last.is_nan() => sums.partition_point(|s| *s <= at),
                    _ => sums.iter().position(|s| at < *s).unwrap_or(classes - 1),
                };
                drawn.put(next, Number::Int(class.min(classes - 1) as i128));
                next += 1;
            }
        }
        one(Value::Host(drawn.finish(dims)?))
    }))
}
