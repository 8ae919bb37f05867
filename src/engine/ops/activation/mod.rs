//! Activations, and the Softmax family.

mod gelu;
mod linear;
mod prelu;
pub mod smooth;
mod softmax;

pub use smooth::map;

use super::Registry;
use crate::engine::backend::Kernels;
use crate::engine::kernels::elementwise::Map;

pub fn register<B: Kernels>(r: &mut Registry<B>) {
    r.op("Relu", 6, |_| smooth::relu()).elementwise().finite();
    r.op("Sigmoid", 6, |_| smooth::map(Map::Sigmoid)).elementwise().finite();
    r.op("Softplus", 1, |_| smooth::build(smooth::softplus::<B>)).elementwise().finite();
    r.op("Softsign", 1, |_| smooth::build(smooth::softsign::<B>)).elementwise();
    r.op("Mish", 18, |_| smooth::build(smooth::mish::<B>)).elementwise().finite();
    r.op("HardSwish", 14, |_| smooth::map(Map::HardSwish)).elementwise().finite();
    r.op("Swish", 24, smooth::swish).elementwise().finite();
    r.op("SwiGLU", 28, smooth::swiglu);
    r.op("Gelu", 20, gelu::build).elementwise().finite();
    r.op("HardSigmoid", 6, linear::hard_sigmoid).elementwise().finite();
    r.op("LeakyRelu", 6, linear::leaky_relu).elementwise().finite();
    r.op("ThresholdedRelu", 10, linear::thresholded_relu).elementwise();
    r.op("Shrink", 9, linear::shrink).elementwise();
    r.op("Elu", 6, linear::elu).elementwise().finite();
    r.op("Selu", 6, linear::selu).elementwise().finite();
    r.op("Celu", 12, linear::celu).elementwise();
    r.op("PRelu", 7, prelu::build).elementwise();
    r.op("Softmax", 1, |site| softmax::build(site, softmax::Kind::Softmax));
    r.op("LogSoftmax", 1, |site| softmax::build(site, softmax::Kind::LogSoftmax));
    r.op("Hardmax", 1, |site| softmax::build(site, softmax::Kind::Hardmax));
}
