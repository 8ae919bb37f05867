//! `refuse` of an online entry point: requests that are refused for what the steps found.

use super::entry::{View, reach};
use super::made::{Binding, labels_of};
use super::operation::Reads;
use super::scope::{Resolved, Source, Wish};
use super::slots::Layout;
use super::step::presence::Presences;
use super::step::{Condition, guard};
use super::whole::Whole;
use super::{CalledId, Guard, IdVec, InputPlan, Refusal, StepId, id::LoadedId, scope::Scope};
use crate::diagnostic::{At, Diagnostic, Report};
use crate::spec;
use std::collections::BTreeSet;

/// The status where the file says none.
const STATUS: u16 = 422;

/// A refusal whose condition is read and whose sources are resolved.
pub struct ReadRefusal<'a> {
    spec: &'a spec::Refusal,
    condition: Condition,
    text: &'a At<String>,
    sources: Vec<(At<String>, Resolved)>,
}

/// The refusals of an entry point; `false` where one of them could not be read.
pub fn read<'a>(
    scope: &Scope<'a>,
    view: &View<'a>,
    whole: &Whole<'_>,
    report: &mut Report,
) -> (Vec<ReadRefusal<'a>>, bool) {
    let mut complete = true;
    let mut all = vec![];
    for spec in view.refusals {
        let condition = spec.when.as_ref().and_then(|text| Some((guard::read(text, report)?, text)));
        complete &= condition.is_some() && spec.say.is_some();
        let Some((condition, text)) = condition else { continue };
        let resolve = |from: At<String>| {
            let source = scope.resolve(&from, "`refuse`", Wish::TensorOrLength, whole, report);
            (from, source)
        };
        let sources = guard::sources(&condition, text).into_iter().map(resolve).collect();
        all.push(ReadRefusal { spec, condition, text, sources });
    }
    (all, complete)
}

impl ReadRefusal<'_> {
    /// Everything that the condition reads.
    pub fn reads(&self) -> impl Iterator<Item = Source> + '_ {
        self.sources.iter().filter_map(|(_, source)| source.probable())
    }

    /// Reports what the condition compares and cannot, and sources that an item has several times.
    pub fn check(&self, binding: &Binding<'_, '_>, view: &View<'_>, report: &mut Report) {
        let known = self.sources.iter().map(|(_, source)| binding.known(view, source.known()?));
        guard::check(&self.condition, self.text, &known.collect::<Vec<_>>(), report);
        self.are_once(binding.scope, binding.presences, report);
    }

    fn are_once(&self, scope: &Scope<'_>, presences: &Presences, report: &mut Report) {
        for (from, source) in &self.sources {
            let Some(source) = source.known() else { continue };
            let presence = presences.of(scope, source);
            if let Some(list) = presence.each.last() {
                report.push(
                    Diagnostic::error(format!(
                        "`{}` is there once for each `{list}`, and a request is refused once",
                        from.value
                    ))
                    .at(&from.place, "")
                    .help("`op = \"count\"`, \"any\", \"max\" and others make one value of them all"),
                );
            }
        }
    }

    /// The refusal as the entry point has it. `None` where there were errors.
    pub fn finish(
        &self,
        scope: &Scope<'_>,
        view: &View<'_>,
        layout: &Layout<'_, '_>,
        called: &IdVec<CalledId, LoadedId>,
    ) -> Option<Refusal> {
        let (needed, _) = reach(scope, self.reads());
        let needs: BTreeSet<StepId> = needed.iter().filter_map(|step| layout.position(*step)).collect();
        let sources = self.sources.iter().map(|(_, source)| {
            let source = source.known()?;
            let labels = labels_of(view, source).and_then(|labels| layout.labels(&labels, called));
            Some(InputPlan { name: String::new(), slot: layout.slot_of(source)?, reads: Reads::One, labels })
        });
        Some(Refusal {
            when: Guard { condition: self.condition.clone(), sources: sources.collect::<Option<_>>()? },
            status: self.spec.status.as_ref().map_or(STATUS, |status| status.value),
            say: self.spec.say.as_ref()?.value.clone(),
            needs: needs.into_iter().collect(),
        })
    }
}
