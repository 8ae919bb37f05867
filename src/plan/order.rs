//! An order in which every step comes after those it reads from; and the cycles that forbid one.

use super::id::ScopeStepId;
use super::scope::{Scope, Source};
use crate::diagnostic::{Diagnostic, Report};

/// Steps in an order in which each comes after those it reads from; of those that are ready the first in
/// the file.
pub struct Order {
    pub steps: Vec<ScopeStepId>,
    /// Steps on a cycle. Each was reported, and they stand in `steps` all the same.
    pub cyclic: Vec<ScopeStepId>,
}

/// Every cycle is reported, named whole.
pub fn order(scope: &Scope<'_>, report: &mut Report) -> Order {
    let reads =
        |step: ScopeStepId| scope.steps[step].feeds.iter().filter_map(|f| read_step(f.source.known()));
    let mut order: Vec<ScopeStepId> = vec![];
    let mut cyclic = vec![];
    while order.len() < scope.steps.len() {
        let left = |step: &ScopeStepId| !order.contains(step);
        let ready = scope.steps.ids().filter(left).find(|step| !reads(*step).any(|s| left(&s)));
        if let Some(step) = ready {
            order.push(step);
            continue;
        }
        // Nothing is ready, so that going from a step to one it waits for must come round.
        let mut path: Vec<ScopeStepId> = scope.steps.ids().filter(left).take(1).collect();
        while let Some(next) = path.last().and_then(|step| reads(*step).find(left)) {
            if let Some(start) = path.iter().position(|s| *s == next) {
                path.drain(..start);
                break;
            }
            path.push(next);
        }
        report.push(cycle(scope, &path));
        cyclic.extend(&path);
        order.extend(path);
    }
    Order { steps: order, cyclic }
}

fn read_step(source: Option<Source>) -> Option<ScopeStepId> {
    source.and_then(Source::step)
}

/// Tells of a cycle. Each step of `path` reads from the next, and the last from the first.
fn cycle(scope: &Scope<'_>, path: &[ScopeStepId]) -> Diagnostic {
    // Told from the step that stands first in the file.
    let first = path.iter().enumerate().min_by_key(|(_, step)| **step).map_or(0, |(i, _)| i);
    let around: Vec<ScopeStepId> = path.iter().cycle().skip(first).take(path.len()).copied().collect();
    let name = |step: ScopeStepId| &scope.steps[step].spec.name.value;
    let names: Vec<String> =
        around.iter().chain(around.first()).map(|step| format!("`{}`", name(*step))).collect();
    let mut d = Diagnostic::error(match path {
        [one] => format!("step `{}` reads itself", name(*one)),
        _ => format!("steps wait for each other: {}", names.join(" reads ")),
    });
    for (at, step) in around.iter().enumerate() {
        let next = around[(at + 1) % around.len()];
        let feed = scope.steps[*step].feeds.iter().find(|f| read_step(f.source.known()) == Some(next));
        if let Some(feed) = feed {
            d = d.at(&feed.from.place, format!("`{}` reads `{}`", name(*step), name(next)));
        }
    }
    d.help("break the cycle: let one of them read a decode or another step")
}
