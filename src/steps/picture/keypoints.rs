//! `op = "keypoints"`: the points in a detector's row, in pixels of the picture that was sent.

use super::options;
use super::view::frame;
use crate::diagnostic::{At, Diagnostic, Report};
use crate::picture::detect::points::points;
use crate::plan::{
    Bound, BoundOperation, Input, Made, Operand, Operation, OperationDraft, OperationError, Origin, Reads,
    TensorType,
};
use crate::spec::document::Reader;
use crate::steps::options::from;
use crate::tensor::{DType, Tensor};
use serde::Serialize;
use std::sync::Arc;

#[derive(Debug)]
struct Draft {
    what: String,
    operands: Vec<Operand>,
    on: Option<At<String>>,
    keypoints: Arc<Keypoints>,
}

#[derive(Debug, Serialize)]
struct Keypoints {
    /// The numbers of one point: x, y and perhaps a score.
    values: usize,
    normalised: bool,
}

pub fn read(options: &mut Reader<'_>, report: &mut Report) -> Option<Box<dyn OperationDraft>> {
    let row = from(options, Reads::One, report);
    let view = options::source("view", options, report);
    let on = options::on(options, report);
    let values = options.integer("values", 2..=3, report).map_or(3, |values| values.value as usize);
    let normalised = options.bool("normalised", report).is_some_and(|n| n.value);
    // Without a row the view would be taken for it.
    let operands = row.into_iter().flat_map(|row| [Some(row), view.clone()]).flatten().collect();
    let what = options.what().to_owned();
    Some(Box::new(Draft { what, operands, on, keypoints: Arc::new(Keypoints { values, normalised }) }))
}

impl OperationDraft for Draft {
    fn operands(&self) -> Vec<Operand> {
        self.operands.clone()
    }

    fn on(&self) -> Option<At<String>> {
        self.on.clone()
    }

    fn turns_back(&self) -> bool {
        true
    }

    fn outputs(&self) -> &'static [&'static str] {
        &["points", "scores"]
    }

    fn bind(&self, bound: &[Option<Bound>], report: &mut Report) -> Option<BoundOperation> {
        let row = bound.first()?.as_ref()?;
        let views_fit = bound[1..].iter().flatten().all(|view| options::holds(view, 6, "view", report));
        let known =
            row.ty.dims.as_ref().and_then(|dims| dims.iter().copied().collect::<Option<Vec<usize>>>());
        let values = self.keypoints.values;
        let count = known.map(|dims| dims.iter().product::<usize>());
        if let Some(count) = count.filter(|count| !count.is_multiple_of(values)) {
            let d = Diagnostic::error(format!("{count} numbers are no points of {values} in {}", self.what))
                .at(&row.from.place, format!("this is {}", row.ty))
                .help("`values` says how many numbers a point has: 2, or 3 with a score");
            report.push(options::with_note(d, row));
            return None;
        }
        let count = count.map(|count| count / values);
        let ty = |dims: Vec<Option<usize>>| TensorType { dtype: Some(DType::F32), dims: Some(dims) };
        let outputs = vec![ty(vec![count, Some(2)]).into(), ty(vec![count]).into()];
        views_fit.then(|| BoundOperation { operation: self.keypoints.clone(), outputs })
    }
}

impl Operation for Keypoints {
    fn name(&self) -> &'static str {
        "keypoints"
    }

    fn options(&self) -> serde_json::Value {
        serde_json::json!(self)
    }

    fn run(&self, inputs: &[Input], picture: Option<&Origin>) -> Result<Made, OperationError> {
        let unforeseen = |what: String| OperationError::Unforeseen(what);
        let given = |at: usize| inputs.get(at).and_then(|input| input.given.one());
        let row = given(0).ok_or_else(|| unforeseen("keypoints take a row".into()))?;
        let frame = frame(picture, given(1))?;
        let found = points(row, self.values, self.normalised, &frame);
        let found = found.map_err(|error| OperationError::Input(error.to_string()))?;
        let places: Vec<f32> = found.iter().flat_map(|point| point.at.map(|edge| edge as f32)).collect();
        let scores: Vec<f32> = found.iter().map(|point| point.score).collect();
        let places = Tensor::from_vec(vec![found.len(), 2], places);
        let scores = Tensor::from_vec(vec![found.len()], scores);
        let both = places.and_then(|places| Ok(vec![places, scores?]));
        both.map(Made::Values).map_err(|error| unforeseen(error.to_string()))
    }
}
