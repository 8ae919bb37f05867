//! `op = "count"`: how many elements a list has; `op = "any"`: whether it has any.

use super::options;
use crate::diagnostic::Report;
use crate::plan::{
    Bound, BoundOperation, Given, Input, Made, Operand, Operation, OperationDraft, OperationError, Origin,
    Reads, TensorType,
};
use crate::spec::document::Reader;
use crate::tensor::{DType, Tensor};
use serde_json::json;
use std::sync::Arc;

#[derive(Clone, Copy, Debug)]
enum Counts {
    Number,
    Any,
}

#[derive(Debug)]
struct Draft {
    from: Option<Operand>,
    counts: Counts,
}

#[derive(Debug)]
struct Count(Counts);

pub fn read_count(options: &mut Reader<'_>, report: &mut Report) -> Option<Box<dyn OperationDraft>> {
    let from = options::from(options, Reads::Length, report);
    Some(Box::new(Draft { from, counts: Counts::Number }))
}

pub fn read_any(options: &mut Reader<'_>, report: &mut Report) -> Option<Box<dyn OperationDraft>> {
    let from = options::from(options, Reads::Length, report);
    Some(Box::new(Draft { from, counts: Counts::Any }))
}

impl OperationDraft for Draft {
    fn operands(&self) -> Vec<Operand> {
        self.from.iter().cloned().collect()
    }

    fn outputs(&self) -> &'static [&'static str] {
        &["value"]
    }

    fn bind(&self, bound: &[Option<Bound>], _: &mut Report) -> Option<BoundOperation> {
        bound.first()?.as_ref()?;
        let dtype = match self.counts {
            Counts::Number => DType::I64,
            Counts::Any => DType::Bool,
        };
        let ty = TensorType { dtype: Some(dtype), dims: Some(vec![]) };
        Some(BoundOperation { operation: Arc::new(Count(self.counts)), outputs: vec![ty.into()] })
    }
}

impl Operation for Count {
    fn name(&self) -> &'static str {
        match self.0 {
            Counts::Number => "count",
            Counts::Any => "any",
        }
    }

    fn options(&self) -> serde_json::Value {
        json!({})
    }

    fn run(&self, inputs: &[Input], _: Option<&Origin>) -> Result<Made, OperationError> {
        let Some(Given::Length(length)) = inputs.first().map(|input| &input.given) else {
            return Err(OperationError::Unforeseen(format!("{} takes one list", self.name())));
        };
        let made = match self.0 {
            Counts::Number => Tensor::from_vec(vec![], vec![i64::try_from(*length).unwrap_or(i64::MAX)]),
            Counts::Any => Tensor::from_bools(vec![], vec![*length > 0]),
        };
        let made = made.map_err(|error| OperationError::Unforeseen(error.to_string()))?;
        Ok(Made::Values(vec![made]))
    }
}
