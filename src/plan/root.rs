//! Where the models lie, and which links in there are followed.

use crate::spec::Links;
use std::ops::Deref;
use std::path::PathBuf;

/// The folder of a model store, as a plan names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StoreRoot {
    pub path: PathBuf,
    pub links: Links,
}

/// A store whose links are followed within it.
impl From<PathBuf> for StoreRoot {
    fn from(path: PathBuf) -> Self {
        Self { path, links: Links::default() }
    }
}

impl Deref for StoreRoot {
    type Target = PathBuf;

    fn deref(&self) -> &PathBuf {
        &self.path
    }
}
