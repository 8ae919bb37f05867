//! A graph made ready for one device: every operator built, every constant where it is wanted, every index
//! resolved.

use super::backend::Kernels;
use super::error::{LoadError, UnsupportedNode};
use super::onnx::{Graph, Node, ValueId};
use super::op::{BoxOp, Registry, Site, scalars};
use super::value::Value;
use super::weights::Ledger;
use crate::tensor::Tensor;
use bytes::Bytes;
use std::collections::{BTreeSet, HashMap, HashSet};

/// The most elements of an integer constant that stays on the host, where shapes are computed.
const HOST_INTS: usize = 4096;

/// How often the weights of a model may be there again because nodes share them, and bytes that are free for
/// that in any model.
const COPIES: usize = 16;
const SPARE: usize = 256 << 20;

pub struct Program<B: Kernels> {
    pub(super) steps: Vec<Step<B>>,
    /// How many values live at once, at most: each has a slot of its own from its birth to its last use.
    pub(super) slots: usize,
    pub(super) constants: Vec<Value<B>>,
    /// The slot of each input of the graph, captures last. `None` where nothing reads it.
    pub(super) inputs: Vec<Option<usize>>,
    pub(super) outputs: Vec<Source>,
}

/// A program that does nothing.
impl<B: Kernels> Default for Program<B> {
    fn default() -> Self {
        let (steps, constants, inputs, outputs) = Default::default();
        Self { steps, slots: 0, constants, inputs, outputs }
    }
}

pub(super) struct Step<B: Kernels> {
    pub op: BoxOp<B>,
    /// `Conv "layer1.conv"`.
    pub name: String,
    pub inputs: Vec<Source>,
    /// `None` where nothing reads it.
    pub outputs: Vec<Option<usize>>,
    /// Whether anything that it reads follows from an input of the graph.
    pub follows_input: bool,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Source {
    Missing,
    Constant(usize),
    Slot {
        index: usize,
        /// Whether nothing reads it afterwards.
        last: bool,
    },
}

impl<B: Kernels> Program<B> {
    /// Builds every operator; the error names every node that cannot be.
    pub fn build(
        graph: &Graph,
        device: &B::Device,
        registry: &Registry<B>,
        ledger: &Ledger,
    ) -> Result<Self, LoadError> {
        let mut constants = graph.constants.clone();
        let built = operators(graph, &mut constants, device, registry, ledger)?;
        Ok(Layout::new(graph).lay(built))
    }

    /// Does what [`Program::build`] does; takes the graph's constants, and frees each as soon as the last operator that
    /// reads it is built.
    pub fn build_taking(
        graph: &mut Graph,
        device: &B::Device,
        registry: &Registry<B>,
        ledger: &Ledger,
    ) -> Result<Self, LoadError> {
        let mut constants = std::mem::take(&mut graph.constants);
        let built = operators(graph, &mut constants, device, registry, ledger)?;
        Ok(Layout::new(graph).lay(built))
    }
}

impl<B: Kernels> Program<B> {
    /// A node as errors name it.
    pub fn step_name(&self, index: usize) -> Option<&str> {
        self.steps.get(index).map(|step| step.name.as_str())
    }
}

/// The operators of a graph, and the constants that they read, on the device.
struct Built<B: Kernels> {
    /// Each operator, and the inputs that it absorbed.
    operators: Vec<(BoxOp<B>, BTreeSet<usize>)>,
    constants: HashMap<ValueId, Value<B>>,
}

/// Builds operators one after another, and frees each constant once the last operator that reads it is built.
struct Builder<'a, B: Kernels> {
    constants: &'a mut HashMap<ValueId, Tensor>,
    device: &'a B::Device,
    ledger: &'a Ledger,
    /// How often each value is still to be read.
    uses: Vec<usize>,
    /// Bytes that nodes may yet keep of weights that others read too.
    copies_left: usize,
    built: Built<B>,
}

fn operators<B: Kernels>(
    graph: &Graph,
    constants: &mut HashMap<ValueId, Tensor>,
    device: &B::Device,
    registry: &Registry<B>,
    ledger: &Ledger,
) -> Result<Built<B>, LoadError> {
    let mut unsupported = Vec::new();
    let weights: usize = constants.values().map(Tensor::weight).sum();
    let copies_left = weights.saturating_mul(COPIES).saturating_add(SPARE);
    let built = Built { operators: Vec::with_capacity(graph.nodes.len()), constants: HashMap::new() };
    let mut builder = Builder { constants, device, ledger, uses: graph.uses(), copies_left, built };
    for node in &graph.nodes {
        LoadError::if_given_up()?;
        let absorbed = match builder.build(node, registry) {
            Ok(absorbed) => Some(absorbed),
            Err(why) => {
                unsupported.push(UnsupportedNode {
                    name: node.name.clone(),
                    op: node.op.clone(),
                    domain: node.domain.clone(),
                    why,
                });
                None
            }
        };
        builder.has_read(node, absorbed.as_ref())?;
    }
    for id in &graph.outputs {
        if let Some(constant) = builder.constants.get(id).cloned() {
            builder.keep(*id, constant)?;
        }
    }
    if unsupported.is_empty() { Ok(builder.built) } else { Err(LoadError::Unsupported(unsupported)) }
}

impl<B: Kernels> Builder<'_, B> {
    /// Builds a node's operator. Gives the inputs that it absorbed, or why it cannot be built.
    fn build(&mut self, node: &Node, registry: &Registry<B>) -> Result<BTreeSet<usize>, String> {
        let site = Site::new(node, self.constants, self.device, registry, self.ledger);
        let op = registry.find(node)?(&site)?;
        let absorbed = site.into_absorbed()?;
        let op = scalars::lifted(registry.facts.of(node).elementwise, op);
        self.built.operators.push((op, absorbed.clone()));
        Ok(absorbed)
    }

    /// A node has been built, or cannot be, and reads its constants no more.
    fn has_read(&mut self, node: &Node, absorbed: Option<&BTreeSet<usize>>) -> Result<(), LoadError> {
        for (input, id) in node.inputs.iter().enumerate() {
            let Some(id) = id else { continue };
            self.uses[*id] -= 1;
            let last = self.uses[*id] == 0;
            let read = absorbed.is_some_and(|absorbed| !absorbed.contains(&input));
            // What several nodes share, each that absorbs it may keep in a form of its own.
            let kept = absorbed.is_some_and(|absorbed| absorbed.contains(&input)) && !last;
            let copied = self.constants.get(id).filter(|_| kept).map_or(0, Tensor::weight);
            self.copies_left = self.copies_left.checked_sub(copied).ok_or_else(|| {
                LoadError::Invalid(format!(
                    "{node}: the weights that nodes share would take {COPIES} times what the model has"
                ))
            })?;
            let wanted = read && !self.built.constants.contains_key(id);
            let constant = if last {
                self.constants.remove(id)
            } else {
                self.constants.get(id).filter(|_| wanted).cloned()
            };
            if let Some(constant) = constant.filter(|_| wanted) {
                self.keep(*id, constant)?;
            }
        }
        Ok(())
    }

    /// Puts a constant where operators read it when they run.
    fn keep(&mut self, id: ValueId, constant: Tensor) -> Result<(), LoadError> {
        self.ledger.keep(constant.weight() as u64).map_err(LoadError::Memory)?;
        self.built.constants.insert(id, placed(constant, self.device));
        Ok(())
    }
}

/// Gives values their slots, in the order of the nodes.
struct Layout<'a> {
    graph: &'a Graph,
    /// The reads of each value that are still to come.
    reads: Vec<usize>,
    /// The slot that each value is in.
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

    fn lay<B: Kernels>(mut self, built: Built<B>) -> Program<B> {
        let graph = self.graph;
        let Built { operators, constants: mut known } = built;
        let reads: Vec<Vec<Option<ValueId>>> = graph
            .nodes
            .iter()
            .zip(&operators)
            .map(|(node, (_, absorbed))| {
                let inputs = node.inputs.iter().enumerate();
                inputs.map(|(input, id)| id.filter(|_| !absorbed.contains(&input))).collect()
            })
            .collect();
        for id in reads.iter().flatten().flatten().chain(&graph.outputs) {
            self.reads[*id] += 1;
        }
        let mut constants = Vec::new();
        let inputs = graph.inputs.iter().chain(&graph.captures).map(|id| self.open(*id)).collect();
        let mut steps = Vec::with_capacity(operators.len());
        let mut following: HashSet<ValueId> = graph.inputs.iter().chain(&graph.captures).copied().collect();
        for ((node, (op, _)), ids) in graph.nodes.iter().zip(operators).zip(reads) {
            let follows_input = ids.iter().flatten().any(|id| following.contains(id));
            if follows_input {
                following.extend(node.outputs.iter().flatten());
            }
            let inputs =
                ids.into_iter().map(|id| self.source(id, &mut constants, &mut known)).collect::<Vec<_>>();
            let outputs = node.outputs.iter().map(|id| id.and_then(|id| self.open(id))).collect();
            steps.push(Step { op, name: node.to_string(), inputs, outputs, follows_input });
        }
        let outputs = graph.outputs.iter();
        let outputs = outputs.map(|id| self.source(Some(*id), &mut constants, &mut known)).collect();
        Program { steps, slots: self.slots, constants, inputs, outputs }
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

    fn source<B: Kernels>(
        &mut self,
        id: Option<ValueId>,
        constants: &mut Vec<Value<B>>,
        known: &mut HashMap<ValueId, Value<B>>,
    ) -> Source {
        let Some(id) = id else { return Source::Missing };
        if let Some(index) = self.constant[id] {
            return Source::Constant(index);
        }
        if let Some(value) = known.remove(&id) {
            constants.push(value);
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

/// Where it is wanted; the small ones in memory of their own, as they were read they are slices of the whole
/// file.
fn placed<B: Kernels>(tensor: Tensor, device: &B::Device) -> Value<B> {
    let small = if tensor.dtype().is_float() { tensor.len() <= 1 } else { tensor.len() <= HOST_INTS };
    if !small {
        return Value::Host(tensor).on_device(device);
    }
    let own = Bytes::copy_from_slice(tensor.bytes());
    let copied = Tensor::from_bytes(tensor.dtype(), tensor.shape().to_vec(), own);
    Value::Host(copied.unwrap_or(tensor))
}
