//! Where each step runs and each source is there: once for an item, for each element of lists, or perhaps not. Pure.
//!
//! The lists for whose elements something is there are its *lineage*, the outermost first. A step reads what is there
//! along its own lineage or along the beginning of it; so what belongs to one element never meets what belongs to
//! another.

use crate::diagnostic::{Diagnostic, Report};
use crate::plan::IdVec;
use crate::plan::codec::Presence;
use crate::plan::id::ScopeStepId;
use crate::plan::operation::{Operand, Reads};
use crate::plan::scope::{Feed, FeedTo, Scope, ScopeStep, Source};

/// Where a step runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Runs {
    /// The steps that make the lists for each of whose elements it runs, the outermost first.
    pub lineage: Vec<ScopeStepId>,
    /// It may be skipped, or make nothing.
    pub maybe: bool,
    /// Nothing of that is known, for a reason that was reported.
    pub unknown: bool,
}

/// Where every step of a pipeline runs.
pub struct Presences(IdVec<ScopeStepId, Runs>);

impl Presences {
    /// Finds out where each step runs, and reports what cannot be read where it is read. `order` has each step after
    /// those that it reads from.
    pub fn new(
        scope: &Scope<'_>,
        order: &[ScopeStepId],
        cyclic: &[ScopeStepId],
        report: &mut Report,
    ) -> Self {
        let mut presences = Self(scope.steps.with(Runs::default()));
        for step in order {
            let node = &scope.steps[*step];
            let lineage = match node.fed(FeedTo::Each) {
                Some(Source::List(list)) => presences.below(list),
                _ => vec![],
            };
            presences.0[*step].lineage = lineage;
            let misread = node.spec.each.is_some() && node.fed(FeedTo::Each).is_none();
            let read = || node.feeds.iter().filter_map(|feed| feed.source.probable()?.step());
            let unknown = misread || cyclic.contains(step) || read().any(|step| presences.0[step].unknown);
            presences.0[*step].unknown = unknown;
            if !unknown {
                presences.check(scope, *step, report);
            }
            presences.0[*step].maybe = presences.may_be_skipped(scope, node);
        }
        presences
    }

    pub fn of_step(&self, step: ScopeStepId) -> &Runs {
        &self.0[step]
    }

    /// The lineage of the elements of the list that a step makes.
    pub fn below(&self, list: ScopeStepId) -> Vec<ScopeStepId> {
        let mut lineage = self.0[list].lineage.clone();
        lineage.push(list);
        lineage
    }

    /// The lineage of a source.
    pub fn lineage(&self, scope: &Scope<'_>, source: Source) -> Vec<ScopeStepId> {
        match source {
            Source::Decode(_) => vec![],
            Source::List(step) => self.0[step].lineage.clone(),
            Source::Output { step, .. } if scope.steps[step].makes_list().is_some() => self.below(step),
            Source::Output { step, .. } => self.0[step].lineage.clone(),
        }
    }

    /// Whether a source may be absent where its lineage is. The elements of a list that is there are there.
    pub fn is_maybe(&self, scope: &Scope<'_>, source: Source) -> bool {
        match source {
            Source::Decode(_) => false,
            Source::List(step) => self.0[step].maybe,
            Source::Output { step, .. } => scope.steps[step].makes_list().is_none() && self.0[step].maybe,
        }
    }

    /// Where a source is there, with the names of the lists.
    pub fn of(&self, scope: &Scope<'_>, source: Source) -> Presence {
        let lineage = self.lineage(scope, source);
        let lists_maybe = lineage.iter().any(|list| self.0[*list].maybe);
        Presence {
            each: lineage.iter().map(|list| scope.steps[*list].spec.name.value.clone()).collect(),
            maybe: lists_maybe || self.is_maybe(scope, source),
            is_list: matches!(source, Source::List(_)),
        }
    }

    /// The list whose elements an operation gathers from a source.
    pub fn gathered(&self, scope: &Scope<'_>, node: &ScopeStep<'_>, source: Source) -> Option<ScopeStepId> {
        match node.fed(FeedTo::Over) {
            Some(Source::List(list)) => Some(list),
            _ => self.lineage(scope, source).last().copied(),
        }
    }

    fn may_be_skipped(&self, scope: &Scope<'_>, node: &ScopeStep<'_>) -> bool {
        let spec = node.spec;
        let there = |feed: &Feed| feed.source.known().is_none_or(|source| !self.is_maybe(scope, source));
        let needs = |to: FeedTo| matches!(to, FeedTo::Port(_) | FeedTo::Condition(_));
        let absent = node.feeds.iter().any(|feed| needs(feed.to) && !there(feed));
        let lacking = node.operation.as_ref().is_some_and(|draft| {
            let operands = draft.operands();
            let operand = |(at, operand): (usize, &Operand)| {
                let feed = node.feeds.iter().find(|feed| feed.to == FeedTo::Operand(at));
                feed.is_none_or(|feed| match (operand.reads, feed.source.known()) {
                    // What is gathered is there where its list is, whatever its elements are.
                    (Reads::All, Some(source)) => {
                        self.gathered(scope, node, source).is_none_or(|list| !self.0[list].maybe)
                    }
                    _ => there(feed),
                })
            };
            !draft.always(&operands.iter().enumerate().map(operand).collect::<Vec<_>>())
        });
        spec.when.is_some() || spec.within.is_some() || absent || lacking
    }

    /// Reports sources that are not there where the step reads them.
    fn check(&self, scope: &Scope<'_>, step: ScopeStepId, report: &mut Report) {
        let node = &scope.steps[step];
        let operands = node.operation.as_ref().map(|draft| draft.operands()).unwrap_or_default();
        for feed in &node.feeds {
            let Some(source) = feed.source.known() else { continue };
            let gathers = matches!(feed.to, FeedTo::Operand(at)
                if operands.get(at).is_some_and(|operand| operand.reads == Reads::All));
            let reading = Reading { presences: self, scope, node, runs: &self.0[step].lineage, feed };
            match feed.to {
                FeedTo::Each | FeedTo::Over => {}
                _ if gathers => reading.gathers(source, report),
                _ => reading.meets(&self.lineage(scope, source), report),
            }
        }
        let (Some(each), Some(makes)) = (&node.spec.each, node.makes_list()) else { return };
        let outer = self.0[step].lineage.iter().filter_map(|list| scope.steps[*list].makes_list());
        let most = outer.fold(1, usize::saturating_mul);
        if makes.saturating_mul(most) > MOST_ELEMENTS {
            report.push(
                Diagnostic::error(format!(
                    "{} may make {} elements: up to {makes} for each of {most}",
                    node.spec.what(),
                    makes.saturating_mul(most)
                ))
                .at(&each.place, "")
                .help(format!(
                    "an item has at most {MOST_ELEMENTS} elements of a list: lower `top` of either"
                )),
            );
        }
    }
}

/// The most elements that lists within lists may have for one item.
pub const MOST_ELEMENTS: usize = 100_000;

/// A step that reads a source.
struct Reading<'r, 'a> {
    presences: &'r Presences,
    scope: &'r Scope<'a>,
    node: &'r ScopeStep<'a>,
    /// The lineage along which the step runs.
    runs: &'r [ScopeStepId],
    feed: &'r Feed,
}

impl Reading<'_, '_> {
    fn name(&self, step: ScopeStepId) -> &str {
        &self.scope.steps[step].spec.name.value
    }

    /// "once", "once for each `plate`"
    fn times(&self, lineage: &[ScopeStepId]) -> String {
        lineage.last().map_or("once".to_owned(), |list| format!("once for each `{}`", self.name(*list)))
    }

    /// Reports a lineage that does not begin that of the step.
    fn meets(&self, lineage: &[ScopeStepId], report: &mut Report) {
        if self.runs.starts_with(lineage) {
            return;
        }
        let (from, step) = (&self.feed.from, &self.node.spec.name.value);
        let d = Diagnostic::error(format!(
            "`{}` is there {}, and `{step}` runs {}",
            from.value,
            self.times(lineage),
            self.times(self.runs)
        ))
        .at(&from.place, "");
        let each = lineage.last().map_or("", |list| self.name(*list));
        let guards = matches!(self.feed.to, FeedTo::Condition(_));
        report.push(if lineage.starts_with(self.runs) && guards {
            d.help(format!(
                "a condition compares one value: `each = \"{each}\"` has it hold for each of them by itself, and \
                 `op = \"max\"`, \"min\", \"mean\" or \"vote\" with `over = \"{each}\"` makes one of them all"
            ))
        } else if lineage.starts_with(self.runs) {
            d.help(format!(
                "`each = \"{each}\"` has it run for each of them; `op = \"stack\"` makes one array of them all"
            ))
        } else {
            let d = match &self.node.spec.each {
                Some(own) => d.at(&own.place, format!("`{step}` runs {} here", self.times(self.runs))),
                None => d,
            };
            d.note("an element of one list never meets an element of another")
                .help(format!("read what is there for each `{}`, or let `{step}` run for each `{each}`", {
                    self.runs.last().map_or("", |list| self.name(*list))
                }))
        });
    }

    /// Reports what cannot be gathered.
    fn gathers(&self, source: Source, report: &mut Report) {
        let lineage = self.presences.lineage(self.scope, source);
        let from = &self.feed.from;
        let Some((last, outer)) = lineage.split_last() else {
            report.push(
                Diagnostic::error(format!("`{}` is there once: there is nothing to gather", from.value))
                    .at(&from.place, "")
                    .help("it is for what is there once for each element of a list"),
            );
            return;
        };
        let over = self.presences.gathered(self.scope, self.node, source);
        if over.is_some_and(|over| over != *last) {
            let over = over.map_or("", |over| self.name(over));
            report.push(
                Diagnostic::error(format!(
                    "`{}` is there once for each `{}`, and is gathered over `{over}`",
                    from.value,
                    self.name(*last)
                ))
                .at(&from.place, "")
                .help(format!("gather it with `over = \"{}\"`", self.name(*last))),
            );
            return;
        }
        if !self.runs.starts_with(outer) {
            return self.meets_gathered(*last, outer, report);
        }
        if self.runs.contains(last) {
            let (step, list) = (&self.node.spec.name.value, self.name(*last));
            report.push(
                Diagnostic::error(format!("`{step}` gathers over `{list}`, and runs once for each of them"))
                    .at(&from.place, "")
                    .help(format!("leave out `each = \"{list}\"`")),
            );
        }
    }

    /// Reports that the lists which hold the one that is gathered are not those for which the step runs.
    fn meets_gathered(&self, list: ScopeStepId, outer: &[ScopeStepId], report: &mut Report) {
        let (from, step) = (&self.feed.from, &self.node.spec.name.value);
        let each = outer.last().map_or("", |list| self.name(*list));
        report.push(
            Diagnostic::error(format!(
                "there is a list `{}` {}, and `{step}` runs {}",
                self.name(list),
                self.times(outer),
                self.times(self.runs)
            ))
            .at(&from.place, "")
            .help(format!("`each = \"{each}\"` has it run for each of these lists")),
        );
    }
}
