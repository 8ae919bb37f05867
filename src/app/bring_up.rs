//! Models are brought up in one way, to serve and for a batch: staged beside what serves, looked at, committed.

use super::Trouble;
use crate::lifecycle::{Failure, Fit, Lifecycle, Staged};
use crate::plan::Plan;
use std::sync::Arc;

/// Loads what the plan needs and does not yet run. What serves goes on as it was.
pub fn stage(lifecycle: &Lifecycle, plan: &Plan, fit: Option<Arc<dyn Fit>>) -> Result<Staged, Trouble> {
    lifecycle.stage(plan, fit).map_err(|e| Trouble::CouldNotRun(format!("cannot open a device: {e}")))
}

/// Stages a plan as [`stage`] does, where nothing serves yet: a model of which nothing would serve is an error.
pub fn stage_all(lifecycle: &Lifecycle, plan: &Plan, fit: Option<Arc<dyn Fit>>) -> Result<Staged, Trouble> {
    let staged = stage(lifecycle, plan, fit)?;
    match nothing_of(&staged) {
        Some(why) => {
            lifecycle.dismiss(staged);
            Err(cannot_load(&why))
        }
        None => Ok(staged),
    }
}

pub fn cannot_load(why: &str) -> Trouble {
    Trouble::CouldNotRun(format!("cannot load every model{why}"))
}

/// Why models would serve nothing, a line each; `None` where all do.
pub fn nothing_of(staged: &Staged) -> Option<String> {
    let without = staged.without();
    let concerned = staged.failures.iter().filter(|failure| without.contains(&failure.model.as_str()));
    let concerned: Vec<&Failure> = concerned.collect();
    if without.is_empty() {
        return None;
    }
    if concerned.is_empty() {
        return Some(format!(": nothing serves of `{}`", without.join("`, `")));
    }
    Some(lines(concerned))
}

/// A line for each failure, with its reasons indented below.
pub fn lines<'a>(failures: impl IntoIterator<Item = &'a Failure>) -> String {
    let line = |failure: &Failure| {
        let version = failure.version.map_or(String::new(), |v| format!(", version {v}"));
        let reason = failure.reason.replace('\n', "\n    ");
        format!("\n  model `{}`{version}: {reason}", failure.model)
    };
    failures.into_iter().map(line).collect()
}
