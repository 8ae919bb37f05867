//! Along which axes an operator works: where elements meet, are counted, or are chosen by place.

use super::super::attribute::Attribute;
use super::super::facts::{self, Along, First};
use super::super::graph::{Graph, Node, ValueId};
use super::super::infer::{self, Dim, Fact, Symbols};

/// A node and what is known of the values around it.
pub struct Known<'k> {
    pub graph: &'k Graph,
    pub node: &'k Node,
    pub facts: &'k [Fact],
    pub symbols: &'k Symbols,
    /// The words with which the graph fills texts up to the longest.
    pub fillings: &'k [&'k str],
}

impl Known<'_> {
    /// What is known of an input.
    pub fn fact(&self, input: usize) -> Fact {
        self.node.input(input).map_or(Fact::default(), |id| self.facts[id].clone())
    }

    pub fn dims(&self, input: usize) -> Option<&[Dim]> {
        self.facts[self.node.input(input)?].dims.as_deref()
    }

    pub fn integers(&self, input: usize) -> Option<Vec<i64>> {
        let id = self.node.input(input)?;
        let constant = || infer::integers(self.graph.constants.get(&id)?);
        self.facts[id].integers().or_else(constant)
    }

    pub fn int(&self, name: &str, default: i64) -> i64 {
        self.node.attributes.int(name, default).unwrap_or(default)
    }

    pub fn ints(&self, name: &str) -> Option<Vec<i64>> {
        match self.node.attributes.get(name) {
            Some(Attribute::Ints(ints)) => Some(ints.clone()),
            _ => None,
        }
    }

    /// The lengths of the axes along which the elements of the node's input meet, are counted or are chosen by
    /// place. Reductions are not among them: what they leave tells of them.
    pub fn worked_axes(&self) -> Vec<Dim> {
        let Some(dims) = self.dims(0) else { return vec![] };
        let rank = dims.len();
        let at = |axis: i64| usize::try_from(if axis < 0 { axis + rank as i64 } else { axis }).ok();
        let one =
            |axis: i64| at(axis).and_then(|axis| dims.get(axis)).cloned().into_iter().collect::<Vec<_>>();
        let from = |axis: i64| at(axis).and_then(|axis| dims.get(axis..)).unwrap_or_default().to_vec();
        let all = |axes: &[i64]| axes.iter().flat_map(|axis| one(*axis)).collect::<Vec<_>>();
        match facts::of(&self.node.op).along {
            Along::None => vec![],
            Along::Axis(usual) => one(self.int("axis", usual)),
            Along::FromAxis(usual) => from(self.int("axis", usual)),
            Along::From(axis) => dims.get(axis..).unwrap_or_default().to_vec(),
            Along::Axes(usual) => all(&self.ints("axes").unwrap_or(usual.to_vec())),
            Along::Input(input) => self.integers(input).map_or(vec![], |axes| all(&axes)),
            Along::Softmax if self.node.version >= 13 => one(self.int("axis", -1)),
            Along::Softmax => from(self.int("axis", 1)),
            Along::Steps => one(if self.int("layout", 0) == 1 { 1 } else { 0 }),
            Along::Inner => one(-1),
            Along::InnerOfGemm => one(if self.int("transA", 0) == 0 { 1 } else { 0 }),
            Along::Cut => all(&self.cut()),
            Along::Padded => all(&self.padded(rank)),
        }
    }

    /// The lengths of the axes along which the operator picks or writes elements by an index, and the input that holds
    /// the index.
    pub fn indexed_axes(&self) -> (Vec<Dim>, usize) {
        let Some(dims) = self.dims(0) else { return (vec![], 1) };
        let rank = dims.len() as i64;
        let axes = match self.node.op.as_str() {
            "Gather" | "GatherElements" | "Scatter" | "ScatterElements" => {
                let axis = self.int("axis", 0);
                vec![if axis < 0 { axis + rank } else { axis }]
            }
            "GatherND" => vec![self.int("batch_dims", 0)],
            "ScatterND" => vec![0],
            _ => vec![],
        };
        let length = |axis: i64| usize::try_from(axis).ok().and_then(|axis| dims.get(axis)).cloned();
        (axes.into_iter().filter_map(length).collect(), 1)
    }

    /// The length of the axis along which a Scan goes through each of the inputs behind its states.
    pub fn scanned_axis(&self, input: usize, states: usize) -> Option<usize> {
        let dims = self.dims(input)?;
        let axes = self.ints("scan_input_axes").unwrap_or_default();
        let axis = axes.get(input - states).copied().unwrap_or(0);
        usize::try_from(if axis < 0 { axis + dims.len() as i64 } else { axis })
            .ok()
            .filter(|at| *at < dims.len())
    }

    /// What is known of the first output.
    pub fn output(&self) -> Option<&Fact> {
        let id: ValueId = self.node.outputs.first().copied().flatten()?;
        self.facts.get(id)
    }

    /// The elements of the first output, where it is a short list of integers.
    pub fn elements(&self) -> Option<&[Dim]> {
        self.output()?.elements.as_deref()
    }

    /// Whether elements meet along the first axis of an input whose length is not known, so that it may be the batch.
    pub fn works_along_unknown_first_axis(&self) -> bool {
        if self.dims(0).is_some_and(|dims| dims.first().is_none_or(Dim::is_known)) {
            return false;
        }
        let list = |input: usize| self.ints("axes").or_else(|| self.integers(input));
        match facts::of(&self.node.op).first {
            First::Never => false,
            First::Axis(usual) => self.int("axis", usual) == 0,
            First::Input(input) => self.integers(input).is_none_or(|axes| axes.contains(&0)),
            // Of an empty list of axes, and of none, all are meant, unless nothing is to be done then.
            First::Reduced => match list(1) {
                Some(axes) if !axes.is_empty() => axes.contains(&0),
                _ => self.node.input(1).is_some() || self.int("noop_with_empty_axes", 0) == 0,
            },
            First::Always => true,
        }
    }

    /// The axes of which a Slice does not take all.
    fn cut(&self) -> Vec<i64> {
        let list = |name: &str, input: usize| self.ints(name).or_else(|| self.integers(input));
        let (starts, ends) = (list("starts", 1), list("ends", 2));
        let count = starts.as_ref().or(ends.as_ref()).map_or(0, Vec::len);
        let axes = list("axes", 3).unwrap_or_else(|| (0..count as i64).collect());
        let steps = self.integers(4);
        let whole = |at: usize| {
            let of = |list: &Option<Vec<i64>>| list.as_ref().and_then(|list| list.get(at)).copied();
            of(&starts) == Some(0)
                && of(&ends).is_some_and(|end| end >= i64::from(i32::MAX))
                && (self.node.input(4).is_none() || of(&steps) == Some(1))
        };
        axes.iter().enumerate().filter(|(at, _)| !whole(*at)).map(|(_, axis)| *axis).collect()
    }

    /// The axes that a Pad makes longer or shorter.
    fn padded(&self, rank: usize) -> Vec<i64> {
        let Some(pads) = self.ints("pads").or_else(|| self.integers(1)) else { return vec![] };
        let axes = self.integers(3).unwrap_or_else(|| (0..rank as i64).collect());
        let moved =
            |at: usize| [pads.get(at), pads.get(at + axes.len())].iter().flatten().any(|pad| **pad != 0);
        axes.iter().enumerate().filter(|(at, _)| moved(*at)).map(|(_, axis)| *axis).collect()
    }
}
