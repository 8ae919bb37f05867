//! Where the files beside a model are looked for.

use std::fs;
use std::path::{Component, Path, PathBuf};

/// Links that one name may be, one after another, as the file systems allow.
const MAX_LINKS: usize = 40;

/// The folders in which a file lies under each of the names that it goes by: its own, and where it is a link, those
/// of the links that it leads through and of the file itself.
pub fn folders(file: &Path) -> Vec<PathBuf> {
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

/// The path, below the folder of a model, that the model has a name for; `None` where the name is no such path. A
/// model's names are not to be trusted: one that is absolute or that leads upwards names no file. Several names may
/// be one path: `w.bin` and `./w.bin` are.
pub fn below(name: &str) -> Option<PathBuf> {
    let mut path = PathBuf::new();
    for part in Path::new(name).components() {
        match part {
            Component::Normal(part) => path.push(part),
            Component::CurDir => {}
            _ => return None,
        }
    }
    (!path.as_os_str().is_empty()).then_some(path)
}
