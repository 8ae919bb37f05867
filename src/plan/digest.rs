//! What an entry point does, written out: the same text for two that do the same, whatever the spelling and
//! the order of what is written in the file.
//!
//! A run that was cut off goes on, and a server takes the items of another process, where the digests of
//! this text are equal. So everything that changes an answer is in it, and nothing else: no device, no
//! share, no number of a slot. The models' files are told apart by their own digests.

use super::{DecodePlan, Does, EncodePlan, Entry, Guard, InputPlan, SlotId, Step, Writer};
use serde_json::{Map, Value, json};

/// What the digests of today begin with. Another one is given whenever the text changes that is digested,
/// so that digests of different rules are never taken for those of different plans.
const RULE: &str = "v2-";

impl Entry {
    /// The digest of everything that it does, but for the models' own files.
    pub fn digest(&self) -> String {
        let hash = blake3::hash(self.described_whole().to_string().as_bytes());
        format!("{RULE}{}", hash.to_hex())
    }

    fn described_whole(&self) -> Value {
        let decodes: Map<String, Value> =
            self.decodes.iter().map(|decode| (decode.name.clone(), decode.described())).collect();
        let steps: Map<String, Value> =
            self.steps.iter().map(|step| (step.name.clone(), self.described_step(step))).collect();
        // The first is the default answer, and tables and files are written in this order.
        let encodes: Vec<Value> = self
            .encodes
            .iter()
            .map(|encode| json!({ "name": encode.name, "is": self.described(encode) }))
            .collect();
        let mut whole = json!({ "decodes": decodes, "steps": steps, "encodes": encodes });
        if !self.refusals.is_empty() {
            let refusals = self.refusals.iter().map(|refusal| {
                json!({ "when": self.described_guard(&refusal.when), "status": refusal.status, "say": refusal.say })
            });
            whole["refusals"] = refusals.collect();
        }
        whole
    }

    /// A part that is not there is left out, so that plans without it keep their digest.
    fn described_step(&self, step: &Step) -> Value {
        let inputs: Vec<Value> = step.inputs.iter().map(|input| self.described_input(input)).collect();
        let mut described = match &step.does {
            Does::Call(calls) => json!({ "model": calls.name, "inputs": inputs }),
            Does::Operation { operation, on } => json!({
                "op": operation.name(),
                "options": operation.options(),
                "inputs": inputs,
                "on": on.map(|decode| self.source(SlotId::of_decode(decode))),
            }),
        };
        if let Some(list) = step.each {
            described["each"] = json!(self.lists[list].name);
        }
        if let Some(guard) = &step.when {
            described["when"] = self.described_guard(guard);
        }
        if let Some(within) = step.within {
            described["within"] = json!(within.as_secs_f64());
        }
        described
    }

    fn described_input(&self, input: &InputPlan) -> Value {
        match &input.labels {
            None => self.source(input.slot),
            Some((_, file)) => json!({ "from": self.source(input.slot), "labels": file }),
        }
    }

    fn described_guard(&self, guard: &Guard) -> Value {
        let sources: Vec<Value> = guard.sources.iter().map(|source| self.described_input(source)).collect();
        json!({ "condition": guard.condition.to_string(), "sources": sources })
    }

    /// What an encode of this entry point does: its options, and where each of its sources comes from.
    pub fn described(&self, encode: &EncodePlan) -> Value {
        let source = |source: &super::EncodeSource| {
            let labels = source.labels.as_ref().map(|(_, file)| file);
            json!({ "from": self.source(source.slot), "labels": labels })
        };
        let mut described = json!({
            "format": encode.encode.format(),
            "options": encode.encode.options(),
            "sources": encode.sources.iter().map(source).collect::<Vec<_>>(),
            "on": encode.origin.map(|decode| self.source(SlotId::of_decode(decode))),
        });
        if !encode.sizes.is_empty() {
            described["sizes"] =
                encode.sizes.iter().map(|decode| self.source(SlotId::of_decode(*decode))).collect();
        }
        described
    }

    /// The decode or the step that fills a slot.
    fn source(&self, slot: SlotId) -> Value {
        match self.writer(slot) {
            Some(Writer::Decode(decode)) => json!({ "decode": self.decodes[decode].name }),
            Some(Writer::Step(step, output)) => json!({ "step": self.steps[step].name, "output": output }),
            Some(Writer::List(step)) => json!({ "list": self.steps[step].name }),
            None => Value::Null,
        }
    }
}

impl DecodePlan {
    /// Whether another one of the same name decodes in the same way.
    pub fn is_as(&self, other: &Self) -> bool {
        self.name == other.name && self.described() == other.described()
    }

    fn described(&self) -> Value {
        json!({ "format": self.decode.format(), "options": self.decode.options() })
    }
}

/// Whether two digests were made by one rule, so that two that differ are of plans that differ.
pub fn are_comparable(a: &str, b: &str) -> bool {
    let rule = |digest: &str| digest.split_once('-').map(|(rule, _)| rule.to_owned());
    rule(a) == rule(b)
}
