//! What items are called, the order in which they stand, and what tells them apart.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::ffi::OsStr;
use std::fmt::Write;
use std::path::{Component, Path};

/// Tells an item from all others, on every machine and in every run.
pub type Mark = [u8; 16];

pub fn mark(name: &str) -> Mark {
    mark_of(name.as_bytes())
}

pub fn mark_of(name: &[u8]) -> Mark {
    let mut mark = Mark::default();
    mark.copy_from_slice(&blake3::hash(name).as_bytes()[..16]);
    mark
}

/// A path as text. What is not UTF-8 is written in hex, and so is a backslash, so that two paths never
/// become one name.
pub fn shown(path: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(path) {
        Ok(text) if !text.contains('\\') => return text.into(),
        _ => {}
    }
    let mut text = String::with_capacity(path.len() + 8);
    for chunk in path.utf8_chunks() {
        text.push_str(&chunk.valid().replace('\\', "\\x5c"));
        for byte in chunk.invalid() {
            // Writing to a string does not fail.
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text.into()
}

/// A path as it was given, as a name that leads nowhere outside the output folder.
pub fn given(path: &Path) -> String {
    let parts: Vec<Cow<'_, str>> = path
        .components()
        .filter_map(|component| match component {
            Component::Normal(part) => Some(shown(part.as_encoded_bytes())),
            Component::ParentDir => Some("__".into()),
            _ => None,
        })
        .collect();
    parts.join("/")
}

/// The name of a row in a file of rows, counted from 0: "data.csv#12".
pub fn row(file: &str, index: u64) -> String {
    format!("{file}#{index}")
}

/// The order of items: by path, byte for byte; the rows of a file by their number.
pub fn order(a: &str, b: &str) -> Ordering {
    key(a).cmp(&key(b)).then_with(|| a.cmp(b))
}

fn key(name: &str) -> (&[u8], Option<u64>) {
    let split = name.rsplit_once('#').and_then(|(file, index)| Some((file, index.parse().ok()?)));
    match split {
        Some((file, index)) => (file.as_bytes(), Some(index)),
        None => (name.as_bytes(), None),
    }
}

/// A name without its extension; a name that is all extension (".jpg") stays as it is.
pub fn stem(name: &str) -> &str {
    match name.rsplit_once('.') {
        Some((stem, extension))
            if !stem.is_empty() && !stem.ends_with('/') && !extension.contains(['/', '#']) =>
        {
            stem
        }
        _ => name,
    }
}

/// The extension in lower case, without the dot; empty where there is none.
pub fn extension(path: &Path) -> String {
    path.extension().and_then(OsStr::to_str).unwrap_or("").to_ascii_lowercase()
}

/// One of `of` parts of the items, chosen by their names alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    pub index: u64,
    pub of: u64,
}

impl Shard {
    pub fn has(self, mark: &Mark) -> bool {
        let number = mark.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte));
        number % self.of.max(1) == self.index
    }
}

impl std::fmt::Display for Shard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.index, self.of)
    }
}

impl std::str::FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let shard = text.split_once('/').and_then(|(index, of)| {
            Some(Self { index: index.trim().parse().ok()?, of: of.trim().parse().ok()? })
        });
        match shard {
            Some(shard) if shard.index < shard.of => Ok(shard),
            _ => {
                Err("INDEX/COUNT, with the index from 0: the three of \"/3\" are 0/3, 1/3 and 2/3".to_owned())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_text_stays_apart() {
        assert_eq!(shown(b"a\xff.jpg"), r"a\xff.jpg");
        assert_eq!(shown(br"a\xff.jpg"), r"a\x5cxff.jpg");
        assert_eq!(shown("é\n.jpg".as_bytes()), "é\n.jpg");
    }

    #[test]
    fn rows_stand_by_number_and_paths_by_bytes() {
        let mut names = ["b#10", "b#9", "a/z.jpg", "a.jpg", "b#x", "b", "a"];
        names.sort_by(|a, b| order(a, b));
        assert_eq!(names, ["a", "a.jpg", "a/z.jpg", "b", "b#9", "b#10", "b#x"]);
    }

    #[test]
    fn names_lead_nowhere_else() {
        assert_eq!(given(Path::new("/a/../b/./c")), "a/__/b/c");
        assert_eq!(
            [stem("a.b.jpg"), stem(".jpg"), stem("d.x/a"), stem("t.csv#3")],
            ["a.b", ".jpg", "d.x/a", "t.csv#3"]
        );
    }

    #[test]
    fn shards_are_all_items_once() {
        for number in 0..1000 {
            let mark = mark(&number.to_string());
            assert_eq!((0..7).filter(|index| Shard { index: *index, of: 7 }.has(&mark)).count(), 1);
        }
        assert!("3/3".parse::<Shard>().is_err() && "1".parse::<Shard>().is_err());
        assert_eq!("0/3".parse::<Shard>(), Ok(Shard { index: 0, of: 3 }));
    }
}
