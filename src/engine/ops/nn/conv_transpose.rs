//! ConvTranspose with one, two or three spatial axes.

use super::pieces::{LONG, joined, part, ranges};
use super::window::{AutoPad, Window};
use crate::engine::backend::Kernels;
use crate::engine::ops::{BoxOp, Context, Inputs, OpError, Site, one};
use crate::engine::value::{Value, from_burn};
use burn::tensor::ops::{ConvTransposeOptions, FloatTensor};
use burn::tensor::{Slice, TensorMetadata};
use std::ops::Range;

pub fn build<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
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
        let reach =
            (kernel[axis] - 1).checked_mul(dilation).and_then(|v| v.checked_add(1)).ok_or(too_large)?;
        // Of an empty axis this leaves what its kernel reaches beyond one stride, as ONNX Runtime has it.
        let last = spatial[axis].checked_mul(stride).and_then(|v| v.checked_add(reach)).ok_or(too_large)?;
        let full = last.checked_sub(stride).ok_or("nothing is left of an axis that is empty")?;
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

fn run<B: Kernels>(
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
    if shape.contains(&0) || outputs == 0 {
        let mut out = vec![*n, outputs];
        out.extend(cuts.iter().map(|c| c.out));
        return if *n > 0 && outputs > 0 && out[2..].contains(&0) {
            Err(format!("nothing is left of an input {shape:?}").into())
        } else {
            Ok(bias_alone::<B>(bias, out, &x, cx))
        };
    }
    // Cut alike at both ends, the backend does it; else the whole is computed and cut here.
    let in_one = !B::ON_HOST || !is_wide(spatial, kernel);
    let alike = in_one
        && cuts.iter().all(|c| {
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
    let at: Vec<_> = (0..cuts.len()).map(at).collect();
    let mut y = in_pieces::<B>(Operands { x, weight, bias: bias.clone(), groups }, &at, cx, LONG)?;
    if alike {
        return Ok(y);
    }
    let beyond = cuts.iter().any(|c| c.start + c.out > c.full);
    if beyond {
        // Rows past the end hold the bias alone.
        let base = bias_alone::<B>(bias, full, &y, cx);
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

/// What a result is where no input reaches it, in the type of `like`.
fn bias_alone<B: Kernels>(
    bias: Option<FloatTensor<B>>,
    dims: Vec<usize>,
    like: &FloatTensor<B>,
    cx: &Context<B>,
) -> FloatTensor<B> {
    let zeros = B::float_zeros(dims.clone().into(), &cx.device, like.dtype().into());
    let Some(bias) = bias.filter(|_| !dims.contains(&0)) else { return zeros };
    let mut ones = vec![1; dims.len()];
    ones[1] = dims[1];
    let bias = B::float_reshape(bias, ones.into());
    B::float_add(zeros, B::float_expand(bias, dims.into()))
}

/// What a transposed convolution reads, whose sizes go together.
struct Operands<B: Kernels> {
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    bias: Option<FloatTensor<B>>,
    groups: usize,
}

/// The stride, the pads, what is added at the end, and the dilation of an axis.
type At = (usize, usize, usize, usize);

/// Elements of the backend's own memory in one call: of so many times fewer multiply-adds it keeps the products.
const COLUMNS: usize = 64;

/// Convolves in one call of the backend, or in several where that is more than `most` multiply-adds, or takes more memory
/// than goes with these: some items of the batch at a time, or else some groups, some channels of the result, some rows
/// of the input, some of its channels.
///
/// REQUIRES pads of 0 where [`is_wide`] says so of one channel.
fn in_pieces<B: Kernels>(
    given: Operands<B>,
    at: &[At],
    cx: &Context<B>,
    most: usize,
) -> Result<FloatTensor<B>, OpError> {
    let Operands { x, weight, bias, groups } = &given;
    let (batch, channels, per_group) = (x.shape()[0], x.shape()[1], weight.shape()[1]);
    let columns = columns(&x.shape()[2..], &weight.shape()[2..]);
    let work = [batch, channels, per_group].into_iter().fold(columns, usize::saturating_mul);
    let wide = columns.saturating_mul(per_group) / (most / COLUMNS).max(1);
    if !B::ON_HOST || (work <= most && wide <= 1) {
        // Given back with the call.
        let _scope = cx.run.scope();
        cx.check(from_burn(x.dtype()), &[columns, per_group])?;
        return at_once(given, at);
    }
    let bias_of = |range: &Range<usize>| bias.as_ref().map(|bias| part::<B>(bias, 0, range));
    let pieces = if wide > 1 { usize::MAX } else { work / most };
    if batch > 1 {
        return joined(batch, pieces, 0, cx, &mut |range| {
            let (weight, bias) = (weight.clone(), bias.clone());
            in_pieces(Operands { x: part::<B>(x, 0, &range), weight, bias, groups: *groups }, at, cx, most)
        });
    }
    if *groups > 1 {
        let of_x = channels / groups;
        return joined(*groups, pieces, 1, cx, &mut |range| {
            let from = range.start * of_x..range.end * of_x;
            let to = range.start * per_group..range.end * per_group;
            let (x, weight) = (part::<B>(x, 1, &from), part::<B>(weight, 0, &from));
            in_pieces(Operands { x, weight, bias: bias_of(&to), groups: range.len() }, at, cx, most)
        });
    }
    if per_group > 1 {
        return joined(per_group, wide.max(work / most), 1, cx, &mut |range| {
            let (x, weight) = (x.clone(), part::<B>(weight, 1, &range));
            in_pieces(Operands { x, weight, bias: bias_of(&range), groups: 1 }, at, cx, most)
        });
    }
    if wide > 1
        && let Some(axis) = x.shape()[2..].iter().position(|size| *size > 1)
    {
        return by_rows(given, at, cx, most, axis, wide);
    }
    let mut sum = None;
    for range in ranges(channels, work / most) {
        cx.run.go_on()?;
        let (x, weight) = (part::<B>(x, 1, &range), part::<B>(weight, 0, &range));
        let bias = if sum.is_none() { bias.clone() } else { None };
        let y = at_once(Operands::<B> { x, weight, bias, groups: 1 }, at)?;
        sum = Some(match sum {
            Some(sum) => B::float_add(sum, y),
            None => y,
        });
    }
    sum.ok_or_else(|| "it has no channels".into())
}

/// One channel of one item, some rows of the input at a time: what they give overlaps, and is added up.
fn by_rows<B: Kernels>(
    given: Operands<B>,
    at: &[At],
    cx: &Context<B>,
    most: usize,
    axis: usize,
    pieces: usize,
) -> Result<FloatTensor<B>, OpError> {
    let Operands { x, weight, bias, .. } = given;
    let (size, kernel) = (x.shape().to_vec(), weight.shape().to_vec());
    let mut full = vec![1, 1];
    for (a, (stride, _, _, dilation)) in at.iter().enumerate() {
        full.push((size[a + 2] - 1) * stride + (kernel[a + 2] - 1) * dilation + 1);
    }
    let dtype = x.dtype();
    // The sum, what a piece adds to, and the two together.
    (0..3).try_for_each(|_| cx.check(from_burn(dtype), &full))?;
    let mut y = B::float_zeros(full.clone().into(), &cx.device, dtype.into());
    for range in ranges(size[axis + 2], pieces) {
        cx.run.go_on()?;
        let first = range.start * at[axis].0;
        let x = part::<B>(&x, axis + 2, &range);
        let piece = in_pieces(Operands { x, weight: weight.clone(), bias: None, groups: 1 }, at, cx, most)?;
        let place = first..first + piece.shape()[axis + 2];
        let slices: Vec<Slice> = (full.iter().enumerate())
            .map(|(a, dim)| if a == axis + 2 { place.clone() } else { 0..*dim })
            .map(|range| Slice::new(range.start as isize, Some(range.end as isize), 1))
            .collect();
        let before = part::<B>(&y, axis + 2, &place);
        y = B::float_slice_assign(y, &slices, B::float_add(before, piece));
    }
    Ok(match bias {
        Some(bias) => {
            let bias = B::float_reshape(bias, vec![1; full.len()].into());
            B::float_add(y, B::float_expand(bias, full.into()))
        }
        None => y,
    })
}

/// The products that the backend keeps for one channel of the result.
fn columns(spatial: &[usize], kernel: &[usize]) -> usize {
    spatial.iter().chain(kernel).copied().fold(1, usize::saturating_mul)
}

/// Whether one channel takes more memory of the backend's own than a call may.
fn is_wide(spatial: &[usize], kernel: &[usize]) -> bool {
    columns(spatial, kernel) > LONG / COLUMNS
}

fn at_once<B: Kernels>(given: Operands<B>, at: &[At]) -> Result<FloatTensor<B>, OpError> {
    fn options<const N: usize>(at: &[At], groups: usize) -> ConvTransposeOptions<N> {
        ConvTransposeOptions::new(
            std::array::from_fn(|a| at[a].0),
            std::array::from_fn(|a| at[a].1),
            std::array::from_fn(|a| at[a].2),
            std::array::from_fn(|a| at[a].3),
            groups,
        )
    }
    let Operands { x, weight, bias, groups } = given;
    match at.len() {
        1 => Ok(B::conv_transpose1d(x, weight, bias, options(at, groups))),
        2 => Ok(B::conv_transpose2d(x, weight, bias, options(at, groups))),
        3 => Ok(B::conv_transpose3d(x, weight, bias, options(at, groups))),
        axes => Err(format!("a convolution over {axes} axes is not supported").into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::TensorData;
    use burn_flex::{Flex, FlexDevice, FlexTensor};

    fn tensor(shape: &[usize]) -> FlexTensor {
        let len: usize = shape.iter().product();
        let elements: Vec<f32> = (0..len).map(|i| ((i * 37 + 11) % 19) as f32 - 9.0).collect();
        FlexTensor::from_data(TensorData::new(elements, shape.to_vec()))
    }

    #[test]
    fn pieces_make_what_the_whole_makes() {
        let cx = Context::<Flex>::alone(FlexDevice, 1 << 24);
        for (x, weight, groups) in [
            (vec![3, 4, 5, 4], vec![4, 3, 3, 2], 2),
            (vec![1, 4, 5, 4], vec![4, 1, 2, 3], 4),
            (vec![1, 6, 4, 3], vec![6, 1, 3, 3], 1),
        ] {
            let at = [(2, 0, 0, 1), (1, 0, 0, 2)];
            let given = || Operands::<Flex> {
                x: tensor(&x),
                weight: tensor(&weight),
                bias: Some(tensor(&[weight[1] * groups])),
                groups,
            };
            let whole = at_once(given(), &at).unwrap();
            for most in [1, 20, 300, 5000] {
                let pieces = in_pieces(given(), &at, &cx, most).unwrap();
                assert_eq!(pieces.shape(), whole.shape());
                let numbers = |t: &FlexTensor| Value::<Flex>::Float(t.clone()).into_host().unwrap().to_f64();
                assert_eq!(numbers(&pieces), numbers(&whole), "{x:?} {weight:?} {most}");
            }
        }
    }
}
