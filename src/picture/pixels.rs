//! Levels of 8 bits to the elements of a tensor, by table: one entry for each channel and level.

use crate::tensor::{DType, Element, SizeMismatch, Tensor};
use half::{bf16, f16};
use serde::Serialize;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Color {
    Rgb,
    Bgr,
    Gray,
}

impl Color {
    pub fn channels(self) -> usize {
        if self == Self::Gray { 1 } else { 3 }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    Nchw,
    Nhwc,
}

/// `(level * scale - mean) / std`, mean and std in the order of the tensor's channels.
#[derive(Debug, Serialize)]
pub struct Normalise {
    pub dtype: DType,
    pub scale: f64,
    pub mean: [f64; 3],
    pub std: [f64; 3],
}

/// The element of each level, for each of the tensor's channels.
pub enum Table {
    F32(Box<[[f32; 256]; 3]>),
    F64(Box<[[f64; 256]; 3]>),
    F16(Box<[[f16; 256]; 3]>),
    BF16(Box<[[bf16; 256]; 3]>),
    U8,
}

impl Normalise {
    /// The least and the greatest element that a level becomes, of any channel.
    pub fn range(&self) -> (f64, f64) {
        if self.dtype == DType::U8 {
            return (0.0, 255.0);
        }
        let ends =
            (0..3).flat_map(|c| [0.0, 255.0].map(|level| (level * self.scale - self.mean[c]) / self.std[c]));
        ends.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), end| (low.min(end), high.max(end)))
    }
}

impl Table {
    pub fn new(normalise: &Normalise) -> Self {
        fn fill<T>(n: &Normalise, cast: impl Fn(f64) -> T) -> Box<[[T; 256]; 3]> {
            Box::new(std::array::from_fn(|c| {
                std::array::from_fn(|level| cast((level as f64 * n.scale - n.mean[c]) / n.std[c]))
            }))
        }
        match normalise.dtype {
            DType::F64 => Self::F64(fill(normalise, |v| v)),
            DType::F16 => Self::F16(fill(normalise, f16::from_f64)),
            DType::BF16 => Self::BF16(fill(normalise, bf16::from_f64)),
            DType::U8 => Self::U8,
            _ => Self::F32(fill(normalise, |v| v as f32)),
        }
    }

    pub fn dtype(&self) -> DType {
        match self {
            Self::F32(_) => DType::F32,
            Self::F64(_) => DType::F64,
            Self::F16(_) => DType::F16,
            Self::BF16(_) => DType::BF16,
            Self::U8 => DType::U8,
        }
    }

    /// The tensor of a picture with 1 or 3 channels, as `color` says, in RGB order.
    pub fn tensor(
        &self,
        pixels: &[u8],
        width: usize,
        height: usize,
        color: Color,
        layout: Layout,
    ) -> Result<Tensor, SizeMismatch> {
        let shape = match layout {
            Layout::Nchw => vec![color.channels(), height, width],
            Layout::Nhwc => vec![height, width, color.channels()],
        };
        match self {
            Self::F32(table) => Tensor::from_vec(shape, arrange(pixels, color, layout, by(table))),
            Self::F64(table) => Tensor::from_vec(shape, arrange(pixels, color, layout, by(table))),
            Self::F16(table) => Tensor::from_vec(shape, arrange(pixels, color, layout, by(table))),
            Self::BF16(table) => Tensor::from_vec(shape, arrange(pixels, color, layout, by(table))),
            Self::U8 => Tensor::from_vec(shape, arrange(pixels, color, layout, |_, level| level)),
        }
    }
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Table({})", self.dtype())
    }
}

fn by<T: Copy>(table: &[[T; 256]; 3]) -> impl Fn(usize, u8) -> T {
    move |channel, level| table[channel][usize::from(level)]
}

/// Each element is written once where it belongs. `element` is given the tensor's
/// channel and a level.
fn arrange<T: Element>(
    pixels: &[u8],
    color: Color,
    layout: Layout,
    element: impl Fn(usize, u8) -> T,
) -> Vec<T> {
    let swap = |p: &[u8]| if color == Color::Bgr { [p[2], p[1], p[0]] } else { [p[0], p[1], p[2]] };
    match (color, layout) {
        (Color::Gray, _) => pixels.iter().map(|level| element(0, *level)).collect(),
        (_, Layout::Nhwc) => pixels
            .chunks_exact(3)
            .flat_map(|p| {
                let [a, b, c] = swap(p);
                [element(0, a), element(1, b), element(2, c)]
            })
            .collect(),
        (_, Layout::Nchw) => {
            let pixels = pixels.as_chunks::<3>().0;
            let mut out = Vec::with_capacity(pixels.len() * 3);
            for channel in 0..3 {
                let from = if color == Color::Bgr { 2 - channel } else { channel };
                out.extend(pixels.iter().map(|pixel| element(channel, pixel[from])));
            }
            out
        }
    }
}

/// RGB to gray in one buffer after another.
pub fn to_gray(rgb: &[u8], gray: &mut Vec<u8>) {
    gray.clear();
    gray.extend(rgb.chunks_exact(3).map(|p| luma([p[0], p[1], p[2]])));
}

/// ITU-R 601-2 luma in 16-bit fixed point, with Pillow's constants (`convert("L")`).
pub fn luma([r, g, b]: [u8; 3]) -> u8 {
    ((u32::from(r) * 19595 + u32::from(g) * 38470 + u32::from(b) * 7471 + 0x8000) >> 16) as u8
}
