//! As Mermaid, which code forges draw in Markdown.

use super::{Drawing, DrawnBox, Kind};
use crate::plan::Plan;

pub fn mermaid(plan: &Plan) -> String {
    let mut out = String::from("flowchart LR\n");
    for (number, pipeline) in plan.pipelines.iter().enumerate() {
        let drawing = Drawing::new(plan, pipeline);
        out.push_str(&format!("  subgraph p{number}[\"{}\"]\n    direction LR\n", escape(&pipeline.name)));
        for (index, b) in drawing.boxes.iter().enumerate() {
            let (open, close) = match b.kind {
                Kind::Decode => ("[/", "/]:::decode"),
                Kind::Step => ("[", "]:::step"),
                Kind::Encode => ("[\\", "\\]:::encode"),
            };
            out.push_str(&format!("    p{number}_{index}{open}\"{}\"{close}\n", label(b)));
        }
        for arrow in &drawing.arrows {
            let line = if arrow.carries.is_aside() { "-.->" } else { "-->" };
            let ty = arrow.carries.word().unwrap_or_else(|| arrow.label(&drawing.boxes));
            out.push_str(&format!(
                "    p{number}_{} {line}|\"{}\"| p{number}_{}\n",
                arrow.from.0,
                escape(ty),
                arrow.to.0
            ));
        }
        out.push_str("  end\n");
    }
    for (class, fill, stroke) in
        [("decode", "#e3f2fd", "#1e88e5"), ("step", "#ede7f6", "#673ab7"), ("encode", "#e8f5e9", "#43a047")]
    {
        out.push_str(&format!("  classDef {class} fill:{fill},stroke:{stroke},color:#1a1a1a\n"));
    }
    out
}

fn label(b: &DrawnBox) -> String {
    let entry = b.entry.map_or(String::new(), |entry| format!(" ({entry})"));
    format!("<b>{}</b><br/>{}{entry}", escape(&b.name), escape(&b.detail))
}

/// Mermaid's own entities.
fn escape(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '"' => "#quot;".to_owned(),
            '<' => "#lt;".to_owned(),
            '>' => "#gt;".to_owned(),
            '#' => "#35;".to_owned(),
            '&' => "#amp;".to_owned(),
            c if c.is_control() => " ".to_owned(),
            c => c.to_string(),
        })
        .collect()
}
