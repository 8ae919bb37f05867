//! The kernels on tensors of the CPU backend: what lies where in a tensor's memory, and what does not go with a
//! kernel.

use super::kernels::attention::{Attention, Head};
use super::kernels::matmul::{Activation, After, Batched, Operand, Packed, multiply};
use super::kernels::softmax;
use super::ops::broadcast;
use burn::tensor::{Bytes, DType, Shape, TensorData};
use burn_flex::FlexTensor;

/// Rows under which packing the right-hand side costs more than it brings.
const ROWS: usize = 4;

/// REQUIRES as many elements as the shape has.
pub fn from_vec(elements: Vec<f32>, shape: &[usize]) -> FlexTensor {
    from_bytes(Bytes::from_elems(elements), shape)
}

/// REQUIRES the bytes of as many float32.
pub fn from_bytes(bytes: Bytes, shape: &[usize]) -> FlexTensor {
    FlexTensor::from_data(TensorData::from_bytes(bytes, Shape::from(shape), DType::F32))
}

/// The tensor as one run of float32 that nothing else holds; copied only where it is not.
pub fn owned(x: FlexTensor) -> FlexTensor {
    let whole = x.is_contiguous()
        && x.layout().start_offset() == 0
        && x.bytes().len() == x.layout().num_elements() * size_of::<f32>();
    if whole { x } else { x.to_contiguous() }
}

/// The tensor, and its strides as numbers; copied where some are negative.
fn strided(x: &FlexTensor) -> (FlexTensor, Vec<usize>) {
    let x = if x.layout().has_positive_strides() { x.clone() } else { x.to_contiguous() };
    let strides = x.layout().strides().iter().map(|s| s.unsigned_abs()).collect();
    (x, strides)
}

/// As [`strided`], with the elements of the last axis side by side.
fn by_rows(x: &FlexTensor) -> (FlexTensor, Vec<usize>) {
    let (x, strides) = strided(x);
    if strides.last() == Some(&1) { (x, strides) } else { strided(&x.to_contiguous()) }
}

/// Where each matrix of a tensor begins when its leading axes are broadcast to `lead`.
///
/// REQUIRES that they can be.
fn starts(x: &FlexTensor, strides: &[usize], lead: &[usize]) -> Vec<usize> {
    let dims = x.layout().shape();
    let own = dims.num_dims().saturating_sub(2);
    let mut starts = vec![x.layout().start_offset()];
    for (axis, count) in lead.iter().enumerate() {
        let stride = match (axis + own).checked_sub(lead.len()) {
            Some(at) if dims[at] != 1 => strides[at],
            _ => 0,
        };
        starts = starts.iter().flat_map(|start| (0..*count).map(move |i| start + i * stride)).collect();
    }
    starts
}

/// A product of matrices, leading axes broadcast. `None` where the kernel is not for it.
///
/// REQUIRES ranks of two or more, and inner axes that agree.
pub fn matmul(a: &FlexTensor, b: &FlexTensor) -> Option<FlexTensor> {
    if a.dtype() != DType::F32 || b.dtype() != DType::F32 {
        return None;
    }
    let (left, right) = (a.layout().shape().to_vec(), b.layout().shape().to_vec());
    let ([outer_a @ .., rows, inner], [outer_b @ .., height, columns]) = (&left[..], &right[..]) else {
        return None;
    };
    if inner != height || *rows < ROWS {
        return None;
    }
    let lead = broadcast::shape(outer_a, outer_b).ok()?;
    let ((a, a_strides), (b, b_strides)) = (by_rows(a), strided(b));
    let (a_starts, b_starts) = (starts(&a, &a_strides, &lead), starts(&b, &b_strides, &lead));
    let product = Batched {
        a: Operand { elements: a.storage::<f32>(), starts: &a_starts, strides: last_two(&a_strides)? },
        b: Operand { elements: b.storage::<f32>(), starts: &b_starts, strides: last_two(&b_strides)? },
        rows: *rows,
        inner: *inner,
        columns: *columns,
    };
    Some(from_vec(product.run(), &[&lead[..], &[*rows, *columns]].concat()))
}

fn last_two(strides: &[usize]) -> Option<[usize; 2]> {
    strides.last_chunk::<2>().copied()
}

/// `activation(x · weights + bias + residual)`, the last axis of `x` being the inner one; `residual` has the shape
/// of the result. `None` where something is not float32 or does not fit.
pub fn multiply_packed(
    x: &FlexTensor,
    weights: &Packed,
    bias: Option<&[f32]>,
    residual: Option<&FlexTensor>,
    activation: Activation,
) -> Option<FlexTensor> {
    let dims = x.layout().shape().to_vec();
    let (inner, lead) = dims.split_last()?;
    let rows: usize = lead.iter().product();
    let x = x.to_contiguous();
    let residual = residual.map(FlexTensor::to_contiguous);
    let added = match &residual {
        Some(residual) => Some(residual.as_slice::<f32>()?),
        None => None,
    };
    let elements = x.as_slice::<f32>()?;
    if *inner != weights.inner() || added.is_some_and(|r| r.len() != rows * weights.columns()) {
        return None;
    }
    let mut out = vec![0.0; rows * weights.columns()];
    multiply(elements, rows, weights, After { bias, residual: added, activation }, &mut out);
    Some(from_vec(out, &[lead, &[weights.columns()]].concat()))
}

/// Softmax over the last axis; the tensor itself where it is not float32.
pub fn softmax(x: FlexTensor) -> Result<FlexTensor, FlexTensor> {
    if x.dtype() != DType::F32 {
        return Err(x);
    }
    let width = x.layout().shape().last().copied().unwrap_or(1);
    let mut x = owned(x);
    softmax::rows(x.storage_mut::<f32>(), width);
    Ok(x)
}

/// softmax(q · k · scale + mask) · v; `k` is `[.., size, keys]`. `None` where the kernel is not for it.
pub fn attention(
    q: &FlexTensor,
    k: &FlexTensor,
    v: &FlexTensor,
    mask: Option<&FlexTensor>,
    scale: f64,
    nowhere_is_zero: bool,
) -> Option<FlexTensor> {
    if [q, k, v].into_iter().chain(mask).any(|t| t.dtype() != DType::F32) {
        return None;
    }
    let dims = |t: &FlexTensor| t.layout().shape().to_vec();
    let (of_q, of_k, of_v) = (dims(q), dims(k), dims(v));
    let ([lead_q @ .., queries, size], [lead_k @ .., deep, keys], [lead_v @ .., long, width]) =
        (&of_q[..], &of_k[..], &of_v[..])
    else {
        return None;
    };
    if size != deep || keys != long || of_q.len() != of_k.len() || of_q.len() != of_v.len() {
        return None;
    }
    let lead = broadcast::shape(&broadcast::shape(lead_q, lead_k).ok()?, lead_v).ok()?;
    let ((q, q_strides), (k, k_strides), (v, v_strides)) = (by_rows(q), strided(k), strided(v));
    let mask = match mask {
        Some(mask) => Some(masked(mask, &lead, [*queries, *keys])?),
        None => None,
    };
    let (q_starts, k_starts) = (starts(&q, &q_strides, &lead), starts(&k, &k_strides, &lead));
    let v_starts = starts(&v, &v_strides, &lead);
    let heads: Vec<Head> = (0..q_starts.len())
        .map(|i| Head {
            q: q_starts[i],
            k: k_starts[i],
            v: v_starts[i],
            mask: mask.as_ref().map_or(0, |mask| mask.starts[i]),
        })
        .collect();
    let attention = Attention {
        heads: &heads,
        queries: *queries,
        keys: *keys,
        size: *size,
        width: *width,
        q: (q.storage::<f32>(), last_two(&q_strides)?[0]),
        k: (k.storage::<f32>(), last_two(&k_strides)?),
        v: (v.storage::<f32>(), last_two(&v_strides)?),
        mask: mask.as_ref().map(|mask| (mask.tensor.storage::<f32>(), mask.stride)),
        scale: scale as f32,
        nowhere_is_zero,
    };
    Some(from_vec(attention.run(), &[&lead[..], &[*queries, *width]].concat()))
}

struct Masked {
    tensor: FlexTensor,
    starts: Vec<usize>,
    /// From query to query: 0 where one row is for all.
    stride: usize,
}

/// `None` where it does not broadcast to the scores, or they to it.
fn masked(mask: &FlexTensor, lead: &[usize], [queries, keys]: [usize; 2]) -> Option<Masked> {
    let mut dims = mask.layout().shape().to_vec();
    while dims.len() < 2 {
        dims.insert(0, 1);
    }
    let [outer @ .., rows, columns] = &dims[..] else { return None };
    let fits = (*rows == queries || *rows == 1) && *columns == keys;
    if !fits || outer.len() > lead.len() || broadcast::shape(outer, lead).ok()? != lead {
        return None;
    }
    let (tensor, strides) = by_rows(&mask.reshape(Shape::from(&dims[..])));
    let stride = if *rows == 1 { 0 } else { last_two(&strides)?[0] };
    Some(Masked { starts: starts(&tensor, &strides, lead), tensor, stride })
}
