//! Operators that lay the same elements out in another shape, and the shape itself.

use super::{Call, Ruled, index};
use crate::engine::onnx::infer::dim::Dim;
use crate::engine::onnx::infer::fact::Fact;

pub fn reshape(call: &mut Call<'_, '_>) -> Ruled {
    let of_attribute = call.ints("shape").map(|ints| ints.into_iter().map(Dim::Fixed).collect());
    let shape: Option<Vec<Dim>> = of_attribute.or(call.fact(1).elements);
    let Some(shape) = shape else {
        // The length of the list is the rank.
        let rank = call.dims(1).and_then(|dims| dims.first().and_then(Dim::fixed)).filter(|rank| *rank < 64);
        return Ok(vec![Fact::of_dims(rank.map(|rank| vec![Dim::Unknown; rank]))]);
    };
    let given = call.dims(0);
    let zero_copies = call.int("allowzero", 0) == 0;
    let mut dims = Vec::with_capacity(shape.len());
    // What of the input is not copied as it is, and what of the output is not either.
    let (mut before, mut after) = (Dim::Fixed(1), Dim::Fixed(1));
    let mut left: Option<Vec<bool>> = given.as_ref().map(|given| vec![true; given.len()]);
    let mut rest = None;
    for (axis, length) in shape.iter().enumerate() {
        match length {
            Dim::Fixed(0) if zero_copies => {
                let copied = given.as_ref().map_or(Some(Dim::Unknown), |given| given.get(axis).cloned());
                dims.push(copied.ok_or_else(|| format!("axis {axis} is to be copied, and is not there"))?);
                if let Some(left) = left.as_mut().and_then(|left| left.get_mut(axis)) {
                    *left = false;
                }
            }
            Dim::Fixed(-1) => {
                rest = Some(axis);
                dims.push(Dim::Unknown);
            }
            Dim::Fixed(n) if *n < 0 => return Err(format!("a length of {n}")),
            length => {
                after = after.times(length);
                dims.push(length.clone());
            }
        }
    }
    match (&given, left) {
        (Some(given), Some(left)) => {
            for (length, _) in given.iter().zip(left).filter(|(_, left)| *left) {
                before = before.times(length);
            }
        }
        _ => before = Dim::Unknown,
    }
    match rest {
        Some(axis) => match before.over(&after) {
            Some(length) => dims[axis] = length,
            None => {
                if let (Dim::Fixed(all), Dim::Fixed(known)) = (&before, &after)
                    && *known != 0
                {
                    return Err(format!("{all} elements cannot be laid out in rows of {known}"));
                }
                dims[axis] = call.walk.symbols.divide(&before, &after);
            }
        },
        None if before.is_known() && after.is_known() => {
            call.equal(&before, &after).map_err(|_| {
                let symbols = &call.walk.symbols;
                format!(
                    "{} cannot be reshaped to {}",
                    symbols.show_all(given.as_deref().unwrap_or_default()),
                    symbols.show_all(&dims)
                )
            })?;
        }
        None => {}
    }
    // A list of one element and the single element itself are the same to what computes shapes.
    let elements = call.fact(0).elements.filter(|_| dims.len() <= 1);
    Ok(vec![Fact { elements, ..Fact::of_dims(dims) }])
}

pub fn flatten(call: &mut Call<'_, '_>) -> Ruled {
    let Some(dims) = call.dims(0) else { return Ok(vec![Fact::of_dims(vec![Dim::Unknown; 2])]) };
    let axis = call.int("axis", 1);
    let axis = if axis == dims.len() as i64 { Some(dims.len()) } else { index(axis, dims.len()) };
    let Some(axis) = axis else { return Err("its axis is not one of the input".into()) };
    let (before, after) = dims.split_at(axis);
    Ok(vec![Fact::of_dims(vec![Dim::product_of(before), Dim::product_of(after)])])
}

pub fn transpose(call: &mut Call<'_, '_>) -> Ruled {
    let Some(dims) = call.dims(0) else { return Ok(vec![]) };
    let perm = match call.ints("perm") {
        Some(perm) => perm.into_iter().map(|axis| index(axis, dims.len())).collect::<Option<Vec<_>>>(),
        None => Some((0..dims.len()).rev().collect()),
    };
    let perm = perm.filter(|perm| perm.len() == dims.len());
    let perm = perm.ok_or_else(|| format!("its perm is not one of {} axes", dims.len()))?;
    Ok(vec![Fact::of_dims(perm.into_iter().map(|axis| dims[axis].clone()).collect::<Vec<_>>())])
}

pub fn squeeze(call: &mut Call<'_, '_>) -> Ruled {
    let Some(dims) = call.dims(0) else { return Ok(vec![]) };
    let removed: Vec<usize> = match call.ints_at("axes", 1) {
        Some(None) => return Ok(vec![]),
        Some(Some(axes)) => axes
            .into_iter()
            .map(|axis| index(axis, dims.len()).ok_or_else(|| format!("axis {axis} of {}", dims.len())))
            .collect::<Result<_, _>>()?,
        None if dims.iter().all(|dim| matches!(dim, Dim::Fixed(_))) => {
            (0..dims.len()).filter(|axis| dims[*axis] == Dim::Fixed(1)).collect()
        }
        None => return Ok(vec![]),
    };
    for axis in &removed {
        call.equal(&dims[*axis], &Dim::Fixed(1))?;
    }
    let kept = (0..dims.len()).filter(|axis| !removed.contains(axis)).map(|axis| dims[axis].clone());
    Ok(vec![Fact { elements: call.fact(0).elements, ..Fact::of_dims(kept.collect::<Vec<_>>()) }])
}

pub fn unsqueeze(call: &mut Call<'_, '_>) -> Ruled {
    let (Some(mut dims), Some(Some(axes))) = (call.dims(0), call.ints_at("axes", 1)) else {
        return Ok(vec![]);
    };
    let rank = dims.len() + axes.len();
    let axes: Option<Vec<usize>> = axes.into_iter().map(|axis| index(axis, rank)).collect();
    let mut axes = axes.ok_or_else(|| format!("its axes are not among {rank}"))?;
    axes.sort_unstable();
    for axis in axes {
        dims.insert(axis.min(dims.len()), Dim::Fixed(1));
    }
    let elements = call.fact(0).elements.filter(|_| dims.len() <= 1);
    Ok(vec![Fact { elements, ..Fact::of_dims(dims) }])
}

pub fn expand(call: &mut Call<'_, '_>) -> Ruled {
    let (Some(dims), Some(shape)) = (call.dims(0), call.fact(1).elements) else { return Ok(vec![]) };
    Ok(vec![Fact::of_dims(call.broadcast(&dims, &shape)?)])
}

pub fn tile(call: &mut Call<'_, '_>) -> Ruled {
    let Some(dims) = call.dims(0) else { return Ok(vec![]) };
    let repeats = call.fact(1).elements.filter(|repeats| repeats.len() == dims.len());
    Ok(vec![Fact::of_dims(match repeats {
        Some(repeats) => dims.iter().zip(&repeats).map(|(dim, times)| dim.times(times)).collect(),
        None => vec![Dim::Unknown; dims.len()],
    })])
}

pub fn concat(call: &mut Call<'_, '_>) -> Ruled {
    let all: Option<Vec<Vec<Dim>>> = (0..call.inputs.len()).map(|input| call.dims(input)).collect();
    let elements: Option<Vec<Vec<Dim>>> = call.inputs.iter().map(|fact| fact.elements.clone()).collect();
    let elements = elements.map(|lists| lists.concat()).filter(|list| list.len() <= 64);
    // One input of known rank tells the rank of all.
    let some = call.inputs.iter().find_map(|fact| fact.dims.clone());
    let Some(mut dims) = all.as_ref().and_then(|all| all.first().cloned()).or(some) else {
        return Ok(vec![Fact { elements, ..Fact::default() }]);
    };
    let Some(axis) = index(call.int("axis", 1), dims.len()) else {
        return Err("its axis is not one of its inputs".into());
    };
    let Some(all) = all else {
        dims.fill(Dim::Unknown);
        return Ok(vec![Fact { elements, ..Fact::of_dims(dims) }]);
    };
    for other in &all[1..] {
        if other.len() != dims.len() {
            return Err(format!("inputs of {} and {} axes do not join", dims.len(), other.len()));
        }
        for at in 0..dims.len() {
            dims[at] = match at == axis {
                true => call.walk.symbols.add_dims(&dims[at], &other[at]),
                false => call.equal(&dims[at], &other[at])?,
            };
        }
    }
    let elements = elements.filter(|_| dims.len() == 1);
    Ok(vec![Fact { elements, ..Fact::of_dims(dims) }])
}

pub fn split(call: &mut Call<'_, '_>) -> Ruled {
    let Some(dims) = call.dims(0) else { return Ok(vec![]) };
    let axis = index(call.int("axis", 0), dims.len()).ok_or("its axis is not one of its input")?;
    let outputs = call.node.outputs.len();
    let whole = dims[axis].clone();
    let lengths: Vec<Dim> = match call.ints_at("split", 1) {
        Some(Some(lengths)) => lengths.into_iter().map(Dim::Fixed).collect(),
        Some(None) => call.fact(1).elements.unwrap_or_else(|| vec![Dim::Unknown; outputs]),
        None => {
            let count = call.int("num_outputs", outputs as i64).max(1);
            match whole {
                Dim::Fixed(n) => {
                    let part = (n + count - 1) / count;
                    (0..count).map(|i| Dim::Fixed((n - i * part).clamp(0, part))).collect()
                }
                ref whole => {
                    let part = whole.over(&Dim::Fixed(count)).unwrap_or(Dim::Unknown);
                    vec![part; outputs]
                }
            }
        }
    };
    let part = |length: &Dim| {
        let mut dims = dims.clone();
        dims[axis] = length.clone();
        Fact::of_dims(dims)
    };
    Ok(lengths.iter().map(part).collect())
}

pub fn pad(call: &mut Call<'_, '_>) -> Ruled {
    let Some(mut dims) = call.dims(0) else { return Ok(vec![]) };
    let pads = match call.ints("pads") {
        Some(pads) => Some(pads.into_iter().map(Dim::Fixed).collect()),
        None => call.fact(1).elements,
    };
    let axes: Option<Vec<usize>> = match call.has(3) {
        false => Some((0..dims.len()).collect()),
        true => {
            call.integers(3).and_then(|axes| axes.into_iter().map(|axis| index(axis, dims.len())).collect())
        }
    };
    let (Some(pads), Some(axes)) = (pads, axes) else {
        return Ok(vec![Fact::of_dims(vec![Dim::Unknown; dims.len()])]);
    };
    if pads.len() != 2 * axes.len() {
        return Err(format!("{} pads for {} axes", pads.len(), axes.len()));
    }
    let symbols = &mut call.walk.symbols;
    for (at, axis) in axes.iter().enumerate() {
        let added = symbols.add_dims(&pads[at], &pads[at + axes.len()]);
        dims[*axis] = symbols.add_dims(&dims[*axis], &added);
    }
    Ok(vec![Fact::of_dims(dims)])
}

pub fn depth_to_space(call: &mut Call<'_, '_>) -> Ruled {
    let (Some(dims), block) = (call.dims(0), Dim::Fixed(call.int("blocksize", 1))) else { return Ok(vec![]) };
    let [n, c, h, w] = &dims[..] else { return Err(format!("{} axes, and not 4", dims.len())) };
    let depth = call.walk.symbols.divide(c, &block.times(&block));
    Ok(vec![Fact::of_dims(vec![n.clone(), depth, h.times(&block), w.times(&block)])])
}

pub fn space_to_depth(call: &mut Call<'_, '_>) -> Ruled {
    let (Some(dims), block) = (call.dims(0), Dim::Fixed(call.int("blocksize", 1))) else { return Ok(vec![]) };
    let [n, c, h, w] = &dims[..] else { return Err(format!("{} axes, and not 4", dims.len())) };
    let symbols = &mut call.walk.symbols;
    let (height, width) = (symbols.divide(h, &block), symbols.divide(w, &block));
    Ok(vec![Fact::of_dims(vec![n.clone(), c.times(&block).times(&block), height, width])])
}

pub fn shape(call: &mut Call<'_, '_>) -> Ruled {
    let Some(dims) = call.dims(0) else { return Ok(vec![Fact::of_dims(vec![Dim::Unknown])]) };
    let rank = dims.len() as i64;
    let bound = |at: i64| (if at < 0 { at.saturating_add(rank) } else { at }).clamp(0, rank) as usize;
    let (start, end) = (bound(call.int("start", 0)), bound(call.int("end", rank)));
    Ok(vec![Fact::list(dims.get(start..end.max(start)).unwrap_or_default().to_vec())])
}

pub fn size(call: &mut Call<'_, '_>) -> Ruled {
    Ok(vec![Fact::scalar(call.dims(0).map_or(Dim::Unknown, |dims| Dim::product_of(&dims)))])
}
