//! The options that turn levels into elements: `dtype`, `scale`, `mean` and `std`.

use super::pixels::Normalise;
use crate::diagnostic::{At, Diagnostic, Report};
use crate::spec::document::{Expected, Reader, Value, number};
use crate::tensor::DType;

pub fn read(channels: usize, options: &mut Reader<'_>, report: &mut Report) -> Option<Normalise> {
    let dtypes = [DType::F32, DType::F16, DType::BF16, DType::F64, DType::U8].map(|d| (d.name(), d));
    let dtype = options.choice("dtype", &dtypes, report).map_or(DType::F32, |d| d.value);
    let scale = options.take_as("scale", report, fraction);
    let mean = per_channel("mean", channels, options, report);
    let mut std = per_channel("std", channels, options, report);
    if let Some(std) = std.take_if(|std| std.iter().any(|s| *s <= 0.0)) {
        report.push(
            Diagnostic::error(format!("`std` in {} must be above 0 in each channel", options.what()))
                .at(&std.place, ""),
        );
    }
    if dtype == DType::U8 {
        let given = [
            ("scale", scale.as_ref().map(|v| &v.place)),
            ("mean", mean.as_ref().map(|v| &v.place)),
            ("std", std.as_ref().map(|v| &v.place)),
        ];
        for (key, place) in given {
            let Some(place) = place else { continue };
            report.push(
                Diagnostic::error(format!("`{key}` in {} has no effect on uint8", options.what()))
                    .at(place, "")
                    .note("uint8 gives the levels as they are, 0 to 255")
                    .help("take a float dtype, or leave this out"),
            );
        }
    }
    Some(Normalise {
        dtype,
        scale: scale.map_or(1.0 / 255.0, |s| s.value),
        mean: mean.map_or([0.0; 3], |m| m.value),
        std: std.map_or([1.0; 3], |s| s.value),
    })
}

/// A number, or a fraction such as "1/255".
fn fraction(value: &At<Value>) -> Result<f64, Expected> {
    let wanted = || Expected::new("a number other than 0, or a fraction").help("as in `scale = \"1/255\"`");
    let scale = match &value.value {
        Value::String(s) => {
            let (over, under) = s.split_once('/').ok_or_else(wanted)?;
            let part = |s: &str| s.trim().parse::<f64>().map_err(|_| wanted());
            part(over)? / part(under)?
        }
        _ => number(value).map_err(|_| wanted())?,
    };
    if scale.is_finite() && scale != 0.0 { Ok(scale) } else { Err(wanted()) }
}

/// Reads one number for each channel, or one for all.
fn per_channel(
    key: &'static str,
    channels: usize,
    options: &mut Reader<'_>,
    report: &mut Report,
) -> Option<At<[f64; 3]>> {
    options.take_as(key, report, |value| {
        let wanted = || match channels {
            1 => Expected::new("one number").help("a gray picture has one channel"),
            n => Expected::new(format!("one number, or {n}: one for each channel in the order of `color`")),
        };
        match &value.value {
            Value::Array(items) if items.len() == channels => {
                let numbers =
                    items.iter().map(number).collect::<Result<Vec<_>, _>>().map_err(|_| wanted())?;
                Ok(std::array::from_fn(|c| numbers.get(c).copied().unwrap_or(numbers[0])))
            }
            Value::Array(_) => Err(wanted()),
            _ => number(value).map(|n| [n; 3]).map_err(|_| wanted()),
        }
    })
}
