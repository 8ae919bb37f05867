//! A detector's outputs read row by row. Pure.

use super::Mismatch;
use super::layout::{Candidate, Form, Layout, Outputs, Shape};
use crate::tensor::Tensor;
use std::borrow::Cow;

/// Outputs whose shapes were read.
pub struct Rows<'a> {
    layout: &'a Layout,
    outputs: Outputs<'a>,
    shape: Shape,
    boxes: Cow<'a, [f32]>,
}

/// What takes a box as it stands in the output: its four numbers, its score, its class and its row.
type Take<'t> = &'t mut dyn FnMut([f32; 4], f32, u32, usize);

impl<'a> Rows<'a> {
    /// Reads the outputs' shapes.
    pub fn new(layout: &'a Layout, outputs: Outputs<'a>) -> Result<Self, Mismatch> {
        let boxes = outputs.boxes;
        let shape = match layout.form {
            Form::Named | Form::Detr => {
                let rows = boxes_of_four(boxes.shape());
                let rows =
                    rows.ok_or_else(|| Mismatch(format!("`boxes` is {boxes:?}: this layout takes [N, 4]")))?;
                Shape { rows: Some(rows), classes: None, rest: None, by_row: true }
            }
            _ => {
                let dims: Vec<Option<usize>> = boxes.shape().iter().map(|n| Some(*n)).collect();
                layout.shape(&dims).map_err(|error| Mismatch(format!("the output is {boxes:?}: {error}")))?
            }
        };
        Ok(Self { layout, outputs, shape, boxes: numbers(boxes) })
    }

    /// Hands each box with its best class to `take`. `input` is the width and height that the model was given.
    pub fn candidates(&self, input: (u32, u32), take: &mut dyn FnMut(Candidate)) -> Result<(), Mismatch> {
        let sides = if self.layout.normalised { (input.0 as f32, input.1 as f32) } else { (1.0, 1.0) };
        let mut take = |four: [f32; 4], score: f32, class: u32, row: usize| {
            let [x0, y0, x1, y1] = self.layout.corners.read(four);
            let corners = [x0 * sides.0, y0 * sides.1, x1 * sides.0, y1 * sides.1];
            take(Candidate { corners, score, class, row });
        };
        match self.layout.form {
            Form::YoloV5 => self.objects(&mut take),
            Form::YoloV8 => self.scored(&mut take),
            Form::EndToEnd => {
                let length = 6 + self.shape.rest.unwrap_or(0);
                for (row, of) in self.boxes.chunks_exact(length).enumerate() {
                    if let Some(class) = self.layout.class(of[5].into()) {
                        take([of[0], of[1], of[2], of[3]], of[4], class, row);
                    }
                }
            }
            Form::Detr | Form::Named => self.named(&mut take)?,
        }
        Ok(())
    }

    fn objects(&self, take: Take<'_>) {
        let classes = self.shape.classes.unwrap_or(0);
        let length = 5 + classes + self.shape.rest.unwrap_or(0);
        for (row, of) in self.boxes.chunks_exact(length).enumerate() {
            let best = match classes {
                0 => Some((0, of[4])),
                _ => self.layout.best(&of[5..5 + classes]).map(|(class, score)| (class, score * of[4])),
            };
            if let Some((class, score)) = best {
                take([of[0], of[1], of[2], of[3]], score, class, row);
            }
        }
    }

    fn scored(&self, take: Take<'_>) {
        let classes = self.shape.classes.unwrap_or(0);
        let length = 4 + classes + self.shape.rest.unwrap_or(0);
        if self.shape.by_row {
            for (row, of) in self.boxes.chunks_exact(length).enumerate() {
                if let Some((class, score)) = self.layout.best(&of[4..4 + classes]) {
                    take([of[0], of[1], of[2], of[3]], score, class, row);
                }
            }
            return;
        }
        let rows = self.shape.rows.unwrap_or(0);
        if rows == 0 {
            return;
        }
        // Class after class, as they lie in memory.
        let mut best = vec![(0u32, f32::NEG_INFINITY); rows];
        let scores = self.boxes.chunks_exact(rows).skip(4).take(classes);
        for (class, scores) in
            (0u32..).zip(scores).filter(|(class, _)| self.layout.background != Some(*class))
        {
            for (best, score) in best.iter_mut().zip(scores) {
                if *score > best.1 {
                    *best = (class, *score);
                }
            }
        }
        for (row, (class, score)) in best.into_iter().enumerate() {
            let four = std::array::from_fn(|n| self.boxes[n * rows + row]);
            take(four, score, class, row);
        }
    }

    fn named(&self, take: Take<'_>) -> Result<(), Mismatch> {
        let Self { outputs, boxes, .. } = self;
        let rows = boxes.len() / 4;
        let Some(score_tensor) = outputs.scores else {
            return Err(Mismatch("there are boxes, and no scores".into()));
        };
        let scores = numbers(score_tensor);
        let per_row = scores.len().checked_div(rows).unwrap_or(1);
        if per_row == 0 || scores.len() != rows * per_row {
            return Err(Mismatch(format!("{score_tensor:?} does not hold scores for {rows} boxes")));
        }
        let classes = outputs.classes.map(Tensor::to_f64);
        if let (Some(tensor), Some(classes)) = (outputs.classes, &classes)
            && (classes.len() != rows || per_row != 1)
        {
            return Err(Mismatch(format!(
                "{rows} boxes, scores of {score_tensor:?} and classes of {tensor:?}"
            )));
        }
        // What is no number is no count: nothing is left out then.
        let count = outputs.count.and_then(|count| count.to_f64().first().copied());
        let count = count.filter(|n| *n >= 0.0).map_or(rows, |n| n as usize);
        let boxes = boxes.as_chunks::<4>().0.iter().zip(scores.chunks_exact(per_row));
        for (row, (four, scores)) in boxes.enumerate().take(count) {
            let best = match &classes {
                Some(classes) => self.layout.class(classes[row]).map(|class| (class, scores[0])),
                None if self.layout.form == Form::Detr => self.layout.likeliest(scores),
                None if per_row == 1 => Some((0, scores[0])),
                None => self.layout.best(scores),
            };
            if let Some((class, score)) = best {
                take(*four, score, class, row);
            }
        }
        Ok(())
    }

    /// What else the row of a box holds.
    pub fn rest(&self, row: usize) -> Result<Tensor, Mismatch> {
        if let Some(rest) = self.outputs.rest {
            let mut rest = rest.clone();
            // A batch of one.
            if let (Some(rows), [1, next, ..]) = (self.shape.rows, rest.shape())
                && rows != 1
                && *next == rows
                && let Some(first) = rest.row(0)
            {
                rest = first;
            }
            return rest.row(row).ok_or_else(|| Mismatch(format!("`rest` is {rest:?} and has no row {row}")));
        }
        let count = self.shape.rest.unwrap_or(0);
        let all = &self.boxes;
        let rows = self.shape.rows.unwrap_or(0);
        let length = all.len().checked_div(rows).unwrap_or(0);
        let rest: Vec<f32> = (length.saturating_sub(count)..length)
            .filter_map(|n| {
                all.get(if self.shape.by_row { row * length + n } else { n * rows + row }).copied()
            })
            .take(count)
            .collect();
        let shape = vec![rest.len()];
        Tensor::from_vec(shape, rest).map_err(|error| Mismatch(error.to_string()))
    }
}

impl Layout {
    /// A class from the number that stands for it. What is no class is `None`.
    fn class(&self, number: f64) -> Option<u32> {
        let class = number.round_ties_even() - f64::from(self.first_class);
        let is_class =
            (0.0..f64::from(u32::MAX)).contains(&class) && (number - number.round_ties_even()).abs() < 1e-3;
        is_class.then_some(class as u32).filter(|class| Some(*class) != self.background)
    }

    /// The best class and its score; the first of equal ones.
    fn best(&self, scores: &[f32]) -> Option<(u32, f32)> {
        let counted = (0u32..).zip(scores).filter(|(class, _)| Some(*class) != self.background);
        counted.fold(None, |best: Option<(u32, f32)>, (class, score)| match best {
            Some((_, before)) if *score <= before || score.is_nan() => best,
            _ if score.is_nan() => best,
            _ => Some((class, *score)),
        })
    }

    /// The best class after softmax, but for the last, which stands for nothing.
    fn likeliest(&self, logits: &[f32]) -> Option<(u32, f32)> {
        let (_, classes) = logits.split_last()?;
        let (class, best) = self.best(classes)?;
        let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let sum: f64 = logits.iter().map(|logit| f64::from(logit - highest).exp()).sum();
        Some((class, (f64::from(best - highest).exp() / sum) as f32))
    }
}

/// The elements as float32.
pub fn numbers(tensor: &Tensor) -> Cow<'_, [f32]> {
    match tensor.elements::<f32>() {
        Some(elements) => elements,
        None => tensor.to_f64().into_iter().map(|n| n as f32).collect::<Vec<f32>>().into(),
    }
}

/// How many boxes there are where the last axis has their four numbers and all but one of the others are of length 1.
fn boxes_of_four(shape: &[usize]) -> Option<usize> {
    let (last, others) = shape.split_last()?;
    let long = others.iter().filter(|n| **n != 1).count();
    (*last == 4 && long <= 1).then(|| others.iter().product())
}
