//! `op = "masks"`: the mask of one box, at the size of the picture that was sent or at `size`.

use super::options;
use super::view::frame;
use crate::diagnostic::{At, Diagnostic, Report};
use crate::picture::detect::mask::Mask;
use crate::picture::frame::{Frame, Space};
use crate::plan::{
    Bound, BoundOperation, Cost, Input, Made, Operand, Operation, OperationDraft, OperationError, Origin,
    Reads, TensorType,
};
use crate::spec::document::Reader;
use crate::steps::options::from;
use crate::tensor::{DType, Tensor};
use serde::Serialize;
use std::sync::Arc;

/// What an operand is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
enum Role {
    /// The mask itself, or the coefficients of prototypes.
    From,
    Box,
    Prototypes,
    View,
}

#[derive(Debug)]
struct Draft {
    what: String,
    operands: Vec<Operand>,
    on: Option<At<String>>,
    masks: Arc<Masks>,
}

#[derive(Debug, Serialize)]
struct Masks {
    roles: Vec<Role>,
    /// Width and height; those of the picture where there are none.
    size: Option<(u32, u32)>,
    /// Whether a mask that is given holds logits.
    logits: bool,
    /// What is above it is within: true or false then, not 0 to 1.
    threshold: Option<f32>,
}

pub fn read(options: &mut Reader<'_>, report: &mut Report) -> Option<Box<dyn OperationDraft>> {
    options.require("box", "name the box that the mask belongs to: `box = \"plate.box\"`");
    let sources = [
        (Role::From, from(options, Reads::One, report)),
        (Role::Box, options::source("box", options, report)),
        (Role::Prototypes, options::source("prototypes", options, report)),
        (Role::View, options::source("view", options, report)),
    ];
    let on = options::on(options, report);
    let size = options::size(options, report);
    let logits = options.bool("logits", report);
    let threshold = options.number("threshold", report);
    if let (Some(logits), true) = (&logits, options.has("prototypes")) {
        report.push(
            Diagnostic::error(format!("`logits` in {} has no effect with `prototypes`", options.what()))
                .at(&logits.place, "")
                .note("sums of prototypes are logits"),
        );
    }
    let (roles, operands) = sources.into_iter().filter_map(|(role, source)| Some((role, source?))).unzip();
    let masks = Masks {
        roles,
        size: size.map(|size| size.value),
        logits: logits.is_some_and(|logits| logits.value),
        threshold: threshold.map(|threshold| threshold.value as f32),
    };
    let what = options.what().to_owned();
    Some(Box::new(Draft { what, operands, on, masks: Arc::new(masks) }))
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
        &["mask"]
    }

    fn bind(&self, bound: &[Option<Bound>], report: &mut Report) -> Option<BoundOperation> {
        let before = report.errors();
        for (role, bound) in self.masks.roles.iter().zip(bound) {
            match (role, bound.as_ref()?) {
                (Role::Box, bound) => _ = options::holds(bound, 4, "box", report),
                (Role::View, bound) => _ = options::holds(bound, 6, "view", report),
                _ => {}
            }
        }
        if !self.masks.roles.contains(&Role::From) || !self.masks.roles.contains(&Role::Box) {
            return None;
        }
        self.check_prototypes(bound, report);
        self.check_mask(bound, report);
        let dtype = if self.masks.threshold.is_some() { DType::Bool } else { DType::F32 };
        let (width, height) = self.masks.size.map(|(w, h)| (w as usize, h as usize)).unzip();
        let ty = TensorType { dtype: Some(dtype), dims: Some(vec![height, width]) };
        let operation = self.masks.clone();
        (report.errors() == before).then(|| BoundOperation { operation, outputs: vec![ty.into()] })
    }
}

impl Draft {
    /// Reports a mask by itself that has not the axes of one.
    fn check_mask(&self, bound: &[Option<Bound>], report: &mut Report) {
        if self.masks.roles.contains(&Role::Prototypes) {
            return;
        }
        let at = self.masks.roles.iter().position(|role| *role == Role::From);
        let Some(from) = at.and_then(|at| bound.get(at)?.as_ref()) else { return };
        let Some(dims) = &from.ty.dims else { return };
        let ones = dims.len().saturating_sub(2);
        if dims.len() < 2 || dims[..ones].iter().any(|length| length.is_some_and(|n| n != 1)) {
            let d = Diagnostic::error(format!("{} reads no mask, which has axes [H, W]", self.what))
                .at(&from.from.place, format!("this is {}", from.ty))
                .help("coefficients of a mask go with `prototypes`, the output that they weigh");
            report.push(options::with_note(d, from));
        }
    }

    /// Reports rows that do not have a coefficient for each prototype.
    fn check_prototypes(&self, bound: &[Option<Bound>], report: &mut Report) {
        let of = |role: Role| {
            let at = self.masks.roles.iter().position(|r| *r == role)?;
            bound.get(at)?.as_ref()
        };
        let (Some(row), Some(prototypes)) = (of(Role::From), of(Role::Prototypes)) else { return };
        let count = prototypes.ty.dims.as_ref().and_then(|dims| *dims.get(dims.len().checked_sub(3)?)?);
        let lengths =
            row.ty.dims.as_ref().and_then(|dims| dims.iter().copied().collect::<Option<Vec<usize>>>());
        let (Some(count), Some(length)) = (count, lengths.map(|all| all.iter().product::<usize>())) else {
            return;
        };
        if count != length {
            let d = Diagnostic::error(format!("{length} coefficients for {count} prototypes in {}", self.what))
                .at(&row.from.place, format!("this is {}", row.ty))
                .at(&prototypes.from.place, format!("this is {}", prototypes.ty))
                .help("`rest` of the step that finds the boxes says how many numbers at the end of a row are no scores");
            report.push(options::with_note(d, row));
        }
    }
}

impl Operation for Masks {
    fn name(&self) -> &'static str {
        "masks"
    }

    fn options(&self) -> serde_json::Value {
        serde_json::json!(self)
    }

    fn cost(&self, inputs: &[Input], picture: Option<&Origin>) -> Cost {
        let sent = picture.map_or((0, 0), |picture| Frame::from(picture).size(Space::Sent));
        let (width, height) = self.size.unwrap_or(sent);
        let (pixels, element) = (u64::from(width) * u64::from(height), size_of::<f32>() as u64);
        let read = self.weight(inputs);
        let kept = if self.threshold.is_some() { pixels } else { pixels * element };
        // The sum of the prototypes is no larger than one of them.
        let working = pixels * element + read as u64 + 64 * u64::from(width.saturating_add(height));
        Cost { weight: read.max(usize::try_from(pixels * element).unwrap_or(usize::MAX)), working, kept }
    }

    fn run(&self, inputs: &[Input], picture: Option<&Origin>) -> Result<Made, OperationError> {
        let unforeseen = |what: String| OperationError::Unforeseen(what);
        let given = |role: Role| {
            let at = self.roles.iter().position(|r| *r == role)?;
            inputs.get(at)?.given.one()
        };
        let (Some(from), Some(bounds)) = (given(Role::From), given(Role::Box)) else {
            return Err(unforeseen("masks take a row and a box".into()));
        };
        let bounds = options::corners(bounds)?;
        let frame = frame(picture, given(Role::View))?;
        let mask = match given(Role::Prototypes) {
            Some(prototypes) => Mask::of_prototypes(from, prototypes),
            None => Mask::given(from, self.logits),
        };
        let mask = mask.map_err(|error| OperationError::Input(error.to_string()))?;
        let size = self.size.unwrap_or_else(|| frame.size(Space::Sent));
        let values = mask.over_picture(bounds, &frame, size);
        let shape = vec![size.1 as usize, size.0 as usize];
        let made = match self.threshold {
            Some(threshold) => Tensor::from_bools(shape, values.iter().map(|v| *v > threshold).collect()),
            None => Tensor::from_vec(shape, values),
        };
        made.map(|mask| Made::Values(vec![mask])).map_err(|error| unforeseen(error.to_string()))
    }
}
