//! What a store holds, by name; no file is opened.

use super::{MODEL_FILE, StoreError};
use crate::plan::is_name;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The versions that [`scan`] found.
#[derive(Debug, Default)]
pub struct Scan {
    /// The versions of each model, ascending, or why its folder cannot be read. The list is never empty.
    pub models: BTreeMap<String, Result<Vec<u64>, StoreError>>,
    pub ignored: Vec<Ignored>,
}

/// Something in the store that is not a version of a model.
#[derive(Debug, PartialEq, Eq)]
pub struct Ignored {
    pub path: PathBuf,
    pub reason: &'static str,
}

/// Lists the models and versions below `root`. Links are followed.
pub fn scan(root: &Path) -> Result<Scan, StoreError> {
    let mut scan = Scan::default();
    let folder = entries(root).map_err(|source| match StoreError::new(root, source) {
        StoreError::Missing(path) => StoreError::NoFolder(path),
        error => error,
    })?;
    for (path, name) in folder {
        match model_folder(&path, name) {
            Err(reason) => scan.ignored.push(Ignored { path, reason }),
            Ok(model) => match versions_within(&path, &mut scan.ignored) {
                Ok(versions) if versions.is_empty() => {
                    scan.ignored.push(Ignored { path, reason: "it holds no version" });
                }
                versions => {
                    scan.models.insert(model, versions);
                }
            },
        }
    }
    scan.ignored.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(scan)
}

/// The versions of one model, ascending; none where the store has no such model.
pub fn versions(root: &Path, model: &str) -> Result<Vec<u64>, StoreError> {
    match entries(root) {
        Ok(_) => {}
        Err(source) if source.kind() == io::ErrorKind::NotFound => {
            return Err(StoreError::NoFolder(root.to_owned()));
        }
        Err(source) => return Err(StoreError::new(root, source)),
    }
    let folder = root.join(model);
    match versions_within(&folder, &mut vec![]) {
        Err(StoreError::Missing(_)) => Ok(vec![]),
        versions => versions,
    }
}

fn model_folder(path: &Path, name: Option<String>) -> Result<String, &'static str> {
    let name = name.filter(|name| is_name(name)).ok_or("its name is not that of a model")?;
    is_folder(path)?;
    Ok(name)
}

fn versions_within(model: &Path, ignored: &mut Vec<Ignored>) -> Result<Vec<u64>, StoreError> {
    let mut versions = vec![];
    for (path, name) in entries(model).map_err(|source| StoreError::new(model, source))? {
        match version_folder(&path, name) {
            Ok(version) => versions.push(version),
            Err(reason) => ignored.push(Ignored { path, reason }),
        }
    }
    versions.sort_unstable();
    Ok(versions)
}

fn version_folder(path: &Path, name: Option<String>) -> Result<u64, &'static str> {
    let version = name.as_deref().ok_or("its name is not a version")?;
    let version = parse_version(version)?;
    is_folder(path)?;
    match fs::metadata(path.join(MODEL_FILE)) {
        Ok(file) if file.is_file() => Ok(version),
        Ok(_) => Err("its model.onnx is not a file"),
        // Said when it is read, with what to do about it.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(version),
        Err(_) => Err("it holds no model.onnx"),
    }
}

fn parse_version(name: &str) -> Result<u64, &'static str> {
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_digit()) {
        return Err("its name is not a version, which is an unsigned integer");
    }
    if name.len() > 1 && name.starts_with('0') {
        return Err("a version has no leading zeros");
    }
    name.parse().map_err(|_| "a version is at most 18446744073709551615")
}

fn is_folder(path: &Path) -> Result<(), &'static str> {
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => Ok(()),
        Ok(_) => Err("it is not a folder"),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err("it may not be read"),
        Err(_) => Err("it is a link that leads nowhere"),
    }
}

/// The paths in a folder, each with its name where that is UTF-8.
fn entries(folder: &Path) -> io::Result<Vec<(PathBuf, Option<String>)>> {
    fs::read_dir(folder)?
        .map(|entry| entry.map(|entry| (entry.path(), entry.file_name().into_string().ok())))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_canonical_unsigned_integers() {
        for (name, version) in [("0", 0), ("1", 1), ("20", 20), ("18446744073709551615", u64::MAX)] {
            assert_eq!(parse_version(name), Ok(version));
        }
        for name in ["", "01", "00", "+1", "-1", "1.0", "v1", "1 ", "１", "18446744073709551616", "latest"] {
            assert!(parse_version(name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn oddities_are_ignored_and_listed() {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path);
        for folder in ["road/1", "road/02", "road/3", "road/tmp", "empty", "Upper/1", ".git", "broken/1"] {
            fs::create_dir_all(at(folder)).unwrap();
        }
        for file in ["road/1/model.onnx", "road/README.md", "README.md", "Upper/1/model.onnx"] {
            fs::write(at(file), "x").unwrap();
        }
        fs::create_dir(at("broken/1/model.onnx")).unwrap();
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(at("road"), at("linked")).unwrap();
            std::os::unix::fs::symlink(at("nowhere"), at("dangling")).unwrap();
            std::os::unix::fs::symlink("1", at("road/7")).unwrap();
        }
        let scan = scan(root.path()).unwrap();
        let found: Vec<(&str, &[u64])> =
            scan.models.iter().map(|(name, v)| (name.as_str(), v.as_deref().unwrap())).collect();
        assert_eq!(found, [("linked", [1, 7].as_slice()), ("road", [1, 7].as_slice())]);
        let ignored: Vec<String> = scan
            .ignored
            .iter()
            .filter(|i| !i.path.starts_with(at("linked")))
            .map(|i| format!("{}: {}", i.path.strip_prefix(root.path()).unwrap().display(), i.reason))
            .collect();
        assert_eq!(
            ignored,
            [
                ".git: its name is not that of a model",
                "README.md: its name is not that of a model",
                "Upper: its name is not that of a model",
                "broken: it holds no version",
                "broken/1: its model.onnx is not a file",
                "dangling: it is a link that leads nowhere",
                "empty: it holds no version",
                "road/02: a version has no leading zeros",
                "road/3: it holds no model.onnx",
                "road/README.md: its name is not a version, which is an unsigned integer",
                "road/tmp: its name is not a version, which is an unsigned integer",
            ]
        );
    }

    #[test]
    fn a_store_that_is_not_there_is_said_with_its_path() {
        let root = tempfile::tempdir().unwrap();
        let error = scan(&root.path().join("models")).unwrap_err();
        assert!(matches!(error, StoreError::NoFolder(_)), "{error}");
        assert!(error.to_string().contains("models"), "{error}");
    }
}
