//! Reductions along axes.

use super::{Call, Ruled, index};
use crate::engine::onnx::infer::dim::Dim;
use crate::engine::onnx::infer::fact::Fact;

pub fn reduce(call: &mut Call<'_, '_>) -> Ruled {
    let Some(dims) = call.dims(0) else { return Ok(vec![]) };
    let axes = match call.ints_at("axes", 1) {
        Some(None) if call.int("keepdims", 1) != 0 => {
            return Ok(vec![Fact::of_dims(vec![Dim::Unknown; dims.len()])]);
        }
        Some(None) => return Ok(vec![]),
        Some(Some(axes)) => axes,
        None => vec![],
    };
    let axes: Vec<usize> = match (axes.is_empty(), call.int("noop_with_empty_axes", 0) != 0) {
        (true, true) => return Ok(vec![Fact::of_dims(dims)]),
        (true, false) => (0..dims.len()).collect(),
        (false, _) => axes
            .into_iter()
            .map(|axis| index(axis, dims.len()).ok_or_else(|| format!("axis {axis} of {}", dims.len())))
            .collect::<Result<_, _>>()?,
    };
    let elements = product(call, dims.len());
    Ok(vec![Fact { elements, ..Fact::of_dims(without(call, dims, &axes)) }])
}

/// The product of a shape's lengths, which exporters compute to find how many elements there are.
fn product(call: &Call<'_, '_>, rank: usize) -> Option<Vec<Dim>> {
    let elements = call.fact(0).elements.filter(|_| rank == 1)?;
    match call.node.op.as_str() {
        "ReduceProd" => Some(vec![Dim::product_of(&elements)]),
        _ => None,
    }
}

fn without(call: &Call<'_, '_>, mut dims: Vec<Dim>, axes: &[usize]) -> Vec<Dim> {
    if call.int("keepdims", 1) != 0 {
        axes.iter().for_each(|axis| dims[*axis] = Dim::Fixed(1));
        return dims;
    }
    let kept = (0..dims.len()).filter(|axis| !axes.contains(axis));
    kept.map(|axis| dims[axis].clone()).collect()
}

pub fn arg(call: &mut Call<'_, '_>) -> Ruled {
    let Some(dims) = call.dims(0) else { return Ok(vec![]) };
    let axis = index(call.int("axis", 0), dims.len()).ok_or("its axis is not one of its input")?;
    Ok(vec![Fact::of_dims(without(call, dims, &[axis]))])
}
