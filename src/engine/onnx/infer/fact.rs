//! What is known of one value.

use super::dim::Dim;
use crate::engine::onnx::ValueType;
use crate::tensor::{DType, Tensor};

/// Elements of an integer tensor that are followed one by one.
const MAX_ELEMENTS: usize = 64;
/// Axes of a tensor that are followed one by one.
const MAX_RANK: usize = 64;

/// What is known of a value before the model runs. By default that is nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fact {
    /// The element type; not known of what is no tensor.
    pub dtype: Option<DType>,
    /// What it is, where it is no tensor.
    pub other: Option<ValueType>,
    /// The lengths of the axes, where the rank is known.
    pub dims: Option<Vec<Dim>>,
    /// The elements of a short list of integers or bools, or of a single one: what shapes are computed from.
    pub elements: Option<Vec<Dim>>,
}

impl Fact {
    pub fn new(dtype: DType, dims: Vec<Dim>) -> Self {
        Self { dtype: Some(dtype), dims: Some(dims), ..Self::default() }
    }

    /// A value of known lengths, whose type is for the schema to say.
    pub fn of_dims(dims: impl Into<Option<Vec<Dim>>>) -> Self {
        Self { dims: dims.into(), ..Self::default() }
    }

    /// A value of which nothing but its type is known.
    pub fn of_type(value: ValueType) -> Self {
        match value {
            ValueType::Tensor(dtype) => Self { dtype: Some(dtype), ..Self::default() },
            other => Self { other: Some(other), ..Self::default() },
        }
    }

    pub fn value_type(&self) -> Option<ValueType> {
        self.dtype.map(ValueType::Tensor).or(self.other)
    }

    /// A list of integers.
    pub fn list(elements: Vec<Dim>) -> Self {
        let dims = Some(vec![elements.len().into()]);
        let elements = Some(elements).filter(|elements| elements.len() <= MAX_ELEMENTS);
        Self { dims, elements, ..Self::default() }
    }

    /// A single integer.
    pub fn scalar(element: Dim) -> Self {
        Self { dims: Some(vec![]), elements: Some(vec![element]), ..Self::default() }
    }

    pub fn of_constant(tensor: &Tensor) -> Self {
        let dims = tensor.shape().iter().map(|n| Dim::from(*n)).collect();
        let short = tensor.len() <= MAX_ELEMENTS && tensor.shape().len() <= 1;
        let elements = if short { integers(tensor) } else { None };
        Self {
            elements: elements.map(|all| all.into_iter().map(Dim::Fixed).collect()),
            ..Self::new(tensor.dtype(), dims)
        }
        .bounded()
    }

    /// The fact, without what is too long to be followed.
    pub fn bounded(mut self) -> Self {
        self.dims = self.dims.filter(|dims| dims.len() <= MAX_RANK);
        self.elements = self.elements.filter(|elements| elements.len() <= MAX_ELEMENTS);
        self
    }

    pub fn rank(&self) -> Option<usize> {
        self.dims.as_ref().map(Vec::len)
    }

    /// The elements, where all of them are numbers.
    pub fn integers(&self) -> Option<Vec<i64>> {
        let number = |dim: &Dim| if let Dim::Fixed(n) = dim { Some(*n) } else { None };
        self.elements.as_ref()?.iter().map(number).collect()
    }

    /// What is known of a value that is one or the other.
    pub fn either(&self, of: &Self) -> Self {
        let dims = match (&self.dims, &of.dims) {
            (Some(a), Some(b)) if a.len() == b.len() => {
                Some(a.iter().zip(b).map(|(a, b)| if a.same(b) { a.clone() } else { Dim::Unknown }).collect())
            }
            _ => None,
        };
        let dtype = self.dtype.filter(|dtype| Some(*dtype) == of.dtype);
        let same = self.other.filter(|other| Some(*other) == of.other);
        Self { dtype, other: same, dims, elements: None }
    }
}

/// The elements of a short tensor of whole numbers or bools.
pub fn integers(tensor: &Tensor) -> Option<Vec<i64>> {
    if tensor.len() > MAX_ELEMENTS {
        return None;
    }
    match tensor.dtype() {
        DType::I64 => tensor.elements::<i64>().map(|e| e.into_owned()),
        DType::I32 | DType::I16 | DType::I8 | DType::U32 | DType::U16 | DType::U8 | DType::Bool => {
            Some(tensor.to_f64().into_iter().map(|v| v as i64).collect())
        }
        _ => None,
    }
}
