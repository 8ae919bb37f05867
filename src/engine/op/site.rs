//! Where an operator is built.

use super::{Registry, ints};
use crate::engine::backend::Kernels;
use crate::engine::onnx::{Node, ValueId};
use crate::engine::weights::Ledger;
use crate::tensor::Tensor;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, HashMap};

/// The place at which an operator is built: its node, the constants of its graph, the device.
pub struct Site<'a, B: Kernels> {
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

impl<'a, B: Kernels> Site<'a, B> {
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

    /// Notes that the operator keeps this many bytes of those that were reserved.
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
