//! Which links of a store are followed, and where the files beside a model are looked for.

use super::StoreError;
use crate::plan::{Links, StoreRoot};
use std::fs;
use std::path::{Component, Path, PathBuf};

/// Links that one name may be, one after another, as the file systems allow.
const MAX_LINKS: usize = 40;

/// Where files may lie.
pub enum Reach {
    Anywhere,
    /// Within one of these folders, which are real paths.
    Within(Vec<PathBuf>),
}

impl Reach {
    /// The reach of a store, as its setting has it.
    pub fn of_store(root: &StoreRoot) -> Result<Self, StoreError> {
        Ok(match root.links {
            Links::Anywhere => Self::Anywhere,
            Links::Within => Self::Within(vec![real(root)?]),
        })
    }

    /// The reach of a model file that a person names: what lies beside it, under any of the names that it goes by.
    pub fn of_file(file: &Path) -> Self {
        Self::Within(folders(file).iter().filter_map(|folder| folder.canonicalize().ok()).collect())
    }

    /// An error where a file lies out of reach, which it does by way of a link.
    pub fn check(&self, path: &Path) -> Result<(), StoreError> {
        let Self::Within(folders) = self else { return Ok(()) };
        let target = real(path)?;
        match folders.iter().any(|folder| target.starts_with(folder)) {
            true => Ok(()),
            false => Err(StoreError::LinkOutside { path: path.to_owned(), target }),
        }
    }
}

fn real(path: &Path) -> Result<PathBuf, StoreError> {
    path.canonicalize().map_err(|source| StoreError::new(path, source))
}

/// The folders in which a file lies under each of the names that it goes by: its own, and where it is a link, those
/// of the links that it leads through and of the file itself.
fn folders(file: &Path) -> Vec<PathBuf> {
    let parent = |path: &Path| match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    let mut folders = vec![parent(file)];
    let mut at = file.to_owned();
    for _ in 0..MAX_LINKS {
        let Ok(target) = fs::read_link(&at) else { break };
        at = parent(&at).join(target);
        folders.push(parent(&at));
    }
    folders
}

/// The file beside a model that the model has a name for; `None` where there is none. A model's names are not to be
/// trusted: one that is absolute or that leads upwards names no file.
pub fn beside(model: &Path, name: &str) -> Option<PathBuf> {
    let relative = Path::new(name);
    let plain = relative.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    if !plain || name.is_empty() {
        return None;
    }
    folders(model).into_iter().map(|folder| folder.join(relative)).find(|path| path.is_file())
}
