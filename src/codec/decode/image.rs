//! `format = "image"`: a picture to a tensor of its pixels.
//!
//! Upright, in RGB, BGR or gray; brought to `size`; then `(level * scale - mean) / std` for each channel.

use super::normalise;
use crate::codec::options;
use crate::codec::payload;
use crate::diagnostic::{At, Diagnostic, Report};
use crate::picture::pixels::{self, Color, Layout, Normalise, Table};
use crate::picture::resample::{self, Filter};
use crate::picture::resize::{Fit, Pixels, Target, resize};
use crate::picture::size::Hint;
use crate::picture::{self, Limits};
use crate::plan::{Decode, DecodeError, Decoded, Example, Mend, Origin, Payload, Region, TensorType};
use crate::spec;
use crate::spec::document::{Expected, Reader, Value};
use bytes::Bytes;
use serde::Serialize;
use std::any::Any;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

#[derive(Debug, Serialize)]
struct ImageDecode {
    /// `None` keeps the picture's own size.
    target: Option<Target>,
    color: Color,
    layout: Layout,
    normalise: Normalise,
    /// Follows from `normalise`.
    #[serde(skip)]
    table: Table,
    background: Option<[u8; 3]>,
    limits: Limits,
}

/// The most pixels that `size` may ask for.
const MAX_TARGET: i64 = 1 << 26;

/// The options that decide what type the decode gives.
pub const DECIDE_TYPE: &[&str] = &["size", "color", "layout", "dtype"];

pub fn read(_: &spec::Codec, options: &mut Reader<'_>, report: &mut Report) -> Option<Arc<dyn Decode>> {
    let size = read_size(options, report);
    let fit = options.choice(
        "fit",
        &[("stretch", Fit::Stretch), ("cover", Fit::Cover), ("contain", Fit::Contain)],
        report,
    );
    let filters = [
        ("nearest", Filter::Nearest),
        ("box", Filter::Box),
        ("bilinear", Filter::Bilinear),
        ("hamming", Filter::Hamming),
        ("bicubic", Filter::Bicubic),
        ("lanczos", Filter::Lanczos),
    ];
    let filter = options.choice("filter", &filters, report);
    let pad = options.take_as("pad", report, options::color);
    for (key, given) in
        [("fit", fit.as_ref().map(|v| &v.place)), ("filter", filter.as_ref().map(|v| &v.place))]
    {
        if let (Some(place), false) = (given, options.has("size")) {
            report.push(
                Diagnostic::error(format!("`{key}` in {} has no effect without `size`", options.what()))
                    .at(place, "")
                    .help("add the size that the model takes: `size = [width, height]`"),
            );
        }
    }
    if let (Some(pad), true) = (&pad, fit.as_ref().is_none_or(|f| f.value != Fit::Contain)) {
        report.push(
            Diagnostic::error(format!("`pad` in {} has no effect", options.what()))
                .at(&pad.place, "")
                .help("pictures are padded with `fit = \"contain\"` alone"),
        );
    }
    let colors = [("rgb", Color::Rgb), ("bgr", Color::Bgr), ("gray", Color::Gray)];
    let color = options.choice("color", &colors, report).map_or(Color::Rgb, |c| c.value);
    let layouts = [("nchw", Layout::Nchw), ("nhwc", Layout::Nhwc)];
    let layout = options.choice("layout", &layouts, report).map_or(Layout::Nchw, |l| l.value);
    let normalise = normalise::read(color.channels(), options, report);
    let background = options.take_as("background", report, options::color);
    let limits = read_limits(options, report);
    let normalise = normalise?;
    let decode = ImageDecode {
        target: size.map(|size| Target {
            size: size.value,
            fit: fit.map_or(Fit::Stretch, |f| f.value),
            filter: filter.map_or(Filter::Bilinear, |f| f.value),
            pad: match (pad.map_or([0; 3], |p| p.value), color) {
                (pad, Color::Gray) => [pixels::luma(pad); 3],
                (pad, _) => pad,
            },
        }),
        color,
        layout,
        table: Table::new(&normalise),
        normalise,
        background: background.map(|b| b.value),
        limits,
    };
    Some(Arc::new(decode))
}

/// `size = [width, height]`, or one number for a square.
fn read_size(options: &mut Reader<'_>, report: &mut Report) -> Option<At<(u32, u32)>> {
    let wanted = || {
        Expected::new("[width, height], each from 1 to 16384")
            .help("the width comes first: a model that takes [N, 3, 480, 640] wants `size = [640, 480]`")
    };
    let side = |value: &At<Value>| match value.value {
        Value::Integer(n @ 1..=16_384) => Ok(n),
        _ => Err(wanted()),
    };
    options.take_as("size", report, |value| {
        let (w, h) = match &value.value {
            Value::Array(sides) => match sides.as_slice() {
                [w, h] => (side(w)?, side(h)?),
                _ => return Err(wanted()),
            },
            Value::Integer(_) => (side(value)?, side(value)?),
            Value::String(s) => match s.split_once(['x', 'X', '*', ',']).map(|(w, h)| (w.trim(), h.trim())) {
                Some((w, h)) if w.parse::<u16>().is_ok() && h.parse::<u16>().is_ok() => {
                    return Err(Expected::new("[width, height], each from 1 to 16384")
                        .help(format!("write `size = [{w}, {h}]`")));
                }
                _ => return Err(wanted()),
            },
            _ => return Err(wanted()),
        };
        if w * h > MAX_TARGET {
            return Err(Expected::new(format!("of at most {MAX_TARGET} pixels")));
        }
        Ok((w as u32, h as u32))
    })
}

fn read_limits(options: &mut Reader<'_>, report: &mut Report) -> Limits {
    let default = Limits::default();
    let pixels = options.integer("max_pixels", 1..=i64::from(u32::MAX), report);
    let side = options.integer("max_side", 1..=65_535, report);
    Limits {
        pixels: pixels.map_or(default.pixels, |p| p.value as u64),
        side: side.map_or(default.side, |s| s.value as u32),
    }
}

impl Decode for ImageDecode {
    fn format(&self) -> &'static str {
        "image"
    }

    fn produces(&self) -> TensorType {
        let (width, height) = self.target.map(|to| (to.size.0 as usize, to.size.1 as usize)).unzip();
        let channels = Some(self.color.channels());
        let dims = match self.layout {
            Layout::Nchw => vec![channels, height, width],
            Layout::Nhwc => vec![height, width, channels],
        };
        TensorType { dtype: Some(self.table.dtype()), dims: Some(dims) }
    }

    fn keeps_picture(&self) -> bool {
        true
    }

    fn missing_size(&self) -> Option<&'static str> {
        self.target.is_none().then_some("size")
    }

    fn mend(&self, wanted: &TensorType) -> Vec<Mend> {
        let mut mends: Vec<Mend> = options::mend_dtype(&self.produces(), wanted).into_iter().collect();
        if let Some(dims) = &wanted.dims {
            mends.extend(self.mend_dims(dims));
        }
        mends
    }

    fn range(&self) -> Option<(f64, f64)> {
        Some(self.normalise.range())
    }

    fn extensions(&self) -> &'static [&'static str] {
        &["jpg", "jpeg", "png", "webp", "bmp", "gif", "tif", "tiff"]
    }

    fn options(&self) -> serde_json::Value {
        options::canonical(self)
    }

    fn example(&self) -> Example {
        Example::File("photo.jpg".to_owned())
    }

    /// A small file may be a large picture.
    fn weight(&self, payload: &Payload) -> usize {
        let unpacked = match self.size(&payload::head(payload, HEADER), payload) {
            // What is over the limits is refused, which is no work.
            Size::Told(width, height) => {
                let pixels = u64::from(width) * u64::from(height);
                if pixels <= self.limits.pixels { pixels.saturating_mul(3) } else { 0 }
            }
            Size::Unknown => u64::MAX,
            Size::None => 0,
        };
        usize::try_from(unpacked).unwrap_or(usize::MAX).max(payload.len())
    }

    fn working_memory(&self, payload: &Payload) -> u64 {
        let bytes = payload::head(payload, HEADER);
        let (pixels, height, working) = match self.size(&bytes, payload) {
            Size::Told(width, height) if self.limits.allow(width, height) => {
                let pixels = u64::from(width) * u64::from(height);
                (pixels, u64::from(height), picture::size::working_bytes(&bytes, width, height))
            }
            Size::Unknown => {
                let pixels = self.limits.pixels;
                let height = u64::from(self.limits.side).min(pixels);
                (pixels, height, pixels.saturating_mul(picture::size::MOST_PER_PIXEL))
            }
            // It is refused.
            Size::Told(..) | Size::None => return 0,
        };
        let channels = self.color.channels() as u64;
        let element = self.table.dtype().size() as u64;
        let after = match &self.target {
            Some(to) => {
                let (width, lines) = (u64::from(to.size.0), u64::from(to.size.1));
                // Lines that are narrowed already, those that are done, and the tensor.
                width * channels * (height + lines * (1 + element))
            }
            None => pixels.saturating_mul(channels * element),
        };
        // RGB, the same turned, and gray.
        working.max(pixels.saturating_mul(7).saturating_add(after)).saturating_add(base64_bytes(payload))
    }

    fn decode(&self, payload: &Payload, keep_origin: bool) -> Result<Decoded, DecodeError> {
        let bytes = payload::binary(payload, "a picture")?;
        // What was reserved for it is for the size that its head tells.
        let limits = match picture::size::hint(&bytes) {
            Hint::Size(width, height) => {
                let pixels = u64::from(width) * u64::from(height);
                Limits { pixels: self.limits.pixels.min(pixels.max(1)), ..self.limits }
            }
            Hint::Unknown | Hint::NoPicture => self.limits,
        };
        // Decoders of many formats, written by many hands, meet files made to break them.
        catch_unwind(AssertUnwindSafe(|| {
            SCRATCH.with_borrow_mut(|scratch| {
                let decoded = self.decode_in(scratch, &bytes, limits, keep_origin);
                scratch.shrink();
                decoded
            })
        }))
        .unwrap_or_else(|panic| {
            tracing::warn!("a picture made its decoder panic: {}", panic_text(&*panic));
            Err(DecodeError::Invalid("the picture is broken beyond reading".into()))
        })
    }
}

/// What the head of a payload tells of the size of its picture.
enum Size {
    Told(u32, u32),
    Unknown,
    /// It is no picture.
    None,
}

/// The bytes that a payload within JSON is unpacked to.
fn base64_bytes(payload: &Payload) -> u64 {
    match payload {
        Payload::Bytes(_) => 0,
        Payload::Json(text) => text.get().len() as u64,
    }
}

/// How much of a file is searched for the size of its picture: profiles and previews come before the size.
const HEADER: usize = 256 << 10;

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

/// Buffers that a thread keeps from picture to picture.
#[derive(Default)]
struct Scratch {
    rgb: Vec<u8>,
    spare: Vec<u8>,
    gray: Vec<u8>,
    inner: Vec<u8>,
    resized: Vec<u8>,
    resample: resample::Buffers,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

impl Scratch {
    /// What a thread may keep; the buffers of a larger picture go back at once.
    const KEPT: usize = 16 << 20;

    fn shrink(&mut self) {
        let own = [&self.rgb, &self.spare, &self.gray, &self.inner, &self.resized];
        let held = own.iter().map(|b| b.capacity()).sum::<usize>() + self.resample.held();
        if held > Self::KEPT {
            *self = Self::default();
        }
    }
}

impl ImageDecode {
    /// The changes with which the picture would have these axes: planes ("nchw": channels, height, width) or pixels
    /// ("nhwc": height, width, channels).
    fn mend_dims(&self, wanted: &[Option<usize>]) -> Vec<Mend> {
        let [first, second, third] = *wanted else {
            let axes = wanted.len();
            return vec![Mend::Impossible(format!(
                "an image decode gives three axes; the model wants {axes} beside the batch"
            ))];
        };
        let channels = |dim: Option<usize>| matches!(dim, Some(1 | 3));
        let layout = match (channels(first), channels(third)) {
            (true, false) => Layout::Nchw,
            (false, true) => Layout::Nhwc,
            _ => self.layout,
        };
        let (count, height, width) = match layout {
            Layout::Nchw => (first, second, third),
            Layout::Nhwc => (third, first, second),
        };
        let option = |key, value: String| Mend::Option { key, value };
        let mut mends = vec![];
        if layout != self.layout {
            let name = if layout == Layout::Nchw { "nchw" } else { "nhwc" };
            mends.push(option("layout", format!("\"{name}\"")));
        }
        if count.is_some_and(|count| count != self.color.channels()) {
            mends.push(match count {
                Some(1) => option("color", "\"gray\"".into()),
                Some(3) => option("color", "\"rgb\"".into()),
                _ => {
                    Mend::Impossible("an image decode gives 3 channels, or 1 with `color = \"gray\"`".into())
                }
            });
        }
        let own = self.target.map(|to| (to.size.0 as usize, to.size.1 as usize));
        let (own_width, own_height) = own.unzip();
        if let (Some(w), Some(h)) = (width.or(own_width), height.or(own_height))
            && own != Some((w, h))
        {
            mends.push(option("size", format!("[{w}, {h}]")));
        }
        mends
    }
}

impl ImageDecode {
    fn size(&self, head: &[u8], payload: &Payload) -> Size {
        match (picture::size::hint(head), payload) {
            (Hint::Size(width, height), _) => Size::Told(width, height),
            (Hint::Unknown, _) => Size::Unknown,
            // Of a text with escapes not all is unpacked to look at its head.
            (Hint::NoPicture, Payload::Json(_)) => Size::Unknown,
            (Hint::NoPicture, Payload::Bytes(_)) => Size::None,
        }
    }

    fn decode_in(
        &self,
        scratch: &mut Scratch,
        bytes: &[u8],
        limits: Limits,
        keep_origin: bool,
    ) -> Result<Decoded, DecodeError> {
        let Scratch { rgb, spare, gray, inner, resized, resample } = scratch;
        let (width, height) = picture::read(bytes, limits, self.background, rgb, spare)?;
        let channels = self.color.channels();
        let source: &[u8] = if self.color == Color::Gray {
            pixels::to_gray(rgb, gray);
            gray
        } else {
            rgb
        };
        let (pixels, (w, h), region) = match &self.target {
            Some(to) => {
                let from = Pixels { bytes: source, width, height, channels };
                let region = resize(from, to, resample, inner, resized);
                (resized.as_slice(), to.size, region)
            }
            None => {
                let whole = Region { left: 0.0, top: 0.0, width: width.into(), height: height.into() };
                (source, (width, height), whole)
            }
        };
        let tensor = self
            .table
            .tensor(pixels, w as usize, h as usize, self.color, self.layout)
            .map_err(|error| DecodeError::Invalid(error.to_string()))?;
        let origin =
            keep_origin.then(|| Origin { width, height, rgb: Bytes::from(std::mem::take(rgb)), region });
        Ok(Decoded { tensor, origin })
    }
}
