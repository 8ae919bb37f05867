//! Nodes that hold graphs.

mod branch;
mod flex;
mod map;
mod repeat;
mod scan;

use super::shape::concat;
use super::{Context, OpError, Registry, Site};
use crate::engine::backend::Kernels;
use crate::engine::onnx::OutputType;
use crate::engine::program::Program;
use crate::engine::run::Scope;
use crate::engine::value::Value;
use crate::tensor::{DType, Tensor};

pub fn register<B: Kernels>(r: &mut Registry<B>) {
    r.domain_op("ai.onnx.preview", "FlexAttention", flex::build);
    r.op("If", 1, branch::build);
    r.op("Loop", 1, repeat::build);
    r.op("Scan", 8, scan::build);
    r.op("SequenceMap", 17, map::build);
}

/// A graph inside the node, built; and the inputs of the node that it captures, which are its last inputs.
struct Inner<B: Kernels> {
    program: Program<B>,
    captures: std::ops::Range<usize>,
    /// Inputs that the graph declares.
    declared: usize,
    /// What it declares its outputs to be.
    results: Vec<OutputType>,
}

fn inner<B: Kernels>(site: &Site<'_, B>, name: &str) -> Result<Inner<B>, String> {
    let graph =
        site.node.attributes.find_graph(name)?.ok_or_else(|| format!("attribute {name:?} is missing"))?;
    let program =
        Program::build(graph, site.device, site.registry, site.ledger).map_err(|e| format!("{name}: {e}"))?;
    // Captures were appended graph by graph, in the order of the attributes.
    let all = site.node.attributes.graphs();
    let total: usize = all.iter().map(|(_, g)| g.captures.len()).sum();
    let before: usize = all.iter().take_while(|(n, _)| *n != name).map(|(_, g)| g.captures.len()).sum();
    let start =
        site.node.inputs.len().checked_sub(total).ok_or("its inputs are fewer than it captures")? + before;
    Ok(Inner {
        program,
        captures: start..start + graph.captures.len(),
        declared: graph.inputs.len(),
        results: graph.output_types.clone(),
    })
}

/// What each round of a body gives, until it is joined; no more than one tensor may take.
struct Gathered<B: Kernels> {
    parts: Vec<Vec<Value<B>>>,
    bytes: usize,
}

impl<B: Kernels> Gathered<B> {
    fn new(outputs: usize) -> Self {
        Self { parts: (0..outputs).map(|_| Vec::new()).collect(), bytes: 0 }
    }

    fn push(&mut self, values: impl Iterator<Item = Value<B>>, cx: &Context<B>) -> Result<(), OpError> {
        for (parts, value) in self.parts.iter_mut().zip(values) {
            self.bytes = self.bytes.saturating_add(value.weight());
            if self.bytes > cx.max_bytes {
                return Err("what it gathers takes more memory than one tensor may".into());
            }
            parts.push(value);
        }
        Ok(())
    }
}

/// Reserves what a body has given, from its round to the next. REQUIRES that `scope` holds nothing else.
fn hold<B: Kernels>(
    scope: &Scope<'_>,
    state: &[Value<B>],
    gathered: usize,
    cx: &Context<B>,
) -> Result<(), OpError> {
    scope.reset();
    let state = state.iter().map(Value::weight).fold(gathered, usize::saturating_add);
    cx.run.take(state as u64)
}

/// Joins tensors along a new axis. Of none, what is declared says dtype and shape.
fn stack<B: Kernels>(
    parts: Vec<Value<B>>,
    axis: i64,
    declared: &OutputType,
    cx: &Context<B>,
) -> Result<Value<B>, OpError> {
    let Some(first) = parts.first() else {
        let mut dims = declared.dims.clone();
        dims.insert(super::axis(axis, dims.len() + 1)?, 0);
        return Ok(Value::Host(empty(declared.dtype.unwrap_or(DType::F32), dims)?));
    };
    let at = super::axis(axis, first.rank() + 1)?;
    let widened = parts.into_iter().map(|part| {
        let mut dims = part.dims();
        dims.insert(at.min(dims.len()), 1);
        part.reshaped(dims)
    });
    concat::join(widened.collect::<Result<_, _>>()?, at, cx)
}

fn empty(dtype: DType, dims: Vec<usize>) -> Result<Tensor, String> {
    let made = match dtype {
        DType::String => Tensor::from_strings(dims, Vec::new()),
        dtype => Tensor::from_bytes(dtype, dims, bytes::Bytes::new()),
    };
    made.map_err(|e| e.to_string())
}
