//! Where a tensor lies in the picture: what a crop or a tile says of itself, for whatever finds something in it.
//!
//! A view is six numbers: left, top, width and height of the part of the upright picture that the tensor shows, then
//! its own width and height.

use crate::picture::frame::Frame;
use crate::picture::prepare::Prepared;
use crate::plan::{OperationError, Origin, Region, TensorType};
use crate::tensor::{DType, Tensor};

/// The type of a view.
pub fn view_type() -> TensorType {
    TensorType { dtype: Some(DType::F64), dims: Some(vec![Some(6)]) }
}

/// The view of what was cut.
pub fn view_of(prepared: &Prepared) -> Result<Tensor, OperationError> {
    let Region { left, top, width, height } = prepared.region;
    let (w, h) = prepared.input;
    let numbers = vec![left, top, width, height, w.into(), h.into()];
    Tensor::from_vec(vec![6], numbers).map_err(|error| OperationError::Unforeseen(error.to_string()))
}

/// How the tensor that a model was given lies in the picture: the decode's, or what a view says.
pub fn frame(picture: Option<&Origin>, view: Option<&Tensor>) -> Result<Frame, OperationError> {
    let unforeseen = |what: &str| OperationError::Unforeseen(what.to_owned());
    let frame = Frame::from(picture.ok_or_else(|| unforeseen("the picture is missing"))?);
    let Some(view) = view else { return Ok(frame) };
    let numbers = view.to_f64();
    let [left, top, width, height, w, h] = numbers[..] else {
        return Err(OperationError::Unforeseen(format!("{view:?} is no view")));
    };
    if !numbers.iter().all(|n| n.is_finite())
        || [width, height].iter().any(|n| *n <= 0.0)
        || w < 1.0
        || h < 1.0
    {
        return Err(OperationError::Input(format!("{numbers:?} is no view of a part of a picture")));
    }
    Ok(Frame { region: Region { left, top, width, height }, input: (w as u32, h as u32), ..frame })
}
