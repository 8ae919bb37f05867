//! The operators: a folder a family, a file an operator or a tight group, one registration line each.
//!
//! An operator is built once, when its model is loaded: attributes are read, constant inputs prepared (and
//! absorbed, so that they are not kept twice). What comes out is run for every batch.

pub mod activation;
pub mod blocked;
mod body;
pub mod broadcast;
mod control;
#[cfg(test)]
mod documented;
pub mod make;
pub mod math;
mod microsoft;
mod ml;
pub mod nn;
mod quant;
mod random;
pub mod real;
mod recurrent;
pub mod reduce;
mod sequence;
pub mod shape;
mod signal;
#[cfg(test)]
mod tests;
mod text;
mod vision;

pub use super::op::{BoxOp, Context, Inputs, Op, OpError, OpResult, Registry, Site, inner, ints};

use super::backend::Kernels;
use super::value::Value;

impl<B: Kernels> Registry<B> {
    /// Every operator there is.
    pub fn standard() -> Self {
        let mut registry = Self::empty();
        activation::register(&mut registry);
        blocked::register(&mut registry);
        control::register(&mut registry);
        make::register(&mut registry);
        math::register(&mut registry);
        microsoft::register(&mut registry);
        ml::register(&mut registry);
        nn::register(&mut registry);
        quant::register(&mut registry);
        random::register(&mut registry);
        recurrent::register(&mut registry);
        reduce::register(&mut registry);
        sequence::register(&mut registry);
        shape::register(&mut registry);
        text::register(&mut registry);
        signal::register(&mut registry);
        vision::register(&mut registry);
        registry
    }
}

/// The result of an operator with one output.
pub fn one<B: Kernels>(value: Value<B>) -> OpResult<B> {
    Ok(vec![value])
}

/// An axis that may count from the end, as an index.
pub fn axis(axis: i64, rank: usize) -> Result<usize, String> {
    let from_start = if axis < 0 { axis.checked_add(rank as i64) } else { Some(axis) };
    match from_start.and_then(|a| usize::try_from(a).ok()) {
        Some(a) if a < rank => Ok(a),
        _ => Err(format!("axis {axis} is not one of {rank}")),
    }
}

/// Several axes that may count from the end, as indices; sorted, each once.
pub fn axes(given: &[i64], rank: usize) -> Result<Vec<usize>, String> {
    let mut axes = given.iter().map(|a| axis(*a, rank)).collect::<Result<Vec<_>, _>>()?;
    axes.sort_unstable();
    axes.dedup();
    if axes.len() < given.len() { Err(format!("axes {given:?} name one twice")) } else { Ok(axes) }
}
