//! A parsed document to a typed [`Spec`]. Reads on after an error, so that one pass finds all of them.

use super::document::{Reader, Table, Value, Wanted, number, parse};
use super::setting::{address, admin, device_use, duration, positive_duration, route, size, version};
use super::{Batch, Codec, Device, Entry, Model, Pipeline, Server, Spec, Step, Store};
use crate::diagnostic::{At, Diagnostic, Place, Report, SourceText, nearest};
use std::path::PathBuf;
use std::sync::Arc;

/// Reads one file. What could not be read is reported and left out.
pub fn read(source: &Arc<SourceText>, report: &mut Report) -> Spec {
    let mut syntax = Report::default();
    let root = parse(source, &mut syntax);
    let mut found = Report::default();
    let spec = read_root(source, &root, &mut found);
    // What was made of a line that is not TOML is not worth a second word.
    let lines: Vec<usize> = syntax.diagnostics.iter().filter_map(primary_line).collect();
    found.diagnostics.retain(|d| primary_line(d).is_none_or(|line| !lines.contains(&line)));
    syntax.diagnostics.into_iter().chain(found.diagnostics).for_each(|d| report.push(d));
    spec
}

fn primary_line(diagnostic: &Diagnostic) -> Option<usize> {
    diagnostic.places.first().map(|(place, _)| place.line())
}

fn read_root(source: &Arc<SourceText>, root: &At<Table>, report: &mut Report) -> Spec {
    let mut r = Reader::new("the file", root, &root.place);
    let server = r.table("server", report).map(|t| server(&t, report));
    let store = r.table("store", report).map(|t| store(&t, report));
    let device = r.table("device", report).map(|t| device(&t, report));
    let models = named(&mut r, "models", report, model);
    let pipelines = named(&mut r, "pipelines", report, pipeline);
    r.finish(report);
    Spec { source: source.clone(), server, store, device, broken: root.broken, models, pipelines }
}

fn server(t: &At<&Table>, report: &mut Report) -> Server {
    let mut r = Reader::new("`[server]`", t.value, &t.place);
    let server = Server {
        place: t.place.clone(),
        listen: r.take_as("listen", report, address),
        admin: r.take_as("admin", report, admin),
        max_body: r.take_as("max_body", report, size),
        timeout: r.take_as("timeout", report, positive_duration),
        drain: r.take_as("drain", report, duration),
    };
    if let (Some(listen), Some(At { value: Some(admin), place })) = (&server.listen, &server.admin)
        && listen.value == *admin
        && admin.port() != 0
    {
        report.push(
            Diagnostic::error("`admin` and `listen` are the same address")
                .at(place, "")
                .at(&listen.place, "the routes are here")
                .help("give admin another port, or turn it off with `admin = \"off\"`"),
        );
    }
    r.finish(report);
    server
}

fn store(t: &At<&Table>, report: &mut Report) -> Store {
    let mut r = Reader::new("`[store]`", t.value, &t.place);
    let store = Store {
        place: t.place.clone(),
        path: r.take_as("path", report, |v| match &v.value {
            Value::String(s) if !s.is_empty() => Ok(PathBuf::from(s)),
            _ => Err(Wanted::new("the path of a folder, relative to this file")),
        }),
        watch: r.bool("watch", report),
        settle: r.take_as("settle", report, duration),
    };
    r.finish(report);
    store
}

fn device(t: &At<&Table>, report: &mut Report) -> Device {
    let mut r = Reader::new("`[device]`", t.value, &t.place);
    let device = Device { place: t.place.clone(), uses: r.take_as("use", report, device_use) };
    r.finish(report);
    device
}

fn model(name: At<String>, t: &At<&Table>, report: &mut Report) -> Model {
    let mut r = Reader::new(format!("`[models.{}]`", name.value), t.value, &t.place);
    let gpu = r.take_as("gpu", report, |v| match number(v) {
        Ok(share) if share > 0.0 && share <= 1.0 => Ok(share),
        Ok(share) if share > 1.0 && share <= 100.0 => {
            Err(Wanted::new("a share of one device, above 0 and at most 1")
                .help(format!("for {share} percent, write `gpu = {}`", share / 100.0)))
        }
        _ => Err(Wanted::new("a share of one device, above 0 and at most 1")
            .help("leave `gpu` out for a model that runs in what the others leave idle")),
    });
    let model = Model {
        gpu,
        version: r.take_as("version", report, version),
        batch: r.table("batch", report).map(|b| b.with(batch(&name, &b, report))),
        queue: r.integer("queue", 1..=1_000_000, report).map(|n| n.map(|n| n as usize)),
        name,
    };
    r.finish(report);
    model
}

fn batch(model: &str, t: &At<&Table>, report: &mut Report) -> Batch {
    let mut r = Reader::new(format!("`batch` of model `{model}`"), t.value, &t.place);
    let batch = Batch {
        max: r.integer("max", 1..=65_536, report).map(|n| n.value as usize),
        wait: r.take_as("wait", report, duration).map(|d| d.value),
    };
    r.finish(report);
    batch
}

fn pipeline(name: At<String>, t: &At<&Table>, report: &mut Report) -> Pipeline {
    let what = format!("`[pipelines.{}]`", name.value);
    let mut r = Reader::new(what, t.value, &t.place);
    let pipeline = Pipeline {
        timeout: r.take_as("timeout", report, positive_duration),
        decodes: named(&mut r, "decode", report, |n, t, report| codec("decode", n, t, report)),
        encodes: named(&mut r, "encode", report, |n, t, report| codec("encode", n, t, report)),
        steps: named(&mut r, "steps", report, step),
        online: r.table("online", report).map(|t| entry(&name, "online", &t, report)),
        offline: r.table("offline", report).map(|t| entry(&name, "offline", &t, report)),
        name,
    };
    r.finish(report);
    pipeline
}

fn entry(pipeline: &str, which: &str, t: &At<&Table>, report: &mut Report) -> Entry {
    let mut r = Reader::new(format!("`[pipelines.{pipeline}.{which}]`"), t.value, &t.place);
    let route = if which == "online" { r.take_as("route", report, route) } else { None };
    let entry = Entry {
        place: t.place.clone(),
        route,
        decodes: named(&mut r, "decode", report, |n, t, report| codec("decode", n, t, report)),
        encodes: named(&mut r, "encode", report, |n, t, report| codec("encode", n, t, report)),
    };
    r.finish(report);
    entry
}

/// The format alone is read; the other options are for the codec of that format.
fn codec(kind: &str, name: At<String>, t: &At<&Table>, report: &mut Report) -> Codec {
    let mut r = Reader::new(format!("{kind} `{}`", name.value), t.value, &name.place);
    let format = r.string("format", report);
    let misspelt = t.value.entries.iter().find(|(key, _)| nearest(key, ["format"]).is_some());
    match misspelt {
        _ if r.has("format") || t.value.broken => {}
        Some((key, _)) => report.push(
            Diagnostic::error(format!("unknown key `{}` in {}", key.value, r.what()))
                .at(&key.place, "")
                .help("did you mean `format`?"),
        ),
        None => {
            let example = if kind == "decode" { "image" } else { "json" };
            report.push(
                Diagnostic::error(format!("{} has no `format`", r.what()))
                    .at(&name.place, "")
                    .help(format!("say which one, such as `format = \"{example}\"`")),
            );
        }
    }
    Codec {
        format: format.unwrap_or_else(|| name.with(String::new())),
        options: t.with(t.value.clone()),
        name,
    }
}

fn step(name: At<String>, t: &At<&Table>, report: &mut Report) -> Step {
    let mut r = Reader::new(format!("step `{}`", name.value), t.value, &name.place);
    let model = r.string("model", report);
    r.require("model", "say which model it calls: `model = \"NAME\"`");
    let mut inputs = vec![];
    if let Some(t) = r.table("inputs", report) {
        for (input, source) in &t.value.entries {
            match &source.value {
                Value::String(s) => inputs.push((input.clone(), source.with(s.clone()))),
                other => report.push(
                    Diagnostic::error(format!(
                        "input `{}` of step `{}` must be the name of its source",
                        input.value, name.value
                    ))
                    .at(&source.place, format!("this is {}", other.describe()))
                    .help("a source is the name of a decode, of a step with one output, or \"step.output\""),
                ),
            }
        }
    }
    r.require("inputs", "say what feeds it: `inputs = { INPUT = \"SOURCE\" }`");
    r.finish(report);
    Step { name, model, inputs }
}

/// Every entry of the table at `key`, each a table under a name of the user's choice.
fn named<T>(
    r: &mut Reader<'_>,
    key: &'static str,
    report: &mut Report,
    mut read: impl FnMut(At<String>, &At<&Table>, &mut Report) -> T,
) -> Vec<T> {
    let Some(tables) = r.table(key, report) else { return vec![] };
    let mut all = vec![];
    for (name, value) in &tables.value.entries {
        check_name(name, report);
        match &value.value {
            Value::Table(t) => all.push(read(name.clone(), &value.with(t), report)),
            other => report.push(not_a_table(key, name, &value.place, other)),
        }
    }
    all
}

fn not_a_table(key: &str, name: &str, place: &Place, value: &Value) -> Diagnostic {
    let d = Diagnostic::error(format!("`{name}` in `{key}` must be a table"))
        .at(place, format!("this is {}", value.describe()));
    match key {
        "models" | "pipelines" => d.help(format!("declare it as `[{key}.NAME]`, with its settings below")),
        "steps" => d.help("write it as `NAME = { model = \"MODEL\", inputs = { INPUT = \"SOURCE\" } }`"),
        _ => d.help(format!("write it as `{key}.NAME = {{ format = \"FORMAT\" }}`")),
    }
}

fn check_name(name: &At<String>, report: &mut Report) {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let mut chars = name.chars();
    let good = chars.next().is_some_and(allowed)
        && chars.all(|c| allowed(c) || matches!(c, '.' | '_' | '-'))
        && name.len() <= 64;
    if good {
        return;
    }
    let d = Diagnostic::error(format!("`{}` cannot be a name", name.value)).at(&name.place, "").note(
        "a name begins with a lower-case letter or a digit, has these, `.`, `_` and `-`, and at most 64 \
         characters",
    );
    let mended: String = name
        .to_lowercase()
        .chars()
        .map(|c| if allowed(c) || matches!(c, '.' | '_' | '-') { c } else { '-' })
        .take(64)
        .collect();
    let mended = mended.trim_start_matches(['.', '_', '-']);
    report.push(if mended.is_empty() { d } else { d.help(format!("`{mended}` would do")) });
}
