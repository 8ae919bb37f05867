//! The declared types of a graph's inputs and outputs.

use super::element::{dtype, type_name};
use super::graph::{OutputType, ValueType};
use super::proto::{DimensionProto, HolderTypeProto, TypeProto, ValueInfoProto};
use crate::plan::{Dim, Port};
use crate::tensor::DType;

pub fn port(value: &ValueInfoProto) -> Result<Port, String> {
    let name = value.name.clone();
    let Some(declared) = &value.r#type else {
        return Ok(Port { name, declared: "unknown".into(), ..Port::default() });
    };
    let Some(tensor) = &declared.tensor_type else {
        let kind = if declared.sequence_type.is_some() {
            "sequence"
        } else if declared.map_type.is_some() {
            "map"
        } else if declared.optional_type.is_some() {
            "optional"
        } else {
            "unknown"
        };
        return Ok(Port { name, declared: kind.into(), ..Port::default() });
    };
    let dims = match &tensor.shape {
        None => None,
        Some(shape) => Some(
            shape.dim.iter().map(dim).collect::<Result<Vec<_>, _>>().map_err(|e| format!("{name:?}: {e}"))?,
        ),
    };
    let (dtype, declared) = (dtype(tensor.elem_type), type_name(tensor.elem_type));
    Ok(Port { name, dtype, declared, dims, ..Port::default() })
}

/// What a graph declares an output to be, as far as it does.
pub fn output_type(value: &ValueInfoProto) -> OutputType {
    let tensor = value.r#type.as_ref().and_then(|t| t.tensor_type.as_ref());
    let length = |d: &DimensionProto| d.dim_value.and_then(|n| usize::try_from(n).ok()).unwrap_or(0);
    let dims = tensor.and_then(|t| t.shape.as_ref()).map(|s| s.dim.iter().map(length).collect());
    OutputType { dtype: tensor.and_then(|t| dtype(t.elem_type)), dims: dims.unwrap_or_default() }
}

/// The type that a file declares of a value; `None` where it declares none that rserve has.
pub fn value_type(value: &ValueInfoProto) -> Option<ValueType> {
    let declared = value.r#type.as_ref()?;
    // A sequence may hold maps too, of which a tensor of scores is served.
    let held = |holder: &HolderTypeProto| tensor_dtype(holder.elem_type.as_deref()?);
    tensor_dtype(declared)
        .map(ValueType::Tensor)
        .or_else(|| Some(ValueType::Sequence(Some(held(declared.sequence_type.as_ref()?)?))))
        .or_else(|| Some(ValueType::Optional(Some(held(declared.optional_type.as_ref()?)?))))
}

fn tensor_dtype(declared: &TypeProto) -> Option<DType> {
    dtype(declared.tensor_type.as_ref()?.elem_type)
}

fn dim(dim: &DimensionProto) -> Result<Dim, String> {
    match (dim.dim_value, &dim.dim_param) {
        // Old exporters write a dynamic axis as -1.
        (Some(-1), _) => Ok(Dim::Unknown),
        (Some(value), _) => {
            usize::try_from(value).map(Dim::Fixed).map_err(|_| format!("{value} is not a dimension"))
        }
        (None, Some(name)) if !name.is_empty() => Ok(Dim::Named(name.clone())),
        (None, _) => Ok(Dim::Unknown),
    }
}
