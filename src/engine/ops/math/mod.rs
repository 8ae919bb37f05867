//! Arithmetic, comparison and logic, element by element.

mod binary;
mod clip;
mod compare;
mod det;
mod select;
mod unary;
mod variadic;

use super::Registry;
use crate::engine::backend::Kernels;

pub use binary::{Arithmetic, arithmetic};

pub fn register<B: Kernels>(r: &mut Registry<B>) {
    r.op("Add", 7, |_| binary::build(binary::Arithmetic::Add)).elementwise();
    r.op("Sub", 7, |_| binary::build(binary::Arithmetic::Sub)).elementwise();
    r.op("Mul", 7, |_| binary::build(binary::Arithmetic::Mul)).elementwise();
    r.op("Div", 7, |_| binary::build(binary::Arithmetic::Div)).elementwise();
    r.op("Pow", 7, binary::pow).elementwise();
    r.op("Mod", 10, binary::modulo).elementwise();
    r.op("BitShift", 11, binary::shift).elementwise();
    r.op("BitwiseAnd", 18, |_| binary::bitwise(binary::Bits::And)).elementwise();
    r.op("BitwiseOr", 18, |_| binary::bitwise(binary::Bits::Or)).elementwise();
    r.op("BitwiseXor", 18, |_| binary::bitwise(binary::Bits::Xor)).elementwise();
    r.op("Equal", 7, |_| compare::build(compare::Relation::Equal)).elementwise();
    r.op("Greater", 7, |_| compare::build(compare::Relation::Greater)).elementwise();
    r.op("GreaterOrEqual", 12, |_| compare::build(compare::Relation::GreaterOrEqual)).elementwise();
    r.op("Less", 7, |_| compare::build(compare::Relation::Less)).elementwise();
    r.op("LessOrEqual", 12, |_| compare::build(compare::Relation::LessOrEqual)).elementwise();
    r.op("And", 7, |_| compare::logic(compare::Logic::And)).elementwise();
    r.op("Or", 7, |_| compare::logic(compare::Logic::Or)).elementwise();
    r.op("Xor", 7, |_| compare::logic(compare::Logic::Xor)).elementwise();
    r.op("Not", 1, |_| compare::not()).elementwise();
    r.op("Where", 9, select::build).elementwise();
    r.op("Clip", 6, clip::build).elementwise().finite();
    r.op("Max", 6, |_| variadic::build(variadic::Fold::Max)).elementwise();
    r.op("Min", 6, |_| variadic::build(variadic::Fold::Min)).elementwise();
    r.op("Sum", 6, |_| variadic::build(variadic::Fold::Sum)).elementwise();
    r.op("Mean", 6, |_| variadic::build(variadic::Fold::Mean)).elementwise();
    r.op("Det", 11, |_| det::build());
    unary::register(r);
}
