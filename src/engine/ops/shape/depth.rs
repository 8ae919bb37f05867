//! DepthToSpace and SpaceToDepth: blocks of pixels to channels and back.

use super::transpose::permute;
use crate::engine::backend::Kernels;
use crate::engine::ops::{BoxOp, Context, Inputs, Site, one};

fn block_size<B: Kernels>(site: &Site<'_, B>) -> Result<usize, String> {
    let size = site.node.attributes.int("blocksize", 0)?;
    usize::try_from(size).ok().filter(|s| *s > 0).ok_or_else(|| format!("blocksize is {size}"))
}

/// Whether a channel's blocks lie together.
fn columns_first<B: Kernels>(site: &Site<'_, B>) -> Result<bool, String> {
    match site.node.attributes.text("mode", "DCR")? {
        "DCR" => Ok(false),
        "CRD" => Ok(true),
        other => Err(format!("mode is {other:?}, not \"DCR\" or \"CRD\"")),
    }
}

pub fn to_space<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let block = block_size(site)?;
    let columns_first = columns_first(site)?;
    Ok(Box::new(move |mut inputs: Inputs<B>, _: &Context<B>| {
        let x = inputs.take(0)?;
        let dims = x.dims();
        let [n, c, h, w] = dims[..] else { return Err(format!("{dims:?} has not 4 axes").into()) };
        let squared = block.checked_mul(block).filter(|s| c % s == 0);
        let depth = c / squared.ok_or_else(|| format!("{c} channels are not blocks of {block}"))?;
        let (split, perm) = if columns_first {
            (vec![n, depth, block, block, h, w], [0, 1, 4, 2, 5, 3])
        } else {
            (vec![n, block, block, depth, h, w], [0, 3, 4, 1, 5, 2])
        };
        one(permute(x.reshaped(split)?, &perm)?.reshaped(vec![n, depth, h * block, w * block])?)
    }))
}

pub fn to_depth<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let block = block_size(site)?;
    let perm = if columns_first(site)? { [0, 1, 3, 5, 2, 4] } else { [0, 3, 5, 1, 2, 4] };
    Ok(Box::new(move |mut inputs: Inputs<B>, _: &Context<B>| {
        let x = inputs.take(0)?;
        let dims = x.dims();
        let [n, c, h, w] = dims[..] else { return Err(format!("{dims:?} has not 4 axes").into()) };
        if h % block != 0 || w % block != 0 {
            return Err(format!("{h}x{w} is not made of blocks of {block}").into());
        }
        let x = x.reshaped(vec![n, c, h / block, block, w / block, block])?;
        one(permute(x, &perm)?.reshaped(vec![n, c * block * block, h / block, w / block])?)
    }))
}
