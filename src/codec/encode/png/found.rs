//! `as = "boxes"`, `"keypoints"` and `"masks"`: what was found, drawn on the picture in which it was.
//!
//! Where there is a list, all its elements are drawn, the first on top. What is absent is not drawn.

use super::super::palette::{self, Shade};
use super::write;
use crate::codec::options;
use crate::diagnostic::{At, Diagnostic, Report};
use crate::picture::draw::{Canvas, Labelled, Style, boxes, tint};
use crate::picture::frame::{Bounds, Frame, Space};
use crate::plan::{Bound, Draft, Encode, EncodeError, Format, Given, Input, Labels, Origin, SourceRef};
use crate::spec::document::{Expected, Reader, Value, number};
use crate::tensor::{DType, Tensor};
use serde::Serialize;
use std::sync::Arc;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Boxes,
    Keypoints,
    Masks,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Boxes => "boxes",
            Self::Keypoints => "keypoints",
            Self::Masks => "masks",
        }
    }
}

/// What a source is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Role {
    From,
    Text,
    Class,
    Scores,
}

#[derive(Clone, Debug, Serialize)]
struct Options {
    kind: Kind,
    roles: Vec<Role>,
    palette: Option<Vec<Shade>>,
    /// How thick lines are; by the size of the picture where it is `None`.
    line: Option<u32>,
    text_size: Option<u32>,
    /// Digits after the point of numbers in a text.
    round: usize,
    alpha: f32,
    threshold: f32,
    /// Points that are joined, by their numbers.
    lines: Vec<(usize, usize)>,
}

#[derive(Debug)]
struct FoundDraft {
    what: String,
    sources: Vec<(Role, SourceRef)>,
    on: Option<At<String>>,
    options: Options,
}

#[derive(Debug)]
struct FoundEncode(Options);

/// Reads the options of an encode whose `as` is one of the kinds.
pub fn read(kind: Kind, options: &mut Reader<'_>, report: &mut Report) -> Option<Box<dyn Draft>> {
    options.require("on", "name the decode whose picture is drawn on: `on = \"photo\"`");
    let source = |role: Role, from: At<String>, labels: Option<At<String>>| {
        (role, SourceRef { from, is_list: false, labels })
    };
    let mut sources: Vec<(Role, SourceRef)> =
        options::from(options, report).map(|from| source(Role::From, from, None)).into_iter().collect();
    let on = options.string("on", report);
    let labels = options.string("labels", report);
    if let (Some(labels), false) = (&labels, options.has("class")) {
        report.push(
            Diagnostic::error(format!("`labels` in {} has no effect without `class`", options.what()))
                .at(&labels.place, "")
                .help("name the source of the classes: `class = \"plate.class\"`"),
        );
    }
    let class = options.string("class", report);
    let palette = palette::read(options, report);
    let line = if kind == Kind::Masks { None } else { options.integer("line", 1..=1000, report) };
    let (mut text_size, mut round, mut alpha, mut threshold, mut lines) = (None, None, None, None, None);
    match kind {
        Kind::Boxes => {
            let texts = options.take_as("text", report, texts).map(|texts| texts.value).unwrap_or_default();
            sources.extend(texts.into_iter().map(|from| source(Role::Text, from, labels.clone())));
            text_size = options.integer("text_size", 4..=1000, report);
            round = options.integer("round", 0..=17, report);
        }
        Kind::Keypoints => {
            sources.extend(options.string("scores", report).map(|from| source(Role::Scores, from, None)));
            threshold = options.number("threshold", report);
            lines = options.take_as("lines", report, pairs);
        }
        Kind::Masks => {
            alpha = options.take_as("alpha", report, |value| match number(value) {
                Ok(alpha) if (0.0..=1.0).contains(&alpha) => Ok(alpha),
                _ => Err(Expected::new("a number from 0 to 1")),
            });
            threshold = options.number("threshold", report);
        }
    }
    sources.extend(class.map(|from| source(Role::Class, from, labels)));
    let readable = sources.first().is_some_and(|(role, _)| *role == Role::From);
    readable.then(|| {
        let options_read = Options {
            kind,
            roles: sources.iter().map(|(role, _)| *role).collect(),
            palette: palette.map(|p| p.value),
            line: line.map(|line| line.value as u32),
            text_size: text_size.map(|size| size.value as u32),
            round: round.map_or(2, |round| round.value as usize),
            alpha: alpha.map_or(0.5, |alpha| alpha.value as f32),
            threshold: threshold.map_or(0.5, |threshold| threshold.value as f32),
            lines: lines.map(|lines| lines.value).unwrap_or_default(),
        };
        Box::new(FoundDraft { what: options.what().to_owned(), sources, on, options: options_read })
            as Box<dyn Draft>
    })
}

/// `text = "text"`, or several that are written one after another.
fn texts(value: &At<Value>) -> Result<Vec<At<String>>, Expected> {
    let wanted = || {
        Expected::new("a source or an array of sources")
            .help("as in `text = [\"plate.class\", \"plate.score\"]`")
    };
    let one = |value: &At<Value>| match &value.value {
        Value::String(from) => Ok(value.with(from.clone())),
        _ => Err(wanted()),
    };
    match &value.value {
        Value::Array(items) => items.iter().map(one).collect(),
        _ => one(value).map(|from| vec![from]),
    }
}

/// `lines = [[0, 1], [1, 2]]`
fn pairs(value: &At<Value>) -> Result<Vec<(usize, usize)>, Expected> {
    let wanted = || Expected::new("an array of pairs of points").help("as in `lines = [[0, 1], [1, 2]]`");
    let number = |value: &At<Value>| match value.value {
        Value::Integer(n) => usize::try_from(n).map_err(|_| wanted()),
        _ => Err(wanted()),
    };
    let pair = |value: &At<Value>| match &value.value {
        Value::Array(ends) => match ends.as_slice() {
            [a, b] => Ok((number(a)?, number(b)?)),
            _ => Err(wanted()),
        },
        _ => Err(wanted()),
    };
    match &value.value {
        Value::Array(items) => items.iter().map(pair).collect(),
        _ => Err(wanted()),
    }
}

impl Draft for FoundDraft {
    fn sources(&self) -> Vec<SourceRef> {
        self.sources.iter().map(|(_, source)| source.clone()).collect()
    }

    fn on(&self) -> Option<At<String>> {
        self.on.clone()
    }

    fn takes_lists(&self) -> bool {
        true
    }

    fn bind(self: Box<Self>, bound: &[Option<Bound>], report: &mut Report) -> Option<Arc<dyn Encode>> {
        let before = report.errors();
        let first = bound.first()?.as_ref();
        for (role, bound) in self.options.roles.iter().zip(bound) {
            let Some(bound) = bound else { continue };
            self.check_type(*role, bound, report);
            if let Some(first) = first.filter(|first| first.presence.each != bound.presence.each) {
                self.check_lists(first, bound, report);
            }
        }
        let complete = bound.iter().all(Option::is_some) && report.errors() == before;
        complete.then(|| Arc::new(FoundEncode(self.options)) as Arc<dyn Encode>)
    }
}

impl FoundDraft {
    fn check_type(&self, role: Role, bound: &Bound, report: &mut Report) {
        let lengths = bound.ty.dims.as_deref();
        let is = |lengths: Option<&[Option<usize>]>, wanted: &[Option<usize>]| {
            lengths.is_none_or(|lengths| {
                lengths.len() == wanted.len()
                    && lengths.iter().zip(wanted).all(|(a, b)| a.zip(*b).is_none_or(|(a, b)| a == b))
            })
        };
        let of_one = lengths.is_none_or(|lengths| lengths.iter().all(|n| n.is_none_or(|n| n == 1)));
        let numbers = bound.ty.dtype.is_none_or(|dtype| dtype.is_number());
        let (fits, wanted) = match (role, self.options.kind) {
            (Role::From, Kind::Boxes) => (numbers && is(lengths, &[Some(4)]), "boxes, [4] each"),
            (Role::From, Kind::Keypoints) => {
                (numbers && is(lengths, &[None, Some(2)]), "points, [K, 2] each")
            }
            (Role::From, Kind::Masks) => (numbers && is(lengths, &[None, None]), "masks, [H, W] each"),
            (Role::Scores, _) => (numbers && is(lengths, &[None]), "scores, [K] each"),
            (Role::Text, _) => (of_one, "texts, or numbers by themselves"),
            (Role::Class, _) => (
                of_one && bound.ty.dtype.is_none_or(crate::codec::classes::holds_classes),
                "classes by themselves",
            ),
        };
        if bound.presence.is_list || !fits {
            let is = if bound.presence.is_list { "a list".to_owned() } else { bound.ty.to_string() };
            let title = match role {
                Role::From => {
                    format!("`as = \"{}\"` in {} draws {wanted}", self.options.kind.name(), self.what)
                }
                Role::Text => format!("`text` in {} takes {wanted}", self.what),
                Role::Class => format!("`class` in {} takes {wanted}", self.what),
                Role::Scores => format!("`scores` in {} takes {wanted}", self.what),
            };
            let mut d =
                Diagnostic::error(title).at(&bound.from.place, format!("`{}` is {is}", bound.from.value));
            if let Some(note) = &bound.note {
                d = d.note(note.clone());
            }
            if role == Role::From {
                d = d.help(match self.options.kind {
                    Kind::Boxes => "a step with `op = \"boxes\"` gives them: `from = \"plate.box\"`",
                    Kind::Keypoints => {
                        "a step with `op = \"keypoints\"` gives them: `from = \"joints.points\"`"
                    }
                    Kind::Masks => "a step with `op = \"masks\"` gives them: `from = \"piece.mask\"`",
                });
            }
            report.push(d);
        }
    }

    /// Reports a source that is there for other elements than what is drawn.
    fn check_lists(&self, first: &Bound, bound: &Bound, report: &mut Report) {
        let times = |bound: &Bound| match bound.presence.each.last() {
            Some(list) => format!("there once for each `{list}`"),
            None => "there once".to_owned(),
        };
        report.push(
            Diagnostic::error(format!(
                "`{}` is {}, and `{}` is {}",
                bound.from.value,
                times(bound),
                first.from.value,
                times(first)
            ))
            .at(&bound.from.place, "")
            .at(&first.from.place, "")
            .help("what is written beside a thing belongs to an element of the same list"),
        );
    }
}

/// One thing to draw, with a value for each source.
struct Thing<'a> {
    from: &'a Tensor,
    others: Vec<(Role, Option<&'a Tensor>, Option<&'a Labels>)>,
}

impl Encode for FoundEncode {
    fn about(&self) -> Format {
        super::PNG
    }

    fn options(&self) -> serde_json::Value {
        options::canonical(&self.0)
    }

    fn encode(&self, inputs: &[Input], origin: Option<&Origin>) -> Result<Vec<u8>, EncodeError> {
        let options = &self.0;
        let unforeseen = |what: &str| EncodeError::Unforeseen(what.to_owned());
        let origin = origin.ok_or_else(|| unforeseen("the picture to draw on is missing"))?;
        let mut rgb = origin.rgb.to_vec();
        let mut canvas = Canvas::new(&mut rgb, (origin.width, origin.height))
            .ok_or_else(|| unforeseen("the picture to draw on is not of its size"))?;
        let (things, frame) = (options.things(inputs), Frame::from(origin));
        let automatic = Style::on(canvas.size());
        let style = Style {
            line: options.line.unwrap_or(automatic.line),
            text: options.text_size.map_or(automatic.text, |size| size as f32),
        };
        match options.kind {
            Kind::Boxes => boxes(&mut canvas, &options.labelled(&things, &frame)?, style),
            Kind::Keypoints => options.points(&mut canvas, &things, &frame, style)?,
            Kind::Masks => options.masks(&mut canvas, &things, &frame)?,
        }
        write(&rgb, origin.width, origin.height, png::ColorType::Rgb, None)
    }
}

impl Options {
    /// What is to be drawn, with what belongs to it.
    fn things<'a>(&self, inputs: &'a [Input]) -> Vec<Thing<'a>> {
        let Some((from, others)) = inputs.split_first() else { return vec![] };
        let others: Vec<_> = self.roles[1..]
            .iter()
            .zip(others)
            .map(|(role, input)| (*role, flat(&input.given), input.labels.as_ref()))
            .collect();
        let thing = |(at, from): (usize, Option<&'a Tensor>)| {
            let of = |(role, all, labels): &(Role, Vec<Option<&'a Tensor>>, Option<&'a Labels>)| {
                (*role, all.get(at).copied().flatten(), *labels)
            };
            Some(Thing { from: from?, others: others.iter().map(of).collect() })
        };
        flat(&from.given).into_iter().enumerate().filter_map(thing).collect()
    }

    /// The colour of a thing: that of its class, or of its place where it has none. `None` is not drawn.
    fn shade(&self, thing: &Thing<'_>, place: usize) -> Shade {
        let class = thing.others.iter().find(|(role, ..)| *role == Role::Class);
        let class = match class {
            Some((_, class, _)) => class.and_then(|class| class.to_f64().first().copied())? as usize,
            None if self.kind == Kind::Boxes => 0,
            None => place,
        };
        palette::shade(self.palette.as_deref(), class)
    }

    fn labelled(&self, things: &[Thing<'_>], frame: &Frame) -> Result<Vec<Labelled>, EncodeError> {
        let mut all = vec![];
        for (place, thing) in things.iter().enumerate() {
            let corners: [f64; 4] = thing.from.to_f64().try_into().map_err(|_| {
                EncodeError::Unforeseen(format!("{:?} is no box, which has 4 numbers", thing.from))
            })?;
            let Some(color) = self.shade(thing, place) else { continue };
            let bounds = frame.bounds(Bounds::new(corners), Space::Sent, Space::Upright);
            let texts = thing.others.iter().filter(|(role, ..)| *role == Role::Text);
            let texts = texts.filter_map(|(_, text, labels)| Some(self.text((*text)?, *labels)));
            all.push(Labelled { bounds, text: texts.collect::<Vec<_>>().join(" "), color });
        }
        Ok(all)
    }

    /// A text, the label of a class, or a number.
    fn text(&self, tensor: &Tensor, labels: Option<&Labels>) -> String {
        if let Some(texts) = tensor.strings() {
            return texts.first().map(ToString::to_string).unwrap_or_default();
        }
        let Some(number) = tensor.to_f64().first().copied() else { return String::new() };
        let label = labels.filter(|_| number >= 0.0).and_then(|labels| labels.get(number as usize));
        match (label, tensor.dtype()) {
            (Some(label), _) => label.clone(),
            (None, DType::Bool) => (number != 0.0).to_string(),
            (None, dtype) if dtype.is_float() => format!("{number:.*}", self.round),
            (None, _) => format!("{number:.0}"),
        }
    }

    fn points(
        &self,
        canvas: &mut Canvas<'_>,
        things: &[Thing<'_>],
        frame: &Frame,
        style: Style,
    ) -> Result<(), EncodeError> {
        for (place, thing) in things.iter().enumerate().rev() {
            let numbers = thing.from.to_f64();
            let (points, rest) = numbers.as_chunks::<2>();
            if !rest.is_empty() {
                return Err(EncodeError::Unforeseen(format!("{:?} has no points of 2 numbers", thing.from)));
            }
            let Some(color) = self.shade(thing, place) else { continue };
            let scores = thing.others.iter().find(|(role, ..)| *role == Role::Scores);
            let scores = scores.and_then(|(_, scores, _)| scores.map(Tensor::to_f64));
            let seen = |at: usize| {
                let score = scores.as_ref().map(|scores| scores.get(at).copied().unwrap_or(0.0));
                let point = points.get(at).filter(|_| score.is_none_or(|s| s > f64::from(self.threshold)))?;
                Some(frame.point(*point, Space::Sent, Space::Upright))
            };
            let thickness = f64::from(style.line);
            for (a, b) in &self.lines {
                if let (Some(a), Some(b)) = (seen(*a), seen(*b)) {
                    canvas.line(a, b, thickness, color);
                }
            }
            for point in (0..points.len()).filter_map(seen) {
                canvas.disc(point, thickness * 1.5 + 0.5, color);
            }
        }
        Ok(())
    }

    fn masks(&self, canvas: &mut Canvas<'_>, things: &[Thing<'_>], frame: &Frame) -> Result<(), EncodeError> {
        for (place, thing) in things.iter().enumerate().rev() {
            let &[height, width] = thing.from.shape() else {
                return Err(EncodeError::Unforeseen(format!("{:?} is no mask, [H, W]", thing.from)));
            };
            let Some(color) = self.shade(thing, place) else { continue };
            let mask: Vec<f32> = thing.from.to_f64().into_iter().map(|value| value as f32).collect();
            tint(canvas, &mask, (width, height), frame, (color, self.alpha, self.threshold));
        }
        Ok(())
    }
}

/// The values of all elements, lists within lists one after another.
fn flat(given: &Given) -> Vec<Option<&Tensor>> {
    match given {
        Given::Absent => vec![None],
        Given::One(tensor) => vec![Some(tensor)],
        Given::Length(_) => vec![],
        Given::Each(elements) => elements.iter().flat_map(flat).collect(),
    }
}
