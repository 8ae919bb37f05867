//! NonMaxSuppression: of boxes that overlap, the one with the best score.

use crate::engine::backend::Kernels;
use crate::engine::host;
use crate::engine::kernels::overlap::{Rectangle, Rectangles};
use crate::engine::ops::{BoxOp, Context, Inputs, OpError, Site, one};
use crate::engine::value::Value;
use crate::tensor::DType;

/// Boxes `[batch, boxes, 4]` and scores `[batch, classes, boxes]` give rows of batch, class and box.
pub fn build<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let centred = site.node.attributes.flag("center_point_box")?;
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        let boxes = inputs.take(0)?.into_host()?;
        let scores = inputs.take(1)?.into_host()?;
        let mut number = |i| -> Result<_, OpError> {
            inputs.optional(i).map(|v| Ok(host::only(&v.into_host()?)?)).transpose()
        };
        let most = usize::try_from(number(2)?.map_or(0, |n| n.as_i64()).max(0)).unwrap_or(usize::MAX);
        let overlap = number(3)?.map_or(0.0, |n| n.as_f64() as f32);
        let least = number(4)?.map(|n| n.as_f64() as f32);
        let ([batch, count, 4], [batches, classes, per_class]) = (boxes.shape(), scores.shape()) else {
            return Err(format!("boxes {boxes:?} and scores {scores:?} do not go together").into());
        };
        if batch != batches || count != per_class {
            return Err(format!("boxes {boxes:?} and scores {scores:?} do not go together").into());
        }
        let (count, classes) = (*count, *classes);
        cx.work::<[f64; 2]>(boxes.len())?;
        cx.work::<[f64; 2]>(scores.len())?;
        cx.work::<[usize; 3]>(count)?;
        let scope = cx.run.scope();
        let corners: Vec<Rectangle> = boxes.to_f64().chunks(4).map(|b| rectangle(b, centred)).collect();
        let scores: Vec<f32> = scores.to_f64().into_iter().map(|v| v as f32).collect();
        let mut found: Vec<i64> = Vec::new();
        for image in 0..*batch {
            for class in 0..classes {
                let scores = &scores[(image * classes + class) * count..][..count];
                let kept = keep(&corners[image * count..][..count], scores, most, overlap, least, cx)?;
                scope.reset();
                cx.work::<i64>(found.len().saturating_add(3 * kept.len()).saturating_mul(2))?;
                found.extend(kept.into_iter().flat_map(|b| [image as i64, class as i64, b as i64]));
            }
        }
        let dims = vec![found.len() / 3, 3];
        cx.check(DType::I64, &dims)?;
        one(Value::Host(host::tensor(DType::I64, dims, found)?))
    }))
}

/// A rectangle from two opposite corners in any order, or from the centre, width and height.
fn rectangle(given: &[f64], centred: bool) -> Rectangle {
    let v = [given[0], given[1], given[2], given[3]].map(|v| v as f32);
    let (a, b) = if centred {
        ([v[0] - v[2] / 2.0, v[1] - v[3] / 2.0], [v[0] + v[2] / 2.0, v[1] + v[3] / 2.0])
    } else {
        ([v[0], v[1]], [v[2], v[3]])
    };
    Rectangle { low: [a[0].min(b[0]), a[1].min(b[1])], high: [a[0].max(b[0]), a[1].max(b[1])] }
}

/// The best boxes first.
fn keep<B: Kernels>(
    boxes: &[Rectangle],
    scores: &[f32],
    most: usize,
    overlap: f32,
    least: Option<f32>,
    cx: &Context<B>,
) -> Result<Vec<usize>, OpError> {
    let mut order: Vec<usize> =
        (0..boxes.len()).filter(|i| least.is_none_or(|least| scores[*i] > least)).collect();
    order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]).then(a.cmp(b)));
    let (mut kept, mut taken) = (Vec::new(), Rectangles::default());
    for i in order {
        cx.run.go_on()?;
        if kept.len() >= most {
            break;
        }
        if !taken.overlap(boxes[i], overlap) {
            taken.push(boxes[i]);
            kept.push(i);
        }
    }
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn_flex::{Flex, FlexDevice};

    #[test]
    fn the_best_of_those_that_overlap_is_kept() {
        let boxes = [[0., 0., 1., 1.], [1., 1., 0., 0.1], [0., 10., 1., 11.], [5., 5., 5., 5.]];
        let boxes = boxes.map(|b: [f64; 4]| rectangle(&b, false));
        let scores = [0.9, 0.75, 0.6, f32::NAN];
        let cx = Context::<Flex>::alone(FlexDevice, 1 << 20);
        let keep = |boxes: &[Rectangle], scores: &[f32], most, overlap, least| {
            keep(boxes, scores, most, overlap, least, &cx).unwrap()
        };
        assert_eq!(keep(&boxes, &scores, 9, 0.5, Some(0.0)), [0, 2]);
        assert_eq!(keep(&boxes, &scores, 1, 0.5, Some(0.0)), [0]);
        assert_eq!(keep(&boxes, &scores, 9, 0.95, Some(0.7)), [0, 1]);
        assert!(keep(&boxes, &scores, 0, 0.5, None).is_empty());
    }
}
