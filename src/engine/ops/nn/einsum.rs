//! Einsum: products of tensors whose axes have labels, summed over the labels that the result lacks.
//!
//! Operands are taken in one after the other, each pair as one batched matrix product.

use crate::engine::backend::Kernels;
use crate::engine::host::{self, strides, walk};
use crate::engine::ops::nn::matmul::product;
use crate::engine::ops::shape::permute;
use crate::engine::ops::{BoxOp, Context, Inputs, OpError, Site, one, reduce};
use crate::engine::value::Value;

/// Labels are characters; those of an ellipsis are the numbers from here on.
const ELLIPSIS: u32 = 0x11_0000;

const UNKNOWN_LABEL: &str = "the result has a label that no input has";

type Labels = Vec<u32>;

struct Equation {
    inputs: Vec<Term>,
    /// `None` where it is left to the rule: labels that appear once, in order.
    output: Option<Term>,
}

/// Labels before an ellipsis, and, where there is one, those after it.
struct Term {
    before: Labels,
    after: Option<Labels>,
}

impl Term {
    fn read(text: &str) -> Result<Self, String> {
        let labels = |part: &str| -> Result<Labels, String> {
            let all_letters = part.chars().all(|c| c.is_ascii_alphabetic());
            if all_letters {
                Ok(part.chars().map(u32::from).collect())
            } else {
                Err(format!("{text:?} cannot be read"))
            }
        };
        match text.split_once("...") {
            None => Ok(Self { before: labels(text)?, after: None }),
            Some((before, after)) => Ok(Self { before: labels(before)?, after: Some(labels(after)?) }),
        }
    }

    /// The labels that are letters.
    fn letters(&self) -> impl Iterator<Item = u32> {
        self.before.iter().chain(self.after.iter().flatten()).copied()
    }

    /// A label for each axis of a tensor of that rank.
    fn labels(&self, rank: usize) -> Result<Labels, String> {
        let named = self.before.len() + self.after.as_ref().map_or(0, Vec::len);
        let open = rank.checked_sub(named).filter(|n| *n == 0 || self.after.is_some());
        let open = open.ok_or_else(|| format!("{named} labels for {rank} axes"))?;
        // Counted from the end, so that axes of an ellipsis broadcast from there.
        let dots = (0..open as u32).rev().map(|i| ELLIPSIS + i);
        Ok(self.before.iter().copied().chain(dots).chain(self.after.iter().flatten().copied()).collect())
    }
}

impl Equation {
    fn read(text: &str) -> Result<Self, String> {
        let text: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        let (inputs, output) = match text.split_once("->") {
            None => (text.as_str(), None),
            Some((inputs, output)) => (inputs, Some(Term::read(output)?)),
        };
        let inputs = inputs.split(',').map(Term::read).collect::<Result<Vec<_>, _>>()?;
        if let Some(output) = &output {
            let labels: Labels = output.letters().collect();
            let of_inputs = |label: &u32| inputs.iter().flat_map(Term::letters).any(|other| other == *label);
            if !labels.iter().all(of_inputs) {
                return Err(UNKNOWN_LABEL.into());
            }
            if (1..labels.len()).any(|at| labels[..at].contains(&labels[at])) {
                return Err("the result has a label twice".into());
            }
        }
        Ok(Self { inputs, output })
    }

    /// The labels of the result, for operands of those labels as the equation writes them: one that an operand repeats
    /// is there twice.
    fn output(&self, inputs: &[Labels]) -> Result<Labels, String> {
        let all = || inputs.iter().flatten().copied();
        let mut dots: Labels = all().filter(|l| *l >= ELLIPSIS).collect();
        dots.sort_unstable_by(|a, b| b.cmp(a));
        dots.dedup();
        match &self.output {
            None => {
                let mut once: Labels =
                    all().filter(|l| *l < ELLIPSIS && all().filter(|m| m == l).count() == 1).collect();
                once.sort_unstable();
                Ok(dots.into_iter().chain(once).collect())
            }
            Some(term) => {
                if term.after.is_none() && !dots.is_empty() {
                    return Err("the result lacks the axes that the ellipsis of an input stands for".into());
                }
                let out: Labels = term
                    .before
                    .iter()
                    .copied()
                    .chain(dots)
                    .chain(term.after.iter().flatten().copied())
                    .collect();
                let known = out.iter().all(|l| all().any(|m| m == *l));
                if known { Ok(out) } else { Err(UNKNOWN_LABEL.into()) }
            }
        }
    }
}

pub fn build<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let equation = Equation::read(site.node.attributes.text("equation", "")?)?;
    if equation.inputs.len() != site.node.inputs.len() {
        return Err(format!("{} terms for {} inputs", equation.inputs.len(), site.node.inputs.len()));
    }
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        let mut operands = Vec::with_capacity(equation.inputs.len());
        let mut all = Vec::with_capacity(equation.inputs.len());
        for (index, term) in equation.inputs.iter().enumerate() {
            let x = inputs.take(index)?;
            let labels = term.labels(x.rank())?;
            all.push(labels.clone());
            operands.push(diagonal(x, labels)?);
        }
        let output = equation.output(&all)?;
        let mut operands = operands.into_iter();
        let mut left = operands.next().ok_or("it has no inputs")?;
        let mut rest: Vec<(Value<B>, Labels)> = operands.collect();
        while !rest.is_empty() {
            let right = rest.remove(0);
            let wanted = |label: &u32| output.contains(label) || rest.iter().any(|(_, l)| l.contains(label));
            left = contract(left, right, wanted, cx)?;
        }
        let (x, labels) = sum_out(left, |label| output.contains(label), cx)?;
        one(arrange(x, &labels, &output)?)
    }))
}

/// An operand that names a label twice is its diagonal over those axes.
fn diagonal<B: Kernels>(x: Value<B>, labels: Labels) -> Result<(Value<B>, Labels), OpError> {
    let mut unique = labels.clone();
    unique.sort_unstable();
    unique.dedup();
    if unique.len() == labels.len() {
        return Ok((x, labels));
    }
    let x = x.into_host()?;
    let own = strides(x.shape());
    let (mut dims, mut steps, mut kept) = (Vec::new(), Vec::new(), Labels::new());
    for (axis, label) in labels.iter().enumerate() {
        match kept.iter().position(|l| l == label) {
            None => {
                dims.push(x.shape()[axis]);
                steps.push(own[axis]);
                kept.push(*label);
            }
            Some(at) if dims[at] == x.shape()[axis] => steps[at] += own[axis],
            Some(_) => return Err("axes of one label differ in size".into()),
        }
    }
    Ok((Value::Host(host::pick(&x, walk(&dims, &steps, 0), dims)?), kept))
}

/// Sums over the labels that are not wanted.
fn sum_out<B: Kernels>(
    (x, labels): (Value<B>, Labels),
    wanted: impl Fn(&u32) -> bool,
    cx: &Context<B>,
) -> Result<(Value<B>, Labels), OpError> {
    let axes: Vec<usize> = (0..labels.len()).filter(|a| !wanted(&labels[*a])).collect();
    if axes.is_empty() {
        return Ok((x, labels));
    }
    let dims: Vec<usize> =
        x.dims().into_iter().enumerate().filter(|(a, _)| !axes.contains(a)).map(|(_, d)| d).collect();
    let summed = reduce::sum(x, &axes, cx)?.reshaped(dims)?;
    Ok((summed, labels.into_iter().filter(|l| wanted(l)).collect()))
}

/// The axes in another order; labels that the tensor lacks become axes of 1.
fn arrange<B: Kernels>(x: Value<B>, labels: &[u32], order: &[u32]) -> Result<Value<B>, OpError> {
    let perm: Vec<usize> = order.iter().filter_map(|l| labels.iter().position(|m| m == l)).collect();
    let dims = x.dims();
    let shape =
        order.iter().map(|l| labels.iter().position(|m| m == l).map_or(1, |axis| dims[axis])).collect();
    permute(x, &perm)?.reshaped(shape)
}

/// Two operands become one: [batch.., left.., sum] times [batch.., sum, right..].
fn contract<B: Kernels>(
    left: (Value<B>, Labels),
    right: (Value<B>, Labels),
    wanted: impl Fn(&u32) -> bool,
    cx: &Context<B>,
) -> Result<(Value<B>, Labels), OpError> {
    let right_labels = right.1.clone();
    let (a, left_labels) = sum_out(left, |l| wanted(l) || right_labels.contains(l), cx)?;
    let (b, right_labels) = sum_out(right, |l| wanted(l) || left_labels.contains(l), cx)?;
    let shared = |l: &&u32| right_labels.contains(l);
    let batch: Labels = left_labels.iter().filter(|l| shared(l) && wanted(l)).copied().collect();
    let inner: Labels = left_labels.iter().filter(|l| shared(l) && !wanted(l)).copied().collect();
    let rows: Labels = left_labels.iter().filter(|l| !shared(l)).copied().collect();
    let columns: Labels = right_labels.iter().filter(|l| !left_labels.contains(l)).copied().collect();
    let (dims_a, dims_b) = (a.dims(), b.dims());
    let size = |label: &u32| -> Result<usize, String> {
        let at =
            |labels: &[u32], dims: &[usize]| labels.iter().position(|l| l == label).map(|axis| dims[axis]);
        match (at(&left_labels, &dims_a), at(&right_labels, &dims_b)) {
            (Some(x), Some(y)) if x != y && x != 1 && y != 1 => {
                Err("axes of one label differ in size".into())
            }
            // An axis of nothing meets an axis of one, and stays nothing.
            (Some(1) | None, Some(size)) | (Some(size), _) => Ok(size),
            (None, None) => Ok(1),
        }
    };
    let sizes = |labels: &Labels| labels.iter().map(size).collect::<Result<Vec<_>, _>>();
    let (batch_dims, inner_dims, row_dims, column_dims) =
        (sizes(&batch)?, sizes(&inner)?, sizes(&rows)?, sizes(&columns)?);
    let count = |dims: &[usize]| dims.iter().product::<usize>();
    let whole = |x: Value<B>,
                 labels: &Labels,
                 order: [&Labels; 3],
                 middle: [usize; 2]|
     -> Result<Value<B>, OpError> {
        let order: Labels = order.into_iter().flatten().copied().collect();
        let full = sizes(&order)?;
        let x = crate::engine::ops::broadcast::to(arrange(x, labels, &order)?, &full, cx)?;
        x.reshaped(batch_dims.iter().copied().chain(middle).collect())
    };
    let a = whole(a, &left_labels, [&batch, &rows, &inner], [count(&row_dims), count(&inner_dims)])?;
    let b = whole(b, &right_labels, [&batch, &inner, &columns], [count(&inner_dims), count(&column_dims)])?;
    let labels: Labels = [&batch[..], &rows, &columns].concat();
    let dims = [&batch_dims[..], &row_dims, &column_dims].concat();
    Ok((product(a, b, cx)?.reshaped(dims)?, labels))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_equation_that_cannot_be_is_refused_when_the_model_is_loaded() {
        for (equation, wanted) in [
            ("ij,jk->il", Some(UNKNOWN_LABEL)),
            ("ij->iij", Some("the result has a label twice")),
            ("i1->i", Some("\"i1\" cannot be read")),
            ("ij,jk->ik", None),
            ("...ij,...jk->...ik", None),
            ("ii->i", None),
            (" i j -> j i ", None),
        ] {
            assert_eq!(Equation::read(equation).err().as_deref(), wanted, "{equation}");
        }
    }
}
