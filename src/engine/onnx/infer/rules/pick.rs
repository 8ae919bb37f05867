//! Operators that take elements out of a tensor: by place, by index, or by what their values are.

use super::{Call, Ruled, index};
use crate::engine::onnx::infer::dim::Dim;
use crate::engine::onnx::infer::fact::Fact;

pub fn slice(call: &mut Call<'_, '_>) -> Ruled {
    let Some(mut dims) = call.dims(0) else { return Ok(vec![]) };
    let bounds = |call: &Call<'_, '_>, name: &str, input: usize| -> Option<Vec<Dim>> {
        let of_attribute = call.ints(name).map(|ints| ints.into_iter().map(Dim::Fixed).collect());
        of_attribute.or(call.fact(input).elements)
    };
    let (starts, ends) = (bounds(call, "starts", 1), bounds(call, "ends", 2));
    let count = starts.as_ref().or(ends.as_ref()).map(Vec::len);
    let count = count.or_else(|| call.dims(1)?.first()?.fixed());
    let axes = match call.ints_at("axes", 3) {
        Some(axes) => axes,
        None => count.map(|count| (0..count as i64).collect()),
    };
    let steps = match call.has(4) {
        true => call.integers(4),
        false => count.map(|count| vec![1; count]),
    };
    let axes =
        axes.and_then(|axes| axes.iter().map(|axis| index(*axis, dims.len())).collect::<Option<Vec<_>>>());
    let Some(axes) = axes else { return Ok(vec![Fact::of_dims(vec![Dim::Unknown; dims.len()])]) };
    let (Some(starts), Some(ends), Some(steps)) = (starts, ends, steps) else {
        axes.iter().for_each(|axis| dims[*axis] = Dim::Unknown);
        return Ok(vec![Fact::of_dims(dims)]);
    };
    if [starts.len(), ends.len(), steps.len()].iter().any(|len| *len != axes.len()) {
        return Err("its starts, ends, axes and steps differ in number".into());
    }
    let elements = listed(call, &axes, &starts, &ends, &steps);
    for (at, axis) in axes.into_iter().enumerate() {
        let length = length(call, &dims[axis], &starts[at], &ends[at], steps[at]);
        dims[axis] = length;
    }
    Ok(vec![Fact { elements, ..Fact::of_dims(dims) }])
}

/// The elements of a slice of a small list of integers.
fn listed(
    call: &Call<'_, '_>,
    axes: &[usize],
    starts: &[Dim],
    ends: &[Dim],
    steps: &[i64],
) -> Option<Vec<Dim>> {
    let all = call.fact(0).elements.filter(|_| call.fact(0).rank() == Some(1) && axes == [0])?;
    let ([Dim::Fixed(start)], [Dim::Fixed(end)], [step]) = (starts, ends, steps) else { return None };
    let (start, end) = clamped(all.len() as i64, *start, *end, *step);
    let mut picked = Vec::new();
    let mut at = start;
    while (*step > 0 && at < end) || (*step < 0 && at > end) {
        picked.push(all.get(usize::try_from(at).ok()?)?.clone());
        at = at.checked_add(*step)?;
    }
    Some(picked)
}

/// The bounds of a slice of an axis of that length, as ONNX cuts them to it.
fn clamped(length: i64, start: i64, end: i64, step: i64) -> (i64, i64) {
    let from_end = |at: i64| if at < 0 { at.saturating_add(length) } else { at };
    match step > 0 {
        true => (from_end(start).clamp(0, length), from_end(end).clamp(0, length)),
        false => (from_end(start).clamp(0, (length - 1).max(0)), from_end(end).clamp(-1, length - 1)),
    }
}

fn length(call: &mut Call<'_, '_>, whole: &Dim, start: &Dim, end: &Dim, step: i64) -> Dim {
    /// The least end that stands for the end of the axis, as exporters write it.
    const BEYOND: i64 = 1 << 31;
    let symbols = &mut call.walk.symbols;
    if let (Dim::Fixed(length), Dim::Fixed(start), Dim::Fixed(end)) = (whole, start, end) {
        let (first, last) = clamped(*length, *start, *end, step);
        let span = if step > 0 { last - first } else { first - last };
        return Dim::Fixed((span.max(0) as u64).div_ceil(step.unsigned_abs().max(1)) as i64);
    }
    let to_end = matches!(end, Dim::Fixed(end) if *end >= BEYOND - 1) || end.same(whole);
    match (start, end, step) {
        (Dim::Fixed(0), _, 1) if to_end => whole.clone(),
        (Dim::Fixed(-1), Dim::Fixed(end), -1) if *end <= 1 - BEYOND => whole.clone(),
        _ => {
            let parts = [whole.clone(), start.clone(), end.clone(), Dim::Fixed(step)];
            symbols.derived("slice", &parts)
        }
    }
}

pub fn gather(call: &mut Call<'_, '_>) -> Ruled {
    let (data, indices) = (call.fact(0), call.fact(1));
    let elements = match (&data.elements, indices.integers(), data.rank()) {
        (Some(all), Some(at), Some(1)) => {
            at.iter().map(|i| all.get(index(*i, all.len())?).cloned()).collect::<Option<Vec<_>>>()
        }
        _ => None,
    };
    let (Some(dims), Some(picked)) = (data.dims, indices.dims) else { return Ok(vec![]) };
    let axis = index(call.int("axis", 0), dims.len()).ok_or("its axis is not one of its input")?;
    let dims = [&dims[..axis], &picked, &dims[axis + 1..]].concat();
    Ok(vec![Fact { elements, ..Fact::of_dims(dims) }])
}

pub fn gather_elements(call: &mut Call<'_, '_>) -> Ruled {
    Ok(vec![Fact::of_dims(call.dims(1))])
}

pub fn gather_nd(call: &mut Call<'_, '_>) -> Ruled {
    let (Some(data), Some(indices)) = (call.dims(0), call.dims(1)) else { return Ok(vec![]) };
    let Some((depth, outer)) = indices.split_last() else { return Err("its indices have no axis".into()) };
    let Some(depth) = depth.fixed() else { return Ok(vec![]) };
    let batch = usize::try_from(call.int("batch_dims", 0)).unwrap_or(0);
    let inner = data.get(batch + depth..).ok_or("its indices are of more axes than its data")?;
    Ok(vec![Fact::of_dims([outer, inner].concat())])
}

pub fn compress(call: &mut Call<'_, '_>) -> Ruled {
    let found = call.walk.symbols.data();
    let Some(axis) = call.node.attributes.find_int("axis").ok().flatten().copied() else {
        return Ok(vec![Fact::of_dims(vec![found])]);
    };
    let Some(mut dims) = call.dims(0) else { return Ok(vec![]) };
    let axis = index(axis, dims.len()).ok_or("its axis is not one of its input")?;
    dims[axis] = found;
    Ok(vec![Fact::of_dims(dims)])
}

pub fn non_zero(call: &mut Call<'_, '_>) -> Ruled {
    let found = call.walk.symbols.data();
    Ok(vec![Fact::of_dims(vec![call.fact(0).rank().map_or(Dim::Unknown, Dim::from), found])])
}

pub fn suppress(call: &mut Call<'_, '_>) -> Ruled {
    let found = call.walk.symbols.data();
    Ok(vec![Fact::of_dims(vec![found, Dim::Fixed(3)])])
}

pub fn unique(call: &mut Call<'_, '_>) -> Ruled {
    let found = call.walk.symbols.data();
    let line = Fact::of_dims(vec![found.clone()]);
    let axis = call.node.attributes.find_int("axis").ok().flatten().copied();
    let (values, inverse) = match (axis, call.dims(0)) {
        (None, dims) => (line.clone(), dims.map(|dims| vec![Dim::product_of(&dims)])),
        (Some(_), None) => (Fact::default(), None),
        (Some(axis), Some(mut dims)) => {
            let axis = index(axis, dims.len()).ok_or("its axis is not one of its input")?;
            let whole = std::mem::replace(&mut dims[axis], found);
            (Fact::of_dims(dims), Some(vec![whole]))
        }
    };
    Ok(vec![values, line.clone(), Fact::of_dims(inverse), line])
}

pub fn top_k(call: &mut Call<'_, '_>) -> Ruled {
    let Some(mut dims) = call.dims(0) else { return Ok(vec![]) };
    let axis = index(call.int("axis", -1), dims.len()).ok_or("its axis is not one of its input")?;
    dims[axis] = match call.node.attributes.find_int("k") {
        Ok(Some(k)) => Dim::Fixed(*k),
        _ => match call.fact(1).elements.as_deref() {
            Some([k]) => k.clone(),
            _ => call.walk.symbols.data(),
        },
    };
    Ok(vec![Fact::of_dims(dims.clone()), Fact::of_dims(dims)])
}

pub fn one_hot(call: &mut Call<'_, '_>) -> Ruled {
    let Some(mut dims) = call.dims(0) else { return Ok(vec![]) };
    let depth = match call.fact(1).elements.as_deref() {
        Some([depth]) => depth.clone(),
        _ => Dim::Unknown,
    };
    let axis = index(call.int("axis", -1), dims.len() + 1).ok_or("its axis is not one of its output")?;
    dims.insert(axis, depth);
    Ok(vec![Fact { dtype: call.fact(2).dtype, ..Fact::of_dims(dims) }])
}
