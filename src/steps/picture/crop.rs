//! `op = "crop"`: a box cut out of the picture that was sent, or all of it, prepared as an image decode prepares it.
//!
//! Edges are rounded to whole pixels and cut at the picture's, as Pillow's `crop` rounds them; what lies beyond is not
//! made up. A box of which nothing is left makes nothing: its step is skipped.

use super::options;
use super::options::corners;
use super::view::{view_of, view_type};
use crate::diagnostic::{At, Diagnostic, Report};
use crate::picture;
use crate::picture::frame::{Bounds, Frame, Rect, Space};
use crate::picture::prepare::Prepare;
use crate::plan::{
    Bound, BoundOperation, Cost, Input, Made, Operand, Operation, OperationDraft, OperationError, Origin,
};
use crate::spec::document::Reader;
use serde::Serialize;
use std::sync::Arc;

#[derive(Debug)]
struct Draft {
    bounds: Option<Operand>,
    on: Option<At<String>>,
    crop: Option<Arc<Crop>>,
}

#[derive(Debug, Serialize)]
struct Crop {
    prepare: Prepare,
    /// The share of its sides by which a box grows on each side.
    grow: f64,
}

pub fn read(options: &mut Reader<'_>, report: &mut Report) -> Option<Box<dyn OperationDraft>> {
    let whole = !options.has("box");
    let bounds = options::source("box", options, report);
    let on = options::on(options, report);
    let grow = options::share("grow", (-0.45, 10.0), options, report);
    if let (true, Some(grow)) = (whole, &grow) {
        report.push(
            Diagnostic::error("there is no box that could grow: all of the picture is taken")
                .at(&grow.place, "")
                .help("name the box that is cut out, `box = \"plate.box\"`, or leave out `grow`"),
        );
    }
    let prepare = picture::options::prepare(options, report);
    let crop = prepare.map(|prepare| Arc::new(Crop { prepare, grow: grow.map_or(0.0, |grow| grow.value) }));
    Some(Box::new(Draft { bounds, on, crop }))
}

impl OperationDraft for Draft {
    fn operands(&self) -> Vec<Operand> {
        self.bounds.iter().cloned().collect()
    }

    fn on(&self) -> Option<At<String>> {
        self.on.clone()
    }

    fn outputs(&self) -> &'static [&'static str] {
        &["image", "view"]
    }

    /// Of a box nothing may be left.
    fn always(&self, _: &[bool]) -> bool {
        self.bounds.is_none()
    }

    fn bind(&self, bound: &[Option<Bound>], report: &mut Report) -> Option<BoundOperation> {
        let operation = self.crop.clone()?;
        let fits = match bound.first() {
            None => true,
            Some(bounds) => options::holds(bounds.as_ref()?, 4, "box", report),
        };
        fits.then(|| {
            let outputs = vec![operation.prepare.produces().into(), view_type().into()];
            BoundOperation { operation, outputs }
        })
    }
}

impl Operation for Crop {
    fn name(&self) -> &'static str {
        "crop"
    }

    fn options(&self) -> serde_json::Value {
        serde_json::json!(self)
    }

    fn range(&self, _: usize) -> Option<(f64, f64)> {
        Some(self.prepare.normalise.range())
    }

    fn cost(&self, inputs: &[Input], picture: Option<&Origin>) -> Cost {
        let part = picture.and_then(|picture| self.part(picture, inputs).ok()?);
        part.map_or_else(Cost::default, |part| cost(&self.prepare, part))
    }

    fn run(&self, inputs: &[Input], picture: Option<&Origin>) -> Result<Made, OperationError> {
        let unforeseen = |what: String| OperationError::Unforeseen(what);
        let Some(picture) = picture else { return Err(unforeseen("crop takes a picture".into())) };
        let Some(part) = self.part(picture, inputs)? else {
            tracing::debug!("nothing of the box {inputs:?} lies in the picture");
            return Ok(Made::Nothing);
        };
        let cut = self.prepare.part(&picture.rgb, (picture.width, picture.height), part);
        let cut = cut.ok_or_else(|| unforeseen("the picture is not of its size".into()))?;
        let cut = cut.map_err(|error| unforeseen(error.to_string()))?;
        let view = view_of(&cut)?;
        Ok(Made::Values(vec![cut.tensor, view]))
    }
}

impl Crop {
    /// The pixels of the upright picture that a box takes, where one is read, or all; `None` where none are left.
    fn part(&self, picture: &Origin, inputs: &[Input]) -> Result<Option<Rect>, OperationError> {
        let frame = Frame::from(picture);
        let Some(input) = inputs.first() else {
            let (width, height) = frame.size(Space::Upright);
            return Ok(Bounds::new([0.0, 0.0, width.into(), height.into()]).pixels((width, height)));
        };
        let missing = || OperationError::Unforeseen("crop takes a box".into());
        let bounds = input.given.one().ok_or_else(missing)?;
        let upright = frame.bounds(corners(bounds)?, Space::Sent, Space::Upright);
        Ok(upright.grown(self.grow).pixels(frame.size(Space::Upright)))
    }
}

/// What it costs to cut out a part and to prepare it.
pub(super) fn cost(prepare: &Prepare, part: Rect) -> Cost {
    let pixels = u64::from(part.width) * u64::from(part.height);
    let (cut, kept) = (pixels * 3, prepare.tensor_bytes(pixels));
    let working = cut + prepare.working_bytes(pixels, part.height.into());
    Cost { weight: usize::try_from(cut.max(kept)).unwrap_or(usize::MAX), working, kept }
}
