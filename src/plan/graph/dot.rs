//! As DOT, for Graphviz.

use super::{Drawing, DrawnBox, Kind};
use crate::plan::Plan;

pub fn dot(plan: &Plan) -> String {
    let mut out = String::from(
        "digraph rserve {\n  rankdir=LR;\n  node [shape=box, style=\"rounded,filled\", fontname=\"Helvetica\"];\n  \
         edge [fontname=\"Courier\", fontsize=10];\n",
    );
    for (number, pipeline) in plan.pipelines.iter().enumerate() {
        let drawing = Drawing::new(plan, pipeline);
        out.push_str(&format!(
            "  subgraph cluster_{number} {{\n    label=\"{}\";\n    style=rounded;\n",
            escape(&pipeline.name)
        ));
        for (index, b) in drawing.boxes.iter().enumerate() {
            let (fill, line) = match b.kind {
                Kind::Decode => ("#e3f2fd", "#1e88e5"),
                Kind::Step => ("#ede7f6", "#673ab7"),
                Kind::Encode => ("#e8f5e9", "#43a047"),
            };
            out.push_str(&format!(
                "    p{number}_{index} [label=\"{}\", fillcolor=\"{fill}\", color=\"{line}\"];\n",
                label(b)
            ));
        }
        for arrow in &drawing.arrows {
            let style = if arrow.carries.is_aside() { ", style=dashed" } else { "" };
            let ty = arrow.carries.word().unwrap_or_else(|| arrow.label(&drawing.boxes));
            out.push_str(&format!(
                "    p{number}_{} -> p{number}_{} [label=\"{}\"{style}];\n",
                arrow.from.0,
                arrow.to.0,
                escape(ty)
            ));
        }
        out.push_str("  }\n");
    }
    out.push_str("}\n");
    out
}

fn label(b: &DrawnBox) -> String {
    let entry = b.entry.map_or(String::new(), |entry| format!(" ({entry})"));
    format!("{}\\n{}{entry}", escape(&b.name), escape(&b.detail))
}

fn escape(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '"' => "\\\"".to_owned(),
            '\\' => "\\\\".to_owned(),
            c if c.is_control() => " ".to_owned(),
            c => c.to_string(),
        })
        .collect()
}
