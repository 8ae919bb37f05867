//! `op = "split"`: a list of the rows of a tensor. Pure.

use super::Misfit;
use super::draft::{VALUE, refused};
use super::shape::one;
use crate::diagnostic::Report;
use crate::plan::{
    Bound, BoundOperation, Given, Input, Made, Operand, Operation, OperationDraft, OperationError, Origin,
    OutputType, Reads, TensorType,
};
use crate::spec::document::Reader;
use crate::steps::options::from;
use crate::tensor::Tensor;
use serde::Serialize;
use std::sync::Arc;

/// The elements that a list has at most, unless the step says otherwise.
const TOP: i64 = 100;

pub fn read(options: &mut Reader<'_>, report: &mut Report) -> Option<Box<dyn OperationDraft>> {
    let from = from(options, Reads::One, report);
    let top = options.integer("top", 1..=10_000, report).map_or(TOP, |top| top.value);
    Some(Box::new(Draft { what: options.what().to_owned(), from, split: Split { top: top as usize } }))
}

#[derive(Debug)]
struct Draft {
    what: String,
    from: Option<Operand>,
    split: Split,
}

impl OperationDraft for Draft {
    fn operands(&self) -> Vec<Operand> {
        self.from.iter().cloned().collect()
    }

    fn outputs(&self) -> &'static [&'static str] {
        VALUE
    }

    fn makes_list(&self) -> Option<usize> {
        Some(self.split.top)
    }

    fn bind(&self, bound: &[Option<Bound>], report: &mut Report) -> Option<BoundOperation> {
        let bound = bound.first()?.as_ref()?;
        match self.split.infer(std::slice::from_ref(&bound.ty)) {
            Ok(ty) => {
                let labels = bound.labels.is_some().then_some(0);
                let operation = Arc::new(self.split);
                Some(BoundOperation { operation, outputs: vec![OutputType { ty, labels }] })
            }
            Err(misfit) => {
                report.push(refused("split", &self.what, misfit, &[bound]));
                None
            }
        }
    }
}

impl Operation for Split {
    fn name(&self) -> &'static str {
        "split"
    }

    fn options(&self) -> serde_json::Value {
        serde_json::to_value(self).unwrap_or_default()
    }

    /// Rows share the bytes of the tensor.
    fn weight(&self, _: &[Input]) -> usize {
        0
    }

    fn run(&self, inputs: &[Input], _: Option<&Origin>) -> Result<Made, OperationError> {
        let Some(Given::One(tensor)) = inputs.first().map(|input| &input.given) else {
            return Err(OperationError::Unforeseen("split takes one tensor".into()));
        };
        let rows = self.rows(tensor).map_err(OperationError::Input)?;
        Ok(Made::List { length: rows.len(), outputs: vec![rows] })
    }
}

/// A tensor as a list of its rows along the first axis.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Split {
    /// The most rows that there may be.
    pub top: usize,
}

impl Split {
    /// The type of a row.
    pub fn infer(&self, inputs: &[TensorType]) -> Result<TensorType, Misfit> {
        let ty = one(inputs)?;
        let Some(dims) = &ty.dims else { return Ok(TensorType { dtype: ty.dtype, dims: None }) };
        let (rows, row) = dims.split_first().ok_or_else(|| Misfit::new(NO_ROWS))?;
        if rows.is_some_and(|rows| rows > self.top) {
            return Err(Misfit::new(self.too_many(rows.unwrap_or(0)))
                .help("raise `top`, or take a part with `op = \"slice\"`"));
        }
        Ok(TensorType { dtype: ty.dtype, dims: Some(row.to_vec()) })
    }

    pub fn rows(&self, tensor: &Tensor) -> Result<Vec<Tensor>, String> {
        let rows = *tensor.shape().first().ok_or(NO_ROWS)?;
        if rows > self.top {
            return Err(self.too_many(rows));
        }
        Ok((0..rows).map_while(|row| tensor.row(row)).collect())
    }

    fn too_many(&self, rows: usize) -> String {
        format!("there are {rows} rows, and `top = {}` is the most", self.top)
    }
}

const NO_ROWS: &str = "one number has no rows";
