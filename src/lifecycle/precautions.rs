//! What keeps a model's files from taking the process down, or from holding it up.

use super::looks::Looks;
use super::notes::LoadNotes;
use crate::memory::Budget;

/// Shared by all who read or load models in one process.
#[derive(Clone)]
pub struct Precautions {
    /// What is read for a load is reserved from it.
    pub memory: Budget,
    /// The looks at stores that have not come back.
    pub looks: Looks,
    /// The loads that did not come back, in this process and in earlier ones.
    pub notes: LoadNotes,
}

impl Precautions {
    /// Reserves from a budget, and remembers nothing from one process to the next.
    pub fn within(memory: &Budget) -> Self {
        Self { memory: memory.clone(), looks: Looks::default(), notes: LoadNotes::default() }
    }
}
