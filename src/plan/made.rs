//! The operations of one entry point, bound to the types of what they read there.

use super::codec::Bound;
use super::encodes::{find_labels, resolve_on};
use super::entry::{View, reach};
use super::id::{LoadedId, ScopeDecodeId, ScopeStepId};
use super::models::Loaded;
use super::operation::{Operand, Operation, Reads};
use super::scope::{FeedTo, Scope, Source};
use super::step::guard::{self, Known};
use super::step::presence::Presences;
use super::types::type_of;
use super::whole::Whole;
use super::{IdVec, Labels, TensorType};
use crate::diagnostic::{At, Diagnostic, Report};
use std::collections::BTreeSet;
use std::sync::Arc;

/// An operation as one entry point has it.
#[derive(Clone, Debug)]
pub struct MadeStep {
    pub operation: Arc<dyn Operation>,
    /// What it reads, each with the labels that it is given.
    pub operands: Vec<(Operand, Option<LabelFile>)>,
    pub outputs: Vec<MadeOutput>,
}

/// What an output of an operation is.
#[derive(Clone, Debug)]
pub struct MadeOutput {
    pub ty: TensorType,
    /// The labels of the classes that it holds.
    pub labels: Option<LabelFile>,
}

/// A file of labels, or an array, beside a model.
#[derive(Clone, Debug)]
pub struct LabelFile {
    pub model: LoadedId,
    pub file: At<String>,
    /// The number of labels, or of rows.
    pub count: usize,
}

/// What is known of the pipeline while its operations are bound.
pub struct Binding<'b, 'a> {
    pub scope: &'b Scope<'a>,
    pub presences: &'b Presences,
    pub models: &'b IdVec<LoadedId, Loaded<'a>>,
    pub whole: &'b Whole<'a>,
}

impl Binding<'_, '_> {
    /// Binds all operations, in an order in which each comes after those that it reads from; then checks all conditions.
    pub fn operations(&self, order: &[ScopeStepId], view: &mut View<'_>, report: &mut Report) {
        for step in order {
            view.made[*step] = self.operation(*step, view, report);
        }
        for step in order {
            self.condition(*step, view, report);
        }
    }

    fn operation(&self, step: ScopeStepId, view: &View<'_>, report: &mut Report) -> Option<MadeStep> {
        let node = &self.scope.steps[step];
        let draft = node.operation.as_ref()?;
        let operands = draft.operands();
        let mut labels = vec![];
        let mut bound = vec![];
        for (at, operand) in operands.iter().enumerate() {
            let source = node.fed(FeedTo::Operand(at));
            let file = source.and_then(|source| self.file(view, source, operand, report));
            bound.push(source.and_then(|source| self.bound(view, source, operand, file.as_ref())));
            labels.push(file);
        }
        let on =
            draft.on().map(|on| resolve_on(self.scope, view, &on, &node.spec.what(), self.whole, report));
        let made = draft.bind(&bound, report)?;
        let on = match on {
            None => None,
            Some(on) => Some(on.known()?),
        };
        if let (Some(on), Some(name)) = (on, draft.on()) {
            let read = (0..operands.len()).filter_map(|at| node.fed(FeedTo::Operand(at)));
            let read: Vec<Source> = read.collect();
            another_picture(self.scope, view, &read, on, &name, report);
            if draft.turns_back() && operands.iter().all(|operand| operand.name != VIEW) {
                unseen(self.scope, &read, &name, report);
            }
        }
        let outputs = made.outputs.into_iter().map(|output| MadeOutput {
            ty: output.ty,
            labels: output.labels.and_then(|operand| labels.get(operand)?.clone()),
        });
        let outputs = outputs.collect();
        let operands = operands.into_iter().zip(labels).collect();
        Some(MadeStep { operation: made.operation, operands, outputs })
    }

    fn bound(
        &self,
        view: &View<'_>,
        source: Source,
        operand: &Operand,
        labels: Option<&LabelFile>,
    ) -> Option<Bound> {
        let ty = match operand.reads {
            Reads::Length => TensorType::default(),
            Reads::Beside => {
                let (_, facts) = self.models[labels?.model].versions.last()?;
                facts.arrays.get(&labels?.file.value)?.ty()
            }
            _ => type_of(self.scope, view, source)?,
        };
        let note = match source {
            Source::Output { step, output: Some(output) } => self.scope.steps[step].gives(output),
            _ => None,
        };
        Some(Bound {
            from: operand.from.clone(),
            ty,
            labels: labels.map(|labels| (labels.file.clone(), labels.count)),
            lines: labels.and_then(|labels| lines(&self.models[labels.model], &labels.file)),
            note,
            presence: self.presences.of(self.scope, source),
        })
    }

    /// The file that an operand names, or the labels that its source brings along.
    fn file(
        &self,
        view: &View<'_>,
        source: Source,
        operand: &Operand,
        report: &mut Report,
    ) -> Option<LabelFile> {
        match &operand.file {
            None => labels_of(view, source),
            Some(file) if operand.reads == Reads::Beside => {
                array_beside(self.scope, source, &operand.from, file, self.models, report)
            }
            Some(file) => beside(self.scope, source, &operand.from, file, self.models, report),
        }
    }

    fn condition(&self, step: ScopeStepId, view: &View<'_>, report: &mut Report) {
        let node = &self.scope.steps[step];
        let (Some(condition), Some(text)) = (&node.when, &node.spec.when) else { return };
        let sources = (0..condition.sources().len()).map(|at| node.fed(FeedTo::Condition(at)));
        let known: Vec<Option<Known>> = sources.map(|source| self.known(view, source?)).collect();
        guard::check(condition, text, &known, report);
    }

    /// What a condition must know of a source.
    pub fn known(&self, view: &View<'_>, source: Source) -> Option<Known> {
        if let Source::List(_) = source {
            return Some(Known::Length);
        }
        let labels =
            labels_of(view, source).and_then(|labels| lines(&self.models[labels.model], &labels.file));
        Some(Known::Tensor { ty: type_of(self.scope, view, source)?, labels })
    }
}

/// The output of operations that cut a picture, and the operand of those that turn back what was found in the part.
const VIEW: &str = "view";

/// Reports what a model found in a part of the picture where it is taken for found in the whole of it.
fn unseen(scope: &Scope<'_>, read: &[Source], name: &At<String>, report: &mut Report) {
    let (mut seen, mut parts, mut whole) = (BTreeSet::new(), BTreeSet::new(), false);
    let mut open: Vec<Source> = read.to_vec();
    while let Some(source) = open.pop() {
        let Some(step) = source.step() else {
            whole = true;
            continue;
        };
        let node = &scope.steps[step];
        if node.operation.is_some() && node.outputs().iter().any(|output| output.name == VIEW) {
            parts.insert(node.spec.name.value.as_str());
        } else if seen.insert(step) {
            let fed =
                node.feeds.iter().filter(|feed| matches!(feed.to, FeedTo::Port(_) | FeedTo::Operand(_)));
            open.extend(fed.filter_map(|feed| feed.source.known()));
        }
    }
    if let (Some(part), false) = (parts.first(), whole) {
        report.push(
            Diagnostic::error(format!(
                "this was found in `{part}`, a part of `{}`, and not in the whole",
                name.value
            ))
            .at(&name.place, "")
            .help(format!("say which part the model saw: `{VIEW} = \"{part}.{VIEW}\"`")),
        );
    }
}

/// Reports an `on` that is another picture than what is read was found in.
fn another_picture(
    scope: &Scope<'_>,
    view: &View<'_>,
    read: &[Source],
    on: Source,
    name: &At<String>,
    report: &mut Report,
) {
    let (_, decodes) = reach(scope, read.iter().copied());
    let is_picture = |decode: &ScopeDecodeId| {
        let read = view.decodes[*decode].as_ref().and_then(|read| read.decode.as_ref());
        read.is_some_and(|decode| decode.keeps_picture())
    };
    let pictures: Vec<ScopeDecodeId> = decodes.into_iter().filter(is_picture).collect();
    if pictures.is_empty() || pictures.iter().any(|picture| Source::Decode(*picture) == on) {
        return;
    }
    let names = pictures.iter().map(|picture| scope.decodes[*picture]);
    report.push(
        Diagnostic::error(format!("what is read here was found in another picture than `{}`", name.value))
            .at(&name.place, "")
            .nearest(name, names),
    );
}

/// Reports an `on` that is another picture than that in whose pixels operations gave what an encode draws.
pub fn drawn_on_another(
    scope: &Scope<'_>,
    drawn: &[Source],
    on: Source,
    name: &At<String>,
    report: &mut Report,
) {
    let (steps, _) = reach(scope, drawn.iter().copied());
    let pictures: Vec<Source> =
        steps.iter().filter_map(|step| scope.steps[*step].fed(FeedTo::Picture)).collect();
    if pictures.is_empty() || pictures.contains(&on) {
        return;
    }
    let named = |source: &Source| {
        if let Source::Decode(decode) = source { Some(scope.decodes[*decode]) } else { None }
    };
    report.push(
        Diagnostic::error(format!("what is drawn here was found in another picture than `{}`", name.value))
            .at(&name.place, "")
            .nearest(name, pictures.iter().filter_map(named)),
    );
}

/// The labels that a source brings along: those of the classes that an operation found.
pub fn labels_of(view: &View<'_>, source: Source) -> Option<LabelFile> {
    let Source::Output { step, output } = source else { return None };
    view.made[step].as_ref()?.outputs.get(output?)?.labels.clone()
}

/// A file of labels beside the model that a source comes from.
pub fn beside(
    scope: &Scope<'_>,
    source: Source,
    from: &At<String>,
    file: &At<String>,
    models: &IdVec<LoadedId, Loaded<'_>>,
    report: &mut Report,
) -> Option<LabelFile> {
    let Some(step) = source.step() else {
        report.push(
            Diagnostic::error(format!("`{}` is a decode, beside which there are no labels", from.value))
                .at(&file.place, "")
                .help("labels are a file beside the `model.onnx` of the step that computes the source"),
        );
        return None;
    };
    let model = model_behind(scope, step)?;
    let line = match source {
        Source::Output { step, output: Some(output) } => scope.steps[step].gives(output),
        _ => None,
    };
    let (file, count) = find_labels(&models[model], file, line.as_ref(), report)?;
    Some(LabelFile { model, file, count })
}

/// An array beside the model that a source comes from, of which each version has one of the same type but for the number
/// of its rows.
fn array_beside(
    scope: &Scope<'_>,
    source: Source,
    from: &At<String>,
    file: &At<String>,
    models: &IdVec<LoadedId, Loaded<'_>>,
    report: &mut Report,
) -> Option<LabelFile> {
    let Some(step) = source.step() else {
        report.push(
            Diagnostic::error(format!("`{}` is a decode, beside which there are no files", from.value))
                .at(&file.place, "")
                .help("an array is a file beside the `model.onnx` of the step that computes the source"),
        );
        return None;
    };
    let model = model_behind(scope, step)?;
    let name = models[model].name();
    let mut newest: Option<(u64, TensorType, usize)> = None;
    for (version, facts) in models[model].versions.iter().rev() {
        let Some(array) = facts.arrays.get(&file.value) else {
            let title = format!("there is no `{}` beside version {version} of model `{name}`", file.value);
            let d = Diagnostic::error(title).at(&file.place, "");
            report.push(d.help("put it beside the `model.onnx`: an array of NumPy, `NAME.npy`"));
            return None;
        };
        let mut row = array.ty();
        let rows = array.tensor.shape().first().copied().unwrap_or(0);
        row.dims.iter_mut().flatten().take(1).for_each(|rows| *rows = None);
        match &newest {
            None => newest = Some((*version, row, rows)),
            Some((newest, of_newest, _)) if *of_newest != row => {
                let title = format!(
                    "`{}` is {row} in version {version} of model `{name}`, and {of_newest} in version {newest}",
                    file.value
                );
                report.push(Diagnostic::error(title).at(&file.place, ""));
            }
            Some(_) => {}
        }
    }
    newest.map(|(.., count)| LabelFile { model, file: file.clone(), count })
}

/// The model that computes what a step gives: its own, or that of the first source of an operation which has one.
fn model_behind(scope: &Scope<'_>, step: ScopeStepId) -> Option<LoadedId> {
    // Steps may stand in a circle, which was reported.
    let mut seen = vec![];
    let mut open = vec![step];
    while let Some(step) = open.pop() {
        if seen.contains(&step) {
            continue;
        }
        seen.push(step);
        let node = &scope.steps[step];
        if node.operation.is_none() {
            return node.model;
        }
        let operands = node.feeds.iter().filter(|feed| matches!(feed.to, FeedTo::Operand(_)));
        let before = operands.filter_map(|feed| feed.source.known()?.step());
        open.extend(before.collect::<Vec<_>>().into_iter().rev());
    }
    None
}

pub fn lines(model: &Loaded<'_>, file: &At<String>) -> Option<Labels> {
    let (_, facts) = model.versions.last()?;
    facts.labels.get(&file.value).cloned()
}
