//! Arrays whose first axis counts the items.

use super::MAX_ROW;
use crate::codec::npy::Header;
use bytes::Bytes;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// An array of items.
pub struct Array {
    file: File,
    header: Header,
    /// The number of bytes of one item.
    stride: u64,
}

impl Array {
    pub fn open(path: &Path) -> Result<Self, String> {
        let mut file = File::open(path).map_err(|e| e.to_string())?;
        let mut head = vec![];
        Read::by_ref(&mut file).take(80 << 10).read_to_end(&mut head).map_err(|e| e.to_string())?;
        let header = Header::read(&head).map_err(|what| format!("it {what}"))?;
        let [rows, rest @ ..] = header.shape.as_slice() else {
            return Ok(Self { file, header, stride: 0 });
        };
        let stride = rest.iter().try_fold(header.dtype.size(), |size, dim| size.checked_mul(*dim));
        let stride = stride.map(|stride| stride as u64).ok_or("it has too many elements")?;
        if stride > MAX_ROW {
            return Err(format!("one row has {stride} bytes, more than {MAX_ROW}"));
        }
        let length = file.metadata().map_err(|e| e.to_string())?.len();
        let wanted = stride.checked_mul(*rows as u64).and_then(|b| b.checked_add(header.start as u64));
        if wanted.is_none_or(|wanted| wanted > length) {
            return Err("it is cut off: there are fewer elements than its header says".to_owned());
        }
        if header.fortran_order && header.shape.len() > 1 {
            return Err("it is in Fortran order, in which rows do not lie together; \
                        write it with numpy.ascontiguousarray"
                .to_owned());
        }
        Ok(Self { file, header, stride })
    }

    pub fn rank(&self) -> usize {
        self.header.shape.len()
    }

    pub fn rows(&self) -> u64 {
        self.header.shape.first().map_or(0, |rows| *rows as u64)
    }

    /// An npy file of one row.
    pub fn item(&self, index: u64) -> io::Result<Bytes> {
        let mut out = Header::write(self.header.dtype, self.header.shape.get(1..).unwrap_or_default());
        let start = out.len();
        out.resize(start + self.stride as usize, 0);
        let elements = &mut out[start..];
        self.file.read_exact_at(elements, self.header.start as u64 + index * self.stride)?;
        if self.header.big_endian != cfg!(target_endian = "big") {
            elements.chunks_exact_mut(self.header.dtype.size()).for_each(<[u8]>::reverse);
        }
        Ok(out.into())
    }
}
