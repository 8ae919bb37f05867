//! One generation, from files to ready, in three strides between which it may be given up. Blocks; runs on
//! threads that serve nobody and give loading to those that do.

use super::aside::{Aside, aside};
use super::fault::{Cause, Fault};
use super::generation::Generation;
use super::given;
use super::loader::{Loadable, Loader, OpenError, Opened, PlaceError};
use super::memory::{LoadedGenerations, Verdict, judge};
use super::notes::LoadNote;
use super::precautions::Precautions;
use super::records::{Records, Track};
use super::samples::Feeds;
use super::state::State;
use super::status::PlaceStatus;
use super::warm::{Joining, WarmUp, Warmed};
use crate::memory::Reservation;
use crate::plan::memory::{Allowed, Need};
use crate::plan::{BatchPolicy, Declaration, DeviceId, VersionFacts};
use crate::scheduler::{Device, Policy, Replicas, Runner, StopFlag};
use crate::store::{Digest, VersionFiles};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// The loader, and the precautions that loads are made with.
#[derive(Clone)]
pub(super) struct LoadContext {
    pub loader: Arc<dyn Loader>,
    pub precautions: Precautions,
}

/// A device that a model runs on, and how it is served there.
#[derive(Clone)]
pub(super) struct Target {
    pub device: Device,
    /// Replicas on this device: they hold its share together and have one copy of the weights.
    pub replicas: usize,
    pub policy: Policy,
    /// The part of the device's memory that it may take; `None` where the device does not say what it has.
    pub memory: Option<Allowed>,
}

/// The load of a generation that is asked for.
#[derive(Clone)]
pub(super) struct LoadRequest {
    pub loader: Arc<dyn Loader>,
    pub model: String,
    /// At least one target; each device once.
    pub targets: Vec<Target>,
    /// It is to be compared with others, and answers nobody.
    pub shadow: bool,
    pub limit: Duration,
    /// What the pipeline file says of the batch axes.
    pub declaration: Declaration,
    /// What comes to its inputs.
    pub feeds: Arc<Feeds>,
    /// Whether it is run on samples before it serves.
    pub warm: bool,
    /// The model's generations that are on devices already.
    pub loaded: LoadedGenerations,
    /// What is there goes once this one serves, so that it might go before.
    pub replaces: bool,
    /// Something serves that must not suffer.
    pub background: bool,
    pub note: Arc<LoadNote>,
}

/// A load in progress.
struct Loading {
    request: LoadRequest,
    version: u64,
    digest: Digest,
    facts: VersionFacts,
    /// The files that lie beside the model to try it with, by input.
    samples: Arc<BTreeMap<String, Bytes>>,
    /// The memory that the files take, until the model has what it needs of them on its devices.
    held: Option<Arc<Reservation>>,
    begun: Instant,
    track: Track,
}

/// A generation whose file was read. Nothing of it is on a device.
pub(super) struct Inspected {
    loading: Loading,
    model: Box<dyn Loadable>,
}

/// A generation that is on its devices and has not run.
pub(super) struct Placed {
    loading: Loading,
    /// A runner for each target.
    runners: Vec<Arc<dyn Runner>>,
    load: Duration,
}

impl Target {
    /// The policy by which a generation is served, whose items share batches or do not.
    pub(super) fn policy(&self, joined: bool) -> Policy {
        let mut policy = self.policy.clone();
        if !joined {
            policy.batch = BatchPolicy::up_to(1);
        }
        policy
    }

    pub(super) fn status(&self, model: &str) -> PlaceStatus {
        let usage = self.device.usage();
        let got = usage.models.iter().find(|of| &*of.model == model).map_or([0.0; 2], |of| of.got);
        PlaceStatus {
            device: self.device.id(),
            replicas: self.replicas,
            share: self.policy.share,
            memory_allowed: self.memory.map(Allowed::bytes),
            share_got_10s: rounded(got[0]),
            share_got_60s: rounded(got[1]),
        }
    }
}

/// A share to four digits: more is noise.
pub(super) fn rounded(share: f64) -> f64 {
    (share * 1e4).round() / 1e4
}

impl LoadRequest {
    /// What became of a thread that was to load the generation.
    fn fault(&self, aside: Aside, cause: Cause) -> Fault {
        match aside {
            Aside::Overdue => {
                self.note.overdue();
                let seconds = self.limit.as_secs_f64();
                let reason = format!("it was not ready within {seconds} s, and is still being loaded");
                Fault::new(Cause::Timeout, reason)
            }
            Aside::Panicked(said) => Fault::new(cause, format!("the engine panicked: {said}")),
            Aside::NoThread(error) => Fault::new(cause, format!("no thread to load it with: {error}")),
        }
    }
}

/// Reads what the file declares.
pub(super) fn inspect(
    request: LoadRequest,
    version: u64,
    mut files: VersionFiles,
    records: &Records,
) -> Result<Inspected, Fault> {
    let digest = files.digest;
    let samples = Arc::new(std::mem::take(&mut files.samples));
    let held = Some(files.held.clone());
    let track = records.track(version, Some(digest));
    let begun = Instant::now();
    let (loader, declaration) = (request.loader.clone(), request.declaration.clone());
    let note = request.note.clone();
    let inspected = aside(request.limit, request.background, move |_| {
        let _note = note;
        loader.open(files, &declaration)
    });
    let fault = match inspected {
        Ok(Ok(Opened { facts, model })) => {
            let loading = Loading { request, version, digest, facts, samples, held, begun, track };
            return Ok(Inspected { loading, model });
        }
        Ok(Err(OpenError { reason, lasting })) => {
            if lasting {
                request.note.refused(&reason);
            }
            Fault::new(Cause::Invalid, reason)
        }
        Err(error) => request.fault(error, Cause::Invalid),
    };
    track.failed(fault.cause, &fault.reason);
    Err(fault)
}

impl Inspected {
    pub(super) fn facts(&self) -> &VersionFacts {
        &self.loading.facts
    }

    pub(super) fn give_up(self, fault: Fault) -> Fault {
        self.loading.give_up(fault)
    }

    /// Puts it on its device.
    pub(super) fn place(self) -> Result<Placed, Fault> {
        let Self { mut loading, model } = self;
        // Before anything is taken of a device.
        let need = |target: &Target| {
            Need::estimate(loading.facts.weights, &loading.facts.signature, &target.policy.batch)
        };
        let room =
            loading.request.targets.iter().try_for_each(|target| loading.find_room(target, need(target)));
        if let Err(reason) = room {
            return Err(loading.give_up(Fault::new(Cause::Memory, format!("by estimate, {reason}"))));
        }
        loading.track.to(State::Reserved);
        let track = loading.track.clone();
        let mut devices: Vec<DeviceId> =
            loading.request.targets.iter().map(|target| target.device.id()).collect();
        let (held, note) = (loading.held.take(), loading.request.note.clone());
        let load = move |_: &StopFlag| {
            // What is kept of the files counts as weights once this is over.
            let _held = (note, held);
            track.to(State::Loading);
            // The last takes the model with it, so that its weights are freed as the device has them.
            let Some(last) = devices.pop() else { return Ok(Vec::new()) };
            let on = |device: DeviceId| model.another().load(device);
            let mut runners = devices.into_iter().map(on).collect::<Result<Vec<_>, PlaceError>>()?;
            runners.push(model.load(last)?);
            Ok::<_, PlaceError>(runners)
        };
        match aside(loading.left(), loading.request.background, load) {
            Ok(Ok(runners)) => {
                let load = loading.begun.elapsed();
                Ok(Placed { loading, runners, load })
            }
            Ok(Err(PlaceError::Memory(reason))) => Err(loading.give_up(Fault::new(Cause::Memory, reason))),
            Ok(Err(PlaceError::Failed(reason))) => Err(loading.give_up(Fault::new(Cause::Load, reason))),
            Err(error) => {
                let fault = loading.request.fault(error, Cause::Load);
                Err(loading.give_up(fault))
            }
        }
    }
}

impl Placed {
    pub(super) fn give_up(self, fault: Fault) -> Fault {
        self.loading.give_up(fault)
    }

    /// Runs its first batches. Then it may serve.
    pub(super) fn warm_up(self) -> Result<Arc<Generation>, Fault> {
        let Self { loading, runners, load } = self;
        loading.track.to(State::Warming);
        let begun = Instant::now();
        // What those that serve may need at any time is not the warm-up's to take.
        loading.limit_batches(&runners, |target| {
            let there = loading.request.loaded.on(target.device.id());
            there.iter().map(|occupant| occupant.need.total()).fold(0, u64::saturating_add)
        });
        let warmed = match loading.warmed(&runners) {
            Ok(warmed) => warmed,
            Err(fault) => return Err(loading.give_up(fault)),
        };
        loading.say(&warmed);
        let warm_up = begun.elapsed();
        loading.limit_batches(&runners, |_| 0);
        loading.track.took(load, warm_up, &warmed.joining);
        Ok(loading.generation(runners, &warmed, [load, warm_up]))
    }
}

/// What a runner takes of its device by now.
fn measured(runner: &Arc<dyn Runner>) -> Need {
    let memory = runner.memory();
    Need { weights: memory.weights, batch: memory.batch }
}

impl Loading {
    /// Holds the batches of each runner to what its share leaves beside its weights and what others take.
    fn limit_batches(&self, runners: &[Arc<dyn Runner>], others: impl Fn(&Target) -> u64) {
        for (runner, target) in runners.iter().zip(&self.request.targets) {
            if let Some(allowed) = target.memory {
                let taken = others(target).saturating_add(runner.memory().weights);
                runner.limit_batch_memory(allowed.beside(taken));
            }
        }
    }

    /// Runs the first batches, and sees whether there is memory for what they measured.
    fn warmed(&self, runners: &[Arc<dyn Runner>]) -> Result<Warmed, Fault> {
        let warmed = self.try_samples(runners);
        let room = runners.iter().zip(&self.request.targets);
        let room = room.map(|(runner, target)| self.find_room(target, measured(runner)));
        if let Err(reason) = room.collect::<Result<(), String>>() {
            let reason = if matches!(warmed, Ok(Ok(_))) { reason } else { format!("at least, {reason}") };
            return Err(Fault::new(Cause::Memory, reason));
        }
        match warmed {
            Ok(Ok(warmed)) => Ok(warmed),
            Ok(Err(reason)) => Err(Fault::new(Cause::WarmUp, reason)),
            Err(error) => Err(self.request.fault(error, Cause::WarmUp)),
        }
    }

    /// The generation, on its devices with its queues.
    fn generation(
        self,
        runners: Vec<Arc<dyn Runner>>,
        warmed: &Warmed,
        [load, warm_up]: [Duration; 2],
    ) -> Arc<Generation> {
        let Self { request, version, digest, mut facts, track, .. } = self;
        if !warmed.whole.is_empty() {
            let signature = (*facts.signature).clone();
            facts.signature = Arc::new(signature.without_batch(&warmed.whole, &request.declaration));
        }
        let joined = warmed.joining.joined;
        // A shadow has a share of its own, which is none: it runs in what the others leave idle.
        let account =
            if request.shadow { format!("{} (shadow)", request.model) } else { request.model.clone() };
        let held = runners.iter().zip(&request.targets);
        let held = held.map(|(runner, target)| (target.device.id(), measured(runner))).collect();
        let instances = runners
            .into_iter()
            .zip(&request.targets)
            .map(|(runner, target)| target.device.instance(&account, runner, target.policy(joined)));
        let replicas = Replicas::new(instances.collect());
        Arc::new_cyclic(|generation: &Weak<Generation>| Generation {
            version,
            digest,
            tag: format!("{}@{version}", request.model),
            facts,
            declaration: request.declaration.clone(),
            joined,
            shadow: request.shadow,
            load,
            warm_up,
            replicas,
            track,
            presence: request.loaded.enter(generation.clone(), version, request.shadow, held),
        })
    }

    /// Runs the first batches on every target. The model is joined where that is right on all of them.
    fn try_samples(&self, runners: &[Arc<dyn Runner>]) -> Result<Result<Warmed, String>, Aside> {
        let (runners, signature) = (runners.to_vec(), self.facts.signature.clone());
        let (targets, feeds) = (self.request.targets.clone(), self.request.feeds.clone());
        let samples = self.samples.clone();
        if !self.request.warm {
            let policy = targets.first().map_or(BatchPolicy::up_to(1), |target| target.policy.batch.clone());
            let joining = Joining::untried(&signature, &policy);
            return Ok(Ok(Warmed { joining, whole: vec![], failed: None }));
        }
        let note = self.request.note.clone();
        aside(self.left(), self.request.background, move |stop| {
            let _note = note;
            let mut all: Option<Warmed> = None;
            let given = given::items(&signature, &samples).map_err(|why| format!("warm-up: {why}"))?;
            for (runner, target) in runners.iter().zip(&targets) {
                for (output, _) in all.iter().flat_map(|warmed| &warmed.whole) {
                    runner.give_whole(*output);
                }
                let (device, policy) = (target.device.id(), &target.policy.batch);
                let warm_up = WarmUp {
                    runner: &**runner,
                    device,
                    signature: &signature,
                    policy,
                    feeds: &feeds,
                    given: &given,
                    stop,
                };
                let warmed = warm_up.run().map_err(|error| format!("warm-up: {error}"))?;
                all = Some(match all {
                    None => warmed,
                    Some(before) => Warmed {
                        joining: before.joining.and(warmed.joining),
                        whole: [before.whole, warmed.whole].concat(),
                        failed: before.failed.or(warmed.failed),
                    },
                });
            }
            all.ok_or_else(|| "it has no device".to_owned())
        })
    }

    /// Says once what the first batches showed that somebody should know.
    fn say(&self, warmed: &Warmed) {
        let (model, version) = (self.request.model.as_str(), self.version);
        for (output, _) in &warmed.whole {
            let output = self.facts.signature.outputs.get(*output).map_or("", |port| &port.name);
            let help = format!("`batch = {{ axes = {{ \"{output}\" = false }} }}` declares it");
            tracing::warn!(model, version, output, help, "an output has no batch axis, and is given whole");
        }
        if let Some(why) = &warmed.failed {
            let help = "it is served all the same; `warm = false` does without";
            tracing::warn!(model, version, why, help, "it cannot be run on made-up samples");
        }
        let Joining { joined, why, help } = &warmed.joining;
        let help = help.as_deref().unwrap_or("");
        match joined {
            true => tracing::debug!(model, version, why, "items share batches"),
            // Whoever wrote the file expects it, or asked for it.
            false if !self.facts.signature.batching.joins() || why.starts_with("`batch.max`") => {
                tracing::info!(model, version, why, help, "one item at a time");
            }
            false => tracing::warn!(model, version, why, help, "one item at a time"),
        }
    }

    fn left(&self) -> Duration {
        self.request.limit.saturating_sub(self.begun.elapsed())
    }

    fn give_up(self, fault: Fault) -> Fault {
        self.track.failed(fault.cause, &fault.reason);
        fault
    }

    /// Waits until what drains has made room, where that is all that is in the way. The error says what is
    /// needed and what is allowed.
    fn find_room(&self, target: &Target, need: Need) -> Result<(), String> {
        let look = || judge(target.memory, need, &self.request.loaded.on(target.device.id()));
        let mut verdict = look();
        if matches!(verdict, Verdict::Later(_)) {
            self.request.loaded.wait_until(self.left(), || {
                verdict = look();
                !matches!(verdict, Verdict::Later(_))
            });
        }
        match verdict {
            Verdict::Enough => Ok(()),
            Verdict::Later(reason) => Err(format!("{reason}; requests still hold what serves no more")),
            Verdict::Crowded(reason) if self.request.replaces => {
                Err(format!("{reason}; `reload = \"stop-first\"` has what serves go first"))
            }
            Verdict::Crowded(reason) | Verdict::TooLarge(reason) => Err(reason),
        }
    }
}
