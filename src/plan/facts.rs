//! What the model store holds, as the plan is told.

use super::{Signature, TensorType};
use crate::memory::Reservation;
use crate::tensor::Tensor;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Class names, one for each index; shared by every answer.
pub type Labels = Arc<[String]>;

/// The models found in each store, by its path (as in [`super::Model::store`]), or why the store cannot be read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    pub stores: BTreeMap<PathBuf, Result<BTreeMap<String, ModelFacts>, String>>,
}

/// What is known of each version, or why it cannot be served (one reason a line).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ModelFacts {
    /// The versions in the store that were not looked at, as the plan has no use for them.
    pub others: BTreeSet<u64>,
    pub versions: BTreeMap<u64, Result<VersionFacts, String>>,
}

/// The versions of a model that the plan must know of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VersionsWanted {
    /// The newest that can be served, and those that are newer.
    pub latest: bool,
    pub listed: BTreeSet<u64>,
    /// The names of the text files and arrays that are to be read beside them.
    pub texts: BTreeSet<String>,
    /// The time that reading and inspecting one version may take.
    pub load_timeout: Duration,
}

#[derive(Clone, Debug, PartialEq)]
pub struct VersionFacts {
    pub signature: Arc<Signature>,
    /// The lines of the text files beside the model that were to be read, by file name.
    pub labels: BTreeMap<String, Labels>,
    /// The names of all text files beside the model.
    pub texts: BTreeSet<String>,
    /// The arrays beside the model that were to be read, by file name.
    pub arrays: BTreeMap<String, Array>,
    /// Bytes of the weights.
    pub weights: u64,
}

/// An array beside a model.
#[derive(Clone, Debug)]
pub struct Array {
    pub tensor: Tensor,
    /// The memory that it takes, until the last of its users lets it go.
    pub held: Arc<Reservation>,
}

impl Array {
    pub fn ty(&self) -> TensorType {
        let dims = self.tensor.shape().iter().copied().map(Some).collect();
        TensorType { dtype: Some(self.tensor.dtype()), dims: Some(dims) }
    }
}

impl PartialEq for Array {
    fn eq(&self, other: &Self) -> bool {
        self.ty() == other.ty() && self.tensor.bytes() == other.tensor.bytes()
    }
}
