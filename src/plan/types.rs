//! That what flows into each model is what the model takes.

use super::entry::{ReadDecode, View, reach};
use super::fit::{self, Mismatch};
use super::id::ScopeStepId;
use super::scope::{Feed, Scope, ScopeStep, Source, note};
use super::step::{Accepted, StepSignature};
use super::{Mend, Port, TensorType};
use crate::diagnostic::{Diagnostic, Report, Span, shown};
use crate::spec;

/// The type of a source at one entry point, where it is known.
pub fn type_of(scope: &Scope<'_>, view: &View<'_>, source: Source) -> Option<TensorType> {
    match source {
        Source::Decode(index) => view.decodes.get(index)?.as_ref()?.decode.as_ref().map(|d| d.produces()),
        Source::Output { step, output } => match scope.steps[step].port(output?) {
            Some(port) => Some(port.item_type()),
            None => Some(view.made[step].as_ref()?.outputs.get(output?)?.ty.clone()),
        },
        Source::List(_) => None,
    }
}

/// Checks every step, as each entry point feeds it; but for what flows around a cycle.
pub fn check(scope: &Scope<'_>, views: [&View<'_>; 2], cyclic: &[ScopeStepId], report: &mut Report) {
    let mut found: Vec<Finding> = vec![];
    for view in views {
        for (step, node) in scope.steps.enumerate() {
            let Some(signature) = &node.signature else { continue };
            for feed in &node.feeds {
                let (Some(port), Some(source)) = (feed.port(), feed.source.known()) else { continue };
                let around = |from: ScopeStepId| cyclic.contains(&step) && cyclic.contains(&from);
                let Some(gives) = type_of(scope, view, source) else { continue };
                let decode = match source {
                    Source::Output { step: from, .. } | Source::List(from) if around(from) => continue,
                    Source::Output { .. } | Source::List(_) => None,
                    Source::Decode(index) => view.decodes[index].as_ref(),
                };
                let flow = Flow { scope, view, step, node, signature, feed, source, decode, gives };
                let accepted = signature.inputs.get(port).map_or(&[][..], |input| &input.accepted);
                if let Some(finding) = accepted.iter().find_map(|accepted| flow.check(accepted)) {
                    merge(&mut found, finding);
                }
            }
        }
    }
    found.into_iter().for_each(|f| report.push(f.diagnostic));
}

struct Finding {
    /// What the step takes, and where it says so.
    takes: (Span, String),
    /// Whether the decode is at fault, and not what the step reads.
    of_decode: bool,
    diagnostic: Diagnostic,
}

/// A decode that feeds several steps is wrong once.
fn merge(found: &mut Vec<Finding>, finding: Finding) {
    let place = |f: &Finding| f.diagnostic.places.first().map(|(p, _)| p.range.clone());
    let same = |f: &&mut Finding| {
        f.of_decode && place(f) == place(&finding) && f.diagnostic.helps == finding.diagnostic.helps
    };
    if !finding.of_decode {
        return found.push(finding);
    }
    match found.iter_mut().find(same) {
        None => found.push(finding),
        Some(first) => {
            let (at, label) = finding.takes;
            if !first.diagnostic.places.iter().any(|(p, _)| p.range == at.range) {
                first.diagnostic.places.push((at, label));
            }
        }
    }
}

/// A tensor on its way from a source into an input of a step.
struct Flow<'f, 'a> {
    scope: &'f Scope<'a>,
    view: &'f View<'a>,
    /// The step that reads.
    step: ScopeStepId,
    node: &'f ScopeStep<'a>,
    signature: &'f StepSignature<'a>,
    feed: &'f Feed,
    source: Source,
    /// Where the source is a decode.
    decode: Option<&'f ReadDecode<'a>>,
    gives: TensorType,
}

impl Flow<'_, '_> {
    fn check(&self, accepted: &Accepted<'_>) -> Option<Finding> {
        let input = accepted.port;
        let takes = input.item_type();
        let (of_decode, diagnostic) = match self.gives.mismatch(&takes) {
            _ if input.dtype.is_none() => (false, not_a_tensor(self.node, self.signature, input)),
            // A decode that is right for another step is not at fault here.
            Some(mismatch) => {
                (self.decode.is_some() && !self.fits_elsewhere(), self.mismatch(mismatch, accepted, &takes))
            }
            None => (true, any_size(self.decode?, self.feed, input, &self.gives, &takes)?),
        };
        let label = format!("`{}` takes {takes}", shown(&input.name));
        Some(Finding { takes: (self.feed.from.place.clone(), label), of_decode, diagnostic })
    }

    fn mismatch(&self, mismatch: Mismatch, accepted: &Accepted<'_>, takes: &TensorType) -> Diagnostic {
        let Self { scope, node, signature, feed, gives, .. } = self;
        let input = accepted.port;
        let what = if mismatch == Mismatch::DType { "another dtype" } else { "another shape" };
        let older = accepted.older.map_or(String::new(), |version| format!(" in version {version}"));
        let d = Diagnostic::error(format!(
            "`{}` does not fit input `{}` of step `{}`: {what}{older}",
            feed.from.value, input.name, node.spec.name.value
        ));
        let takes_label = format!("`{}` takes {takes}", shown(&input.name));
        let others = self.fitting(takes);
        let instead = || match others.as_slice() {
            [] => None,
            [one] => Some(format!("`{} = \"{one}\"` would fit", shown(&input.name))),
            several => Some(format!("these would fit `{}`: `{}`", shown(&input.name), several.join("`, `"))),
        };
        let d = match self.decode {
            // A decode that is right for another step is not to be changed for this one.
            Some(read) if self.fits_elsewhere() => {
                let d = d.at(&feed.from.place, format!("this is {gives}, and {takes_label}"));
                let options: Vec<String> =
                    mends(read, takes).iter().filter_map(fit::setting).map(|s| format!("`{s}`")).collect();
                match instead() {
                    Some(help) => d.help(help),
                    None if options.is_empty() => d,
                    None => d.help(format!("a decode of its own would fit, with {}", options.join(" and "))),
                }
            }
            Some(read) => {
                let mends = mends(read, takes);
                let place = decode_place(read.codec, &mends, mismatch);
                let d = d.at(&place, format!("gives {gives}")).at(&feed.from.place, takes_label);
                mends.iter().fold(d, |d, mend| d.help(fit::help(mend, &read.codec.name.value)))
            }
            None => {
                let d = d.at(&feed.from.place, format!("this is {gives}, and {takes_label}"));
                instead().into_iter().fold(d, Diagnostic::help)
            }
        };
        let d = note(d, signature.described.clone());
        match self.source {
            Source::Output { step, output: Some(output) } if scope.steps[step].model != node.model => {
                note(d, scope.steps[step].gives(output))
            }
            _ => d,
        }
    }
}

impl Flow<'_, '_> {
    /// The other sources that an input of this type could read, as they are written.
    fn fitting(&self, takes: &TensorType) -> Vec<String> {
        let scope = self.scope;
        let decodes = scope.decodes.enumerate().map(|(i, name)| ((*name).to_owned(), Source::Decode(i)));
        let outputs = scope.steps.enumerate().flat_map(|(step, node)| {
            let name = &node.spec.name.value;
            let ports = node.outputs();
            ports.iter().enumerate().map(move |(output, port)| {
                let short =
                    if ports.len() == 1 { name.clone() } else { format!("{name}.{}", shown(port.name)) };
                (short, Source::Output { step, output: Some(output) })
            })
        });
        // What waits for this step cannot feed it.
        let waits = |source: Source| reach(scope, [source]).0.contains(&self.step);
        decodes
            .chain(outputs)
            .filter(|(_, source)| *source != self.source && !waits(*source))
            .filter(|(_, source)| {
                let gives = type_of(scope, self.view, *source);
                gives.is_some_and(|gives| gives.dims.is_some() && gives.mismatch(takes).is_none())
            })
            .map(|(name, _)| name)
            .collect()
    }

    /// Whether what is read here is what another input takes that reads it.
    fn fits_elsewhere(&self) -> bool {
        let takes = |node: &ScopeStep<'_>, feed: &Feed| Some(node.takes(feed)?.item_type());
        let fits = |node: &ScopeStep<'_>, feed: &Feed| {
            feed.source.known() == Some(self.source)
                && takes(node, feed).is_some_and(|takes| self.gives.mismatch(&takes).is_none())
        };
        self.scope.steps.iter().any(|node| node.feeds.iter().any(|feed| fits(node, feed)))
    }
}

fn not_a_tensor(node: &ScopeStep<'_>, signature: &StepSignature<'_>, input: &Port) -> Diagnostic {
    let d = Diagnostic::error(format!(
        "input `{}` of {} is {}, which rserve does not serve",
        input.name, signature.computed_by, input.declared
    ))
    .at(&node.spec.name.place, "");
    note(d, signature.described.clone())
}

/// What to change in a decode so that it gives `takes`.
fn mends(read: &ReadDecode<'_>, takes: &TensorType) -> Vec<Mend> {
    read.decode.as_ref().map(|decode| decode.mend(takes)).unwrap_or_default()
}

/// The option that is at fault: the first to be changed that is written, else the decode's name.
fn decode_place(codec: &spec::Codec, mends: &[Mend], mismatch: Mismatch) -> Span {
    let is_concerned = |key: &str| (key == "dtype") == (mismatch == Mismatch::DType);
    let written = mends.iter().find_map(|mend| match mend {
        Mend::Option { key, .. } => codec.options.get(key).filter(|_| is_concerned(key)),
        Mend::Impossible(_) => None,
    });
    written.map_or_else(|| codec.name.place.clone(), |value| value.place.clone())
}

/// What may have any size cannot go where the model takes one size only.
fn any_size(
    read: &ReadDecode<'_>,
    feed: &Feed,
    input: &Port,
    gives: &TensorType,
    takes: &TensorType,
) -> Option<Diagnostic> {
    let (from, to) = (gives.dims.as_ref()?, takes.dims.as_ref()?);
    let open = from.iter().zip(to).any(|(from, to)| from.is_none() && to.is_some());
    let option = read.decode.as_ref()?.missing_size().filter(|_| open)?;
    let name = &read.codec.name;
    let d = Diagnostic::error(format!(
        "decode `{}` has no `{option}`, and input `{}` takes one size only",
        name.value, input.name
    ))
    .at(&name.place, format!("gives {gives}"))
    .at(&feed.from.place, format!("`{}` takes {takes}", shown(&input.name)));
    Some(mends(read, takes).iter().fold(d, |d, mend| d.help(fit::help(mend, &name.value))))
}
