//! One generation, from files to ready. Blocks; runs on a thread that serves nobody.

use super::cell::Generation;
use super::check::{Contract, check};
use super::state::{Records, State};
use super::warm::warm_up;
use crate::plan::{DeviceId, Signature};
use crate::scheduler::{Device, Policy, Runner, panic_message};
use crate::store::VersionFiles;
use bytes::Bytes;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

/// Makes a model file into something that runs. `app` hands in the engine.
pub trait Loader: Send + Sync + 'static {
    /// Blocks until the model is on the device. An error has one reason a line.
    fn load(&self, onnx: Bytes, device: DeviceId) -> Result<Loaded, String>;
}

/// What a [`Loader`] gives.
pub struct Loaded {
    pub runner: Arc<dyn Runner>,
    pub signature: Arc<Signature>,
}

/// What a generation is loaded for.
pub(super) struct Order<'a> {
    pub model: &'a str,
    pub version: u64,
    pub policy: Policy,
    pub contract: &'a Contract,
    pub device: &'a Device,
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
        let loaded = contained(|| loader.load(files.onnx, order.device.id()))?;
        let reasons = check(order.contract, &loaded.signature, &files.labels);
        if !reasons.is_empty() {
            return Err(reasons.into_iter().collect::<Vec<_>>().join("\n"));
        }
        let load = started.elapsed();
        track.to(State::Warming);
        warm_up(&*loaded.runner, &loaded.signature, order.policy.batch.max)
            .map_err(|error| format!("warm-up: {error}"))?;
        Ok((loaded, load, started.elapsed() - load))
    };
    match brought_up() {
        Ok((loaded, load, warm_up)) => {
            track.took(load, warm_up);
            Ok(Arc::new(Generation {
                version: order.version,
                digest: files.digest,
                tag: format!("{}@{}", order.model, order.version),
                signature: loaded.signature,
                labels: files.labels,
                device: order.device.id(),
                load,
                warm_up,
                instance: order.device.instance(order.model, loaded.runner, order.policy),
                track,
            }))
        }
        Err(reason) => {
            track.to(State::Failed(reason.clone()));
            Err(reason)
        }
    }
}

/// A panic of the loader is its failure.
fn contained<T>(f: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(f))
        .unwrap_or_else(|payload| Err(format!("the engine panicked: {}", panic_message(&*payload))))
}
