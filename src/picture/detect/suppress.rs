//! Non-maximum suppression, as torchvision's `nms` and `batched_nms` do it: in float32, a box that shares more than
//! `iou` of what both cover with a better one that stays is dropped. Pure.

use super::layout::Candidate;

/// Keeps at most `top` of candidates that come best first. Without `iou` none suppresses another.
pub fn suppress(sorted: Vec<Candidate>, iou: Option<f64>, agnostic: bool, top: usize) -> Vec<Candidate> {
    let Some(limit) = iou else {
        return sorted.into_iter().take(top).collect();
    };
    let mut kept: Vec<Candidate> = vec![];
    for candidate in sorted {
        if kept.len() >= top {
            break;
        }
        let meets = |other: &Candidate| agnostic || other.class == candidate.class;
        if !kept.iter().any(|other| meets(other) && f64::from(shared(other, &candidate)) > limit) {
            kept.push(candidate);
        }
    }
    kept
}

/// The area that two boxes share, as a share of what they cover together. What overflows is no number, which is above
/// no limit.
fn shared(a: &Candidate, b: &Candidate) -> f32 {
    let ([ax0, ay0, ax1, ay1], [bx0, by0, bx1, by1]) = (a.corners, b.corners);
    let area = |[x0, y0, x1, y1]: [f32; 4]| (x1 - x0) * (y1 - y0);
    let width = (ax1.min(bx1) - ax0.max(bx0)).max(0.0);
    let height = (ay1.min(by1) - ay0.max(by0)).max(0.0);
    let both = width * height;
    both / (area(a.corners) + area(b.corners) - both)
}
