//! Files and folders of an output, which others may be able to write to: no link in it is followed, neither to read
//! nor to write.

use super::errors;
use rustix::fs::OFlags;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Component, Path};

/// Options that open no link, and wait for nobody.
pub fn options() -> OpenOptions {
    let mut options = File::options();
    options.custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits() as i32);
    options
}

/// A regular file, to be read.
pub fn open(path: &Path) -> io::Result<File> {
    let file = options().read(true).open(path).map_err(named)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("not a regular file")) }
}

pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = vec![];
    open(path)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// An empty file, to be written.
pub fn create(path: &Path) -> io::Result<File> {
    options().write(true).create(true).truncate(true).open(path).map_err(named)
}

/// Makes the folders that lead from one folder down to another, where they are not there. A link among them is an
/// error.
pub fn folders(from: &Path, below: &Path) -> io::Result<()> {
    let mut at = from.to_owned();
    for part in below.components() {
        let Component::Normal(part) = part else {
            return Err(io::Error::new(io::ErrorKind::InvalidFilename, "a name that leads elsewhere"));
        };
        at.push(part);
        match fs::symlink_metadata(&at) {
            Ok(found) if found.is_dir() => {}
            Ok(found) if found.is_symlink() => return Err(link(&at)),
            Ok(_) => return Err(io::Error::from(io::ErrorKind::NotADirectory)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => match fs::create_dir(&at) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                made => made?,
            },
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// An error where the path, of which there may be nothing yet, is a link.
pub fn check(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_symlink() => Err(link(path)),
        _ => Ok(()),
    }
}

/// Whether a name from a record is one that a run gives to its tables and folders: a name of the pipeline file, with an
/// extension or without.
pub fn is_name(name: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
    name != errors::NAME
        && name.len() <= LONGEST
        && name.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && name.chars().all(is_plain)
}

/// The bytes of the longest name, with its extension.
const LONGEST: usize = 64 + 16;

fn link(path: &Path) -> io::Error {
    io::Error::other(format!("`{}` is a link, which is not followed in an output", path.display()))
}

/// The system's error for a link that was not to be followed, in words.
fn named(error: io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(code) if code == rustix::io::Errno::LOOP.raw_os_error() => {
            io::Error::other("it is a link, which is not followed in an output")
        }
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_are_not_followed() {
        let (folder, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let secret = outside.path().join("secret");
        fs::write(&secret, "secret").unwrap();
        let at = |name: &str| folder.path().join(name);
        symlink(&secret, at("link")).unwrap();
        symlink(outside.path(), at("folder")).unwrap();
        assert!(open(&at("link")).is_err() && read(&at("link")).is_err() && create(&at("link")).is_err());
        assert!(folders(folder.path(), Path::new("folder/new")).is_err() && check(&at("folder")).is_err());
        assert!(folders(folder.path(), Path::new("../new")).is_err());
        assert_eq!(fs::read_to_string(&secret).unwrap(), "secret");
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1);
        folders(folder.path(), Path::new("a/b")).unwrap();
        create(&at("a/b/c")).unwrap();
        assert_eq!(read(&at("a/b/c")).unwrap(), b"");
        assert!(check(&at("a")).is_ok() && check(&at("none")).is_ok());
    }

    #[test]
    fn names_in_a_record_are_those_that_runs_give() {
        for (name, is) in [
            ("rows.csv", true),
            ("map", true),
            ("a-b_c.2.parquet", true),
            ("ä b", false),
            ("rows.csv\n", false),
            ("Rows.csv", false),
            ("-rows.csv", false),
            ("errors.jsonl", false),
            ("", false),
            (".", false),
            ("..", false),
            ("../evil", false),
            ("a/b", false),
            ("/etc/passwd", false),
            (".rserve", false),
            ("a\0", false),
            ("a/", false),
        ] {
            assert_eq!(is_name(name), is, "{name:?}");
        }
    }
}
