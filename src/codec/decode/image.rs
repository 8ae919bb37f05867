//! `format = "image"`: a picture to a tensor of its pixels.
//!
//! Upright, in RGB, BGR or gray; brought to `size`; then `(level * scale - mean) / std` for each channel.

use crate::codec::options;
use crate::codec::payload;
use crate::diagnostic::Report;
pub use crate::picture::options::DECIDE_TYPE;
use crate::picture::prepare::{Prepare, Prepared};
use crate::picture::size::Hint;
use crate::picture::{self, Limits};
use crate::plan::{Decode, DecodeError, Decoded, Example, Mend, Origin, Payload, TensorType};
use crate::spec;
use crate::spec::document::Reader;
use bytes::Bytes;
use serde::Serialize;
use std::any::Any;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

#[derive(Debug, Serialize)]
struct ImageDecode {
    prepare: Prepare,
    background: Option<[u8; 3]>,
    limits: Limits,
}

pub fn read(_: &spec::Codec, options: &mut Reader<'_>, report: &mut Report) -> Option<Arc<dyn Decode>> {
    let prepare = picture::options::prepare(options, report);
    let background = options.take_as("background", report, picture::options::color);
    let limits = read_limits(options, report);
    Some(Arc::new(ImageDecode { prepare: prepare?, background: background.map(|b| b.value), limits }))
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
        self.prepare.produces()
    }

    fn keeps_picture(&self) -> bool {
        true
    }

    fn missing_size(&self) -> Option<&'static str> {
        self.prepare.target.is_none().then_some("size")
    }

    fn mend(&self, wanted: &TensorType) -> Vec<Mend> {
        let mut mends: Vec<Mend> = options::mend_dtype(&self.produces(), wanted).into_iter().collect();
        if let Some(dims) = &wanted.dims {
            mends.extend(self.prepare.mend_dims(dims));
        }
        mends
    }

    fn range(&self) -> Option<(f64, f64)> {
        Some(self.prepare.normalise.range())
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
        let after = self.prepare.working_bytes(pixels, height);
        // RGB, and the same turned.
        working.max(pixels.saturating_mul(6).saturating_add(after)).saturating_add(base64_bytes(payload))
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
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

impl Scratch {
    /// What a thread may keep; the buffers of a larger picture go back at once.
    const KEPT: usize = 16 << 20;

    fn shrink(&mut self) {
        if self.rgb.capacity() + self.spare.capacity() > Self::KEPT {
            *self = Self::default();
        }
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
        let Scratch { rgb, spare } = scratch;
        let (width, height, orientation) = picture::read(bytes, limits, self.background, rgb, spare)?;
        let Prepared { tensor, region, input } = self
            .prepare
            .whole(rgb, (width, height))
            .map_err(|error| DecodeError::Invalid(error.to_string()))?;
        let origin = keep_origin.then(|| {
            let rgb = Bytes::from(std::mem::take(rgb));
            Origin { width, height, rgb, region, input, orientation }
        });
        Ok(Decoded { tensor, origin })
    }
}
