//! What an operator is: how one is built for a node, and what it may use while it runs. Knows none of them.

mod facts;
pub mod inner;
mod registry;
pub mod scalars;
mod site;

pub use facts::FactTable;
pub use registry::Registry;
pub use site::Site;

use super::backend::Kernels;
pub use super::error::OpError;
use super::run::Run;
use super::value::Value;
use crate::tensor::{DType, Tensor, byte_len};

/// The outputs of an operator, or the reason why it cannot run, to which the executor adds node and shapes.
pub type OpResult<B> = Result<Vec<Value<B>>, OpError>;
pub type BoxOp<B> = Box<dyn Op<B>>;
pub type Build<B> = fn(&Site<'_, B>) -> Result<BoxOp<B>, String>;

/// An operator of one node, ready to run.
pub trait Op<B: Kernels>: Send + Sync {
    /// Gives as many values as the operator has outputs (trailing ones that nothing reads may be left out).
    fn run(&self, inputs: Inputs<B>, cx: &Context<B>) -> OpResult<B>;
}

impl<B: Kernels, F> Op<B> for F
where
    F: Fn(Inputs<B>, &Context<B>) -> OpResult<B> + Send + Sync,
{
    fn run(&self, inputs: Inputs<B>, cx: &Context<B>) -> OpResult<B> {
        self(inputs, cx)
    }
}

/// The values that a node reads, owned: where this is the last use, an operator may work in place.
pub struct Inputs<B: Kernels>(pub Vec<Option<Value<B>>>);

impl<B: Kernels> Inputs<B> {
    pub fn take(&mut self, index: usize) -> Result<Value<B>, OpError> {
        self.optional(index).ok_or_else(|| OpError::graph(format!("input {index} is missing")))
    }

    pub fn optional(&mut self, index: usize) -> Option<Value<B>> {
        self.0.get_mut(index)?.take()
    }

    /// A list of integers (axes, shapes, sizes), one-dimensional or a scalar.
    pub fn ints(&mut self, index: usize) -> Result<Vec<i64>, OpError> {
        Ok(ints(&self.take(index)?.into_host()?)?)
    }

    pub fn optional_ints(&mut self, index: usize) -> Result<Option<Vec<i64>>, OpError> {
        self.optional(index).map(|v| Ok(ints(&v.into_host()?)?)).transpose()
    }
}

/// The elements of an integer tensor.
pub fn ints(tensor: &Tensor) -> Result<Vec<i64>, String> {
    match tensor.dtype() {
        DType::I64 => Ok(tensor.elements::<i64>().map(|e| e.into_owned()).unwrap_or_default()),
        d if d.is_float() => Err(format!("{tensor:?} where integers should be")),
        _ => Ok(tensor.to_f64().into_iter().map(|v| v as i64).collect()),
    }
}

/// The context of an operator that runs: the device, and the run that it is a part of.
pub struct Context<B: Kernels> {
    pub device: B::Device,
    /// Bytes that one tensor may take.
    pub max_bytes: usize,
    pub run: Run,
}

impl<B: Kernels> Context<B> {
    /// The context of a run which nothing but the size of one tensor limits.
    pub fn alone(device: B::Device, max_bytes: usize) -> Self {
        Self { device, max_bytes, run: Run::alone() }
    }

    /// Reserves memory for a result of that shape, until the operator is done. An error where a tensor of it would take
    /// more than one may, or more than there is. To be asked before an operator makes something that is larger than
    /// what it was given.
    pub fn check(&self, dtype: DType, dims: &[usize]) -> Result<(), OpError> {
        match byte_len(dtype, dims) {
            Some(size) if size <= self.max_bytes => self.run.take(size as u64),
            _ => Err(OpError::size(format!(
                "the result {dtype}{dims:?} would take more than the {} bytes that one tensor may",
                self.max_bytes
            ))),
        }
    }

    /// Reserves memory that an operator needs within itself, for so many elements of `T`, until it is done. To be asked
    /// before that memory is taken, wherever its size follows from shapes or values.
    pub fn work<T>(&self, elements: usize) -> Result<(), OpError> {
        let bytes = elements.checked_mul(size_of::<T>()).filter(|bytes| *bytes <= self.max_bytes);
        let bytes = bytes.ok_or_else(|| {
            OpError::size(format!(
                "it would need more within itself than the {} bytes that one tensor may take",
                self.max_bytes
            ))
        })?;
        self.run.take(bytes as u64)
    }
}
