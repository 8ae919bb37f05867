//! The options of TOML that say how a picture becomes a tensor: `size`, `fit`, `filter`, `pad`, `color`, `layout`, and
//! those of `normalise`. An image decode and what cuts pictures read them alike.

use super::normalise;
use super::pixels::{self, Color, Layout, Table};
use super::prepare::Prepare;
use super::resample::Filter;
use super::resize::{Fit, Target};
use crate::diagnostic::{At, Diagnostic, Report};
use crate::spec::document::{Expected, Reader, Value};

/// The options that decide what type the tensor has.
pub const DECIDE_TYPE: &[&str] = &["size", "color", "layout", "dtype"];

/// The most pixels that `size` may ask for.
const MAX_TARGET: i64 = 1 << 26;

/// Reads the options. Errors go to the report; `None` where they leave no numbers to normalise with.
pub fn prepare(options: &mut Reader<'_>, report: &mut Report) -> Option<Prepare> {
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
    let pad = options.take_as("pad", report, color);
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
    let normalise = normalise::read(color.channels(), options, report)?;
    Some(Prepare {
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
    })
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

/// `"#ff3b30"` or `[255, 59, 48]`.
pub fn color(value: &At<Value>) -> Result<[u8; 3], Expected> {
    let wanted = || Expected::new("a colour").help("write it as \"#ff3b30\" or as [255, 59, 48]");
    match &value.value {
        Value::String(s) => {
            let hex =
                s.strip_prefix('#').filter(|h| h.len() == 6 && h.bytes().all(|b| b.is_ascii_hexdigit()));
            let hex = hex.and_then(|h| u32::from_str_radix(h, 16).ok()).ok_or_else(wanted)?;
            let [_, r, g, b] = hex.to_be_bytes();
            Ok([r, g, b])
        }
        Value::Array(items) => {
            let level = |item: &At<Value>| match item.value {
                Value::Integer(n) => u8::try_from(n).map_err(|_| wanted()),
                _ => Err(wanted()),
            };
            let levels = items.iter().map(level).collect::<Result<Vec<u8>, _>>()?;
            levels.try_into().map_err(|_| wanted())
        }
        _ => Err(wanted()),
    }
}
