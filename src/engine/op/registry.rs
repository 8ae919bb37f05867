//! Operators by their names.

use super::Build;
use super::facts::{FactTable, Facts};
use crate::engine::backend::Kernels;
use crate::engine::onnx::Node;
use std::collections::HashMap;

/// Operators, by domain and name.
pub struct Registry<B: Kernels> {
    entries: HashMap<(&'static str, &'static str), Entry<B>>,
    pub facts: FactTable,
}

struct Entry<B: Kernels> {
    /// The first version of the domain whose semantics the builder knows.
    since: i64,
    build: Build<B>,
}

impl<B: Kernels> Registry<B> {
    /// One without operators.
    pub fn empty() -> Self {
        Self { entries: HashMap::new(), facts: FactTable::default() }
    }

    /// Adds an operator of the standard domain, from that opset on. What is known of it is said of what comes back.
    pub fn op(&mut self, name: &'static str, since: i64, build: Build<B>) -> &mut Facts {
        self.entries.insert(("", name), Entry { since, build });
        self.facts.enter("", name)
    }

    /// Adds an operator of another domain.
    pub fn domain_op(&mut self, domain: &'static str, name: &'static str, build: Build<B>) -> &mut Facts {
        self.entries.insert((domain, name), Entry { since: 1, build });
        self.facts.enter(domain, name)
    }

    /// Every operator: its domain, its name, and the version from which on it is known.
    #[cfg(test)]
    pub fn listed(&self) -> impl Iterator<Item = (&'static str, &'static str, i64)> {
        self.entries.iter().map(|((domain, name), entry)| (*domain, *name, entry.since))
    }

    /// The builder for a node, or why there is none.
    pub fn find(&self, node: &Node) -> Result<Build<B>, String> {
        match self.entries.get(&(node.domain.as_str(), node.op.as_str())) {
            Some(entry) if node.version >= entry.since => Ok(entry.build),
            Some(entry) => Err(format!(
                "the model imports opset {}; this operator is supported from opset {} on",
                node.version, entry.since
            )),
            None if self.entries.keys().any(|(domain, _)| *domain == node.domain) => {
                Err("this operator is not supported".into())
            }
            None if node.domain == "com.microsoft.nchwc" => {
                Err("it was saved for one kind of processor; save the model with at most ORT_ENABLE_EXTENDED"
                    .into())
            }
            None => Err(format!("operators of the domain {:?} are not supported", node.domain)),
        }
    }
}
