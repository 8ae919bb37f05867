//! StringNormalizer: words left out, letters made small or large.

use crate::engine::backend::Kernels;
use crate::engine::host;
use crate::engine::ops::{BoxOp, Context, Inputs, Site, one};
use crate::engine::value::Value;
use std::collections::HashSet;
use std::sync::Arc;

#[derive(Clone, Copy, Debug)]
enum Case {
    Same,
    Lower,
    Upper,
}

impl Case {
    fn of(self, text: &Arc<str>) -> Arc<str> {
        match self {
            Self::Same => text.clone(),
            Self::Lower => text.to_lowercase().into(),
            Self::Upper => text.to_uppercase().into(),
        }
    }
}

pub fn build<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let attributes = &site.node.attributes;
    let case = attributes.choice(
        "case_change_action",
        "NONE",
        &[("NONE", Case::Same), ("LOWER", Case::Lower), ("UPPER", Case::Upper)],
    )?;
    // Without regard to case, words are compared in small letters.
    let compared = if attributes.flag("is_case_sensitive")? { Case::Same } else { Case::Lower };
    let stop: HashSet<Arc<str>> = match attributes.find_texts("stopwords")? {
        Some(words) => words.iter().map(|word| compared.of(word)).collect(),
        None => HashSet::new(),
    };
    Ok(Box::new(move |mut inputs: Inputs<B>, _: &Context<B>| {
        let x = inputs.take(0)?.into_host()?;
        if !matches!(x.shape(), [_] | [1, _]) {
            return Err(format!("{x:?} where one row of strings should be").into());
        }
        let kept = host::strings(&x)?.iter().filter(|s| stop.is_empty() || !stop.contains(&compared.of(s)));
        let mut kept: Vec<Arc<str>> = kept.map(|s| case.of(s)).collect();
        if kept.is_empty() {
            kept.push("".into());
        }
        let mut dims = x.shape().to_vec();
        if let Some(last) = dims.last_mut() {
            *last = kept.len();
        }
        one(Value::Host(host::texts(dims, kept)?))
    }))
}
