//! What a version's content is known by.

use super::Content;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;
use std::str::FromStr;

/// BLAKE3 over the names and contents of a version's files.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(pub [u8; 32]);

/// BLAKE3 over the content of one file.
#[derive(Clone, Copy)]
pub struct FileHash([u8; 32]);

impl FileHash {
    pub fn of(content: &Content) -> Self {
        let mut hasher = blake3::Hasher::new();
        content.pieces().for_each(|piece| _ = hasher.update(piece));
        Self(*hasher.finalize().as_bytes())
    }
}

impl Digest {
    /// The digest of files by name, in their order. A content that goes by several names is hashed once.
    pub fn of<'a>(files: impl IntoIterator<Item = (&'a str, FileHash)>) -> Self {
        let mut hasher = blake3::Hasher::new();
        for (name, hash) in files {
            hasher.update(&(name.len() as u64).to_le_bytes());
            hasher.update(name.as_bytes());
            hasher.update(&hash.0);
        }
        Self(*hasher.finalize().as_bytes())
    }
}

impl fmt::Display for Digest {
    /// Writes all of it as hex; with a precision, that number of its digits: `{:.12}`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = f.precision().unwrap_or(64).min(64);
        for at in 0..digits {
            let byte = self.0[at / 2];
            write!(f, "{:x}", if at % 2 == 0 { byte >> 4 } else { byte & 15 })?;
        }
        Ok(())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:.12}")
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl FromStr for Digest {
    type Err = blake3::HexError;

    fn from_str(hex: &str) -> Result<Self, Self::Err> {
        blake3::Hash::from_hex(hex).map(|hash| Self(*hash.as_bytes()))
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}
