//! What the engine asks of a Burn backend, beyond Burn's own operations.
//!
//! Each hook has a form in Burn's operations, which CUDA takes; the CPU backend, whose tensors are memory
//! that this process sees, replaces those that it can do better.

use super::kernels::conv::{Activation, Conv2d};
use burn::tensor::backend::Backend;
use burn::tensor::ops::FloatTensor;
use burn::tensor::{Bytes, Shape, TensorData};
use burn_flex::{Flex, FlexTensor};

pub trait Accelerator: Backend {
    /// Whether a device tensor is memory of this process, so that the kernels can work on it.
    const ON_HOST: bool = false;

    /// A convolution with packed weights. `residual` has the shape of the result.
    ///
    /// Asked for only where [`Accelerator::ON_HOST`]; `None` where the tensors are not float32.
    fn conv2d_packed(
        _conv: &Conv2d,
        _x: &FloatTensor<Self>,
        _residual: Option<&FloatTensor<Self>>,
        _activation: Activation,
    ) -> Option<Result<FloatTensor<Self>, String>> {
        None
    }
}

impl Accelerator for Flex {
    const ON_HOST: bool = true;

    fn conv2d_packed(
        conv: &Conv2d,
        x: &FlexTensor,
        residual: Option<&FlexTensor>,
        activation: Activation,
    ) -> Option<Result<FlexTensor, String>> {
        let x = x.to_contiguous();
        let shape: [usize; 4] = x.layout().shape().as_slice().try_into().ok()?;
        let residual = residual.map(FlexTensor::to_contiguous);
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
}

/// REQUIRES as many elements as the shape has.
fn from_vec(elements: Vec<f32>, shape: &[usize]) -> FlexTensor {
    let dtype = burn::tensor::DType::F32;
    FlexTensor::from_data(TensorData::from_bytes(Bytes::from_elems(elements), Shape::from(shape), dtype))
}

#[cfg(feature = "cuda")]
impl Accelerator for burn_cuda::Cuda {}
