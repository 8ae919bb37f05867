//! What a field says of one item.

use super::number::{Number, numbers};
use super::{As, Field, write_string};
use crate::codec::classes::{self, ClassMap, NO_CLASS};
use crate::plan::{EncodeError, Labels};
use crate::tensor::Tensor;
use std::io::Write;
use std::sync::Arc;

/// Computed, not yet written.
pub enum Answer {
    Values(Tensor),
    One(Number),
    /// The one element of a tensor of strings.
    Text(Arc<str>),
    /// A class with its label; `None` where no score is a number.
    Class(Option<usize>, Option<Labels>),
    /// Classes and their scores, the largest first.
    Ranked(Vec<(usize, Number)>, Option<Labels>),
    /// The score of each class.
    Scores(Vec<Number>, Option<Labels>),
    /// The class of each position, [`NO_CLASS`] where there is none.
    Map(ClassMap, Option<Labels>),
    /// The share of each class.
    Shares(Vec<f64>, Option<Labels>),
}

impl Field {
    /// `labels` are those of the generation that computed the value.
    pub fn answer(&self, tensor: &Tensor, labels: Option<&Labels>) -> Result<Answer, EncodeError> {
        let labels = labels.filter(|_| self.labelled).cloned();
        let unforeseen = |wanted: &str| {
            EncodeError::Unforeseen(format!(
                "field `{}`: the model gave {tensor:?}, where {wanted}",
                self.name
            ))
        };
        let stored = || {
            classes::stored(tensor)
                .map_err(|e| EncodeError::Unforeseen(format!("field `{}`: {e}", self.name)))
        };
        let argmax = || classes::argmax(tensor, self.axis).ok_or_else(|| unforeseen("that axis is wanted"));
        Ok(match self.kind {
            As::Values | As::Size => Answer::Values(tensor.clone()),
            As::Scalar | As::Source if tensor.len() == 1 => match tensor.strings() {
                Some([text]) => Answer::Text(text.clone()),
                _ => Answer::One(numbers(tensor).next().ok_or_else(|| unforeseen("one element is wanted"))?),
            },
            As::Scalar | As::Source => return Err(unforeseen("one element is wanted")),
            As::Label if self.stored => Answer::Map(self.named(tensor)?, labels),
            As::Label | As::Top | As::Scores if tensor.shape().len() != 1 => {
                return Err(unforeseen("scores of one axis are wanted"));
            }
            As::Label => Answer::Class(classes::largest(tensor.to_f64()), labels),
            As::Top => Answer::Ranked(self.ranked(tensor), labels),
            As::Scores if labels.as_ref().is_some_and(|labels| labels.len() != tensor.len()) => {
                return Err(unforeseen("a score for each label is wanted"));
            }
            As::Scores => Answer::Scores(self.scores(tensor), labels),
            As::Argmax => Answer::Map(argmax()?, labels),
            As::Shares => {
                let map = if classes::holds_classes(tensor.dtype()) { stored()? } else { argmax()? };
                Answer::Shares(self.shares(&map), labels)
            }
            As::Mean => {
                let values = tensor.to_f64();
                Answer::One(Number::F64(values.iter().sum::<f64>() / values.len() as f64))
            }
        })
    }

    /// The classes that a tensor holds. A negative one is none.
    fn named(&self, tensor: &Tensor) -> Result<ClassMap, EncodeError> {
        let class = |number: Number| match number {
            Number::Signed(v) if v < 0 => Some(NO_CLASS),
            Number::Signed(v) => u32::try_from(v).ok().filter(|class| *class != NO_CLASS),
            Number::Unsigned(v) => u32::try_from(v).ok().filter(|class| *class != NO_CLASS),
            Number::Bool(v) => Some(v.into()),
            Number::F32(_) | Number::F64(_) => None,
        };
        let classes = numbers(tensor).map(|number| {
            class(number).ok_or_else(|| {
                EncodeError::Unforeseen(format!(
                    "field `{}`: {} is not the index of a class",
                    self.name,
                    number.cell()
                ))
            })
        });
        let classes = classes.collect::<Result<_, _>>()?;
        Ok(ClassMap { shape: tensor.shape().to_vec(), classes, count: None })
    }

    fn scores(&self, tensor: &Tensor) -> Vec<Number> {
        if self.softmax {
            return (0..tensor.len()).map(self.probability(&tensor.to_f64())).collect();
        }
        numbers(tensor).collect()
    }

    /// What turns the index of a score to its probability.
    fn probability(&self, scores: &[f64]) -> impl Fn(usize) -> Number {
        // The larger of NaN and a number is the number.
        let most = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = scores.iter().map(|s| (s - most).exp()).sum();
        move |i| Number::F32(((scores[i] - most).exp() / sum) as f32)
    }

    fn ranked(&self, tensor: &Tensor) -> Vec<(usize, Number)> {
        let scores = tensor.to_f64();
        let mut order: Vec<usize> = (0..scores.len()).filter(|i| !scores[*i].is_nan()).collect();
        // Stable, so that equal scores stay in the order of the classes.
        order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
        order.truncate(self.top);
        if self.softmax {
            let probability = self.probability(&scores);
            return order.into_iter().map(|i| (i, probability(i))).collect();
        }
        let exact: Vec<Number> = numbers(tensor).collect();
        order.into_iter().map(|i| (i, exact[i])).collect()
    }

    fn shares(&self, map: &ClassMap) -> Vec<f64> {
        let classes = || map.classes.iter().filter(|class| **class != NO_CLASS);
        let largest = classes().max().map_or(0, |c| *c as usize + 1);
        let mut counts = vec![0usize; map.count.or(self.count).unwrap_or(0).max(largest)];
        classes().for_each(|class| counts[*class as usize] += 1);
        counts.into_iter().map(|n| n as f64 / map.classes.len().max(1) as f64).collect()
    }

    /// Writes the field's value as JSON.
    pub fn write_json(
        &self,
        tensor: &Tensor,
        labels: Option<&Labels>,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        match self.answer(tensor, labels)? {
            Answer::Values(tensor) => {
                if let Some(strings) = tensor.strings() {
                    let mut strings = strings.iter();
                    nested(tensor.shape(), &mut |out| write_next(strings.next(), out), out);
                    return Ok(());
                }
                let mut elements = numbers(&tensor).map(|n| n.rounded(self.round));
                let mut next =
                    |out: &mut Vec<u8>| elements.next().into_iter().for_each(|n| n.write_json(out));
                nested(tensor.shape(), &mut next, out);
            }
            Answer::Text(text) => write_string(&text, out),
            Answer::One(number) => number.rounded(self.round).write_json(out),
            Answer::Class(None, _) => out.extend_from_slice(b"null"),
            Answer::Class(Some(class), labels) => write_string(label(labels.as_ref(), class).as_ref(), out),
            Answer::Ranked(ranked, labels) => {
                out.push(b'[');
                for (place, (class, score)) in ranked.into_iter().enumerate() {
                    out.extend_from_slice(if place == 0 { b"{" } else { b",{" });
                    if labels.is_some() {
                        out.extend_from_slice(b"\"label\":");
                        write_string(label(labels.as_ref(), class).as_ref(), out);
                        out.push(b',');
                    }
                    let _ = write!(out, "\"index\":{class},\"score\":");
                    score.rounded(self.round).write_json(out);
                    out.push(b'}');
                }
                out.push(b']');
            }
            Answer::Map(map, labels) => {
                let mut classes = map.classes.iter();
                let mut next = |out: &mut Vec<u8>| match (classes.next(), &labels) {
                    (None | Some(&NO_CLASS), _) => out.extend_from_slice(b"null"),
                    (Some(class), None) => Number::Unsigned((*class).into()).write_json(out),
                    (Some(class), labels) => {
                        write_string(label(labels.as_ref(), *class as usize).as_ref(), out);
                    }
                };
                nested(&map.shape, &mut next, out);
            }
            Answer::Scores(scores, labels) => self.write_labelled(scores, labels.as_ref(), out),
            Answer::Shares(shares, labels) => {
                self.write_labelled(shares.into_iter().map(Number::F64), labels.as_ref(), out);
            }
        }
        Ok(())
    }

    /// An object with a number for each label.
    fn write_labelled(
        &self,
        numbers: impl IntoIterator<Item = Number>,
        labels: Option<&Labels>,
        out: &mut Vec<u8>,
    ) {
        out.push(b'{');
        for (class, number) in numbers.into_iter().enumerate() {
            if class > 0 {
                out.push(b',');
            }
            write_string(label(labels, class).as_ref(), out);
            out.push(b':');
            number.rounded(self.round).write_json(out);
        }
        out.push(b'}');
    }
}

/// A class's label, or its index where it has none.
pub fn label(labels: Option<&Labels>, class: usize) -> std::borrow::Cow<'_, str> {
    match labels.and_then(|labels| labels.get(class)) {
        Some(label) => label.as_str().into(),
        None => class.to_string().into(),
    }
}

fn write_next(text: Option<&Arc<str>>, out: &mut Vec<u8>) {
    write_string(text.map_or("", |text| text), out);
}

/// Elements in C order, each written by `next`, nested as `shape` says; one alone where it has no axis.
fn nested(shape: &[usize], next: &mut dyn FnMut(&mut Vec<u8>), out: &mut Vec<u8>) {
    let Some((length, rest)) = shape.split_first() else { return next(out) };
    out.push(b'[');
    for index in 0..*length {
        if index > 0 {
            out.push(b',');
        }
        nested(rest, next, out);
    }
    out.push(b']');
}
