//! Items as they are gathered: a few bytes each, sorted, named and written down as a [`List`].

use super::Stopped;
use super::items::{List, Selection};
use super::names;
use super::record::ListRecord;
use super::rows::RowFormat;
use crate::plan::DecodePlan;
use std::collections::{HashMap, HashSet};
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, BufWriter};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use tempfile::SpooledTempFile;

/// Items as they are found, in any order.
pub struct Listing {
    entries: Vec<Entry>,
    /// The names, one after the other.
    text: Vec<u8>,
    /// Beginnings of paths, and reasons: few, and each once.
    interned: Vec<Vec<u8>>,
    lookup: HashMap<Vec<u8>, u32>,
    row_files: Vec<RowFile>,
    grouped: bool,
    pub others: u64,
}

#[derive(Clone, Copy)]
struct Entry {
    name_at: usize,
    size: u64,
    name: u32,
    /// How much of its name is the item's.
    key: u32,
    /// How much of the end of its name is the end of its path.
    shared: u32,
    /// The path before that.
    head: u32,
    decode: u16,
    kind: EntryKind,
}

#[derive(Clone, Copy)]
enum EntryKind {
    File,
    /// Index of the reason.
    Misfit(u32),
    /// Index of the file.
    Rows(u32),
}

struct RowFile {
    path: PathBuf,
    kind: RowFormat,
    count: u64,
}

/// A list is kept in memory up to so many bytes.
const IN_MEMORY: usize = 1 << 20;

// === impl Listing ===

impl Listing {
    /// `grouped` where several files make an item.
    pub fn new(grouped: bool) -> Self {
        Self {
            entries: vec![],
            text: vec![],
            interned: vec![],
            lookup: HashMap::new(),
            row_files: vec![],
            grouped,
            others: 0,
        }
    }

    /// `key` is how much of the name is the item's. A size that is an error says why the file is no item.
    pub fn file(&mut self, name: &str, key: usize, decode: usize, path: &Path, size: Result<u64, String>) {
        let path = path.as_os_str().as_bytes();
        let alike = |(a, b): &(&u8, &u8)| a == b;
        let shared = name.as_bytes().iter().rev().zip(path.iter().rev()).take_while(alike).count();
        let head = self.intern(&path[..path.len() - shared]);
        let (size, kind) = match size {
            Ok(size) => (size, EntryKind::File),
            Err(reason) => (0, EntryKind::Misfit(self.intern(reason.as_bytes()))),
        };
        self.push(
            name,
            key,
            Entry { shared: shared as u32, head, decode: decode as u16, size, kind, ..Entry::new() },
        );
    }

    pub fn rows(&mut self, name: &str, path: &Path, kind: RowFormat, count: u64, size: u64) {
        let index = self.row_files.len() as u32;
        self.row_files.push(RowFile { path: path.to_owned(), kind, count });
        self.push(name, name.len(), Entry { size, kind: EntryKind::Rows(index), ..Entry::new() });
    }

    fn push(&mut self, name: &str, key: usize, entry: Entry) {
        let name_at = self.text.len();
        self.text.extend_from_slice(name.as_bytes());
        self.entries.push(Entry { name_at, name: name.len() as u32, key: key as u32, ..entry });
    }

    fn intern(&mut self, bytes: &[u8]) -> u32 {
        if let Some(index) = self.lookup.get(bytes) {
            return *index;
        }
        let index = self.interned.len() as u32;
        self.interned.push(bytes.to_owned());
        self.lookup.insert(bytes.to_owned(), index);
        index
    }

    fn name(&self, entry: &Entry) -> &str {
        self.slice(entry, entry.name)
    }

    fn key(&self, entry: &Entry) -> &str {
        self.slice(entry, entry.key)
    }

    fn slice(&self, entry: &Entry, length: u32) -> &str {
        let bytes = self.text.get(entry.name_at..entry.name_at + length as usize);
        // What was put in was text, and a stem ends before a dot.
        std::str::from_utf8(bytes.unwrap_or_default()).unwrap_or_default()
    }

    fn interned(&self, index: u32) -> &[u8] {
        self.interned.get(index as usize).map_or(&[], Vec::as_slice)
    }

    fn path(&self, entry: &Entry) -> PathBuf {
        let name = self.name(entry).as_bytes();
        let mut path = self.interned(entry.head).to_owned();
        path.extend_from_slice(&name[name.len().saturating_sub(entry.shared as usize)..]);
        PathBuf::from(std::ffi::OsStr::from_bytes(&path))
    }

    fn sort(&mut self) {
        let mut entries = std::mem::take(&mut self.entries);
        entries.sort_unstable_by(|a, b| {
            names::order(self.key(a), self.key(b))
                .then_with(|| a.decode.cmp(&b.decode))
                .then_with(|| self.name(a).cmp(self.name(b)))
                .then_with(|| a.name_at.cmp(&b.name_at))
        });
        self.entries = entries;
    }

    /// Puts them in order and apart.
    pub fn finish(mut self, decodes: &[DecodePlan], wanted: &Selection) -> Result<List, Stopped> {
        self.sort();
        while self.part_doubles() {
            self.sort();
        }
        if self.grouped && self.part_seconds(decodes) {
            self.sort();
        }
        let others = self.others;
        let without = |entry: &&Entry| {
            let rows = if let EntryKind::Rows(index) = entry.kind { Some(index as usize) } else { None };
            rows.and_then(|index| self.row_files.get(index)).is_some_and(|file| file.count == 0)
        };
        let without_rows =
            self.entries.iter().filter(without).map(|entry| self.name(entry).to_owned()).collect();
        let (file, digest) = self.write(decodes, wanted).map_err(Stopped::list)?;
        let wanted = wanted.clone();
        let mut list = List { file, wanted, total: 0, misfits: 0, others, without_rows, digest };
        list.count(decodes)?;
        Ok(list)
    }

    /// Drops what was given twice, as itself and in its folder; of two files that would have one name, the
    /// second is named anew. Whether there were such.
    fn part_doubles(&mut self) -> bool {
        let mut renamed = vec![];
        let mut kept: Vec<Entry> = Vec::with_capacity(self.entries.len());
        for entry in &self.entries {
            match kept.last() {
                Some(last) if self.name(last) == self.name(entry) => {
                    if !self.is_same(last, entry) {
                        renamed.push(*entry);
                    }
                }
                _ => kept.push(*entry),
            }
        }
        self.entries = kept;
        for entry in &renamed {
            let path = self.path(entry);
            let head = self.intern(path.as_os_str().as_bytes());
            let name = format!("{}~", self.name(entry));
            let key = if entry.key == entry.name { name.len() } else { entry.key as usize };
            self.push(&name, key, Entry { head, shared: 0, ..*entry });
        }
        !renamed.is_empty()
    }

    fn is_same(&self, a: &Entry, b: &Entry) -> bool {
        let path = |entry: &Entry| match entry.kind {
            EntryKind::Rows(index) => {
                self.row_files.get(index as usize).map(|f| f.path.clone()).unwrap_or_default()
            }
            _ => self.path(entry),
        };
        let (a, b) = (path(a), path(b));
        a == b || matches!((fs::canonicalize(&a), fs::canonicalize(&b)), (Ok(a), Ok(b)) if a == b)
    }

    /// Makes an item of its own, which cannot be run, of each second file for one decode.
    fn part_seconds(&mut self, decodes: &[DecodePlan]) -> bool {
        let mut found = vec![];
        for (index, pair) in self.entries.windows(2).enumerate() {
            let [a, b] = pair else { continue };
            let same = self.key(a) == self.key(b) && a.decode == b.decode;
            if same && matches!(b.kind, EntryKind::File | EntryKind::Misfit(_)) {
                found.push((index + 1, b.decode));
            }
        }
        for (index, decode) in &found {
            let name = decodes.get(usize::from(*decode)).map_or("", |d| d.name.as_str());
            let reason = self.intern(format!("a second file for decode `{name}`").as_bytes());
            if let Some(entry) = self.entries.get_mut(*index) {
                (entry.key, entry.kind) = (entry.name, EntryKind::Misfit(reason));
            }
        }
        !found.is_empty()
    }

    fn write(
        self,
        decodes: &[DecodePlan],
        wanted: &Selection,
    ) -> io::Result<(SpooledTempFile, blake3::Hash)> {
        let taken = TakenNames::new(&self, wanted);
        let mut out = BufWriter::new(SpooledTempFile::new(IN_MEMORY));
        let mut digest = blake3::Hasher::new();
        let mut rest = self.entries.as_slice();
        while let Some(first) = rest.first() {
            let name = self.key(first);
            let length = rest.iter().take_while(|e| self.key(e) == name).count();
            let (group, others) = rest.split_at(if self.grouped { length } else { 1 });
            rest = others;
            let record = self.record(name, group, decodes, &taken);
            digest.update(&(name.len() as u64).to_le_bytes());
            digest.update(name.as_bytes());
            for entry in group {
                digest.update(&entry.size.to_le_bytes());
                digest.update(&[entry.decode as u8, matches!(entry.kind, EntryKind::Misfit(_)).into()]);
                // Another delimiter makes other rows of the same file.
                if let EntryKind::Rows(index) = entry.kind
                    && let Some(RowFile { kind: RowFormat::Csv { delimiter }, .. }) =
                        self.row_files.get(index as usize)
                {
                    digest.update(&[*delimiter]);
                }
            }
            record.write(&mut out)?;
        }
        let file = out.into_inner().map_err(|e| e.into_error())?;
        Ok((file, digest.finalize()))
    }

    fn record(&self, name: &str, group: &[Entry], decodes: &[DecodePlan], taken: &TakenNames) -> ListRecord {
        let name = name.to_owned();
        let mut paths = vec![];
        let mut bytes = 0;
        for (index, entry) in group.iter().enumerate() {
            match entry.kind {
                EntryKind::Misfit(reason) => {
                    let mut reason = String::from_utf8_lossy(self.interned(reason)).into_owned();
                    if self.name(entry) != name {
                        reason = format!("{}: {reason}", self.name(entry));
                    }
                    return ListRecord::Misfit { name, reason };
                }
                EntryKind::Rows(rows) => {
                    let Some(file) = self.row_files.get(rows as usize) else { continue };
                    return ListRecord::Rows {
                        name,
                        path: file.path.clone(),
                        kind: file.kind,
                        count: file.count,
                    };
                }
                EntryKind::File if usize::from(entry.decode) == index => {
                    paths.push(self.path(entry));
                    bytes += entry.size;
                }
                EntryKind::File => break,
            }
        }
        if let Some(missing) = decodes.get(paths.len()) {
            let kinds = missing.decode.extensions().join(", .");
            let reason = format!("no file for decode `{}` (.{kinds}) shares its stem", missing.name);
            return ListRecord::Misfit { name, reason };
        }
        let short = !self.grouped && taken.may_be_short(&name);
        ListRecord::Files { name, short, bytes, paths }
    }
}

impl Entry {
    fn new() -> Self {
        Self { name_at: 0, size: 0, name: 0, key: 0, shared: 0, head: 0, decode: 0, kind: EntryKind::File }
    }
}

/// Which names of files with answers are spoken for.
struct TakenNames {
    /// Hashes of all stems and names that occur more than once.
    twice: HashSet<u64>,
    /// The hashes of folders that will be there.
    folders: HashSet<u64>,
    extensions: Vec<&'static str>,
}

impl TakenNames {
    fn new(listing: &Listing, wanted: &Selection) -> Self {
        let mut hashes = Vec::with_capacity(2 * listing.entries.len());
        let mut folders = HashSet::new();
        let mut last = "";
        for entry in &listing.entries {
            let name = listing.key(entry);
            hashes.push(hash(name));
            let stem = names::stem(name);
            if stem != name {
                hashes.push(hash(stem));
            }
            let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
            if folder != last {
                last = folder;
                let mut folder = Some(folder);
                while let Some(name) = folder.filter(|name| folders.insert(hash(name))) {
                    folder = name.rsplit_once('/').map(|(above, _)| above);
                }
            }
        }
        hashes.sort_unstable();
        let twice = hashes.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]).collect();
        Self { twice, folders, extensions: wanted.extensions.clone() }
    }

    /// Whether "a" will do for a.jpg.
    fn may_be_short(&self, name: &str) -> bool {
        let stem = names::stem(name);
        let folder = |extension: &&str| self.folders.contains(&hash(&format!("{stem}.{extension}")));
        !self.twice.contains(&hash(stem)) && !self.extensions.iter().any(folder)
    }
}

fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}
