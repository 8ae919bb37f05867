//! Windows that slide: kernel, strides, dilations and pads of convolutions and pools.

use crate::engine::backend::Kernels;
use crate::engine::error::OpError;
use crate::engine::onnx::Attributes;
use crate::engine::ops::Context;
use crate::engine::value::from_burn;
use burn::tensor::ops::FloatTensor;
use burn::tensor::{Slice, TensorMetadata};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AutoPad {
    NotSet,
    Valid,
    SameUpper,
    SameLower,
}

#[derive(Clone, Debug)]
pub struct Window {
    pub auto_pad: AutoPad,
    pub kernel: Option<Vec<usize>>,
    strides: Option<Vec<usize>>,
    dilations: Option<Vec<usize>>,
    pads: Option<Vec<usize>>,
    pub ceil: bool,
}

/// One spatial axis with everything known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slide {
    pub kernel: usize,
    pub stride: usize,
    pub dilation: usize,
    /// The pads before and after.
    pub pads: (usize, usize),
    pub out: usize,
}

impl Slide {
    /// The elements of the window at an output position that lie in `within`, counted with the pads.
    pub fn taps(&self, position: usize, within: std::ops::Range<usize>) -> std::ops::Range<usize> {
        let start = position * self.stride;
        let first = within.start.saturating_sub(start).div_ceil(self.dilation);
        let end = within.end.saturating_sub(start).div_ceil(self.dilation).min(self.kernel);
        first.min(end)..end
    }
}

/// A window larger than this is taken for a mistake.
const LIMIT: i64 = 1 << 24;

fn sizes(attributes: &Attributes, name: &str, least: i64) -> Result<Option<Vec<usize>>, String> {
    let Some(given) = attributes.find_ints(name)? else { return Ok(None) };
    if given.iter().any(|v| *v < least || *v > LIMIT) {
        return Err(format!("{name} {given:?} cannot be"));
    }
    Ok(Some(given.iter().map(|v| *v as usize).collect()))
}

impl Window {
    pub fn read(attributes: &Attributes) -> Result<Self, String> {
        let auto_pad = attributes.choice(
            "auto_pad",
            "NOTSET",
            &[
                ("NOTSET", AutoPad::NotSet),
                ("", AutoPad::NotSet),
                ("VALID", AutoPad::Valid),
                ("SAME_UPPER", AutoPad::SameUpper),
                ("SAME_LOWER", AutoPad::SameLower),
            ],
        )?;
        Ok(Self {
            auto_pad,
            kernel: sizes(attributes, "kernel_shape", 1)?,
            strides: sizes(attributes, "strides", 1)?,
            dilations: sizes(attributes, "dilations", 1)?,
            pads: sizes(attributes, "pads", 0)?,
            ceil: attributes.flag("ceil_mode")?,
        })
    }

    fn along(list: &Option<Vec<usize>>, axis: usize, rank: usize, name: &str) -> Result<usize, String> {
        match list {
            None => Ok(1),
            Some(list) if list.len() == rank => Ok(list[axis]),
            Some(list) => Err(format!("{name} {list:?} for {rank} spatial axes")),
        }
    }

    pub fn stride(&self, axis: usize, rank: usize) -> Result<usize, String> {
        Self::along(&self.strides, axis, rank, "strides")
    }

    pub fn dilation(&self, axis: usize, rank: usize) -> Result<usize, String> {
        Self::along(&self.dilations, axis, rank, "dilations")
    }

    pub fn given_pads(&self, axis: usize, rank: usize) -> Result<(usize, usize), String> {
        match &self.pads {
            None => Ok((0, 0)),
            Some(pads) if pads.len() == rank * 2 => Ok((pads[axis], pads[axis + rank])),
            Some(pads) => Err(format!("pads {pads:?} for {rank} spatial axes")),
        }
    }

    /// Every spatial axis of an input of these sizes.
    pub fn slides(&self, input: &[usize], kernel: &[usize]) -> Result<Vec<Slide>, String> {
        if kernel.len() != input.len() {
            return Err(format!("a kernel {kernel:?} for spatial axes {input:?}"));
        }
        (0..input.len()).map(|axis| self.slide(axis, input, kernel[axis])).collect()
    }

    fn slide(&self, axis: usize, input: &[usize], kernel: usize) -> Result<Slide, String> {
        let (size, rank) = (input[axis], input.len());
        let (stride, dilation) = (self.stride(axis, rank)?, self.dilation(axis, rank)?);
        let reach = (kernel - 1) * dilation + 1;
        let pads = match self.auto_pad {
            AutoPad::NotSet => self.given_pads(axis, rank)?,
            AutoPad::Valid => (0, 0),
            same => {
                let needed =
                    ((size.div_ceil(stride)).saturating_sub(1) * stride + reach).saturating_sub(size);
                let less = needed / 2;
                if same == AutoPad::SameUpper { (less, needed - less) } else { (needed - less, less) }
            }
        };
        let padded = size + pads.0 + pads.1;
        let Some(room) = padded.checked_sub(reach) else {
            return Err(format!("a window of {reach} does not fit an axis of {padded}"));
        };
        let mut out = room / stride + 1;
        // The last window may hang over the end, but not begin in the pad after it.
        if self.ceil && room % stride != 0 && out * stride < size + pads.0 {
            out += 1;
        }
        Ok(Slide { kernel, stride, dilation, pads, out })
    }
}

/// The input `[batch, channels, ...]` with its pads filled, and as much more after the end as the last window
/// needs: backends pad both ends alike, and know no window that hangs over.
///
/// REQUIRES slides that have outputs.
pub fn padded<B: Kernels>(
    x: FloatTensor<B>,
    slides: &[Slide],
    fill: f64,
    cx: &Context<B>,
) -> Result<FloatTensor<B>, OpError> {
    let shape = x.shape().to_vec();
    let mut out = shape[..2].to_vec();
    let mut place: Vec<Slice> = shape[..2].iter().map(|d| Slice::new(0, Some(*d as isize), 1)).collect();
    for (slide, dim) in slides.iter().zip(&shape[2..]) {
        let needed = (slide.out - 1) * slide.stride + (slide.kernel - 1) * slide.dilation + 1;
        out.push(needed.max(dim + slide.pads.0));
        place.push(Slice::new(slide.pads.0 as isize, Some((slide.pads.0 + dim) as isize), 1));
    }
    if out == shape {
        return Ok(x);
    }
    let dtype = x.dtype();
    cx.check(from_burn(dtype), &out)?;
    let base = B::float_full(out.into(), fill.into(), &cx.device, dtype.into());
    Ok(B::float_slice_assign(base, &place, x))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::onnx::Attribute;

    fn slide(
        attributes: &[(&str, &[i64])],
        flags: &[(&str, i64)],
        pad: &str,
        size: usize,
        kernel: usize,
    ) -> Slide {
        let mut all = Attributes::default();
        attributes.iter().for_each(|(n, v)| all.set(n, Attribute::Ints(v.to_vec())));
        flags.iter().for_each(|(n, v)| all.set(n, Attribute::Int(*v)));
        all.set("auto_pad", Attribute::Text(pad.into()));
        Window::read(&all).unwrap().slides(&[size], &[kernel]).unwrap()[0]
    }

    #[test]
    fn outputs_have_the_size_that_onnx_gives_them() {
        assert_eq!(slide(&[("pads", &[1, 1])], &[], "NOTSET", 5, 3).out, 5);
        assert_eq!(slide(&[("strides", &[2])], &[], "SAME_UPPER", 5, 2).pads, (0, 1));
        assert_eq!(slide(&[("strides", &[2])], &[], "SAME_LOWER", 5, 2).pads, (1, 0));
        assert_eq!(slide(&[("strides", &[2])], &[("ceil_mode", 1)], "NOTSET", 6, 3).out, 3);
        assert_eq!(slide(&[("strides", &[2])], &[], "NOTSET", 6, 3).out, 2);
        // The third window would begin in the pad.
        assert_eq!(
            slide(&[("strides", &[2]), ("pads", &[1, 1])], &[("ceil_mode", 1)], "NOTSET", 2, 1).out,
            2
        );
        assert_eq!(slide(&[("dilations", &[2])], &[], "VALID", 7, 3).out, 3);
    }

    #[test]
    fn taps_are_those_inside() {
        let slide = Slide { kernel: 3, stride: 2, dilation: 2, pads: (1, 0), out: 3 };
        // Windows at 0 2 4, 2 4 6, 4 6 8 over an input at 1..6.
        assert_eq!([0, 1, 2].map(|p| slide.taps(p, 1..6)), [1..3, 0..2, 0..1]);
        assert_eq!(slide.taps(2, 0..3), 0..0);
    }

    #[test]
    fn windows_that_cannot_be_are_errors() {
        let mut attributes = Attributes::default();
        attributes.set("strides", Attribute::Ints(vec![0]));
        assert!(Window::read(&attributes).unwrap_err().contains("strides"));
        attributes.set("strides", Attribute::Ints(vec![1, 1]));
        let window = Window::read(&attributes).unwrap();
        assert!(window.slides(&[5], &[3]).unwrap_err().contains("strides"));
        attributes.set("strides", Attribute::Ints(vec![1]));
        let window = Window::read(&attributes).unwrap();
        assert!(window.slides(&[2], &[3]).unwrap_err().contains("does not fit"));
    }
}
