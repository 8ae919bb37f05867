//! `op = "similar"`: the nearest of known vectors by the cosine of the angle between them. Pure.

use super::Misfit;
use super::element::floats;
use super::norm::length;
use super::shape::{a_float, one};
use crate::diagnostic::Report;
use crate::plan::TensorType;
use crate::spec::document::Reader;
use crate::tensor::{DType, Tensor};
use serde::Serialize;
use std::cmp::Ordering;
use std::sync::Arc;

#[derive(Debug, Serialize)]
pub struct Similar {
    /// How many; fewer where fewer are known.
    pub top: usize,
}

/// Vectors that are known by their names.
#[derive(Debug)]
pub struct Index {
    /// One after the other, each of the length of 1.
    vectors: Vec<f32>,
    width: usize,
    names: Vec<Arc<str>>,
}

impl Index {
    /// Makes an index of the rows of a matrix, of which each has a name.
    pub fn new(vectors: &Tensor, names: Vec<Arc<str>>) -> Result<Self, String> {
        let [rows, width] = *vectors.shape() else {
            return Err(format!(
                "an index has a vector in each row: `[vectors, elements]`, and this is {vectors:?}"
            ));
        };
        if rows != names.len() {
            return Err(format!("the index has {rows} vectors and {} names", names.len()));
        }
        let mut values = floats(vectors)?;
        for vector in values.chunks_exact_mut(width.max(1)) {
            let length = length(vector.iter().copied());
            vector.iter_mut().for_each(|x| *x /= length);
        }
        Ok(Self { vectors: values.into_iter().map(|x| x as f32).collect(), width, names })
    }

    /// The number of vectors.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The elements of each vector.
    pub fn width(&self) -> usize {
        self.width
    }
}

impl Similar {
    pub fn read(reader: &mut Reader<'_>, report: &mut Report) -> Option<Self> {
        let top = reader.integer("top", 1..=10_000, report);
        Some(Self { top: top.map_or(1, |top| top.value as usize) })
    }

    /// The types of names and scores, for an index of so many vectors of this width.
    pub fn infer(
        &self,
        inputs: &[TensorType],
        vectors: usize,
        width: usize,
    ) -> Result<Vec<TensorType>, Misfit> {
        let ty = one(inputs)?;
        a_float(ty)?;
        if let Some(dims) = &ty.dims
            && !matches!(dims.as_slice(), [length] if length.is_none_or(|length| length == width))
        {
            return Err(Misfit::new(format!("the index has vectors of {width} elements")));
        }
        let several =
            |dtype| TensorType { dtype: Some(dtype), dims: Some(vec![Some(vectors.min(self.top))]) };
        Ok(vec![several(DType::String), several(DType::F32)])
    }

    /// The names of the nearest, the nearest first, and their cosines. Of equally near ones the first; what is not a
    /// number is near to none.
    pub fn run(&self, vector: &Tensor, index: &Index) -> Result<Vec<Tensor>, String> {
        if vector.shape() != [index.width] {
            return Err(format!("the index has vectors of {} elements, and this is {vector:?}", index.width));
        }
        let mut query = floats(vector)?;
        let length = length(query.iter().copied());
        query.iter_mut().for_each(|x| *x /= length);
        let cosine = |row: usize| -> f64 {
            let known = &index.vectors[row * index.width..][..index.width];
            known.iter().zip(&query).map(|(x, y)| f64::from(*x) * y).sum()
        };
        let mut near: Vec<(usize, f64)> = (0..index.len()).map(|row| (row, cosine(row))).collect();
        near.retain(|(_, cosine)| !cosine.is_nan());
        let compare = |a: &(usize, f64), b: &(usize, f64)| {
            b.1.partial_cmp(&a.1).unwrap_or(Ordering::Equal).then(a.0.cmp(&b.0))
        };
        near.sort_unstable_by(compare);
        near.truncate(self.top);
        let names = near.iter().filter_map(|(row, _)| index.names.get(*row).cloned()).collect();
        let scores: Vec<f32> = near.iter().map(|(_, cosine)| *cosine as f32).collect();
        let names = Tensor::from_strings(vec![near.len()], names).map_err(|error| error.to_string())?;
        let scores = Tensor::from_vec(vec![near.len()], scores).map_err(|error| error.to_string())?;
        Ok(vec![names, scores])
    }
}
