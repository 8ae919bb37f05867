//! Operators on tensors whose channels lie in blocks, `[batch, channels / 16, height, width, 16]`: ordinary tensors
//! of rank 5 for everything that works element by element, and these for what does not.
//!
//! Only the optimiser writes them, for the CPU; a file that names them is held to the same checks.

mod conv;
mod conv_transpose;
mod layout;
mod pool;
mod resize;

use super::inner::DOMAIN;
use super::inner::blocked::{
    AVERAGE_POOL, BLOCKED, CONCAT, CONV, CONV_TRANSPOSE, GLOBAL_AVERAGE_POOL, MAX_POOL, MUL, PLANES, RESIZE,
    SHAPE, SPACE,
};
use super::{Registry, Site};
use crate::engine::backend::Kernels;
use crate::engine::kernels::blocked::{BLOCK, blocks};
use crate::tensor::Tensor;

pub fn register<B: Kernels>(r: &mut Registry<B>) {
    r.domain_op(DOMAIN, CONV, conv::build);
    r.domain_op(DOMAIN, MAX_POOL, |site| pool::build(site, pool::Kind::Max));
    r.domain_op(DOMAIN, AVERAGE_POOL, |site| pool::build(site, pool::Kind::Average));
    r.domain_op(DOMAIN, GLOBAL_AVERAGE_POOL, |_| pool::global_average());
    r.domain_op(DOMAIN, MUL, |_| layout::mul());
    r.domain_op(DOMAIN, CONCAT, layout::concat);
    r.domain_op(DOMAIN, CONV_TRANSPOSE, conv_transpose::build);
    r.domain_op(DOMAIN, RESIZE, resize::build);
    r.domain_op(DOMAIN, SHAPE, layout::shape);
    r.domain_op(DOMAIN, BLOCKED, layout::blocked);
    r.domain_op(DOMAIN, PLANES, layout::planes);
    r.domain_op(DOMAIN, SPACE, layout::space);
}

/// Weights and bias as they lie in a file, with the shape of the weights.
type Filter = (Vec<f32>, [usize; 4], Option<Vec<f32>>);

/// The constant weights and bias of a convolution in two dimensions.
fn filter<B: Kernels>(site: &Site<'_, B>) -> Result<Filter, String> {
    let weight = site.absorb(1).ok_or("the weights are not constant")?;
    let bias = site.absorb(2);
    if bias.is_none() && site.has_input(2) {
        return Err("the bias is not constant".into());
    }
    let shape =
        weight.shape().try_into().map_err(|_| format!("{weight:?} are not weights in two dimensions"))?;
    let elements = |t: &Tensor| {
        let floats = t.elements::<f32>().map(|e| e.into_owned());
        floats.ok_or_else(|| format!("{t:?} where float32 should be"))
    };
    Ok((elements(weight)?, shape, bias.map(elements).transpose()?))
}

/// The channels that the optimiser wrote down.
fn channels<B: Kernels>(site: &Site<'_, B>) -> Result<usize, String> {
    let channels = site.node.attributes.int("channels", 0)?;
    usize::try_from(channels).ok().filter(|c| *c > 0).ok_or_else(|| "channels start at 1".into())
}

/// The dimensions of a tensor in blocks: batch, blocks, height, width.
fn dims_of(dims: &[usize]) -> Result<[usize; 4], String> {
    match dims {
        [batch, blocks, height, width, BLOCK] => Ok([*batch, *blocks, *height, *width]),
        _ => Err(format!("{dims:?} are not blocks of channels")),
    }
}

/// An error where a tensor in blocks has not as many channels.
fn check_channels(found: usize, channels: usize) -> Result<(), String> {
    if found == blocks(channels) {
        Ok(())
    } else {
        Err(format!("{found} blocks where {channels} channels should be"))
    }
}

/// What a backend says that cannot work on memory of this process, or on numbers of that type.
fn refused() -> Result<(), String> {
    Err("float32 in the memory of this process is needed".into())
}
