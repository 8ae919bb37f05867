//! The kernels on tensors of the CPU backend: what lies where in a tensor's memory, and what does not go with a
//! kernel.

use super::kernels::attention::{Attention, Head};
use super::kernels::elementwise;
use super::kernels::matmul::{Activation, After, Batched, Operand, Packed, multiply};
use super::kernels::memory::Floats;
use super::kernels::softmax;
use super::kernels::strided::{self, Binary, View};
use super::shape::broadcast;
use burn::tensor::{Bytes, DType, Element, Shape, TensorData};
use burn_flex::{FlexTensor, Layout};

/// Rows under which packing the right-hand side costs more than it brings.
const ROWS: usize = 4;

/// REQUIRES as many elements as the shape has.
pub fn from_vec(elements: Vec<f32>, shape: &[usize]) -> FlexTensor {
    from_bytes(Bytes::from_elems(elements), shape)
}

/// A tensor that `write` gives its elements, every one.
fn made(shape: &[usize], write: impl FnOnce(&mut [f32])) -> FlexTensor {
    let mut elements = Floats::new(shape.iter().product());
    write(&mut elements);
    from_bytes(elements.into_bytes(), shape)
}

/// REQUIRES the bytes of as many float32.
pub fn from_bytes(bytes: Bytes, shape: &[usize]) -> FlexTensor {
    FlexTensor::from_data(TensorData::from_bytes(bytes, Shape::from(shape), DType::F32))
}

/// The tensor as one run of elements in C order; copied only where it is not.
pub fn contiguous(x: &FlexTensor) -> FlexTensor {
    let layout = x.layout();
    if is_whole(x) || !layout.has_positive_strides() || layout.num_elements() == 0 {
        return x.to_contiguous();
    }
    let dims = layout.shape().to_vec();
    let strides: Vec<usize> = layout.strides().iter().map(|s| s.unsigned_abs()).collect();
    let start = layout.start_offset();
    match x.dtype() {
        DType::F32 => made(&dims, |out| strided::copy(view(x, start, &strides), &dims, out)),
        DType::I64 => {
            let elements = x.storage::<i64>();
            let mut copied = vec![0; layout.num_elements()];
            strided::copy(View { elements, start, strides: &strides }, &dims, &mut copied);
            FlexTensor::from_data(TensorData::new(copied, dims))
        }
        _ => x.to_contiguous(),
    }
}

fn view<'a>(x: &'a FlexTensor, start: usize, strides: &'a [usize]) -> View<'a, f32> {
    View { elements: x.storage::<f32>(), start, strides }
}

/// Whether it is one run of elements in C order, and its memory holds nothing else.
fn is_whole(x: &FlexTensor) -> bool {
    x.is_contiguous() && x.layout().start_offset() == 0 && holds_nothing_else(x)
}

fn holds_nothing_else(x: &FlexTensor) -> bool {
    x.bytes().len() == x.layout().num_elements() * x.dtype().size()
}

/// The elements in C order, to be written over; copied only where they are not one run or are another tensor's too.
/// `None` where they are not float32.
pub fn whole_mut(x: &mut FlexTensor) -> Option<&mut [f32]> {
    if x.dtype() != DType::F32 {
        return None;
    }
    if !is_whole(x) {
        *x = contiguous(x);
    }
    Some(x.storage_mut::<f32>())
}

/// The tensor so that what is done to every element of its memory is done to each of its own once.
pub fn dense(x: FlexTensor) -> FlexTensor {
    if is_dense(&x) { x } else { contiguous(&x) }
}

fn is_dense(x: &FlexTensor) -> bool {
    let layout = x.layout();
    let mut axes: Vec<(usize, usize)> = (layout.strides().iter().zip(layout.shape().iter()))
        .filter(|(_, size)| **size != 1)
        .map(|(stride, size)| (stride.unsigned_abs(), *size))
        .collect();
    axes.sort_unstable();
    let mut next = 1;
    let packed = axes.into_iter().all(|(stride, size)| {
        let fits = stride == next;
        next *= size;
        fits
    });
    packed && layout.start_offset() == 0 && layout.has_positive_strides() && holds_nothing_else(x)
}

/// Elements from which on a function of each is given some of them at a time, and how many.
const LONG: usize = 1 << 20;
const SOME: usize = 1 << 16;

/// The tensor that `f` makes, which looks at each element by itself and gives one of the same type.
pub fn each(x: FlexTensor, f: &(dyn Fn(FlexTensor) -> FlexTensor + Sync)) -> FlexTensor {
    if x.layout().num_elements() < LONG {
        return f(x);
    }
    match x.dtype() {
        DType::F32 => in_pieces::<f32>(x, f),
        DType::F64 => in_pieces::<f64>(x, f),
        DType::F16 => in_pieces::<half::f16>(x, f),
        DType::BF16 => in_pieces::<half::bf16>(x, f),
        _ => f(x),
    }
}

fn in_pieces<E: Element + bytemuck::Pod>(
    x: FlexTensor,
    f: &(dyn Fn(FlexTensor) -> FlexTensor + Sync),
) -> FlexTensor {
    let mut x = dense(x);
    elementwise::in_pieces(x.storage_mut::<E>(), SOME, &|elements| {
        let y = contiguous(&f(FlexTensor::from_data(TensorData::new(elements.to_vec(), [elements.len()]))));
        elements.copy_from_slice(y.storage::<E>());
    });
    x
}

/// The tensor in another shape: a view where its elements lie so that there is one.
///
/// REQUIRES as many elements.
pub fn reshape(x: FlexTensor, shape: &[usize]) -> FlexTensor {
    match view_strides(&x, shape) {
        Some(strides) => {
            let layout = Layout::new(Shape::from(shape), strides, x.layout().start_offset());
            x.with_layout(layout)
        }
        None => contiguous(&x).reshape(Shape::from(shape)),
    }
}

/// The strides that the elements have in another shape, without a copy.
fn view_strides(x: &FlexTensor, shape: &[usize]) -> Option<Vec<isize>> {
    let layout = x.layout();
    if layout.num_elements() == 0 || !layout.has_positive_strides() {
        return None;
    }
    // Axes that run on, made one.
    let mut runs: Vec<(usize, isize)> = Vec::new();
    for (size, stride) in layout.shape().iter().zip(layout.strides()).filter(|(size, _)| **size != 1) {
        match runs.last_mut() {
            Some(last) if last.1 == stride * *size as isize => *last = (last.0 * size, *stride),
            _ => runs.push((*size, *stride)),
        }
    }
    // Each new axis is a part of one run, from the end.
    let mut strides = vec![1; shape.len()];
    let mut run = runs.pop().unwrap_or((1, 1));
    for (size, stride) in shape.iter().zip(&mut strides).rev() {
        if *size == 1 {
            continue;
        }
        if run.0 == 1 {
            run = runs.pop()?;
        }
        if !run.0.is_multiple_of(*size) {
            return None;
        }
        *stride = run.1;
        run = (run.0 / size, run.1 * *size as isize);
    }
    (run.0 == 1 && runs.is_empty()).then_some(strides)
}

/// Tensors after one another along an axis. `None` where they are not float32.
///
/// REQUIRES shapes that agree but for the axis.
pub fn cat(parts: &[FlexTensor], axis: usize) -> Option<FlexTensor> {
    let first = parts.first().filter(|_| parts.iter().all(|part| part.dtype() == DType::F32))?;
    let mut dims = first.layout().shape().to_vec();
    dims[axis] = parts.iter().map(|part| part.layout().shape()[axis]).sum();
    let whole: Vec<FlexTensor> = parts.iter().map(contiguous).collect();
    let inner: usize = dims[axis + 1..].iter().product();
    let rows: Vec<(&[f32], usize)> =
        whole.iter().map(|part| (part.storage::<f32>(), part.layout().shape()[axis] * inner)).collect();
    Some(made(&dims, |out| strided::join(&rows, dims[..axis].iter().product(), out)))
}

/// Whether it is for [`binary`].
pub fn is_plain(x: &FlexTensor) -> bool {
    x.dtype() == DType::F32 && x.layout().has_positive_strides()
}

/// A function of two tensors whose shapes are the same. REQUIRES that both are plain.
pub fn binary(op: Binary, a: FlexTensor, b: FlexTensor) -> FlexTensor {
    let dims = a.layout().shape().to_vec();
    let free = |x: &FlexTensor| x.is_unique() && is_whole(x);
    let (mut a, b) = match op {
        Binary::Add | Binary::Mul if !free(&a) && free(&b) => (b, a),
        _ => (a, b),
    };
    let ((_, a_strides), (_, b_strides)) = (strided(&a), strided(&b));
    let (a_start, b_start) = (a.layout().start_offset(), b.layout().start_offset());
    if free(&a) {
        strided::binary_into(op, a.storage_mut::<f32>(), view(&b, b_start, &b_strides), &dims);
        return a;
    }
    let (a, b) = (view(&a, a_start, &a_strides), view(&b, b_start, &b_strides));
    made(&dims, |out| strided::binary(op, a, b, &dims, out))
}

/// A function of a tensor and a number, in place. `None` where the tensor is not float32.
pub fn with_number(op: Binary, a: &mut FlexTensor, number: f32) -> Option<()> {
    if a.dtype() != DType::F32 {
        return None;
    }
    if !is_dense(a) {
        *a = contiguous(a);
    }
    let len = a.layout().num_elements();
    let number = View { elements: &[number], start: 0, strides: &[0] };
    strided::binary_into(op, a.storage_mut::<f32>(), number, &[len]);
    Some(())
}

/// The tensor, and its strides as numbers; copied where some are negative.
fn strided(x: &FlexTensor) -> (FlexTensor, Vec<usize>) {
    let x = if x.layout().has_positive_strides() { x.clone() } else { contiguous(x) };
    let strides = x.layout().strides().iter().map(|s| s.unsigned_abs()).collect();
    (x, strides)
}

/// Gives what [`strided`] does, with the elements of the last axis side by side.
fn by_rows(x: &FlexTensor) -> (FlexTensor, Vec<usize>) {
    let (x, strides) = strided(x);
    if strides.last() == Some(&1) { (x, strides) } else { strided(&contiguous(&x)) }
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
    let lead = broadcast(outer_a, outer_b).ok()?;
    let ((a, a_strides), (b, b_strides)) = (by_rows(a), strided(b));
    let (a_starts, b_starts) = (starts(&a, &a_strides, &lead), starts(&b, &b_strides, &lead));
    let product = Batched {
        a: Operand { elements: a.storage::<f32>(), starts: &a_starts, strides: last_two(&a_strides)? },
        b: Operand { elements: b.storage::<f32>(), starts: &b_starts, strides: last_two(&b_strides)? },
        rows: *rows,
        inner: *inner,
        columns: *columns,
    };
    Some(made(&[&lead[..], &[*rows, *columns]].concat(), |out| product.run(out)))
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
    let x = contiguous(x);
    let residual = residual.map(contiguous);
    let added = match &residual {
        Some(residual) => Some(residual.as_slice::<f32>()?),
        None => None,
    };
    let elements = x.as_slice::<f32>()?;
    if *inner != weights.inner() || added.is_some_and(|r| r.len() != rows * weights.columns()) {
        return None;
    }
    let shape = [lead, &[weights.columns()]].concat();
    let after = After { bias, residual: added, activation };
    Some(made(&shape, |out| multiply(elements, rows, weights, after, out)))
}

/// Softmax over the last axis, in place. `None` where the tensor is not float32.
pub fn softmax(x: &mut FlexTensor) -> Option<()> {
    let width = x.layout().shape().last().copied().unwrap_or(1);
    softmax::rows(whole_mut(x)?, width);
    Some(())
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
    let lead = broadcast(&broadcast(lead_q, lead_k).ok()?, lead_v).ok()?;
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
    Some(made(&[&lead[..], &[*queries, *width]].concat(), |out| attention.run(out)))
}

struct Masked {
    tensor: FlexTensor,
    starts: Vec<usize>,
    /// The distance from query to query; 0 where one row is for all.
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
    if !fits || outer.len() > lead.len() || broadcast(outer, lead).ok()? != lead {
        return None;
    }
    let (tensor, strides) = by_rows(&mask.reshape(Shape::from(&dims[..])));
    let stride = if *rows == 1 { 0 } else { last_two(&strides)?[0] };
    Some(Masked { starts: starts(&tensor, &strides, lead), tensor, stride })
}
