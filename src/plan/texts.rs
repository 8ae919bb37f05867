//! The text files and arrays that pipelines name, which are read beside their models. Pure.

use crate::spec::document::Value;
use crate::spec::{Codec, Spec};
use std::collections::BTreeSet;

/// Every name of a text file or an array among the options of codecs and operations, whatever the option is. No other file is read for them.
pub fn texts(specs: &[Spec]) -> BTreeSet<String> {
    let mut texts = BTreeSet::new();
    for pipeline in specs.iter().flat_map(|spec| &spec.pipelines) {
        let own = pipeline.decodes.iter().chain(&pipeline.encodes);
        let entries = pipeline.online.iter().chain(&pipeline.offline);
        let codecs = own.chain(entries.flat_map(|entry| entry.decodes.iter().chain(&entry.encodes)));
        // The keys of a model call are no options: `inputs` names sources.
        let operations = pipeline.steps.iter().filter(|step| step.op.is_some()).map(|step| &step.options);
        for options in codecs.map(|Codec { options, .. }| options).chain(operations) {
            options.value.entries.iter().for_each(|(_, value)| add(&value.value, &mut texts));
        }
    }
    texts
}

fn add(value: &Value, texts: &mut BTreeSet<String>) {
    match value {
        Value::String(text) if (text.ends_with(".txt") || text.ends_with(".npy")) && !text.contains('/') => {
            _ = texts.insert(text.clone())
        }
        Value::Array(values) => values.iter().for_each(|value| add(&value.value, texts)),
        Value::Table(table) => table.entries.iter().for_each(|(_, value)| add(&value.value, texts)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::{Report, SourceText};

    #[test]
    fn texts_are_found_wherever_they_are_named() {
        let text = r#"
            [pipelines.p]
            encode.a = { format = "json", fields.x = { from = "s.y", as = "top", labels = "one.txt" } }
            [pipelines.p.online]
            encode.b = { format = "png", as = "overlay", labels = "two.txt", on = "../three.txt", more = ["four.txt"] }
            [pipelines.p.steps]
            s = { model = "five.txt", inputs = { x = "six.txt" } }
            t = { op = "ctc", from = "s", alphabet = "seven.txt" }
            u = { op = "similar", from = "s", index = "eight.npy", names = "../nine.npy" }
        "#;
        let spec = crate::spec::read::read(&SourceText::new("p.toml", text), &mut Report::default());
        assert_eq!(
            texts(&[spec]),
            ["eight.npy", "four.txt", "one.txt", "seven.txt", "two.txt"].map(str::to_owned).into()
        );
    }
}
