//! For a terminal: a tree a pipeline, and who holds what of each device.

use super::{Carries, Drawing, Kind, versions};
use crate::diagnostic::shown;
use crate::plan::{Pipeline, Plan};
use crate::spec::unit::format_duration;

pub fn text(plan: &Plan) -> String {
    let mut out = String::new();
    for pipeline in &plan.pipelines {
        let drawing = Drawing::new(plan, pipeline);
        tree(&format!("pipeline {}", pipeline.name), &lines(&drawing, pipeline), &mut out);
        out.push('\n');
    }
    let devices: Vec<Line> = plan
        .devices
        .iter()
        .map(|device| {
            let held = device.held.iter().map(|(index, held)| {
                let model = &plan.models[*index];
                let replicas = model.devices.iter().filter(|d| **d == device.id).count();
                let times = if replicas > 1 { format!(" x{replicas}") } else { String::new() };
                let share = if *held > 0.0 { model.share.to_string() } else { "idle time".to_owned() };
                (share + &times, versions(model))
            });
            Line {
                cells: vec![device.id.to_string()],
                below: held.map(|(share, model)| vec![share, model]).collect(),
            }
        })
        .collect();
    tree("devices", &devices, &mut out);
    out
}

struct Line {
    cells: Vec<String>,
    below: Vec<Vec<String>>,
}

fn lines(drawing: &Drawing<'_>, pipeline: &Pipeline) -> Vec<Line> {
    let line = |cells: [&str; 2]| Line { cells: cells.map(str::to_owned).to_vec(), below: vec![] };
    let refused = pipeline.online.refusals.iter().map(|refusal| {
        let (condition, status) = (shown(&refusal.when.condition.to_string()).into_owned(), refusal.status);
        vec![format!("refuse {status}"), format!("when {condition}")]
    });
    let online = format!("POST {}, within {}", pipeline.route, format_duration(pipeline.timeout));
    let mut lines = vec![
        Line { cells: vec!["online".to_owned(), online], below: refused.collect() },
        line(["offline", &format!("rserve batch --pipeline {}", pipeline.name)]),
    ];
    for (index, b) in drawing.boxes.iter().enumerate() {
        let entry = b.entry.map_or(String::new(), |entry| format!(" ({entry})"));
        let mut below = vec![];
        for (input, name) in b.inputs.iter().enumerate() {
            let arrow = drawing.arrows.iter().find(|a| a.to == (index, input));
            let ty = arrow.map_or("", |a| match a.carries {
                Carries::Values => a.label(&drawing.boxes),
                Carries::List => "list",
                Carries::Picture | Carries::Condition => "",
            });
            let from = arrow.map_or(String::new(), |a| {
                let producer = &drawing.boxes[a.from.0];
                match producer.outputs.get(a.from.1).filter(|_| a.carries != Carries::List) {
                    Some((output, _)) if !output.is_empty() => format!("{}.{output}", producer.name),
                    _ => producer.name.clone(),
                }
            });
            below.push(match b.kind {
                Kind::Encode => vec![format!("<- {name}"), ty.to_owned()],
                _ => vec![format!("{name} <- {from}"), ty.to_owned()],
            });
        }
        for (name, ty) in &b.outputs {
            let name = if name.is_empty() { &b.name } else { name };
            below.push(vec![format!("-> {name}"), ty.clone()]);
        }
        lines.push(Line {
            cells: vec![format!("{} {}", b.kind.word(), b.name), format!("{}{entry}", b.detail)],
            below,
        });
    }
    lines
}

/// Lines under a title, cells in columns.
fn tree(title: &str, lines: &[Line], out: &mut String) {
    let width = |rows: &mut dyn Iterator<Item = &Vec<String>>| {
        rows.filter_map(|cells| cells.first()).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let outer = width(&mut lines.iter().map(|l| &l.cells));
    let inner = width(&mut lines.iter().flat_map(|l| &l.below));
    // Both columns of cells begin at the same place: what lies below is three further in.
    let column = outer.max(inner + 3) + 2;
    out.push_str(title);
    out.push('\n');
    for (index, line) in lines.iter().enumerate() {
        let last = index + 1 == lines.len();
        row(if last { "└─ " } else { "├─ " }, &line.cells, column, out);
        for (below, cells) in line.below.iter().enumerate() {
            let stem = if last { "   " } else { "│  " };
            let branch = if below + 1 == line.below.len() { "└─ " } else { "├─ " };
            row(&format!("{stem}{branch}"), cells, column - 3, out);
        }
    }
}

fn row(stem: &str, cells: &[String], column: usize, out: &mut String) {
    let mut line = stem.to_owned();
    for (index, cell) in cells.iter().enumerate() {
        line.push_str(cell);
        if index + 1 < cells.len() {
            line.push_str(&" ".repeat(column.saturating_sub(cell.chars().count())));
        }
    }
    out.push_str(line.trim_end());
    out.push('\n');
}
