//! `op = "scale"`: each number times `factor`, plus `offset`. Of integers it makes float32. Pure.

use super::draft::{VALUE, of_one};
use super::element::{numbers, of_floats};
use super::shape::{a_number, one};
use super::{Compute, Misfit};
use crate::diagnostic::{Diagnostic, Report};
use crate::plan::{OperationDraft, TensorType};
use crate::spec::document::Reader;
use crate::tensor::{DType, Tensor};
use serde::Serialize;

pub fn read(options: &mut Reader<'_>, report: &mut Report) -> Option<Box<dyn OperationDraft>> {
    of_one("scale", VALUE, options, report, Scale::read)
}

#[derive(Debug, Serialize)]
pub struct Scale {
    pub factor: f64,
    pub offset: f64,
}

impl Scale {
    pub fn read(reader: &mut Reader<'_>, report: &mut Report) -> Option<Self> {
        let written = reader.has("factor") || reader.has("offset");
        let factor = reader.number("factor", report);
        let offset = reader.number("offset", report);
        if !written {
            report.push(
                Diagnostic::error(format!("{} has neither `factor` nor `offset`", reader.what()))
                    .at(reader.place(), "")
                    .help("each number becomes `number * factor + offset`"),
            );
            return None;
        }
        Some(Self { factor: factor.map_or(1.0, |f| f.value), offset: offset.map_or(0.0, |o| o.value) })
    }
}

/// Floats stay what they are.
pub(super) fn float_of(dtype: DType) -> DType {
    if dtype.is_float() { dtype } else { DType::F32 }
}

impl Compute for Scale {
    fn infer(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>, Misfit> {
        let ty = one(inputs)?;
        a_number(ty)?;
        Ok(vec![TensorType { dtype: ty.dtype.map(float_of), dims: ty.dims.clone() }])
    }

    fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, String> {
        let tensor = one(inputs)?;
        numbers(tensor)?;
        let values = tensor.to_f64().into_iter().map(|value| value * self.factor + self.offset);
        Ok(vec![of_floats(float_of(tensor.dtype()), tensor.shape().to_vec(), values)?])
    }
}
