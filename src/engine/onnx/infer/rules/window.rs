//! Operators that slide over planes, and those that resize them.

use super::{Call, Ruled};
use crate::engine::onnx::infer::dim::Dim;
use crate::engine::onnx::infer::fact::Fact;

/// How a window slides along one axis.
struct Slide {
    kernel: i64,
    stride: i64,
    dilation: i64,
    /// The pads of both ends together; `None` where the window's own rule pads so that the length is kept, but for the
    /// stride.
    pads: Option<i64>,
    round_up: bool,
}

impl Slide {
    /// The slides of every axis, by the attributes of the node.
    fn read(call: &Call<'_, '_>, kernel: &[Dim]) -> Option<Vec<Self>> {
        let axes = kernel.len();
        let list = |name: &str, count: usize, default: i64| {
            call.ints(name).filter(|list| list.len() == count).unwrap_or_else(|| vec![default; count])
        };
        let (strides, dilations) = (list("strides", axes, 1), list("dilations", axes, 1));
        let pads = list("pads", 2 * axes, 0);
        let auto = call.text("auto_pad").to_owned();
        let round_up = call.int("ceil_mode", 0) != 0;
        (0..axes)
            .map(|axis| {
                let Dim::Fixed(kernel) = kernel[axis] else { return None };
                let pads = match auto.as_str() {
                    "" | "NOTSET" => Some(pads[axis] + pads[axis + axes]),
                    "VALID" => Some(0),
                    _ => None,
                };
                let (stride, dilation) = (strides[axis], dilations[axis]);
                (stride > 0).then_some(Self { kernel, stride, dilation, pads, round_up })
            })
            .collect()
    }

    fn reach(&self) -> i64 {
        self.dilation.saturating_mul(self.kernel - 1).saturating_add(1)
    }

    fn length(&self, call: &mut Call<'_, '_>, from: &Dim) -> Result<Dim, String> {
        let Some(pads) = self.pads else {
            return Ok(match from {
                Dim::Fixed(n) => Dim::Fixed((n + self.stride - 1) / self.stride),
                from if self.stride == 1 => from.clone(),
                from => call.walk.symbols.derived("same", &[from.clone(), Dim::Fixed(self.stride)]),
            });
        };
        let shrinks = self.reach().saturating_sub(pads);
        match from {
            Dim::Fixed(n) => {
                let room = n - shrinks;
                if room < 0 {
                    return Err(format!(
                        "a window of {} does not fit a padded length of {}",
                        self.reach(),
                        n + pads
                    ));
                }
                let steps = if self.round_up {
                    let steps = (room + self.stride - 1) / self.stride;
                    // A window that begins in the pads at the end is left out, which depends on how they lie.
                    if steps != room / self.stride {
                        return Ok(Dim::Unknown);
                    }
                    steps
                } else {
                    room / self.stride
                };
                Ok(Dim::Fixed(steps + 1))
            }
            from if self.stride == 1 && shrinks == 1 => Ok(from.clone()),
            from => {
                let parts = [from.clone(), Dim::Fixed(shrinks), Dim::Fixed(self.stride)];
                let name = if self.round_up { "window, rounded up" } else { "window" };
                Ok(call.walk.symbols.derived(name, &parts))
            }
        }
    }
}

/// `[batch, channels]` and the planes that a window of this size gives.
fn slid(call: &mut Call<'_, '_>, x: &[Dim], channels: Dim, kernel: &[Dim]) -> Result<Vec<Dim>, String> {
    let mut dims = vec![x[0].clone(), channels];
    match Slide::read(call, kernel).filter(|slides| slides.len() + 2 == x.len()) {
        Some(slides) => {
            for (slide, from) in slides.iter().zip(&x[2..]) {
                dims.push(slide.length(call, from)?);
            }
        }
        None => dims.resize(x.len(), Dim::Unknown),
    }
    Ok(dims)
}

fn convolved(call: &mut Call<'_, '_>, weight: usize) -> Ruled {
    let Some(x) = call.dims(0).filter(|x| x.len() >= 3) else { return Ok(vec![]) };
    let Some(weight) = call.dims(weight) else {
        let mut dims = vec![Dim::Unknown; x.len()];
        dims[0] = x[0].clone();
        return Ok(vec![Fact::of_dims(dims)]);
    };
    if weight.len() != x.len() {
        return Err(format!("weights of {} axes for an input of {}", weight.len(), x.len()));
    }
    call.equal(&x[1], &weight[1].times(&Dim::Fixed(call.int("group", 1))))?;
    Ok(vec![Fact::of_dims(slid(call, &x, weight[0].clone(), &weight[2..])?)])
}

pub fn conv(call: &mut Call<'_, '_>) -> Ruled {
    convolved(call, 1)
}

pub fn quantized_conv(call: &mut Call<'_, '_>) -> Ruled {
    if call.int("channels_last", 0) != 0 {
        return Ok(vec![]);
    }
    convolved(call, 3)
}

pub fn deform_conv(call: &mut Call<'_, '_>) -> Ruled {
    convolved(call, 1)
}

pub fn conv_transpose(call: &mut Call<'_, '_>) -> Ruled {
    let Some(x) = call.dims(0).filter(|x| x.len() >= 3) else { return Ok(vec![]) };
    let Some(weight) = call.dims(1).filter(|weight| weight.len() == x.len()) else { return Ok(vec![]) };
    call.equal(&x[1], &weight[0])?;
    let mut dims = vec![x[0].clone(), weight[1].times(&Dim::Fixed(call.int("group", 1)))];
    let slides = Slide::read(call, &weight[2..]);
    let added = call.ints("output_padding").unwrap_or_else(|| vec![0; x.len() - 2]);
    let shape = call.ints("output_shape");
    for (axis, from) in x[2..].iter().enumerate() {
        let slide = slides.as_ref().and_then(|slides| slides.get(axis));
        dims.push(match (&shape, slide) {
            (Some(shape), _) => shape.get(axis).map_or(Dim::Unknown, |n| Dim::Fixed(*n)),
            (None, None) => Dim::Unknown,
            (None, Some(slide)) => match slide.pads {
                None => from.times(&Dim::Fixed(slide.stride)),
                Some(pads) => {
                    let more = added.get(axis).copied().unwrap_or(0) + slide.reach() - pads - slide.stride;
                    let scaled = from.times(&Dim::Fixed(slide.stride));
                    call.walk.symbols.add_dims(&scaled, &Dim::Fixed(more))
                }
            },
        });
    }
    Ok(vec![Fact::of_dims(dims)])
}

pub fn pool(call: &mut Call<'_, '_>) -> Ruled {
    let Some(x) = call.dims(0).filter(|x| x.len() >= 3) else { return Ok(vec![]) };
    let kernel: Vec<Dim> =
        call.ints("kernel_shape").unwrap_or_default().into_iter().map(Dim::Fixed).collect();
    let channels = x[1].clone();
    let dims = slid(call, &x, channels, &kernel)?;
    Ok(vec![Fact::of_dims(dims.clone()), Fact::of_dims(dims)])
}

pub fn global_pool(call: &mut Call<'_, '_>) -> Ruled {
    let Some(mut dims) = call.dims(0).filter(|dims| dims.len() >= 2) else { return Ok(vec![]) };
    dims[2..].fill(Dim::Fixed(1));
    Ok(vec![Fact::of_dims(dims)])
}

pub fn resize(call: &mut Call<'_, '_>) -> Ruled {
    let Some(mut dims) = call.dims(0) else { return Ok(vec![]) };
    // Axes that are left out stay; policies that keep proportions are not followed.
    let axes: Option<Vec<usize>> = match call.ints("axes") {
        None => Some((0..dims.len()).collect()),
        Some(axes) => axes.into_iter().map(|axis| super::index(axis, dims.len())).collect(),
    };
    let axes = axes.ok_or("its axes are not those of its input")?;
    let (scales_at, sizes_at) = match (call.node.op.as_str(), call.node.version) {
        ("Upsample", _) | (_, ..=10) => (1, usize::MAX),
        _ => (2, 3),
    };
    let floats = call.node.attributes.find_floats("scales").ok().flatten();
    let scales: Option<Vec<f64>> = match floats {
        Some(scales) => Some(scales.iter().map(|s| f64::from(*s)).collect()),
        None => call.constant(scales_at).map(|scales| scales.to_f64()),
    };
    let scales = scales.filter(|scales| scales.len() == axes.len() && !scales.is_empty());
    let sizes = call.fact(sizes_at).elements.filter(|sizes| sizes.len() == axes.len());
    let keeps = matches!(call.text("keep_aspect_ratio_policy"), "" | "stretch");
    for (at, axis) in axes.into_iter().enumerate() {
        dims[axis] = match (&sizes, &scales) {
            (Some(sizes), _) if keeps => sizes[at].clone(),
            (None, Some(scales)) => {
                let scale = scales[at];
                match &dims[axis] {
                    Dim::Fixed(n) => Dim::Fixed((*n as f64 * scale).floor() as i64),
                    dim if scale.fract() == 0.0 && scale >= 1.0 => dim.times(&Dim::Fixed(scale as i64)),
                    dim => call.walk.symbols.derived(format!("scaled by {scale}"), std::slice::from_ref(dim)),
                }
            }
            _ => Dim::Unknown,
        };
    }
    Ok(vec![Fact::of_dims(dims)])
}

pub fn grid_sample(call: &mut Call<'_, '_>) -> Ruled {
    let (Some(x), Some(grid)) = (call.dims(0), call.dims(1)) else { return Ok(vec![]) };
    let ([batch, channels, ..], [_, planes @ .., _]) = (&x[..], &grid[..]) else { return Ok(vec![]) };
    call.equal(batch, &grid[0])?;
    Ok(vec![Fact::of_dims([&[batch.clone(), channels.clone()], planes].concat())])
}

pub fn affine_grid(call: &mut Call<'_, '_>) -> Ruled {
    let Some(size) = call.fact(1).elements.filter(|size| size.len() >= 3) else { return Ok(vec![]) };
    let axes = Dim::from(size.len() - 2);
    Ok(vec![Fact::of_dims([&size[..1], &size[2..], &[axes]].concat())])
}

pub fn roi_align(call: &mut Call<'_, '_>) -> Ruled {
    let (Some(x), Some(rois)) = (call.dims(0), call.dims(1)) else { return Ok(vec![]) };
    let ([_, channels, ..], [count, ..]) = (&x[..], &rois[..]) else { return Ok(vec![]) };
    let (height, width) = (call.int("output_height", 1), call.int("output_width", 1));
    Ok(vec![Fact::of_dims(vec![count.clone(), channels.clone(), Dim::Fixed(height), Dim::Fixed(width)])])
}
