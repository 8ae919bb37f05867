//! `op = "boxes"`: what a detector found, the best first, as a list of boxes in pixels of the picture that was sent.

use super::options;
use super::view::frame;
use crate::diagnostic::{At, Diagnostic, Report, Span, nearest};
use crate::picture::detect::layout::{Corners, Form, Layout, Outputs};
use crate::picture::detect::{Choice, find};
use crate::plan::{
    Bound, BoundOperation, Input, Made, Operand, Operation, OperationDraft, OperationError, Origin,
    OutputType, TensorType,
};
use crate::spec::document::{Expected, Reader, Value};
use crate::tensor::{DType, Tensor};
use serde::Serialize;
use std::sync::Arc;

/// What an operand is to the layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
enum Role {
    /// The only output of forms that have one, or the boxes.
    Boxes,
    Scores,
    Classes,
    Count,
    Rest,
    View,
}

#[derive(Debug)]
struct Draft {
    what: String,
    operands: Vec<Operand>,
    on: Option<At<String>>,
    /// The layout, where it is named.
    layout: Option<Span>,
    only: Option<At<Vec<Wanted>>>,
    /// `None` where the options leave open how the outputs are read.
    boxes: Option<Boxes>,
}

#[derive(Clone, Debug, Serialize)]
struct Boxes {
    roles: Vec<Role>,
    layout: Layout,
    choice: Choice,
    /// The classes that count, by number or by label.
    only: Option<Vec<Wanted>>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Wanted {
    Number(u32),
    Label(String),
}

/// A layout by its name, with how its corners are written and whether its sides count as 1.
type Named = (Form, Corners, bool);

const LAYOUTS: &[(&str, Named)] = &[
    ("yolov5", (Form::YoloV5, Corners::Cxcywh, false)),
    ("yolov8", (Form::YoloV8, Corners::Cxcywh, false)),
    ("end-to-end", (Form::EndToEnd, Corners::Xyxy, false)),
    ("ssd", (Form::Named, Corners::Yxyx, true)),
    ("detr", (Form::Detr, Corners::Cxcywh, true)),
];

const CORNERS: &[(&str, Corners)] =
    &[("xyxy", Corners::Xyxy), ("cxcywh", Corners::Cxcywh), ("xywh", Corners::Xywh), ("yxyx", Corners::Yxyx)];

pub fn read(options: &mut Reader<'_>, report: &mut Report) -> Option<Box<dyn OperationDraft>> {
    let named = options.choice("layout", LAYOUTS, report);
    let unknown = options.has("layout") && named.is_none();
    let (form, corners, normalised) =
        named.as_ref().map_or((Form::Named, Corners::Xyxy, false), |layout| layout.value);
    let one = !matches!(form, Form::Named | Form::Detr);
    // A source by a string, the classes that count by an array.
    let filters = options.take("classes").is_some_and(|classes| matches!(classes.value, Value::Array(_)));
    let only = options.take_as(if filters { "classes" } else { "only" }, report, wanted);
    let mut sources = vec![];
    for (key, role) in [
        ("from", Role::Boxes),
        ("boxes", Role::Boxes),
        ("scores", Role::Scores),
        ("classes", Role::Classes),
        ("count", Role::Count),
        ("view", Role::View),
    ] {
        if key == "classes" && filters {
            continue;
        }
        sources.extend(options::source(key, options, report).map(|source| (role, source)));
    }
    let (rest, rest_source) = read_rest(one, options, report);
    sources.extend(rest_source.map(|source| (Role::Rest, source)));
    let before = report.errors();
    if !unknown {
        check_sources(&sources, one, form, options, report);
        let numbered = form == Form::EndToEnd || sources.iter().any(|(role, _)| *role == Role::Classes);
        of_no_use(
            "transposed",
            form == Form::YoloV8,
            "`layout = \"yolov8\"` alone has two forms",
            options,
            report,
        );
        of_no_use(
            "first_class",
            numbered,
            "classes that have scores each are counted from 0",
            options,
            report,
        );
    }
    let complete = !unknown && report.errors() == before;
    let labels = options.string("labels", report);
    let on = options::on(options, report);
    let layout = Layout {
        form,
        corners: options.choice("corners", CORNERS, report).map_or(corners, |c| c.value),
        normalised: options.bool("normalised", report).map_or(normalised, |n| n.value),
        classes: None,
        rest: Some(rest),
        transposed: options.bool("transposed", report).map(|t| t.value),
        background: class_number("background", options, report),
        first_class: class_number("first_class", options, report).unwrap_or(0),
    };
    let choice = Choice {
        threshold: options::share("threshold", (0.0, 1.0), options, report).map_or(0.25, |t| t.value as f32),
        iou: options::share("iou", (0.0, 1.0), options, report).map(|iou| iou.value),
        agnostic: read_agnostic(options, report),
        top: options::top(options, report),
        min_size: options::share("min_size", (0.0, 16_384.0), options, report).map_or(0.0, |s| s.value),
        classes: None,
    };
    // The labels are those beside the model of the first source.
    sources.sort_by_key(|(role, _)| *role != Role::Boxes);
    if let (Some((_, first)), Some(labels)) = (sources.first_mut(), labels) {
        first.file = Some(labels);
    }
    let (roles, operands): (Vec<Role>, Vec<Operand>) = sources.into_iter().unzip();
    let readable = complete && roles.first() == Some(&Role::Boxes);
    let boxes = Boxes { roles, layout, choice, only: only.as_ref().map(|only| only.value.clone()) };
    Some(Box::new(Draft {
        what: options.what().to_owned(),
        operands,
        on,
        layout: named.map(|layout| layout.place),
        only,
        boxes: readable.then_some(boxes),
    }))
}

/// The classes that count: `["plate", "car"]` or `[0, 2]`.
fn wanted(value: &At<Value>) -> Result<Vec<Wanted>, Expected> {
    let wanted = || Expected::new("an array of labels or of classes").help("as in `classes = [\"plate\"]`");
    let Value::Array(items) = &value.value else { return Err(wanted()) };
    let one = |item: &At<Value>| match &item.value {
        Value::String(label) => Ok(Wanted::Label(label.clone())),
        Value::Integer(class) => u32::try_from(*class).map(Wanted::Number).map_err(|_| wanted()),
        _ => Err(wanted()),
    };
    if items.is_empty() { Err(wanted()) } else { items.iter().map(one).collect() }
}

/// `rest = 32`, how many numbers at the end of a row are no scores; or, beside named outputs, `rest = "found.masks"`.
fn read_rest(one: bool, options: &mut Reader<'_>, report: &mut Report) -> (usize, Option<Operand>) {
    if one {
        let count = options.integer("rest", 0..=1_000_000, report);
        return (count.map_or(0, |count| count.value as usize), None);
    }
    (0, options::source("rest", options, report))
}

/// Reports an option that the layout does not read.
fn of_no_use(key: &'static str, used: bool, why: &str, options: &mut Reader<'_>, report: &mut Report) {
    if let (Some(value), false) = (options.take(key), used) {
        report.push(
            Diagnostic::error(format!("`{key}` in {} has no effect with this layout", options.what()))
                .at(&value.place, "")
                .note(why),
        );
    }
}

fn class_number(key: &'static str, options: &mut Reader<'_>, report: &mut Report) -> Option<u32> {
    options.integer(key, 0..=1_000_000, report).map(|class| class.value as u32)
}

fn read_agnostic(options: &mut Reader<'_>, report: &mut Report) -> bool {
    let agnostic = options.bool("agnostic", report);
    if let (Some(agnostic), false) = (&agnostic, options.has("iou")) {
        report.push(
            Diagnostic::error(format!("`agnostic` in {} has no effect without `iou`", options.what()))
                .at(&agnostic.place, "")
                .help("`iou = 0.5` has boxes suppress each other that share half of what they cover"),
        );
    }
    agnostic.is_some_and(|agnostic| agnostic.value)
}

/// Reports sources that the layout does not read, and those that it lacks.
fn check_sources(
    sources: &[(Role, Operand)],
    one: bool,
    form: Form,
    options: &mut Reader<'_>,
    report: &mut Report,
) {
    let mut odd = |(_, source): &(Role, Operand), help: &str| {
        report.push(
            Diagnostic::error(format!("`{}` in {} is not read by this layout", source.name, options.what()))
                .at(&source.from.place, "")
                .help(help),
        );
    };
    if one {
        let help = "it reads one output: `from = \"found.output0\"`";
        sources.iter().filter(|(role, s)| s.name != "from" && *role != Role::View).for_each(|s| odd(s, help));
        return options.require("from", help);
    }
    let scores = if form == Form::Detr { "found.pred_logits" } else { "found.scores" };
    let help = format!("it reads `boxes = \"found.boxes\"` and `scores = \"{scores}\"`");
    let unread = |(role, s): &&(Role, Operand)| {
        s.name == "from" || form == Form::Detr && matches!(role, Role::Classes | Role::Count)
    };
    sources.iter().filter(unread).for_each(|s| odd(s, &help));
    let layouts = LAYOUTS.iter().map(|(name, _)| format!("\"{name}\"")).collect::<Vec<_>>().join(", ");
    let other = format!("{help}; detectors with one output have a `layout`: {layouts}");
    options.require("boxes", other);
    options.require("scores", help);
}

impl OperationDraft for Draft {
    fn operands(&self) -> Vec<Operand> {
        self.operands.clone()
    }

    fn on(&self) -> Option<At<String>> {
        self.on.clone()
    }

    fn turns_back(&self) -> bool {
        true
    }

    fn outputs(&self) -> &'static [&'static str] {
        &["box", "score", "class", "rest"]
    }

    fn makes_list(&self) -> Option<usize> {
        Some(self.boxes.as_ref().map_or(100, |boxes| boxes.choice.top))
    }

    fn bind(&self, bound: &[Option<Bound>], report: &mut Report) -> Option<BoundOperation> {
        let mut boxes = self.boxes.clone()?;
        let before = report.errors();
        for (role, bound) in boxes.roles.iter().zip(bound) {
            let Some(bound) = bound else { continue };
            if *role == Role::View {
                options::holds(bound, 6, "view", report);
            } else if bound.ty.dtype.is_some_and(|dtype| !dtype.is_number()) {
                let d = Diagnostic::error(format!("`{}` has no numbers", bound.from.value));
                report.push(d.at(&bound.from.place, format!("this is {}", bound.ty)));
            }
        }
        let first = bound.first()?.as_ref()?;
        boxes.layout.classes = first.labels.as_ref().map(|(_, count)| *count);
        self.check_labels(first, report);
        let of = |role: Role| bound.get(boxes.roles.iter().position(|r| *r == role)?)?.as_ref();
        let rest = match boxes.layout.form {
            Form::Named | Form::Detr => {
                self.check_named(&boxes, first, of(Role::Scores), of(Role::Classes), report)
            }
            _ => self.check_one(&boxes.layout, first, report),
        };
        let rest = match of(Role::Rest) {
            Some(bound) => TensorType {
                dims: bound.ty.dims.as_ref().map(|dims| dims[dims.len().min(1)..].to_vec()),
                ..bound.ty.clone()
            },
            None => TensorType { dtype: Some(DType::F32), dims: Some(vec![rest]) },
        };
        // An operand that does not resolve was reported.
        if bound.iter().any(Option::is_none) || report.errors() > before {
            return None;
        }
        let ty = |dtype: DType, dims: Vec<Option<usize>>| TensorType { dtype: Some(dtype), dims: Some(dims) };
        let outputs = vec![
            ty(DType::F32, vec![Some(4)]).into(),
            ty(DType::F32, vec![]).into(),
            OutputType { ty: ty(DType::I64, vec![]), labels: first.labels.is_some().then_some(0) },
            rest.into(),
        ];
        Some(BoundOperation { operation: Arc::new(boxes), outputs })
    }
}

impl Draft {
    /// Reports classes that count and that the detector does not have.
    fn check_labels(&self, first: &Bound, report: &mut Report) {
        let Some(only) = &self.only else { return };
        let count = first.labels.as_ref().map(|(_, count)| *count);
        for wanted in &only.value {
            let d = match (wanted, &first.lines) {
                (Wanted::Label(label), None) if count.is_none() => {
                    Diagnostic::error(format!("there are no labels of which one could be `{label}`"))
                        .at(&only.place, "")
                        .help("`labels = \"labels.txt\"` names the file beside the model; or say the class by its number")
                }
                (Wanted::Label(label), Some(lines)) if !lines.contains(label) => {
                    let d = Diagnostic::error(format!("no class is called `{label}`")).at(&only.place, "");
                    match nearest(label, lines.iter().map(String::as_str)) {
                        Some(near) => d.help(format!("did you mean `{near}`?")),
                        None => d,
                    }
                }
                (Wanted::Number(class), _) if count.is_some_and(|count| *class as usize >= count) => {
                    Diagnostic::error(format!("there is no class {class}"))
                        .at(&only.place, format!("there are {}, from 0 on", count.unwrap_or_default()))
                }
                _ => continue,
            };
            report.push(d);
        }
    }

    /// Reports a single output that the layout does not read; gives how many numbers of a row are no scores.
    fn check_one(&self, layout: &Layout, first: &Bound, report: &mut Report) -> Option<usize> {
        let dims = first.ty.dims.as_ref()?;
        let mismatch = match layout.shape(dims) {
            Ok(shape) => return shape.rest,
            Err(mismatch) => mismatch,
        };
        let from = &first.from;
        let mut d = Diagnostic::error(format!("{} does not read `{}`: {mismatch}", self.what, from.value))
            .at(&from.place, format!("`{}` is {}", from.value, first.ty));
        if let Some(place) = &self.layout {
            d = d.at(place, "");
        }
        if let Some((file, count)) = &first.labels {
            d = d.at(&file.place, format!("{count} labels"));
        }
        let open = Layout { rest: None, ..layout.clone() };
        if let Ok(Some(over)) = open.shape(dims).map(|shape| shape.rest)
            && over > 0
        {
            d = d.help(format!(
                "where the last {over} numbers of a row are no scores (coefficients of masks, points), say \
                 `rest = {over}`"
            ));
        }
        report.push(options::with_note(d, first));
        None
    }

    /// Reports outputs by name that do not fit each other.
    fn check_named(
        &self,
        boxes: &Boxes,
        first: &Bound,
        scores: Option<&Bound>,
        classes: Option<&Bound>,
        report: &mut Report,
    ) -> Option<usize> {
        let last = |bound: &Bound| *bound.ty.dims.as_ref()?.last()?;
        if last(first).is_some_and(|n| n != 4) || first.ty.dims.as_ref().is_some_and(Vec::is_empty) {
            let d =
                Diagnostic::error(format!("`{}` has no boxes, which have four numbers", first.from.value));
            report.push(options::with_note(d.at(&first.from.place, format!("this is {}", first.ty)), first));
        }
        let (Some(scores), Some((file, count))) = (scores, &first.labels) else { return Some(0) };
        let each = match boxes.layout.form {
            Form::Detr => last(scores).map(|n| n.saturating_sub(1)),
            _ if classes.is_none() && scores.ty.dims.as_ref().is_some_and(|dims| dims.len() > 1) => {
                last(scores)
            }
            _ => None,
        };
        if let Some(each) = each.filter(|each| each != count) {
            let d = Diagnostic::error(format!("{count} labels for {each} classes in {}", self.what))
                .at(&file.place, format!("{count} labels"))
                .at(&scores.from.place, scores.ty.to_string());
            report.push(options::with_note(d, scores));
        }
        Some(0)
    }
}

impl Operation for Boxes {
    fn name(&self) -> &'static str {
        "boxes"
    }

    fn options(&self) -> serde_json::Value {
        serde_json::json!(self)
    }

    fn run(&self, inputs: &[Input], picture: Option<&Origin>) -> Result<Made, OperationError> {
        let unforeseen = |what: String| OperationError::Unforeseen(what);
        let given = |role: Role| inputs.get(self.roles.iter().position(|r| *r == role)?)?.given.one();
        let outputs = Outputs {
            boxes: given(Role::Boxes).ok_or_else(|| unforeseen("boxes take a detector's output".into()))?,
            scores: given(Role::Scores),
            classes: given(Role::Classes),
            count: given(Role::Count),
            rest: given(Role::Rest),
        };
        let frame = frame(picture, given(Role::View))?;
        let labels = inputs.first().and_then(|input| input.labels.as_deref());
        let choice = Choice { classes: self.classes(labels.unwrap_or_default()), ..self.choice.clone() };
        let mut layout = self.layout.clone();
        // The version that serves may know other classes than the one that was planned with.
        layout.classes = labels.map(<[String]>::len).or(layout.classes);
        let found = find(outputs, &layout, &choice, &frame)
            .map_err(|error| OperationError::Input(error.to_string()))?;
        let mut made: [Vec<Tensor>; 4] = std::array::from_fn(|_| Vec::with_capacity(found.len()));
        for found in &found {
            let corners = found.bounds.corners().map(|edge| edge as f32).to_vec();
            let tensors = Tensor::from_vec(vec![4], corners).and_then(|corners| {
                let score = Tensor::from_vec(vec![], vec![found.score])?;
                Ok([corners, score, Tensor::from_vec(vec![], vec![i64::from(found.class)])?])
            });
            let tensors = tensors.map_err(|error| unforeseen(error.to_string()))?;
            made.iter_mut()
                .zip(tensors.into_iter().chain([found.rest.clone()]))
                .for_each(|(all, one)| all.push(one));
        }
        Ok(Made::List { length: found.len(), outputs: made.into() })
    }
}

impl Boxes {
    /// The numbers of the classes that count.
    fn classes(&self, labels: &[String]) -> Option<Vec<u32>> {
        let number = |wanted: &Wanted| match wanted {
            Wanted::Number(class) => Some(*class),
            Wanted::Label(label) => {
                labels.iter().position(|known| known == label).and_then(|at| u32::try_from(at).ok())
            }
        };
        Some(self.only.as_ref()?.iter().filter_map(number).collect())
    }
}
