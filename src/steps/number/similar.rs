//! `op = "similar"`: the nearest of known vectors by the cosine of the angle between them. Pure.
//!
//! The vectors are the rows of an array beside the model, and the lines of a text file are their names.

use super::Misfit;
use super::draft::refused;
use super::element::{Number, elements, floats, for_element};
use super::norm::length;
use super::shape::a_float;
use crate::diagnostic::{Diagnostic, Report};
use crate::plan::{
    Bound, BoundOperation, Given, Input, Made, Operand, Operation, OperationDraft, OperationError, Origin,
    Reads, TensorType,
};
use crate::spec::document::Reader;
use crate::steps::options::from;
use crate::tensor::{DType, Tensor};
use serde::Serialize;
use std::cmp::Ordering;
use std::sync::Arc;

pub fn read(options: &mut Reader<'_>, report: &mut Report) -> Option<Box<dyn OperationDraft>> {
    let from = from(options, Reads::One, report);
    options.require("index", "name an array beside the model, a vector in each row: `index = \"index.npy\"`");
    options.require(
        "names",
        "name a file beside the model, a name for each vector a line: `names = \"names.txt\"`",
    );
    let index = options.string("index", report);
    let names = options.string("names", report);
    if let Some(index) = index.as_ref().filter(|index| !index.ends_with(".npy")) {
        report.push(
            Diagnostic::error(format!("`index` in {} is no array", options.what()))
                .at(&index.place, "")
                .help("an array of NumPy is named `NAME.npy`"),
        );
        return None;
    }
    let top = options.integer("top", 1..=10_000, report);
    let similar = Similar { top: top.map_or(1, |top| top.value as usize) };
    let operands = from.zip(index.zip(names)).map(|(from, (index, names))| {
        let known = Operand { name: "index".into(), reads: Reads::Beside, file: Some(index), ..from.clone() };
        vec![Operand { file: Some(names), ..from }, known]
    });
    Some(Box::new(Draft { what: options.what().to_owned(), operands: operands.unwrap_or_default(), similar }))
}

#[derive(Clone, Copy, Debug, Serialize)]
pub struct Similar {
    /// How many; fewer where fewer are known.
    pub top: usize,
}

#[derive(Debug)]
struct Draft {
    what: String,
    /// What is looked up, and the index. None where an option has errors.
    operands: Vec<Operand>,
    similar: Similar,
}

impl OperationDraft for Draft {
    fn operands(&self) -> Vec<Operand> {
        self.operands.clone()
    }

    fn outputs(&self) -> &'static [&'static str] {
        &["names", "scores"]
    }

    fn bind(&self, bound: &[Option<Bound>], report: &mut Report) -> Option<BoundOperation> {
        let [Some(vector), Some(index)] = bound else { return None };
        let (names, count) = vector.labels.as_ref()?;
        let (file, rows) = index.labels.as_ref()?;
        if count != rows {
            report.push(
                Diagnostic::error(format!(
                    "`{}` has {rows} rows, `{}` has {count} names",
                    file.value, names.value
                ))
                .at(&names.place, format!("{count} names"))
                .at(&file.place, index.ty.to_string())
                .help("the file has one name a line, in the order of the rows"),
            );
            return None;
        }
        match self.similar.infer(&vector.ty, &index.ty) {
            Ok(types) => {
                let outputs = types.into_iter().map(Into::into).collect();
                Some(BoundOperation { operation: Arc::new(self.similar), outputs })
            }
            Err(misfit) => {
                report.push(refused("similar", &self.what, misfit, &[vector]));
                None
            }
        }
    }
}

impl Operation for Similar {
    fn name(&self) -> &'static str {
        "similar"
    }

    fn options(&self) -> serde_json::Value {
        serde_json::to_value(self).unwrap_or_default()
    }

    /// A cosine for each vector, and the vector that is looked up; the index is there anyhow.
    fn working_memory(&self, inputs: &[Input]) -> u64 {
        let rows =
            |input: &Input| input.given.one().and_then(|index| index.shape().first().copied()).unwrap_or(0);
        inputs.iter().map(|input| rows(input) as u64 * 24).sum()
    }

    fn run(&self, inputs: &[Input], _: Option<&Origin>) -> Result<Made, OperationError> {
        let [
            Input { given: Given::One(vector), labels: Some(names) },
            Input { given: Given::One(index), .. },
        ] = inputs
        else {
            return Err(OperationError::Unforeseen("similar takes a vector, an index and names".into()));
        };
        self.nearest(vector, index, names).map(Made::Values).map_err(OperationError::Input)
    }
}

impl Similar {
    /// The types of names and scores.
    pub fn infer(&self, vector: &TensorType, index: &TensorType) -> Result<Vec<TensorType>, Misfit> {
        a_float(vector)?;
        let (Some([rows, width]), Some(DType::F32 | DType::F64 | DType::F16)) =
            (index.dims.as_deref().and_then(|dims| dims.first_chunk()), index.dtype)
        else {
            return Err(Misfit::new(format!(
                "an index is a matrix of floats, a vector in each row, and this is {index}"
            )));
        };
        if let Some(dims) = &vector.dims
            && !matches!(dims.as_slice(), [length] if length.is_none() || width.is_none() || length == width)
        {
            let width = width.map_or("?".to_owned(), |width| width.to_string());
            return Err(Misfit::new(format!("the index has vectors of {width} elements")));
        }
        let several =
            |dtype| TensorType { dtype: Some(dtype), dims: Some(vec![rows.map(|rows| rows.min(self.top))]) };
        Ok(vec![several(DType::String), several(DType::F32)])
    }

    /// The names of the nearest, the nearest first, and their cosines. Of equally near ones the first; what is not a
    /// number is near to none.
    pub fn nearest(&self, vector: &Tensor, index: &Tensor, names: &[String]) -> Result<Vec<Tensor>, String> {
        let [rows, width] = *index.shape() else { return Err(format!("{index:?} is no index")) };
        if vector.shape() != [width] {
            return Err(format!("the index has vectors of {width} elements, and this is {vector:?}"));
        }
        if rows != names.len() || !index.dtype().is_float() {
            return Err(format!("{index:?} is no index of {} names", names.len()));
        }
        let mut query = floats(vector)?;
        let own = length(query.iter().copied());
        query.iter_mut().for_each(|x| *x /= own);
        let mut near: Vec<(usize, f64)> = for_element!(index.dtype(), T => {
            let known = elements::<T>(index);
            let cosine = |row: usize| {
                let known = &known[row * width..][..width];
                let (mut product, mut square) = (0.0, 0.0);
                for (x, y) in known.iter().map(|x| x.float()).zip(&query) {
                    product += x * y;
                    square += x * x;
                }
                // A vector of zeros has no direction, and the product is 0, or no number.
                if square == 0.0 { product } else { product / square.sqrt() }
            };
            (0..rows).map(|row| (row, cosine(row))).collect()
        });
        near.retain(|(_, cosine)| !cosine.is_nan());
        let compare = |a: &(usize, f64), b: &(usize, f64)| {
            b.1.partial_cmp(&a.1).unwrap_or(Ordering::Equal).then(a.0.cmp(&b.0))
        };
        near.sort_unstable_by(compare);
        near.truncate(self.top);
        let found =
            near.iter().filter_map(|(row, _)| names.get(*row).map(|name| name.as_str().into())).collect();
        let scores: Vec<f32> = near.iter().map(|(_, cosine)| *cosine as f32).collect();
        let found = Tensor::from_strings(vec![near.len()], found).map_err(|error| error.to_string())?;
        let scores = Tensor::from_vec(vec![near.len()], scores).map_err(|error| error.to_string())?;
        Ok(vec![found, scores])
    }
}
