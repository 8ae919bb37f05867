//! An ONNX file's bytes to a graph: decoded, names resolved, order checked. Knows no tensors of a device.
//!
//! Nothing here trusts the file. Errors name the node or the tensor; no recursion is deeper than protobuf's
//! own limit on nesting.

pub mod attribute;
mod classes;
mod cut;
pub mod element;
pub mod external;
mod facts;
mod function;
pub mod graph;
pub mod infer;
mod mixing;
pub mod proto;
mod read;
mod rows;
mod scope;
mod sequences;
mod signature;
mod texts;
mod wire;

pub use attribute::{Attribute, Attributes};
pub use cut::read as read_file;
pub use graph::{Graph, Model, Node, OutputType, ValueId, ValueType};
pub use read::read;
