//! What of the batch a value holds, and how operators pass it on.

use super::super::facts;
use super::super::graph::{Graph, Node};
use super::super::infer::Dim;
use super::Search;
use super::axes::Known;
use std::sync::Arc;

/// What of the batch a value holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// It follows from the rows.
    pub rows: bool,
    /// What it has for a row goes by the row's place in the batch.
    pub place: bool,
    /// It goes by the number of rows, or by another number that all rows make together.
    pub count: bool,
    /// It is filled up to the longest of all rows.
    pub filled: bool,
}

const BY_PLACE: &str = "goes by a row's place in the batch";
const BY_COUNT: &str = "goes by the number of rows, or by a number that all of them make";
const BY_LONGEST: &str = "is as long as the longest of all rows makes it";

impl Marks {
    pub fn or(self, other: Self) -> Self {
        Self {
            rows: self.rows || other.rows,
            place: self.place || other.place,
            count: self.count || other.count,
            filled: self.filled || other.filled,
        }
    }

    /// How it depends on the batch beside a row's own values.
    pub fn of_batch(self) -> Option<&'static str> {
        match self {
            Self { place: true, .. } => Some(BY_PLACE),
            Self { count: true, .. } => Some(BY_COUNT),
            Self { filled: true, .. } => Some(BY_LONGEST),
            _ => None,
        }
    }
}

impl Search<'_> {
    /// What the outputs of a node hold of the batch, or how it mixes rows.
    pub(super) fn pass(&self, known: &Known<'_>, read: &[Marks]) -> Result<Marks, &'static str> {
        let op = known.node.op.as_str();
        let operator = facts::of(op);
        if matches!(op, "Shape" | "Size") {
            let rows = read.first().is_some_and(|marks| marks.rows);
            let counts =
                |dim: &Dim| self.carries(dim, known.symbols) || (rows && known.symbols.depends_on_data(dim));
            let count = known.elements().is_some_and(|elements| elements.iter().any(counts));
            return Ok(Marks { count, ..Marks::default() });
        }
        let all = read.iter().fold(Marks::default(), |all, marks| all.or(*marks));
        let mut passed = Marks { rows: all.rows, ..Marks::default() };
        let at = |holds: fn(&Marks) -> bool| (0..read.len()).filter(move |at| holds(&read[*at]));
        if at(|marks| marks.count).any(|at| operator.chooses || !operator.lengths.contains(&at)) {
            if all.rows {
                return Err(BY_COUNT);
            }
            let counts = |dim: &Dim| {
                !dim.is_known() || self.carries(dim, known.symbols) || known.symbols.depends_on_data(dim)
            };
            passed.count = known.elements().is_none_or(|elements| elements.iter().any(counts));
        }
        passed.filled = match all.filled || (all.rows && matches!(op, "StringSplit" | "Tokenizer")) {
            false => false,
            true if op == "TfIdfVectorizer" && !counts_filling(known) => false,
            true if operator.lays_out || matches!(op, "StringSplit" | "Tokenizer" | "StringNormalizer") => {
                true
            }
            true => return Err(BY_LONGEST),
        };
        let placed: Vec<usize> = at(|marks| marks.place).collect();
        passed.place = match op {
            _ if placed.is_empty() => !all.rows && self.places(known),
            // Each row is picked, or written to, by its own number; of what is the same for all rows, each gets another.
            "Gather" | "GatherND" | "GatherElements" | "ScatterND" | "ScatterElements" | "Scatter"
                if placed == [1] =>
            {
                !read[0].rows
            }
            "RoiAlign" if placed == [2] => false,
            "MaxUnpool" if placed == [1] => false,
            // Whether an index counts from the end: no row's number is below zero.
            "Less" | "GreaterOrEqual" if placed == [0] && known.integers(1) == Some(vec![0]) => false,
            _ if operator.lays_out => true,
            _ => return Err(BY_PLACE),
        };
        Ok(passed)
    }

    /// Whether a node that reads no rows gives something else for each row.
    fn places(&self, known: &Known<'_>) -> bool {
        let places =
            facts::of(&known.node.op).places || known.worked_axes().iter().any(|dim| self.is_of_rows(dim));
        places && known.output().is_some_and(|fact| self.carries_any(fact, known.symbols))
    }
}

/// The words with which a graph fills texts up to the longest.
pub(super) fn fillings(graph: &Graph) -> Vec<&str> {
    graph.nodes.iter().filter_map(filling).collect()
}

fn filling(node: &Node) -> Option<&str> {
    match node.op.as_str() {
        "Tokenizer" => node.attributes.find_text("pad_value").ok().flatten().map(String::as_str),
        "StringSplit" => Some(""),
        _ => None,
    }
}

/// Whether a vocabulary has a word with which shorter rows are filled up.
fn counts_filling(known: &Known<'_>) -> bool {
    let pool = known.node.attributes.find_texts("pool_strings").ok().flatten();
    let counts = |pool: &Vec<_>| pool.iter().any(|text: &Arc<str>| known.fillings.contains(&&**text));
    known.fillings.is_empty() || pool.is_none_or(counts)
}
