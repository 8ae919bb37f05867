//! Decision trees, flattened: nodes in one list, and how a row of features goes through them.

use crate::engine::backend::Kernels;
use crate::engine::ops::{Context, OpError};
use rayon::prelude::*;
use std::collections::HashSet;

/// Rows times trees from which on the rows are shared among threads.
const PARALLEL: usize = 1 << 14;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    LessOrEqual,
    Less,
    GreaterOrEqual,
    Greater,
    Equal,
    NotEqual,
    /// The value is one of a set; the node's value is the set's index.
    Member,
    /// The node's `yes` is where its weights begin, `no` where they end.
    Leaf,
}

impl Mode {
    pub fn from_name(name: &str) -> Result<Self, String> {
        Ok(match name {
            "BRANCH_LEQ" => Self::LessOrEqual,
            "BRANCH_LT" => Self::Less,
            "BRANCH_GTE" => Self::GreaterOrEqual,
            "BRANCH_GT" => Self::Greater,
            "BRANCH_EQ" => Self::Equal,
            "BRANCH_NEQ" => Self::NotEqual,
            "BRANCH_MEMBER" => Self::Member,
            "LEAF" => Self::Leaf,
            other => return Err(format!("node mode {other:?} is not known")),
        })
    }

    pub fn from_code(code: i64) -> Result<Self, String> {
        Ok(match code {
            0 => Self::LessOrEqual,
            1 => Self::Less,
            2 => Self::GreaterOrEqual,
            3 => Self::Greater,
            4 => Self::Equal,
            5 => Self::NotEqual,
            6 => Self::Member,
            other => return Err(format!("node mode {other} is not known")),
        })
    }
}

#[derive(Clone, Copy, Debug)]
pub struct Node {
    pub mode: Mode,
    pub feature: usize,
    pub value: f64,
    /// A missing value (NaN) goes where "yes" leads.
    pub missing_is_yes: bool,
    pub yes: usize,
    pub no: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aggregate {
    Sum,
    Average,
    Min,
    Max,
}

#[derive(Debug)]
pub struct Forest {
    pub nodes: Vec<Node>,
    pub roots: Vec<usize>,
    /// Target and weight, leaf after leaf.
    pub weights: Vec<(usize, f64)>,
    /// Bits of the numbers that a [`Mode::Member`] tests for.
    pub sets: Vec<HashSet<u64>>,
    pub targets: usize,
    pub aggregate: Aggregate,
    /// Sums are of double precision, else of single, as whoever trained the model computed them.
    pub double: bool,
}

impl Forest {
    /// Checks what a file may get wrong: indices, and ways through a tree that never end.
    pub fn checked(self) -> Result<Self, String> {
        let count = self.nodes.len();
        for (index, node) in self.nodes.iter().enumerate() {
            let sound = match node.mode {
                Mode::Leaf => node.yes <= node.no && node.no <= self.weights.len(),
                Mode::Member => {
                    node.yes < count && node.no < count && (node.value as usize) < self.sets.len()
                }
                _ => node.yes < count && node.no < count,
            };
            if !sound {
                return Err(format!("node {index} of its trees leads nowhere"));
            }
        }
        if let Some((target, _)) = self.weights.iter().find(|(target, _)| *target >= self.targets) {
            return Err(format!("a leaf is for target {target} of {}", self.targets));
        }
        if self.roots.iter().any(|root| *root >= count) {
            return Err("a tree begins nowhere".into());
        }
        self.ends()?;
        Ok(self)
    }

    /// An error where a way through a tree comes back to where it was.
    fn ends(&self) -> Result<(), String> {
        const NEW: u8 = 0;
        const OPEN: u8 = 1;
        const DONE: u8 = 2;
        let mut state = vec![NEW; self.nodes.len()];
        for root in &self.roots {
            let mut stack = vec![*root];
            while let Some(&index) = stack.last() {
                let node = &self.nodes[index];
                if state[index] != NEW || node.mode == Mode::Leaf {
                    state[index] = DONE;
                    stack.pop();
                    continue;
                }
                state[index] = OPEN;
                for next in [node.yes, node.no] {
                    match state[next] {
                        OPEN => return Err(format!("node {next} of its trees leads back to itself")),
                        NEW => stack.push(next),
                        _ => {}
                    }
                }
            }
        }
        Ok(())
    }

    /// Features that a row must have.
    pub fn width(&self) -> usize {
        let features =
            self.nodes.iter().filter(|n| n.mode != Mode::Leaf).map(|n| n.feature.saturating_add(1));
        features.max().unwrap_or(0)
    }

    /// The scores of every row: for each target `None` where no leaf had a weight for it.
    ///
    /// REQUIRES rows of at least [`Forest::width`] features.
    pub fn run<B: Kernels>(
        &self,
        values: &[f64],
        width: usize,
        rows: usize,
        cx: &Context<B>,
    ) -> Result<Vec<Vec<Option<f64>>>, OpError> {
        let row = |row: usize| {
            cx.run.go_on()?;
            Ok(self.row(&values[row * width..(row + 1) * width]))
        };
        if rows.saturating_mul(self.roots.len()) >= PARALLEL {
            (0..rows).into_par_iter().map(row).collect()
        } else {
            (0..rows).map(row).collect()
        }
    }

    fn row(&self, features: &[f64]) -> Vec<Option<f64>> {
        let mut scores: Vec<Option<f64>> = vec![None; self.targets];
        for root in &self.roots {
            let leaf = self.leaf(*root, features);
            for (target, weight) in &self.weights[leaf.yes..leaf.no] {
                let score = &mut scores[*target];
                *score = Some(match (*score, self.aggregate) {
                    (None, _) => *weight,
                    (Some(old), Aggregate::Min) => old.min(*weight),
                    (Some(old), Aggregate::Max) => old.max(*weight),
                    (Some(old), _) if self.double => old + weight,
                    (Some(old), _) => f64::from(old as f32 + *weight as f32),
                });
            }
        }
        if self.aggregate == Aggregate::Average {
            let trees = self.roots.len().max(1) as f64;
            scores.iter_mut().flatten().for_each(|score| *score /= trees);
        }
        scores
    }

    fn leaf(&self, root: usize, features: &[f64]) -> &Node {
        let mut node = &self.nodes[root];
        while node.mode != Mode::Leaf {
            let x = features[node.feature];
            let yes = match node.mode {
                Mode::LessOrEqual => x <= node.value,
                Mode::Less => x < node.value,
                Mode::GreaterOrEqual => x >= node.value,
                Mode::Greater => x > node.value,
                Mode::Equal => x == node.value,
                Mode::NotEqual => x != node.value,
                Mode::Member => self.sets[node.value as usize].contains(&x.to_bits()),
                Mode::Leaf => false,
            };
            let yes = yes || (node.missing_is_yes && x.is_nan());
            node = &self.nodes[if yes { node.yes } else { node.no }];
        }
        node
    }
}
