//! What a step is given: for each element that it runs for its inputs, where they are there and its condition holds.

use super::error::{AtStep, Error};
use super::pipeline::Pinned;
use super::slots::{Cell, Slots};
use crate::plan::step::condition::Scalar;
use crate::plan::{CalledId, Guard, InputPlan, Labels, ListId, OperationError, Reads, Step, StepId};
use crate::scheduler::Value;
use std::sync::Arc;

/// The inputs of one element: each with the labels that go with it.
pub(super) type Inputs = Vec<(Cell, Option<Labels>)>;

/// Whether everything that a step reads is there, or known to be absent.
pub(super) fn is_ready(slots: &Slots<'_>, step: &Step) -> bool {
    let guards = step.when.iter().flat_map(|guard| &guard.sources);
    slots.elements(step.each).is_some()
        && step.inputs.iter().chain(guards).all(|input| slots.is_filled(input.slot))
}

/// What each element of a step is given; `None` for one that is skipped.
pub(super) fn inputs(
    pinned: &Pinned,
    slots: &Slots<'_>,
    id: StepId,
    step: &Step,
) -> Result<Vec<Option<Inputs>>, Error> {
    let elements = slots.elements(step.each).unwrap_or(0);
    let mut all = Vec::with_capacity(elements);
    for element in 0..elements {
        let holds = match &step.when {
            None => Ok(true),
            Some(guard) => holds(pinned, slots, guard, step.each, element),
        };
        let holds = holds.map_err(|error| Error::Operation { step: at(step, element, elements), error })?;
        all.push(if holds { element_inputs(pinned, slots, step, element) } else { None });
    }
    let skipped = all.iter().filter(|inputs| inputs.is_none()).count();
    if skipped > 0 {
        tracing::debug!("step `{}` ({id:?}) is skipped for {skipped} of {elements}", step.name);
    }
    Ok(all)
}

fn element_inputs(pinned: &Pinned, slots: &Slots<'_>, step: &Step, element: usize) -> Option<Inputs> {
    let input = |input: &InputPlan| {
        let cell = match input.reads {
            Reads::Beside => array(pinned, input.labels.as_ref()),
            _ => slots.cell(input.slot, step.each, element),
        };
        let lacks = matches!(cell, Cell::Absent) && input.reads != Reads::IfThere;
        (!lacks).then(|| (cell, labels(pinned, input.labels.as_ref())))
    };
    step.inputs.iter().map(input).collect()
}

/// The array of the generation that the item has pinned.
fn array(pinned: &Pinned, wanted: Option<&(CalledId, String)>) -> Cell {
    let array = wanted.and_then(|(model, file)| pinned.generations.get(*model)?.facts.arrays.get(file));
    array.map_or(Cell::Absent, |array| Cell::Here(Value::Host(array.tensor.clone())))
}

/// The labels of the generation that the item has pinned.
pub(super) fn labels(pinned: &Pinned, wanted: Option<&(CalledId, String)>) -> Option<Labels> {
    let (model, file) = wanted?;
    pinned.generations.get(*model)?.facts.labels.get(file).cloned()
}

/// Whether a condition holds for an element. Where one of its sources is absent, it does not.
pub(super) fn holds(
    pinned: &Pinned,
    slots: &Slots<'_>,
    guard: &Guard,
    level: Option<ListId>,
    element: usize,
) -> Result<bool, OperationError> {
    let mut values = Vec::with_capacity(guard.sources.len());
    for source in &guard.sources {
        match scalar(slots.cell(source.slot, level, element), labels(pinned, source.labels.as_ref()))? {
            Some(value) => values.push(value),
            None => return Ok(false),
        }
    }
    Ok(guard.condition.evaluate(&values))
}

fn scalar(cell: Cell, labels: Option<Labels>) -> Result<Option<Scalar>, OperationError> {
    let unforeseen = |what: &str| {
        OperationError::Unforeseen(format!("a condition compares one value, and was given {what}"))
    };
    let tensor = match cell {
        Cell::Absent => return Ok(None),
        Cell::Length(length) => return Ok(Some(Scalar::Int(length as i128))),
        Cell::Each(_) => return Err(unforeseen("those of a list")),
        Cell::Here(Value::Host(tensor)) => tensor,
        Cell::Here(Value::Device(resident)) => {
            resident.to_host().map_err(|error| OperationError::Unforeseen(error.to_string()))?
        }
    };
    let scalar = Scalar::of(&tensor).ok_or_else(|| unforeseen(&format!("{tensor:?}")))?;
    Ok(Some(match (scalar, labels) {
        (Scalar::Int(class), Some(labels)) => {
            let label = usize::try_from(class).ok().and_then(|class| labels.get(class));
            Scalar::Class(class, label.map(|label| Arc::from(label.as_str())))
        }
        (scalar, _) => scalar,
    }))
}

/// The name of a step, and which of its elements where it runs for several.
pub(super) fn at(step: &Step, element: usize, elements: usize) -> AtStep {
    let element = step.each.map(|_| (element + 1, elements));
    AtStep { name: step.name.clone(), element }
}
