//! `rserve models`

use super::Exit;
use super::admin::{Admin, numbers, table, text};
use super::output::print;
use serde_json::Value;

/// List the models of a running rserve with their versions, and what in the store is none
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  rserve models
  rserve models --json | jq '.ignored'

Versions are folders of the store that hold a model.onnx and whose names are unsigned integers.")]
pub struct Arguments {
    #[command(flatten)]
    admin: Admin,
}

pub fn run(arguments: &Arguments) -> Exit {
    match arguments.admin.get("/models") {
        Ok(answer) if arguments.admin.json => print(&format!("{:#}\n", answer.document)),
        Ok(answer) => print(&shown(&answer.document)),
        Err(exit) => exit,
    }
}

fn shown(document: &Value) -> String {
    let each = |key: &str| document[key].as_array().into_iter().flatten();
    let mut rows: Vec<Vec<String>> =
        vec![["model", "wanted", "serving", "in the store"].map(str::to_owned).into()];
    let mut remarks = String::new();
    for model in each("models") {
        let name = text(&model["name"]);
        rows.push(vec![
            name.clone(),
            text(&model["wanted"]),
            numbers(&model["serving"]),
            numbers(&model["in_store"]),
        ]);
        for remark in ["error", "warning"].iter().filter_map(|key| model[*key].as_str()) {
            remarks.push_str(&format!("{name}: {remark}\n"));
        }
    }
    let ignored: Vec<Vec<String>> =
        each("ignored").map(|one| vec![text(&one["path"]), text(&one["reason"])]).collect();
    let mut shown = table(&rows);
    if !remarks.is_empty() {
        shown.push_str(&format!("\n{remarks}"));
    }
    if !ignored.is_empty() {
        shown.push_str(&format!("\nignored in the store\n{}", table(&ignored)));
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn versions_and_what_is_none() {
        let document = json!({
            "models": [{ "name": "mask", "wanted": "latest", "serving": [2], "in_store": [1, 2], "error": null,
                         "warning": "look at it" }],
            "ignored": [{ "path": "store/mask/03", "reason": "a version has no leading zeros" }],
        });
        let expected = "\
model  wanted  serving  in the store
mask   latest  2        1, 2

mask: look at it

ignored in the store
store/mask/03  a version has no leading zeros
";
        assert_eq!(shown(&document), expected);
    }
}
