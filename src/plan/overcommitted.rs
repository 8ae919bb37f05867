//! What is said of shares that do not fit on the devices: who has which device, who has none, and what would fit.

use super::id::LoadedId;
use super::models::Loaded;
use super::place::{Replica, TOLERANCE};
use super::{DeviceFacts, IdVec};
use crate::diagnostic::Diagnostic;

/// How far the replicas came onto the devices, the most constrained first.
pub struct Attempt<'p, 'a> {
    pub devices: &'p [&'p DeviceFacts],
    pub models: &'p IdVec<LoadedId, Loaded<'a>>,
    pub replicas: &'p [Replica],
    /// The device of each replica, by its position in `devices`, where one had room for it.
    pub greedy: &'p [Option<usize>],
    /// The share of each device that nobody holds then.
    pub left: &'p [f64],
}

impl Attempt<'_, '_> {
    pub fn told(&self) -> Diagnostic {
        let sum: f64 = self.replicas.iter().map(|replica| replica.share).sum();
        let d = Diagnostic::error(match self.devices {
            [one] => {
                format!("the shares add up to {}, more than the one device `{}` has", share(sum), one.id)
            }
            many => format!("the shares add up to {} and do not fit on {} devices", share(sum), many.len()),
        });
        self.helped(self.noted(self.labelled(d)))
    }

    /// The models, in the order in which they were placed.
    fn order(&self) -> Vec<LoadedId> {
        let mut order: Vec<LoadedId> = self.replicas.iter().map(|replica| replica.model).collect();
        order.dedup();
        order
    }

    /// The number of replicas of a model that have that device, or none.
    fn placed(&self, model: LoadedId, device: Option<usize>) -> usize {
        let is = |(replica, on): &(&Replica, &Option<usize>)| replica.model == model && **on == device;
        self.replicas.iter().zip(self.greedy).filter(is).count()
    }

    fn without_device(&self) -> impl Iterator<Item = LoadedId> {
        self.order().into_iter().filter(|model| self.placed(*model, None) > 0)
    }

    /// Says at each share who has no device, and who has which.
    fn labelled(&self, d: Diagnostic) -> Diagnostic {
        let at = |d: Diagnostic, model: LoadedId, text: String| match &self.models[model].spec.gpu {
            Some(gpu) => d.at(&gpu.place, text),
            None => d,
        };
        let times = |model: LoadedId, count: usize| match self.models[model].spec.replicas.as_ref() {
            Some(replicas) if replicas.value > 1 => format!(", {count} of {} replicas", replicas.value),
            _ => String::new(),
        };
        let mut d = d;
        for (index, model) in self.without_device().enumerate() {
            let words = if index == 0 { "no room for" } else { "nor for" };
            let count = self.placed(model, None);
            d = at(d, model, format!("{words} `{}`{}", self.models[model].name(), times(model, count)));
        }
        for model in self.order() {
            let devices = self.devices.iter().enumerate();
            let on = devices.filter(|(index, _)| self.placed(model, Some(*index)) > 0);
            let on: Vec<String> = on.map(|(_, device)| format!("`{}`", device.id)).collect();
            // A place is said once; that something of it has no room says more.
            if !on.is_empty() && self.placed(model, None) == 0 {
                d = at(d, model, format!("`{}` on {}", self.models[model].name(), on.join(", ")));
            }
        }
        d
    }

    /// Says of each device who takes what of it, and what is left.
    fn noted(&self, d: Diagnostic) -> Diagnostic {
        let taken = |model: &LoadedId, device: usize| {
            let part = share(self.models[*model].spec.gpu.as_ref()?.value);
            let taken = match self.placed(*model, Some(device)) {
                0 => return None,
                1 => part,
                count => format!("{count} x {part}"),
            };
            Some(format!("`{}` {taken}", self.models[*model].name()))
        };
        let order = self.order();
        self.devices.iter().zip(self.left).enumerate().fold(d, |d, (index, (device, left))| {
            let takes: Vec<String> = order.iter().filter_map(|model| taken(model, index)).collect();
            let takes = if takes.is_empty() { "nobody".to_owned() } else { takes.join(", ") };
            d.note(format!("`{}` ({}): {takes}; {} left", device.id, device.name, share(*left)))
        })
    }

    /// Says what would fit.
    fn helped(&self, d: Diagnostic) -> Diagnostic {
        let mut d = d;
        let room = self.left.iter().copied().fold(0.0, f64::max);
        if let Some(model) = self.without_device().next() {
            let (missing, name) = (self.placed(model, None), self.models[model].name());
            let wanted = self.models[model].spec.replicas.as_ref().map_or(1, |replicas| replicas.value);
            if wanted > missing {
                d = d.help(format!("`{name}` would fit with `replicas = {}`", wanted - missing));
            } else if wanted == 1 && room > TOLERANCE {
                d = d.help(format!("`{name}` would fit with `gpu = {}`", share(room)));
            }
        }
        d.help("a model without `gpu` has no share held for it and runs in what the others leave idle")
    }
}

fn share(value: f64) -> String {
    let text = format!("{:.3}", value.max(0.0));
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
