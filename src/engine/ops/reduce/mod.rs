//! Reductions along axes, and where extremes are.

mod arg;
mod cumulative;
mod fold;
mod top;

use super::Registry;
use crate::engine::backend::Kernels;

pub use fold::{mean, sum};

pub fn register<B: Kernels>(r: &mut Registry<B>) {
    r.op("ReduceSum", 1, |site| fold::build(site, fold::Kind::Sum));
    r.op("ReduceMean", 1, |site| fold::build(site, fold::Kind::Mean));
    r.op("ReduceMax", 1, |site| fold::build(site, fold::Kind::Max));
    r.op("ReduceMin", 1, |site| fold::build(site, fold::Kind::Min));
    r.op("ReduceProd", 1, |site| fold::build(site, fold::Kind::Prod));
    r.op("ReduceL1", 1, |site| fold::build(site, fold::Kind::L1));
    r.op("ReduceL2", 1, |site| fold::build(site, fold::Kind::L2));
    r.op("ReduceSumSquare", 1, |site| fold::build(site, fold::Kind::SumSquare));
    r.op("ReduceLogSum", 1, |site| fold::build(site, fold::Kind::LogSum));
    r.op("ReduceLogSumExp", 1, |site| fold::build(site, fold::Kind::LogSumExp));
    r.op("ArgMax", 1, |site| arg::build(site, true));
    r.op("ArgMin", 1, |site| arg::build(site, false));
    r.op("TopK", 1, top::build);
    r.op("CumSum", 11, |site| cumulative::build(site, cumulative::Kind::Sum));
    r.op("CumProd", 26, |site| cumulative::build(site, cumulative::Kind::Product));
}
