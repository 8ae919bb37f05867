//! What the inputs hold: files, the rows of files, and what looks like an item and is none.

use super::Stopped;
use super::glob::Glob;
use super::items::{List, Selection};
use super::listing::Listing;
use super::names;
use super::rows::{RowFormat, Rows};
use crate::plan::DecodePlan;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use walkdir::{DirEntry, WalkDir};

/// The places that items come from.
#[derive(Clone, Debug)]
pub struct Inputs {
    /// Folders (searched through, hidden files left out), files, and "-" for a list of files on stdin.
    pub paths: Vec<PathBuf>,
    /// Narrows what is found in folders.
    pub glob: Option<Glob>,
    /// What stands between the cells of tables, where it is not to be found out.
    pub delimiter: Option<u8>,
}

/// Lists the items. Nothing under `except` is taken up. An input that is not there is an error, and so is
/// a file of rows that cannot be read.
pub fn find(
    inputs: &Inputs,
    except: &Path,
    decodes: &[DecodePlan],
    wanted: &Selection,
    stdin: &mut dyn Read,
) -> Result<List, Stopped> {
    let mut finding = Finding {
        except: fs::canonicalize(except).ok(),
        written: &wanted.written,
        glob: inputs.glob.as_ref(),
        delimiter: inputs.delimiter,
        decodes,
        several: inputs.paths.len() > 1,
        listing: Listing::new(decodes.len() > 1),
    };
    for path in &inputs.paths {
        if path.as_os_str() == "-" {
            finding.list(stdin)?;
        } else {
            finding.input(path)?;
        }
    }
    finding.listing.finish(decodes, wanted)
}

struct Finding<'a> {
    except: Option<PathBuf>,
    /// What a run calls the files and folders that it writes to `except`.
    written: &'a [String],
    glob: Option<&'a Glob>,
    delimiter: Option<u8>,
    decodes: &'a [DecodePlan],
    several: bool,
    listing: Listing,
}

impl Finding<'_> {
    fn input(&mut self, input: &Path) -> Result<(), Stopped> {
        let unreadable = |error: &dyn std::fmt::Display| {
            Stopped::Input(format!("cannot read `{}`: {error}", input.display()))
        };
        let found = fs::metadata(input).map_err(|e| unreadable(&e))?;
        let prefix = if self.several { names::given(input) } else { String::new() };
        if found.is_dir() {
            return self.walk(input, &prefix);
        }
        let name = match prefix.is_empty() {
            true => names::shown(input.file_name().unwrap_or(input.as_os_str()).as_bytes()).into_owned(),
            false => prefix,
        };
        let rows = match found.is_file() {
            true => RowFormat::of(input, self.decodes, self.delimiter).map_err(|e| unreadable(&e))?,
            false => None,
        };
        match rows {
            Some(kind) => {
                let rows = Rows::open(kind, input, self.decodes).and_then(Rows::count);
                let count = rows.map_err(|e| unreadable(&e))?;
                self.listing.rows(&name, input, kind, count, found.len());
            }
            None => self.file(input, &name, size(&found), true),
        }
        Ok(())
    }

    /// Files by name, one a line; or, where names may hold newlines, each with a NUL after it.
    fn list(&mut self, stdin: &mut dyn Read) -> Result<(), Stopped> {
        let mut stdin = BufReader::new(stdin);
        let unreadable = |error| Stopped::Input(format!("cannot read the list on stdin: {error}"));
        let mut end = None;
        loop {
            let mut path = vec![];
            match end {
                None => {
                    // What ends the first name ends all.
                    let buffered = stdin.fill_buf().map_err(unreadable)?;
                    let nul = buffered.contains(&0);
                    end = Some(if nul { 0 } else { b'\n' });
                    continue;
                }
                Some(end) => stdin.read_until(end, &mut path).map_err(unreadable)?,
            };
            if path.is_empty() {
                return Ok(());
            }
            if path.last().copied() == end {
                path.pop();
            }
            if end == Some(b'\n') && path.last() == Some(&b'\r') {
                path.pop();
            }
            if path.is_empty() {
                continue;
            }
            let path = PathBuf::from(std::ffi::OsStr::from_bytes(&path));
            let name = names::given(&path);
            let size = match fs::metadata(&path) {
                Ok(found) if found.is_dir() => Err("a folder, not a file".to_owned()),
                Ok(found) => size(&found),
                Err(error) => Err(error.to_string()),
            };
            self.file(&path, &name, size, true);
        }
    }

    fn walk(&mut self, root: &Path, prefix: &str) -> Result<(), Stopped> {
        let except = self.except.take();
        let written = self.written;
        // Results that are written among the inputs are none of them.
        let is_output = fs::canonicalize(root).is_ok_and(|root| except.as_ref() == Some(&root));
        let wanted = |entry: &DirEntry| {
            let result = is_output
                && entry.depth() == 1
                && entry.file_name().to_str().is_some_and(|name| written.iter().any(|own| own == name));
            let hidden = entry.depth() > 0 && entry.file_name().as_encoded_bytes().starts_with(b".");
            let excepted = entry.depth() > 0
                && entry.file_type().is_dir()
                && except.as_ref().is_some_and(|e| fs::canonicalize(entry.path()).is_ok_and(|p| p == *e));
            !hidden && !excepted && !result
        };
        for entry in WalkDir::new(root).follow_links(true).into_iter().filter_entry(wanted) {
            let (path, size) = match entry {
                Ok(entry) if entry.depth() == 0 => continue,
                Ok(entry) if entry.file_type().is_dir() => {
                    // A folder that is called like a file and has nothing in it is somebody's mistake; one that has
                    // is gone into as any other.
                    let is_empty =
                        || fs::read_dir(entry.path()).is_ok_and(|mut inside| inside.next().is_none());
                    if !takes_any(self.decodes, &names::extension(entry.path())) || !is_empty() {
                        continue;
                    }
                    (entry.into_path(), Err("a folder, not a file".to_owned()))
                }
                Ok(entry) => {
                    let found = entry.metadata().map_err(|e| e.to_string());
                    let size = found.and_then(|found| size(&found));
                    (entry.into_path(), size)
                }
                Err(error) if error.depth() == 0 => {
                    return Err(Stopped::Input(format!("cannot read `{}`: {error}", root.display())));
                }
                // A dangling link, a folder that may not be read.
                Err(error) => {
                    let Some(path) = error.path().map(Path::to_owned) else { continue };
                    // A link that leads back to a folder above it: what it leads to is found there.
                    let Some(error) = error.io_error() else { continue };
                    (path, Err(error.to_string()))
                }
            };
            let below = path.strip_prefix(root).unwrap_or(&path);
            let name = names::shown(below.as_os_str().as_bytes());
            if self.glob.is_some_and(|glob| !glob.matches(&name)) {
                continue;
            }
            let given = self.glob.is_some_and(Glob::names_a_kind);
            let name = if prefix.is_empty() { name.into_owned() } else { format!("{prefix}/{name}") };
            // A folder that cannot be opened holds who knows what.
            let given = given || (size.is_err() && path.is_dir() && names::extension(&path).is_empty());
            self.file(&path, &name, size, given);
        }
        self.except = except;
        Ok(())
    }

    /// Files of other kinds are left alone unless they were given.
    fn file(&mut self, path: &Path, name: &str, size: Result<u64, String>, given: bool) {
        let extension = names::extension(path);
        if let [one] = self.decodes {
            if given || takes(one, &extension) {
                self.listing.file(name, name.len(), 0, path, size);
            } else {
                // A link that leads nowhere may be anything; a file of another kind is none of ours.
                self.listing.others += u64::from(size.is_ok());
            }
            return;
        }
        // Files that share a stem make an item. Where several decodes take the same kind of file, the file
        // says whose it is: "a.photo.png", "a.mask.png".
        let stem = names::stem(name);
        let candidates = || (0..self.decodes.len()).filter(|i| takes(&self.decodes[*i], &extension));
        let named =
            (0..self.decodes.len()).filter(|i| given || takes(&self.decodes[*i], &extension)).find_map(|i| {
                let rest = stem.strip_suffix(self.decodes[i].name.as_str())?.strip_suffix('.')?;
                (!rest.is_empty()).then_some((i, rest.len()))
            });
        match (named, candidates().count(), candidates().next()) {
            (Some((decode, key)), _, _) => self.listing.file(name, key, decode, path, size),
            (None, 1, Some(decode)) => self.listing.file(name, stem.len(), decode, path, size),
            (None, 2.., Some(first)) => {
                let example = format!("{stem}.{}.{extension}", self.decodes[first].name);
                let reason = format!("several decodes take .{extension}; call it `{example}` or alike");
                self.listing.file(name, name.len(), 0, path, Err(reason));
            }
            _ if given => {
                let reason = format!("no decode takes .{extension}");
                self.listing.file(name, name.len(), 0, path, Err(reason));
            }
            _ => self.listing.others += u64::from(size.is_ok()),
        }
    }
}

fn size(found: &fs::Metadata) -> Result<u64, String> {
    if found.is_file() { Ok(found.len()) } else { Err("not a regular file".to_owned()) }
}

fn takes(decode: &DecodePlan, extension: &str) -> bool {
    decode.decode.extensions().contains(&extension)
}

fn takes_any(decodes: &[DecodePlan], extension: &str) -> bool {
    decodes.iter().any(|decode| takes(decode, extension))
}

#[cfg(test)]
mod tests;
