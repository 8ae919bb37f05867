//! ConvTranspose with one, two or three spatial axes.

use super::window::{AutoPad, Window};
use crate::engine::backend::Accelerator;
use crate::engine::ops::{BoxOp, Context, Inputs, OpError, Site, one};
use crate::engine::value::{Value, from_burn};
use burn::tensor::ops::{ConvTransposeOptions, FloatTensor};
use burn::tensor::{Slice, TensorMetadata};

pub fn build<B: Accelerator>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let attributes = &site.node.attributes;
    let settings = Settings {
        window: Window::read(attributes)?,
        groups: usize::try_from(attributes.int("group", 1)?)
            .ok()
            .filter(|g| *g > 0)
            .ok_or("group is not positive")?,
        output_padding: sizes(attributes.find_ints("output_padding")?)?,
        output_shape: sizes(attributes.find_ints("output_shape")?)?,
    };
    let prepare = |input| -> Result<Option<FloatTensor<B>>, OpError> {
        site.absorb(input).map(|t| Value::<B>::Host(t.clone()).float(site.device)).transpose()
    };
    let (weight, bias) = (prepare(1).map_err(|e| e.reason)?, prepare(2).map_err(|e| e.reason)?);
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        let x = inputs.take(0)?.float(&cx.device)?;
        let weight = match &weight {
            Some(weight) => weight.clone(),
            None => inputs.take(1)?.float(&cx.device)?,
        };
        let bias = match (&bias, inputs.optional(2)) {
            (Some(bias), _) => Some(bias.clone()),
            (None, bias) => bias.map(|b| b.float(&cx.device)).transpose()?,
        };
        one(Value::Float(run::<B>(x, weight, bias, &settings, cx)?))
    }))
}

fn sizes(given: Option<&Vec<i64>>) -> Result<Option<Vec<usize>>, String> {
    given
        .map(|g| g.iter().map(|v| usize::try_from(*v).map_err(|_| format!("{g:?} cannot be"))).collect())
        .transpose()
}

struct Settings {
    window: Window,
    groups: usize,
    output_padding: Option<Vec<usize>>,
    output_shape: Option<Vec<usize>>,
}

/// One spatial axis: what is computed in full, and what of it is kept.
#[derive(Clone, Copy, Debug)]
struct Cut {
    stride: usize,
    dilation: usize,
    /// The size of the uncut result.
    full: usize,
    start: usize,
    out: usize,
}

impl Settings {
    fn cut(&self, axis: usize, spatial: &[usize], kernel: &[usize]) -> Result<Cut, String> {
        let rank = spatial.len();
        let listed = |list: &Option<Vec<usize>>, name: &str| match list {
            None => Ok(None),
            // Some exporters write the leading axes too.
            Some(list) if list.len() == rank || list.len() == rank + 2 => {
                Ok(Some(list[list.len() - rank + axis]))
            }
            Some(list) => Err(format!("{name} {list:?} for {rank} spatial axes")),
        };
        let (stride, dilation) = (self.window.stride(axis, rank)?, self.window.dilation(axis, rank)?);
        let extra = listed(&self.output_padding, "output_padding")?.unwrap_or(0);
        let too_large = "the result is too large";
        let reach = (kernel[axis] - 1) * dilation + 1;
        let full = spatial[axis]
            .saturating_sub(1)
            .checked_mul(stride)
            .and_then(|v| v.checked_add(reach))
            .ok_or(too_large)?;
        let wanted = match listed(&self.output_shape, "output_shape")? {
            Some(size) => Some(size),
            None if matches!(self.window.auto_pad, AutoPad::SameUpper | AutoPad::SameLower) => {
                Some(spatial[axis].checked_mul(stride).ok_or(too_large)?)
            }
            None => None,
        };
        let (start, out) = match wanted {
            None => {
                let pads = match self.window.auto_pad {
                    AutoPad::NotSet => self.window.given_pads(axis, rank)?,
                    _ => (0, 0),
                };
                let out = (full + extra).checked_sub(pads.0 + pads.1);
                (pads.0, out.ok_or_else(|| format!("pads {pads:?} leave nothing of {full}"))?)
            }
            Some(out) => {
                let total = (full + extra).saturating_sub(out);
                let less = total / 2;
                (if self.window.auto_pad == AutoPad::SameUpper { less } else { total - less }, out)
            }
        };
        Ok(Cut { stride, dilation, full, start, out })
    }
}

fn run<B: Accelerator>(
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    bias: Option<FloatTensor<B>>,
    settings: &Settings,
    cx: &Context<B>,
) -> Result<FloatTensor<B>, OpError> {
    let (shape, filter) = (x.shape().to_vec(), weight.shape().to_vec());
    let ([n, channels, spatial @ ..], [inputs, per_group, kernel @ ..]) = (&shape[..], &filter[..]) else {
        return Err(format!("an input {shape:?} and a weight {filter:?} do not make a convolution").into());
    };
    let groups = settings.groups;
    let outputs = per_group.checked_mul(groups).ok_or("too many groups")?;
    let bias_fits = bias.as_ref().is_none_or(|b| b.shape().as_slice() == [outputs]);
    if inputs != channels
        || channels % groups != 0
        || kernel.len() != spatial.len()
        || !bias_fits
        || kernel.contains(&0)
    {
        return Err(format!(
            "an input {shape:?}, a weight {filter:?} and {groups} groups do not go together"
        )
        .into());
    }
    let cuts = (0..spatial.len()).map(|a| settings.cut(a, spatial, kernel)).collect::<Result<Vec<_>, _>>()?;
    let dtype = from_burn(x.dtype());
    let mut full: Vec<usize> = vec![*n, outputs];
    full.extend(cuts.iter().map(|c| c.full.max(c.start + c.out)));
    cx.check(dtype, &full)?;
    if full[2..].contains(&0) {
        return Err(format!("an input {shape:?} is empty").into());
    }
    if shape.contains(&0) || outputs == 0 {
        let mut out = vec![*n, outputs];
        out.extend(cuts.iter().map(|c| c.out));
        if *n > 0 && outputs > 0 {
            return Err(format!("an input {shape:?} is empty").into());
        }
        return Ok(B::float_zeros(out.into(), &cx.device, x.dtype().into()));
    }
    // Cut alike at both ends, the backend does it; else the whole is computed and cut here.
    let alike = cuts.iter().all(|c| {
        c.full >= c.start * 2
            && c.out >= c.full - c.start * 2
            && c.out < c.full - c.start * 2 + c.stride.max(c.dilation)
    });
    let at = |axis: usize| {
        let c = cuts[axis];
        if alike {
            (c.stride, c.start, c.out - (c.full - c.start * 2), c.dilation)
        } else {
            (c.stride, 0, 0, c.dilation)
        }
    };
    fn options<const N: usize>(
        at: impl Fn(usize) -> (usize, usize, usize, usize),
        groups: usize,
    ) -> ConvTransposeOptions<N> {
        ConvTransposeOptions::new(
            std::array::from_fn(|a| at(a).0),
            std::array::from_fn(|a| at(a).1),
            std::array::from_fn(|a| at(a).2),
            std::array::from_fn(|a| at(a).3),
            groups,
        )
    }
    let mut y = match cuts.len() {
        1 => B::conv_transpose1d(x, weight, bias.clone(), options(at, groups)),
        2 => B::conv_transpose2d(x, weight, bias.clone(), options(at, groups)),
        3 => B::conv_transpose3d(x, weight, bias.clone(), options(at, groups)),
        axes => return Err(format!("a convolution over {axes} axes is not supported").into()),
    };
    if alike {
        return Ok(y);
    }
    let beyond = cuts.iter().any(|c| c.start + c.out > c.full);
    if beyond {
        // Rows past the end hold the bias alone.
        let base = B::float_zeros(full.clone().into(), &cx.device, y.dtype().into());
        let base = match bias {
            None => base,
            Some(bias) => {
                let mut ones = vec![1; full.len()];
                ones[1] = outputs;
                let bias = B::float_reshape(bias, ones.into());
                B::float_add(base, B::float_expand(bias, full.clone().into()))
            }
        };
        let place: Vec<Slice> = y.shape().iter().map(|d| Slice::new(0, Some(*d as isize), 1)).collect();
        y = B::float_slice_assign(base, &place, y);
    }
    let keep: Vec<Slice> = [(0, *n), (0, outputs)]
        .into_iter()
        .chain(cuts.iter().map(|c| (c.start, c.out)))
        .map(|(start, count)| Slice::new(start as isize, Some((start + count) as isize), 1))
        .collect();
    Ok(B::float_slice(y, &keep))
}
