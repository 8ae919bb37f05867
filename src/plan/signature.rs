//! What a model takes and gives, as its ONNX file declares it, and the type of a tensor that flows.

use crate::tensor::DType;
use std::fmt;

/// Inputs and outputs, in the order of the file. Initialisers are not inputs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    pub inputs: Vec<Port>,
    pub outputs: Vec<Port>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    pub name: String,
    /// `None` where it is not one of ours (a string, a sequence); `declared` says what it is.
    pub dtype: Option<DType>,
    /// The element type by its ONNX name.
    pub declared: String,
    /// `None` where the file does not say; with the batch axis where there is one.
    pub dims: Option<Vec<Dim>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dim {
    Fixed(usize),
    /// A symbolic dimension: "N", "height".
    Named(String),
    Unknown,
}

/// How items become the batch that a model runs.
///
/// An item that flows through a pipeline has no batch axis: a decoded photo is `[3, 64, 64]`, not
/// `[1, 3, 64, 64]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Batching {
    /// Every port begins with a dynamic axis: items are joined along it.
    Dynamic,
    /// One item at a time.
    One,
}

/// What is known of an item's tensor before it is there; without a batch axis.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct TensorType {
    pub dtype: Option<DType>,
    /// `None`: the rank is not known. `Some(None)` within: that axis is not known.
    pub dims: Option<Vec<Option<usize>>>,
}

impl Signature {
    /// Items are joined where every input and output begins with a dynamic axis (or does not declare one).
    pub fn batching(&self) -> Batching {
        let dynamic = |port: &Port| match port.dims.as_deref() {
            None => true,
            Some([first, ..]) => !matches!(first, Dim::Fixed(_)),
            Some([]) => false,
        };
        let all = self.inputs.iter().chain(&self.outputs).all(dynamic);
        if all && !self.inputs.is_empty() { Batching::Dynamic } else { Batching::One }
    }
}

impl Port {
    /// Whether an item's tensor gains a leading axis of 1 on its way into this port, or loses it on its way
    /// out: the first axis is dynamic or 1. Where the rank is not declared, it does.
    pub fn has_batch_axis(&self) -> bool {
        match self.dims.as_deref() {
            None => true,
            Some([]) => false,
            Some([first, ..]) => !matches!(first, Dim::Fixed(n) if *n != 1),
        }
    }

    /// The type of one item at this port: without the batch axis.
    pub fn item_type(&self) -> TensorType {
        let skip = usize::from(self.has_batch_axis());
        TensorType {
            dtype: self.dtype,
            dims: self.dims.as_ref().map(|dims| {
                dims.iter().skip(skip).map(|d| if let Dim::Fixed(n) = d { Some(*n) } else { None }).collect()
            }),
        }
    }
}

impl fmt::Display for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(n) => write!(f, "{n}"),
            Self::Named(name) => f.write_str(name),
            Self::Unknown => f.write_str("?"),
        }
    }
}

/// `image: float32[N, 3, 64, 64]`
impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.declared)?;
        match &self.dims {
            None => f.write_str("[..]"),
            Some(dims) => {
                let dims: Vec<String> = dims.iter().map(Dim::to_string).collect();
                write!(f, "[{}]", dims.join(", "))
            }
        }
    }
}

/// `float32[3, 64, 64]`, with `?` for what is not known.
impl fmt::Display for TensorType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.dtype {
            Some(dtype) => write!(f, "{dtype}")?,
            None => f.write_str("any")?,
        }
        match &self.dims {
            None => f.write_str("[..]"),
            Some(dims) => {
                let dims: Vec<String> =
                    dims.iter().map(|d| d.map_or("?".into(), |n| n.to_string())).collect();
                write!(f, "[{}]", dims.join(", "))
            }
        }
    }
}
