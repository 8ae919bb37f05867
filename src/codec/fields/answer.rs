//! What a field says of one item.

use super::number::{Number, numbers};
use super::{As, Field};
use crate::codec::classes::{self, ClassMap, NO_CLASS};
use crate::plan::{EncodeError, Input, Labels};
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
    Map(ClassMap),
    /// The share of each class.
    Shares(Vec<f64>, Option<Labels>),
}

impl Field {
    pub fn answer(&self, input: &Input) -> Result<Answer, EncodeError> {
        let tensor = input.tensor()?;
        let labels = self.labelled.then(|| input.labels.clone()).flatten();
        let unforeseen = |wanted: &str| {
            EncodeError::Unforeseen(format!(
                "field `{}`: the model gave {tensor:?}, where {wanted}",
                self.name
            ))
        };
        Ok(match self.kind {
            As::Values => Answer::Values(tensor.clone()),
            As::Scalar if tensor.len() == 1 => match tensor.strings() {
                Some([text]) => Answer::Text(text.clone()),
                _ => Answer::One(numbers(tensor).next().ok_or_else(|| unforeseen("one element is wanted"))?),
            },
            As::Scalar => return Err(unforeseen("one element is wanted")),
            As::Label | As::Top if tensor.shape().len() != 1 => {
                return Err(unforeseen("scores of one axis are wanted"));
            }
            As::Label => Answer::Class(classes::largest(tensor.to_f64()), labels),
            As::Top => Answer::Ranked(self.ranked(tensor), labels),
            As::Argmax => Answer::Map(
                classes::argmax(tensor, self.axis).ok_or_else(|| unforeseen("that axis is wanted"))?,
            ),
            As::Shares => {
                let map = if classes::holds_classes(tensor.dtype()) {
                    classes::stored(tensor)
                        .map_err(|e| EncodeError::Unforeseen(format!("field `{}`: {e}", self.name)))?
                } else {
                    classes::argmax(tensor, self.axis).ok_or_else(|| unforeseen("that axis is wanted"))?
                };
                Answer::Shares(self.shares(&map), labels)
            }
            As::Mean => {
                let values = tensor.to_f64();
                Answer::One(Number::F64(values.iter().sum::<f64>() / values.len() as f64))
            }
        })
    }

    fn ranked(&self, tensor: &Tensor) -> Vec<(usize, Number)> {
        let scores = tensor.to_f64();
        let mut order: Vec<usize> = (0..scores.len()).filter(|i| !scores[*i].is_nan()).collect();
        // Stable, so that equal scores stay in the order of the classes.
        order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
        order.truncate(self.top);
        if self.softmax {
            // The larger of NaN and a number is the number.
            let most = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let sum: f64 = scores.iter().map(|s| (s - most).exp()).sum();
            let share = |i: usize| Number::F32(((scores[i] - most).exp() / sum) as f32);
            return order.into_iter().map(|i| (i, share(i))).collect();
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
    pub fn write_json(&self, input: &Input, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        match self.answer(input)? {
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
            Answer::Map(map) => {
                let mut classes = map.classes.iter();
                let mut next = |out: &mut Vec<u8>| match classes.next() {
                    None | Some(&NO_CLASS) => out.extend_from_slice(b"null"),
                    Some(class) => Number::Unsigned((*class).into()).write_json(out),
                };
                nested(&map.shape, &mut next, out);
            }
            Answer::Shares(shares, labels) => {
                out.push(b'{');
                for (class, share) in shares.into_iter().enumerate() {
                    if class > 0 {
                        out.push(b',');
                    }
                    write_string(label(labels.as_ref(), class).as_ref(), out);
                    out.push(b':');
                    Number::F64(share).rounded(self.round).write_json(out);
                }
                out.push(b'}');
            }
        }
        Ok(())
    }
}

/// A class's label, or its index where it has none.
pub fn label(labels: Option<&Labels>, class: usize) -> std::borrow::Cow<'_, str> {
    match labels.and_then(|labels| labels.get(class)) {
        Some(label) => label.as_str().into(),
        None => class.to_string().into(),
    }
}

/// A JSON string.
pub fn write_string(text: &str, out: &mut Vec<u8>) {
    // Writing to memory does not fail.
    let _ = serde_json::to_writer(out, text);
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
