//! Activations, and the Softmax family.

mod gelu;
mod linear;
mod prelu;
pub mod smooth;
mod softmax;

pub use smooth::map;

use super::Registry;
use crate::engine::backend::Accelerator;
use crate::engine::kernels::elementwise::Map;

pub fn register<B: Accelerator>(r: &mut Registry<B>) {
    r.op("Relu", 6, |_| smooth::relu());
    r.op("Sigmoid", 6, |_| smooth::map(Map::Sigmoid));
    r.op("Softplus", 1, |_| smooth::build(smooth::softplus::<B>));
    r.op("Softsign", 1, |_| smooth::build(smooth::softsign::<B>));
    r.op("Mish", 18, |_| smooth::build(smooth::mish::<B>));
    r.op("HardSwish", 14, |_| smooth::map(Map::HardSwish));
    r.op("Swish", 24, smooth::swish);
    r.op("SwiGLU", 28, smooth::swiglu);
    r.op("Gelu", 20, gelu::build);
    r.op("HardSigmoid", 6, linear::hard_sigmoid);
    r.op("LeakyRelu", 6, linear::leaky_relu);
    r.op("ThresholdedRelu", 10, linear::thresholded_relu);
    r.op("Shrink", 9, linear::shrink);
    r.op("Elu", 6, linear::elu);
    r.op("Selu", 6, linear::selu);
    r.op("Celu", 12, linear::celu);
    r.op("PRelu", 7, prelu::build);
    r.op("Softmax", 1, |site| softmax::build(site, softmax::Kind::Softmax));
    r.op("LogSoftmax", 1, |site| softmax::build(site, softmax::Kind::LogSoftmax));
    r.op("Hardmax", 1, |site| softmax::build(site, softmax::Kind::Hardmax));
}
