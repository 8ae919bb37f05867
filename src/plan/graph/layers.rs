//! Where boxes stand: decodes, then steps by how deep they lie, then encodes, each in a layer; in a layer
//! in an order that crosses few arrows.

use super::{Drawing, Kind};

/// What stands in a layer: a box, or an arrow on its way through to a later layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item {
    Box(usize),
    /// Index into [`Drawing::arrows`].
    Pass(usize),
}

/// The layers from left to right, each from top to bottom.
pub fn layers(drawing: &Drawing<'_>) -> Vec<Vec<Item>> {
    let depth = depths(drawing);
    let mut layers: Vec<Vec<Item>> = vec![vec![]; depth.iter().max().map_or(0, |d| d + 1)];
    for (index, depth) in depth.iter().enumerate() {
        layers[*depth].push(Item::Box(index));
    }
    for (index, arrow) in drawing.arrows.iter().enumerate() {
        for layer in &mut layers[depth[arrow.from.0] + 1..depth[arrow.to.0]] {
            layer.push(Item::Pass(index));
        }
    }
    for _ in 0..4 {
        for at in 1..layers.len() {
            sort(drawing, &mut layers, at, at - 1);
        }
        for at in (0..layers.len().saturating_sub(1)).rev() {
            sort(drawing, &mut layers, at, at + 1);
        }
    }
    layers
}

fn depths(drawing: &Drawing<'_>) -> Vec<usize> {
    let mut depth = vec![0; drawing.boxes.len()];
    // Boxes are in an order in which arrows point forwards.
    for (index, b) in drawing.boxes.iter().enumerate() {
        if b.kind != Kind::Decode {
            let before = drawing.arrows.iter().filter(|a| a.to.0 == index).map(|a| depth[a.from.0] + 1);
            depth[index] = before.max().unwrap_or(1).max(1);
        }
    }
    let last = depth.iter().max().copied().unwrap_or(0);
    for (index, b) in drawing.boxes.iter().enumerate() {
        if b.kind == Kind::Encode {
            depth[index] = last;
        }
    }
    depth
}

/// Orders layer `at` by the mean position, in layer `by`, of what each item is joined to.
fn sort(drawing: &Drawing<'_>, layers: &mut [Vec<Item>], at: usize, by: usize) {
    let beside = layers[by].clone();
    let position = |box_index: usize, arrow: usize| {
        beside.iter().position(|item| *item == Item::Box(box_index) || *item == Item::Pass(arrow))
    };
    let mean = |item: &Item, now: usize| {
        let ends: Vec<usize> = drawing
            .arrows
            .iter()
            .enumerate()
            .filter_map(|(index, arrow)| match item {
                Item::Pass(own) if *own != index => None,
                Item::Pass(_) => {
                    let end = if by < at { arrow.from.0 } else { arrow.to.0 };
                    position(end, index)
                }
                Item::Box(own) if by < at && arrow.to.0 == *own => position(arrow.from.0, index),
                Item::Box(own) if by > at && arrow.from.0 == *own => position(arrow.to.0, index),
                Item::Box(_) => None,
            })
            .collect();
        if ends.is_empty() { now as f64 } else { ends.iter().sum::<usize>() as f64 / ends.len() as f64 }
    };
    let mut keyed: Vec<(f64, Item)> =
        layers[at].iter().enumerate().map(|(now, item)| (mean(item, now), *item)).collect();
    keyed.sort_by(|a, b| a.0.total_cmp(&b.0));
    layers[at] = keyed.into_iter().map(|(_, item)| item).collect();
}
