//! The names of one pipeline, and what a source means.

use super::id::{LoadedId, ScopeDecodeId, ScopeStepId};
use super::models::Loaded;
use super::operation::{OperationDraft, Operations, Reads};
use super::step::{Condition, StepOutput, StepSignature, call, guard, operation};
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
    /// The operation that it is, where it is known.
    pub operation: Option<Box<dyn OperationDraft>>,
    /// What it takes and gives, where that is known.
    pub signature: Option<StepSignature<'a>>,
    /// The condition on which it runs, where it has one that can be read.
    pub when: Option<Condition>,
    pub feeds: Vec<Feed>,
}

/// A source that a step reads.
pub struct Feed {
    pub from: At<String>,
    pub to: FeedTo,
    pub source: Resolved,
}

/// The part of a step that reads a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeedTo {
    /// An input of the step's signature; `None` where it has not the one that is named.
    Port(Option<usize>),
    /// An operand of the operation.
    Operand(usize),
    /// The picture that the operation reads.
    Picture,
    /// The list whose elements an operation gathers.
    Over,
    /// The list for each of whose elements the step runs.
    Each,
    /// A source of the condition.
    Condition(usize),
}

impl Feed {
    /// The input of the step's signature that is fed.
    pub fn port(&self) -> Option<usize> {
        if let FeedTo::Port(port) = self.to { port } else { None }
    }
}

/// What a reader can do with a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// It reads tensors.
    Tensor,
    /// It wants a list itself.
    List,
    /// It reads tensors, and a list as the number of its elements.
    TensorOrLength,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    Decode(ScopeDecodeId),
    /// `output` is `None` where the signature is not known, which was reported.
    Output {
        step: ScopeStepId,
        output: Option<usize>,
    },
    /// The list that a step makes, by itself.
    List(ScopeStepId),
}

impl Source {
    /// The step that computes it.
    pub fn step(self) -> Option<ScopeStepId> {
        match self {
            Self::Decode(_) => None,
            Self::Output { step, .. } | Self::List(step) => Some(step),
        }
    }
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
    pub fn outputs(&self) -> &[StepOutput<'a>] {
        self.signature.as_ref().map_or(&[], |signature| &signature.outputs)
    }

    /// The output of the model that it calls.
    pub fn port(&self, output: usize) -> Option<&'a Port> {
        self.outputs().get(output)?.port
    }

    /// The name of an output as it is written after the step's.
    pub fn output_name(&self, output: usize) -> Option<&'a str> {
        Some(self.outputs().get(output)?.name)
    }

    /// Where it makes a list, the most elements that this may have.
    pub fn makes_list(&self) -> Option<usize> {
        self.operation.as_ref()?.makes_list()
    }

    /// The source of the first feed to that part of it.
    pub fn fed(&self, to: FeedTo) -> Option<Source> {
        self.feeds.iter().find(|feed| feed.to == to)?.source.known()
    }

    /// One of its outputs, as a note below a message: "model `surface` gives probabilities: float32[5]".
    pub fn gives(&self, output: usize) -> Option<String> {
        let signature = self.signature.as_ref()?;
        Some(format!("{} gives {}", signature.computed_by, signature.outputs.get(output)?.port?))
    }

    /// The type that a feed of it is to be of, as people are told it.
    pub fn takes(&self, feed: &Feed) -> Option<&'a Port> {
        self.signature.as_ref()?.inputs.get(feed.port()?)?.port()
    }
}

impl<'a> Scope<'a> {
    pub fn new(
        spec: &'a spec::Pipeline,
        whole: &Whole<'_>,
        models: &IdVec<LoadedId, Loaded<'a>>,
        operations: &dyn Operations,
        report: &mut Report,
    ) -> Self {
        let mut scope = Self { spec, decodes: decode_names(spec), steps: IdVec::default(), clash: false };
        for step in &spec.steps {
            scope.clash |= clash(spec, step, report);
            let model = step.model.as_ref().and_then(|name| find_model(name, step, whole, models, report));
            let operation = step.op.as_ref().and_then(|_| operations.read(step, report));
            let signature = match &operation {
                Some(draft) => Some(operation::signature(step, &**draft)),
                None => model.and_then(|m| call::signature(&models[m])),
            };
            let when = step.when.as_ref().and_then(|when| guard::read(when, report));
            scope.steps.push(ScopeStep { spec: step, model, operation, signature, when, feeds: vec![] });
        }
        for step in scope.steps.ids() {
            let mut feeds = scope.inputs(step, whole, report);
            scope.operands(step, whole, &mut feeds, report);
            scope.guards(step, whole, &mut feeds, report);
            scope.steps[step].feeds = feeds;
        }
        scope
    }

    /// The sources of an operation.
    fn operands(&self, index: ScopeStepId, whole: &Whole<'_>, feeds: &mut Vec<Feed>, report: &mut Report) {
        let node = &self.steps[index];
        let Some(draft) = &node.operation else { return };
        let what = node.spec.what();
        for (at, operand) in draft.operands().into_iter().enumerate() {
            let wish = if operand.reads == Reads::Length { Wish::List } else { Wish::Tensor };
            let source = self.resolve(&operand.from, &what, wish, whole, report);
            feeds.push(Feed { from: operand.from, to: FeedTo::Operand(at), source });
        }
        // Another name than that of a decode is refused where the operation is bound.
        if let Some(on) = draft.on()
            && let Some(decode) = self.decodes.position(|name| *name == on.value)
        {
            let source = Resolved::Known(Source::Decode(decode));
            feeds.push(Feed { from: on, to: FeedTo::Picture, source });
        }
        if let Some(over) = draft.over() {
            let source = self.resolve(&over, &what, Wish::List, whole, report);
            feeds.push(Feed { from: over, to: FeedTo::Over, source });
        }
    }

    /// The list for each of whose elements a step runs, and the sources of its condition.
    fn guards(&self, index: ScopeStepId, whole: &Whole<'_>, feeds: &mut Vec<Feed>, report: &mut Report) {
        let node = &self.steps[index];
        let what = node.spec.what();
        if let Some(each) = &node.spec.each {
            let source = self.resolve(each, &what, Wish::List, whole, report);
            feeds.push(Feed { from: each.clone(), to: FeedTo::Each, source });
        }
        let Some(text) = &node.spec.when else { return };
        let what = format!("`when` of {what}");
        if let Some(condition) = &node.when {
            for (at, from) in guard::sources(condition, text).into_iter().enumerate() {
                let source = self.resolve(&from, &what, Wish::TensorOrLength, whole, report);
                let source = self.as_element(index, source);
                feeds.push(Feed { from, to: FeedTo::Condition(at), source });
            }
            return;
        }
        // What a condition with a mistake reads is not to be said to be read by nobody.
        for (at, from) in guard::guessed(text).into_iter().enumerate() {
            let source = self.resolve(&from, &what, Wish::TensorOrLength, whole, &mut Report::default());
            feeds.push(Feed { from, to: FeedTo::Condition(at), source: Resolved::Guess(source.probable()) });
        }
    }

    /// A list of one output, named in the condition of a step that runs for each of its elements: there the name is that
    /// of the element, as it is among the step's inputs.
    fn as_element(&self, step: ScopeStepId, source: Resolved) -> Resolved {
        let Resolved::Known(Source::List(list)) = source else { return source };
        let each = |step: ScopeStepId| self.step(&self.steps[step].spec.each.as_ref()?.value);
        // Lists lie in each other at most as deep as there are steps; a circle was reported.
        let mut around = std::iter::successors(each(step), |list| each(*list)).take(self.steps.len());
        match around.any(|around| around == list) && self.steps[list].outputs().len() == 1 {
            true => Resolved::Known(Source::Output { step: list, output: Some(0) }),
            false => source,
        }
    }

    /// The sources of a model's inputs.
    fn inputs(&self, index: ScopeStepId, whole: &Whole<'_>, report: &mut Report) -> Vec<Feed> {
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
            let source = self.resolve(from, &node.spec.what(), Wish::Tensor, whole, report);
            feeds.push(Feed { from: from.clone(), to: FeedTo::Port(port), source });
        }
        if let Some(signature) = &node.signature
            && !whole.broken
            && !node.spec.broken
        {
            for (port, input) in signature.inputs.iter().enumerate() {
                if feeds.iter().any(|f| f.port() == Some(port)) || meant.contains(&input.name) {
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
        wish: Wish,
        whole: &Whole<'_>,
        report: &mut Report,
    ) -> Resolved {
        let decode = self.decodes.position(|d| *d == from.value);
        match (decode, self.step(from)) {
            (Some(_), Some(_)) => return Resolved::Guess(None),
            (Some(decode), None) if wish == Wish::List => {
                self.no_list(from, report);
                return Resolved::Guess(Some(Source::Decode(decode)));
            }
            (Some(decode), None) => return Resolved::Known(Source::Decode(decode)),
            (None, Some(step)) => return self.whole_step(step, from, wish, report),
            (None, None) => {}
        }
        // Names and outputs may both hold dots, so every dot may be the one between them.
        for (dot, _) in from.match_indices('.') {
            let (name, output) = (&from[..dot], &from[dot + 1..]);
            if let Some(step) = self.step(name) {
                if wish == Wish::List {
                    self.no_list(from, report);
                    return Resolved::Guess(Some(Source::Output { step, output: None }));
                }
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

    /// A source that is the name of a step alone.
    fn whole_step(&self, step: ScopeStepId, from: &At<String>, wish: Wish, report: &mut Report) -> Resolved {
        let node = &self.steps[step];
        match (node.makes_list(), wish) {
            (Some(_), Wish::List | Wish::TensorOrLength) => Resolved::Known(Source::List(step)),
            (None, Wish::List) => {
                // What it makes is not known where its operation could not be read.
                if node.signature.is_some() || node.spec.op.is_none() {
                    self.no_list(from, report);
                }
                Resolved::Guess(Some(Source::Output { step, output: None }))
            }
            (None, _) if node.operation.is_some() => {
                Resolved::Known(Source::Output { step, output: Some(0) })
            }
            _ => self.only_output(step, from, report),
        }
    }

    /// Reports that what should be a list is none.
    fn no_list(&self, from: &At<String>, report: &mut Report) {
        let lists = self.steps.iter().filter(|step| step.makes_list().is_some());
        let lists: Vec<&str> = lists.map(|step| step.spec.name.value.as_str()).collect();
        let d = Diagnostic::error(format!("`{}` is no list", from.value)).at(&from.place, "");
        let step = from.value.split_once('.').map(|(step, _)| step);
        report.push(match step.filter(|step| lists.contains(step)) {
            Some(step) => d.help(format!("the list itself is `{step}`")),
            None if lists.is_empty() => d.help("lists are made by operations: `boxes`, `tiles` and `split`"),
            None => d.nearest(from, lists),
        });
    }

    fn only_output(&self, step: ScopeStepId, from: &At<String>, report: &mut Report) -> Resolved {
        let Some(signature) = &self.steps[step].signature else {
            return Resolved::Known(Source::Output { step, output: None });
        };
        match signature.outputs.as_slice() {
            [_] => Resolved::Known(Source::Output { step, output: Some(0) }),
            outputs => {
                let choices: Vec<String> =
                    outputs.iter().map(|o| format!("`{}.{}`", from.value, shown(o.name))).collect();
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
                d.help(format!("its one output is `{name}.{}`, or `{name}` for short", shown(only.name)))
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
            if outputs.len() < 2 || node.operation.is_some() {
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
