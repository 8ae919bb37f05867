//! Which slot each value of an entry point has, and which outputs are read on the host.

use super::id::{Id, LoadedId, ScopeDecodeId, ScopeStepId};
use super::scope::{Scope, Source};
use super::step::StepInput;
use super::{CalledId, DecodeId, IdVec, InputPlan, OutputPlan, Port, SlotId, Step, StepId};

/// Which slot each value has.
pub struct Layout<'s, 'a> {
    scope: &'s Scope<'a>,
    /// The decodes of the entry, by their names.
    decodes: IdVec<DecodeId, ScopeDecodeId>,
    /// The steps of the entry, as the pipeline declares them.
    steps: IdVec<StepId, ScopeStepId>,
    /// Whether each output of each step is read, and whether on the host.
    read: IdVec<StepId, Vec<Option<bool>>>,
    /// The slot of each output of each step, where it is read.
    slot: IdVec<StepId, Vec<Option<SlotId>>>,
    /// The number of slots.
    pub slots: usize,
}

impl<'s, 'a> Layout<'s, 'a> {
    pub fn new(scope: &'s Scope<'a>, decodes: &[ScopeDecodeId], steps: &[ScopeStepId]) -> Self {
        let outputs = |s: &ScopeStepId| scope.steps[*s].outputs().len();
        Self {
            scope,
            decodes: decodes.to_vec().into(),
            steps: steps.to_vec().into(),
            read: steps.iter().map(|s| vec![None; outputs(s)]).collect(),
            slot: steps.iter().map(|s| vec![None; outputs(s)]).collect(),
            slots: decodes.len(),
        }
    }

    /// Where a step of the pipeline is in the entry.
    pub fn position(&self, step: ScopeStepId) -> Option<StepId> {
        self.steps.position(|s| *s == step)
    }

    pub fn read(&mut self, step: ScopeStepId, output: usize, on_host: bool) {
        let position = self.position(step);
        if let Some(read) = position.and_then(|p| self.read.get_mut(p)).and_then(|o| o.get_mut(output)) {
            *read = Some(read.unwrap_or(false) || on_host);
        }
    }

    pub fn number(&mut self) {
        for (slots, read) in self.slot.iter_mut().zip(&self.read) {
            for (slot, read) in slots.iter_mut().zip(read) {
                if read.is_some() {
                    *slot = Some(SlotId::new(self.slots));
                    self.slots += 1;
                }
            }
        }
    }

    /// Where a decode that a name stands for is in the entry.
    pub fn decode(&self, decode: ScopeDecodeId) -> Option<DecodeId> {
        self.decodes.position(|d| *d == decode)
    }

    pub fn slot_of(&self, source: Source) -> Option<SlotId> {
        match source {
            Source::Decode(decode) => self.decode(decode).map(SlotId::of_decode),
            Source::Output { step, output } => *self.slot.get(self.position(step)?)?.get(output?)?,
        }
    }

    pub fn step(&self, index: ScopeStepId, called: &IdVec<CalledId, LoadedId>) -> Option<Step> {
        let step = &self.scope.steps[index];
        let at = self.position(index)?;
        let input = |(port, input): (usize, &StepInput<'_>)| {
            let feed = step.feeds.iter().find(|f| f.port == Some(port))?;
            Some(InputPlan { name: input.name.to_owned(), slot: self.slot_of(feed.source.known()?)? })
        };
        let output = |(index, port): (usize, &&Port)| OutputPlan {
            name: port.name.clone(),
            ty: port.item_type(),
            slot: self.slot[at][index],
            to_host: self.read[at][index].unwrap_or(false),
        };
        Some(Step {
            name: step.spec.name.value.clone(),
            calls: step.spec.model.as_ref()?.value.clone(),
            model: called.position(|m| Some(*m) == step.model)?,
            inputs: step.signature.as_ref()?.inputs.iter().enumerate().map(input).collect::<Option<_>>()?,
            outputs: step.outputs().iter().enumerate().map(output).collect(),
        })
    }
}
