//! Shapes changed and elements moved.

mod choose;
pub mod concat;
mod depth;
mod expand;
mod gather;
mod pad;
mod reshape;
pub mod resize;
mod scatter;
pub mod slice;
mod split;
mod transpose;
mod unique;

use super::Registry;
use crate::engine::backend::Kernels;

pub use expand::sizes;
pub use transpose::permute;

pub fn register<B: Kernels>(r: &mut Registry<B>) {
    r.op("Reshape", 5, reshape::reshape).linear();
    r.op("Flatten", 1, reshape::flatten).linear();
    r.op("Squeeze", 1, reshape::squeeze).linear();
    r.op("Unsqueeze", 1, reshape::unsqueeze).linear();
    r.op("Identity", 1, reshape::identity).linear();
    r.op("Dropout", 7, reshape::dropout);
    r.op("Transpose", 1, transpose::build).linear();
    r.op("Expand", 8, expand::expand).linear();
    r.op("Tile", 6, expand::tile).linear();
    r.op("Concat", 4, concat::build).linear();
    r.op("Split", 2, split::build).linear();
    r.op("Slice", 1, slice::build).linear();
    r.op("Gather", 1, gather::gather).linear();
    r.op("GatherElements", 11, gather::elements);
    r.op("GatherND", 11, gather::nd);
    r.op("ScatterElements", 11, scatter::elements);
    r.op("Scatter", 9, scatter::elements);
    r.op("ScatterND", 11, scatter::nd);
    r.op("Pad", 2, pad::build).linear();
    r.op("DepthToSpace", 1, depth::to_space);
    r.op("SpaceToDepth", 1, depth::to_depth);
    r.op("Resize", 10, resize::build);
    r.op("Upsample", 7, resize::build);
    r.op("Compress", 9, choose::compress);
    r.op("CenterCropPad", 18, choose::center_crop_pad);
    r.op("ReverseSequence", 10, choose::reverse_sequence);
    r.op("TensorScatter", 24, choose::tensor_scatter);
    r.op("Unique", 11, unique::build);
}
