//! A detector's outputs to boxes in pixels of the picture that was sent. Pure.
//!
//! - `layout`: what a box is in each form of output; `rows` reads them.
//! - `suppress`: of boxes that lie on each other, the best.
//! - `mask`, `points`: what else a row says of the thing in its box.
//!
//! What is no finite number never counts: neither a score nor an edge of a box.

pub mod layout;
pub mod mask;
pub mod points;
mod rows;
mod suppress;
#[cfg(test)]
mod tests;

use super::frame::{Bounds, Frame, Space};
use crate::tensor::Tensor;
use layout::{Candidate, Layout, Outputs};
use rows::Rows;

/// Which boxes are taken.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Choice {
    /// A score must be above this.
    pub threshold: f32,
    /// Of two boxes whose shared area is more than this share of what they cover together, the better stays. `None`
    /// keeps all.
    pub iou: Option<f64>,
    /// Whether boxes of different classes suppress each other.
    pub agnostic: bool,
    /// The number of boxes that are kept, the best first.
    pub top: usize,
    /// The least width and height, in pixels of the picture that was sent.
    pub min_size: f64,
    /// The classes that count; all where it is `None`.
    pub classes: Option<Vec<u32>>,
}

/// The most boxes that are compared with each other; where more are over the threshold, the best of them.
pub const MOST_CANDIDATES: usize = 30_000;

/// One thing that was found in a picture.
#[derive(Clone, Debug)]
pub struct Found {
    /// In pixels of the picture that was sent, and within it.
    pub bounds: Bounds,
    pub score: f32,
    pub class: u32,
    /// What else its row held: coefficients of a mask, points.
    pub rest: Tensor,
}

/// The outputs are not of the form that the layout says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Mismatch(pub String);

/// Finds boxes in what a detector gave for the tensor that `frame` describes, the best first.
pub fn find(
    outputs: Outputs<'_>,
    layout: &Layout,
    choice: &Choice,
    frame: &Frame,
) -> Result<Vec<Found>, Mismatch> {
    let size = frame.size(Space::Sent);
    let place = |candidate: &Candidate| {
        let input = Bounds::new(candidate.corners.map(f64::from));
        frame.bounds(input, Space::Input, Space::Sent).clipped(size)
    };
    let large_enough = |bounds: Bounds| {
        let (width, height) = (bounds.width(), bounds.height());
        width > 0.0 && height > 0.0 && width >= choice.min_size && height >= choice.min_size
    };
    let mut best = Best::default();
    let rows = Rows::new(layout, outputs)?;
    rows.candidates(frame.input, &mut |candidate| {
        let counts = candidate.score > choice.threshold
            && candidate.score.is_finite()
            && choice.classes.as_ref().is_none_or(|classes| classes.contains(&candidate.class));
        if counts
            && candidate.corners.iter().all(|edge| edge.is_finite())
            // Corners that are the wrong way round are no box; a turn would make one of them.
            && candidate.corners[0] < candidate.corners[2]
            && candidate.corners[1] < candidate.corners[3]
            && large_enough(place(&candidate))
        {
            best.push(candidate);
        }
    })?;
    let kept = suppress::suppress(best.sorted(), choice.iou, choice.agnostic, choice.top);
    kept.into_iter()
        .map(|candidate| {
            let rest = rows.rest(candidate.row)?;
            Ok(Found { bounds: place(&candidate), score: candidate.score, class: candidate.class, rest })
        })
        .collect()
}

/// The best candidates of any number, in bounded memory.
#[derive(Default)]
struct Best(Vec<Candidate>);

impl Best {
    fn push(&mut self, candidate: Candidate) {
        self.0.push(candidate);
        if self.0.len() >= 2 * MOST_CANDIDATES {
            self.cut();
        }
    }

    fn cut(&mut self) {
        if self.0.len() > MOST_CANDIDATES {
            self.0.select_nth_unstable_by(MOST_CANDIDATES, Candidate::better);
            self.0.truncate(MOST_CANDIDATES);
        }
    }

    /// Best first; of equal scores, the one that comes first in the output.
    fn sorted(mut self) -> Vec<Candidate> {
        self.cut();
        self.0.sort_unstable_by(Candidate::better);
        self.0
    }
}
