//! One generation, from files to ready, in three strides between which it may be given up. Blocks; runs on
//! threads that serve nobody and give way to those that do.

use super::aside::{Aside, aside};
use super::cell::Generation;
use super::room::{Living, Room, room};
use super::state::{Cause, PlaceStatus, Records, State, Track};
use super::warm::warm_up;
use crate::plan::memory::{Allowed, Need};
use crate::plan::{DeviceId, VersionFacts};
use crate::scheduler::{Device, Policy, Replicas, Runner};
use crate::store::{Digest, Format, Opaque, VersionFiles};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Makes a model file into something that runs. `app` hands in the engine.
pub trait Loader: Send + Sync + 'static {
    /// Reads what the files declare, or says every reason why they cannot be run, one a line. Needs no device.
    fn open(&self, files: VersionFiles) -> Result<Opened, String>;

    /// How the files are read.
    fn format(&self) -> &dyn Format {
        &Opaque
    }
}

/// A model that was read and is on no device yet.
pub struct Opened {
    pub facts: VersionFacts,
    pub model: Box<dyn Model>,
}

/// The model itself. Its weights are in memory once, however many of it there are.
pub trait Model: Send {
    fn another(&self) -> Box<dyn Model>;

    /// Blocks until the model is on the device. An error has one reason a line.
    fn load(self: Box<Self>, device: DeviceId) -> Result<Arc<dyn Runner>, String>;
}

/// A device that a model runs on, and how it is served there.
#[derive(Clone)]
pub(super) struct Place {
    pub device: Device,
    /// Replicas on this device: they hold its share together and have one copy of the weights.
    pub replicas: usize,
    pub policy: Policy,
    /// Of the device's memory; `None` where the device does not say what it has.
    pub memory: Option<Allowed>,
}

/// Between two looks at whether what drains is gone.
const DRAIN_POLL: Duration = Duration::from_millis(5);

/// Why a generation does not come to serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub cause: Cause,
    /// One a line.
    pub reason: String,
}

/// How a generation is to be loaded.
#[derive(Clone)]
pub(super) struct Order {
    pub loader: Arc<dyn Loader>,
    pub model: String,
    /// At least one; each device once.
    pub places: Vec<Place>,
    /// It is to be compared with others, and answers nobody.
    pub shadow: bool,
    pub limit: Duration,
    /// The model's generations that are on devices already.
    pub living: Living,
    /// What is there goes once this one serves, so that it might go before.
    pub replaces: bool,
    /// Something serves that must not suffer.
    pub background: bool,
}

/// A generation on its way.
struct Way {
    order: Order,
    version: u64,
    digest: Digest,
    facts: VersionFacts,
    begun: Instant,
    track: Track,
}

/// Known by what its file declares; nothing of it is on a device.
pub(super) struct Inspected {
    way: Way,
    model: Box<dyn Model>,
}

/// On its device.
pub(super) struct Placed {
    way: Way,
    /// For each place.
    runners: Vec<Arc<dyn Runner>>,
    load: Duration,
}

impl Place {
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

/// To four digits: more is noise.
pub(super) fn rounded(share: f64) -> f64 {
    (share * 1e4).round() / 1e4
}

impl Fault {
    pub(super) fn new(cause: Cause, reason: impl Into<String>) -> Self {
        Self { cause, reason: reason.into() }
    }

    fn aside(aside: Aside, cause: Cause, order: &Order) -> Self {
        match aside {
            Aside::Overdue => {
                Self::new(Cause::Timeout, format!("it was not ready within {} s", order.limit.as_secs_f64()))
            }
            Aside::Panicked(said) => Self::new(cause, format!("the engine panicked: {said}")),
            Aside::NoThread(error) => Self::new(cause, format!("no thread to load it with: {error}")),
        }
    }
}

/// Reads what the file declares.
pub(super) fn inspect(
    order: Order,
    version: u64,
    files: VersionFiles,
    records: &Records,
) -> Result<Inspected, Fault> {
    let digest = files.digest;
    let track = records.track(version, Some(digest));
    let begun = Instant::now();
    let loader = order.loader.clone();
    let inspected = aside(order.limit, order.background, move || loader.open(files));
    let fault = match inspected {
        Ok(Ok(Opened { facts, model })) => {
            let way = Way { order, version, digest, facts, begun, track };
            return Ok(Inspected { way, model });
        }
        Ok(Err(reason)) => Fault::new(Cause::Invalid, reason),
        Err(error) => Fault::aside(error, Cause::Invalid, &order),
    };
    track.failed(fault.cause, &fault.reason);
    Err(fault)
}

impl Inspected {
    pub(super) fn facts(&self) -> &VersionFacts {
        &self.way.facts
    }

    pub(super) fn give_up(self, fault: Fault) -> Fault {
        self.way.give_up(fault)
    }

    /// Puts it on its device.
    pub(super) fn place(self) -> Result<Placed, Fault> {
        let Self { way, model } = self;
        way.track.to(State::Reserved);
        way.track.to(State::Loading);
        // Before anything is taken of a device.
        let need =
            |place: &Place| Need::estimate(way.facts.weights, &way.facts.signature, &place.policy.batch);
        let room = way.order.places.iter().try_for_each(|place| way.find_room(place, need(place)));
        if let Err(reason) = room {
            return Err(way.give_up(Fault::new(Cause::Memory, format!("by estimate, {reason}"))));
        }
        let mut devices: Vec<DeviceId> = way.order.places.iter().map(|place| place.device.id()).collect();
        let load = move || {
            // The last takes the model with it, so that its weights are freed as the device has them.
            let Some(last) = devices.pop() else { return Ok(Vec::new()) };
            let on = |device: DeviceId| model.another().load(device);
            let mut runners = devices.into_iter().map(on).collect::<Result<Vec<_>, String>>()?;
            runners.push(model.load(last)?);
            Ok::<_, String>(runners)
        };
        match aside(way.left(), way.order.background, load) {
            Ok(Ok(runners)) => {
                let load = way.begun.elapsed();
                Ok(Placed { way, runners, load })
            }
            Ok(Err(reason)) => Err(way.give_up(Fault::new(Cause::Load, reason))),
            Err(error) => {
                let fault = Fault::aside(error, Cause::Load, &way.order);
                Err(way.give_up(fault))
            }
        }
    }
}

impl Placed {
    pub(super) fn give_up(self, fault: Fault) -> Fault {
        self.way.give_up(fault)
    }

    /// Runs its first batches. Then it may serve.
    pub(super) fn warm_up(self) -> Result<Arc<Generation>, Fault> {
        let Self { way, runners, load } = self;
        way.track.to(State::Warming);
        let begun = Instant::now();
        // What those that serve may need at any time is not the warm-up's to take.
        for (runner, place) in runners.iter().zip(&way.order.places) {
            if let Some(allowed) = place.memory {
                let there = way.order.living.on(place.device.id());
                let taken = there.iter().map(|tenant| tenant.need.total()).fold(0, u64::saturating_add);
                runner.limit_batch_memory(allowed.beside(taken.saturating_add(runner.memory().weights)));
            }
        }
        let warmed = {
            let (runners, signature) = (runners.clone(), way.facts.signature.clone());
            let places = way.order.places.clone();
            aside(way.left(), way.order.background, move || {
                let warm = |(runner, place): (&Arc<dyn Runner>, &Place)| {
                    warm_up(&**runner, &signature, &place.policy.batch)
                        .map_err(|error| format!("warm-up: {error}"))
                };
                runners.iter().zip(&places).try_for_each(warm)
            })
        };
        let measured = |runner: &Arc<dyn Runner>| {
            let memory = runner.memory();
            Need { weights: memory.weights, batch: memory.batch }
        };
        let room = runners.iter().zip(&way.order.places);
        let room = room.map(|(runner, place)| way.find_room(place, measured(runner)));
        if let Err(reason) = room.collect::<Result<(), String>>() {
            let reason = if matches!(warmed, Ok(Ok(()))) { reason } else { format!("at least, {reason}") };
            return Err(way.give_up(Fault::new(Cause::Memory, reason)));
        }
        match warmed {
            Ok(Ok(())) => {}
            Ok(Err(reason)) => return Err(way.give_up(Fault::new(Cause::WarmUp, reason))),
            Err(error) => {
                let fault = Fault::aside(error, Cause::WarmUp, &way.order);
                return Err(way.give_up(fault));
            }
        }
        let warm_up = begun.elapsed();
        for (runner, place) in runners.iter().zip(&way.order.places) {
            if let Some(allowed) = place.memory {
                runner.limit_batch_memory(allowed.beside(runner.memory().weights));
            }
        }
        let Way { order, version, digest, facts, track, .. } = way;
        track.took(load, warm_up);
        // A shadow has a share of its own, which is none: it runs in what the others leave idle.
        let account = if order.shadow { format!("{} (shadow)", order.model) } else { order.model.clone() };
        let instances = runners
            .into_iter()
            .zip(&order.places)
            .map(|(runner, place)| place.device.instance(&account, runner, place.policy.clone()));
        let generation = Arc::new(Generation {
            version,
            digest,
            tag: format!("{}@{version}", order.model),
            facts,
            shadow: order.shadow,
            load,
            warm_up,
            replicas: Replicas::new(instances.collect()),
            track,
        });
        order.living.add(&generation);
        Ok(generation)
    }
}

impl Way {
    fn left(&self) -> Duration {
        self.order.limit.saturating_sub(self.begun.elapsed())
    }

    fn give_up(self, fault: Fault) -> Fault {
        self.track.failed(fault.cause, &fault.reason);
        fault
    }

    /// Waits until what drains has made room, where that is all that is in the way. The error says what is
    /// needed and what is allowed.
    fn find_room(&self, place: &Place, need: Need) -> Result<(), String> {
        loop {
            match room(place.memory, need, &self.order.living.on(place.device.id())) {
                Room::Enough => return Ok(()),
                Room::Later(_) if !self.left().is_zero() => std::thread::park_timeout(DRAIN_POLL),
                Room::Later(reason) => {
                    return Err(format!("{reason}; requests still hold what serves no more"));
                }
                Room::Crowded(reason) if self.order.replaces => {
                    return Err(format!("{reason}; `reload = \"stop-first\"` has what serves go first"));
                }
                Room::Crowded(reason) | Room::TooLarge(reason) => return Err(reason),
            }
        }
    }
}
