//! LinearClassifier and LinearRegressor.

use super::label::{Classes, largest};
use super::transform::Transform;
use super::{Matrix, float32, floats};
use crate::engine::backend::Kernels;
use crate::engine::ops::{BoxOp, Context, Inputs, Site, one};

/// Weighted sums of the features, one for each target.
struct Linear {
    width: usize,
    weights: Vec<f64>,
    offsets: Vec<f64>,
}

impl Linear {
    fn read<B: Kernels>(site: &Site<'_, B>, targets: usize) -> Result<Self, String> {
        let (weights, mut offsets) = (floats(site, "coefficients")?, floats(site, "intercepts")?);
        offsets.resize(targets, 0.0);
        if targets == 0 || weights.is_empty() || !weights.len().is_multiple_of(targets) {
            return Err(format!("{} coefficients for {targets} targets", weights.len()));
        }
        Ok(Self { width: weights.len() / targets, weights, offsets })
    }

    fn scores(&self, row: &[f64]) -> impl Iterator<Item = f64> {
        let weights = self.weights.chunks_exact(self.width).zip(&self.offsets);
        weights.map(|(weights, offset)| offset + row.iter().zip(weights).map(|(x, w)| x * w).sum::<f64>())
    }
}

pub fn regressor<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let targets = site.node.attributes.int("targets", 1)?;
    let targets = usize::try_from(targets).map_err(|_| format!("{targets} targets"))?;
    let (linear, transform) = (Linear::read(site, targets)?, Transform::read(site)?);
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        let x = Matrix::take(&mut inputs, cx)?;
        x.expect(linear.width)?;
        let mut out = Vec::with_capacity(x.rows * targets);
        for row in 0..x.rows {
            let start = out.len();
            out.extend(linear.scores(x.row(row)));
            transform.apply(&mut out[start..]);
        }
        one(float32(vec![x.rows, targets], out)?)
    }))
}

pub fn classifier<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let classes = Classes::read(site, "classlabels_ints")?;
    let transform = Transform::read(site)?;
    let targets = match floats(site, "intercepts")?.len() {
        0 => classes.len(),
        given => given,
    };
    let linear = Linear::read(site, targets)?;
    if targets != 1 && classes.len() != targets {
        return Err(format!("{} classes for {targets} scores", classes.len()));
    }
    // One score stands for two classes.
    let pair = targets == 1 && classes.len() == 2;
    let columns = if pair { 2 } else { targets };
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        let x = Matrix::take(&mut inputs, cx)?;
        x.expect(linear.width)?;
        let mut labels = Vec::with_capacity(x.rows);
        let mut out = Vec::with_capacity(x.rows * columns);
        for row in 0..x.rows {
            let mut scores: Vec<f64> = linear.scores(x.row(row)).collect();
            labels.push(if targets == 1 { usize::from(scores[0] > 0.0) } else { largest(&scores) });
            if pair {
                out.extend(transform.pair(scores[0], transform == Transform::Logistic));
            } else {
                transform.apply(&mut scores);
                out.extend(scores);
            }
        }
        Ok(vec![classes.of(&labels)?, float32(vec![x.rows, columns], out)?])
    }))
}
