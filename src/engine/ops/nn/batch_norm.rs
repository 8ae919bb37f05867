//! BatchNormalization with the statistics that the file carries, as models are served; or with those of its input, as
//! convolutions are exported that normalise their weights.

use crate::engine::backend::Kernels;
use crate::engine::host::{self, Number};
use crate::engine::onnx::Attribute;
use crate::engine::ops::body::Body;
use crate::engine::ops::{BoxOp, Context, Inputs, OpError, Site, one};
use crate::engine::value::Value;
use crate::tensor::Tensor;
use burn::tensor::TensorMetadata;

pub fn build<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let attributes = &site.node.attributes;
    if attributes.flag("training_mode")? {
        return training(site);
    }
    if attributes.int("spatial", 1)? == 0 {
        return Err("statistics for each pixel (spatial = 0) are not supported".into());
    }
    let epsilon = f64::from(attributes.float("epsilon", 1e-5)?);
    let known = match (site.constant(1), site.constant(2), site.constant(3), site.constant(4)) {
        (Some(scale), Some(bias), Some(mean), Some(variance)) => {
            (1..5).for_each(|i| {
                site.absorb(i);
            });
            Some(Line::new(scale, bias, mean, variance, epsilon)?)
        }
        _ => None,
    };
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        let x = inputs.take(0)?.float(&cx.device)?;
        let found;
        let line = match &known {
            Some(line) => line,
            None => {
                let mut host = |i| -> Result<Tensor, OpError> { inputs.take(i)?.into_host() };
                found = Line::new(&host(1)?, &host(2)?, &host(3)?, &host(4)?, epsilon)?;
                &found
            }
        };
        let dims = x.shape();
        if dims.num_dims() < 2 || dims[1] != line.scale.len() {
            return Err(format!("{:?} for {} channels", dims.as_slice(), line.scale.len()).into());
        }
        let mut shape = vec![1; dims.num_dims()];
        shape[1] = dims[1];
        let dtype = crate::engine::value::from_burn(x.dtype());
        let tensor = |v: &[Number]| -> Result<_, OpError> {
            Value::<B>::Host(host::from_numbers(dtype, shape.clone(), v.iter().copied())?).float(&cx.device)
        };
        let scaled = B::float_mul(x, tensor(&line.scale)?);
        one(Value::Float(B::float_add(scaled, tensor(&line.shift)?)))
    }))
}

/// Normalises each channel by its own mean and variance in the input; then the running ones, moved towards these.
fn training<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let attributes = &site.node.attributes;
    let (epsilon, momentum) = (attributes.float("epsilon", 1e-5)?, attributes.float("momentum", 0.9)?);
    let wanted = (1..3).rev().find(|output| site.has_output(*output)).unwrap_or(0);
    let mut body = Body::new(site);
    let [x, scale, bias, mean, variance] = [0, 1, 2, 3, 4].map(|place| body.input(place));
    let (x, scale, bias) = (x?, scale?, bias?);
    // All axes but that of the channels.
    let [zero, one, two] = [[0], [1], [2]].map(|list| body.ints(&list));
    let (zero, one, two) = (zero?, one?, two?);
    let shape = body.node("Shape", &[x]);
    let (rank, two, step) =
        (body.node("Size", &[shape]), body.node("Squeeze", &[two]), body.node("Squeeze", &[one]));
    let others = body.node("Range", &[two, rank, step]);
    let axes = body.node_with("Concat", &[zero, others], &[("axis", Attribute::Int(0))]);
    let found = body.node("ReduceMean", &[x, axes]);
    let off = body.node("Sub", &[x, found]);
    let square = body.node("Mul", &[off, off]);
    let spread = body.node("ReduceMean", &[square, axes]);
    let shape = body.node("Shape", &[found]);
    let epsilon = body.float(f64::from(epsilon))?;
    let epsilon = body.node("CastLike", &[epsilon, x]);
    let root = body.node("Add", &[spread, epsilon]);
    let root = body.node("Sqrt", &[root]);
    let [scale, bias] = [scale, bias].map(|list| {
        let list = body.node("Reshape", &[list, shape]);
        body.node("CastLike", &[list, x])
    });
    let factor = body.node("Div", &[scale, root]);
    let scaled = body.node("Mul", &[off, factor]);
    let mut outputs = vec![body.node("Add", &[scaled, bias])];
    for (running, found) in [(mean?, found), (variance?, spread)].into_iter().take(wanted) {
        let shape = body.node("Shape", &[running]);
        let found = body.node("Reshape", &[found, shape]);
        let found = body.node("CastLike", &[found, running]);
        let mut part = |value, part: f32| -> Result<_, String> {
            let part = body.float(f64::from(part))?;
            let part = body.node("CastLike", &[part, running]);
            Ok(body.node("Mul", &[value, part]))
        };
        let (kept, moved) = (part(running, momentum)?, part(found, 1.0 - momentum)?);
        outputs.push(body.node("Add", &[kept, moved]));
    }
    body.build(&outputs)
}

/// A line for each channel: x · scale + shift.
pub struct Line {
    pub scale: Vec<Number>,
    pub shift: Vec<Number>,
}

impl Line {
    /// scale' = scale / √(variance + ε), shift' = bias - mean · scale'
    pub fn new(
        scale: &Tensor,
        bias: &Tensor,
        mean: &Tensor,
        variance: &Tensor,
        epsilon: f64,
    ) -> Result<Self, String> {
        if [bias.len(), mean.len(), variance.len()] != [scale.len(); 3] {
            return Err("scale, bias, mean and variance differ in length".into());
        }
        let scales: Vec<f64> =
            scale.to_f64().iter().zip(variance.to_f64()).map(|(s, v)| s / (v + epsilon).sqrt()).collect();
        let shift = bias
            .to_f64()
            .iter()
            .zip(mean.to_f64())
            .zip(&scales)
            .map(|((b, m), s)| Number::Float(b - m * s))
            .collect();
        Ok(Self { scale: scales.into_iter().map(Number::Float).collect(), shift })
    }
}
