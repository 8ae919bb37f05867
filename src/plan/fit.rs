//! Whether a tensor of one type can be what a port takes, and what to do where it cannot.

use super::{Mend, TensorType};

/// Why one type cannot be the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mismatch {
    DType,
    Shape,
}

impl TensorType {
    /// `None` where a tensor of this type may be one of `other`: what is not known matches anything.
    pub fn mismatch(&self, other: &Self) -> Option<Mismatch> {
        if let (Some(a), Some(b)) = (self.dtype, other.dtype)
            && a != b
        {
            return Some(Mismatch::DType);
        }
        let (Some(a), Some(b)) = (&self.dims, &other.dims) else { return None };
        let differ =
            |(a, b): (&Option<usize>, &Option<usize>)| matches!((a, b), (Some(a), Some(b)) if a != b);
        (a.len() != b.len() || a.iter().zip(b).any(differ)).then_some(Mismatch::Shape)
    }
}

/// A mend of the decode `name` as a help.
pub fn help(mend: &Mend, name: &str) -> String {
    match mend {
        Mend::Option { .. } => {
            format!("`{}` in decode `{name}` would fit", setting(mend).unwrap_or_default())
        }
        Mend::Impossible(why) => why.clone(),
    }
}

/// What a mend writes: `size = [64, 64]`.
pub fn setting(mend: &Mend) -> Option<String> {
    match mend {
        Mend::Option { key, value } => Some(format!("{key} = {value}")),
        Mend::Impossible(_) => None,
    }
}
