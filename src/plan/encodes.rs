//! The encodes of an entry point: their sources resolved, their labels found, bound to types and slots.

use super::codec::{Bound, Draft};
use super::entry::{Ground, View, reach};
use super::id::{LoadedId, ScopeDecodeId};
use super::models::Loaded;
use super::scope::{Resolved, Scope, Source, note};
use super::slots::Layout;
use super::types::type_of;
use super::whole::Whole;
use super::{Codecs, EncodePlan, EncodeSource, IdVec, SourceRef};
use crate::diagnostic::{At, Diagnostic, Report};
use crate::spec;
use std::collections::BTreeSet;

/// An encode whose options are read and whose sources are resolved.
pub struct ReadEncode<'a> {
    pub codec: &'a spec::Codec,
    draft: Box<dyn Draft>,
    pub wanted: Vec<SourceRef>,
    pub sources: Vec<Resolved>,
    pub on: Option<Resolved>,
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
        let wanted = draft.sources();
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
    let decode = |i: ScopeDecodeId| view.decodes[i].as_ref().and_then(|read| read.decode.as_ref());
    let is_image = |i: ScopeDecodeId| decode(i).is_some_and(|decode| decode.keeps_picture());
    let images: Vec<&str> =
        scope.decodes.enumerate().filter(|(i, _)| is_image(*i)).map(|(_, name)| *name).collect();
    match scope.decodes.position(|d| *d == on.value) {
        Some(index) if is_image(index) => Resolved::Known(Source::Decode(index)),
        // What it would be could not be read, which was reported.
        Some(index) if view.decodes[index].as_ref().is_some_and(|d| d.decode.is_none()) => {
            Resolved::Guess(Some(Source::Decode(index)))
        }
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

/// `None` where there are errors.
pub fn bind(
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
        Some(on) => match on.known()? {
            Source::Decode(decode) => Some(layout.decode(decode)?),
            Source::Output { .. } => return None,
        },
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
    wanted: &SourceRef,
    source: Resolved,
    layout: &Layout<'_, '_>,
    report: &mut Report,
) -> Option<(Bound, EncodeSource)> {
    let scope = ground.scope;
    let source = source.known()?;
    let (labels, note_text) = describe(scope, wanted, source, ground.models, report);
    if let Source::Output { step, output: Some(output) } = source
        && let Some(port) = scope.steps[step].output(output)
        && port.dtype.is_none()
        && port.declared != "unknown"
    {
        let d = Diagnostic::error(format!(
            "output `{}` is {}, which rserve does not serve",
            port.name, port.declared
        ))
        .at(&wanted.from.place, "");
        report.push(note(d, note_text).help("an encode takes tensors; the model's other outputs are served"));
        return None;
    }
    let bound = Bound {
        from: wanted.from.clone(),
        ty: type_of(scope, view, source)?,
        labels: labels.clone(),
        note: note_text,
    };
    let model = if let Source::Output { step, .. } = source { scope.steps[step].model } else { None };
    let position = ground.called.position(|m| Some(*m) == model);
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
    wanted: &SourceRef,
    source: Source,
    models: &IdVec<LoadedId, Loaded<'_>>,
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
    let line = output.and_then(|output| node.gives(output));
    let Some(model) = node.model.map(|m| &models[m]) else { return (None, line) };
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
            let there: BTreeSet<&str> = facts.labels.keys().chain(&facts.texts).map(String::as_str).collect();
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
