//! MelWeightMatrix: how much each bin of a spectrogram counts for each band of the mel scale.

use super::{scalar, size};
use crate::engine::backend::Kernels;
use crate::engine::error::OpError;
use crate::engine::host;
use crate::engine::ops::real::from_reals;
use crate::engine::ops::{BoxOp, Context, Inputs, Site, one};
use crate::engine::value::Value;

/// Triangles between points evenly spaced in mels, where mel = 2595 · log10(1 + hertz / 700).
pub fn build<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let dtype = host::dtype_of(site.node.attributes.int("output_datatype", 1)?)?;
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        let mut whole =
            |i| size(&mut inputs, i)?.ok_or_else(|| OpError::graph(format!("input {i} is missing")));
        let (bands, length, rate) = (whole(0)?, whole(1)?, whole(2)?);
        let mut edge = |i| -> Result<f64, OpError> {
            let edge = scalar(&mut inputs, i)?.ok_or_else(|| format!("input {i} is missing"))?.as_f64();
            Ok(2595.0 * (edge / 700.0).ln_1p() / std::f64::consts::LN_10)
        };
        let (low, high) = (edge(3)?, edge(4)?);
        let bins = length / 2 + 1;
        cx.check(dtype, &[bins, bands])?;
        cx.work::<f64>(host::count(&[bins, bands])?)?;
        cx.work::<usize>(bands.saturating_add(2))?;
        let step = (high - low) / (bands + 2) as f64;
        let point = |i: usize| {
            let hertz = 700.0 * ((i as f64 * step + low) / 2595.0 * std::f64::consts::LN_10).exp_m1();
            let bin = ((length as f64 + 1.0) * hertz / rate as f64).floor();
            if (0.0..bins as f64).contains(&bin) {
                Ok(bin as usize)
            } else {
                Err("an edge lies outside the spectrum")
            }
        };
        let points = (0..bands + 2).map(point).collect::<Result<Vec<_>, _>>()?;
        let mut weights = host::filled(0f64, host::count(&[bins, bands])?)?;
        for band in 0..bands {
            let (left, centre, right) = (points[band], points[band + 1], points[band + 2]);
            let mut set = |bin: usize, weight: f64| weights[bin * bands + band] = weight;
            if left >= centre {
                set(centre, 1.0);
            }
            (left..centre).for_each(|bin| set(bin, (bin - left) as f64 / (centre - left) as f64));
            (centre..right).for_each(|bin| set(bin, (right - bin) as f64 / (right - centre) as f64));
            if left < centre && right <= centre {
                set(centre, 1.0);
            }
        }
        one(Value::Host(from_reals(dtype, vec![bins, bands], weights)?))
    }))
}
