//! What each model has of one device: its share, its memory, and what it took of late. Pure: the time is an argument.

use super::Policy;
use super::share::AccountId;
use super::usage::Window;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The parts of a device's time that its models had in the last seconds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Usage {
    /// The part that ran of what its lanes could have run, in the last 10 and 60 seconds: in [0, 1].
    pub busy: [f64; 2],
    /// The use of each model, by name.
    pub models: Vec<ModelUsage>,
}

/// The share of a device that one model asked for, and the one that it got.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelUsage {
    pub model: Arc<str>,
    /// The share asked for; 0 is best effort.
    pub share: f64,
    /// The part that it got of the time given to anyone, in the last 10 and 60 seconds: in [0, 1].
    pub got: [f64; 2],
}

/// The spans of [`Usage`], in seconds.
pub const SPANS: [f64; 2] = [10.0, 60.0];

/// The part of its model's memory that a batch holds, given back by [`Accounts::release`].
#[derive(Debug)]
#[must_use = "what is held is given back when the batch ends"]
pub struct Hold {
    model: Arc<str>,
    account: AccountId,
    bytes: u64,
}

impl Hold {
    /// The account that the batch is charged to.
    pub fn account(&self) -> AccountId {
        self.account
    }
}

/// The models on a device.
#[derive(Default)]
pub struct Accounts {
    models: HashMap<Arc<str>, Holding>,
    /// Taken by all together.
    window: Window,
    /// What [`Window`]s count from: the first time that is known.
    epoch: Option<Instant>,
}

/// What one model has of the device.
struct Holding {
    account: AccountId,
    share: f64,
    /// Instances that draw on it.
    instances: usize,
    window: Window,
    /// Bytes that they may take together.
    memory: Option<u64>,
    /// Bytes of their weights.
    weights: u64,
    /// Bytes that their batches on the way take, by experience.
    batches: u64,
}

impl Accounts {
    /// Something happens at this time; the first is what usage is counted from.
    pub fn begin(&mut self, now: Instant) {
        self.epoch.get_or_insert(now);
    }

    /// An instance draws on what its model has; of the first one, `open` gives the account.
    pub fn join(
        &mut self,
        model: &Arc<str>,
        policy: &Policy,
        weights: u64,
        open: impl FnOnce() -> AccountId,
    ) -> AccountId {
        let holding = self.models.entry(model.clone()).or_insert_with(|| Holding {
            account: open(),
            share: policy.share,
            instances: 0,
            window: Window::default(),
            memory: policy.memory,
            weights: 0,
            batches: 0,
        });
        // A share that others hold already is changed by `set` alone: the new instance may be of a plan that
        // does not serve yet.
        holding.instances += 1;
        holding.weights += weights;
        holding.account
    }

    /// An instance is gone. Gives the account to be closed, where it was the last one of its model.
    pub fn leave(&mut self, model: &str, weights: u64) -> Option<AccountId> {
        let holding = self.models.get_mut(model)?;
        holding.instances -= 1;
        holding.weights = holding.weights.saturating_sub(weights);
        if holding.instances > 0 {
            return None;
        }
        self.models.remove(model).map(|holding| holding.account)
    }

    /// Holds a model to another policy.
    pub fn set(&mut self, model: &str, policy: &Policy) {
        if let Some(holding) = self.models.get_mut(model) {
            holding.share = policy.share;
            holding.memory = policy.memory;
        }
    }

    /// Takes the memory of a batch.
    pub fn hold(&mut self, model: &Arc<str>, account: AccountId, bytes: u64) -> Hold {
        if let Some(holding) = self.models.get_mut(model) {
            holding.batches = holding.batches.saturating_add(bytes);
        }
        Hold { model: model.clone(), account, bytes }
    }

    /// Gives back the memory of a batch.
    pub fn release(&mut self, hold: Hold) {
        // Of that name there may be another by now.
        if let Some(holding) = self.models.get_mut(&hold.model)
            && holding.account == hold.account
        {
            holding.batches = holding.batches.saturating_sub(hold.bytes);
        }
    }

    /// A batch ended that took so long: of this model, if there still is one.
    pub fn took(&mut self, model: Option<&str>, took: Duration, now: Instant) {
        let end = self.seconds(now);
        self.window.add(end, took.as_secs_f64());
        if let Some(holding) = model.and_then(|model| self.models.get_mut(model)) {
            holding.window.add(end, took.as_secs_f64());
        }
    }

    /// Whether one more batch of the model, of so many bytes, fits beside its weights and its other batches.
    pub fn fits(&self, model: &str, batch: u64) -> bool {
        self.models.get(model).is_none_or(|holding| match holding.memory {
            Some(allowed) if holding.batches > 0 => {
                let taken = holding.weights.saturating_add(holding.batches);
                taken.saturating_add(batch) <= allowed
            }
            _ => true,
        })
    }

    /// The usage of a device of that many lanes. `running` are the batches on the way: the account of each, and the
    /// time at which it started.
    pub fn usage(&self, running: &[(AccountId, Instant)], lanes: usize, now: Instant) -> Usage {
        let since = |started: Instant| now.saturating_duration_since(started).as_secs_f64();
        // What ended, and what is on the way, as far as it lies in the span.
        let taken = |window: &Window, span: f64, own: &dyn Fn(AccountId) -> bool| {
            let own = running.iter().filter(|(account, _)| own(*account));
            let running = own.map(|(_, started)| since(*started).min(span));
            // The sum of nothing is a zero with a sign.
            0.0 + window.sum(self.seconds(now), span) + running.sum::<f64>()
        };
        let all = SPANS.map(|span| taken(&self.window, span, &|_| true));
        let width = lanes as f64;
        let possible = SPANS.map(|span| span.min(self.seconds(now)).max(f64::MIN_POSITIVE) * width);
        let part = |of: f64, all: f64| if all > 0.0 { (of / all).clamp(0.0, 1.0) } else { 0.0 };
        let model = |(model, holding): (&Arc<str>, &Holding)| {
            let own = |account: AccountId| account == holding.account;
            let got = [0, 1].map(|i| part(taken(&holding.window, SPANS[i], &own), all[i]));
            ModelUsage { model: model.clone(), share: holding.share, got }
        };
        let mut models: Vec<ModelUsage> = self.models.iter().map(model).collect();
        models.sort_by(|a, b| a.model.cmp(&b.model));
        Usage { busy: [0, 1].map(|i| part(all[i], possible[i])), models }
    }

    fn seconds(&self, now: Instant) -> f64 {
        self.epoch.map_or(0.0, |epoch| now.saturating_duration_since(epoch).as_secs_f64())
    }
}
