//! A compiled plan as a picture: for a terminal, as Mermaid, as DOT, as SVG. Pure.

mod dot;
mod layers;
mod mermaid;
mod svg;
mod text;

pub use dot::dot;
pub use mermaid::mermaid;
pub use svg::svg;
pub use text::text;

use super::{DecodeId, Does, Entry, InputPlan, Model, Pipeline, Plan, Reads, Side, SlotId, Step, Writer};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Decode,
    Step,
    Encode,
}

/// One pipeline as boxes and arrows. The steps of both entry points are the same and are drawn once.
struct Drawing<'a> {
    pipeline: &'a Pipeline,
    boxes: Vec<DrawnBox>,
    arrows: Vec<Arrow>,
}

#[derive(Debug)]
struct DrawnBox {
    kind: Kind,
    name: String,
    /// "image", "road-mask@2, 0.7 of cpu", "json".
    detail: String,
    /// The entry point that a decode or an encode is of, where it is not of both.
    entry: Option<Side>,
    /// What it takes, by name: of a step the model's inputs, of an encode its sources.
    inputs: Vec<String>,
    /// What it gives: name (empty where there is one only, named as the box) and type.
    outputs: Vec<(String, String)>,
}

/// An arrow from an output of a box to an input of another.
#[derive(Debug, PartialEq)]
struct Arrow {
    from: (usize, usize),
    to: (usize, usize),
    /// An encode draws on the picture itself, not on the tensor.
    carries: Carries,
}

/// What goes along an arrow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Carries {
    Values,
    /// The picture itself, and not the tensor that was made of it.
    Picture,
    /// What a condition compares.
    Condition,
    /// A list by itself.
    List,
}

impl Carries {
    /// What is written at the arrow in the place of a type.
    fn word(self) -> Option<&'static str> {
        match self {
            Self::Values => None,
            Self::Picture => Some("picture"),
            Self::Condition => Some("when"),
            Self::List => Some("list"),
        }
    }

    /// Whether it is no value that is worked with.
    fn is_aside(self) -> bool {
        matches!(self, Self::Picture | Self::Condition)
    }
}

/// Names come from model files, and may hold what a terminal obeys.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

impl Arrow {
    fn label<'b>(&self, boxes: &'b [DrawnBox]) -> &'b str {
        boxes[self.from.0].outputs.get(self.from.1).map_or("", |(_, ty)| ty)
    }
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Decode => "decode",
            Self::Step => "step",
            Self::Encode => "encode",
        }
    }
}

impl<'a> Drawing<'a> {
    fn new(plan: &Plan, pipeline: &'a Pipeline) -> Self {
        let mut drawing = Self { pipeline, boxes: vec![], arrows: vec![] };
        for side in Side::BOTH {
            drawing.decodes(side, pipeline.entry(side), pipeline.entry(side.other()));
        }
        for side in Side::BOTH {
            drawing.steps(plan, side, pipeline.entry(side));
        }
        for side in Side::BOTH {
            drawing.encodes(side, pipeline.entry(side), pipeline.entry(side.other()));
        }
        drawing
    }

    fn decodes(&mut self, side: Side, entry: &Entry, other: &Entry) {
        for decode in &entry.decodes {
            let shared = other.decodes.iter().any(|d| d.is_as(decode));
            if shared && self.find(Kind::Decode, &decode.name, None).is_some() {
                continue;
            }
            self.boxes.push(DrawnBox {
                kind: Kind::Decode,
                name: decode.name.clone(),
                detail: decode.decode.format().to_owned(),
                entry: (!shared).then_some(side),
                inputs: vec![],
                outputs: vec![(String::new(), decode.decode.produces().to_string())],
            });
        }
    }

    fn steps(&mut self, plan: &Plan, side: Side, entry: &Entry) {
        for step in &entry.steps {
            if self.find(Kind::Step, &step.name, None).is_some() {
                continue;
            }
            let one = step.outputs.len() == 1;
            let is_operation = step.model().is_none();
            // The first output of an operation is meant by the step's name alone.
            let short = |name: &str| (one && name == step.name) || (is_operation && name == "value");
            let name = |name: &str| if short(name) { String::new() } else { clean(name) };
            let beside = beside(step).into_iter().map(|(carries, _)| match carries {
                Carries::Condition => "when".to_owned(),
                _ => "on".to_owned(),
            });
            self.boxes.push(DrawnBox {
                kind: Kind::Step,
                name: step.name.clone(),
                detail: self.detail(plan, entry, step),
                entry: None,
                inputs: values(step).map(|input| clean(&input.name)).chain(beside).collect(),
                outputs: step.outputs.iter().map(|o| (name(&o.name), o.ty.to_string())).collect(),
            });
        }
        for step in &entry.steps {
            let Some(to) = self.find(Kind::Step, &step.name, None) else { continue };
            for (at, input) in values(step).enumerate() {
                self.arrow(side, entry, input.slot, (to, at), Carries::Values);
            }
            for (at, (carries, slot)) in beside(step).into_iter().enumerate() {
                self.arrow(side, entry, slot, (to, values(step).count() + at), carries);
            }
        }
    }

    /// What a step does and on which terms: "road-mask@2, 0.7 of cpu", "crop, for each plate, when sure < 0.85".
    fn detail(&self, plan: &Plan, entry: &Entry, step: &Step) -> String {
        let mut parts = match &step.does {
            Does::Call(calls) => {
                let model = &plan.models[self.pipeline.models[calls.model]];
                vec![versions(model), share(model)]
            }
            Does::Operation { operation, .. } => {
                let files = step.inputs.iter().filter(|input| input.reads == Reads::Beside);
                let files = files.filter_map(|input| Some(clean(&input.labels.as_ref()?.1)));
                std::iter::once(operation.name().to_owned()).chain(files).collect()
            }
        };
        parts.extend(step.each.map(|list| format!("for each {}", entry.lists[list].name)));
        parts.extend(step.when.as_ref().map(|guard| format!("when {}", guard.condition)));
        parts.extend(step.within.map(|within| format!("within {within:?}")));
        parts.join(", ")
    }

    fn encodes(&mut self, side: Side, entry: &Entry, other: &Entry) {
        for encode in &entry.encodes {
            let of = entry.described(encode);
            let shared = other.encodes.iter().any(|e| e.name == encode.name && other.described(e) == of);
            let found = self.find(Kind::Encode, &encode.name, None).filter(|_| shared);
            let to = found.unwrap_or(self.boxes.len());
            let mut inputs: Vec<String> =
                encode.sources.iter().map(|s| source(entry, s.slot, self)).collect();
            if let Some(origin) = encode.origin {
                inputs.push(format!("on {}", source(entry, SlotId::of_decode(origin), self)));
            }
            let size =
                |decode: &DecodeId| format!("size of {}", source(entry, SlotId::of_decode(*decode), self));
            inputs.extend(encode.sizes.iter().map(size));
            if found.is_none() {
                self.boxes.push(DrawnBox {
                    kind: Kind::Encode,
                    name: encode.name.clone(),
                    detail: encode.encode.format().to_owned(),
                    entry: (!shared).then_some(side),
                    inputs,
                    outputs: vec![],
                });
            }
            for (input, source) in encode.sources.iter().enumerate() {
                self.arrow(side, entry, source.slot, (to, input), Carries::Values);
            }
            for (at, decode) in encode.origin.iter().chain(&encode.sizes).enumerate() {
                let to = (to, encode.sources.len() + at);
                self.arrow(side, entry, SlotId::of_decode(*decode), to, Carries::Picture);
            }
        }
    }

    /// The box of that name which is of both entry points, or of that side alone.
    fn find(&self, kind: Kind, name: &str, side: Option<Side>) -> Option<usize> {
        self.boxes
            .iter()
            .position(|b| b.kind == kind && b.name == name && (b.entry.is_none() || b.entry == side))
    }

    fn arrow(&mut self, side: Side, entry: &Entry, slot: SlotId, to: (usize, usize), carries: Carries) {
        let from = match entry.writer(slot) {
            Some(Writer::Decode(decode)) => {
                self.find(Kind::Decode, &entry.decodes[decode].name, Some(side)).map(|b| (b, 0))
            }
            Some(Writer::Step(step, output)) => {
                self.find(Kind::Step, &entry.steps[step].name, None).map(|b| (b, output))
            }
            Some(Writer::List(step)) => self.find(Kind::Step, &entry.steps[step].name, None).map(|b| (b, 0)),
            None => None,
        };
        if let Some(from) = from {
            let carries = match (entry.writer(slot), carries) {
                (Some(Writer::List(_)), Carries::Values) => Carries::List,
                (_, carries) => carries,
            };
            let arrow = Arrow { from, to, carries };
            if !self.arrows.contains(&arrow) {
                self.arrows.push(arrow);
            }
        }
    }
}

/// The inputs that are values; arrays beside a model are none.
fn values(step: &Step) -> impl Iterator<Item = &InputPlan> {
    step.inputs.iter().filter(|input| input.reads != Reads::Beside)
}

/// What a step reads beside its inputs: the picture of an operation, and the sources of its condition.
fn beside(step: &Step) -> Vec<(Carries, SlotId)> {
    let picture = match step.does {
        Does::Operation { on: Some(decode), .. } => Some((Carries::Picture, SlotId::of_decode(decode))),
        _ => None,
    };
    let sources = step.when.iter().flat_map(|guard| &guard.sources);
    picture.into_iter().chain(sources.map(|source| (Carries::Condition, source.slot))).collect()
}

/// A slot as it is written in the language: "photo", "mask", "surface.probabilities".
fn source(entry: &Entry, slot: SlotId, drawing: &Drawing<'_>) -> String {
    match entry.writer(slot) {
        None => String::new(),
        Some(Writer::Decode(decode)) => entry.decodes[decode].name.clone(),
        Some(Writer::List(step)) => entry.steps[step].name.clone(),
        Some(Writer::Step(step, output)) => {
            let name = &entry.steps[step].name;
            let outputs = drawing.find(Kind::Step, name, None).map(|b| &drawing.boxes[b].outputs);
            match outputs.and_then(|o| o.get(output)) {
                Some((output, _)) if !output.is_empty() => format!("{name}.{output}"),
                _ => name.clone(),
            }
        }
    }
}

/// "road-mask@2", "road-mask@1+2".
fn versions(model: &Model) -> String {
    let versions: Vec<String> = model.versions.iter().map(u64::to_string).collect();
    format!("{}@{}", model.name, versions.join("+"))
}

/// "0.7 of cpu", or where no share is held "idle time of cpu".
fn share(model: &Model) -> String {
    let on: Vec<String> = model
        .distinct_devices()
        .into_iter()
        .map(|device| {
            let replicas = model.devices.iter().filter(|d| **d == device).count();
            if replicas > 1 { format!("{device} x{replicas}") } else { device.to_string() }
        })
        .collect();
    let on = on.join(", ");
    if model.share > 0.0 { format!("{} of {on}", model.share) } else { format!("idle time of {on}") }
}
