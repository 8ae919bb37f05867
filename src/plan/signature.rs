//! What a model takes and gives, as its ONNX file declares it, and the type of a tensor that flows.

use super::batching::{Batching, Declaration, Mixing, decide, is_automatic};
use crate::diagnostic::shown;
use crate::tensor::DType;
use std::fmt;
use std::sync::Arc;

/// The inputs and outputs of a model, in the order of the file. Initialisers are not inputs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    pub inputs: Vec<Port>,
    pub outputs: Vec<Port>,
    /// What of the graph makes the result for one row depend on the other rows of its batch.
    pub mixes: Mixing,
    /// How items become batches. It is decided when the signature is made, and never afterwards.
    pub batching: Batching,
}

/// An input or an output of a model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Port {
    pub name: String,
    /// `None` where it is not one of ours (a string, a sequence); `declared` says what it is.
    pub dtype: Option<DType>,
    /// The element type by its ONNX name.
    pub declared: String,
    /// The dimensions as the file declares them, with the batch axis where there is one; `None` where it does
    /// not say.
    pub dims: Option<Vec<Dim>>,
    /// The dimensions as the graph computes them, as far as they can be told before it runs. Where they
    /// contradict the declared ones, these are right.
    pub inferred: Option<Vec<Dim>>,
    /// Whether an output is computed by way of operators whose results are as long as the values in their
    /// inputs make them (NonZero, NonMaxSuppression), so that its first axis may be anything.
    pub data_dependent: bool,
    /// The texts that the graph knows of an input, by the column of its last axis; one column stands for all.
    pub texts: Vec<Vec<Arc<str>>>,
    /// Which axis is the batch. An item's tensor has all the others.
    pub batch: Option<usize>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dim {
    Fixed(usize),
    /// A symbolic dimension: "N", "height". In one signature the same name is the same length.
    Named(String),
    /// The axis is as long as the values in the inputs make it: a detector's boxes.
    DataDependent,
    Unknown,
}

/// What is known of an item's tensor before it is there; without a batch axis.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct TensorType {
    pub dtype: Option<DType>,
    /// `None`: the rank is not known. `Some(None)` within: that axis is not known.
    pub dims: Option<Vec<Option<usize>>>,
}

impl Signature {
    /// A signature of which the file's declarations are all that is known.
    pub fn new(inputs: Vec<Port>, outputs: Vec<Port>) -> Self {
        Self { inputs, outputs, mixes: Mixing::default(), batching: Batching::default() }
            .declared(&Declaration::default())
    }

    /// The same model, with its batch axes decided by what a pipeline file declares of them.
    pub fn declared(mut self, declaration: &Declaration) -> Self {
        self.batching = decide::decide(&mut self.inputs, &mut self.outputs, &self.mixes, declaration);
        self
    }
}

impl Signature {
    /// The same model, of which outputs were seen to have no batch axis; for each, its index and its rank.
    pub fn without_batch(mut self, outputs: &[(usize, usize)], declaration: &Declaration) -> Self {
        for (output, rank) in outputs {
            if let Some(port) = self.outputs.get_mut(*output) {
                let first = |axis| if axis == 0 { Dim::DataDependent } else { Dim::Unknown };
                port.inferred = Some((0..*rank).map(first).collect());
            }
        }
        self.declared(declaration)
    }
}

impl Port {
    /// A tensor whose type is declared and of which nothing else is known.
    pub fn tensor(name: impl Into<String>, dtype: DType, dims: Option<Vec<Dim>>) -> Self {
        Self {
            name: name.into(),
            dtype: Some(dtype),
            declared: dtype.name().to_owned(),
            dims,
            ..Self::default()
        }
    }

    /// The dimensions with the batch axis where there is one: those that the graph computes, and where that is
    /// not known, those that are declared.
    pub fn known_dims(&self) -> Option<Vec<Dim>> {
        let Some(inferred) = &self.inferred else { return self.dims.clone() };
        let declared = self.dims.as_deref().filter(|dims| dims.len() == inferred.len());
        let both = |(index, inferred): (usize, &Dim)| match (inferred, declared.map(|dims| &dims[index])) {
            // A name of the file's says more than that the length depends on values.
            (Dim::Unknown | Dim::DataDependent, Some(Dim::Named(name))) => Dim::Named(name.clone()),
            (Dim::Unknown, Some(declared)) => declared.clone(),
            // The axis of an input that has no name is told by one that was made up for it.
            (Dim::Named(made_up), Some(declared @ (Dim::Named(_) | Dim::Unknown)))
                if is_automatic(made_up) =>
            {
                declared.clone()
            }
            (inferred, _) => inferred.clone(),
        };
        Some(inferred.iter().enumerate().map(both).collect())
    }

    /// The type of one item at this port: without the batch axis.
    pub fn item_type(&self) -> TensorType {
        let length = |dim: Dim| if let Dim::Fixed(n) = dim { Some(n) } else { None };
        let item = |dims: Vec<Dim>| {
            let kept = dims.into_iter().enumerate().filter(|(axis, _)| Some(*axis) != self.batch);
            kept.map(|(_, dim)| length(dim)).collect()
        };
        TensorType { dtype: self.dtype, dims: self.known_dims().map(item) }
    }
}

impl fmt::Display for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(n) => write!(f, "{n}"),
            Self::Named(name) => f.write_str(&shown(name)),
            Self::DataDependent | Self::Unknown => f.write_str("?"),
        }
    }
}

/// `image: float32[N, 3, 64, 64]`
impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", shown(&self.name), shown(&self.declared))?;
        match self.known_dims() {
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
