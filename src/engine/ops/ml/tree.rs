//! TreeEnsembleClassifier and TreeEnsembleRegressor, and TreeEnsemble, which took their place in version 5.

use super::forest::{Aggregate, Forest, Mode, Node};
use super::label::{Classes, largest};
use super::transform::Transform;
use super::{Matrix, float32, floats_or_tensor, ints, like};
use crate::engine::backend::Kernels;
use crate::engine::ops::{BoxOp, Context, Inputs, OpError, Site, one};
use crate::tensor::{DType, Tensor};
use std::collections::{HashMap, HashSet};

fn size(value: i64, what: &str) -> Result<usize, String> {
    usize::try_from(value).map_err(|_| format!("{what} {value}"))
}

/// The trees of the older operators, whose leaves' weights are attributes that begin with `leaf`.
fn read<B: Kernels>(site: &Site<'_, B>, leaf: &str, targets: usize) -> Result<Forest, String> {
    let attributes = &site.node.attributes;
    let modes = attributes.find_texts("nodes_modes")?.ok_or("attribute \"nodes_modes\" is missing")?;
    let (values, double) = floats_or_tensor(site, "nodes_values")?;
    let lists = ["treeids", "nodeids", "featureids", "truenodeids", "falsenodeids"];
    let lists = lists.map(|name| ints(site, &format!("nodes_{name}")));
    let [trees, ids, features, yes, no] = lists;
    let (trees, ids, features, yes, no) = (trees?, ids?, features?, yes?, no?);
    let missing = ints(site, "nodes_missing_value_tracks_true")?;
    let count = modes.len();
    if [trees.len(), ids.len(), features.len(), yes.len(), no.len(), values.len()] != [count; 6] {
        return Err("the lists that describe its nodes differ in length".into());
    }
    let mut index = HashMap::with_capacity(count);
    for at in 0..count {
        if index.insert((trees[at], ids[at]), at).is_some() {
            return Err(format!("node {} of tree {} is there twice", ids[at], trees[at]));
        }
    }
    let mut nodes = Vec::with_capacity(count);
    let mut is_child = vec![false; count];
    for at in 0..count {
        let mode = Mode::from_name(&modes[at])?;
        let mut child = |id: i64| {
            let next = index.get(&(trees[at], id)).copied();
            let next = next.ok_or_else(|| format!("tree {} has no node {id}", trees[at]))?;
            is_child[next] = true;
            Ok::<usize, String>(next)
        };
        let (yes, no) = if mode == Mode::Leaf { (0, 0) } else { (child(yes[at])?, child(no[at])?) };
        nodes.push(Node {
            mode,
            feature: if mode == Mode::Leaf { 0 } else { size(features[at], "feature")? },
            value: values[at],
            missing_is_yes: missing.get(at).is_some_and(|m| *m != 0),
            yes,
            no,
        });
    }
    let weights = leaves(site, leaf, &index, &mut nodes)?;
    // The first node of a tree that no other leads to.
    let mut roots = Vec::new();
    let mut begun = HashMap::new();
    for at in (0..count).filter(|at| !is_child[*at]) {
        if begun.insert(trees[at], at).is_none() {
            roots.push(at);
        }
    }
    if let Some(tree) = trees.iter().find(|tree| !begun.contains_key(tree)) {
        return Err(format!("tree {tree} leads back to where it begins"));
    }
    let aggregate = attributes.choice(
        "aggregate_function",
        "SUM",
        &[
            ("SUM", Aggregate::Sum),
            ("AVERAGE", Aggregate::Average),
            ("MIN", Aggregate::Min),
            ("MAX", Aggregate::Max),
        ],
    )?;
    Forest { nodes, roots, weights, sets: Vec::new(), targets, aggregate, double }.checked()
}

/// The weights of every leaf, side by side, and each leaf's place among them.
fn leaves<B: Kernels>(
    site: &Site<'_, B>,
    leaf: &str,
    index: &HashMap<(i64, i64), usize>,
    nodes: &mut [Node],
) -> Result<Vec<(usize, f64)>, String> {
    let list = |name: &str| ints(site, &format!("{leaf}_{name}"));
    let (trees, ids, targets) = (list("treeids")?, list("nodeids")?, list("ids")?);
    let (weights, _) = floats_or_tensor(site, &format!("{leaf}_weights"))?;
    let count = weights.len();
    if [trees.len(), ids.len(), targets.len()] != [count; 3] {
        return Err("the lists that describe its leaves differ in length".into());
    }
    let mut all = Vec::with_capacity(count);
    for at in 0..count {
        let node = index.get(&(trees[at], ids[at])).copied();
        let node = node.ok_or_else(|| format!("a weight is for node {} of tree {}", ids[at], trees[at]))?;
        // A weight of a node that is no leaf is never come to.
        if nodes[node].mode == Mode::Leaf {
            all.push((node, size(targets[at], "target")?, weights[at]));
        }
    }
    all.sort_by_key(|(node, ..)| *node);
    let mut at = 0;
    while at < all.len() {
        let node = all[at].0;
        let end = at + all[at..].iter().take_while(|(n, ..)| *n == node).count();
        (nodes[node].yes, nodes[node].no) = (at, end);
        at = end;
    }
    Ok(all.into_iter().map(|(_, target, weight)| (target, weight)).collect())
}

/// `[rows, targets]`: each target's score with its base (one for all, one each, or none), transformed.
fn predictions<B: Kernels>(
    forest: &Forest,
    x: &Matrix,
    targets: usize,
    base: &[f64],
    transform: &Transform,
    cx: &Context<B>,
) -> Result<Vec<f64>, OpError> {
    let base = |target: usize| base.get(target).or(base.first().filter(|_| base.len() == 1));
    let mut out = Vec::with_capacity(x.rows * targets);
    for scores in forest.run(&x.values, x.width, x.rows, cx)? {
        let start = out.len();
        let scores = scores.into_iter().enumerate();
        out.extend(scores.map(|(target, score)| score.unwrap_or(0.0) + base(target).unwrap_or(&0.0)));
        transform.apply(&mut out[start..]);
    }
    Ok(out)
}

pub fn regressor<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let targets = size(site.node.attributes.int("n_targets", 1)?, "n_targets")?;
    let forest = read(site, "target", targets)?;
    let (base, _) = floats_or_tensor(site, "base_values")?;
    let (transform, width) = (Transform::read(site)?, forest.width());
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        let x = Matrix::take(&mut inputs, cx)?;
        wide_enough(&x, width)?;
        scores_of(&x, targets, cx)?;
        let out = predictions(&forest, &x, targets, &base, &transform, cx)?;
        one(float32(vec![x.rows, targets], out)?)
    }))
}

/// Reserves what the scores of all rows take: as the trees give them, and as they are answered.
fn scores_of<B: Kernels>(x: &Matrix, targets: usize, cx: &Context<B>) -> Result<(), OpError> {
    cx.check(DType::F64, &[x.rows, targets])?;
    cx.work::<Option<f64>>(x.rows.saturating_mul(targets))?;
    cx.work::<Vec<f64>>(x.rows)
}

fn wide_enough(x: &Matrix, width: usize) -> Result<(), String> {
    if x.width < width {
        return Err(format!("rows have {} features, and the trees look at {width}", x.width));
    }
    Ok(())
}

pub fn classifier<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let classes = Classes::read(site, "classlabels_int64s")?;
    let count = classes.len();
    let forest = read(site, "class", count)?;
    let (base, _) = floats_or_tensor(site, "base_values")?;
    let (transform, width) = (Transform::read(site)?, forest.width());
    // Two classes, of which the trees score one: its score is the second's.
    let first = forest.weights.first().map(|(target, _)| *target);
    let single = count == 2 && first.is_some_and(|f| forest.weights.iter().all(|(target, _)| *target == f));
    let positive = forest.weights.iter().all(|(_, weight)| *weight >= 0.0);
    let lone = first.unwrap_or(0);
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        let x = Matrix::take(&mut inputs, cx)?;
        wide_enough(&x, width)?;
        scores_of(&x, count, cx)?;
        let mut labels = Vec::with_capacity(x.rows);
        let mut out = Vec::with_capacity(x.rows * count);
        for scores in forest.run(&x.values, x.width, x.rows, cx)? {
            if single {
                let own = base.get(if base.len() == 2 { 1 } else { 0 }).copied().unwrap_or(0.0);
                let score = scores[lone].unwrap_or(0.0) + own;
                labels.push(usize::from(score > if positive { 0.5 } else { 0.0 }));
                out.extend(transform.pair(score, !positive));
                continue;
            }
            let scores = scores.into_iter().enumerate();
            let mut scores: Vec<f64> =
                scores.map(|(class, s)| s.unwrap_or(0.0) + base.get(class).unwrap_or(&0.0)).collect();
            labels.push(largest(&scores));
            transform.apply(&mut scores);
            out.extend(scores);
        }
        Ok(vec![classes.of(&labels)?, float32(vec![x.rows, count], out)?])
    }))
}

/// The nodes of a TreeEnsemble, whose leaves are apart from them, as the attributes list them.
struct Listed {
    modes: Vec<f64>,
    splits: Vec<f64>,
    /// Whether the splits are doubles.
    double: bool,
    features: Vec<i64>,
    yes: Vec<i64>,
    no: Vec<i64>,
    yes_leaf: Vec<i64>,
    no_leaf: Vec<i64>,
    missing: Vec<i64>,
    /// The sets that nodes test for membership, one after another, each ended by a NaN.
    members: Vec<f64>,
}

impl Listed {
    fn read<B: Kernels>(site: &Site<'_, B>) -> Result<Self, String> {
        let attributes = &site.node.attributes;
        let tensor = |name: &str| {
            attributes.find_tensor(name)?.ok_or_else(|| format!("attribute {name:?} is missing"))
        };
        let (modes, splits) = (tensor("nodes_modes")?.to_f64(), tensor("nodes_splits")?);
        let list = |name: &str| ints(site, &format!("nodes_{name}"));
        let listed = Self {
            modes,
            splits: splits.to_f64(),
            double: splits.dtype() == DType::F64,
            features: list("featureids")?,
            yes: list("truenodeids")?,
            no: list("falsenodeids")?,
            yes_leaf: list("trueleafs")?,
            no_leaf: list("falseleafs")?,
            missing: list("missing_value_tracks_true")?,
            members: attributes.find_tensor("membership_values")?.map_or_else(Vec::new, Tensor::to_f64),
        };
        let Self { splits, features, yes, no, yes_leaf, no_leaf, .. } = &listed;
        let lengths = [splits.len(), features.len(), yes.len(), no.len(), yes_leaf.len(), no_leaf.len()];
        if lengths != [listed.modes.len(); 6] {
            return Err("the lists that describe its nodes differ in length".into());
        }
        Ok(listed)
    }

    /// The nodes, with so many leaves behind them, and the sets that they test for membership.
    fn nodes(&self, leaves: usize) -> Result<(Vec<Node>, Vec<HashSet<u64>>), String> {
        let count = self.modes.len();
        let mut members = self.members.iter().copied();
        let mut sets = Vec::new();
        let mut nodes = Vec::with_capacity(count + leaves);
        for at in 0..count {
            let mode = Mode::from_code(self.modes[at] as i64)?;
            let child = |is_leaf: i64, id: i64| {
                let (id, limit) = (size(id, "node")?, if is_leaf != 0 { leaves } else { count });
                if id >= limit {
                    return Err(format!("node {at} of its trees leads nowhere"));
                }
                Ok(if is_leaf != 0 { count + id } else { id })
            };
            let value = if mode == Mode::Member {
                sets.push(members.by_ref().take_while(|v| !v.is_nan()).map(f64::to_bits).collect());
                (sets.len() - 1) as f64
            } else {
                self.splits[at]
            };
            nodes.push(Node {
                mode,
                feature: size(self.features[at], "feature")?,
                value,
                missing_is_yes: self.missing.get(at).is_some_and(|m| *m != 0),
                yes: child(self.yes_leaf[at], self.yes[at])?,
                no: child(self.no_leaf[at], self.no[at])?,
            });
        }
        nodes.extend((0..leaves).map(|at| Node {
            mode: Mode::Leaf,
            feature: 0,
            value: 0.0,
            missing_is_yes: false,
            yes: at,
            no: at + 1,
        }));
        Ok((nodes, sets))
    }
}

/// Leaves are apart from the nodes, and a mode may test for membership of a set.
pub fn ensemble<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let attributes = &site.node.attributes;
    let listed = Listed::read(site)?;
    let leaf_weights = attributes.find_tensor("leaf_weights")?;
    let leaf_weights = leaf_weights.ok_or("attribute \"leaf_weights\" is missing")?.to_f64();
    let leaf_targets = ints(site, "leaf_targetids")?;
    if leaf_targets.len() != leaf_weights.len() {
        return Err("the lists that describe its nodes differ in length".into());
    }
    let (nodes, sets) = listed.nodes(leaf_weights.len())?;
    let double = listed.double;
    let weights = leaf_targets.iter().zip(leaf_weights).map(|(t, w)| Ok((size(*t, "target")?, w)));
    let weights = weights.collect::<Result<Vec<_>, String>>()?;
    let roots = ints(site, "tree_roots")?.iter().map(|r| size(*r, "root")).collect::<Result<Vec<_>, _>>()?;
    let targets = size(attributes.int("n_targets", 1)?, "n_targets")?;
    let aggregate = match attributes.int("aggregate_function", 1)? {
        0 => Aggregate::Average,
        1 => Aggregate::Sum,
        2 => Aggregate::Min,
        3 => Aggregate::Max,
        other => return Err(format!("aggregate_function {other} is not known")),
    };
    let transform = Transform::from_code(attributes.int("post_transform", 0)?)?;
    let forest = Forest { nodes, roots, weights, sets, targets, aggregate, double }.checked()?;
    let width = forest.width();
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        let x = Matrix::take(&mut inputs, cx)?;
        wide_enough(&x, width)?;
        scores_of(&x, targets, cx)?;
        let out = predictions(&forest, &x, targets, &[], &transform, cx)?;
        one(like(x.dtype, vec![x.rows, targets], out)?)
    }))
}
