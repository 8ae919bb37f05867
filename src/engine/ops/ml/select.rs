//! ArrayFeatureExtractor, FeatureVectorizer, ZipMap: columns chosen, joined and named.

use super::float32;
use crate::engine::backend::Kernels;
use crate::engine::host;
use crate::engine::ops::{BoxOp, Context, Inputs, Site, ints, one};
use crate::engine::value::Value;
use crate::tensor::DType;

/// Columns by their indices, of the last axis.
pub fn array_features<B: Kernels>(_: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    Ok(Box::new(|mut inputs: Inputs<B>, cx: &Context<B>| {
        let (x, columns) = (inputs.take(0)?.into_host()?, ints(&inputs.take(1)?.into_host()?)?);
        let Some((&width, outer)) = x.shape().split_last() else {
            return Err("a scalar has no columns".into());
        };
        let at = |c: &i64| usize::try_from(*c).ok().filter(|c| *c < width);
        let at = columns.iter().map(at).collect::<Option<Vec<_>>>();
        let at = at.ok_or_else(|| format!("columns {columns:?} of {x:?}"))?;
        let mut shape = if outer.is_empty() { vec![1] } else { outer.to_vec() };
        shape.push(at.len());
        cx.check(x.dtype(), &shape)?;
        let rows = outer.iter().product::<usize>();
        let picked = (0..rows).flat_map(|row| at.iter().map(move |column| row * width + column));
        one(Value::Host(host::pick(&x, picked, shape)?))
    }))
}

/// Joins the columns of all inputs, each cut or filled up with zeros to the width it should have.
pub fn vectorize<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let widths = super::ints(site, "inputdimensions")?;
    let widths = widths.iter().map(|w| usize::try_from(*w).ok()).collect::<Option<Vec<_>>>();
    let widths = widths.ok_or("a width is negative")?;
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        let mut parts = Vec::with_capacity(inputs.0.len());
        for index in 0..inputs.0.len() {
            let x = inputs.take(index)?.into_host()?;
            let (rows, own) = match x.shape() {
                [] => (1, 1),
                [width] => (1, *width),
                [rows, rest @ ..] => (*rows, rest.iter().product()),
            };
            cx.work::<f64>(x.len())?;
            parts.push((rows, own, widths.get(index).copied().unwrap_or(own), x.to_f64()));
        }
        let rows = parts.first().map_or(0, |part| part.0);
        if parts.iter().any(|part| part.0 != rows) {
            return Err("its inputs differ in their numbers of rows".into());
        }
        let width = parts.iter().try_fold(0usize, |sum, part| sum.checked_add(part.2));
        let width = width.ok_or("its widths are too large")?;
        cx.check(DType::F32, &[rows, width])?;
        cx.work::<f64>(rows.saturating_mul(width))?;
        let mut out = host::room(rows * width)?;
        for row in 0..rows {
            for (_, own, wanted, values) in &parts {
                let row = &values[row * own..(row + 1) * own];
                out.extend((0..*wanted).map(|column| row.get(column).copied().unwrap_or(0.0)));
            }
        }
        one(float32(vec![rows, width], out)?)
    }))
}

/// Scores with the names of their classes. rserve serves the tensor of scores itself; the names are the
/// labels that the model carries (see `Model::classes`).
pub fn zip_map<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let classes = super::label::Classes::read(site, "classlabels_int64s")?.len();
    Ok(Box::new(move |mut inputs: Inputs<B>, _: &Context<B>| {
        let x = inputs.take(0)?;
        match x.shape().last() {
            Some(&columns) if columns == classes => one(x),
            _ => Err(format!("{x:?} does not have a score for each of {classes} classes").into()),
        }
    }))
}
