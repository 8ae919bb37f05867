//! An ONNX graph, interpreted over Burn's backend operations. The only room that knows Burn.
pub mod kernels;
