//! `rserve models`

use super::Exit;
use super::admin::{Admin, numbers, table};
use super::output::{print, shown};
use crate::ingress::documents::{Ignored, Stored};

/// List the models of a running rserve with their versions, and the folders that are not versions
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
    match arguments.admin.get::<Stored>("/models") {
        Ok(answer) if arguments.admin.json => print(&format!("{:#}\n", answer.json)),
        Ok(answer) => print(&as_text(&answer.document)),
        Err(exit) => exit,
    }
}

fn as_text(stored: &Stored) -> String {
    let mut rows: Vec<Vec<String>> =
        vec![["model", "wanted", "serving", "in the store"].map(str::to_owned).into()];
    let mut remarks = String::new();
    for model in &stored.models {
        rows.push(vec![
            model.name.clone(),
            model.wanted.clone(),
            numbers(&model.serving),
            numbers(&model.in_store),
        ]);
        for remark in model.error.iter().chain(&model.warning) {
            remarks.push_str(&format!("{}: {remark}\n", model.name));
        }
    }
    let line = |one: &Ignored| vec![shown(&one.path).into_owned(), one.reason.clone()];
    let ignored: Vec<Vec<String>> = stored.ignored.iter().map(line).collect();
    let mut text = table(&rows);
    if !remarks.is_empty() {
        text.push_str(&format!("\n{remarks}"));
    }
    if !ignored.is_empty() {
        text.push_str(&format!("\nignored in the store\n{}", table(&ignored)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingress::documents::StoredModel;

    #[test]
    fn versions_and_what_is_none() {
        let model = StoredModel {
            name: "mask".into(),
            wanted: "latest".into(),
            serving: vec![2],
            in_store: vec![1, 2],
            error: None,
            warning: Some("look at it".into()),
        };
        let ignored =
            Ignored { path: "store/mask/03".into(), reason: "a version has no leading zeros".into() };
        let expected = "\
model  wanted  serving  in the store
mask   latest  2        1, 2

mask: look at it

ignored in the store
store/mask/03  a version has no leading zeros
";
        assert_eq!(as_text(&Stored { models: vec![model], ignored: vec![ignored] }), expected);
    }
}
