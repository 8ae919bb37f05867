//! Operations on numbers as steps: what they read, in which forms, and what is said where it does not fit.

use super::{Classes, Compute, Misfit};
use crate::diagnostic::{At, Diagnostic, Report};
use crate::plan::{
    Bound, BoundOperation, Given, Input, Made, Operand, Operation, OperationDraft, OperationError, Origin,
    OutputType, Reads, TensorType,
};
use crate::spec::document::Reader;
use crate::steps::options::{from, sources};
use crate::tensor::{DType, Tensor, byte_len};
use serde::Serialize;
use std::fmt::Debug;
use std::sync::Arc;

/// The bytes that an element takes while it is computed with, beside its own.
const WORKING: u64 = 24;

/// Reads the options of a computation.
type Read<C> = fn(&mut Reader<'_>, &mut Report) -> Option<C>;

/// An operation that reads one source.
pub fn of_one<C: Compute + Serialize + 'static>(
    name: &'static str,
    outputs: &'static [&'static str],
    options: &mut Reader<'_>,
    report: &mut Report,
    read: Read<C>,
) -> Option<Box<dyn OperationDraft>> {
    let mut operand = from(options, Reads::One, report);
    let compute = read(options, report);
    // What finds classes may be told their names.
    if compute.as_ref().is_none_or(|compute| matches!(compute.classes(), Classes::Found { .. })) {
        let labels = options.string("labels", report);
        operand.iter_mut().for_each(|operand| operand.file.clone_from(&labels));
    }
    Some(Draft::new(name, outputs, options, operand.into_iter().collect(), compute))
}

/// An operation that reads several sources, all of which must be there.
pub fn of_several<C: Compute + Serialize + 'static>(
    name: &'static str,
    options: &mut Reader<'_>,
    report: &mut Report,
    read: Read<C>,
) -> Option<Box<dyn OperationDraft>> {
    let operands = sources(options, Reads::One, report);
    let compute = read(options, report);
    Some(Draft::new(name, VALUE, options, operands, compute))
}

/// The output of an operation that has one.
pub const VALUE: &[&str] = &["value"];

/// An operation that folds: the elements of one source (`within`), several sources, or with `over` the elements of a
/// list (`across`, which is told how many sources there are).
pub fn folding<W: Compute + Serialize + 'static, A: Compute + Serialize + 'static>(
    name: &'static str,
    options: &mut Reader<'_>,
    report: &mut Report,
    within: impl FnOnce(&mut Reader<'_>, &mut Report) -> Option<W>,
    across: impl FnOnce(usize, &mut Reader<'_>, &mut Report) -> Option<A>,
) -> Option<Box<dyn OperationDraft>> {
    if options.has("over") {
        let operand = from(options, Reads::All, report);
        let over = options.string("over", report);
        let least =
            options.integer("least", 1..=LARGEST_LEAST, report).map_or(1, |least| least.value as usize);
        let compute = across(1, options, report);
        let mut draft = Draft::new(name, VALUE, options, operand.into_iter().collect(), compute);
        (draft.over, draft.least) = (over, Some(least));
        return Some(draft);
    }
    let mut operands = sources(options, Reads::One, report);
    if operands.len() < 2 {
        let compute = within(options, report);
        return Some(Draft::new(name, VALUE, options, operands, compute));
    }
    let least = options.integer("least", 1..=operands.len() as i64, report).map(|least| least.value as usize);
    if least.is_some() {
        operands.iter_mut().for_each(|operand| operand.reads = Reads::IfThere);
    }
    let compute = across(operands.len(), options, report);
    let mut draft = Draft::new(name, VALUE, options, operands, compute);
    draft.least = least;
    Some(draft)
}

const LARGEST_LEAST: i64 = 100_000;

/// An operation whose sources are not resolved yet.
#[derive(Debug)]
struct Draft<C> {
    name: &'static str,
    outputs: &'static [&'static str],
    /// The step, in the words of an error message.
    what: String,
    operands: Vec<Operand>,
    over: Option<At<String>>,
    /// How many sources, or elements, must be there; all where left out.
    least: Option<usize>,
    /// `None` where its options have errors.
    compute: Option<Arc<C>>,
}

/// A computation as a step.
#[derive(Debug)]
struct Step<C> {
    name: &'static str,
    compute: Arc<C>,
    least: Option<usize>,
    /// The types that the sources were foreseen to have.
    foreseen: Vec<TensorType>,
}

impl<C> Draft<C> {
    fn new(
        name: &'static str,
        outputs: &'static [&'static str],
        options: &Reader<'_>,
        operands: Vec<Operand>,
        compute: Option<C>,
    ) -> Box<Self> {
        let what = options.what().to_owned();
        Box::new(Self {
            name,
            outputs,
            what,
            operands,
            over: None,
            least: None,
            compute: compute.map(Arc::new),
        })
    }
}

impl<C: Compute + Serialize + 'static> OperationDraft for Draft<C> {
    fn operands(&self) -> Vec<Operand> {
        self.operands.clone()
    }

    fn over(&self) -> Option<At<String>> {
        self.over.clone()
    }

    fn outputs(&self) -> &'static [&'static str] {
        self.outputs
    }

    fn always(&self, there: &[bool]) -> bool {
        let count = there.iter().filter(|there| **there).count();
        match (&self.over, self.least) {
            // A list may be empty.
            (Some(_), _) => false,
            (None, Some(least)) => count >= least,
            (None, None) => count == there.len(),
        }
    }

    fn bind(&self, bound: &[Option<Bound>], report: &mut Report) -> Option<BoundOperation> {
        let compute = self.compute.as_ref()?;
        let bound: Vec<&Bound> = bound.iter().map(Option::as_ref).collect::<Option<_>>()?;
        if bound.is_empty() {
            return None;
        }
        let types: Vec<TensorType> = bound.iter().map(|bound| bound.ty.clone()).collect();
        let made = match compute.infer(&types) {
            Ok(made) => made,
            Err(misfit) => {
                report.push(refused(self.name, &self.what, misfit, &bound));
                return None;
            }
        };
        let classes = match compute.classes() {
            // Labels of another kind may come along with the source.
            Classes::Found { .. } if self.operands.iter().all(|operand| operand.file.is_none()) => {
                Classes::None
            }
            classes => classes,
        };
        let labelled = labelled(classes, &bound, report)?;
        let output =
            |(index, ty)| OutputType { ty, labels: labelled.filter(|output| *output == index).map(|_| 0) };
        let outputs = made.into_iter().enumerate().map(output).collect();
        let operation =
            Step { name: self.name, compute: compute.clone(), least: self.least, foreseen: types };
        Some(BoundOperation { operation: Arc::new(operation), outputs })
    }
}

/// What is said where an operation does not take a source. `what` is the step, in the words of an error message.
pub fn refused(name: &str, what: &str, misfit: Misfit, bound: &[&Bound]) -> Diagnostic {
    let Some(at) = bound.get(misfit.source).or(bound.first()) else { return Diagnostic::error(misfit.why) };
    let title = format!("`{}` does not fit `{name}` in {what}: {}", at.from.value, misfit.why);
    let d = Diagnostic::error(title).at(&at.from.place, format!("this is {}", at.ty));
    let d = at.note.iter().fold(d, |d, note| d.note(note.clone()));
    misfit.help.into_iter().fold(d, Diagnostic::help)
}

/// Which output has labels, those of the first operand; `None` where they do not fit, which is reported.
fn labelled(classes: Classes, bound: &[&Bound], report: &mut Report) -> Option<Option<usize>> {
    let count = |bound: &Bound| bound.labels.as_ref().map(|(_, count)| *count);
    let first = bound.first()?;
    match (classes, &first.labels) {
        (Classes::None, _) | (_, None) => Some(None),
        (Classes::Passed, Some(_)) => {
            let alike = bound.iter().all(|other| count(other) == count(first));
            Some(alike.then_some(0))
        }
        (Classes::Found { output, axis }, Some((file, labels))) => {
            let dims = first.ty.dims.as_ref();
            let length = dims.and_then(|dims| dims[super::shape::axis(axis, dims.len()).ok()?]);
            let Some(length) = length.filter(|length| length != labels) else { return Some(Some(output)) };
            let d = Diagnostic::error(format!(
                "`{}` has {labels} labels, `{}` has {length} classes",
                file.value, first.from.value
            ))
            .at(&file.place, format!("{labels} labels"))
            .at(&first.from.place, first.ty.to_string());
            let d = first.note.iter().fold(d, |d, note| d.note(note.clone()));
            report.push(d.help("the file has one label a line, in the order of the model's classes"));
            None
        }
    }
}

impl<C: Compute + Serialize> Operation for Step<C> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn options(&self) -> serde_json::Value {
        let compute = serde_json::to_value(&*self.compute).unwrap_or_default();
        serde_json::json!({ "compute": compute, "least": self.least })
    }

    fn weight(&self, inputs: &[Input]) -> usize {
        let read = inputs.iter().map(|input| input.given.bytes()).fold(0, usize::saturating_add);
        read.max(self.made(inputs).0)
    }

    fn working_memory(&self, inputs: &[Input]) -> u64 {
        let elements = |tensor: &Tensor| tensor.len() as u64;
        let read: u64 = there(inputs).map(|(_, tensor)| elements(tensor)).sum();
        let (bytes, made) = self.made(inputs);
        (read + made).saturating_mul(WORKING).saturating_add(bytes as u64)
    }

    fn run(&self, inputs: &[Input], _: Option<&Origin>) -> Result<Made, OperationError> {
        for (index, tensor) in there(inputs) {
            // Elements of a list are all of one type.
            let foreseen = self.foreseen.get(index).or(self.foreseen.first());
            if let Some(foreseen) = foreseen.filter(|foreseen| type_of(tensor).mismatch(foreseen).is_some()) {
                let text = format!("{} is given {tensor:?}, where {foreseen} was foreseen", self.name);
                return Err(OperationError::Unforeseen(text));
            }
        }
        let (places, tensors): (Vec<usize>, Vec<Tensor>) =
            there(inputs).map(|(index, tensor)| (index, tensor.clone())).unzip();
        if self.least.is_some_and(|least| tensors.len() < least) {
            return Ok(Made::Nothing);
        }
        // What the types left open, or the values, are at fault.
        self.compute.run_some(&tensors, &places).map(Made::Values).map_err(OperationError::Input)
    }
}

impl<C: Compute> Step<C> {
    /// The bytes and the elements of what it gives.
    fn made(&self, inputs: &[Input]) -> (usize, u64) {
        let types: Vec<TensorType> = there(inputs).map(|(_, tensor)| type_of(tensor)).collect();
        let made = self.compute.infer(&types).unwrap_or_default();
        let sizes = made.iter().filter_map(|ty| {
            let shape: Vec<usize> = ty.dims.as_ref()?.iter().copied().collect::<Option<_>>()?;
            let bytes = byte_len(ty.dtype?, &shape)?;
            Some((bytes, (bytes / ty.dtype.map_or(1, DType::size)) as u64))
        });
        sizes.fold((0, 0), |(bytes, count), (more, elements)| {
            (bytes.saturating_add(more), count.saturating_add(elements))
        })
    }
}

/// The tensors that are there, each with the position of its source.
fn there(inputs: &[Input]) -> impl Iterator<Item = (usize, &Tensor)> {
    inputs.iter().enumerate().flat_map(|(index, input)| {
        let tensors: Vec<&Tensor> = match &input.given {
            Given::Each(elements) => elements.iter().filter_map(Given::one).collect(),
            given => given.one().into_iter().collect(),
        };
        tensors.into_iter().map(move |tensor| (index, tensor))
    })
}

fn type_of(tensor: &Tensor) -> TensorType {
    TensorType { dtype: Some(tensor.dtype()), dims: Some(tensor.shape().iter().copied().map(Some).collect()) }
}
