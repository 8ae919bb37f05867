//! What the engine asks of a Burn backend, beyond Burn's own operations.
//!
//! A hook that every backend has is by default a form in Burn's operations, which CUDA takes; the CPU backend, whose
//! tensors are memory that this process sees, replaces those that it can do better. A hook that a backend may not have,
//! or not for what it is given, gives `None` then, and has changed nothing: whoever asks keeps the operands, and goes
//! on without it.

use super::flex::{self, from_bytes, from_vec};
use super::kernels::Activation;
use super::kernels::blocked;
use super::kernels::conv::Conv2d;
use super::kernels::elementwise::{self, Map};
use super::kernels::matmul::{self, Packed};
use super::kernels::memory::{self, Lines};
use super::kernels::norm;
use super::kernels::strided::Binary;
use burn::tensor::backend::Backend;
use burn::tensor::ops::{ActivationOps, FloatTensor, FloatTensorOps};
use burn::tensor::{TensorMetadata, get_device_settings};
use burn_flex::{Flex, FlexTensor};

/// A Burn backend, and the kernels that the engine has beside its operations.
pub trait Kernels: Backend {
    /// Whether a device tensor is memory of this process, so that the kernels can work on it.
    const ON_HOST: bool = false;

    /// Sees to it that what was asked for on this stream begins, without waiting for it.
    fn flush(_device: &Self::Device) -> Result<(), String> {
        Ok(())
    }

    /// A convolution with packed weights. `residual` has the shape of the result.
    ///
    /// `None` where the tensors are not float32 in our memory.
    fn conv2d_packed(
        _conv: &Conv2d,
        _x: &FloatTensor<Self>,
        _residual: Option<&FloatTensor<Self>>,
        _activation: Activation,
    ) -> Option<Result<FloatTensor<Self>, String>> {
        None
    }

    /// A tensor of that shape, computed from the elements of others.
    ///
    /// `None` where they are not memory of this process, or not float32.
    fn compute(
        _from: &[&FloatTensor<Self>],
        _shape: &[usize],
        _f: Compute<'_, Lines>,
    ) -> Option<Result<FloatTensor<Self>, String>> {
        None
    }

    /// Computes as [`Kernels::compute`] does, from a tensor that is not in blocks.
    fn compute_planes(
        _from: &[&FloatTensor<Self>],
        _shape: &[usize],
        _f: Compute<'_, Vec<f32>>,
    ) -> Option<Result<FloatTensor<Self>, String>> {
        None
    }

    /// Multiplies each plane of blocks by its own element of `scale`, which has one position in each, in place.
    fn scale_channels(_x: &mut FloatTensor<Self>, _scale: &FloatTensor<Self>) -> Option<()> {
        None
    }

    /// A function of each element.
    fn map(x: FloatTensor<Self>, map: Map) -> FloatTensor<Self> {
        map_in_burn::<Self>(x, map)
    }

    /// The tensor that `f` makes, which looks at each element by itself: of one that is long some elements at a time,
    /// so that it can be given up.
    fn each(x: FloatTensor<Self>, f: Each<'_, Self>) -> FloatTensor<Self> {
        f(x)
    }

    /// An activation of each element.
    fn activate(x: FloatTensor<Self>, activation: Activation) -> FloatTensor<Self> {
        activate_in_burn::<Self>(x, activation)
    }

    /// Normalises the last axes, `width` elements together, in one pass over memory and in place. `scale` and `bias`
    /// have as many elements.
    fn normalise_rows(
        _x: &mut FloatTensor<Self>,
        _width: usize,
        _epsilon: f64,
        _centred: bool,
        _scale: Option<&FloatTensor<Self>>,
        _bias: Option<&FloatTensor<Self>>,
    ) -> Option<()> {
        None
    }

    /// A function of two tensors whose shapes are the same.
    fn binary(op: Binary, a: FloatTensor<Self>, b: FloatTensor<Self>) -> FloatTensor<Self> {
        binary_in_burn::<Self>(op, a, b)
    }

    /// A function of every element and a number.
    fn with_number(op: Binary, a: FloatTensor<Self>, number: f64) -> FloatTensor<Self> {
        with_number_in_burn::<Self>(op, a, number)
    }

    /// The tensor with its elements in C order.
    fn contiguous(x: FloatTensor<Self>) -> FloatTensor<Self> {
        x
    }

    /// The elements in another shape. REQUIRES as many.
    fn reshape(x: FloatTensor<Self>, shape: &[usize]) -> FloatTensor<Self> {
        Self::float_reshape(x, shape.into())
    }

    /// Tensors after one another along an axis. REQUIRES shapes that agree but for it.
    fn cat(parts: Vec<FloatTensor<Self>>, axis: usize) -> FloatTensor<Self> {
        Self::float_cat(parts, axis)
    }

    /// A product of matrices, leading axes broadcast. REQUIRES as many axes of either, two or more.
    fn matmul(a: FloatTensor<Self>, b: FloatTensor<Self>) -> FloatTensor<Self> {
        Self::float_matmul(a, b)
    }

    /// A product with packed weights and what follows it. `residual` has the shape of the result.
    ///
    /// `None` where something is not float32 in our memory, or does not fit.
    fn multiply_packed(
        _x: &FloatTensor<Self>,
        _weights: &Packed,
        _bias: Option<&[f32]>,
        _residual: Option<&FloatTensor<Self>>,
        _activation: matmul::Activation,
    ) -> Option<FloatTensor<Self>> {
        None
    }

    /// softmax(q · k · scale + mask) · v; `k` is `[.., size, keys]`. `None` where that cannot be done in one.
    fn attend(
        _q: &FloatTensor<Self>,
        _k: &FloatTensor<Self>,
        _v: &FloatTensor<Self>,
        _mask: Option<&FloatTensor<Self>>,
        _scale: f64,
        _nowhere_is_zero: bool,
    ) -> Option<FloatTensor<Self>> {
        None
    }

    /// Softmax over the last axis.
    fn softmax_rows(x: FloatTensor<Self>) -> FloatTensor<Self> {
        let last = x.rank() - 1;
        Self::softmax(x, last)
    }

    /// What a function makes of the elements in C order; `None` where they are not float32 in our memory.
    fn with_elements<R>(_x: &FloatTensor<Self>, _f: &mut dyn FnMut(&[f32]) -> R) -> Option<R> {
        None
    }
}

/// Makes the elements of a tensor from those of others.
pub type Compute<'a, T> = &'a dyn Fn(&[&[f32]]) -> Result<T, String>;

/// A function of each element of a tensor by itself, in Burn's operations.
pub type Each<'a, B> = &'a (dyn Fn(FloatTensor<B>) -> FloatTensor<B> + Sync);

impl Kernels for Flex {
    const ON_HOST: bool = true;

    fn each(x: FlexTensor, f: Each<'_, Self>) -> FlexTensor {
        flex::each(x, f)
    }

    fn binary(op: Binary, a: FlexTensor, b: FlexTensor) -> FlexTensor {
        if flex::is_plain(&a) && flex::is_plain(&b) {
            flex::binary(op, a, b)
        } else {
            binary_in_burn::<Flex>(op, a, b)
        }
    }

    fn with_number(op: Binary, mut a: FlexTensor, number: f64) -> FlexTensor {
        match flex::with_number(op, &mut a, number as f32) {
            Some(()) => a,
            None => with_number_in_burn::<Flex>(op, a, number),
        }
    }

    fn contiguous(x: FlexTensor) -> FlexTensor {
        flex::contiguous(&x)
    }

    fn reshape(x: FlexTensor, shape: &[usize]) -> FlexTensor {
        flex::reshape(x, shape)
    }

    fn cat(parts: Vec<FlexTensor>, axis: usize) -> FlexTensor {
        flex::cat(&parts, axis).unwrap_or_else(|| Flex::float_cat(parts, axis))
    }

    fn matmul(a: FlexTensor, b: FlexTensor) -> FlexTensor {
        flex::matmul(&a, &b).unwrap_or_else(|| Flex::float_matmul(a, b))
    }

    fn multiply_packed(
        x: &FlexTensor,
        weights: &Packed,
        bias: Option<&[f32]>,
        residual: Option<&FlexTensor>,
        activation: matmul::Activation,
    ) -> Option<FlexTensor> {
        flex::multiply_packed(x, weights, bias, residual, activation)
    }

    fn attend(
        q: &FlexTensor,
        k: &FlexTensor,
        v: &FlexTensor,
        mask: Option<&FlexTensor>,
        scale: f64,
        nowhere_is_zero: bool,
    ) -> Option<FlexTensor> {
        flex::attention(q, k, v, mask, scale, nowhere_is_zero)
    }

    fn softmax_rows(mut x: FlexTensor) -> FlexTensor {
        match flex::softmax(&mut x) {
            Some(()) => x,
            None => {
                let last = x.rank() - 1;
                Flex::softmax(x, last)
            }
        }
    }

    fn with_elements<R>(x: &FlexTensor, f: &mut dyn FnMut(&[f32]) -> R) -> Option<R> {
        let x = flex::contiguous(x);
        x.as_slice::<f32>().map(f)
    }

    fn compute(
        from: &[&FlexTensor],
        shape: &[usize],
        f: Compute<'_, Lines>,
    ) -> Option<Result<FlexTensor, String>> {
        computed(from, f, |lines| from_bytes(memory::bytes(lines), shape))
    }

    fn compute_planes(
        from: &[&FlexTensor],
        shape: &[usize],
        f: Compute<'_, Vec<f32>>,
    ) -> Option<Result<FlexTensor, String>> {
        computed(from, f, |elements| from_vec(elements, shape))
    }

    fn scale_channels(x: &mut FlexTensor, scale: &FlexTensor) -> Option<()> {
        let scale = flex::contiguous(scale);
        let (planes, elements) = (scale.layout().num_elements(), x.layout().num_elements());
        let whole = planes.is_multiple_of(blocked::BLOCK) && elements.is_multiple_of(planes.max(1));
        let scales = scale.as_slice::<f32>().filter(|_| whole && planes > 0)?;
        let elements = elements / planes;
        blocked::scale_channels(flex::whole_mut(x)?, elements, blocked::view(scales));
        Some(())
    }

    fn conv2d_packed(
        conv: &Conv2d,
        x: &FlexTensor,
        residual: Option<&FlexTensor>,
        activation: Activation,
    ) -> Option<Result<FlexTensor, String>> {
        let x = flex::contiguous(x);
        let shape: [usize; 4] = x.layout().shape().as_slice().try_into().ok()?;
        let residual = residual.map(flex::contiguous);
        let added = match &residual {
            Some(residual) => Some(residual.as_slice::<f32>()?),
            None => None,
        };
        let out = match conv.output_size([shape[2], shape[3]]) {
            Some([height, width]) => [shape[0], conv.channels_out(), height, width],
            None => return Some(Err("the window does not fit".to_owned())),
        };
        let result = conv.run(x.as_slice::<f32>()?, shape, added, activation);
        Some(result.map(|elements| from_vec(elements, &out)).map_err(|e| e.to_string()))
    }

    fn map(x: FlexTensor, map: Map) -> FlexTensor {
        match x.dtype() {
            burn::tensor::DType::F32 => {}
            burn::tensor::DType::F64 => return map_in_burn::<Flex>(x, map),
            _ => return in_single(x, map),
        }
        let mut x = flex::dense(x);
        elementwise::apply(map, x.storage_mut::<f32>());
        x
    }

    fn activate(x: FlexTensor, activation: Activation) -> FlexTensor {
        if x.dtype() != burn::tensor::DType::F32 {
            return activate_in_burn::<Flex>(x, activation);
        }
        let mut x = flex::dense(x);
        elementwise::activate(activation, x.storage_mut::<f32>());
        x
    }

    fn normalise_rows(
        x: &mut FlexTensor,
        width: usize,
        epsilon: f64,
        centred: bool,
        scale: Option<&FlexTensor>,
        bias: Option<&FlexTensor>,
    ) -> Option<()> {
        let contiguous = |t: Option<&FlexTensor>| t.map(flex::contiguous);
        let (scale, bias) = (contiguous(scale), contiguous(bias));
        let (scale, bias) = (elements(&scale, width)?, elements(&bias, width)?);
        norm::rows(flex::whole_mut(x)?, width, epsilon as f32, centred, scale, bias);
        Some(())
    }
}

/// The elements of a tensor, if there is one; `None` where they are not so many float32.
fn elements(tensor: &Option<FlexTensor>, count: usize) -> Option<Option<&[f32]>> {
    match tensor {
        None => Some(None),
        Some(tensor) => tensor.as_slice::<f32>().filter(|s| s.len() == count).map(Some),
    }
}

fn binary_in_burn<B: Backend>(op: Binary, a: FloatTensor<B>, b: FloatTensor<B>) -> FloatTensor<B> {
    match op {
        Binary::Add => B::float_add(a, b),
        Binary::Sub => B::float_sub(a, b),
        Binary::Mul => B::float_mul(a, b),
        Binary::Div => B::float_div(a, b),
    }
}

fn with_number_in_burn<B: Backend>(op: Binary, a: FloatTensor<B>, number: f64) -> FloatTensor<B> {
    let number = number.into();
    match op {
        Binary::Add => B::float_add_scalar(a, number),
        Binary::Sub => B::float_sub_scalar(a, number),
        Binary::Mul => B::float_mul_scalar(a, number),
        Binary::Div => B::float_div_scalar(a, number),
    }
}

/// An activation in Burn's operations. Comparisons keep what is not a number, which Burn's own minimum and maximum lose
/// on some backends.
fn activate_in_burn<B: Kernels>(x: FloatTensor<B>, activation: Activation) -> FloatTensor<B> {
    let out = get_device_settings::<B>(&B::float_device(&x)).bool_dtype;
    let at_least = |x: FloatTensor<B>, bound: f64| {
        B::float_mask_fill(x.clone(), B::float_lower_elem(x, bound.into(), out), bound.into())
    };
    let at_most = |x: FloatTensor<B>, bound: f64| {
        B::float_mask_fill(x.clone(), B::float_greater_elem(x, bound.into(), out), bound.into())
    };
    let below_zero = |x: FloatTensor<B>, below: FloatTensor<B>| {
        B::float_mask_where(x.clone(), B::float_lower_elem(x, 0.0.into(), out), below)
    };
    match activation {
        Activation::None => x,
        Activation::Relu => at_least(x, 0.0),
        Activation::Clip { min, max } => at_most(at_least(x, min.into()), max.into()),
        Activation::Sigmoid => B::map(x, Map::Sigmoid),
        Activation::Silu => B::map(x, Map::Silu),
        Activation::HardSwish => B::map(x, Map::HardSwish),
        Activation::Tanh => B::map(x, Map::Tanh),
        Activation::LeakyRelu { alpha } => below_zero(x.clone(), B::float_mul_scalar(x, alpha.into())),
        Activation::ThresholdedRelu { alpha } => {
            let above = B::float_greater_elem(x.clone(), alpha.into(), out);
            B::float_mask_fill(x, B::bool_not(above), 0.0.into())
        }
        Activation::HardSigmoid { alpha, beta } => {
            let line = B::float_add_scalar(B::float_mul_scalar(x, alpha.into()), beta.into());
            at_most(at_least(line, 0.0), 1.0)
        }
        Activation::Exponential { scale, alpha, width } => {
            let inner = if width == 1.0 { x.clone() } else { B::float_div_scalar(x.clone(), width.into()) };
            let curve = B::float_sub_scalar(B::float_exp(inner), 1.0.into());
            let y = below_zero(x, B::float_mul_scalar(curve, alpha.into()));
            if scale == 1.0 { y } else { B::float_mul_scalar(y, scale.into()) }
        }
    }
}

/// A function of each element in Burn's operations.
fn map_in_burn<B: Kernels>(x: FloatTensor<B>, map: Map) -> FloatTensor<B> {
    match map {
        Map::Sigmoid => B::sigmoid(x),
        Map::Silu => B::float_mul(B::sigmoid(x.clone()), x),
        Map::Gelu => B::gelu(x),
        Map::HardSwish => {
            let line = B::float_add_scalar(B::float_mul_scalar(x.clone(), (1.0 / 6.0).into()), 0.5.into());
            B::float_mul(activate_in_burn::<B>(line, Activation::Clip { min: 0.0, max: 1.0 }), x)
        }
        Map::Tanh => B::float_tanh(x),
        Map::Erf => B::float_erf(x),
        Map::Exp => B::float_exp(x),
    }
}

/// What [`Kernels::map`] is for half precision on the CPU.
fn in_single(x: FlexTensor, map: Map) -> FlexTensor {
    let dtype = x.dtype().into();
    Flex::float_cast(Flex::map(Flex::float_cast(x, burn::tensor::FloatDType::F32), map), dtype)
}

fn computed<T>(
    from: &[&FlexTensor],
    f: Compute<'_, T>,
    tensor: impl FnOnce(T) -> FlexTensor,
) -> Option<Result<FlexTensor, String>> {
    let whole: Vec<FlexTensor> = from.iter().map(|t| flex::contiguous(t)).collect();
    let slices = whole.iter().map(FlexTensor::as_slice::<f32>).collect::<Option<Vec<_>>>()?;
    Some(f(&slices).map(tensor))
}
