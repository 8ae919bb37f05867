//! As one SVG file that needs nothing else: layers from left to right, a row a port, light or dark as the
//! reader's system is.

use super::layers::{Item, layers};
use super::{Drawing, DrawnBox};
use crate::plan::Plan;
use crate::spec::unit::format_duration;
use std::collections::BTreeMap;
use std::fmt::Write;

const MARGIN: f64 = 28.0;
/// Between layers, and between boxes of one layer.
const GAP: (f64, f64) = (72.0, 26.0);
const HEADER: f64 = 48.0;
const ROW: f64 = 22.0;
/// Height that an arrow on its way past takes.
const PASS: f64 = 8.0;
/// The widths of one character, at 13 px and at 11 px.
const WIDE: f64 = 7.6;
const NARROW: f64 = 6.7;

const STYLE: &str = "
    .ground { fill: #fbfbfd; stroke: #e2e4ea }
    .box { fill: #ffffff; stroke: #d3d7e0 }
    .title { font: 600 16px system-ui, sans-serif; fill: #1b1f2a }
    .name { font: 600 13px system-ui, sans-serif; fill: #1b1f2a }
    .detail { font: 11px system-ui, sans-serif; fill: #5d6577 }
    .port { font: 11px ui-monospace, Menlo, Consolas, monospace; fill: #3c4354 }
    .type { font: 11px ui-monospace, Menlo, Consolas, monospace; fill: #7a8296 }
    .entry { font: 600 9px system-ui, sans-serif; letter-spacing: .04em; fill: #5d6577 }
    .pill { fill: #eef0f5 }
    .arrow { fill: none; stroke: #8b93a7; stroke-width: 1.6 }
    .origin { stroke-dasharray: 2 4; stroke-linecap: round }
    .dot { fill: #8b93a7 }
    .decode { fill: #1e88e5 } .step { fill: #7e57c2 } .encode { fill: #2e9e5b }
    @media (prefers-color-scheme: dark) {
      .ground { fill: #14171f; stroke: #262b37 }
      .box { fill: #1d212c; stroke: #353b4a }
      .title, .name { fill: #eceef4 }
      .detail, .entry { fill: #9aa3b8 }
      .port { fill: #ccd2e0 }
      .type { fill: #8b94aa }
      .pill { fill: #2a303e }
      .arrow { stroke: #737d94 }
      .dot { fill: #737d94 }
    }
  ";

pub fn svg(plan: &Plan) -> String {
    let mut body = String::new();
    let mut top = 0.0;
    let drawings: Vec<Drawing<'_>> = plan.pipelines.iter().map(|p| Drawing::new(plan, p)).collect();
    let pictures: Vec<Picture<'_, '_>> = drawings.iter().map(Picture::new).collect();
    let width = pictures.iter().map(|p| p.width).fold(0.0, f64::max);
    for picture in &pictures {
        picture.write(top, width, &mut body);
        top += picture.height;
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{top:.0}\" \
         viewBox=\"0 0 {width:.0} {top:.0}\" role=\"img\">\n  <style>{STYLE}</style>\n{body}</svg>\n"
    )
}

/// One pipeline, laid out from its own upper left.
struct Picture<'d, 'a> {
    drawing: &'d Drawing<'a>,
    subtitle: String,
    /// The left, top, width and height of each box.
    frames: Vec<[f64; 4]>,
    /// Where an arrow passes a layer: left, right and height, by arrow, from left to right.
    passes: BTreeMap<usize, Vec<[f64; 3]>>,
    width: f64,
    height: f64,
}

impl<'d, 'a> Picture<'d, 'a> {
    fn new(drawing: &'d Drawing<'a>) -> Self {
        let pipeline = drawing.pipeline;
        let subtitle = format!(
            "POST {}, within {}  ·  rserve batch --pipeline {}",
            pipeline.route,
            format_duration(pipeline.timeout),
            pipeline.name
        );
        let layers = layers(drawing);
        let height = |item: &Item| match item {
            Item::Box(index) => box_height(&drawing.boxes[*index]),
            Item::Pass(_) => PASS,
        };
        let column_height = |items: &Vec<Item>| {
            items.iter().map(height).sum::<f64>() + GAP.1 * items.len().saturating_sub(1) as f64
        };
        let tallest = layers.iter().map(column_height).fold(0.0, f64::max);
        let head = 62.0;
        let mut picture = Self {
            drawing,
            subtitle,
            frames: vec![[0.0; 4]; drawing.boxes.len()],
            passes: BTreeMap::new(),
            width: 0.0,
            height: MARGIN * 2.0 + head + tallest,
        };
        let mut left = MARGIN * 1.5;
        for items in &layers {
            let boxes = items.iter().filter_map(|item| match item {
                Item::Box(index) => Some(box_width(&drawing.boxes[*index])),
                Item::Pass(_) => None,
            });
            let width = boxes.fold(0.0, f64::max);
            let mut top = MARGIN + head + (tallest - column_height(items)) / 2.0;
            for item in items {
                match item {
                    Item::Box(index) => picture.frames[*index] = [left, top, width, height(item)],
                    Item::Pass(arrow) => {
                        picture.passes.entry(*arrow).or_default().push([left, left + width, top + PASS / 2.0])
                    }
                }
                top += height(item) + GAP.1;
            }
            left += width + GAP.0;
        }
        let title = picture.subtitle.chars().count() as f64 * NARROW + MARGIN * 3.0;
        picture.width = (left - GAP.0 + MARGIN * 1.5).max(title);
        picture
    }

    fn write(&self, top: f64, width: f64, out: &mut String) {
        let _ = writeln!(out, "  <g transform=\"translate(0 {top:.0})\">");
        let _ = writeln!(
            out,
            "    <rect class=\"ground\" x=\"8\" y=\"8\" width=\"{:.0}\" height=\"{:.0}\" rx=\"14\"/>",
            width - 16.0,
            self.height - 16.0
        );
        let x = MARGIN * 1.5;
        text(out, "title", x, MARGIN + 14.0, "", &self.drawing.pipeline.name);
        text(out, "detail", x, MARGIN + 33.0, "", &self.subtitle);
        for (index, arrow) in self.drawing.arrows.iter().enumerate() {
            self.write_arrow(index, arrow, out);
        }
        for (index, b) in self.drawing.boxes.iter().enumerate() {
            write_box(b, self.frames[index], out);
        }
        out.push_str("  </g>\n");
    }

    fn write_arrow(&self, index: usize, arrow: &super::Arrow, out: &mut String) {
        let [from_left, from_top, from_width, _] = self.frames[arrow.from.0];
        let [to_left, to_top, ..] = self.frames[arrow.to.0];
        let port = |top: f64, port: usize| top + HEADER + ROW * (port as f64 + 0.5);
        let outputs = port(from_top, arrow.from.1);
        let mut at = (from_left + from_width, outputs);
        let end = (to_left - 7.0, port(to_top, arrow.to.1));
        let mut path = format!("M{:.1} {:.1}", at.0, at.1);
        let curve = |path: &mut String, from: (f64, f64), to: (f64, f64)| {
            let bend = ((to.0 - from.0) * 0.5).max(20.0);
            let _ = write!(
                path,
                " C{:.1} {:.1} {:.1} {:.1} {:.1} {:.1}",
                from.0 + bend,
                from.1,
                to.0 - bend,
                to.1,
                to.0,
                to.1
            );
        };
        for [left, right, height] in self.passes.get(&index).into_iter().flatten() {
            curve(&mut path, at, (*left, *height));
            let _ = write!(path, " H{right:.1}");
            at = (*right, *height);
        }
        curve(&mut path, at, end);
        let class = if arrow.carries.is_aside() { "arrow origin" } else { "arrow" };
        let _ = writeln!(out, "    <path class=\"{class}\" d=\"{path}\"/>");
        let _ = writeln!(
            out,
            "    <path class=\"dot\" d=\"M{:.1} {:.1} l7 4.5 -7 4.5 z\"/>",
            end.0 - 0.5,
            end.1 - 4.5
        );
    }
}

fn rows(b: &DrawnBox) -> usize {
    b.inputs.len().max(b.outputs.len())
}

fn box_height(b: &DrawnBox) -> f64 {
    HEADER + ROW * rows(b) as f64 + 8.0
}

fn chars(text: &str) -> f64 {
    text.chars().count() as f64
}

fn output_text((name, ty): &(String, String)) -> (String, &str) {
    (if name.is_empty() { String::new() } else { format!("{name}:") }, ty)
}

fn box_width(b: &DrawnBox) -> f64 {
    let pill = b.entry.map_or(0.0, |entry| chars(entry.name()) * WIDE + 24.0);
    let header = (chars(&b.name) * WIDE + pill).max((chars(&b.detail) + chars(b.kind.word()) + 3.0) * NARROW);
    let input = |row: usize| b.inputs.get(row).map_or(0.0, |i| chars(i) * NARROW);
    let output = |row: usize| {
        b.outputs.get(row).map(output_text).map_or(0.0, |(name, ty)| (chars(&name) + chars(ty)) * NARROW)
    };
    let ports = (0..rows(b)).map(|row| input(row) + output(row) + 34.0).fold(0.0, f64::max);
    header.max(ports) + 30.0
}

fn write_box(b: &DrawnBox, [left, top, width, height]: [f64; 4], out: &mut String) {
    let kind = b.kind.word();
    let _ = writeln!(
        out,
        "    <rect class=\"box\" x=\"{left:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" \
         rx=\"9\"/>\n    <rect class=\"{kind}\" x=\"{:.1}\" y=\"{:.1}\" width=\"4\" height=\"28\" rx=\"2\"/>",
        left + 12.0,
        top + 12.0
    );
    text(out, "name", left + 24.0, top + 23.0, "", &b.name);
    text(out, "detail", left + 24.0, top + 38.0, "", &format!("{kind} · {}", b.detail));
    if let Some(entry) = b.entry {
        let pill = chars(entry.name()) * 5.8 + 14.0;
        let x = left + width - pill - 10.0;
        let _ = writeln!(
            out,
            "    <rect class=\"pill\" x=\"{x:.1}\" y=\"{:.1}\" width=\"{pill:.1}\" height=\"15\" rx=\"7.5\"/>",
            top + 10.0
        );
        text(out, "entry", x + pill / 2.0, top + 20.8, " text-anchor=\"middle\"", entry.name());
    }
    for (row, input) in b.inputs.iter().enumerate() {
        text(out, "port", left + 14.0, top + HEADER + ROW * row as f64 + 15.0, "", input);
    }
    for (row, output) in b.outputs.iter().enumerate() {
        let (name, ty) = output_text(output);
        let (right, y) = (left + width - 14.0, top + HEADER + ROW * row as f64 + 15.0);
        text(out, "type", right, y, " text-anchor=\"end\"", ty);
        if !name.is_empty() {
            text(out, "port", right - chars(ty) * NARROW - 6.0, y, " text-anchor=\"end\"", &name);
        }
    }
}

fn text(out: &mut String, class: &str, x: f64, y: f64, more: &str, content: &str) {
    let _ = writeln!(
        out,
        "    <text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\"{more}>{}</text>",
        escape(content)
    );
}

fn escape(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '&' => "&amp;".to_owned(),
            '<' => "&lt;".to_owned(),
            '>' => "&gt;".to_owned(),
            '"' => "&quot;".to_owned(),
            c if c.is_control() => " ".to_owned(),
            c => c.to_string(),
        })
        .collect()
}
