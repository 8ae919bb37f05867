//! `op = "tiles"`: the picture that was sent as a list of tiles of one size.

use super::crop::cost;
use super::options;
use super::view::{view_of, view_type};
use crate::diagnostic::{At, Report};
use crate::picture;
use crate::picture::frame::{Bounds, Frame, Space};
use crate::picture::prepare::Prepare;
use crate::picture::resize::Fit;
use crate::picture::tile::tiles;
use crate::plan::{
    Bound, BoundOperation, Cost, Input, Made, Operand, Operation, OperationDraft, OperationError, Origin,
    TensorType,
};
use crate::spec::document::Reader;
use crate::tensor::{DType, Tensor};
use serde::Serialize;
use std::sync::Arc;

#[derive(Debug)]
struct Draft {
    on: Option<At<String>>,
    top: usize,
    tiles: Option<Arc<Tiles>>,
}

#[derive(Debug, Serialize)]
struct Tiles {
    prepare: Prepare,
    /// Width and height of a tile, in pixels of the upright picture.
    size: (u32, u32),
    /// The least share of its sides that a tile has in common with its neighbours.
    overlap: f64,
    top: usize,
}

pub fn read(options: &mut Reader<'_>, report: &mut Report) -> Option<Box<dyn OperationDraft>> {
    let on = options::on(options, report);
    let overlap = options::share("overlap", (0.0, 0.9), options, report);
    let top = options::top(options, report);
    options.require("size", "say how large a tile is: `size = [640, 640]`");
    let fit_is_said = options.has("fit");
    let prepare = picture::options::prepare(options, report).and_then(|mut prepare| {
        let target = prepare.target.as_mut()?;
        // A picture smaller than a tile keeps its proportions.
        if !fit_is_said {
            target.fit = Fit::Contain;
        }
        let size = target.size;
        Some(Tiles { prepare, size, overlap: overlap.map_or(0.2, |overlap| overlap.value), top })
    });
    Some(Box::new(Draft { on, top, tiles: prepare.map(Arc::new) }))
}

impl OperationDraft for Draft {
    fn operands(&self) -> Vec<Operand> {
        vec![]
    }

    fn on(&self) -> Option<At<String>> {
        self.on.clone()
    }

    fn outputs(&self) -> &'static [&'static str] {
        &["image", "box", "view"]
    }

    fn makes_list(&self) -> Option<usize> {
        Some(self.top)
    }

    fn bind(&self, _: &[Option<Bound>], _: &mut Report) -> Option<BoundOperation> {
        let operation = self.tiles.clone()?;
        let bounds = TensorType { dtype: Some(DType::F32), dims: Some(vec![Some(4)]) };
        let outputs = vec![operation.prepare.produces().into(), bounds.into(), view_type().into()];
        Some(BoundOperation { operation, outputs })
    }
}

impl Operation for Tiles {
    fn name(&self) -> &'static str {
        "tiles"
    }

    fn options(&self) -> serde_json::Value {
        serde_json::json!(self)
    }

    fn cost(&self, _: &[Input], picture: Option<&Origin>) -> Cost {
        let Some(picture) = picture else { return Cost::default() };
        let size = (picture.width, picture.height);
        // What has too many is refused, which is no work.
        let parts = tiles(size, self.size, self.overlap, self.top).unwrap_or_default();
        let all = parts.iter().map(|part| cost(&self.prepare, *part));
        all.fold(Cost::default(), |sum, one| Cost {
            weight: sum.weight.saturating_add(one.weight),
            working: sum.working.max(one.working),
            kept: sum.kept.saturating_add(one.kept),
        })
    }

    fn run(&self, _: &[Input], picture: Option<&Origin>) -> Result<Made, OperationError> {
        let unforeseen = |what: String| OperationError::Unforeseen(what);
        let picture = picture.ok_or_else(|| unforeseen("tiles take a picture".into()))?;
        let frame = Frame::from(picture);
        let size = frame.size(Space::Upright);
        let parts = tiles(size, self.size, self.overlap, self.top).ok_or_else(|| {
            OperationError::Input(format!(
                "a picture of {}x{} has more than {} tiles of {}x{} (`top`)",
                size.0, size.1, self.top, self.size.0, self.size.1
            ))
        })?;
        let mut outputs = vec![vec![]; 3];
        for part in &parts {
            let tile = self.prepare.part(&picture.rgb, size, *part);
            let tile = tile.ok_or_else(|| unforeseen("the picture is not of its size".into()))?;
            let tile = tile.map_err(|error| unforeseen(error.to_string()))?;
            let sent = frame.bounds(Bounds::from(*part), Space::Upright, Space::Sent);
            let corners = sent.corners().map(|edge| edge as f32).to_vec();
            outputs[1]
                .push(Tensor::from_vec(vec![4], corners).map_err(|error| unforeseen(error.to_string()))?);
            outputs[2].push(view_of(&tile)?);
            outputs[0].push(tile.tensor);
        }
        Ok(Made::List { length: parts.len(), outputs })
    }
}
