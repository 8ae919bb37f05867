//! The list of items on disk: one record after the other, numbers little-endian, texts after their length.

use super::rows::RowFormat;
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

pub(super) enum ListRecord {
    Files { name: String, short: bool, bytes: u64, paths: Vec<PathBuf> },
    Misfit { name: String, reason: String },
    Rows { name: String, path: PathBuf, kind: RowFormat, count: u64 },
}

impl ListRecord {
    pub(super) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        match self {
            Self::Files { name, short, bytes, paths } => {
                out.write_all(&[if *short { 1 } else { 0 }])?;
                put(out, name.as_bytes())?;
                number(out, *bytes)?;
                number(out, paths.len() as u64)?;
                paths.iter().try_for_each(|path| put(out, path.as_os_str().as_bytes()))
            }
            Self::Misfit { name, reason } => {
                out.write_all(&[2])?;
                put(out, name.as_bytes())?;
                put(out, reason.as_bytes())
            }
            Self::Rows { name, path, kind, count } => {
                match kind {
                    RowFormat::JsonLines => out.write_all(&[3]),
                    RowFormat::Csv { delimiter } => out.write_all(&[4, *delimiter]),
                    RowFormat::Npy => out.write_all(&[5]),
                }?;
                put(out, name.as_bytes())?;
                put(out, path.as_os_str().as_bytes())?;
                number(out, *count)
            }
        }
    }

    /// `None` at the end.
    pub(super) fn read(from: &mut impl Read) -> io::Result<Option<Self>> {
        let mut tag = [0];
        if from.read(&mut tag)? == 0 {
            return Ok(None);
        }
        let mut delimiter = [0];
        if tag == [4] {
            from.read_exact(&mut delimiter)?;
        }
        let name = String::from_utf8(take(from)?).map_err(io::Error::other)?;
        let path = |bytes: Vec<u8>| PathBuf::from(std::ffi::OsStr::from_bytes(&bytes));
        let rows = |kind, from: &mut _| -> io::Result<Option<Self>> {
            Ok(Some(Self::Rows {
                name: name.clone(),
                path: path(take(from)?),
                kind,
                count: read_number(from)?,
            }))
        };
        match tag {
            [short @ (0 | 1)] => {
                let bytes = read_number(from)?;
                let count = read_number(from)?;
                let paths = (0..count).map(|_| take(from).map(path)).collect::<io::Result<_>>()?;
                Ok(Some(Self::Files { name, short: short == 1, bytes, paths }))
            }
            [2] => {
                let reason = String::from_utf8(take(from)?).map_err(io::Error::other)?;
                Ok(Some(Self::Misfit { name, reason }))
            }
            [3] => rows(RowFormat::JsonLines, from),
            [4] => rows(RowFormat::Csv { delimiter: delimiter[0] }, from),
            _ => rows(RowFormat::Npy, from),
        }
    }
}

fn number(out: &mut impl Write, number: u64) -> io::Result<()> {
    out.write_all(&number.to_le_bytes())
}

fn put(out: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    number(out, bytes.len() as u64)?;
    out.write_all(bytes)
}

fn read_number(from: &mut impl Read) -> io::Result<u64> {
    let mut bytes = [0; 8];
    from.read_exact(&mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}

fn take(from: &mut impl Read) -> io::Result<Vec<u8>> {
    let length = read_number(from)?;
    let mut bytes = vec![];
    from.take(length).read_to_end(&mut bytes)?;
    Ok(bytes)
}
