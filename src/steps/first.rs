//! `op = "first"`: the first of several sources that is there.

use super::options;
use crate::diagnostic::{Diagnostic, Report};
use crate::plan::{
    Bound, BoundOperation, Given, Input, Made, Operand, Operation, OperationDraft, OperationError, Origin,
    OutputType, Reads, TensorType,
};
use crate::spec::document::Reader;
use crate::tensor::{DType, Tensor};
use serde_json::json;
use std::sync::Arc;

#[derive(Debug)]
struct Draft {
    what: String,
    from: Vec<Operand>,
}

#[derive(Debug)]
struct First {
    /// The sources as they are written.
    names: Vec<Arc<str>>,
}

pub fn read(options: &mut Reader<'_>, report: &mut Report) -> Option<Box<dyn OperationDraft>> {
    let from = options::sources(options, Reads::IfThere, report);
    if let [only] = from.as_slice() {
        report.push(
            Diagnostic::error(format!("`first` in {} has one alternative only", options.what()))
                .at(&only.from.place, "")
                .help("name what takes its place where it is absent: `from = [\"a.output\", \"b.output\"]`"),
        );
    }
    Some(Box::new(Draft { what: options.what().to_owned(), from }))
}

impl OperationDraft for Draft {
    fn operands(&self) -> Vec<Operand> {
        self.from.clone()
    }

    fn outputs(&self) -> &'static [&'static str] {
        &["value", "source"]
    }

    fn always(&self, there: &[bool]) -> bool {
        there.contains(&true)
    }

    fn bind(&self, bound: &[Option<Bound>], report: &mut Report) -> Option<BoundOperation> {
        let bound: Vec<&Bound> = bound.iter().map(Option::as_ref).collect::<Option<_>>()?;
        let ty = self.common_type(&bound, report)?;
        self.of_no_use(&bound, report);
        let count = |bound: &Bound| bound.labels.as_ref().map(|(_, count)| *count);
        let labelled = bound.iter().all(|other| count(other).is_some() && count(other) == count(bound[0]));
        let names = self.from.iter().map(|operand| operand.from.value.as_str().into()).collect();
        let text = TensorType { dtype: Some(DType::String), dims: Some(vec![]) };
        Some(BoundOperation {
            operation: Arc::new(First { names }),
            outputs: vec![OutputType { ty, labels: labelled.then_some(0) }, text.into()],
        })
    }
}

impl Draft {
    /// The type that all alternatives have: lengths that are not known of each of them stay open.
    fn common_type(&self, bound: &[&Bound], report: &mut Report) -> Option<TensorType> {
        let first = bound.first()?;
        let mut common = first.ty.clone();
        for other in &bound[1..] {
            if other.ty.mismatch(&first.ty).is_some() {
                report.push(
                    Diagnostic::error(format!("the alternatives of {} are of different types", self.what))
                        .at(&other.from.place, format!("this is {}", other.ty))
                        .at(&first.from.place, format!("this is {}", first.ty))
                        .help("whoever reads it must be able to take any of them"),
                );
                return None;
            }
            common.dtype = common.dtype.filter(|_| other.ty.dtype.is_some());
            common.dims = common
                .dims
                .zip(other.ty.dims.clone())
                .map(|(a, b)| a.into_iter().zip(b).map(|(a, b)| a.filter(|a| Some(*a) == b)).collect());
        }
        Some(common)
    }

    /// Alternatives after one that is always there are never taken.
    fn of_no_use(&self, bound: &[&Bound], report: &mut Report) {
        let certain = bound.iter().position(|bound| !bound.presence.maybe);
        if let Some(certain) = certain
            && let Some(after) = bound.get(certain + 1)
        {
            report.push(
                Diagnostic::error(format!("`{}` in {} is never taken", after.from.value, self.what))
                    .at(&after.from.place, "")
                    .at(&bound[certain].from.place, "this is always there")
                    .help("what is always there is the last alternative"),
            );
        }
    }
}

impl Operation for First {
    fn name(&self) -> &'static str {
        "first"
    }

    fn options(&self) -> serde_json::Value {
        json!({ "names": self.names.iter().map(|name| &**name).collect::<Vec<_>>() })
    }

    /// Nothing is copied.
    fn weight(&self, _: &[Input]) -> usize {
        0
    }

    fn run(&self, inputs: &[Input], _: Option<&Origin>) -> Result<Made, OperationError> {
        let there = inputs.iter().zip(&self.names).find_map(|(input, name)| match &input.given {
            Given::One(tensor) => Some((tensor.clone(), name.clone())),
            _ => None,
        });
        let Some((value, name)) = there else { return Ok(Made::Nothing) };
        let name = Tensor::from_strings(vec![], vec![name]);
        let name = name.map_err(|error| OperationError::Unforeseen(error.to_string()))?;
        Ok(Made::Values(vec![value, name]))
    }
}
