//! A graph made ready for one device: every operator built, every constant where it is wanted, every index
//! resolved.

use super::backend::Accelerator;
use super::error::{LoadError, UnsupportedNode};
use super::meter::Meter;
use super::onnx::{Graph, ValueId};
use super::ops::{BoxOp, Registry, Site};
use super::value::Value;
use crate::tensor::Tensor;
use bytes::Bytes;
use std::collections::BTreeSet;

/// Integer constants of up to so many elements stay on the host, where shapes are computed.
const HOST_INTS: usize = 4096;

pub struct Program<B: Accelerator> {
    pub(super) steps: Vec<Step<B>>,
    /// How many values live at once, at most: each has a slot of its own from its birth to its last use.
    pub(super) slots: usize,
    pub(super) constants: Vec<Value<B>>,
    /// The slot of each input of the graph, captures last. `None` where nothing reads it.
    pub(super) inputs: Vec<Option<usize>>,
    pub(super) outputs: Vec<Source>,
    pub(super) meter: Meter,
}

pub(super) struct Step<B: Accelerator> {
    pub op: BoxOp<B>,
    /// `Conv "layer1.conv"`.
    pub name: String,
    pub inputs: Vec<Source>,
    /// `None` where nothing reads it.
    pub outputs: Vec<Option<usize>>,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Source {
    Missing,
    Constant(usize),
    Slot {
        index: usize,
        /// Nothing reads it afterwards.
        last: bool,
    },
}

impl<B: Accelerator> Program<B> {
    /// Builds every operator; the error names every node that cannot be.
    pub fn build(graph: &Graph, device: &B::Device, registry: &Registry<B>) -> Result<Self, LoadError> {
        let built = operators(graph, device, registry)?;
        Ok(Layout::new(graph).lay(built, &mut |id| graph.constants.get(&id).cloned(), device))
    }

    /// As [`Program::build`]; takes the graph's constants, and frees each as soon as the device has it.
    pub fn build_taking(
        graph: &mut Graph,
        device: &B::Device,
        registry: &Registry<B>,
    ) -> Result<Self, LoadError> {
        let built = operators(graph, device, registry)?;
        let mut constants = std::mem::take(&mut graph.constants);
        Ok(Layout::new(graph).lay(built, &mut |id| constants.remove(&id), device))
    }
}

/// An operator, and the inputs that it absorbed.
type Built<B> = (BoxOp<B>, BTreeSet<usize>);

fn operators<B: Accelerator>(
    graph: &Graph,
    device: &B::Device,
    registry: &Registry<B>,
) -> Result<Vec<Built<B>>, LoadError> {
    let mut unsupported = Vec::new();
    let mut built = Vec::with_capacity(graph.nodes.len());
    for node in &graph.nodes {
        let site = Site::new(node, graph, device, registry);
        match registry.find(node).and_then(|build| build(&site)) {
            Ok(op) => built.push((op, site.into_absorbed())),
            Err(why) => unsupported.push(UnsupportedNode {
                name: node.name.clone(),
                op: node.op.clone(),
                domain: node.domain.clone(),
                why,
            }),
        }
    }
    if unsupported.is_empty() { Ok(built) } else { Err(LoadError::Unsupported(unsupported)) }
}

/// Gives values their slots, in the order of the nodes.
struct Layout<'a> {
    graph: &'a Graph,
    /// By value: reads that are still to come.
    reads: Vec<usize>,
    /// By value: where it is.
    place: Vec<Option<usize>>,
    constant: Vec<Option<usize>>,
    free: Vec<usize>,
    slots: usize,
}

impl<'a> Layout<'a> {
    fn new(graph: &'a Graph) -> Self {
        Self {
            graph,
            reads: vec![0; graph.values.len()],
            place: vec![None; graph.values.len()],
            constant: vec![None; graph.values.len()],
            free: Vec::new(),
            slots: 0,
        }
    }

    fn lay<B: Accelerator>(mut self, built: Vec<Built<B>>, take: Take<'_>, device: &B::Device) -> Program<B> {
        let graph = self.graph;
        let read = |index: usize, input: usize| {
            let id = graph.nodes[index].inputs[input]?;
            if built[index].1.contains(&input) { None } else { Some(id) }
        };
        for index in 0..built.len() {
            (0..graph.nodes[index].inputs.len())
                .filter_map(|i| read(index, i))
                .for_each(|id| self.reads[id] += 1);
        }
        graph.outputs.iter().for_each(|id| self.reads[*id] += 1);
        let reads: Vec<Vec<Option<_>>> = (0..built.len())
            .map(|index| (0..graph.nodes[index].inputs.len()).map(|i| read(index, i)).collect())
            .collect();

        let mut constants = Vec::new();
        let inputs = graph.inputs.iter().chain(&graph.captures).map(|id| self.open(*id)).collect();
        let mut steps = Vec::with_capacity(built.len());
        for ((node, (op, _)), ids) in graph.nodes.iter().zip(built).zip(reads) {
            let inputs =
                ids.into_iter().map(|id| self.source(id, &mut constants, take, device)).collect::<Vec<_>>();
            let outputs = node.outputs.iter().map(|id| id.and_then(|id| self.open(id))).collect();
            steps.push(Step { op, name: node.to_string(), inputs, outputs });
        }
        let outputs =
            graph.outputs.iter().map(|id| self.source(Some(*id), &mut constants, take, device)).collect();
        Program { steps, slots: self.slots, constants, inputs, outputs, meter: Meter::default() }
    }

    /// A slot for a value that is about to be; none where nothing reads it.
    fn open(&mut self, id: usize) -> Option<usize> {
        if self.reads[id] == 0 {
            return None;
        }
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots += 1;
            self.slots - 1
        });
        self.place[id] = Some(slot);
        Some(slot)
    }

    fn source<B: Accelerator>(
        &mut self,
        id: Option<usize>,
        constants: &mut Vec<Value<B>>,
        take: Take<'_>,
        device: &B::Device,
    ) -> Source {
        let Some(id) = id else { return Source::Missing };
        if let Some(index) = self.constant[id] {
            return Source::Constant(index);
        }
        if let Some(tensor) = take(id) {
            constants.push(placed(tensor, device));
            self.constant[id] = Some(constants.len() - 1);
            return Source::Constant(constants.len() - 1);
        }
        let Some(index) = self.place[id] else { return Source::Missing };
        self.reads[id] -= 1;
        let last = self.reads[id] == 0;
        if last {
            self.free.push(index);
        }
        Source::Slot { index, last }
    }
}

/// Gives a constant of the graph; asked for once.
type Take<'a> = &'a mut dyn FnMut(ValueId) -> Option<Tensor>;

/// Where it is wanted, in memory of its own: as it was read it is a slice of the whole file.
fn placed<B: Accelerator>(tensor: Tensor, device: &B::Device) -> Value<B> {
    let small = if tensor.dtype().is_float() { tensor.len() <= 1 } else { tensor.len() <= HOST_INTS };
    if !small {
        return Value::Host(tensor).on_device(device);
    }
    let own = Bytes::copy_from_slice(tensor.bytes());
    let copied = Tensor::from_bytes(tensor.dtype(), tensor.shape().to_vec(), own);
    Value::Host(copied.unwrap_or(tensor))
}
