//! Specs, facts and capacity to a plan: one sequence of rules, each of which reports all that it finds.

use super::id::LoadedId;
use super::memory::{Allowed, Need};
use super::models::{self, Loaded};
use super::pipeline::Draft;
use super::place::{Placement, place};
use super::scope::Scope;
use super::whole::Whole;
use super::{
    BatchPolicy, Capacity, Device, DeviceFacts, DeviceId, Facts, IdVec, Model, ModelId, Plan, Registries,
    declared, rollout, routes, server, unused,
};
use crate::diagnostic::{Diagnostic, Report};
use crate::spec::Spec;
use std::sync::Arc;
use std::time::Duration;

/// How long a batch may run where the file does not say.
const MAX_RUN: Duration = Duration::from_secs(60);

/// Compiles all files into one plan. `None` where `report` holds an error, also one from before.
///
/// REQUIRES: `facts` knows what [`super::needs`] asks for.
pub fn compile(
    specs: &[Spec],
    facts: &Facts,
    capacity: &Capacity,
    registries: Registries<'_>,
    report: &mut Report,
) -> Option<Plan> {
    let whole = Whole::new(specs, report)?;
    server::memory(specs, capacity, report);
    let capacity = &server::within_memory(&whole.server, capacity);
    let facts = declared::applied(&whole, facts);
    let loaded = models::load(&whole, &facts, report);
    let scopes: Vec<Scope<'_>> = whole
        .pipelines
        .iter()
        .map(|spec| Scope::new(spec, &whole, &loaded, registries.operations, report))
        .collect();
    let used = unused::models(&whole, &scopes, &loaded, report);
    let placement = place(&whole, &loaded, &used, capacity, report);
    let devices = placement.as_ref().map_or_else(|| loaded.with(vec![DeviceId::Cpu]), |p| p.of.clone());

    let drafts: Vec<Draft> = scopes
        .iter()
        .filter_map(|scope| {
            super::pipeline::compile(scope, &whole, &loaded, &devices, registries.codecs, report)
        })
        .collect();
    routes::check(&whole.pipelines, report);
    let models: Option<IdVec<ModelId, Model>> =
        used.iter().map(|m| model(&loaded[*m], devices[*m].clone(), &whole, report)).collect();
    if let (Some(models), Some(placement)) = (&models, &placement) {
        let each = used.iter().zip(models);
        each.for_each(|(m, model)| fits_memory(&loaded[*m], model, placement, report));
    }
    if report.has_errors() {
        return None;
    }
    Some(Plan {
        devices: self::devices(&placement?, &used),
        models: models?,
        pipelines: drafts.into_iter().map(|draft| Arc::new(draft.finish(&used))).collect(),
        server: whole.server,
        watch: whole.watch,
    })
}

/// Checks that the weights and what goes in and out of a batch are within the model's share of every device. What the
/// model takes beside that is known once it has run, and checked then.
fn fits_memory(loaded: &Loaded<'_>, model: &Model, placement: &Placement<'_>, report: &mut Report) {
    for id in model.distinct_devices() {
        let Some(device) = placement.devices.iter().find(|device| device.id == id) else { continue };
        let here = model.devices.iter().filter(|d| **d == id).count();
        let Some(allowed) = Allowed::new(device.memory, model.share * here as f64) else { continue };
        let need =
            |facts: &super::VersionFacts| Need::estimate(facts.weights, &facts.signature, &model.batch);
        let over = |(version, facts): &(u64, &super::VersionFacts)| {
            Some((*version, allowed.hold(need(facts)).err()?))
        };
        let place = loaded.spec.gpu.as_ref().map_or(&loaded.spec.name.place, |gpu| &gpu.place);
        if let Some((version, reason)) = loaded.versions.iter().find_map(over) {
            report.push(
                Diagnostic::error(format!(
                    "model `{}`, version {version}, does not fit into the memory that it may take of `{}`",
                    model.name, device.id
                ))
                .at(place, "")
                .note(reason)
                .help("a larger `gpu` allows more, a smaller `batch.max` needs less"),
            );
            return;
        }
        // Those that answer are there at once. A shadow has a place of its own.
        let answering = loaded.versions.iter().filter(|(version, _)| model.versions.contains(version));
        let all = answering.map(|(_, facts)| need(facts)).fold(Need::default(), Need::and);
        if let Err(reason) = allowed.hold(all) {
            let versions: Vec<String> = model.versions.iter().map(u64::to_string).collect();
            report.push(
                Diagnostic::error(format!(
                    "versions {} of model `{}` do not fit together into the memory that it may take of `{}`",
                    versions.join(", "),
                    model.name,
                    device.id
                ))
                .at(place, "")
                .note(reason)
                .help("a larger `gpu` allows more, a smaller `batch.max` needs less"),
            );
            return;
        }
    }
}

/// The devices of the plan, which has those models alone that are used.
fn devices(placement: &Placement<'_>, used: &IdVec<ModelId, LoadedId>) -> Vec<Device> {
    let held = |device: DeviceId| {
        let shares = placement.held.iter().filter(|held| held.device == device);
        shares.filter_map(|held| Some((used.position(|m| *m == held.model)?, held.share))).collect()
    };
    let device = |facts: &&DeviceFacts| Device { id: facts.id, memory: facts.memory, held: held(facts.id) };
    placement.devices.iter().map(device).collect()
}

fn model(
    loaded: &Loaded<'_>,
    devices: Vec<DeviceId>,
    whole: &Whole<'_>,
    report: &mut Report,
) -> Option<Model> {
    let (_, facts) = loaded.versions.last()?;
    let batch = loaded.spec.batch.as_ref();
    let alone = loaded.versions.iter().rev().find_map(|(_, facts)| facts.signature.batching.alone.as_ref());
    let one = alone.is_some();
    if let Some(batch) = batch
        && let Some(alone) = alone
        && (batch.max.is_some_and(|max| max > 1) || !batch.sizes.is_empty())
    {
        let d = Diagnostic::warning(format!("model `{}` takes one item at a time", loaded.name()))
            .at(&batch.place, "so that this has no effect")
            .note(&alone.why);
        let d = super::scope::note(d, loaded.describe());
        report.push(alone.help.iter().fold(d, |d, help| d.help(help)));
    }
    let sizes: Arc<[usize]> = batch.filter(|_| !one).map_or_else(Arc::default, |b| b.sizes.as_slice().into());
    let max = sizes.last().copied().or(batch.and_then(|b| b.max)).unwrap_or(models::BATCH);
    Some(Model {
        name: loaded.name().to_owned(),
        store: whole.store.value.clone(),
        versions: rollout::answering(loaded.spec, loaded.versions.iter().map(|(version, _)| *version)),
        latest: loaded.latest,
        share: loaded.spec.gpu.as_ref().map_or(0.0, |g| g.value),
        devices,
        batch: BatchPolicy {
            max: if one { 1 } else { max },
            wait: batch.and_then(|b| b.wait).unwrap_or_default(),
            sizes,
        },
        declaration: declared::of(loaded.spec),
        warm: loaded.spec.warm.as_ref().is_none_or(|warm| warm.value),
        queue: models::queue(loaded.spec),
        max_run: loaded.spec.max_run.as_ref().map_or(MAX_RUN, |t| t.value),
        rollout: rollout::of(loaded.spec),
        texts: whole.texts.clone(),
        signature: facts.signature.clone(),
    })
}
