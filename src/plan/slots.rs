//! Which slot each value of an entry point has, and which outputs are read on the host.

use super::Step;
use super::scope::{Scope, Source};

/// Which slot each value has.
pub struct Layout<'s, 'a> {
    scope: &'s Scope<'a>,
    /// By position: the decode.
    decodes: Vec<usize>,
    /// By position: the step.
    steps: Vec<usize>,
    /// By position and output: whether it is read, and whether on the host.
    read: Vec<Vec<Option<bool>>>,
    /// By position and output.
    slot: Vec<Vec<Option<usize>>>,
    pub slots: usize,
}

impl<'s, 'a> Layout<'s, 'a> {
    pub fn new(scope: &'s Scope<'a>, decodes: &[usize], steps: &[usize]) -> Self {
        let outputs = |s: &usize| scope.steps[*s].signature.map_or(0, |signature| signature.outputs.len());
        Self {
            scope,
            decodes: decodes.to_vec(),
            steps: steps.to_vec(),
            read: steps.iter().map(|s| vec![None; outputs(s)]).collect(),
            slot: steps.iter().map(|s| vec![None; outputs(s)]).collect(),
            slots: decodes.len(),
        }
    }

    pub fn position(&self, step: usize) -> Option<usize> {
        self.steps.iter().position(|s| *s == step)
    }

    pub fn read(&mut self, step: usize, output: usize, on_host: bool) {
        let position = self.position(step);
        if let Some(read) = position.and_then(|p| self.read.get_mut(p)).and_then(|o| o.get_mut(output)) {
            *read = Some(read.unwrap_or(false) || on_host);
        }
    }

    pub fn number(&mut self) {
        for (slots, read) in self.slot.iter_mut().zip(&self.read) {
            for (slot, read) in slots.iter_mut().zip(read) {
                if read.is_some() {
                    *slot = Some(self.slots);
                    self.slots += 1;
                }
            }
        }
    }

    pub fn slot_of(&self, source: Source) -> Option<usize> {
        match source {
            Source::Decode(index) => self.decodes.iter().position(|d| *d == index),
            Source::Output { step, output } => *self.slot.get(self.position(step)?)?.get(output?)?,
        }
    }

    pub fn step(&self, index: usize, called: &[usize]) -> Option<Step> {
        let node = &self.scope.steps[index];
        let at = self.position(index)?;
        let input = |port: usize| {
            let feed = node.feeds.iter().find(|f| f.port == Some(port))?;
            self.slot_of(feed.source.known()?)
        };
        Some(Step {
            name: node.spec.name.value.clone(),
            calls: node.spec.model.as_ref()?.value.clone(),
            model: called.iter().position(|m| Some(*m) == node.model)?,
            inputs: (0..node.signature?.inputs.len()).map(input).collect::<Option<_>>()?,
            outputs: self.slot[at].clone(),
            to_host: self.read[at].iter().map(|r| r.unwrap_or(false)).collect(),
        })
    }
}
