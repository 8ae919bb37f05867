//! One entry point of a pipeline: which decodes and encodes it has, and its graph with numbered slots.

use super::encodes::{ReadEncode, bind};
use super::id::{LoadedId, ScopeDecodeId, ScopeStepId};
use super::made::MadeStep;
use super::models::Loaded;
use super::refuse::ReadRefusal;
use super::scope::{FeedTo, Scope, Source};
use super::slots::Layout;
use super::step::presence::Presences;
use super::{
    CalledId, Codecs, Decode, DecodeId, DecodePlan, DeviceId, Entry, IdVec, Refusal, Side, Step, StepId,
};
use crate::diagnostic::{Diagnostic, Report, Span};
use crate::spec;
use std::collections::BTreeSet;
use std::sync::Arc;

/// What one entry point is made of.
pub struct View<'a> {
    pub side: Side,
    pub place: Span,
    /// The decodes by their names; `None` where this entry point lacks one.
    pub decodes: IdVec<ScopeDecodeId, Option<ReadDecode<'a>>>,
    pub encodes: Vec<&'a spec::Codec>,
    /// Requests that are refused here.
    pub refusals: &'a [spec::Refusal],
    /// The operations with the types of what they give; `None` for calls of models, and where that is not known.
    pub made: IdVec<ScopeStepId, Option<MadeStep>>,
}

#[derive(Clone)]
pub struct ReadDecode<'a> {
    pub codec: &'a spec::Codec,
    /// `None` where its options have errors, which were reported.
    pub decode: Option<Arc<dyn Decode>>,
}

impl<'a> View<'a> {
    /// See [`spec::Entry`] for what takes the place of what.
    pub fn new(side: Side, scope: &Scope<'a>, codecs: &dyn Codecs, report: &mut Report) -> Self {
        let spec = scope.spec;
        let written = |side: Side| match side {
            Side::Online => &spec.online,
            Side::Offline => &spec.offline,
        };
        let (own, other) = (written(side), written(side.other()));
        // An entry point that is left out is as the other where the pipeline itself says nothing.
        let fallback = if own.is_none() { other.as_ref() } else { None };
        let find = |name: &str| {
            let own = own.iter().flat_map(|e| &e.decodes);
            let fallback = fallback.iter().flat_map(|e| &e.decodes);
            own.chain(&spec.decodes).chain(fallback).find(|c| c.name.value == name)
        };
        let mut read = |codec: &'a spec::Codec| {
            let decode = if codec.format.is_empty() { None } else { codecs.decode(codec, report) };
            ReadDecode { codec, decode }
        };
        let own_encodes = own.as_ref().map(|e| &e.encodes).filter(|e| !e.is_empty());
        let encodes = own_encodes.unwrap_or(match fallback {
            Some(other) if spec.encodes.is_empty() => &other.encodes,
            _ => &spec.encodes,
        });
        Self {
            side,
            place: own.as_ref().map_or_else(|| spec.name.place.clone(), |e| e.place.clone()),
            decodes: scope
                .decodes
                .enumerate()
                .map(|(index, name)| Some(find(name).map(&mut read)?.read_as(scope, index)))
                .collect(),
            encodes: encodes.iter().collect(),
            refusals: own.as_ref().map_or(&[], |entry| &entry.refusals),
            made: scope.steps.with(None),
        }
    }
}

impl ReadDecode<'_> {
    /// The decode with what the steps that read it take, where they agree.
    fn read_as(self, scope: &Scope<'_>, index: ScopeDecodeId) -> Self {
        let takes = scope.steps.iter().flat_map(|step| {
            let feeds = step.feeds.iter().filter(|feed| feed.source.known() == Some(Source::Decode(index)));
            feeds.filter_map(|feed| step.takes(feed)?.item_type().dims)
        });
        let takes: BTreeSet<Vec<Option<usize>>> = takes.collect();
        let told = match (&self.decode, takes.len(), takes.first()) {
            (Some(decode), 1, Some(dims)) => decode.read_as(dims),
            _ => None,
        };
        Self { decode: told.or(self.decode), ..self }
    }
}

/// Every step and decode that `sources` need, directly or not.
pub fn reach(
    scope: &Scope<'_>,
    sources: impl IntoIterator<Item = Source>,
) -> (BTreeSet<ScopeStepId>, BTreeSet<ScopeDecodeId>) {
    let (mut steps, mut decodes) = (BTreeSet::new(), BTreeSet::new());
    let mut open: Vec<Source> = sources.into_iter().collect();
    while let Some(source) = open.pop() {
        match source {
            Source::Decode(index) => {
                decodes.insert(index);
            }
            Source::Output { step, .. } | Source::List(step) => {
                if steps.insert(step) {
                    open.extend(scope.steps[step].feeds.iter().filter_map(|f| f.source.probable()));
                }
            }
        }
    }
    (steps, decodes)
}

/// What both entry points of a pipeline are put together from.
pub struct Ground<'g, 'a> {
    pub scope: &'g Scope<'a>,
    pub presences: &'g Presences,
    /// Every step, after those that it reads from.
    pub order: &'g [ScopeStepId],
    pub models: &'g IdVec<LoadedId, Loaded<'a>>,
    /// The models that the pipeline calls.
    pub called: &'g IdVec<CalledId, LoadedId>,
    /// The devices of the replicas of each model.
    pub devices: &'g IdVec<LoadedId, Vec<DeviceId>>,
}

/// Whether a tensor may have to go from one device to another, whichever replicas an item meets.
fn apart(a: &[DeviceId], b: &[DeviceId]) -> bool {
    a.iter().chain(b).any(|device| Some(device) != a.first())
}

/// Puts an entry point together. `None` where there are errors.
pub fn assemble(
    ground: &Ground<'_, '_>,
    view: &View<'_>,
    encodes: Vec<ReadEncode<'_>>,
    refusals: &[ReadRefusal<'_>],
    report: &mut Report,
) -> Option<Entry> {
    let scope = ground.scope;
    let read = encodes.iter().flat_map(ReadEncode::reads).chain(refusals.iter().flat_map(ReadRefusal::reads));
    let (needed, used) = reach(scope, read);
    lacking(scope, view, &needed, &encodes, report);
    let decodes: Vec<ScopeDecodeId> = used.into_iter().filter(|i| view.decodes[*i].is_some()).collect();
    let steps: Vec<ScopeStepId> = ground.order.iter().copied().filter(|s| needed.contains(s)).collect();

    let mut layout = Layout::new(scope, ground.presences, ground.models, &decodes, &steps);
    for step in &steps {
        let node = &scope.steps[*step];
        for feed in &node.feeds {
            if let Some(Source::Output { step: producer, output: Some(output) }) = feed.source.known() {
                let apart = match (node.model, scope.steps[producer].model) {
                    _ if matches!(feed.to, FeedTo::Condition(_)) => true,
                    (Some(a), Some(b)) => apart(&ground.devices[a], &ground.devices[b]),
                    // Operations read on the host.
                    (model, _) => model.is_none(),
                };
                layout.read(producer, output, apart);
            }
        }
    }
    let on_host = encodes.iter().flat_map(|e| e.sources.iter().filter_map(|source| source.known()));
    for source in on_host.chain(refusals.iter().flat_map(ReadRefusal::reads)) {
        if let Source::Output { step, output: Some(output) } = source {
            layout.read(step, output, true);
        }
    }
    layout.number();

    let mut origins: BTreeSet<Source> =
        steps.iter().filter_map(|step| scope.steps[*step].fed(FeedTo::Picture)).collect();
    let mut planned = vec![];
    let mut complete = true;
    for encode in encodes {
        origins.extend(encode.pictures());
        match bind(ground, view, encode, &layout, report) {
            Some(encode) => planned.push(encode),
            None => complete = false,
        }
    }
    let decode_plan = |index: &ScopeDecodeId| {
        let read = view.decodes[*index].as_ref()?;
        Some(DecodePlan {
            name: scope.decodes[*index].to_owned(),
            decode: read.decode.clone()?,
            keep_origin: origins.contains(&Source::Decode(*index)),
        })
    };
    let decodes: Option<IdVec<DecodeId, DecodePlan>> = decodes.iter().map(decode_plan).collect();
    let steps: Option<IdVec<StepId, Step>> =
        steps.iter().map(|s| layout.step(*s, view, ground.called)).collect();
    let refusals = refusals.iter().map(|refusal| refusal.finish(scope, view, &layout, ground.called));
    let refusals: Option<Vec<Refusal>> = refusals.collect();
    let entry = Entry {
        decodes: decodes?,
        steps: steps?,
        encodes: planned.into(),
        refusals: refusals?,
        lists: layout.lists(),
        slots: layout.levels(),
    };
    complete.then_some(entry)
}

/// Decodes that are read here and that only the other entry point has.
fn lacking(
    scope: &Scope<'_>,
    view: &View<'_>,
    needed: &BTreeSet<ScopeStepId>,
    encodes: &[ReadEncode<'_>],
    report: &mut Report,
) {
    let feeds = needed.iter().flat_map(|s| &scope.steps[*s].feeds).map(|f| (&f.from, f.source));
    let wanted = encodes.iter().flat_map(|e| e.wanted.iter().map(|w| &w.from).zip(e.sources.iter().copied()));
    for (from, source) in feeds.chain(wanted) {
        if let Some(Source::Decode(index)) = source.known()
            && view.decodes[index].is_none()
        {
            report.push(
                Diagnostic::error(format!(
                    "the {} entry point has no decode `{}`",
                    view.side.name(),
                    from.value
                ))
                .at(&view.place, "")
                .at(&from.place, "which is read here")
                .help(format!("write `decode.{}` for the pipeline, so that it serves both", from.value)),
            );
        }
    }
}
