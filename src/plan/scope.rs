//! The names of one pipeline, and what a source means.

use super::id::{LoadedId, ScopeDecodeId, ScopeStepId};
use super::models::Loaded;
use super::step::{StepSignature, call};
use super::whole::Whole;
use super::{IdVec, Port};
use crate::diagnostic::{At, Diagnostic, Report, nearest, shown};
use crate::spec;

/// A pipeline's decodes and steps, every source resolved.
pub struct Scope<'a> {
    pub spec: &'a spec::Pipeline,
    /// The names of the decodes of either entry point, each once, in the order of the file.
    pub decodes: IdVec<ScopeDecodeId, &'a str>,
    pub steps: IdVec<ScopeStepId, ScopeStep<'a>>,
    /// A decode and a step have the same name, so that a source may mean either. It was reported.
    pub clash: bool,
}

/// A step as it is declared, with what it calls and reads.
pub struct ScopeStep<'a> {
    pub spec: &'a spec::Step,
    /// The model that it calls, where it is known.
    pub model: Option<LoadedId>,
    /// What it takes and gives, where that is known.
    pub signature: Option<StepSignature<'a>>,
    pub feeds: Vec<Feed<'a>>,
}

/// One entry of a step's `inputs`.
pub struct Feed<'a> {
    pub from: &'a At<String>,
    /// The input of the step's signature that is fed, where it has that one.
    pub port: Option<usize>,
    pub source: Resolved,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    Decode(ScopeDecodeId),
    /// `output` is `None` where the signature is not known, which was reported.
    Output {
        step: ScopeStepId,
        output: Option<usize>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolved {
    Known(Source),
    /// An error was reported; what was probably meant, which therefore does not count as unused.
    Guess(Option<Source>),
}

impl Resolved {
    pub fn known(self) -> Option<Source> {
        if let Self::Known(source) = self { Some(source) } else { None }
    }

    pub fn probable(self) -> Option<Source> {
        match self {
            Self::Known(source) => Some(source),
            Self::Guess(guess) => guess,
        }
    }
}

impl<'a> ScopeStep<'a> {
    /// What it gives; nothing where its signature is not known.
    pub fn outputs(&self) -> &[&'a Port] {
        self.signature.as_ref().map_or(&[], |signature| &signature.outputs)
    }

    pub fn output(&self, index: usize) -> Option<&'a Port> {
        self.outputs().get(index).copied()
    }

    /// One of its outputs, as a note below a message: "model `surface` gives probabilities: float32[5]".
    pub fn gives(&self, output: usize) -> Option<String> {
        let signature = self.signature.as_ref()?;
        Some(format!("{} gives {}", signature.computed_by, signature.outputs.get(output)?))
    }

    /// The type that a feed of it is to be of, as people are told it.
    pub fn takes(&self, feed: &Feed<'_>) -> Option<&'a Port> {
        self.signature.as_ref()?.inputs.get(feed.port?)?.port()
    }
}

impl<'a> Scope<'a> {
    pub fn new(
        spec: &'a spec::Pipeline,
        whole: &Whole<'_>,
        models: &IdVec<LoadedId, Loaded<'a>>,
        report: &mut Report,
    ) -> Self {
        let mut scope = Self { spec, decodes: decode_names(spec), steps: IdVec::default(), clash: false };
        for step in &spec.steps {
            scope.clash |= clash(spec, step, report);
            let model = step.model.as_ref().and_then(|name| find_model(name, step, whole, models, report));
            let signature = model.and_then(|m| call::signature(&models[m]));
            scope.steps.push(ScopeStep { spec: step, model, signature, feeds: vec![] });
        }
        for step in scope.steps.ids() {
            scope.steps[step].feeds = scope.feeds(step, whole, report);
        }
        scope
    }

    fn feeds(&self, index: ScopeStepId, whole: &Whole<'_>, report: &mut Report) -> Vec<Feed<'a>> {
        let node = &self.steps[index];
        let mut meant = vec![];
        let mut feeds = vec![];
        for (input, from) in &node.spec.inputs {
            let signature = node.signature.as_ref();
            let port = signature.and_then(|signature| signature.input(&input.value));
            if let (None, Some(signature)) = (port, signature) {
                let free = signature.input_names();
                let free = free.filter(|p| !node.spec.inputs.iter().any(|(i, _)| i.value == *p));
                let near = nearest(input, free.clone()).or(if free.clone().count() == 1 {
                    free.clone().next()
                } else {
                    None
                });
                meant.extend(near);
                let d =
                    Diagnostic::error(format!("{} has no input `{}`", signature.computed_by, input.value))
                        .at(&input.place, "");
                let d = match near {
                    Some(near) => d.help(format!("did you mean `{}`?", shown(near))),
                    None => d.help(format!("its inputs: {}", list(signature.input_names()))),
                };
                report.push(note(d, signature.described.clone()));
            }
            let what = format!("step `{}`", node.spec.name.value);
            feeds.push(Feed { from, port, source: self.resolve(from, &what, whole, report) });
        }
        if let Some(signature) = &node.signature
            && !whole.broken
            && !node.spec.broken
        {
            for (port, input) in signature.inputs.iter().enumerate() {
                if feeds.iter().any(|f| f.port == Some(port)) || meant.contains(&input.name) {
                    continue;
                }
                let d = Diagnostic::error(format!(
                    "step `{}` does not feed input `{}` of {}",
                    node.spec.name.value,
                    shown(input.name),
                    signature.computed_by
                ))
                .at(&node.spec.name.place, "");
                report.push(
                    note(d, signature.described.clone())
                        .help(format!("add `{} = \"SOURCE\"` to its `inputs`", key(input.name))),
                );
            }
        }
        feeds
    }

    /// What `from` means; `reader` is who reads it, in the words of an error message.
    pub fn resolve(
        &self,
        from: &At<String>,
        reader: &str,
        whole: &Whole<'_>,
        report: &mut Report,
    ) -> Resolved {
        let decode = self.decodes.position(|d| *d == from.value);
        match (decode, self.step(from)) {
            (Some(_), Some(_)) => return Resolved::Guess(None),
            (Some(decode), None) => return Resolved::Known(Source::Decode(decode)),
            (None, Some(step)) => return self.only_output(step, from, report),
            (None, None) => {}
        }
        // Names and outputs may both hold dots, so every dot may be the one between them.
        for (dot, _) in from.match_indices('.') {
            let (name, output) = (&from[..dot], &from[dot + 1..]);
            if let Some(step) = self.step(name) {
                return self.output(step, output, from, report);
            }
            if let Some(decode) = self.decodes.position(|d| *d == name) {
                report.push(
                    Diagnostic::error(format!("decode `{name}` has no outputs to choose from"))
                        .at(&from.place, "")
                        .help(format!(
                            "it gives one tensor: write `{name}`, or declare a decode of its own for `{output}`"
                        )),
                );
                return Resolved::Guess(Some(Source::Decode(decode)));
            }
        }
        // Where there is no decode or no step at all, that is the error.
        if from.is_empty() || self.decodes.is_empty() || self.steps.is_empty() {
            return Resolved::Guess(None);
        }
        let sources = self.sources();
        let near = nearest(from, sources.iter().map(|(name, _)| name.as_str()));
        if !whole.broken && !self.spec.broken && near.is_none_or(|near| !is_misnamed(self, near)) {
            let d = Diagnostic::error(format!("{reader} reads `{}`, which does not exist", from.value))
                .at(&from.place, "no decode and no step has this name");
            let known = sources.iter().map(|(name, _)| name.as_str());
            report.push(d.nearest(from, known));
        }
        Resolved::Guess(
            sources.iter().find(|(name, _)| Some(name.as_str()) == near).map(|(_, source)| *source),
        )
    }

    fn step(&self, name: &str) -> Option<ScopeStepId> {
        self.steps.position(|s| s.spec.name.value == name)
    }

    fn only_output(&self, step: ScopeStepId, from: &At<String>, report: &mut Report) -> Resolved {
        let Some(signature) = &self.steps[step].signature else {
            return Resolved::Known(Source::Output { step, output: None });
        };
        match signature.outputs.as_slice() {
            [_] => Resolved::Known(Source::Output { step, output: Some(0) }),
            outputs => {
                let choices: Vec<String> =
                    outputs.iter().map(|o| format!("`{}.{}`", from.value, shown(&o.name))).collect();
                report.push(
                    Diagnostic::error(format!(
                        "step `{}` has {} outputs: say which one is meant",
                        from.value,
                        outputs.len()
                    ))
                    .at(&from.place, "")
                    .help(format!("write one of {}", choices.join(", "))),
                );
                Resolved::Guess(Some(Source::Output { step, output: None }))
            }
        }
    }

    fn output(&self, step: ScopeStepId, output: &str, from: &At<String>, report: &mut Report) -> Resolved {
        let Some(signature) = &self.steps[step].signature else {
            return Resolved::Known(Source::Output { step, output: None });
        };
        if let Some(index) = signature.output(output) {
            return Resolved::Known(Source::Output { step, output: Some(index) });
        }
        let name = &self.steps[step].spec.name.value;
        let d = Diagnostic::error(format!("step `{name}` has no output `{output}`")).at(&from.place, "");
        report.push(match (nearest(output, signature.output_names()), signature.outputs.as_slice()) {
            (Some(near), _) => d.help(format!("did you mean `{name}.{}`?", shown(near))),
            (None, [only]) => {
                d.help(format!("its one output is `{name}.{}`, or `{name}` for short", shown(&only.name)))
            }
            (None, _) => d.help(format!("its outputs: {}", list(signature.output_names()))),
        });
        Resolved::Guess(Some(Source::Output { step, output: None }))
    }

    /// Everything that can be read, as it is written.
    fn sources(&self) -> Vec<(String, Source)> {
        let mut all: Vec<(String, Source)> =
            self.decodes.enumerate().map(|(i, name)| ((*name).to_owned(), Source::Decode(i))).collect();
        for (step, node) in self.steps.enumerate() {
            let name = &node.spec.name.value;
            let outputs = node.outputs();
            if outputs.len() < 2 {
                all.push((name.clone(), Source::Output { step, output: None }));
            }
            for (index, output) in outputs.iter().enumerate() {
                all.push((format!("{name}.{}", output.name), Source::Output { step, output: Some(index) }));
            }
        }
        all
    }
}

/// Whether a source is of a decode or a step whose name cannot be one, which was reported.
fn is_misnamed(scope: &Scope<'_>, source: &str) -> bool {
    let steps = scope.steps.iter().map(|s| s.spec.name.value.as_str());
    let mut names = scope.decodes.iter().copied().chain(steps).filter(|name| !spec::read::is_name(name));
    names.any(|name| source.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')))
}

fn decode_names(spec: &spec::Pipeline) -> IdVec<ScopeDecodeId, &str> {
    let entries = [&spec.online, &spec.offline];
    let own = entries.into_iter().flatten().flat_map(|entry| &entry.decodes);
    let mut names: Vec<&str> = vec![];
    for codec in spec.decodes.iter().chain(own) {
        if !names.contains(&codec.name.value.as_str()) {
            names.push(&codec.name.value);
        }
    }
    names.into()
}

fn clash(spec: &spec::Pipeline, step: &spec::Step, report: &mut Report) -> bool {
    let entries = [&spec.online, &spec.offline];
    let own = entries.into_iter().flatten().flat_map(|entry| &entry.decodes);
    let same = spec.decodes.iter().chain(own).find(|d| d.name.value == step.name.value);
    if let Some(decode) = same {
        report.push(
            Diagnostic::error(format!("a decode and a step are both named `{}`", step.name.value))
                .at(&step.name.place, "the step")
                .at(&decode.name.place, "the decode")
                .help("a source is read by its name: rename one of them"),
        );
    }
    same.is_some()
}

fn find_model(
    name: &At<String>,
    step: &spec::Step,
    whole: &Whole<'_>,
    models: &IdVec<LoadedId, Loaded<'_>>,
    report: &mut Report,
) -> Option<LoadedId> {
    // Also where its declaration is misspelt, which was reported.
    let found = models
        .position(|m| m.name() == name.value)
        .or_else(|| models.position(|m| m.meant == Some(name.as_str())));
    if found.is_none() && !whole.broken {
        let d = Diagnostic::error(format!(
            "step `{}` calls model `{}`, which is not declared",
            step.name.value, name.value
        ))
        .at(&name.place, "");
        let near = nearest(name, models.iter().map(Loaded::name));
        // A name that cannot be one was reported where it is declared.
        if near.is_some_and(|near| !spec::read::is_name(near)) {
            return None;
        }
        report.push(match near {
            Some(near) => d.help(format!("did you mean `{}`?", shown(near))),
            None => d.help(format!("declare it: `[models.{}]`", name.value)),
        });
    }
    found
}

pub fn note(d: Diagnostic, note: Option<String>) -> Diagnostic {
    match note {
        Some(note) => d.note(note),
        None => d,
    }
}

fn list<'n>(names: impl Iterator<Item = &'n str>) -> String {
    let names: Vec<String> = names.map(|name| format!("`{}`", shown(name))).collect();
    names.join(", ")
}

/// A name as a TOML key.
fn key(name: &str) -> String {
    let bare = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
    if bare { name.to_owned() } else { format!("{name:?}") }
}
