//! A parsed document to a typed [`Spec`]. Reads on after an error, so that one pass finds all of them.

use super::document::{Table, Value, parse};
use super::reader::{Expected, Reader, mended, number};
use super::setting::{
    address, admin, batch_axes, batch_axis, batch_sizes, device_use, duration, header_name, host_names,
    networks, one_version, positive_duration, route, size, traffic, version,
};
use super::{
    Batch, Codec, Device, Entry, Links, Model, PerClient, Pipeline, Priority, Refusal, Reload, Server, Spec,
    Step, Store,
};
use crate::diagnostic::{At, Diagnostic, Report, SourceText, Span, nearest};
use std::path::PathBuf;
use std::sync::Arc;

/// Reads one file. What could not be read is reported and left out.
pub fn read(source: &Arc<SourceText>, report: &mut Report) -> Spec {
    let root = parse(source, report);
    let known = ["server", "store", "device", "models", "pipelines"];
    let table = mended("the file", &root, &known, report);
    let mut r = Reader::new("the file", &table, &root.place);
    let server = r.table("server", report).map(|t| server(&t, report));
    let store = r.table("store", report).map(|t| store(&t, report));
    let device = r.table("device", report).map(|t| device(&t, report));
    let models = named(&mut r, "models", report, model);
    let pipelines = named(&mut r, "pipelines", report, pipeline);
    r.finish(report);
    let is_table = |key: &&str| table.get(key).is_none_or(|v| matches!(v.value, Value::Table(_)));
    let broken = root.broken || !["models", "pipelines"].iter().all(is_table);
    Spec { source: source.clone(), server, store, device, broken, models, pipelines }
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
        grace: r.take_as("grace", report, duration),
        keep_alive: r.take_as("keep_alive", report, positive_duration),
        token_file: r.take_as("token_file", report, |v| match &v.value {
            Value::String(s) if !s.is_empty() => Ok(PathBuf::from(s)),
            _ => Err(Expected::new("the path of a file, relative to this file")),
        }),
        memory: r.take_as("memory", report, size),
        health: r.take_as("health", report, address),
        per_client: per_client(&mut r, report),
        proxies: r.take_as("proxies", report, networks),
        admin_hosts: r.take_as("admin_hosts", report, host_names),
        insecure: r.bool("insecure", report),
    };
    if let (Some(listen), Some(At { value: Some(admin), place })) = (&server.listen, &server.admin)
        && listen.value == *admin
        && admin.port != 0
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

/// "off", or a table.
fn per_client(r: &mut Reader<'_>, report: &mut Report) -> Option<At<Option<PerClient>>> {
    let value = r.take_as("per_client", report, |v| match &v.value {
        Value::String(s) if s == "off" => Ok(None),
        Value::Table(table) => Ok(Some(table)),
        _ => Err(Expected::new(
            "a table, such as { connections = 500, memory = \"64MiB\" }, or \"off\" for no bounds by address",
        )),
    })?;
    let Some(table) = value.value else { return Some(value.with(None)) };
    let mut r = Reader::new("`per_client` of `[server]`", table, &value.place);
    let bounds = PerClient {
        connections: r.integer("connections", 1..=1_000_000, report).map(|n| n.value as usize),
        memory: r.take_as("memory", report, size).map(|bytes| bytes.value),
    };
    r.finish(report);
    Some(value.with(Some(bounds)))
}

fn store(t: &At<&Table>, report: &mut Report) -> Store {
    let mut r = Reader::new("`[store]`", t.value, &t.place);
    let store = Store {
        place: t.place.clone(),
        path: r.take_as("path", report, |v| match &v.value {
            Value::String(s) if !s.is_empty() => Ok(PathBuf::from(s)),
            _ => Err(Expected::new("the path of a folder, relative to this file")),
        }),
        watch: r.bool("watch", report),
        settle: r.take_as("settle", report, duration),
        links: r.choice("links", &[("within", Links::Within), ("anywhere", Links::Anywhere)], report),
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
        Ok(share) => Err(share_help(share)),
        Err(_) => {
            let wanted = Expected::new(SHARE);
            match &v.value {
                Value::String(s) if s.parse::<f64>().is_ok() => {
                    Err(wanted.help(format!("write the number without quotes: {s}")))
                }
                Value::String(s) => match s.strip_suffix('%').map(|percent| percent.trim().parse::<f64>()) {
                    Some(Ok(percent)) => Err(wanted.help(format!("write `gpu = {}`", percent / 100.0))),
                    _ => Err(wanted.help("half of a device is `gpu = 0.5`")),
                },
                _ => Err(wanted.help("half of a device is `gpu = 0.5`")),
            }
        }
    });
    let model = Model {
        gpu,
        replicas: r.integer("replicas", 1..=1024, report).map(|n| n.map(|n| n as usize)),
        version: r.take_as("version", report, version),
        batch: batch(&name, &mut r, report),
        queue: r.integer("queue", 1..=1_000_000, report).map(|n| n.map(|n| n as usize)),
        max_run: r.take_as("max_run", report, positive_duration),
        traffic: r.take_as("traffic", report, traffic),
        sticky: r.take_as("sticky", report, header_name),
        shadow: r.take_as("shadow", report, one_version),
        reload: r.choice("reload", &[("swap", Reload::Swap), ("stop-first", Reload::StopFirst)], report),
        load_timeout: r.take_as("load_timeout", report, positive_duration),
        warm: r.bool("warm", report),
        name,
    };
    r.finish(report);
    model
}

const SHARE: &str = "a share of one device, above 0 and at most 1";

fn share_help(share: f64) -> Expected {
    let wanted = Expected::new(SHARE);
    if (2.0..=100.0).contains(&share) {
        wanted.help(format!("for {share} percent, write `gpu = {}`", share / 100.0))
    } else if share > 1.0 {
        wanted.help("a model runs on one device, and all of it is `gpu = 1`")
    } else {
        wanted.help("leave `gpu` out for a model that runs in what the others leave idle")
    }
}

/// `batch = false`, or a table.
fn batch(model: &str, r: &mut Reader<'_>, report: &mut Report) -> Option<At<Batch>> {
    let value = r.take_as("batch", report, |v| match &v.value {
        Value::Bool(false) => Ok(None),
        Value::Table(table) => Ok(Some(table)),
        Value::Bool(true) => {
            Err(Expected::new(BATCH).help("leave `batch` out: items are joined wherever they can be"))
        }
        Value::Integer(n) => {
            Err(Expected::new(BATCH).help(format!("did you mean `batch = {{ max = {n} }}`?")))
        }
        _ => Err(Expected::new(BATCH)),
    })?;
    Some(match value.value {
        Some(table) => value.with(batch_table(model, &value.with(table), report)),
        None => value.with(Batch { axis: Some(value.with(None)), ..Batch::default() }),
    })
}

const BATCH: &str =
    "a table, such as { max = 16, wait = \"5ms\" }, or false for a model without a batch axis";

fn batch_table(model: &str, t: &At<&Table>, report: &mut Report) -> Batch {
    let mut r = Reader::new(format!("`batch` of model `{model}`"), t.value, &t.place);
    let max = r.integer("max", 1..=65_536, report).map(|n| n.map(|n| n as usize));
    let wait = r.take_as("wait", report, duration).map(|d| d.value);
    let sizes = r.take_as("sizes", report, batch_sizes);
    let axis = r.take_as("axis", report, batch_axis);
    let axes = r.take_as("axes", report, batch_axes);
    if let (Some(max), Some(sizes)) = (&max, &sizes)
        && sizes.value.last().is_some_and(|largest| *largest != max.value)
    {
        report.push(
            Diagnostic::error(format!("`sizes` and `max` of model `{model}` name another largest batch"))
                .at(&sizes.place, "")
                .at(&max.place, "the other is here")
                .help("a batch is padded to the next of `sizes`, so its largest is `max`: leave `max` out"),
        );
    }
    r.finish(report);
    Batch {
        max: max.map(|max| max.value),
        wait,
        sizes: sizes.map(|sizes| sizes.value).unwrap_or_default(),
        axis,
        axes: axes.map(|axes| axes.value).unwrap_or_default(),
    }
}

const PRIORITIES: [(&str, Priority); 3] =
    [("high", Priority::High), ("normal", Priority::Normal), ("low", Priority::Low)];

fn pipeline(name: At<String>, t: &At<&Table>, report: &mut Report) -> Pipeline {
    let what = format!("`[pipelines.{}]`", name.value);
    let known = ["timeout", "priority", "decode", "encode", "steps", "online", "offline"];
    let table = mended(&what, t.value, &known, report);
    let is_table = |key: &&str| table.get(key).is_none_or(|v| matches!(v.value, Value::Table(_)));
    let mut r = Reader::new(what, &table, &t.place);
    let pipeline = Pipeline {
        broken: !known.iter().skip(2).all(is_table),
        timeout: r.take_as("timeout", report, positive_duration),
        priority: r.choice("priority", &PRIORITIES, report),
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
    let what = format!("`[pipelines.{pipeline}.{which}]`");
    let table = mended(&what, t.value, &["decode", "encode"], report);
    let mut r = Reader::new(what, &table, &t.place);
    let route = if which == "online" { r.take_as("route", report, route) } else { None };
    let refusals = if which == "online" { refusals(&mut r, report) } else { vec![] };
    let entry = Entry {
        place: t.place.clone(),
        route,
        decodes: named(&mut r, "decode", report, |n, t, report| codec("decode", n, t, report)),
        encodes: named(&mut r, "encode", report, |n, t, report| codec("encode", n, t, report)),
        refusals,
    };
    r.finish(report);
    entry
}

/// `refuse = [{ when = "faces == 0", status = 422, say = "no face in the picture" }]`
fn refusals(r: &mut Reader<'_>, report: &mut Report) -> Vec<Refusal> {
    let what = format!("`refuse` of {}", r.what());
    let example = "an array of tables";
    let help = "as in `refuse = [{ when = \"faces == 0\", status = 422, say = \"no face in the picture\" }]`";
    let tables = r.take_as("refuse", report, |v| match &v.value {
        Value::Array(items) => items
            .iter()
            .map(|item| match &item.value {
                Value::Table(table) => Ok(item.with(table)),
                _ => Err(Expected::new(example).help(help)),
            })
            .collect::<Result<Vec<_>, _>>(),
        _ => Err(Expected::new(example).help(help)),
    });
    let read = |table: At<&Table>| {
        let mut r = Reader::new(what.clone(), table.value, &table.place);
        let when = r.string("when", report);
        r.require("when", "say when: `when = \"faces == 0\"`");
        let status = r.integer("status", 400..=499, report).map(|s| s.map(|s| s as u16));
        let say = r.string("say", report);
        r.require("say", "say what the client is told: `say = \"no face in the picture\"`");
        r.finish(report);
        Refusal { place: table.place.clone(), when, status, say }
    };
    tables.map(|tables| tables.value.into_iter().map(read).collect()).unwrap_or_default()
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
    let what = format!("step `{}`", name.value);
    let table = mended(&what, t.value, &["model", "inputs"], report);
    let mut r = Reader::new(what, &table, &name.place);
    let op = r.string("op", report);
    let each = r.string("each", report);
    let when = r.string("when", report);
    let within = r.take_as("within", report, positive_duration);
    if r.has("op") {
        if let (Some(op), Some((key, _))) = (&op, table.entries.iter().find(|(key, _)| key.value == "model"))
        {
            report.push(
                Diagnostic::error(format!("{} is a model call and an operation at once", r.what()))
                    .at(&key.place, "")
                    .at(&op.place, "")
                    .help("a step does one of them: `model = \"NAME\"` or `op = \"OPERATION\"`"),
            );
        }
        let broken = op.is_none() || t.value.broken;
        let mut options = t.with(table.clone());
        options.value.entries.retain(|(key, _)| key.value != "model");
        return Step { name, model: None, op, inputs: vec![], each, when, within, options, broken };
    }
    let model = r.string("model", report);
    r.require("model", "say which model it calls: `model = \"NAME\"`, or what it does: `op = \"OPERATION\"`");
    let mut inputs = vec![];
    let written =
        r.take_as("inputs", report, |v| match &v.value {
            Value::Table(t) => Ok(t),
            _ => Err(Expected::new("a table")
                .help("name what feeds each input: `inputs = { INPUT = \"SOURCE\" }`")),
        });
    let broken = written.is_none() && r.has("inputs") || t.value.broken;
    if let Some(t) = written {
        for (input, source) in &t.value.entries {
            // What cannot be read is kept as an empty name, so that the input does not count as unfed.
            let from = match &source.value {
                Value::String(s) => s.as_str(),
                _ => "",
            };
            if from.is_empty() {
                report.push(not_a_source(&name, input, source));
            }
            inputs.push((input.clone(), source.with(from.to_owned())));
        }
    }
    r.finish(report);
    let options = t.with(table.clone());
    Step { name, model, op, inputs, each, when, within, options, broken }
}

fn not_a_source(step: &str, input: &str, source: &At<Value>) -> Diagnostic {
    Diagnostic::error(format!("input `{input}` of step `{step}` must be the name of its source"))
        .at(&source.place, format!("this is {}", source.value.describe()))
        .help("a source is the name of a decode, of a step with one output, or \"step.output\"")
}

/// Every entry of the table at `key`, each a table under a name of the user's choice.
fn named<T>(
    r: &mut Reader<'_>,
    key: &'static str,
    report: &mut Report,
    mut read: impl FnMut(At<String>, &At<&Table>, &mut Report) -> T,
) -> Vec<T> {
    let tables = r.take_as(key, report, |v| match &v.value {
        Value::Table(t) => Ok(t),
        Value::Array(_) => Err(Expected::new("a table").help("write its header with one pair of brackets")),
        _ => Err(Expected::new("a table")),
    });
    let Some(tables) = tables else { return vec![] };
    let mut all = vec![];
    for (name, value) in &tables.value.entries {
        check_name(name, report);
        if let Value::Table(t) = &value.value {
            all.push(read(name.clone(), &value.with(t), report));
            continue;
        }
        report.push(not_a_table(key, name, &value.place, &value.value));
        // Two pairs of brackets where one should be: what is below them was meant all the same.
        if let Value::Array(items) = &value.value
            && let Some(At { value: Value::Table(t), place }) = items.first()
        {
            all.push(read(name.clone(), &At::new(t, place.clone()), report));
            continue;
        }
        // The name is declared, whatever else is wrong with it.
        if key != "pipelines" {
            let nothing = Table { entries: vec![], broken: true };
            all.push(read(name.clone(), &value.with(&nothing), report));
        }
    }
    all
}

fn not_a_table(key: &str, name: &str, place: &Span, value: &Value) -> Diagnostic {
    let d = Diagnostic::error(format!("`{name}` in `{key}` must be a table"))
        .at(place, format!("this is {}", value.describe()));
    match key {
        "models" | "pipelines" if matches!(value, Value::Array(_)) => {
            d.help(format!("write one pair of brackets: `[{key}.{name}]`"))
        }
        "models" | "pipelines" => d.help(format!("declare it as `[{key}.NAME]`, with its settings below")),
        "steps" => d.help("write it as `NAME = { model = \"MODEL\", inputs = { INPUT = \"SOURCE\" } }`"),
        _ => d.help(format!("write it as `{key}.NAME = {{ format = \"FORMAT\" }}`")),
    }
}

/// `[a-z0-9][a-z0-9._-]{0,63}`
pub fn is_name(name: &str) -> bool {
    name.starts_with(allowed)
        && name.chars().all(|c| allowed(c) || matches!(c, '.' | '_' | '-'))
        && name.len() <= 64
}

fn allowed(c: char) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit()
}

fn check_name(name: &At<String>, report: &mut Report) {
    if is_name(name) {
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
    let mended = mended.trim_matches(['.', '_', '-']);
    report.push(if mended.is_empty() { d } else { d.help(format!("`{mended}` would do")) });
}
