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
    /// The first axis of an output that is not the batch, as its name says: a detector's "boxes". How long
    /// it is, the model finds out for each item.
    Own(String),
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
    pub fn new(inputs: Vec<Port>, mut outputs: Vec<Port>) -> Self {
        let batch: Option<Vec<&str>> = inputs.iter().map(Port::first_name).collect();
        // Where an input's first axis has no name, an output's may be called anything.
        if let Some(batch) = batch.filter(|names| !names.is_empty()) {
            for first in outputs.iter_mut().filter_map(|port| port.dims.as_mut()?.first_mut()) {
                if let Dim::Named(name) = first
                    && !batch.contains(&name.as_str())
                    && !is_automatic(name)
                {
                    *first = Dim::Own(std::mem::take(name));
                }
            }
        }
        Self { inputs, outputs }
    }

    /// Items are joined where every input and output begins with a dynamic axis (or does not declare one).
    pub fn batching(&self) -> Batching {
        let dynamic = |port: &Port| match port.dims.as_deref() {
            None => true,
            Some([first, ..]) => !matches!(first, Dim::Fixed(_) | Dim::Own(_)),
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
            Some([Dim::Fixed(n), ..]) => *n == 1,
            Some([first, ..]) => !matches!(first, Dim::Own(_)),
        }
    }

    fn first_name(&self) -> Option<&str> {
        match self.dims.as_deref()?.first()? {
            Dim::Named(name) => Some(name),
            _ => None,
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

/// A name that an exporter made up, which says nothing: PyTorch's "Gemmscores_dim_0", tf2onnx's "unk__17",
/// Paddle's "DynamicDimension.1".
fn is_automatic(name: &str) -> bool {
    name.contains("_dim_") || name.starts_with("unk_") || name.starts_with("DynamicDimension")
}

impl fmt::Display for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(n) => write!(f, "{n}"),
            Self::Named(name) | Self::Own(name) => f.write_str(name),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn port(name: &str, dims: &[&str]) -> Port {
        let dim = |d: &&str| d.parse().map_or_else(|_| Dim::Named((*d).to_owned()), Dim::Fixed);
        let dims = Some(dims.iter().map(dim).collect());
        Port { name: name.into(), dtype: Some(DType::F32), declared: "float32".into(), dims }
    }

    #[test]
    fn an_axis_of_another_name_is_not_the_batch() {
        let detector = Signature::new(vec![port("image", &["N", "3"])], vec![port("boxes", &["found", "4"])]);
        assert_eq!(detector.batching(), Batching::One);
        assert_eq!(detector.outputs[0].to_string(), "boxes: float32[found, 4]");
        assert_eq!(detector.outputs[0].item_type().to_string(), "float32[?, 4]");
        assert_eq!(detector.inputs[0].item_type().to_string(), "float32[3]");
    }

    #[test]
    fn names_that_say_nothing_leave_the_batch() {
        for name in ["N", "Gemmscores_dim_0", "unk__17", "DynamicDimension.1"] {
            let model = Signature::new(vec![port("x", &["N", "3"])], vec![port("y", &[name, "4"])]);
            assert_eq!(model.batching(), Batching::Dynamic, "{name}");
            assert_eq!(model.outputs[0].item_type().to_string(), "float32[4]");
        }
        let unnamed = Port { dims: Some(vec![Dim::Unknown]), ..port("x", &[]) };
        assert_eq!(Signature::new(vec![unnamed], vec![port("y", &["k"])]).batching(), Batching::Dynamic);
    }
}
