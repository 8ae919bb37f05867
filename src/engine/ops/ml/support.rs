//! SVMClassifier and SVMRegressor, with the decision and the probabilities of LIBSVM.
//!
//! Chang and Lin, "LIBSVM: A Library for Support Vector Machines" (2011); the probabilities of several
//! classes after Wu, Lin and Weng, "Probability Estimates for Multi-class Classification by Pairwise
//! Coupling" (2004), second method.

use super::label::{Classes, largest};
use super::transform::{Transform, logistic};
use super::{Matrix, float32, floats, ints};
use crate::engine::backend::Kernels;
use crate::engine::ops::{BoxOp, Context, Inputs, Site, one};
use crate::tensor::DType;

#[derive(Clone, Copy, Debug)]
enum Kernel {
    Linear,
    Poly { gamma: f64, offset: f64, degree: f64 },
    Rbf { gamma: f64 },
    Sigmoid { gamma: f64, offset: f64 },
}

impl Kernel {
    fn read<B: Kernels>(site: &Site<'_, B>) -> Result<Self, String> {
        let params = floats(site, "kernel_params")?;
        let at = |index: usize| params.get(index).copied().unwrap_or(0.0);
        let (gamma, offset, degree) = (at(0), at(1), at(2));
        Ok(match site.node.attributes.text("kernel_type", "LINEAR")? {
            "LINEAR" => Self::Linear,
            "POLY" => Self::Poly { gamma, offset, degree },
            "RBF" => Self::Rbf { gamma },
            "SIGMOID" => Self::Sigmoid { gamma, offset },
            other => return Err(format!("kernel_type {other:?} is not known")),
        })
    }

    fn of(self, a: &[f64], b: &[f64]) -> f64 {
        let dot = || a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        match self {
            Self::Linear => dot(),
            Self::Poly { gamma, offset, degree } => (gamma * dot() + offset).powf(degree),
            Self::Rbf { gamma } => {
                (-gamma * a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum::<f64>()).exp()
            }
            Self::Sigmoid { gamma, offset } => (gamma * dot() + offset).tanh(),
        }
    }
}

/// Vectors that rows are compared with; of a linear model its coefficients.
struct Vectors {
    kernel: Kernel,
    width: usize,
    all: Vec<f64>,
}

impl Vectors {
    fn new(kernel: Kernel, all: Vec<f64>, count: usize) -> Result<Self, String> {
        if count == 0 || all.is_empty() || !all.len().is_multiple_of(count) {
            return Err(format!("{} numbers for {count} vectors", all.len()));
        }
        Ok(Self { kernel, width: all.len() / count, all })
    }

    fn compare(&self, row: &[f64]) -> Vec<f64> {
        self.all.chunks_exact(self.width).map(|vector| self.kernel.of(row, vector)).collect()
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

pub fn regressor<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let coefficients = floats(site, "coefficients")?;
    let supports = site.node.attributes.int("n_supports", 0)?;
    let supports = usize::try_from(supports).map_err(|_| format!("{supports} support vectors"))?;
    let rho = floats(site, "rho")?.first().copied().ok_or("it has no rho")?;
    let one_class = site.node.attributes.flag("one_class")?;
    let transform = Transform::read(site)?;
    let (vectors, coefficients) = if supports > 0 {
        if coefficients.len() != supports {
            return Err(format!("{} coefficients for {supports} support vectors", coefficients.len()));
        }
        (Vectors::new(Kernel::read(site)?, floats(site, "support_vectors")?, supports)?, coefficients)
    } else {
        (Vectors::new(Kernel::Linear, coefficients, 1)?, vec![1.0])
    };
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        let x = Matrix::take(&mut inputs, cx)?;
        x.expect(vectors.width)?;
        let mut out = Vec::with_capacity(x.rows);
        for row in 0..x.rows {
            let sum = dot(&coefficients, &vectors.compare(x.row(row))) + rho;
            let mut score = [if one_class { if sum > 0.0 { 1.0 } else { -1.0 } } else { sum }];
            transform.apply(&mut score);
            out.extend(score);
        }
        one(float32(vec![x.rows, 1], out)?)
    }))
}

/// The decisions between each two classes.
struct Pairwise {
    vectors: Vectors,
    /// Where the support vectors of each class begin; and where the last one's end.
    starts: Vec<usize>,
    /// A row for each other class.
    coefficients: Vec<f64>,
    rho: Vec<f64>,
    /// The parameters of the sigmoids that make probabilities; empty where there are none.
    prob: Vec<(f64, f64)>,
}

impl Pairwise {
    fn read<B: Kernels>(site: &Site<'_, B>, per_class: &[i64]) -> Result<Self, String> {
        let mut starts = vec![0usize];
        for count in per_class {
            let count = usize::try_from(*count).map_err(|_| format!("{count} support vectors"))?;
            let end = starts.last().and_then(|s| s.checked_add(count)).ok_or("too many support vectors")?;
            starts.push(end);
        }
        let (classes, total) = (per_class.len(), starts.last().copied().unwrap_or(0));
        let vectors = Vectors::new(Kernel::read(site)?, floats(site, "support_vectors")?, total)?;
        let (coefficients, rho) = (floats(site, "coefficients")?, floats(site, "rho")?);
        let pairs = classes * classes.saturating_sub(1) / 2;
        let (a, b) = (floats(site, "prob_a")?, floats(site, "prob_b")?);
        let fits = coefficients.len() == classes.saturating_sub(1) * total
            && rho.len() == pairs
            && a.len() == b.len()
            && (a.is_empty() || a.len() == pairs);
        if !fits || classes < 2 {
            return Err(format!(
                "{} coefficients, {} rho and {} sigmoids do not fit {classes} classes of {total} vectors",
                coefficients.len(),
                rho.len(),
                a.len()
            ));
        }
        Ok(Self { vectors, starts, coefficients, rho, prob: a.into_iter().zip(b).collect() })
    }

    fn classes(&self) -> usize {
        self.starts.len() - 1
    }

    /// The decisions, (0, 1), (0, 2), … (1, 2), …, and how many each class won.
    fn decide(&self, row: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let (kernels, total) = (self.vectors.compare(row), self.starts[self.classes()]);
        let part = |class: usize, line: usize| {
            let (from, to) = (self.starts[class], self.starts[class + 1]);
            dot(&self.coefficients[line * total + from..line * total + to], &kernels[from..to])
        };
        let (mut scores, mut votes) = (Vec::with_capacity(self.rho.len()), vec![0.0; self.classes()]);
        for i in 0..self.classes() {
            for j in i + 1..self.classes() {
                let score = part(i, j - 1) + part(j, i) + self.rho[scores.len()];
                votes[if score > 0.0 { i } else { j }] += 1.0;
                scores.push(score);
            }
        }
        (scores, votes)
    }

    fn probabilities(&self, scores: &[f64]) -> Vec<f64> {
        let count = self.classes();
        let mut pairs = vec![0.0; count * count];
        let mut at = 0;
        for i in 0..count {
            for j in i + 1..count {
                let (a, b) = self.prob[at];
                let p = (1.0 - logistic(scores[at] * a + b)).clamp(1e-7, 1.0 - 1e-7);
                (pairs[i * count + j], pairs[j * count + i]) = (p, 1.0 - p);
                at += 1;
            }
        }
        couple(count, &pairs)
    }
}

/// The probabilities of the classes that agree best with those of each pair.
fn couple(count: usize, pairs: &[f64]) -> Vec<f64> {
    let r = |i: usize, j: usize| pairs[i * count + j];
    let mut q = vec![0.0; count * count];
    for t in 0..count {
        for j in (0..count).filter(|j| *j != t) {
            q[t * count + t] += r(j, t) * r(j, t);
            q[t * count + j] = -r(j, t) * r(t, j);
        }
    }
    let mut p = vec![1.0 / count as f64; count];
    let precision = 0.005 / count as f64;
    for _ in 0..count.max(100) {
        let mut qp: Vec<f64> = (0..count).map(|t| dot(&q[t * count..(t + 1) * count], &p)).collect();
        let mut whole = dot(&p, &qp);
        if qp.iter().all(|v| (v - whole).abs() < precision) {
            break;
        }
        for t in 0..count {
            let own = q[t * count + t];
            let step = (whole - qp[t]) / own;
            p[t] += step;
            whole = (whole + step * (step * own + 2.0 * qp[t])) / (1.0 + step) / (1.0 + step);
            for j in 0..count {
                qp[j] = (qp[j] + step * q[t * count + j]) / (1.0 + step);
                p[j] /= 1.0 + step;
            }
        }
    }
    p
}

pub fn classifier<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let classes = Classes::read(site, "classlabels_ints")?;
    let transform = Transform::read(site)?;
    let per_class = ints(site, "vectors_per_class")?;
    if per_class.is_empty() {
        return linear(site, classes, transform);
    }
    let svm = Pairwise::read(site, &per_class)?;
    if classes.len() != svm.classes() {
        return Err(format!("{} classes named, of {}", classes.len(), svm.classes()));
    }
    let positive = svm.coefficients.iter().all(|c| *c >= 0.0);
    let columns = if svm.rho.len() == 1 || !svm.prob.is_empty() { svm.classes() } else { svm.rho.len() };
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        let x = Matrix::take(&mut inputs, cx)?;
        x.expect(svm.vectors.width)?;
        cx.check(DType::F64, &[x.rows, columns])?;
        let mut labels = Vec::with_capacity(x.rows);
        let mut out = Vec::with_capacity(x.rows * columns);
        for row in 0..x.rows {
            cx.run.go_on()?;
            let (mut scores, votes) = svm.decide(x.row(row));
            // By votes even where there are probabilities, which now and then favour another class.
            labels.push(largest(&votes));
            if !svm.prob.is_empty() {
                scores = svm.probabilities(&scores);
                transform.apply(&mut scores);
            } else if let [score] = scores[..] {
                scores = transform.pair(score, !positive).to_vec();
            } else {
                transform.apply(&mut scores);
            }
            out.extend(scores);
        }
        Ok(vec![classes.of(&labels)?, float32(vec![x.rows, columns], out)?])
    }))
}

/// A machine without support vectors: a weighted sum for each class.
fn linear<B: Kernels>(
    site: &Site<'_, B>,
    classes: Classes,
    transform: Transform,
) -> Result<BoxOp<B>, String> {
    let count = classes.len();
    let vectors = Vectors::new(Kernel::read(site)?, floats(site, "coefficients")?, count)?;
    let rho = floats(site, "rho")?.first().copied().unwrap_or(0.0);
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        let x = Matrix::take(&mut inputs, cx)?;
        x.expect(vectors.width)?;
        cx.check(DType::F64, &[x.rows, count])?;
        cx.work::<usize>(x.rows)?;
        let mut labels = Vec::with_capacity(x.rows);
        let mut out = Vec::with_capacity(x.rows * count);
        for row in 0..x.rows {
            cx.run.go_on()?;
            let mut scores: Vec<f64> = vectors.compare(x.row(row)).into_iter().map(|s| s + rho).collect();
            labels.push(largest(&scores));
            transform.apply(&mut scores);
            out.extend(scores);
        }
        Ok(vec![classes.of(&labels)?, float32(vec![x.rows, count], out)?])
    }))
}
