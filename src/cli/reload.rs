//! `rserve reload`

use super::Exit;
use super::admin::{Admin, escaped, numbers, table};
use super::output::{harmless, print, say};
use crate::ingress::documents::Reloaded;
use clap::ValueHint;

/// Have a running rserve look at its pipeline files and models now, and say what came of it
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  rserve reload                   the pipeline files and every model
  rserve reload surface           one model: what failed before is tried again
  rserve reload --json

Waits until it is done. Exits 1 where something was refused; what served then serves on.")]
pub struct Arguments {
    /// One model alone
    #[arg(value_name = "MODEL", value_hint = ValueHint::Other)]
    model: Option<String>,
    #[command(flatten)]
    admin: Admin,
}

pub fn run(arguments: &Arguments) -> Exit {
    let path = match &arguments.model {
        Some(model) => format!("/models/{}/reload", escaped(model)),
        None => "/reload".to_owned(),
    };
    let answer = match arguments.admin.post::<Reloaded>(&path) {
        Ok(answer) => answer,
        Err(exit) => return exit,
    };
    let exit = if arguments.admin.json {
        print(&format!("{:#}\n", answer.json))
    } else {
        let (text, refused) = as_text(&answer.document);
        say(&harmless(&refused));
        print(&text)
    };
    if exit == Exit::Fine && answer.refused { Exit::Wrong } else { exit }
}

/// What came of it, and what was refused.
fn as_text(reloaded: &Reloaded) -> (String, String) {
    let mut rows: Vec<Vec<String>> =
        vec![["model", "serving", "loaded", "dropped"].map(str::to_owned).into()];
    let mut refused = String::new();
    if let Some(text) = reloaded.plan.as_ref().and_then(|plan| plan.refused.as_ref()) {
        refused.push_str(&format!("the pipeline files are not applied:\n{text}\n"));
    }
    for model in &reloaded.models {
        let name = &model.name;
        for failure in &model.failures {
            let version = failure.version.map_or(String::new(), |version| format!("@{version}"));
            let reason = failure.reason.replace('\n', "\n  ");
            refused.push_str(&format!("{name}{version}: {reason}\n"));
        }
        if let Some(error) = &model.error {
            refused.push_str(&format!("{name}: {error}\n"));
        }
        rows.push(vec![
            name.clone(),
            numbers(&model.serving),
            numbers(&model.loaded),
            numbers(&model.dropped),
        ]);
    }
    if let Some(error) = &reloaded.error {
        refused.push_str(&format!("{error}\n"));
    }
    (table(&rows), refused)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingress::documents::{FailureReport, ModelReloaded, PlanReloaded};
    use crate::lifecycle::Cause;

    #[test]
    fn what_was_refused_is_said_apart() {
        let failure = FailureReport { version: Some(3), cause: Cause::Invalid, reason: "not a model".into() };
        let model = ModelReloaded {
            name: "mask".into(),
            serving: vec![2],
            loaded: vec![],
            dropped: vec![],
            failures: vec![failure],
            error: None,
        };
        let plan = PlanReloaded { generation: 1, refused: Some("error: a cycle".into()) };
        let (table, refused) = as_text(&Reloaded { plan: Some(plan), models: vec![model], error: None });
        assert_eq!(table, "model  serving  loaded  dropped\nmask   2        none    none\n");
        assert_eq!(refused, "the pipeline files are not applied:\nerror: a cycle\nmask@3: not a model\n");
    }
}
