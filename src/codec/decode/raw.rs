//! `format = "raw"`: the elements as they lie in memory, little-endian, in C order.

use crate::codec::options::{self, Shape};
use crate::codec::payload;
use crate::diagnostic::{Diagnostic, Report};
use crate::plan::{Decode, DecodeError, Decoded, Example, Mend, Payload, TensorType};
use crate::spec;
use crate::spec::document::Reader;
use crate::tensor::{DType, Tensor};
use serde::Serialize;
use std::sync::Arc;

#[derive(Debug, Serialize)]
struct RawDecode {
    /// The decode's name, after which the file in the example of a request is called.
    #[serde(skip)]
    name: String,
    dtype: DType,
    /// The shape, of which at most one axis is open: its length follows from that of the body.
    shape: Shape,
}

/// The options that decide what type the decode gives.
pub const DECIDE_TYPE: &[&str] = &["dtype", "shape"];

pub fn read(codec: &spec::Codec, options: &mut Reader<'_>, report: &mut Report) -> Option<Arc<dyn Decode>> {
    let dtype = options::dtype(options, report).map_or(DType::F32, |d| d.value);
    let shape = options::shape(options, report);
    options.require("shape", "bytes do not say their shape: `shape = [3, 64, 64]`");
    let shape = shape?;
    if shape.iter().filter(|d| d.is_none()).count() > 1 {
        report.push(
            Diagnostic::error(format!("`shape` in {} leaves more than one axis open", options.what()))
                .at(&shape.place, "")
                .help("give all lengths but one"),
        );
        return None;
    }
    if shape.contains(&None) && shape.contains(&Some(0)) {
        report.push(
            Diagnostic::error(format!(
                "`shape` in {} leaves an axis open that no body tells of",
                options.what()
            ))
            .at(&shape.place, "")
            .help("an axis of 0 leaves no bytes: give all lengths"),
        );
        return None;
    }
    Some(Arc::new(RawDecode { name: codec.name.value.clone(), dtype, shape: shape.value }))
}

impl Decode for RawDecode {
    fn format(&self) -> &'static str {
        "raw"
    }

    fn produces(&self) -> TensorType {
        TensorType { dtype: Some(self.dtype), dims: Some(self.shape.clone()) }
    }

    fn mend(&self, wanted: &TensorType) -> Vec<Mend> {
        options::mend_type(&self.produces(), wanted)
    }

    fn extensions(&self) -> &'static [&'static str] {
        &["bin", "raw"]
    }

    fn options(&self) -> serde_json::Value {
        options::canonical(self)
    }

    fn example(&self) -> Example {
        Example::File(format!("{}.bin", self.name))
    }

    fn decode(&self, payload: &Payload, _: bool) -> Result<Decoded, DecodeError> {
        let mut bytes = payload::binary_or_empty(payload, "raw elements")?;
        let known = self.shape.iter().flatten().fold(self.dtype.size(), |all, n| all.saturating_mul(*n));
        let wanted = || format!("{}{}", self.dtype, options::show_shape(&self.shape));
        let open = match self.shape.contains(&None) {
            false if bytes.len() == known => 1,
            false => {
                return Err(DecodeError::Invalid(format!(
                    "{} bytes, where {} takes {known}",
                    bytes.len(),
                    wanted()
                )));
            }
            true if bytes.len() % known == 0 => bytes.len() / known,
            true => {
                return Err(DecodeError::Invalid(format!(
                    "{} bytes, where {} takes a multiple of {known}",
                    bytes.len(),
                    wanted()
                )));
            }
        };
        if cfg!(target_endian = "big") && self.dtype.size() > 1 {
            let mut swapped = bytes.to_vec();
            swapped.chunks_exact_mut(self.dtype.size()).for_each(<[u8]>::reverse);
            bytes = swapped.into();
        }
        if self.dtype == DType::Bool && bytes.iter().any(|b| *b > 1) {
            return Err(DecodeError::Invalid("a bool is a byte of 0 or 1".into()));
        }
        let shape = self.shape.iter().map(|d| d.unwrap_or(open)).collect();
        let tensor = Tensor::from_bytes(self.dtype, shape, bytes)
            .map_err(|error| DecodeError::Invalid(error.to_string()))?;
        Ok(Decoded { tensor, origin: None })
    }
}
