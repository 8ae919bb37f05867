//! `op = "ctc"`: the text that a reader saw, of its scores for each step of time, by the best path: the best class of each
//! step, repetitions taken together, blanks left out. Pure.
//!
//! The score of the text is the mean of the probabilities of its characters, each at the first of its steps, as
//! PaddleOCR has it; 0 where there are none.

use super::Misfit;
use super::argmax::greatest;
use super::draft::refused;
use super::element::floats;
use super::shape::{a_float, axis, one};
use super::softmax::softmax;
use crate::diagnostic::Report;
use crate::plan::{
    Bound, BoundOperation, Given, Input, Made, Operand, Operation, OperationDraft, OperationError, Origin,
    Reads, TensorType,
};
use crate::spec::document::Reader;
use crate::steps::options::from;
use crate::tensor::{DType, Tensor};
use serde::Serialize;
use std::sync::Arc;

pub fn read(options: &mut Reader<'_>, report: &mut Report) -> Option<Box<dyn OperationDraft>> {
    let mut from = from(options, Reads::One, report);
    options.require(
        "alphabet",
        "name a file beside the model, a character a line: `alphabet = \"alphabet.txt\"`",
    );
    let alphabet = options.string("alphabet", report);
    from.iter_mut().for_each(|from| from.file.clone_from(&alphabet));
    let ctc = Ctc::read(options, report).filter(|_| alphabet.is_some());
    Some(Box::new(Draft { what: options.what().to_owned(), from, ctc }))
}

#[derive(Debug)]
struct Draft {
    what: String,
    from: Option<Operand>,
    /// `None` where its options have errors.
    ctc: Option<Ctc>,
}

impl OperationDraft for Draft {
    fn operands(&self) -> Vec<Operand> {
        self.from.iter().cloned().collect()
    }

    fn outputs(&self) -> &'static [&'static str] {
        &["text", "score"]
    }

    fn bind(&self, bound: &[Option<Bound>], report: &mut Report) -> Option<BoundOperation> {
        let (ctc, bound) = (self.ctc?, bound.first()?.as_ref()?);
        // A file that is not there was reported.
        let (_, lines) = bound.labels.as_ref()?;
        match ctc.infer(std::slice::from_ref(&bound.ty), *lines) {
            Ok(types) => {
                let outputs = types.into_iter().map(Into::into).collect();
                Some(BoundOperation { operation: Arc::new(ctc), outputs })
            }
            Err(misfit) => {
                report.push(refused("ctc", &self.what, misfit, &[bound]));
                None
            }
        }
    }
}

impl Operation for Ctc {
    fn name(&self) -> &'static str {
        "ctc"
    }

    fn options(&self) -> serde_json::Value {
        serde_json::to_value(self).unwrap_or_default()
    }

    /// The scores as float64.
    fn working_memory(&self, inputs: &[Input]) -> u64 {
        (self.weight(inputs) as u64).saturating_mul(5)
    }

    fn run(&self, inputs: &[Input], _: Option<&Origin>) -> Result<Made, OperationError> {
        let Some(Input { given: Given::One(scores), labels: Some(alphabet) }) = inputs.first() else {
            return Err(OperationError::Unforeseen("ctc takes scores and an alphabet".into()));
        };
        let Decoded { text, score } = self.decode(scores, alphabet).map_err(OperationError::Input)?;
        let made = Tensor::from_strings(vec![], vec![text.into()])
            .and_then(|text| Ok(vec![text, Tensor::from_vec(vec![], vec![score as f32])?]));
        made.map(Made::Values).map_err(|error| OperationError::Unforeseen(error.to_string()))
    }
}

#[derive(Clone, Copy, Debug, Serialize)]
pub struct Ctc {
    /// The class that stands for nothing; a negative one counts from the end.
    pub blank: i64,
    pub scores: Scores,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Scores {
    /// Any scores, and logarithms of probabilities: a softmax makes probabilities of them.
    Logits,
    Probabilities,
}

/// A text that was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoded {
    pub text: String,
    pub score: f64,
}

impl Ctc {
    pub fn read(reader: &mut Reader<'_>, report: &mut Report) -> Option<Self> {
        let blank = reader.integer("blank", i64::from(i32::MIN)..=i64::from(i32::MAX), report);
        let kinds = [("logits", Scores::Logits), ("probabilities", Scores::Probabilities)];
        let scores = reader.choice("scores", &kinds, report);
        Some(Self {
            blank: blank.map_or(0, |blank| blank.value),
            scores: scores.map_or(Scores::Logits, |scores| scores.value),
        })
    }

    /// The types of text and score, for an alphabet of so many lines.
    pub fn infer(&self, inputs: &[TensorType], alphabet: usize) -> Result<Vec<TensorType>, Misfit> {
        let ty = one(inputs)?;
        a_float(ty)?;
        if let Some(dims) = &ty.dims {
            let [_, classes] = dims.as_slice() else {
                return Err(Misfit::new("it reads scores of `[steps, classes]`"));
            };
            if let Some(classes) = classes {
                self.characters(*classes, alphabet)?;
            }
        }
        let one = |dtype| TensorType { dtype: Some(dtype), dims: Some(vec![]) };
        Ok(vec![one(DType::String), one(DType::F32)])
    }

    /// The blank, and whether the alphabet has a line for it.
    fn characters(&self, classes: usize, alphabet: usize) -> Result<(usize, bool), String> {
        let blank = axis(self.blank, classes)
            .map_err(|_| format!("there is no class {} for `blank`: there are {classes}", self.blank))?;
        match alphabet {
            lines if lines == classes => Ok((blank, true)),
            lines if lines + 1 == classes => Ok((blank, false)),
            lines => Err(format!(
                "the alphabet has {lines} lines for {classes} classes: it has one for each, with or without the blank"
            )),
        }
    }

    /// REQUIRES nothing.
    pub fn decode(&self, tensor: &Tensor, alphabet: &[String]) -> Result<Decoded, String> {
        let [_, classes] = *tensor.shape() else {
            return Err(format!("it reads scores of `[steps, classes]`, and this is {tensor:?}"));
        };
        let (blank, with_blank) = self.characters(classes, alphabet.len())?;
        let mut values = floats(tensor)?;
        let (mut text, mut sum, mut count) = (String::new(), 0.0, 0u32);
        let mut before = blank;
        for step in values.chunks_exact_mut(classes.max(1)) {
            let best = greatest(step.iter().copied());
            if best != before && best != blank {
                if self.scores == Scores::Logits {
                    softmax(step, 0..classes);
                }
                let line = best - usize::from(!with_blank && best > blank);
                text.push_str(alphabet.get(line).map_or("", String::as_str));
                sum += step[best];
                count += 1;
            }
            before = best;
        }
        Ok(Decoded { text, score: if count == 0 { 0.0 } else { sum / f64::from(count) } })
    }
}
