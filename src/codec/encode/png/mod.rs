//! `format = "png"`: a mask in gray, a class map in colours, or either laid over the picture it came from; and what was
//! found in a picture, drawn on it.
//!
//! With `on = "photo"` the result has that picture's size: masks are scaled bilinearly, classes by the
//! nearest, and only where the model saw the picture (with `fit = "cover"`, not all of it).

mod found;

use super::draw;
use super::palette::{self, Shade};
use crate::codec::classes::{self, ClassMap, NO_CLASS};
use crate::codec::options;
use crate::diagnostic::{At, Diagnostic, Report, Span};
use crate::plan::{Bound, Draft, Encode, EncodeError, Format, Input, Origin, SourceRef};
use crate::spec;
use crate::spec::document::{Expected, Reader, Value, number};
use crate::tensor::{DType, Tensor};
use serde::Serialize;
use std::sync::Arc;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum As {
    /// Values of a range to levels.
    Gray,
    /// An indexed picture whose values are the classes.
    Classes,
    /// A tint on the picture itself.
    Overlay,
}

/// What is drawn.
#[derive(Clone, Copy)]
enum Drawn {
    Map(As),
    Found(found::Kind),
}

const KINDS: &[(&str, Drawn)] = &[
    ("gray", Drawn::Map(As::Gray)),
    ("classes", Drawn::Map(As::Classes)),
    ("overlay", Drawn::Map(As::Overlay)),
    ("boxes", Drawn::Found(found::Kind::Boxes)),
    ("keypoints", Drawn::Found(found::Kind::Keypoints)),
    ("masks", Drawn::Found(found::Kind::Masks)),
];

/// What the format is called.
const PNG: Format = Format { name: "png", media_type: "image/png", extension: "png" };

#[derive(Clone, Debug, Serialize)]
struct Options {
    kind: As,
    /// The values that are drawn black and white (or not at all and in full).
    range: Option<(f64, f64)>,
    palette: Option<Vec<Shade>>,
    color: [u8; 3],
    /// How much of a tint's colour is laid on.
    alpha: f32,
    /// Masks are cut to all or nothing here.
    threshold: Option<f32>,
    on: bool,
}

#[derive(Debug)]
struct PngDraft {
    what: String,
    from: At<String>,
    /// `None` where it could not be read.
    kind: Option<At<As>>,
    on: Option<At<String>>,
    labels: Option<At<String>>,
    palette: Option<Span>,
    options: Options,
}

#[derive(Debug)]
struct PngEncode(Options);

pub fn read(_: &spec::Codec, options: &mut Reader<'_>, report: &mut Report) -> Option<Box<dyn Draft>> {
    let kind = options.choice("as", KINDS, report);
    options
        .require("as", "one of \"gray\", \"classes\", \"overlay\", \"boxes\", \"keypoints\" and \"masks\"");
    let kind = match kind {
        None => None,
        Some(At { value: Drawn::Found(kind), .. }) => return found::read(kind, options, report),
        Some(At { value: Drawn::Map(kind), place }) => Some(At::new(kind, place)),
    };
    let from = options::from(options, report);
    let on = options.string("on", report);
    let labels = options.string("labels", report);
    let palette = palette::read(options, report);
    let color = options.take_as("color", report, options::color);
    let range = options.take_as("range", report, |value| {
        let wanted =
            || Expected::new("[low, high], two different numbers").help("as in `range = [0.0, 1.0]`");
        let Value::Array(ends) = &value.value else { return Err(wanted()) };
        match ends.as_slice() {
            [low, high] => {
                let (low, high) = (number(low).map_err(|_| wanted())?, number(high).map_err(|_| wanted())?);
                if low == high { Err(wanted()) } else { Ok((low, high)) }
            }
            _ => Err(wanted()),
        }
    });
    let alpha = options.take_as("alpha", report, |value| match number(value) {
        Ok(alpha) if (0.0..=1.0).contains(&alpha) => Ok(alpha as f32),
        _ => Err(Expected::new("a number from 0 to 1")),
    });
    let threshold = options.number("threshold", report);
    let from = from?;

    let useless: [(&str, Option<&Span>, &[As]); 6] = [
        ("labels", labels.as_ref().map(|v| &v.place), &[As::Classes, As::Overlay]),
        ("palette", palette.as_ref().map(|v| &v.place), &[As::Classes, As::Overlay]),
        ("color", color.as_ref().map(|v| &v.place), &[As::Overlay]),
        ("range", range.as_ref().map(|v| &v.place), &[As::Gray, As::Overlay]),
        ("alpha", alpha.as_ref().map(|v| &v.place), &[As::Overlay]),
        ("threshold", threshold.as_ref().map(|v| &v.place), &[As::Gray, As::Overlay]),
    ];
    for (key, place, users) in useless {
        if let Some(place) = place.filter(|_| kind.as_ref().is_some_and(|k| !users.contains(&k.value)))
            && let Some(kind) = &kind
        {
            let name = name_of(kind.value);
            let title = format!("`{key}` in {} has no effect with `as = \"{name}\"`", options.what());
            report.push(Diagnostic::error(title).at(place, ""));
        }
    }
    if kind.as_ref().is_some_and(|k| k.value == As::Overlay) {
        options.require("on", "name the decode whose picture is drawn on: `on = \"photo\"`");
    }
    Some(Box::new(PngDraft {
        what: options.what().to_owned(),
        from,
        labels,
        palette: palette.as_ref().map(|p| p.place.clone()),
        options: Options {
            kind: kind.as_ref().map_or(As::Gray, |k| k.value),
            range: range.map(|r| r.value),
            palette: palette.map(|p| p.value),
            color: color.map_or([255, 45, 85], |c| c.value),
            alpha: alpha.map_or(0.5, |a| a.value),
            threshold: threshold.map(|t| t.value as f32),
            on: on.is_some(),
        },
        kind,
        on,
    }))
}

fn name_of(kind: As) -> &'static str {
    match kind {
        As::Gray => "gray",
        As::Classes => "classes",
        As::Overlay => "overlay",
    }
}

/// How a source of these axes is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content {
    /// `[H, W]` or `[1, H, W]`
    Mask,
    /// Integers that are classes are taken as they are.
    Stored,
    /// `[C, H, W]`, a score for each class.
    Scores,
}

fn content(kind: As, dims: &[Option<usize>], dtype: Option<DType>) -> Result<Content, &'static str> {
    if dtype.is_some_and(|d| !d.is_number()) {
        return Err("numbers");
    }
    let stored = dtype.is_some_and(|d| classes::holds_classes(d) && d != DType::Bool);
    match (kind, dims) {
        (As::Gray, [_, _] | [Some(1) | None, _, _]) => Ok(Content::Mask),
        (As::Gray, _) => Err("a mask, [H, W] or [1, H, W]"),
        (As::Classes, [_, _] | [Some(1), _, _]) if dtype.is_none_or(classes::holds_classes) => {
            Ok(Content::Stored)
        }
        (As::Classes, [classes, _, _]) if *classes != Some(1) => Ok(Content::Scores),
        (As::Classes, _) => Err("scores for each class, [C, H, W], or integers, [H, W]"),
        (As::Overlay, [_, _] | [Some(1), _, _]) => Ok(if stored { Content::Stored } else { Content::Mask }),
        (As::Overlay, [_, _, _]) => Ok(Content::Scores),
        (As::Overlay, _) => Err("a mask, [H, W] or [1, H, W], or scores for each class, [C, H, W]"),
    }
}

impl Draft for PngDraft {
    fn sources(&self) -> Vec<SourceRef> {
        vec![SourceRef { from: self.from.clone(), is_list: false, labels: self.labels.clone() }]
    }

    fn on(&self) -> Option<At<String>> {
        self.on.clone()
    }

    fn bind(self: Box<Self>, bound: &[Option<Bound>], report: &mut Report) -> Option<Arc<dyn Encode>> {
        let bound = bound.first()?.as_ref()?;
        let kind = self.kind.as_ref()?;
        let before = report.errors();
        let with_note = |mut d: Diagnostic| {
            if let Some(note) = &bound.note {
                d = d.note(note.clone());
            }
            d
        };
        let mut count = None;
        if let Some(dims) = bound.ty.dims.as_deref() {
            match content(kind.value, dims, bound.ty.dtype) {
                Ok(Content::Scores) => count = dims[0],
                Ok(_) => {}
                Err(wanted) => {
                    let name = name_of(kind.value);
                    let help = match kind.value {
                        _ if dims.len() < 2 => {
                            "what is not a map is written with `format = \"json\"` or \"csv\""
                        }
                        As::Gray => "scores for several classes are drawn with `as = \"classes\"`",
                        _ => "a single mask is drawn with `as = \"gray\"` or `as = \"overlay\"`",
                    };
                    report.push(
                        with_note(
                            Diagnostic::error(format!("`as = \"{name}\"` in {} takes {wanted}", self.what))
                                .at(&bound.from.place, format!("`{}` is {}", bound.from.value, bound.ty))
                                .at(&kind.place, ""),
                        )
                        .help(help),
                    );
                }
            }
        }
        let labels = bound.labels.as_ref().map(|(file, labels)| (&file.place, "labels", *labels));
        let colors =
            self.palette.as_ref().zip(self.options.palette.as_ref()).map(|(p, c)| (p, "colours", c.len()));
        for (place, what, have) in labels.into_iter().chain(colors) {
            if let Some(count) = count.filter(|c| *c != have) {
                report.push(with_note(
                    Diagnostic::error(format!("{have} {what} for {count} classes in {}", self.what))
                        .at(place, format!("{have} {what}"))
                        .at(&bound.from.place, bound.ty.to_string()),
                ));
            }
        }
        (report.errors() == before).then(|| Arc::new(PngEncode(self.options)) as Arc<dyn Encode>)
    }
}

impl Encode for PngEncode {
    fn grows(&self) -> u64 {
        4
    }

    fn about(&self) -> Format {
        PNG
    }

    fn options(&self) -> serde_json::Value {
        options::canonical(&self.0)
    }

    fn encode(&self, inputs: &[Input], origin: Option<&Origin>) -> Result<Vec<u8>, EncodeError> {
        let options = &self.0;
        let [input] = inputs else {
            return Err(EncodeError::Unforeseen("png takes one source".into()));
        };
        let tensor = input.tensor()?;
        if options.on && origin.is_none() {
            return Err(EncodeError::Unforeseen("the picture to draw on is missing".into()));
        }
        let origin = origin.filter(|_| options.on);
        let unforeseen = |wanted: &str| {
            EncodeError::Unforeseen(format!("the model gave {tensor:?}, where png takes {wanted}"))
        };
        let dims: Vec<Option<usize>> = tensor.shape().iter().map(|n| Some(*n)).collect();
        let content = content(options.kind, &dims, Some(tensor.dtype())).map_err(unforeseen)?;
        let [.., height, width] = *tensor.shape() else { return Err(unforeseen("a map")) };
        if tensor.is_empty() {
            return Err(EncodeError::Nothing(format!(
                "the model found nothing here ({tensor:?}), and a picture has at least one pixel; json, jsonl, npy \
                 and parquet can say so"
            )));
        }
        if height.max(width) > 65_535 {
            return Err(unforeseen("at most 65535 pixels along a side"));
        }
        let size = (height, width);
        match (content, options.kind, origin) {
            (Content::Mask, As::Overlay, Some(origin)) => {
                options.tint_mask(&options.mask(tensor), size, origin)
            }
            (Content::Mask, ..) => options.gray(&options.mask(tensor), size, origin),
            (_, As::Overlay, Some(origin)) => options.tint_classes(&map(tensor, content)?, size, origin),
            _ => options.classes(&map(tensor, content)?, size, origin),
        }
    }
}

fn map(tensor: &Tensor, content: Content) -> Result<ClassMap, EncodeError> {
    match content {
        Content::Scores => {
            classes::argmax(tensor, 0).ok_or_else(|| EncodeError::Unforeseen("there are no classes".into()))
        }
        _ => classes::stored(tensor).map_err(EncodeError::Unforeseen),
    }
}

impl Options {
    /// A mask's values from 0 to 1. What is no number counts as 0.
    fn mask(&self, tensor: &Tensor) -> Vec<f32> {
        let (low, high) = self.range.unwrap_or(match tensor.dtype() {
            // Levels already.
            DType::U8 => (0.0, 255.0),
            _ => (0.0, 1.0),
        });
        let unit = |v: f64| if v.is_nan() { 0.0 } else { ((v - low) / (high - low)).clamp(0.0, 1.0) as f32 };
        let mut mask: Vec<f32> = tensor.to_f64().into_iter().map(unit).collect();
        // A tint is cut after it was scaled, so that its edge is smooth.
        if let (Some(threshold), As::Gray, false) = (self.unit_threshold(low, high), self.kind, self.on) {
            mask.iter_mut().for_each(|v| *v = f32::from(*v >= threshold));
        }
        mask
    }

    fn unit_threshold(&self, low: f64, high: f64) -> Option<f32> {
        self.threshold.map(|t| ((f64::from(t) - low) / (high - low)) as f32)
    }

    /// The threshold where a mask was scaled to 0..1 by its own range.
    fn cut(&self, value: f32) -> f32 {
        let (low, high) = self.range.unwrap_or((0.0, 1.0));
        match self.unit_threshold(low, high) {
            Some(threshold) => f32::from(value >= threshold),
            None => value,
        }
    }

    fn gray(
        &self,
        mask: &[f32],
        size: (usize, usize),
        origin: Option<&Origin>,
    ) -> Result<Vec<u8>, EncodeError> {
        let level = |v: f32| (v * 255.0).round() as u8;
        let (mut out, width, height) = blank(size, origin, 1);
        match origin {
            Some(origin) => draw::bilinear(mask, size, origin, |at, v| {
                out[at] = v.map_or(0, |v| level(self.cut(v)));
            }),
            None => out.iter_mut().zip(mask).for_each(|(out, v)| *out = level(*v)),
        }
        write(&out, width, height, png::ColorType::Grayscale, None)
    }

    fn classes(
        &self,
        map: &ClassMap,
        size: (usize, usize),
        origin: Option<&Origin>,
    ) -> Result<Vec<u8>, EncodeError> {
        let known = map.classes.iter().filter(|class| **class != NO_CLASS);
        let most = known.max().map_or(0, |c| *c as usize + 1);
        let colors = self.palette.as_ref().map_or(0, Vec::len);
        let count = map.count.unwrap_or(0).max(most).max(colors);
        if count > 255 {
            return Err(EncodeError::Unforeseen(format!(
                "{count} classes, more than the 255 of an indexed PNG"
            )));
        }
        // One entry more, for where the model did not see the picture or gave no number: transparent.
        let shades: Vec<Shade> =
            (0..count).map(|c| palette::shade(self.palette.as_deref(), c)).chain([None]).collect();
        let (mut out, width, height) = blank(size, origin, 1);
        match origin {
            Some(origin) => draw::nearest(&map.classes, size, origin, |at, class| {
                out[at] = class.filter(|c| *c != NO_CLASS).map_or(count as u8, |c| c as u8);
            }),
            None => out.iter_mut().zip(&map.classes).for_each(|(out, class)| {
                *out = if *class == NO_CLASS { count as u8 } else { *class as u8 };
            }),
        }
        write(&out, width, height, png::ColorType::Indexed, Some(&shades))
    }

    fn tint_mask(&self, mask: &[f32], size: (usize, usize), origin: &Origin) -> Result<Vec<u8>, EncodeError> {
        let mut out = origin.rgb.to_vec();
        draw::bilinear(mask, size, origin, |at, value| {
            if let (Some(value), Some(pixel)) = (value, out.get_mut(at * 3..at * 3 + 3)) {
                blend(pixel, self.color, self.cut(value) * self.alpha);
            }
        });
        write(&out, origin.width, origin.height, png::ColorType::Rgb, None)
    }

    fn tint_classes(
        &self,
        map: &ClassMap,
        size: (usize, usize),
        origin: &Origin,
    ) -> Result<Vec<u8>, EncodeError> {
        let mut out = origin.rgb.to_vec();
        draw::nearest(&map.classes, size, origin, |at, class| {
            let shade = class
                .filter(|c| *c != NO_CLASS)
                .and_then(|c| palette::shade(self.palette.as_deref(), c as usize));
            if let (Some(color), Some(pixel)) = (shade, out.get_mut(at * 3..at * 3 + 3)) {
                blend(pixel, color, self.alpha);
            }
        });
        write(&out, origin.width, origin.height, png::ColorType::Rgb, None)
    }
}

fn blank((height, width): (usize, usize), origin: Option<&Origin>, channels: usize) -> (Vec<u8>, u32, u32) {
    let (width, height) = origin.map_or((width as u32, height as u32), |o| (o.width, o.height));
    (vec![0; width as usize * height as usize * channels], width, height)
}

fn blend(pixel: &mut [u8], color: [u8; 3], weight: f32) {
    for (level, tint) in pixel.iter_mut().zip(color) {
        *level = (f32::from(*level) + (f32::from(tint) - f32::from(*level)) * weight).round() as u8;
    }
}

/// `shades` is the palette of an indexed picture; those that are `None` are transparent.
fn write(
    pixels: &[u8],
    width: u32,
    height: u32,
    color: png::ColorType,
    shades: Option<&[Shade]>,
) -> Result<Vec<u8>, EncodeError> {
    let fault =
        |error: png::EncodingError| EncodeError::Unforeseen(format!("the PNG cannot be written: {error}"));
    let mut out = vec![];
    let mut encoder = png::Encoder::new(&mut out, width, height);
    encoder.set_color(color);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::Fast);
    if let Some(shades) = shades {
        encoder.set_palette(shades.iter().flat_map(|s| s.unwrap_or_default()).collect::<Vec<u8>>());
        encoder.set_trns(shades.iter().map(|s| if s.is_some() { 255 } else { 0 }).collect::<Vec<u8>>());
    }
    let mut writer = encoder.write_header().map_err(fault)?;
    writer.write_image_data(pixels).map_err(fault)?;
    writer.finish().map_err(fault)?;
    Ok(out)
}
