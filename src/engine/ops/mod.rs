//! The operators: a folder a family, a file an operator or a tight group, one registration line each.
//!
//! An operator is built once, when its model is loaded: attributes are read, constant inputs prepared (and
//! absorbed, so that they are not kept twice). What comes out is run for every batch.

pub mod activation;
pub mod blocked;
mod body;
pub mod broadcast;
mod control;
#[cfg(test)]
mod documented;
mod facts;
pub mod make;
pub mod math;
mod microsoft;
mod ml;
pub mod nn;
mod quant;
mod random;
pub mod real;
mod recurrent;
pub mod reduce;
pub mod scalars;
mod sequence;
pub mod shape;
mod signal;
#[cfg(test)]
mod tests;
mod text;
mod vision;

pub use facts::FactTable;
pub use microsoft::INNER;

use super::backend::Accelerator;
pub use super::error::OpError;
use super::onnx::{Node, ValueId};
use super::run::Run;
use super::value::Value;
use super::weights::Ledger;
use crate::tensor::{DType, Tensor, byte_len};
use facts::Facts;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, HashMap};

/// What an operator says when it cannot run; the executor adds node and shapes.
pub type OpResult<B> = Result<Vec<Value<B>>, OpError>;
pub type BoxOp<B> = Box<dyn Op<B>>;
pub type Build<B> = fn(&Site<'_, B>) -> Result<BoxOp<B>, String>;

/// An operator of one node, ready to run.
pub trait Op<B: Accelerator>: Send + Sync {
    /// Gives as many values as the operator has outputs (trailing ones that nothing reads may be left out).
    fn run(&self, inputs: Inputs<B>, cx: &Context<B>) -> OpResult<B>;
}

impl<B: Accelerator, F> Op<B> for F
where
    F: Fn(Inputs<B>, &Context<B>) -> OpResult<B> + Send + Sync,
{
    fn run(&self, inputs: Inputs<B>, cx: &Context<B>) -> OpResult<B> {
        self(inputs, cx)
    }
}

/// The values that a node reads, owned: where this is the last use, an operator may work in place.
pub struct Inputs<B: Accelerator>(pub Vec<Option<Value<B>>>);

impl<B: Accelerator> Inputs<B> {
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

/// What every operator may use while it runs: the device, and the run that it is a part of.
pub struct Context<B: Accelerator> {
    pub device: B::Device,
    /// Bytes that one tensor may take.
    pub max_bytes: usize,
    pub run: Run,
}

impl<B: Accelerator> Context<B> {
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

/// Where an operator is built: its node, the constants of its graph, the device.
pub struct Site<'a, B: Accelerator> {
    pub node: &'a Node,
    /// The constants of the graph that the node is in.
    pub constants: &'a HashMap<ValueId, Tensor>,
    pub device: &'a B::Device,
    pub registry: &'a Registry<B>,
    /// Where what is kept is counted.
    pub ledger: &'a Ledger,
    absorbed: RefCell<BTreeSet<usize>>,
    kept: Cell<u64>,
}

impl<'a, B: Accelerator> Site<'a, B> {
    pub fn new(
        node: &'a Node,
        constants: &'a HashMap<ValueId, Tensor>,
        device: &'a B::Device,
        registry: &'a Registry<B>,
        ledger: &'a Ledger,
    ) -> Self {
        let (absorbed, kept) = Default::default();
        Self { node, constants, device, registry, ledger, absorbed, kept }
    }

    /// Reserves memory of so many bytes that the operator keeps as long as it lives. To be asked before it makes a form of
    /// its constants that is larger than they are; of one that is not, there need be no word. `None` is more than any
    /// machine has.
    pub fn keep(&self, bytes: Option<usize>) -> Result<(), String> {
        let bytes = bytes.ok_or("its weights would take more memory than there is")? as u64;
        self.ledger.keep(bytes)?;
        self.has_kept(bytes);
        Ok(())
    }

    /// The constant at an input, if it is one.
    pub fn constant(&self, input: usize) -> Option<&'a Tensor> {
        self.constants.get(&self.node.input(input)?)
    }

    /// The constant at an input, if it is one; the operator keeps what it needs of it and is not handed it when it runs.
    pub fn absorb(&self, input: usize) -> Option<&'a Tensor> {
        let constant = self.constant(input)?;
        self.absorbed.borrow_mut().insert(input);
        Some(constant)
    }

    /// A constant list of integers, absorbed.
    pub fn absorb_ints(&self, input: usize) -> Result<Option<Vec<i64>>, String> {
        self.absorb(input).map(ints).transpose()
    }

    pub fn has_input(&self, input: usize) -> bool {
        self.node.input(input).is_some()
    }

    pub fn has_output(&self, output: usize) -> bool {
        self.node.outputs.get(output).is_some_and(Option::is_some)
    }

    /// So many bytes that were reserved are what the operator keeps.
    pub fn has_kept(&self, bytes: u64) {
        self.kept.set(self.kept.get().saturating_add(bytes));
    }

    /// The inputs that the operator absorbed. It keeps as much as they take, where it said no more.
    pub fn into_absorbed(self) -> Result<BTreeSet<usize>, String> {
        let absorbed = self.absorbed.take();
        let constants = absorbed.iter().filter_map(|input| self.constant(*input));
        let taken: u64 = constants.map(|constant| constant.weight() as u64).sum();
        self.ledger.keep(taken.saturating_sub(self.kept.get()))?;
        Ok(absorbed)
    }
}

/// Every operator there is, by domain and name.
pub struct Registry<B: Accelerator> {
    entries: HashMap<(&'static str, &'static str), Entry<B>>,
    pub facts: FactTable,
}

struct Entry<B: Accelerator> {
    /// The first version of the domain whose semantics the builder knows.
    since: i64,
    build: Build<B>,
}

impl<B: Accelerator> Registry<B> {
    pub fn standard() -> Self {
        let mut registry = Self { entries: HashMap::new(), facts: FactTable::default() };
        activation::register(&mut registry);
        blocked::register(&mut registry);
        control::register(&mut registry);
        make::register(&mut registry);
        math::register(&mut registry);
        microsoft::register(&mut registry);
        ml::register(&mut registry);
        nn::register(&mut registry);
        quant::register(&mut registry);
        random::register(&mut registry);
        recurrent::register(&mut registry);
        reduce::register(&mut registry);
        sequence::register(&mut registry);
        shape::register(&mut registry);
        text::register(&mut registry);
        signal::register(&mut registry);
        vision::register(&mut registry);
        registry
    }

    /// Adds an operator of the standard domain, from that opset on. What is known of it is said of what comes back.
    pub fn op(&mut self, name: &'static str, since: i64, build: Build<B>) -> &mut Facts {
        self.entries.insert(("", name), Entry { since, build });
        self.facts.enter("", name)
    }

    /// Adds an operator of another domain.
    pub fn domain_op(&mut self, domain: &'static str, name: &'static str, build: Build<B>) -> &mut Facts {
        self.entries.insert((domain, name), Entry { since: 1, build });
        self.facts.enter(domain, name)
    }

    /// The builder for a node, or why there is none.
    pub fn find(&self, node: &Node) -> Result<Build<B>, String> {
        match self.entries.get(&(node.domain.as_str(), node.op.as_str())) {
            Some(entry) if node.version >= entry.since => Ok(entry.build),
            Some(entry) => Err(format!(
                "the model imports opset {}; this operator is supported from opset {} on",
                node.version, entry.since
            )),
            None if self.entries.keys().any(|(domain, _)| *domain == node.domain) => {
                Err("this operator is not supported".into())
            }
            None if node.domain == "com.microsoft.nchwc" => {
                Err("it was saved for one kind of processor; save the model with at most ORT_ENABLE_EXTENDED"
                    .into())
            }
            None => Err(format!("operators of the domain {:?} are not supported", node.domain)),
        }
    }
}

/// The result of an operator with one output.
pub fn one<B: Accelerator>(value: Value<B>) -> OpResult<B> {
    Ok(vec![value])
}

/// An axis that may count from the end, as an index.
pub fn axis(axis: i64, rank: usize) -> Result<usize, String> {
    let from_start = if axis < 0 { axis.checked_add(rank as i64) } else { Some(axis) };
    match from_start.and_then(|a| usize::try_from(a).ok()) {
        Some(a) if a < rank => Ok(a),
        _ => Err(format!("axis {axis} is not one of {rank}")),
    }
}

/// Several axes that may count from the end, as indices; sorted, each once.
pub fn axes(given: &[i64], rank: usize) -> Result<Vec<usize>, String> {
    let mut axes = given.iter().map(|a| axis(*a, rank)).collect::<Result<Vec<_>, _>>()?;
    axes.sort_unstable();
    axes.dedup();
    if axes.len() < given.len() { Err(format!("axes {given:?} name one twice")) } else { Ok(axes) }
}
