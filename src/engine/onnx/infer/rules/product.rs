//! Products of matrices, and attention.

use super::{Call, Ruled, index};
use crate::engine::onnx::infer::dim::Dim;
use crate::engine::onnx::infer::fact::Fact;
use std::collections::HashMap;

pub fn mat_mul(call: &mut Call<'_, '_>) -> Ruled {
    let (a, b) = (call.dims(0), call.dims(1));
    product(call, a, b)
}

/// The product of two factors, each with its scale and zero point.
pub fn quantized(call: &mut Call<'_, '_>) -> Ruled {
    let (a, b) = (call.dims(0), call.dims(3));
    product(call, a, b)
}

pub fn fused_mat_mul(call: &mut Call<'_, '_>) -> Ruled {
    if call.int("transBatchA", 0) != 0 || call.int("transBatchB", 0) != 0 {
        return Ok(vec![]);
    }
    let flipped = |call: &Call<'_, '_>, input: usize, name: &str| {
        let mut dims = call.dims(input)?;
        if call.int(name, 0) != 0 && dims.len() > 1 {
            let last = dims.len() - 1;
            dims.swap(last - 1, last);
        }
        Some(dims)
    };
    let (a, b) = (flipped(call, 0, "transA"), flipped(call, 1, "transB"));
    product(call, a, b)
}

fn product(call: &mut Call<'_, '_>, a: Option<Vec<Dim>>, b: Option<Vec<Dim>>) -> Ruled {
    let (Some(mut a), Some(mut b)) = (a, b) else { return Ok(vec![]) };
    let (vector_a, vector_b) = (a.len() == 1, b.len() == 1);
    if vector_a {
        a.insert(0, Dim::Fixed(1));
    }
    if vector_b {
        b.push(Dim::Fixed(1));
    }
    let ([outer_a @ .., rows, inner], [outer_b @ .., height, columns]) = (&a[..], &b[..]) else {
        return Err("a factor has no axis".into());
    };
    call.equal(inner, height)?;
    let mut dims = call.broadcast(outer_a, outer_b)?;
    dims.extend(Some(rows.clone()).filter(|_| !vector_a));
    dims.extend(Some(columns.clone()).filter(|_| !vector_b));
    Ok(vec![Fact::of_dims(dims)])
}

pub fn gemm(call: &mut Call<'_, '_>) -> Ruled {
    let (Some(a), Some(b)) = (call.dims(0), call.dims(1)) else { return Ok(vec![]) };
    let ([rows, inner], [height, columns]) = (&a[..], &b[..]) else {
        return Err("a factor is no matrix".into());
    };
    let (rows, inner) = if call.int("transA", 0) != 0 { (inner, rows) } else { (rows, inner) };
    let (height, columns) = if call.int("transB", 0) != 0 { (columns, height) } else { (height, columns) };
    call.equal(inner, height)?;
    Ok(vec![Fact::of_dims(vec![rows.clone(), columns.clone()])])
}

/// An equation that names every axis; one with an ellipsis is not followed.
pub fn einsum(call: &mut Call<'_, '_>) -> Ruled {
    let equation: String = call.text("equation").chars().filter(|c| !c.is_whitespace()).collect();
    let (inputs, output) = match equation.split_once("->") {
        Some((inputs, output)) => (inputs, Some(output)),
        None => (equation.as_str(), None),
    };
    let mut lengths: HashMap<char, Dim> = HashMap::new();
    let mut all: Vec<char> = Vec::new();
    let mut open = 0;
    for (input, term) in inputs.split(',').enumerate() {
        let Some(dims) = call.dims(input) else { return Ok(vec![]) };
        let named = term.chars().filter(|c| *c != '.').count();
        let axes = dims.len().checked_sub(named).filter(|axes| *axes == 0 || term.contains("..."));
        let axes = axes.ok_or_else(|| {
            format!("input {input} has {} axes, where the equation has {term:?}", dims.len())
        })?;
        open = open.max(axes);
        let labels = labels(term, axes);
        for (label, dim) in labels.chars().zip(dims) {
            let length = match lengths.get(&label) {
                None => dim,
                Some(known) if *known == Dim::Fixed(1) => dim,
                Some(known) if dim == Dim::Fixed(1) => known.clone(),
                Some(known) => call.equal(&known.clone(), &dim)?,
            };
            lengths.insert(label, length);
        }
        all.extend(labels.chars());
    }
    let output = match output {
        Some(output) if open > 0 && !output.contains("...") => {
            return Err("the result lacks the axes that the ellipsis of an input stands for".to_owned());
        }
        Some(output) => labels(output, open),
        None => {
            let mut once: Vec<char> = all.iter().copied().filter(char::is_ascii).collect();
            once.retain(|label| all.iter().filter(|other| *other == label).count() == 1);
            once.sort_unstable();
            labels("...", open).chars().chain(once).collect()
        }
    };
    let dims = output.chars().map(|label| lengths.get(&label).cloned()).collect::<Option<Vec<_>>>();
    Ok(vec![Fact::of_dims(dims)])
}

/// A label for each axis of a term whose ellipsis stands for `open` axes. Those are counted from the end, as they
/// broadcast.
fn labels(term: &str, open: usize) -> String {
    let dots: String = (0..open as u32).rev().filter_map(|at| char::from_u32(0xE000 + at)).collect();
    term.replacen("...", &dots, 1)
}

/// The standard's attention: `[batch, heads, length, size]`, or `[batch, length, heads · size]`.
pub fn attention(call: &mut Call<'_, '_>) -> Ruled {
    let (Some(q), Some(v)) = (call.dims(0), call.dims(2)) else { return Ok(vec![]) };
    let dims = match (&q[..], &v[..]) {
        ([batch, heads, length, _], [.., size]) => {
            Some(vec![batch.clone(), heads.clone(), length.clone(), size.clone()])
        }
        ([batch, length, _], [_, _, width]) => {
            let (heads, own) = (call.int("q_num_heads", 1), call.int("kv_num_heads", 1));
            let size = call.walk.symbols.divide(width, &Dim::Fixed(own.max(1)));
            Some(vec![batch.clone(), length.clone(), size.times(&Dim::Fixed(heads))])
        }
        _ => None,
    };
    Ok(vec![Fact::of_dims(dims)])
}

/// ONNX Runtime's attention over `[batch, length, width]`, whose weights hold those of queries, keys and values.
pub fn fused_attention(call: &mut Call<'_, '_>) -> Ruled {
    let (Some(x), Some(weights)) = (call.dims(0), call.dims(1)) else { return Ok(vec![]) };
    let ([batch, length, _], [_, all]) = (&x[..], &weights[..]) else { return Ok(vec![]) };
    let width = match call.ints("qkv_hidden_sizes").as_deref() {
        Some([_, _, width]) => Dim::Fixed(*width),
        _ => call.walk.symbols.divide(all, &Dim::Fixed(3)),
    };
    Ok(vec![Fact::of_dims(vec![batch.clone(), length.clone(), width])])
}

/// Ids `[batch, length]` to `[batch, length, width]`.
pub fn embed(call: &mut Call<'_, '_>) -> Ruled {
    let (Some(ids), Some(table)) = (call.dims(0), call.dims(2)) else { return Ok(vec![]) };
    let ([batch, length], [_, width]) = (&ids[..], &table[..]) else { return Ok(vec![]) };
    let dims = vec![batch.clone(), length.clone(), width.clone()];
    Ok(vec![Fact::of_dims(dims.clone()), Fact::of_dims(vec![batch.clone()]), Fact::of_dims(dims)])
}

pub fn determinant(call: &mut Call<'_, '_>) -> Ruled {
    let Some(dims) = call.dims(0) else { return Ok(vec![]) };
    let last = index(-2, dims.len()).ok_or("its input is no matrix")?;
    Ok(vec![Fact::of_dims(dims[..last].to_vec())])
}
