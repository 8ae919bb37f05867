//! One generation, from files to ready. Blocks; runs on a thread that serves nobody.

use super::cell::Generation;
use super::check::{Contract, check};
use super::state::{PlaceStatus, Records, State};
use super::warm::warm_up;
use crate::plan::memory::{Allowed, Need};
use crate::plan::{DeviceId, Labels, Signature};
use crate::scheduler::{Device, Policy, Replicas, Runner, panic_message};
use crate::store::{MODEL_FILE, ModelFiles, VersionFiles};
use bytes::Bytes;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

/// Makes a model file into something that runs. `app` hands in the engine.
pub trait Loader: Send + Sync + 'static {
    /// Blocks until the model is on the device. An error has one reason a line.
    fn load(&self, files: ModelFiles, device: DeviceId) -> Result<Loaded, String>;

    /// The files beside a `model.onnx` that it keeps weights in, by the names that it has for them.
    fn data_files(&self, _onnx: &Bytes) -> BTreeSet<String> {
        BTreeSet::new()
    }
}

/// What a [`Loader`] gives.
pub struct Loaded {
    pub runner: Arc<dyn Runner>,
    pub signature: Arc<Signature>,
    /// The names of its classes, where the model carries them: its labels under the name of its own file.
    pub classes: Option<Labels>,
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

/// What a generation is loaded for.
pub(super) struct Order<'a> {
    pub model: &'a str,
    pub version: u64,
    pub contract: &'a Contract,
    /// At least one; each device once.
    pub places: &'a [Place],
}

impl Place {
    pub fn status(&self, model: &str) -> PlaceStatus {
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

/// Loads, checks and warms up. What it comes to is in the records, too.
pub(super) fn load(
    loader: &dyn Loader,
    order: &Order<'_>,
    files: VersionFiles,
    records: &Records,
) -> Result<Arc<Generation>, String> {
    let track = records.track(order.version, Some(files.digest));
    let started = Instant::now();
    let brought_up = || -> Result<_, String> {
        track.to(State::Reserved);
        track.to(State::Loading);
        let mut all = vec![];
        let mut labels = files.labels.clone();
        for place in order.places {
            // A model file is its weights, nearly.
            let weights = files.data.values().chain([&files.onnx]).map(|file| file.len() as u64).sum();
            let need = Need::estimate(weights, &order.contract.signature, &place.policy.batch);
            hold(place, need).map_err(|reason| format!("by estimate, {reason}"))?;
            let loaded = contained(|| loader.load(files.model(), place.device.id()))?;
            labels.extend(loaded.classes.clone().map(|classes| (MODEL_FILE.to_owned(), classes)));
            let reasons = check(order.contract, &loaded.signature, &labels);
            if !reasons.is_empty() {
                return Err(reasons.into_iter().collect::<Vec<_>>().join("\n"));
            }
            all.push(loaded);
        }
        let signature = all.first().map(|loaded| loaded.signature.clone()).ok_or("it has no device")?;
        let load = started.elapsed();
        track.to(State::Warming);
        let mut instances = vec![];
        for (loaded, place) in all.into_iter().zip(order.places) {
            warm_up(&*loaded.runner, &loaded.signature, &place.policy.batch)
                .map_err(|error| format!("warm-up: {error}"))?;
            let measured = loaded.runner.memory();
            let (lanes, left) = hold(place, Need { weights: measured.weights, batch: measured.batch })?;
            loaded.runner.limit_batch_memory(left);
            let policy = Policy { lanes, ..place.policy.clone() };
            instances.push((loaded.runner, place, policy));
        }
        Ok((instances, signature, labels, load, started.elapsed() - load))
    };
    match brought_up() {
        Ok((instances, signature, labels, load, warm_up)) => {
            track.took(load, warm_up);
            let instance =
                |(runner, place, policy): (_, &Place, _)| place.device.instance(order.model, runner, policy);
            Ok(Arc::new(Generation {
                version: order.version,
                digest: files.digest,
                tag: format!("{}@{}", order.model, order.version),
                signature,
                labels,
                load,
                warm_up,
                replicas: Replicas::new(instances.into_iter().map(instance).collect()),
                track,
            }))
        }
        Err(reason) => {
            track.to(State::Failed(reason.clone()));
            Err(reason)
        }
    }
}

/// Lanes, and bytes for a batch; the error says what is needed and what is allowed.
fn hold(place: &Place, need: Need) -> Result<(usize, u64), String> {
    place.memory.map_or(Ok((usize::MAX, u64::MAX)), |allowed| allowed.hold(need))
}

/// A panic of the loader is its failure.
fn contained<T>(f: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(f))
        .unwrap_or_else(|payload| Err(format!("the engine panicked: {}", panic_message(&*payload))))
}
