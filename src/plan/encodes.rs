//! The encodes of an entry point: their sources resolved, their labels found, bound to types and slots.

use super::codec::{Bound, Draft};
use super::entry::{Ground, View, reach};
use super::id::ScopeDecodeId;
use super::made::{self, LabelFile};
use super::models::Loaded;
use super::scope::{Resolved, Scope, Source, Wish, note};
use super::slots::Layout;
use super::types::type_of;
use super::whole::Whole;
use super::{Codecs, EncodePlan, EncodeSource, Presence, SourceRef, TensorType};
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
    /// The decodes of whose pictures it tells the size.
    pub sizes: Vec<Resolved>,
}

impl ReadEncode<'_> {
    /// Everything it reads, its `on` included.
    pub fn reads(&self) -> impl Iterator<Item = Source> + '_ {
        self.sources.iter().chain(&self.on).chain(&self.sizes).filter_map(|s| s.probable())
    }

    /// The decodes whose pictures it looks at.
    pub fn pictures(&self) -> impl Iterator<Item = Source> + '_ {
        self.on.iter().chain(&self.sizes).filter_map(|picture| picture.known())
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
        let wish = |wanted: &SourceRef| if wanted.is_list { Wish::List } else { Wish::Tensor };
        let sources = wanted.iter().map(|w| scope.resolve(&w.from, &what, wish(w), whole, report)).collect();
        let sources: Vec<Resolved> = sources;
        let on = draft.on().map(|name| {
            let on = resolve_on(scope, view, &name, &what, whole, report);
            let drawn: Vec<Source> = sources.iter().filter_map(|source| source.known()).collect();
            if let Some(on) = on.known() {
                made::drawn_on_another(scope, &drawn, on, &name, report);
            }
            on
        });
        let size = |from: &At<String>| {
            let title =
                format!("`from = \"{}\"` with `as = \"size\"` in {what} names no image decode", from.value);
            resolve_picture(scope, view, from, title, whole, report)
        };
        let sizes = draft.sizes().iter().map(size).collect();
        all.push(ReadEncode { codec, draft, wanted, sources, on, sizes });
    }
    (all, complete)
}

/// The decode whose picture is meant by `on`.
pub fn resolve_on(
    scope: &Scope<'_>,
    view: &View<'_>,
    on: &At<String>,
    what: &str,
    whole: &Whole<'_>,
    report: &mut Report,
) -> Resolved {
    let title = format!("`on = \"{}\"` in {what} names no image decode", on.value);
    resolve_picture(scope, view, on, title, whole, report)
}

/// The decode whose picture is meant; `title` is what is said where there is none.
fn resolve_picture(
    scope: &Scope<'_>,
    view: &View<'_>,
    on: &At<String>,
    title: String,
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
                let d = Diagnostic::error(title).at(&on.place, "");
                report.push(if images.is_empty() {
                    d.help("there is a picture where a decode has `format = \"image\"`")
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
    let takes_lists = encode.draft.takes_lists();
    for (wanted, source) in encode.wanted.iter().zip(&encode.sources) {
        let (to, read) = bind_source(ground, view, wanted, *source, layout, report).unzip();
        let to = to.filter(|bound: &Bound| takes_lists || is_once(bound, &encode.codec.name, report));
        bound.push(to);
        sources.push(read);
    }
    // Bound even where a source was refused: more may be wrong.
    let bound = encode.draft.bind(&bound, report);
    let picture = |picture: Resolved| match picture.known()? {
        Source::Decode(decode) => layout.decode(decode),
        Source::Output { .. } | Source::List(_) => None,
    };
    let origin = match encode.on {
        None => None,
        Some(on) => Some(picture(on)?),
    };
    let sizes = encode.sizes.into_iter().map(picture).collect::<Option<_>>()?;
    let needs = needed.iter().filter_map(|s| layout.position(*s)).collect::<BTreeSet<_>>();
    Some(EncodePlan {
        name: encode.codec.name.value.clone(),
        encode: bound?,
        sources: sources.into_iter().collect::<Option<_>>()?,
        sizes,
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
    let (labels, note_text) = describe(ground, view, wanted, source, report);
    if let Source::Output { step, output: Some(output) } = source
        && let Some(port) = scope.steps[step].port(output)
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
    let ty = match source {
        Source::List(_) => TensorType::default(),
        _ => type_of(scope, view, source)?,
    };
    let bound = Bound {
        from: wanted.from.clone(),
        ty,
        labels: labels.as_ref().map(|labels| (labels.file.clone(), labels.count)),
        lines: labels.as_ref().and_then(|labels| made::lines(&ground.models[labels.model], &labels.file)),
        note: note_text,
        presence: ground.presences.of(scope, source),
    };
    let read = EncodeSource {
        slot: layout.slot_of(source)?,
        labels: labels.and_then(|labels| layout.labels(&labels, ground.called)),
    };
    Some((bound, read))
}

/// Reports a source that is not there just once, to an encode that can only write such ones.
fn is_once(bound: &Bound, encode: &At<String>, report: &mut Report) -> bool {
    let Presence { each, maybe, .. } = &bound.presence;
    let from = &bound.from;
    let d = match each.last() {
        Some(list) => Diagnostic::error(format!(
            "`{}` is there once for each `{list}`, and encode `{}` writes one value",
            from.value, encode.value
        ))
        .help("`op = \"stack\"` makes one array of them all; json, jsonl, csv and parquet write lists"),
        None if *maybe => Diagnostic::error(format!(
            "`{}` may be absent, and encode `{}` has no way to say so",
            from.value, encode.value
        ))
        .help(
            "json writes null for what is absent; `op = \"first\"` puts something else in its place: \
             `from = [\"IT\", \"OTHER\"]`",
        ),
        None => return true,
    };
    report.push(d.at(&from.place, ""));
    false
}

/// The labels that are wanted of a source, or that it brings along; and the line of its signature.
fn describe(
    ground: &Ground<'_, '_>,
    view: &View<'_>,
    wanted: &SourceRef,
    source: Source,
    report: &mut Report,
) -> (Option<LabelFile>, Option<String>) {
    let line = match source {
        Source::Output { step, output: Some(output) } => ground.scope.steps[step].gives(output),
        _ => None,
    };
    let labels = match &wanted.labels {
        Some(file) => made::beside(ground.scope, source, &wanted.from, file, ground.models, report),
        None => made::labels_of(view, source),
    };
    (labels, line)
}

/// The labels in a file beside a model, where each of its versions has it: the file and the number of labels.
pub fn find_labels(
    model: &Loaded<'_>,
    file: &At<String>,
    line: Option<&String>,
    report: &mut Report,
) -> Option<(At<String>, usize)> {
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
