//! The forms in which detectors give their boxes. Pure.
//!
//! Axes of length 1 before those that a form has are passed over: the batch of a model that takes one picture.

use super::Mismatch;
use crate::tensor::Tensor;
use serde::Serialize;
use std::cmp::Ordering;

/// What the four numbers of a box are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Corners {
    /// Left, top, right, bottom.
    Xyxy,
    /// The centre, then width and height.
    Cxcywh,
    /// Left, top, width, height.
    Xywh,
    /// Top, left, bottom, right.
    Yxyx,
}

impl Corners {
    /// Left, top, right and bottom.
    pub(super) fn read(self, [a, b, c, d]: [f32; 4]) -> [f32; 4] {
        match self {
            Self::Xyxy => [a, b, c, d],
            Self::Cxcywh => [a - c / 2.0, b - d / 2.0, a + c / 2.0, b + d / 2.0],
            Self::Xywh => [a, b, a + c, b + d],
            Self::Yxyx => [b, a, d, c],
        }
    }
}

/// Where boxes, scores and classes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// `[N, 5 + C]`: box, how sure there is anything, a score for each class.
    YoloV5,
    /// `[4 + C, N]`, or the same transposed: box, a score for each class.
    YoloV8,
    /// `[N, 6]`: box, score, class.
    EndToEnd,
    /// `boxes` `[N, 4]` and `scores` `[N, C + 1]` before softmax, whose last is for nothing.
    Detr,
    /// `boxes` `[N, 4]`; `scores` `[N]` with `classes` `[N]`, or `[N, C]`.
    Named,
}

/// How a detector's outputs are read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Layout {
    pub form: Form,
    pub corners: Corners,
    /// Whether the sides of the input count as 1.
    pub normalised: bool,
    /// How many classes there are, where that is known.
    pub classes: Option<usize>,
    /// How many numbers at the end of a row are no scores, where that is known.
    pub rest: Option<usize>,
    /// Whether `yolov8` is `[N, 4 + C]`; where it is `None`, the number of classes tells.
    pub transposed: Option<bool>,
    /// The class that stands for nothing.
    pub background: Option<u32>,
    /// The number that the first class has in the output.
    pub first_class: u32,
}

/// What a detector gave for one picture. Forms of one output have it in `boxes`.
#[derive(Clone, Copy, Debug)]
pub struct Outputs<'a> {
    pub boxes: &'a Tensor,
    pub scores: Option<&'a Tensor>,
    pub classes: Option<&'a Tensor>,
    /// How many rows there are; the others are filled up.
    pub count: Option<&'a Tensor>,
    /// A row of it belongs to each box.
    pub rest: Option<&'a Tensor>,
}

/// A box before it is chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    /// Left, top, right, bottom, in pixels of the input.
    pub corners: [f32; 4],
    pub score: f32,
    pub class: u32,
    /// Where it is in the output.
    pub row: usize,
}

impl Candidate {
    /// The order of candidates: the best first, and of equal scores the one that comes first.
    pub fn better(a: &Self, b: &Self) -> Ordering {
        b.score.total_cmp(&a.score).then(a.row.cmp(&b.row))
    }
}

/// The numbers of rows, and how each is divided. `None` is not known yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    pub rows: Option<usize>,
    pub classes: Option<usize>,
    pub rest: Option<usize>,
    /// Whether the numbers of one row lie one after another.
    pub(super) by_row: bool,
}

impl Layout {
    /// A layout in its usual form.
    pub fn new(form: Form) -> Self {
        let corners = match form {
            Form::YoloV5 | Form::YoloV8 | Form::Detr => Corners::Cxcywh,
            Form::EndToEnd | Form::Named => Corners::Xyxy,
        };
        Self {
            form,
            corners,
            normalised: form == Form::Detr,
            classes: None,
            rest: None,
            transposed: None,
            background: None,
            first_class: 0,
        }
    }

    /// What a single output of these axes holds, as far as they are known. For forms of one output.
    pub fn shape(&self, dims: &[Option<usize>]) -> Result<Shape, Mismatch> {
        let wanted = match self.form {
            Form::YoloV5 => "[N, 5 + C]: box, objectness, a score for each class",
            Form::YoloV8 => "[4 + C, N]: box, a score for each class",
            Form::EndToEnd => "[N, 6]: box, score, class",
            Form::Detr | Form::Named => "[N, 4]",
        };
        let wrong = || Mismatch(format!("this layout takes {wanted}"));
        let &[first, second] = squeezed(dims, 2) else { return Err(wrong()) };
        match self.form {
            Form::YoloV5 => self.divided(first, second, 5, true),
            Form::YoloV8 if self.is_transposed(first, second)? => self.divided(first, second, 4, true),
            Form::YoloV8 => self.divided(second, first, 4, false),
            Form::EndToEnd => self.with_class(first, second),
            Form::Detr | Form::Named if second.is_some_and(|n| n != 4) => Err(wrong()),
            Form::Detr | Form::Named => Ok(Shape { rows: first, classes: None, rest: None, by_row: true }),
        }
    }

    /// Rows of a box, a score and a class, then the rest.
    fn with_class(&self, rows: Option<usize>, length: Option<usize>) -> Result<Shape, Mismatch> {
        let least = 6 + self.rest.unwrap_or(0);
        let fits = length.is_none_or(|length| length == least || self.rest.is_none() && length > least);
        if !fits {
            let length = length.unwrap_or(0);
            return Err(Mismatch(format!("a row has {length} numbers, where the layout takes {least}")));
        }
        Ok(Shape { rows, classes: None, rest: length.map(|length| length - 6), by_row: true })
    }

    /// Rows of `before` numbers, then scores, then the rest.
    fn divided(
        &self,
        rows: Option<usize>,
        length: Option<usize>,
        before: usize,
        by_row: bool,
    ) -> Result<Shape, Mismatch> {
        let Some(length) = length else {
            return Ok(Shape { rows, classes: self.classes, rest: self.rest, by_row });
        };
        let short = |needs: usize| {
            Mismatch(format!("a row has {length} numbers, where the layout and its classes take {needs}"))
        };
        let least = before + self.classes.unwrap_or(1) + self.rest.unwrap_or(0);
        let scores = length.checked_sub(before).ok_or_else(|| short(least))?;
        let (classes, rest) = match (self.classes, self.rest) {
            (Some(classes), None) => (classes, scores.checked_sub(classes).ok_or_else(|| short(least))?),
            (None, rest) => {
                let rest = rest.unwrap_or(0);
                (scores.checked_sub(rest).ok_or_else(|| short(least))?, rest)
            }
            (Some(classes), Some(rest)) if classes + rest == scores => (classes, rest),
            (Some(_), Some(_)) => return Err(short(least)),
        };
        if classes == 0 && self.form == Form::YoloV8 {
            return Err(short(least));
        }
        Ok(Shape { rows, classes: Some(classes), rest: Some(rest), by_row })
    }

    /// Whether the rows of `yolov8` are along the first axis.
    fn is_transposed(&self, first: Option<usize>, second: Option<usize>) -> Result<bool, Mismatch> {
        if let Some(transposed) = self.transposed {
            return Ok(transposed);
        }
        let could = |length: Option<usize>| match (length, self.classes, self.rest) {
            (None, ..) => true,
            (Some(length), Some(classes), Some(rest)) => length == 4 + classes + rest,
            (Some(length), classes, rest) => length >= 4 + classes.unwrap_or(1) + rest.unwrap_or(0),
        };
        // Where the number of classes is known and nothing else is in a row, one length alone is right.
        let exact = |length: Option<usize>| {
            self.classes.is_some_and(|classes| length == Some(4 + classes + self.rest.unwrap_or(0)))
        };
        match (could(first), could(second)) {
            (true, false) => Ok(false),
            (false, true) => Ok(true),
            _ if exact(first) != exact(second) => Ok(exact(second)),
            // As it is exported, a row of each number is far longer than there are numbers.
            _ if first.zip(second).is_none_or(|(first, second)| first <= second) => Ok(false),
            _ => Err(Mismatch(
                "which axis has the boxes cannot be told from their lengths: say `transposed = true` where it is the \
                 first, `transposed = false` where it is the last"
                    .into(),
            )),
        }
    }
}

/// The dims without the axes of length 1 that come before the last `rank`.
fn squeezed(dims: &[Option<usize>], rank: usize) -> &[Option<usize>] {
    let over = dims.len().saturating_sub(rank);
    let ones = dims.iter().take(over).all(|n| n.is_none_or(|n| n == 1));
    if ones { &dims[over..] } else { dims }
}
