//! Which slot each value of an entry point has, where it is there, and which outputs are read on the host.

use super::id::{LoadedId, ScopeDecodeId, ScopeStepId};
use super::made::{LabelFile, labels_of};
use super::models::{self, Loaded};
use super::operation::Reads;
use super::scope::{FeedTo, Scope, ScopeStep, Source};
use super::step::presence::Presences;
use super::step::{StepInput, StepOutput};
use super::{
    CalledId, Calls, DecodeId, Does, Guard, IdVec, InputPlan, List, ListId, OutputPlan, SlotId, Step, StepId,
    TensorType,
};
use crate::plan::entry::View;

/// Which slot each value has.
pub struct Layout<'s, 'a> {
    scope: &'s Scope<'a>,
    presences: &'s Presences,
    models: &'s IdVec<LoadedId, Loaded<'a>>,
    /// The decodes of the entry, by their names.
    decodes: IdVec<DecodeId, ScopeDecodeId>,
    /// The steps of the entry, as the pipeline declares them.
    steps: IdVec<StepId, ScopeStepId>,
    /// The steps that make its lists, each list after those that its own lies in.
    lists: IdVec<ListId, ScopeStepId>,
    /// Whether each output of each step is read, and whether on the host.
    read: IdVec<StepId, Vec<Option<bool>>>,
    /// The slot of each output of each step, where it is read.
    slot: IdVec<StepId, Vec<Option<SlotId>>>,
    /// The slot of each list.
    list_slot: IdVec<ListId, SlotId>,
    /// The innermost list for each of whose elements a slot has a value.
    levels: IdVec<SlotId, Option<ListId>>,
}

impl<'s, 'a> Layout<'s, 'a> {
    pub fn new(
        scope: &'s Scope<'a>,
        presences: &'s Presences,
        models: &'s IdVec<LoadedId, Loaded<'a>>,
        decodes: &[ScopeDecodeId],
        steps: &[ScopeStepId],
    ) -> Self {
        let outputs = |s: &ScopeStepId| scope.steps[*s].outputs().len();
        let lists = steps.iter().copied().filter(|step| scope.steps[*step].makes_list().is_some());
        Self {
            scope,
            presences,
            models,
            decodes: decodes.to_vec().into(),
            steps: steps.to_vec().into(),
            lists: lists.collect(),
            read: steps.iter().map(|s| vec![None; outputs(s)]).collect(),
            slot: steps.iter().map(|s| vec![None; outputs(s)]).collect(),
            list_slot: IdVec::default(),
            levels: vec![None; decodes.len()].into(),
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
        for (at, step) in self.steps.enumerate() {
            let below = match self.lists.position(|list| list == step) {
                Some(list) => Some(list),
                None => self.level(&self.presences.of_step(*step).lineage),
            };
            for (slot, read) in self.slot[at].iter_mut().zip(&self.read[at]) {
                if read.is_some() {
                    *slot = Some(self.levels.push(below));
                }
            }
        }
        for list in &self.lists {
            let level = self.level(&self.presences.of_step(*list).lineage);
            self.list_slot.push(self.levels.push(level));
        }
    }

    /// The innermost list of a lineage.
    fn level(&self, lineage: &[ScopeStepId]) -> Option<ListId> {
        let innermost = lineage.last()?;
        self.lists.position(|list| list == innermost)
    }

    /// Where a decode that a name stands for is in the entry.
    pub fn decode(&self, decode: ScopeDecodeId) -> Option<DecodeId> {
        self.decodes.position(|d| *d == decode)
    }

    pub fn slot_of(&self, source: Source) -> Option<SlotId> {
        match source {
            Source::Decode(decode) => self.decode(decode).map(SlotId::of_decode),
            Source::Output { step, output } => *self.slot.get(self.position(step)?)?.get(output?)?,
            Source::List(step) => self.list_slot.get(self.lists.position(|list| *list == step)?).copied(),
        }
    }

    /// A file of labels, as it is found at run time.
    pub fn labels(
        &self,
        labels: &LabelFile,
        called: &IdVec<CalledId, LoadedId>,
    ) -> Option<(CalledId, String)> {
        Some((called.position(|model| *model == labels.model)?, labels.file.value.clone()))
    }

    /// The slots, each with the innermost list for each of whose elements it has a value.
    pub fn levels(&self) -> IdVec<SlotId, Option<ListId>> {
        self.levels.clone()
    }

    /// The lists of the entry.
    pub fn lists(&self) -> IdVec<ListId, List> {
        let list = |(list, step): (ListId, &ScopeStepId)| {
            let node = &self.scope.steps[*step];
            Some(List {
                name: node.spec.name.value.clone(),
                step: self.position(*step)?,
                within: self.level(&self.presences.of_step(*step).lineage),
                slot: self.list_slot[list],
                most: node.makes_list()?,
            })
        };
        self.lists.enumerate().filter_map(list).collect()
    }

    pub fn step(
        &self,
        index: ScopeStepId,
        view: &View<'_>,
        called: &IdVec<CalledId, LoadedId>,
    ) -> Option<Step> {
        let node = &self.scope.steps[index];
        let at = self.position(index)?;
        let labels = |source| labels_of(view, source).and_then(|labels| self.labels(&labels, called));
        let (does, inputs) = match &view.made[index] {
            Some(made) => {
                let on = match node.fed(FeedTo::Picture) {
                    Some(Source::Decode(decode)) => Some(self.decode(decode)?),
                    _ => None,
                };
                let inputs = made.operands.iter().enumerate().map(|(at, (operand, labels))| {
                    let slot = self.slot_of(node.fed(FeedTo::Operand(at))?)?;
                    let labels = labels.as_ref().and_then(|labels| self.labels(labels, called));
                    Some(InputPlan { name: operand.name.clone(), slot, reads: operand.reads, labels })
                });
                let operation = made.operation.clone();
                (Does::Operation { operation, on }, inputs.collect::<Option<_>>()?)
            }
            None => {
                let model = called.position(|m| Some(*m) == node.model)?;
                let name = node.spec.model.as_ref()?.value.clone();
                let batch = models::rows_at_once(self.models[node.model?].spec);
                (Does::Call(Calls { model, name, batch }), self.model_inputs(node)?)
            }
        };
        let when = match &node.when {
            None => None,
            Some(condition) => {
                let sources = (0..condition.sources().len()).map(|at| {
                    let source = node.fed(FeedTo::Condition(at))?;
                    let slot = self.slot_of(source)?;
                    Some(InputPlan { name: String::new(), slot, reads: Reads::One, labels: labels(source) })
                });
                Some(Guard { condition: condition.clone(), sources: sources.collect::<Option<_>>()? })
            }
        };
        let output = |(index, output): (usize, &StepOutput<'_>)| OutputPlan {
            name: output.name.to_owned(),
            ty: self.output_type(node, index, view),
            slot: self.slot[at][index],
            to_host: self.read[at][index].unwrap_or(false),
        };
        Some(Step {
            name: node.spec.name.value.clone(),
            does,
            each: self.level(&self.presences.of_step(index).lineage),
            makes: self.lists.position(|list| *list == index),
            inputs,
            when,
            within: node.spec.within.as_ref().map(|within| within.value),
            outputs: node.outputs().iter().enumerate().map(output).collect(),
        })
    }

    fn output_type(&self, node: &ScopeStep<'_>, output: usize, view: &View<'_>) -> TensorType {
        match node.port(output) {
            Some(port) => port.item_type(),
            None => {
                let step = self.scope.steps.position(|other| std::ptr::eq(other, node));
                let made = step.and_then(|step| view.made[step].as_ref());
                made.and_then(|made| Some(made.outputs.get(output)?.ty.clone())).unwrap_or_default()
            }
        }
    }

    fn model_inputs(&self, node: &ScopeStep<'_>) -> Option<Vec<InputPlan>> {
        let input = |(port, input): (usize, &StepInput<'_>)| {
            let source = node.fed(FeedTo::Port(Some(port)))?;
            let slot = self.slot_of(source)?;
            Some(InputPlan { name: input.name.to_owned(), slot, reads: Reads::One, labels: None })
        };
        node.signature.as_ref()?.inputs.iter().enumerate().map(input).collect()
    }
}
