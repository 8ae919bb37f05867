//! Tensors out of nothing, shapes and indices as tensors, and changes of type.

mod bits;
mod cast;
mod constant;
mod index;
mod picture;
pub mod shape;
mod triangle;

use super::Registry;
use crate::engine::backend::Kernels;

pub use cast::to as cast;

pub fn register<B: Kernels>(r: &mut Registry<B>) {
    r.op("Constant", 1, constant::constant).linear();
    r.op("ConstantOfShape", 9, constant::of_shape).linear();
    r.op("Range", 11, constant::range).linear();
    r.op("EyeLike", 9, constant::eye_like);
    r.op("Shape", 1, shape::shape).linear();
    r.op("Size", 1, shape::size).linear();
    r.op("Cast", 6, cast::cast).elementwise();
    r.op("BitCast", 26, bits::build);
    r.op("CastLike", 15, cast::cast_like).elementwise();
    r.op("OneHot", 9, index::one_hot);
    r.op("ImageDecoder", 20, picture::build);
    r.op("NonZero", 9, index::non_zero);
    r.op("Trilu", 14, triangle::build).linear();
}
