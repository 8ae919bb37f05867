//! Samples of every kind to 8 bits, and pixels of every colour space to RGB, as Pillow has them.

use super::Fault;
use super::directory::{Directory, Values, tag};
use crate::picture::jpeg::rows::on_paper;
use crate::picture::over;
use half::f16;

/// What a sample is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Unsigned,
    /// Floats from 0 to 1.
    Float,
}

/// A row of samples of `bits` bits to levels. What has more than 8 bits keeps the highest; palette indices stay as
/// they are.
pub fn to_levels(
    row: &[u8],
    bits: usize,
    format: Format,
    big_endian: bool,
    is_index: bool,
    levels: &mut [u8],
) {
    let size = bits / 8;
    let whole = |sample: &[u8]| -> [u8; 8] {
        let mut little = [0; 8];
        for (to, byte) in little.iter_mut().zip(sample) {
            *to = *byte;
        }
        if big_endian {
            little[..size].reverse();
        }
        little
    };
    match (format, bits) {
        (Format::Unsigned, 8) => levels.copy_from_slice(&row[..levels.len()]),
        (Format::Unsigned, 1 | 2 | 4) => {
            let factor = if is_index { 1 } else { 255 / ((1 << bits) - 1) };
            let per_byte = 8 / bits;
            for (index, level) in levels.iter_mut().enumerate() {
                let byte = row[index / per_byte];
                let shift = 8 - bits * (index % per_byte + 1);
                *level = (byte >> shift & ((1 << bits) - 1)) * factor;
            }
        }
        (Format::Unsigned, 12) => {
            for (index, level) in levels.iter_mut().enumerate() {
                let at = index / 2 * 3;
                *level = if index % 2 == 0 { row[at] } else { row[at + 1] << 4 | row[at + 2] >> 4 };
            }
        }
        (Format::Unsigned, _) => {
            let highest = if big_endian { 0 } else { size - 1 };
            for (level, sample) in levels.iter_mut().zip(row.chunks_exact(size)) {
                *level = sample[highest];
            }
        }
        (Format::Float, _) => {
            for (level, sample) in levels.iter_mut().zip(row.chunks_exact(size)) {
                let [a, b, c, d, e, f, g, h] = whole(sample);
                let value = match bits {
                    16 => f16::from_le_bytes([a, b]).to_f64(),
                    32 => f64::from(f32::from_le_bytes([a, b, c, d])),
                    _ => f64::from_le_bytes([a, b, c, d, e, f, g, h]),
                };
                // A cast takes what is no number to 0.
                *level = (value.clamp(0.0, 1.0) * 255.0).round() as u8;
            }
        }
    }
}

/// Whether bits are of a width that is read.
pub fn has_bits(format: Format, bits: usize) -> bool {
    match format {
        Format::Unsigned => matches!(bits, 1 | 2 | 4 | 8 | 12 | 16 | 32),
        Format::Float => matches!(bits, 16 | 32 | 64),
    }
}

/// What the samples of a pixel are.
pub enum Colors {
    Gray { white_is_zero: bool },
    Rgb,
    Palette(Box<[[u8; 3]; 256]>),
    Cmyk,
    YCbCr(Box<Luma>),
}

impl Colors {
    /// How many samples of a pixel are colours.
    pub fn samples(&self) -> usize {
        match self {
            Self::Gray { .. } | Self::Palette(_) => 1,
            Self::Rgb | Self::YCbCr(_) => 3,
            Self::Cmyk => 4,
        }
    }

    fn rgb(&self, pixel: &[u8]) -> [u8; 3] {
        match (self, pixel) {
            (Self::Gray { white_is_zero: false }, [level, ..]) => [*level; 3],
            (Self::Gray { white_is_zero: true }, [level, ..]) => [255 - level; 3],
            (Self::Palette(colors), [index, ..]) => colors[usize::from(*index)],
            (Self::Rgb, [r, g, b, ..]) => [*r, *g, *b],
            (Self::YCbCr(luma), [y, cb, cr, ..]) => luma.rgb(*y, *cb, *cr),
            (Self::Cmyk, [c, m, y, k, ..]) => [*c, *m, *y].map(|ink| on_paper(255 - ink, 255 - k)),
            _ => [0; 3],
        }
    }
}

/// What a sample behind the colours is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alpha {
    None,
    /// Colours are as they are.
    Straight,
    /// Colours were multiplied by it.
    Multiplied,
}

/// Levels of `samples` a pixel to RGB.
pub fn to_rgb(
    levels: &[u8],
    samples: usize,
    colors: &Colors,
    alpha: Alpha,
    background: Option<[u8; 3]>,
    rgb: &mut [u8],
) {
    let own = colors.samples();
    for (to, pixel) in rgb.as_chunks_mut::<3>().0.iter_mut().zip(levels.chunks_exact(samples)) {
        *to = colors.rgb(pixel);
        let Some(opacity) = pixel.get(own).filter(|_| alpha != Alpha::None) else { continue };
        if alpha == Alpha::Multiplied && *opacity != 255 {
            *to = to.map(|level| match *opacity {
                0 => 0,
                opacity => (u32::from(level) * 255 / u32::from(opacity)).min(255) as u8,
            });
        }
        if let Some(under) = background {
            *to = over(*to, *opacity, under);
        }
    }
}

/// The palette of a directory.
pub fn palette(values: Option<Values<'_>>, bits: usize) -> Result<Colors, Fault> {
    let count = 1 << bits;
    let values = values.filter(|values| bits <= 8 && values.len() >= 3 * count);
    let values = values.ok_or(Fault::Corrupt("its palette"))?;
    let mut colors = Box::new([[0; 3]; 256]);
    for (index, color) in colors.iter_mut().take(count).enumerate() {
        for (channel, level) in color.iter_mut().enumerate() {
            *level = (values.get(channel * count + index).ok_or(Fault::Corrupt("its palette"))? >> 8) as u8;
        }
    }
    Ok(Colors::Palette(colors))
}

/// YCbCr to RGB in 16-bit fixed point, as libtiff does it (`TIFFYCbCrToRGBInit`).
pub struct Luma {
    y: [i32; 256],
    red: [i32; 256],
    blue: [i32; 256],
    /// Both parts of green, not yet brought back from fixed point.
    green: [[i32; 256]; 2],
}

const USUAL_LUMA: [f64; 3] = [0.299, 0.587, 0.114];
const USUAL_RANGE: [f64; 6] = [0.0, 255.0, 128.0, 255.0, 128.0, 255.0];

impl Luma {
    /// The conversion that a directory tells. `by_pillow` where Pillow reads the pixels, and not libtiff.
    pub fn read(directory: &Directory<'_>, by_pillow: bool) -> Result<Self, Fault> {
        let wrong = || Fault::Corrupt("what it says of YCbCr");
        let numbers = |tag: u16, usual: &[f64]| -> Result<Vec<f64>, Fault> {
            match directory.values(tag) {
                None => Ok(usual.to_vec()),
                Some(values) => (0..usual.len()).map(|i| values.fraction(i).ok_or_else(wrong)).collect(),
            }
        };
        let luma = numbers(tag::YCBCR_COEFFICIENTS, &USUAL_LUMA)?;
        let range = numbers(tag::REFERENCE_BLACK_WHITE, &USUAL_RANGE)?;
        if luma[1] <= 0.0 || luma.iter().chain(&range).any(|number| !(0.0..=65_535.0).contains(number)) {
            return Err(wrong());
        }
        Ok(match by_pillow && luma == USUAL_LUMA && range == USUAL_RANGE {
            true => Self::of_pillow(),
            false => Self::new(&luma, &range),
        })
    }

    /// Makes the tables from the parts of red, green and blue in luma, and what stands for black and white in each
    /// sample.
    fn new(luma: &[f64], range: &[f64]) -> Self {
        let fixed = |factor: f64| (factor * 65_536.0 + 0.5).floor().clamp(-16e6, 16e6) as i32;
        let (d1, d3) = (2.0 - 2.0 * luma[0], 2.0 - 2.0 * luma[2]);
        let (d2, d4) = (-fixed(d1 * luma[0] / luma[1]), -fixed(d3 * luma[2] / luma[1]));
        let (d1, d3) = (fixed(d1), fixed(d3));
        let value = |code: f64, black: f64, white: f64, full: f64| {
            let span = if white == black { 1.0 } else { white - black };
            ((code - black) * full / span).clamp(-2048.0, 2048.0) as i32
        };
        let half = 1 << 15;
        let cb = |code: usize| value(code as f64 - 128.0, range[2] - 128.0, range[3] - 128.0, 127.0);
        let cr = |code: usize| value(code as f64 - 128.0, range[4] - 128.0, range[5] - 128.0, 127.0);
        Self {
            y: std::array::from_fn(|code| value(code as f64, range[0], range[1], 255.0)),
            red: std::array::from_fn(|code| d1.wrapping_mul(cr(code)).wrapping_add(half) >> 16),
            blue: std::array::from_fn(|code| d3.wrapping_mul(cb(code)).wrapping_add(half) >> 16),
            green: [
                std::array::from_fn(|code| d4.wrapping_mul(cb(code)).wrapping_add(half)),
                std::array::from_fn(|code| d2.wrapping_mul(cr(code))),
            ],
        }
    }

    /// The conversion of JPEG.
    pub fn usual() -> Self {
        Self::new(&USUAL_LUMA, &USUAL_RANGE)
    }

    /// Pillow's own conversion, by which it reads what libtiff does not: in 6 bits of fixed point, with what is below
    /// zero one higher than it would be rounded.
    fn of_pillow() -> Self {
        let part = |factor: f64, code: usize| {
            let exact = factor * 64.0 * (code as f64 - 128.0);
            (exact + 0.5).floor() as i32 + i32::from(exact < 0.0)
        };
        Self {
            y: std::array::from_fn(|code| code as i32),
            red: std::array::from_fn(|code| part(1.402, code) >> 6),
            blue: std::array::from_fn(|code| part(1.772, code) >> 6),
            green: [
                std::array::from_fn(|code| part(-0.34414, code) << 10),
                std::array::from_fn(|code| part(-0.71414, code) << 10),
            ],
        }
    }

    fn rgb(&self, y: u8, cb: u8, cr: u8) -> [u8; 3] {
        let (cb, cr) = (usize::from(cb), usize::from(cr));
        let y = self.y[usize::from(y)];
        let green = self.green[0][cb].wrapping_add(self.green[1][cr]) >> 16;
        [y + self.red[cr], y + green, y + self.blue[cb]].map(|level| level.clamp(0, 255) as u8)
    }
}
