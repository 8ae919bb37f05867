//! One pipeline: its two entry points checked and put together.

use super::codec::Codecs;
use super::encodes::{ReadEncode, read_encodes};
use super::entry::{Ground, View, assemble, reach};
use super::id::{LoadedId, ScopeStepId};
use super::made::Binding;
use super::models::{self, Loaded};
use super::order::order;
use super::refuse::{self, ReadRefusal};
use super::routes::route;
use super::scope::{FeedTo, Scope, Source};
use super::step::presence::Presences;
use super::whole::Whole;
use super::{CalledId, DeviceId, Entry, IdVec, ModelId, Pipeline, Priority, Side, types, unused};
use crate::diagnostic::{Diagnostic, Report};
use std::sync::Arc;
use std::time::Duration;

/// A pipeline whose models are not yet those of the plan.
pub struct Draft {
    name: String,
    timeout: Duration,
    priority: Priority,
    route: String,
    models: IdVec<CalledId, LoadedId>,
    online: Entry,
    offline: Entry,
}

impl Draft {
    /// `used` are the models that the plan has.
    pub fn finish(self, used: &IdVec<ModelId, LoadedId>) -> Pipeline {
        Pipeline {
            name: self.name,
            timeout: self.timeout,
            priority: self.priority,
            models: self.models.iter().filter_map(|m| used.position(|u| u == m)).collect(),
            route: self.route,
            online: Arc::new(self.online),
            offline: Arc::new(self.offline),
        }
    }
}

/// `None` where there are errors. `devices` are those of each of `models`.
pub fn compile<'a>(
    scope: &Scope<'a>,
    whole: &Whole<'a>,
    models: &IdVec<LoadedId, Loaded<'a>>,
    devices: &IdVec<LoadedId, Vec<DeviceId>>,
    codecs: &dyn Codecs,
    report: &mut Report,
) -> Option<Draft> {
    let spec = scope.spec;
    parts(scope, whole, report);
    let order = order(scope, report);
    let presences = Presences::new(scope, &order.steps, &order.cyclic, report);
    queues(scope, models, report);
    let mut called: IdVec<CalledId, LoadedId> = IdVec::default();
    for model in order.steps.iter().filter_map(|step| scope.steps[*step].model) {
        if !called.contains(&model) {
            called.push(model);
        }
    }

    let mut online = View::new(Side::Online, scope, codecs, report);
    let mut offline = View::new(Side::Offline, scope, codecs, report);
    let binding = Binding { scope, presences: &presences, models, whole };
    let bindable = order.steps.iter().copied().filter(|step| !order.cyclic.contains(step));
    let bindable: Vec<ScopeStepId> = bindable.collect();
    binding.operations(&bindable, &mut online, report);
    binding.operations(&bindable, &mut offline, report);
    let (refusals, refusals_complete) = refuse::read(scope, &online, whole, report);
    refusals.iter().for_each(|refusal| refusal.check(&binding, &online, report));
    let (online_encodes, online_complete) = read_encodes(scope, &online, whole, codecs, report);
    let (offline_encodes, offline_complete) = read_encodes(scope, &offline, whole, codecs, report);
    // What goes in a circle was reported as that; it does not count as unused.
    let circles = || order.cyclic.iter().map(|step| Source::Output { step: *step, output: None });
    let needs = |encodes: &[ReadEncode<'_>], refusals: &[ReadRefusal<'_>]| {
        let refusals = refusals.iter().flat_map(ReadRefusal::reads);
        reach(scope, encodes.iter().flat_map(ReadEncode::reads).chain(refusals).chain(circles()))
    };
    let (online_steps, online_decodes) = needs(&online_encodes, &refusals);
    let (offline_steps, offline_decodes) = needs(&offline_encodes, &[]);
    // An encode that could not be read may need any of them.
    let lacking = scope.steps.is_empty() || online.encodes.is_empty() || offline.encodes.is_empty();
    // An operation that does not exist may be meant to read any of them.
    let unread = scope.steps.iter().any(|step| step.spec.op.is_some() && step.operation.is_none());
    let complete = online_complete && offline_complete && refusals_complete && !unread;
    if complete && !lacking && !whole.broken && !spec.broken && !scope.clash {
        unused::steps(scope, &online_steps.union(&offline_steps).copied().collect(), report);
        unused::codecs(scope, [(&online, &online_decodes), (&offline, &offline_decodes)], report);
    }
    types::check(scope, [&online, &offline], &order.cyclic, report);

    let ground =
        Ground { scope, presences: &presences, order: &order.steps, models, called: &called, devices };
    let online = assemble(&ground, &online, online_encodes, &refusals, report);
    let offline = assemble(&ground, &offline, offline_encodes, &[], report);
    Some(Draft {
        name: spec.name.value.clone(),
        timeout: spec.timeout.as_ref().map_or(whole.timeout, |t| t.value),
        priority: spec.priority.as_ref().map_or(Priority::Normal, |p| p.value),
        route: route(spec),
        models: called,
        online: online?,
        offline: offline?,
    })
}

/// Lists that are longer than the queue of a model which is called for each of their elements.
fn queues(scope: &Scope<'_>, models: &IdVec<LoadedId, Loaded<'_>>, report: &mut Report) {
    for node in &scope.steps {
        let (Some(model), Some(Source::List(list))) = (node.model, node.fed(FeedTo::Each)) else { continue };
        let (Some(most), Some(each)) = (scope.steps[list].makes_list(), &node.spec.each) else { continue };
        let model = &models[model];
        let queue = models::queue(model.spec);
        if most > queue {
            report.push(
                Diagnostic::error(format!(
                    "`{}` may have {most} elements, more than the queue of model `{}` takes",
                    each.value,
                    model.name()
                ))
                .at(&each.place, format!("at most {queue} wait"))
                .help(format!(
                    "let the list have fewer with `top = {queue}`, or let more wait: `queue = {most}` in \
                     `[models.{}]`",
                    model.name()
                )),
            );
        }
    }
}

/// A pipeline has at least one decode, one step, and an encode for each entry point.
fn parts(scope: &Scope<'_>, whole: &Whole<'_>, report: &mut Report) {
    let spec = scope.spec;
    if whole.broken || spec.broken {
        return;
    }
    let mut lacks = |what: &str, help: &str| {
        report.push(
            Diagnostic::error(format!("pipeline `{}` has no {what}", spec.name.value))
                .at(&spec.name.place, "")
                .help(help),
        );
    };
    if scope.decodes.is_empty() {
        lacks("decode", "add one, such as `decode.photo = { format = \"image\", size = [64, 64] }`");
    }
    if scope.steps.is_empty() {
        lacks(
            "step",
            "add one, such as `steps.NAME = { model = \"MODEL\", inputs = { INPUT = \"SOURCE\" } }`",
        );
    }
    let help = "add one, such as `encode.reply = { format = \"json\", fields.NAME = { from = \"STEP\" } }`";
    let count = |e: &Option<crate::spec::Entry>| e.as_ref().map(|e| e.encodes.len());
    match (spec.encodes.len(), count(&spec.online), count(&spec.offline)) {
        (1.., ..) => {}
        (0, None | Some(0), None | Some(0)) => lacks("encode", help),
        (0, Some(0), _) => lacks("encode for its online entry point", help),
        (0, _, Some(0)) => lacks("encode for its offline entry point", help),
        (0, ..) => {}
    }
}
