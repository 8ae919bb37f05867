//! `op = "vote"`: the class that most have: of several sources, or along axes. Of classes that as many have, the one that
//! comes first. Pure.

use super::draft::folding;
use super::element::{Number, Pieces, elements, for_element};
use super::reduce::{Groups, left};
use super::shape::{alike, common, one};
use super::{Classes, Compute, Misfit, options};
use crate::diagnostic::Report;
use crate::plan::{OperationDraft, TensorType};
use crate::spec::document::Reader;
use crate::tensor::{DType, Tensor};
use serde::Serialize;

pub fn read(options: &mut Reader<'_>, report: &mut Report) -> Option<Box<dyn OperationDraft>> {
    folding("vote", options, report, Majority::read, Vote::read)
}

/// Votes of tensors that are alike, element by element.
#[derive(Debug, Serialize)]
pub struct Vote {
    /// Of each tensor.
    pub weights: Option<Vec<f64>>,
}

/// Votes of the elements of one tensor.
#[derive(Debug, Serialize)]
pub struct Majority {
    /// All of them, where left out.
    pub axes: Option<Vec<i64>>,
    /// Whether the axes stay, with a length of 1.
    pub keep: bool,
}

impl Vote {
    pub fn read(sources: usize, reader: &mut Reader<'_>, report: &mut Report) -> Option<Self> {
        Some(Self { weights: options::weights(sources, reader, report) })
    }
}

impl Majority {
    pub fn read(reader: &mut Reader<'_>, report: &mut Report) -> Option<Self> {
        let axes = options::axes(reader, report);
        let keep = reader.bool("keep", report).is_some_and(|keep| keep.value);
        Some(Self { axes, keep })
    }
}

const NOBODY: &str = "nobody votes";

/// Whether its elements may be classes: integers, texts, true and false.
fn are_classes(dtype: DType) -> bool {
    !dtype.is_float() && (dtype.is_number() || dtype == DType::String)
}

fn a_class(ty: &TensorType) -> Result<(), Misfit> {
    match ty.dtype {
        Some(dtype) if !are_classes(dtype) => {
            Err(Misfit::new("it counts classes")
                .help("a step with `op = \"argmax\"` finds the class of scores"))
        }
        _ => Ok(()),
    }
}

/// Refuses elements that are no classes.
fn classes(tensor: &Tensor) -> Result<(), String> {
    if are_classes(tensor.dtype()) {
        Ok(())
    } else {
        Err(format!("it counts classes, and this is {tensor:?}"))
    }
}

impl Compute for Vote {
    fn classes(&self) -> Classes {
        Classes::Passed
    }

    fn infer(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>, Misfit> {
        let ty = common(inputs)?;
        a_class(&ty)?;
        Ok(vec![ty])
    }

    fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, String> {
        self.run_some(inputs, &Vec::from_iter(0..inputs.len()))
    }

    fn run_some(&self, inputs: &[Tensor], places: &[usize]) -> Result<Vec<Tensor>, String> {
        let first = inputs.first().ok_or(NOBODY)?;
        alike(inputs)?;
        classes(first)?;
        let weights = options::weights_of(self.weights.as_deref(), places)?;
        let weight = |voter: usize| weights.get(voter).copied().unwrap_or(0.0);
        let mut made = Pieces::new(first.dtype(), first.shape().to_vec())?;
        let mut elect = |at: usize, winner: Option<usize>| {
            let winner = winner.and_then(|voter| inputs.get(voter)).ok_or(NOBODY)?;
            made.push(winner, at, 1);
            Ok::<_, String>(())
        };
        if first.dtype() == DType::String {
            let all: Vec<_> = inputs.iter().map(|x| x.strings().unwrap_or_default()).collect();
            for at in 0..first.len() {
                elect(at, winner(all.iter().enumerate().map(|(voter, x)| (&x[at], weight(voter)))))?;
            }
        } else {
            for_element!(first.dtype(), T => {
                let all: Vec<_> = inputs.iter().map(|x| elements::<T>(x)).collect();
                for at in 0..first.len() {
                    elect(at, winner(all.iter().enumerate().map(|(voter, x)| (x[at].integer(), weight(voter)))))?;
                }
            });
        }
        Ok(vec![made.finish()?])
    }
}

impl Compute for Majority {
    fn classes(&self) -> Classes {
        Classes::Passed
    }

    fn infer(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>, Misfit> {
        let ty = one(inputs)?;
        a_class(ty)?;
        Ok(vec![left(ty, self.axes.as_deref(), self.keep)?])
    }

    fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, String> {
        let x = one(inputs)?;
        classes(x)?;
        let groups = Groups::new(x.shape(), self.axes.as_deref(), self.keep)?;
        let mut made = Pieces::new(x.dtype(), groups.shape)?;
        for start in groups.starts {
            let group = groups.offsets.iter().map(|offset| start + offset);
            let winner = match x.strings() {
                Some(texts) => winner(group.map(|at| (&texts[at], 1.0))),
                None => for_element!(x.dtype(), T => {
                    let elements = elements::<T>(x);
                    winner(group.map(|at| (elements[at].integer(), 1.0)))
                }),
            };
            made.push(x, start + groups.offsets[winner.ok_or(NOBODY)?], 1);
        }
        Ok(vec![made.finish()?])
    }
}

/// The first voter of the class with the most weight.
fn winner<C: PartialEq>(votes: impl Iterator<Item = (C, f64)>) -> Option<usize> {
    let mut classes: Vec<(C, f64, usize)> = vec![];
    for (voter, (class, weight)) in votes.enumerate() {
        match classes.iter_mut().find(|(known, ..)| *known == class) {
            Some((_, sum, _)) => *sum += weight,
            None => classes.push((class, weight, voter)),
        }
    }
    let first_of_most =
        |best: (C, f64, usize), other: (C, f64, usize)| if other.1 > best.1 { other } else { best };
    classes.into_iter().reduce(first_of_most).map(|(.., voter)| voter)
}
