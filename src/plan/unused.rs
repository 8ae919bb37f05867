//! What is declared and never used: an error, not a silence, for it is mostly a misspelt name.

use super::entry::View;
use super::id::{LoadedId, ScopeDecodeId, ScopeStepId};
use super::models::Loaded;
use super::scope::Scope;
use super::whole::Whole;
use super::{IdVec, ModelId};
use crate::diagnostic::{Diagnostic, Report, nearest};
use crate::spec;
use std::collections::BTreeSet;

/// The models that a step calls, in the order of the files; the others are reported.
pub fn models(
    whole: &Whole<'_>,
    scopes: &[Scope<'_>],
    models: &IdVec<LoadedId, Loaded<'_>>,
    report: &mut Report,
) -> IdVec<ModelId, LoadedId> {
    let steps = || scopes.iter().flat_map(|s| &s.steps);
    // A call that could not be read or is yet to be written, or of a name that is nearly right, may mean it.
    let unread = whole.broken
        || steps().any(|s| s.spec.model.is_none() && s.spec.op.is_none())
        || scopes.iter().any(|scope| scope.steps.is_empty());
    let meant: BTreeSet<&str> = steps()
        .filter(|s| s.model.is_none() && s.spec.op.is_none())
        .filter_map(|s| nearest(s.spec.model.as_ref()?, models.iter().map(Loaded::name)))
        .collect();
    let used: IdVec<ModelId, LoadedId> =
        models.ids().filter(|m| steps().any(|s| s.model == Some(*m))).collect();
    for (index, model) in models.enumerate() {
        if used.contains(&index) || unread || meant.contains(model.name()) {
            continue;
        }
        report.push(
            Diagnostic::error(format!("no step calls model `{}`", model.name()))
                .at(&model.spec.name.place, "declared here")
                .help("call it from a step, or take it out"),
        );
    }
    used
}

/// Steps that no encode needs, directly or not. `used` are those that one does.
pub fn steps(scope: &Scope<'_>, used: &BTreeSet<ScopeStepId>, report: &mut Report) {
    for (index, node) in scope.steps.enumerate() {
        if used.contains(&index) {
            continue;
        }
        let name = &node.spec.name.value;
        let readers: Vec<&str> = scope
            .steps
            .iter()
            .filter(|s| s.feeds.iter().any(|f| is_output_of(f, index)))
            .map(|s| s.spec.name.value.as_str())
            .collect();
        let d = match readers.as_slice() {
            [] => Diagnostic::error(format!("nothing reads step `{name}`")),
            [first, ..] => Diagnostic::error(format!("step `{name}` is of no use"))
                .note(format!("only `{first}` reads it, which no encode needs")),
        };
        report.push(
            d.at(&node.spec.name.place, "declared here")
                .help(format!("read `{name}` from an encode, or take the step out")),
        );
    }
}

fn is_output_of(feed: &super::scope::Feed, step: ScopeStepId) -> bool {
    feed.source.probable().and_then(super::scope::Source::step) == Some(step)
}

/// Decodes and encodes that neither entry point has any use for. `used` are the decodes that each reads.
pub fn codecs(scope: &Scope<'_>, views: [(&View<'_>, &BTreeSet<ScopeDecodeId>); 2], report: &mut Report) {
    let spec = scope.spec;
    let entries = [&spec.online, &spec.offline];
    let own = || entries.into_iter().flatten();
    for codec in spec.decodes.iter().chain(own().flat_map(|e| &e.decodes)) {
        let in_view = |view: &View<'_>| view.decodes.iter().flatten().any(|d| std::ptr::eq(d.codec, codec));
        let Some(index) = scope.decodes.position(|d| *d == codec.name.value) else { continue };
        if !views.iter().any(|(view, _)| in_view(view)) {
            report.push(replaced("decode", codec));
        } else if !views.iter().any(|(view, used)| in_view(view) && used.contains(&index)) {
            report.push(
                Diagnostic::error(format!("nothing reads decode `{}`", codec.name.value))
                    .at(&codec.name.place, "declared here")
                    .help(format!("feed a step with `{}`, or take the decode out", codec.name.value)),
            );
        }
    }
    for codec in &spec.encodes {
        if !views.iter().any(|(view, _)| view.encodes.iter().any(|e| std::ptr::eq(*e, codec))) {
            report.push(replaced("encode", codec));
        }
    }
}

fn replaced(kind: &str, codec: &spec::Codec) -> Diagnostic {
    let name = &codec.name.value;
    let d = Diagnostic::error(format!("{kind} `{name}` of the pipeline is never used"))
        .at(&codec.name.place, "declared here");
    match kind {
        "decode" => d.note(format!("both entry points have a decode `{name}` of their own")),
        _ => d.note("both entry points have encodes of their own, which take the place of the pipeline's"),
    }
    .help(format!("take out `{kind}.{name}` here or there"))
}
