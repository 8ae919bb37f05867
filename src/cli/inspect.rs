//! `rserve inspect`

use super::Exit;
use super::output::{complain, print, shown};
use crate::engine::{self, Applied, Inspection};
use crate::memory::{Budget, process_limit};
use crate::plan::{Batching, Dim, Port, Signature};
use crate::store;
use serde_json::{Value, json};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;

/// Say what an ONNX file takes, gives and consists of, and what of it is not supported
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  rserve inspect examples/models/surface/2/model.onnx
  rserve inspect model.onnx --json | jq .inputs
  rserve inspect model.onnx --optimized        # what loading makes of it, pass by pass

Exits 1 where the file is not a model, or has operators that are not supported.")]
pub struct Arguments {
    /// The model file
    #[arg(value_name = "MODEL.ONNX")]
    file: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Show what optimising does to it when it is loaded: nodes before and after each pass
    #[arg(long)]
    optimized: bool,
}

pub fn run(arguments: &Arguments) -> Exit {
    let file = arguments.file.display().to_string();
    if arguments.file.is_dir() {
        complain(&format!("cannot read `{file}`: it is a folder; name the model.onnx in it"));
        return Exit::Wrong;
    }
    let memory = Budget::new(process_limit().unwrap_or(u64::MAX));
    let files = match store::model(&arguments.file, &engine::Onnx, &memory) {
        Ok(files) => files,
        Err(error) => {
            complain(&error.to_string());
            return Exit::Wrong;
        }
    };
    let size = files.onnx.len();
    let optimized = arguments.optimized.then(|| engine::inspect_optimized(files.clone()));
    let inspection = match engine::inspect(files) {
        Ok(inspection) => inspection,
        Err(error) => {
            complain(&format!("`{file}`: {error}"));
            return Exit::Wrong;
        }
    };
    // A model that could be inspected can be optimised.
    let optimized = optimized.and_then(Result::ok);
    let text = if arguments.json {
        let mut json = as_json(&inspection, size);
        if let Some((applied, left)) = &optimized {
            json["passes"] = applied.iter().map(pass_as_json).collect();
            json["operators_left"] = json!(left);
        }
        format!("{json:#}\n")
    } else {
        let passes = optimized.map(|(applied, left)| passes(&applied, &left)).unwrap_or_default();
        as_text(&file, &inspection, size) + &passes
    };
    match print(&text) {
        Exit::Fine if !inspection.unsupported.is_empty() => Exit::Wrong,
        exit => exit,
    }
}

fn as_text(file: &str, model: &Inspection, size: usize) -> String {
    let mut text = String::new();
    let opsets: Vec<String> = model
        .opsets
        .iter()
        .map(
            |(domain, version)| {
                if domain.is_empty() { version.to_string() } else { format!("{} {version}", shown(domain)) }
            },
        )
        .collect();
    // Writing to a string does not fail.
    let _ = writeln!(text, "{}: {}, opset {}", shown(file), bytes(size as u64), opsets.join(", "));
    if !model.producer.is_empty() {
        let _ = writeln!(text, "made by {}", shown(&model.producer));
    }
    for (word, ports) in [("inputs", &model.signature.inputs), ("outputs", &model.signature.outputs)] {
        let _ = writeln!(text, "\n{word}");
        for port in ports {
            let _ = writeln!(text, "  {}", shown(&port.to_string()));
        }
    }
    let _ = write!(text, "\n{}", batching(&model.signature, model.unsupported.is_empty()));
    let _ = writeln!(text, "{}", parameters(model));
    let _ = writeln!(text, "\noperators");
    counted(&model.operators, &mut text);
    if model.unsupported.is_empty() {
        text.push_str("\nall of them are supported\n");
    } else {
        text.push_str("\nnot supported\n");
        for node in &model.unsupported {
            let _ = writeln!(text, "  {}", shown(&node.to_string()));
        }
    }
    text
}

/// What a row is, and whether items are joined.
fn batching(signature: &Signature, runs: bool) -> String {
    let Batching { basis, alone } = &signature.batching;
    let mut text = String::from("batch\n");
    let ports = || signature.inputs.iter().chain(&signature.outputs);
    let width = ports().map(|port| shown(&port.name).chars().count()).max().unwrap_or(0);
    for port in ports() {
        let axis = port.batch.map_or("no batch axis".to_owned(), |axis| format!("axis {axis}"));
        let item = port.item_type();
        let (name, item) = (shown(&port.name), item.to_string());
        let _ = writeln!(text, "  {name:width$}  {axis}; an item is {}", shown(&item));
    }
    let _ = writeln!(text, "  {}", shown(&basis.to_string()));
    match alone {
        // Of a model that is not run it is of no use.
        None if !runs => {}
        None => text.push_str(
            "  items share batches, once loading has shown that each is computed as if it were alone\n",
        ),
        Some(alone) => {
            let _ = writeln!(text, "  one item at a time: {}", shown(&alone.why.to_string()));
            if let Some(help) = &alone.help {
                let _ = writeln!(text, "  {help}");
            }
        }
    }
    text
}

/// ```text
/// optimised
///   normalisations merged into convolutions  72 -> 52 nodes  BatchNormalization -20
/// ```
fn passes(applied: &[Applied], left: &BTreeMap<String, usize>) -> String {
    let mut text = String::from("\noptimised\n");
    let widest = applied.iter().map(|a| a.pass.len()).max().unwrap_or(0);
    for Applied { pass, before, after, changed } in applied {
        let changed: Vec<String> = changed.iter().map(|(op, n)| format!("{} {n:+}", shown(op))).collect();
        let _ = writeln!(text, "  {pass:widest$}  {before} -> {after} nodes  {}", changed.join(", "));
    }
    if applied.is_empty() {
        text.push_str("  nothing to do\n");
    }
    text.push_str("\noperators left\n");
    counted(left, &mut text);
    text
}

/// A line for each operator. Names are as the file has them.
fn counted(operators: &BTreeMap<String, usize>, text: &mut String) {
    let rows: Vec<(Cow<'_, str>, usize)> =
        operators.iter().map(|(operator, count)| (shown(operator), *count)).collect();
    let widest = rows.iter().map(|(operator, _)| operator.chars().count()).max().unwrap_or(0);
    for (operator, count) in rows {
        let _ = writeln!(text, "  {operator:widest$}  {count}");
    }
}

/// Trees and other models of scikit-learn have their numbers in attributes, which are no parameters by name.
fn parameters(model: &Inspection) -> String {
    let size = bytes(model.weights);
    match model.operators.keys().any(|operator| operator.starts_with("ai.onnx.ml")) {
        true => {
            format!("{} numbers in tensors, {size}; the others are attributes of operators", model.parameters)
        }
        false => format!("{} parameters, {size}", model.parameters),
    }
}

fn pass_as_json(applied: &Applied) -> Value {
    json!({
        "pass": applied.pass,
        "nodes_before": applied.before,
        "nodes_after": applied.after,
        "operators": applied.changed,
    })
}

/// "812 B", "4.10 kB", "44.70 MB"
fn bytes(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{:.2} kB", bytes as f64 / 1e3),
        _ => format!("{:.2} MB", bytes as f64 / 1e6),
    }
}

fn as_json(model: &Inspection, size: usize) -> Value {
    let opsets: serde_json::Map<String, Value> = model
        .opsets
        .iter()
        .map(|(domain, version)| {
            let domain = if domain.is_empty() { "ai.onnx" } else { domain };
            (domain.to_owned(), json!(version))
        })
        .collect();
    let unsupported: Vec<Value> = model
        .unsupported
        .iter()
        .map(|n| json!({ "node": n.name, "operator": n.op, "domain": n.domain, "why": n.why }))
        .collect();
    json!({
        "bytes": size,
        "opsets": opsets,
        "producer": model.producer,
        "inputs": model.signature.inputs.iter().map(port).collect::<Vec<_>>(),
        "outputs": model.signature.outputs.iter().map(port).collect::<Vec<_>>(),
        "batches": model.signature.batching.joins(),
        "batching": {
            "decided": model.signature.batching.basis.to_string(),
            "alone": model.signature.batching.alone.as_ref().map(|alone| &alone.why),
            "help": model.signature.batching.alone.as_ref().and_then(|alone| alone.help.as_ref()),
        },
        "parameters": model.parameters,
        "weight_bytes": model.weights,
        "operators": model.operators,
        "unsupported": unsupported,
    })
}

fn port(port: &Port) -> Value {
    let dims = port.known_dims().map(|dims| {
        dims.iter()
            .map(|dim| match dim {
                Dim::Fixed(n) => json!(n),
                Dim::Named(name) => json!(name),
                Dim::DataDependent | Dim::Unknown => Value::Null,
            })
            .collect::<Vec<_>>()
    });
    json!({ "name": port.name, "type": port.declared, "shape": dims, "batch_axis": port.batch })
}
