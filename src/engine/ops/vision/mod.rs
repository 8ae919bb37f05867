//! Sampling, regions and boxes: computed on the host, plane by plane.

mod affine_grid;
mod col2im;
mod deform_conv;
mod grid_sample;
mod roi_align;
mod roi_pool;
mod suppress;

use super::Registry;
use crate::engine::backend::Kernels;

pub fn register<B: Kernels>(r: &mut Registry<B>) {
    r.op("AffineGrid", 20, affine_grid::build);
    r.op("Col2Im", 18, col2im::build);
    r.op("DeformConv", 19, deform_conv::build);
    r.op("GridSample", 16, grid_sample::build);
    r.op("MaxRoiPool", 1, roi_pool::build);
    r.op("NonMaxSuppression", 10, suppress::build);
    r.op("RoiAlign", 10, roi_align::build);
}
