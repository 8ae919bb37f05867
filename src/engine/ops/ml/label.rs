//! The classes of a classifier: integers or strings.

use crate::engine::backend::Kernels;
use crate::engine::host;
use crate::engine::ops::Site;
use crate::engine::value::Value;
use crate::tensor::DType;
use std::sync::Arc;

pub enum Classes {
    Ints(Vec<i64>),
    Strings(Vec<Arc<str>>),
}

impl Classes {
    /// `ints` is the attribute's name for integers, which differs from operator to operator.
    pub fn read<B: Kernels>(site: &Site<'_, B>, ints: &str) -> Result<Self, String> {
        let attributes = &site.node.attributes;
        match (attributes.find_texts("classlabels_strings")?, attributes.find_ints(ints)?) {
            (Some(strings), _) if !strings.is_empty() => Ok(Self::Strings(strings.clone())),
            (_, Some(ints)) if !ints.is_empty() => Ok(Self::Ints(ints.clone())),
            _ => Err("it names no classes".into()),
        }
    }

    pub fn len(&self) -> usize {
        match self {
            Self::Ints(all) => all.len(),
            Self::Strings(all) => all.len(),
        }
    }

    /// The classes at those indices, one for each row.
    pub fn of<B: Kernels>(&self, indices: &[usize]) -> Result<Value<B>, String> {
        let shape = vec![indices.len()];
        let tensor = match self {
            Self::Ints(all) => {
                // One class alone stands for 1, against 0.
                let label = |i: &usize| all.get(*i).copied().unwrap_or(*i as i64);
                host::tensor(DType::I64, shape, indices.iter().map(label).collect())?
            }
            Self::Strings(all) => {
                let label = |i: &usize| all.get(*i).cloned().unwrap_or_else(|| i.to_string().into());
                host::texts(shape, indices.iter().map(label).collect())?
            }
        };
        Ok(Value::Host(tensor))
    }
}

/// The index of the largest; of the first where several are.
pub fn largest(scores: &[f64]) -> usize {
    let mut best = 0;
    for (index, score) in scores.iter().enumerate() {
        if *score > scores[best] {
            best = index;
        }
    }
    best
}
