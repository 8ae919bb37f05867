//! One entry point of a pipeline: which decodes and encodes it has, and its graph with numbered slots.

use super::codec::{Bound, Draft};
use super::models::Loaded;
use super::scope::{Resolved, Scope, Source, note};
use super::types::type_of;
use super::whole::Whole;
use super::{Codecs, Decode, DecodePlan, EncodePlan, EncodeSource, Entry, Step};
use crate::diagnostic::{At, Diagnostic, Place, Report};
use crate::spec;
use std::collections::BTreeSet;
use std::sync::Arc;

/// What one entry point is made of.
pub struct View<'a> {
    /// "online" or "offline".
    pub which: &'static str,
    pub place: Place,
    /// By [`Scope::decodes`]; `None` where this entry point lacks it.
    pub decodes: Vec<Option<ReadDecode<'a>>>,
    pub encodes: Vec<&'a spec::Codec>,
}

#[derive(Clone)]
pub struct ReadDecode<'a> {
    pub codec: &'a spec::Codec,
    /// `None` where its options have errors, which were reported.
    pub decode: Option<Arc<dyn Decode>>,
}

impl<'a> View<'a> {
    /// See [`spec::Entry`] for what takes the place of what.
    pub fn new(offline: bool, scope: &Scope<'a>, codecs: &dyn Codecs, report: &mut Report) -> Self {
        let spec = scope.spec;
        let (own, other) =
            if offline { (&spec.offline, &spec.online) } else { (&spec.online, &spec.offline) };
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
            which: if offline { "offline" } else { "online" },
            place: own.as_ref().map_or_else(|| spec.name.place.clone(), |e| e.place.clone()),
            decodes: scope.decodes.iter().map(|name| find(name).map(&mut read)).collect(),
            encodes: encodes.iter().collect(),
        }
    }
}

/// An encode whose options are read and whose sources are resolved.
pub struct ReadEncode<'a> {
    pub codec: &'a spec::Codec,
    draft: Box<dyn Draft>,
    wanted: Vec<super::Wanted>,
    sources: Vec<Resolved>,
    on: Option<Resolved>,
}

impl ReadEncode<'_> {
    /// Everything it reads, its `on` included.
    pub fn reads(&self) -> impl Iterator<Item = Source> + '_ {
        self.sources.iter().chain(&self.on).filter_map(|s| s.probable())
    }
}

/// The encodes of an entry point; `false` where one of them could not be read.
pub fn read_encodes<'a>(
    scope: &Scope<'a>,
    view: &View<'a>,
    whole: &Whole<'_>,
    codecs: &dyn Codecs,
    report: &mut Report,
) -> (Vec<ReadEncode<'a>>, bool) {
    let mut all = vec![];
    let mut complete = true;
    for codec in &view.encodes {
        let before = report.errors();
        let draft = if codec.format.is_empty() { None } else { codecs.encode(codec, report) };
        complete &= draft.is_some() && report.errors() == before;
        let Some(draft) = draft else { continue };
        let what = format!("encode `{}`", codec.name.value);
        let wanted = draft.wanted();
        let sources = wanted.iter().map(|w| scope.resolve(&w.from, &what, whole, report)).collect();
        let on = draft.on().map(|on| resolve_on(scope, view, &on, &what, whole, report));
        all.push(ReadEncode { codec, draft, wanted, sources, on });
    }
    (all, complete)
}

fn resolve_on(
    scope: &Scope<'_>,
    view: &View<'_>,
    on: &At<String>,
    what: &str,
    whole: &Whole<'_>,
    report: &mut Report,
) -> Resolved {
    let is_image = |i: usize| view.decodes[i].as_ref().is_some_and(|d| d.codec.format.value == "image");
    let images: Vec<&str> =
        scope.decodes.iter().enumerate().filter(|(i, _)| is_image(*i)).map(|(_, name)| *name).collect();
    match scope.decodes.iter().position(|d| *d == on.value) {
        Some(index) if is_image(index) => Resolved::Known(Source::Decode(index)),
        found => {
            if found.is_some() || !(whole.broken || scope.decodes.is_empty()) {
                let d = Diagnostic::error(format!("`on = \"{}\"` in {what} names no image decode", on.value))
                    .at(&on.place, "");
                report.push(if images.is_empty() {
                    d.help("an image can be drawn on where a decode has `format = \"image\"`")
                } else {
                    d.nearest(on, images.iter().copied())
                });
            }
            Resolved::Guess(found.map(Source::Decode))
        }
    }
}

/// Every step and decode that `sources` need, directly or not.
pub fn reach(
    scope: &Scope<'_>,
    sources: impl IntoIterator<Item = Source>,
) -> (BTreeSet<usize>, BTreeSet<usize>) {
    let (mut steps, mut decodes) = (BTreeSet::new(), BTreeSet::new());
    let mut open: Vec<Source> = sources.into_iter().collect();
    while let Some(source) = open.pop() {
        match source {
            Source::Decode(index) => {
                decodes.insert(index);
            }
            Source::Output { step, .. } => {
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
    /// Every step, after those that it reads from.
    pub order: &'g [usize],
    pub models: &'g [Loaded<'a>],
    /// The models of the pipeline, as in [`super::Pipeline::models`] but indices into `models`.
    pub called: &'g [usize],
    /// The device of each of `models`.
    pub devices: &'g [usize],
}

/// Puts an entry point together. `None` where there are errors.
pub fn assemble(
    ground: &Ground<'_, '_>,
    view: &View<'_>,
    encodes: Vec<ReadEncode<'_>>,
    report: &mut Report,
) -> Option<Entry> {
    let scope = ground.scope;
    let (needed, used) = reach(scope, encodes.iter().flat_map(ReadEncode::reads));
    lacking(scope, view, &needed, &encodes, report);
    let decodes: Vec<usize> = used.into_iter().filter(|i| view.decodes[*i].is_some()).collect();
    let steps: Vec<usize> = ground.order.iter().copied().filter(|s| needed.contains(s)).collect();

    let mut layout = Layout::new(scope, &decodes, &steps);
    for step in &steps {
        for feed in &scope.steps[*step].feeds {
            if let Some(Source::Output { step: giver, output: Some(output) }) = feed.source.known() {
                let apart = match (scope.steps[*step].model, scope.steps[giver].model) {
                    (Some(a), Some(b)) => ground.devices[a] != ground.devices[b],
                    _ => false,
                };
                layout.read(giver, output, apart);
            }
        }
    }
    for source in encodes.iter().flat_map(|e| &e.sources) {
        if let Some(Source::Output { step, output: Some(output) }) = source.known() {
            layout.read(step, output, true);
        }
    }
    layout.number();

    let mut origins = BTreeSet::new();
    let mut planned = vec![];
    let mut complete = true;
    for encode in encodes {
        origins.extend(encode.on.and_then(|on| on.known()));
        match bind(ground, view, encode, &layout, report) {
            Some(encode) => planned.push(encode),
            None => complete = false,
        }
    }
    let decode_plan = |index: &usize| {
        let read = view.decodes[*index].as_ref()?;
        Some(DecodePlan {
            name: scope.decodes[*index].to_owned(),
            decode: read.decode.clone()?,
            keep_origin: origins.contains(&Source::Decode(*index)),
        })
    };
    let decodes: Option<Vec<DecodePlan>> = decodes.iter().map(decode_plan).collect();
    let steps: Option<Vec<Step>> = steps.iter().map(|s| layout.step(*s, ground.called)).collect();
    let slots = layout.slots;
    let entry = Entry { decodes: decodes?, steps: steps?, encodes: planned, slots };
    complete.then_some(entry)
}

/// Decodes that are read here and that only the other entry point has.
fn lacking(
    scope: &Scope<'_>,
    view: &View<'_>,
    needed: &BTreeSet<usize>,
    encodes: &[ReadEncode<'_>],
    report: &mut Report,
) {
    let feeds = needed.iter().flat_map(|s| &scope.steps[*s].feeds).map(|f| (f.from, f.source));
    let wanted = encodes.iter().flat_map(|e| e.wanted.iter().map(|w| &w.from).zip(e.sources.iter().copied()));
    for (from, source) in feeds.chain(wanted) {
        if let Some(Source::Decode(index)) = source.known()
            && view.decodes[index].is_none()
        {
            report.push(
                Diagnostic::error(format!("the {} entry point has no decode `{}`", view.which, from.value))
                    .at(&view.place, "")
                    .at(&from.place, "which is read here")
                    .help(format!("write `decode.{}` for the pipeline, so that it serves both", from.value)),
            );
        }
    }
}

/// Which slot each value has.
struct Layout<'s, 'a> {
    scope: &'s Scope<'a>,
    /// By position: the decode.
    decodes: Vec<usize>,
    /// By position: the step.
    steps: Vec<usize>,
    /// By position and output: whether it is read, and whether on the host.
    read: Vec<Vec<Option<bool>>>,
    /// By position and output.
    slot: Vec<Vec<Option<usize>>>,
    slots: usize,
}

impl<'s, 'a> Layout<'s, 'a> {
    fn new(scope: &'s Scope<'a>, decodes: &[usize], steps: &[usize]) -> Self {
        let outputs = |s: &usize| scope.steps[*s].signature.map_or(0, |signature| signature.outputs.len());
        Self {
            scope,
            decodes: decodes.to_vec(),
            steps: steps.to_vec(),
            read: steps.iter().map(|s| vec![None; outputs(s)]).collect(),
            slot: steps.iter().map(|s| vec![None; outputs(s)]).collect(),
            slots: decodes.len(),
        }
    }

    fn position(&self, step: usize) -> Option<usize> {
        self.steps.iter().position(|s| *s == step)
    }

    fn read(&mut self, step: usize, output: usize, on_host: bool) {
        let position = self.position(step);
        if let Some(read) = position.and_then(|p| self.read.get_mut(p)).and_then(|o| o.get_mut(output)) {
            *read = Some(read.unwrap_or(false) || on_host);
        }
    }

    fn number(&mut self) {
        for (slots, read) in self.slot.iter_mut().zip(&self.read) {
            for (slot, read) in slots.iter_mut().zip(read) {
                if read.is_some() {
                    *slot = Some(self.slots);
                    self.slots += 1;
                }
            }
        }
    }

    fn slot_of(&self, source: Source) -> Option<usize> {
        match source {
            Source::Decode(index) => self.decodes.iter().position(|d| *d == index),
            Source::Output { step, output } => *self.slot.get(self.position(step)?)?.get(output?)?,
        }
    }

    fn step(&self, index: usize, called: &[usize]) -> Option<Step> {
        let node = &self.scope.steps[index];
        let at = self.position(index)?;
        let input = |port: usize| {
            let feed = node.feeds.iter().find(|f| f.port == Some(port))?;
            self.slot_of(feed.source.known()?)
        };
        Some(Step {
            name: node.spec.name.value.clone(),
            model: called.iter().position(|m| Some(*m) == node.model)?,
            inputs: (0..node.signature?.inputs.len()).map(input).collect::<Option<_>>()?,
            outputs: self.slot[at].clone(),
            to_host: self.read[at].iter().map(|r| r.unwrap_or(false)).collect(),
        })
    }
}

fn bind(
    ground: &Ground<'_, '_>,
    view: &View<'_>,
    encode: ReadEncode<'_>,
    layout: &Layout<'_, '_>,
    report: &mut Report,
) -> Option<EncodePlan> {
    let scope = ground.scope;
    let mut bound = vec![];
    let mut sources: Vec<Option<EncodeSource>> = vec![];
    let (needed, _) = reach(scope, encode.reads());
    for (wanted, source) in encode.wanted.iter().zip(&encode.sources) {
        let (to, read) = bind_source(ground, view, wanted, *source, layout, report).unzip();
        bound.push(to);
        sources.push(read);
    }
    // Bound even where a source was refused: more may be wrong.
    let bound = encode.draft.bind(&bound, report);
    let origin = match encode.on {
        None => None,
        Some(on) => Some(layout.slot_of(on.known()?)?),
    };
    let needs = needed.iter().filter_map(|s| layout.position(*s)).collect::<BTreeSet<_>>();
    Some(EncodePlan {
        name: encode.codec.name.value.clone(),
        encode: bound?,
        sources: sources.into_iter().collect::<Option<_>>()?,
        origin,
        needs: needs.into_iter().collect(),
    })
}

/// One source of an encode: what it is bound to, and where it is found at run time.
fn bind_source(
    ground: &Ground<'_, '_>,
    view: &View<'_>,
    wanted: &super::Wanted,
    source: Resolved,
    layout: &Layout<'_, '_>,
    report: &mut Report,
) -> Option<(Bound, EncodeSource)> {
    let scope = ground.scope;
    let source = source.known()?;
    let (labels, note) = describe(scope, wanted, source, ground.models, report);
    let bound =
        Bound { from: wanted.from.clone(), ty: type_of(scope, view, source)?, labels: labels.clone(), note };
    let model = if let Source::Output { step, .. } = source { scope.steps[step].model } else { None };
    let position = ground.called.iter().position(|m| Some(*m) == model);
    let read = EncodeSource {
        slot: layout.slot_of(source)?,
        labels: labels.zip(position).map(|((file, _), position)| (position, file.value)),
    };
    Some((bound, read))
}

type FoundLabels = (At<String>, usize);

/// The labels that are wanted of a source, looked up beside its model; and the line of its signature.
fn describe(
    scope: &Scope<'_>,
    wanted: &super::Wanted,
    source: Source,
    models: &[Loaded<'_>],
    report: &mut Report,
) -> (Option<FoundLabels>, Option<String>) {
    let Source::Output { step, output } = source else {
        if let Some(labels) = &wanted.labels {
            report.push(
                Diagnostic::error(format!(
                    "`{}` is a decode, beside which there are no labels",
                    wanted.from.value
                ))
                .at(&labels.place, "")
                .help("labels are a file beside the `model.onnx` of the step that computes the source"),
            );
        }
        return (None, None);
    };
    let node = &scope.steps[step];
    let Some(model) = node.model.map(|m| &models[m]) else { return (None, None) };
    let port = node.signature.zip(output).and_then(|(s, o)| s.outputs.get(o));
    let line = port.map(|p| format!("model `{}` gives {p}", model.name()));
    let labels = wanted.labels.as_ref().and_then(|file| find_labels(model, file, line.as_ref(), report));
    (labels, line)
}

fn find_labels(
    model: &Loaded<'_>,
    file: &At<String>,
    line: Option<&String>,
    report: &mut Report,
) -> Option<FoundLabels> {
    let mut count = None;
    for (version, facts) in model.versions.iter().rev() {
        let Some(labels) = facts.labels.get(&file.value) else {
            let there: Vec<&str> = facts.labels.keys().map(String::as_str).collect();
            let d = Diagnostic::error(format!(
                "there is no `{}` beside version {version} of model `{}`",
                file.value,
                model.name()
            ))
            .at(&file.place, "");
            report.push(if there.is_empty() {
                d.help("put it beside the `model.onnx`: a text file with one label a line")
            } else {
                d.nearest(file, there)
            });
            return None;
        };
        match count {
            None => count = Some((*version, labels.len())),
            Some((newest, n)) if n != labels.len() => {
                let d = Diagnostic::error(format!(
                    "`{}` has {} labels in version {version} of model `{}`, and {n} in version {newest}",
                    file.value,
                    labels.len(),
                    model.name()
                ))
                .at(&file.place, "");
                report.push(note(d, line.cloned()));
            }
            Some(_) => {}
        }
    }
    count.map(|(_, n)| (file.clone(), n))
}
