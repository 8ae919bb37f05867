//! Boxes against what PyTorch and torchvision decode (tests/fixtures/detect/make.py), and outputs made to break them.

use super::layout::{Corners, Form, Layout, Outputs};
use super::*;
use crate::picture::resample::{Buffers, Filter};
use crate::picture::resize::{Fit, Pixels, Target, resize};
use crate::picture::turn::upright;
use crate::plan::Region;
use image::metadata::Orientation;
use serde_json::Value;
use std::path::PathBuf;

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/detect").join(name)).unwrap()
}

fn pair(value: &Value) -> (u32, u32) {
    (value[0].as_u64().unwrap() as u32, value[1].as_u64().unwrap() as u32)
}

/// How a picture of this case lies under the tensor, found by preparing one.
fn frame(case: &Value) -> Frame {
    let (sent, input) = (pair(&case["sent"]), pair(&case["size"]));
    let orientation = Orientation::from_exif(case["exif"].as_u64().unwrap() as u8).unwrap();
    let mut rgb = vec![];
    let size = upright(&vec![0; (sent.0 * sent.1 * 3) as usize], sent.0, sent.1, orientation, &mut rgb);
    let fit = match case["fit"].as_str().unwrap() {
        "stretch" => Fit::Stretch,
        "cover" => Fit::Cover,
        _ => Fit::Contain,
    };
    let pixels = Pixels { bytes: &rgb, width: size.0, height: size.1, channels: 3 };
    let to = Target { size: input, fit, filter: Filter::Nearest, pad: [0; 3] };
    let region = resize(pixels, &to, &mut Buffers::default(), &mut vec![], &mut vec![]);
    Frame { orientation, upright: size, region, input }
}

fn layout(of: &Value) -> Layout {
    let form = match of["form"].as_str().unwrap() {
        "yolo-v5" => Form::YoloV5,
        "yolo-v8" => Form::YoloV8,
        "end-to-end" => Form::EndToEnd,
        "detr" => Form::Detr,
        _ => Form::Named,
    };
    let mut layout = Layout::new(form);
    match of["corners"].as_str() {
        Some("yxyx") => layout.corners = Corners::Yxyx,
        Some("cxcywh") => layout.corners = Corners::Cxcywh,
        Some("xywh") => layout.corners = Corners::Xywh,
        _ => {}
    }
    layout.normalised |= of["normalised"] == true;
    layout.classes = of["classes"].as_u64().map(|n| n as usize);
    layout.background = of["background"].as_u64().map(|n| n as u32);
    layout.first_class = of["first_class"].as_u64().unwrap_or(0) as u32;
    layout
}

fn choice(of: &Value) -> Choice {
    let classes = of["classes"].as_array();
    Choice {
        threshold: of["threshold"].as_f64().unwrap() as f32,
        iou: of["iou"].as_f64(),
        agnostic: of["agnostic"] == true,
        top: of["top"].as_u64().unwrap() as usize,
        min_size: of["min_size"].as_f64().unwrap_or(0.0),
        classes: classes.map(|all| all.iter().map(|c| c.as_u64().unwrap() as u32).collect()),
    }
}

fn floats(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

fn check(case: &Value, all: &[f32]) -> Result<(), String> {
    let tensor = |name: &str| {
        let of = case["outputs"].get(name)?;
        let shape: Vec<usize> = floats(&of["shape"]).into_iter().map(|n| n as usize).collect();
        let (at, count) = (of["at"].as_u64().unwrap() as usize, shape.iter().product::<usize>());
        Some(Tensor::from_vec(shape, all[at..at + count].to_vec()).unwrap())
    };
    let names = ["boxes", "scores", "classes", "count", "rest"];
    let [boxes, scores, classes, count, rest] = names.map(tensor);
    let outputs = Outputs {
        boxes: boxes.as_ref().unwrap(),
        scores: scores.as_ref(),
        classes: classes.as_ref(),
        count: count.as_ref(),
        rest: rest.as_ref(),
    };
    let found = find(outputs, &layout(&case["layout"]), &choice(&case["options"]), &frame(case))
        .map_err(|error| error.to_string())?;
    let wanted = &case["found"];
    let boxes = wanted["boxes"].as_array().unwrap();
    if found.len() != boxes.len() {
        return Err(format!("{} boxes, not {}", found.len(), boxes.len()));
    }
    for (index, (found, bounds)) in found.iter().zip(boxes).enumerate() {
        let near = |a: f64, b: f64, by: f64| (a - b).abs() <= by;
        let apart = |a: &[f64], b: &[f64], by: f64| {
            a.len() != b.len() || a.iter().zip(b).any(|(a, b)| !near(*a, *b, by))
        };
        let (class, score) = (&wanted["classes"][index], wanted["scores"][index].as_f64().unwrap());
        if *class != found.class || !near(found.score.into(), score, 2e-6) {
            return Err(format!(
                "box {index}: class {} with {}, not {class} with {score}",
                found.class, found.score
            ));
        }
        if apart(&found.bounds.corners(), &floats(bounds), 0.01) {
            return Err(format!("box {index}: {:?}, not {bounds}", found.bounds));
        }
        if apart(&found.rest.to_f64(), &floats(&wanted["rest"][index]), 1e-4) {
            return Err(format!("box {index}: {:?}, not {}", found.rest.to_f64(), wanted["rest"][index]));
        }
    }
    Ok(())
}

#[test]
fn boxes_are_those_of_pytorch() {
    let cases: Vec<Value> = serde_json::from_slice(&fixture("cases.json")).unwrap();
    let all: Vec<f32> = bytemuck::pod_collect_to_vec(&fixture("outputs.bin"));
    let wrong: Vec<String> = cases
        .iter()
        .filter_map(|case| check(case, &all).err().map(|error| format!("{}: {error}", case["name"])))
        .collect();
    assert!(cases.len() > 70);
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

fn whole(width: u32, height: u32) -> Frame {
    let region = Region { left: 0.0, top: 0.0, width: width.into(), height: height.into() };
    Frame { orientation: Orientation::NoTransforms, upright: (width, height), region, input: (width, height) }
}

fn take_all() -> Choice {
    Choice { threshold: 0.0, iou: Some(0.5), agnostic: false, top: 100, min_size: 0.0, classes: None }
}

fn one(boxes: &Tensor) -> Outputs<'_> {
    Outputs { boxes, scores: None, classes: None, count: None, rest: None }
}

#[test]
fn what_is_no_number_never_wins() {
    let odd = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, -0.0];
    let mut rows = vec![];
    for value in odd {
        for place in 0..6 {
            let mut row = [1.0, 1.0, 5.0, 5.0, 0.9, 0.0];
            row[place] = value;
            rows.extend(row);
        }
    }
    rows.extend([2.0, 2.0, 3.0, 3.0, 0.5, 1.0]);
    let count = rows.len() / 6;
    let tensor = Tensor::from_vec(vec![count, 6], rows).unwrap();
    let choice = Choice { iou: None, ..take_all() };
    let found = find(one(&tensor), &Layout::new(Form::EndToEnd), &choice, &whole(10, 10)).unwrap();
    for found in &found {
        assert!(found.bounds.is_finite() && found.score.is_finite(), "{found:?}");
        assert!(found.bounds.corners().iter().all(|edge| (0.0..=10.0).contains(edge)), "{found:?}");
    }
    assert_eq!(found.last().map(|f| f.class), Some(1));
    // Each class score of a row in turn; the others still count.
    let rows = vec![5.0, 5.0, 2.0, 2.0, f32::NAN, 0.4, f32::NAN];
    let tensor = Tensor::from_vec(vec![7, 1], rows).unwrap();
    let found = find(one(&tensor), &Layout::new(Form::YoloV8), &take_all(), &whole(10, 10)).unwrap();
    assert_eq!((found.len(), found[0].class, found[0].score), (1, 1, 0.4));
}

#[test]
fn work_is_bounded_and_the_best_are_kept() {
    let count = 3 * MOST_CANDIDATES;
    let rows: Vec<f32> = (0..count)
        .flat_map(|n| [n as f32, 0.0, n as f32 + 1.0, 1.0, (n + 1) as f32 / (count + 1) as f32, 0.0])
        .collect();
    let tensor = Tensor::from_vec(vec![count, 6], rows).unwrap();
    let frame = whole(count as u32, 1);
    let choice = Choice { top: usize::MAX, ..take_all() };
    let found =
        find(one(&tensor), &Layout::new(Form::EndToEnd), &Choice { iou: None, ..choice.clone() }, &frame);
    let found = found.unwrap();
    assert_eq!(found.len(), MOST_CANDIDATES);
    assert_eq!(found[0].bounds.x0, (count - 1) as f64);
    let found =
        find(one(&tensor), &Layout::new(Form::EndToEnd), &Choice { top: 7, ..choice }, &frame).unwrap();
    assert_eq!(found.len(), 7);
}

#[test]
fn outputs_of_another_form_are_refused() {
    let tensor =
        |shape: &[usize]| Tensor::from_vec(shape.to_vec(), vec![0f32; shape.iter().product()]).unwrap();
    let refuse = |form: Form, boxes: &[usize], scores: Option<&[usize]>, classes: Option<&[usize]>| {
        let (boxes, scores, classes) = (tensor(boxes), scores.map(&tensor), classes.map(&tensor));
        let outputs = Outputs { scores: scores.as_ref(), classes: classes.as_ref(), ..one(&boxes) };
        let layout = Layout { classes: Some(3), ..Layout::new(form) };
        match find(outputs, &layout, &take_all(), &whole(10, 10)) {
            Ok(found) => format!("{} boxes", found.len()),
            Err(Mismatch(error)) => error,
        }
    };
    let told = [
        refuse(Form::YoloV5, &[4, 7], None, None),
        refuse(Form::YoloV5, &[2, 4, 8], None, None),
        refuse(Form::YoloV5, &[0, 8], None, None),
        refuse(Form::YoloV8, &[6, 6], None, None),
        refuse(Form::YoloV8, &[20, 9], None, None),
        refuse(Form::YoloV8, &[7, 0], None, None),
        refuse(Form::EndToEnd, &[9, 5], None, None),
        refuse(Form::Named, &[9, 4], None, None),
        refuse(Form::Named, &[9, 5], Some(&[9]), None),
        refuse(Form::Named, &[9, 4], Some(&[8]), None),
        refuse(Form::Named, &[9, 4], Some(&[9]), Some(&[8])),
        refuse(Form::Named, &[0, 4], Some(&[0]), Some(&[0])),
        refuse(Form::Named, &[0, 4], Some(&[0, 3]), None),
        refuse(Form::Detr, &[9, 4], Some(&[9, 0]), None),
    ];
    insta::assert_snapshot!(told.join("\n"));
}
