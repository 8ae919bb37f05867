//! `rserve reload`

use super::Exit;
use super::admin::{Admin, escaped, numbers, table, text};
use super::output::{print, say};
use serde_json::Value;

/// Have a running rserve look at its pipeline files and models now, and say what came of it
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  rserve reload                   the pipeline files and every model
  rserve reload surface           one model: what failed before is tried again
  rserve reload --json

Waits until it is done. Exits 1 where something was refused; what served then serves on.")]
pub struct Arguments {
    /// One model alone
    #[arg(value_name = "MODEL")]
    model: Option<String>,
    #[command(flatten)]
    admin: Admin,
}

pub fn run(arguments: &Arguments) -> Exit {
    let path = match &arguments.model {
        Some(model) => format!("/models/{}/reload", escaped(model)),
        None => "/reload".to_owned(),
    };
    let answer = match arguments.admin.post(&path) {
        Ok(answer) => answer,
        Err(exit) => return exit,
    };
    let exit = if arguments.admin.json {
        print(&format!("{:#}\n", answer.document))
    } else {
        let (shown, refused) = shown(&answer.document);
        say(&refused);
        print(&shown)
    };
    if exit == Exit::Fine && answer.refused { Exit::Wrong } else { exit }
}

/// What came of it, and what was refused.
fn shown(document: &Value) -> (String, String) {
    let mut rows: Vec<Vec<String>> =
        vec![["model", "serving", "loaded", "dropped"].map(str::to_owned).into()];
    let mut refused = String::new();
    if let Some(text) = document["plan"]["refused"].as_str() {
        refused.push_str(&format!("the pipeline files are not applied:\n{text}\n"));
    }
    for model in document["models"].as_array().into_iter().flatten() {
        let name = text(&model["name"]);
        for failure in model["failures"].as_array().into_iter().flatten() {
            let version = failure["version"].as_u64().map_or(String::new(), |version| format!("@{version}"));
            let reason = text(&failure["reason"]).replace('\n', "\n  ");
            refused.push_str(&format!("{name}{version}: {reason}\n"));
        }
        rows.push(vec![
            name,
            numbers(&model["serving"]),
            numbers(&model["loaded"]),
            numbers(&model["dropped"]),
        ]);
    }
    (table(&rows), refused)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_was_refused_is_said_apart() {
        let document = json!({
            "plan": { "generation": 1, "refused": "error: a cycle" },
            "models": [{ "name": "mask", "serving": [2], "loaded": [], "dropped": [],
                         "failures": [{ "version": 3, "cause": "invalid", "reason": "not a model" }] }],
        });
        let (table, refused) = shown(&document);
        assert_eq!(table, "model  serving  loaded  dropped\nmask   2        none    none\n");
        assert_eq!(refused, "the pipeline files are not applied:\nerror: a cycle\nmask@3: not a model\n");
    }
}
