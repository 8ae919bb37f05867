//! Arithmetic, comparison and logic, element by element.

mod binary;
mod clip;
mod compare;
mod det;
mod select;
mod unary;
mod variadic;

use super::Registry;
use crate::engine::backend::Accelerator;

pub use binary::{Arithmetic, arithmetic};

pub fn register<B: Accelerator>(r: &mut Registry<B>) {
    r.op("Add", 7, |_| binary::build(binary::Arithmetic::Add));
    r.op("Sub", 7, |_| binary::build(binary::Arithmetic::Sub));
    r.op("Mul", 7, |_| binary::build(binary::Arithmetic::Mul));
    r.op("Div", 7, |_| binary::build(binary::Arithmetic::Div));
    r.op("Pow", 7, binary::pow);
    r.op("Mod", 10, binary::modulo);
    r.op("BitShift", 11, binary::shift);
    r.op("BitwiseAnd", 18, |_| binary::bitwise(binary::Bits::And));
    r.op("BitwiseOr", 18, |_| binary::bitwise(binary::Bits::Or));
    r.op("BitwiseXor", 18, |_| binary::bitwise(binary::Bits::Xor));
    r.op("Equal", 7, |_| compare::build(compare::Relation::Equal));
    r.op("Greater", 7, |_| compare::build(compare::Relation::Greater));
    r.op("GreaterOrEqual", 12, |_| compare::build(compare::Relation::GreaterOrEqual));
    r.op("Less", 7, |_| compare::build(compare::Relation::Less));
    r.op("LessOrEqual", 12, |_| compare::build(compare::Relation::LessOrEqual));
    r.op("And", 7, |_| compare::logic(compare::Logic::And));
    r.op("Or", 7, |_| compare::logic(compare::Logic::Or));
    r.op("Xor", 7, |_| compare::logic(compare::Logic::Xor));
    r.op("Not", 1, |_| compare::not());
    r.op("Where", 9, select::build);
    r.op("Clip", 6, clip::build);
    r.op("Max", 6, |_| variadic::build(variadic::Fold::Max));
    r.op("Min", 6, |_| variadic::build(variadic::Fold::Min));
    r.op("Sum", 6, |_| variadic::build(variadic::Fold::Sum));
    r.op("Mean", 6, |_| variadic::build(variadic::Fold::Mean));
    r.op("Det", 11, |_| det::build());
    unary::register(r);
}
