//! A file in memory, in pieces: what was read alone is freed alone.

use bytes::{Buf, Bytes, BytesMut};
use std::io::{self, Read};

/// Bytes that a piece has at most, unless it is one that is asked for whole.
const PIECE: usize = 1 << 20;

/// The bytes of a file, in order. A clone shares the pieces.
#[derive(Clone, Debug, Default)]
pub struct Content {
    /// None is empty.
    pieces: Vec<Bytes>,
    /// Where each piece ends.
    ends: Vec<usize>,
}

impl From<Bytes> for Content {
    /// The content in one piece.
    fn from(whole: Bytes) -> Self {
        let mut content = Self::default();
        content.push(whole);
        content
    }
}

impl From<Vec<u8>> for Content {
    fn from(whole: Vec<u8>) -> Self {
        Bytes::from(whole).into()
    }
}

impl Content {
    pub fn len(&self) -> usize {
        self.ends.last().copied().unwrap_or(0)
    }

    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    pub fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        self.pieces.iter().map(|piece| &piece[..])
    }

    /// Adds to its end.
    pub fn push(&mut self, piece: Bytes) {
        if !piece.is_empty() {
            self.ends.push(self.len() + piece.len());
            self.pieces.push(piece);
        }
    }

    /// The bytes from there on; shared where one piece has them all, else copied. `None` beyond its end.
    pub fn slice(&self, start: usize, length: usize) -> Option<Bytes> {
        start.checked_add(length).filter(|end| *end <= self.len())?;
        if length == 0 {
            return Some(Bytes::new());
        }
        let mut index = self.ends.partition_point(|end| *end <= start);
        let mut at = start - index.checked_sub(1).map_or(0, |before| self.ends[before]);
        if let Some(piece) = self.pieces.get(index).filter(|piece| piece.len() - at >= length) {
            return Some(piece.slice(at..at + length));
        }
        let mut joined = Vec::with_capacity(length);
        while joined.len() < length {
            let piece = &self.pieces.get(index)?[at..];
            joined.extend_from_slice(&piece[..piece.len().min(length - joined.len())]);
            (index, at) = (index + 1, 0);
        }
        Some(joined.into())
    }

    /// Reads a file to its end, cut at these places, which are ascending, and at none where a piece would be
    /// smaller than is worth it. `size` is what the file is thought to have.
    pub fn read(file: &mut dyn Read, size: usize, cuts: &[usize]) -> io::Result<Self> {
        let mut content = Self::default();
        for cut in cuts.iter().chain([&size]) {
            let length = cut.min(&size).saturating_sub(content.len());
            if length >= PIECE || *cut >= size {
                content.push(piece(file, length)?);
            }
        }
        content.read_rest(file)?;
        Ok(content)
    }

    /// Reads a file from where it is to its end, as pieces of no meaning.
    pub fn read_rest(&mut self, file: &mut dyn Read) -> io::Result<()> {
        loop {
            let piece = piece(file, PIECE)?;
            let last = piece.len() < PIECE;
            self.push(piece);
            if last {
                return Ok(());
            }
        }
    }
}

/// Reads a number of bytes of a file, or as many as it has.
pub fn piece(file: &mut dyn Read, length: usize) -> io::Result<Bytes> {
    let mut piece = Vec::new();
    piece.try_reserve_exact(length).map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?;
    file.take(length as u64).read_to_end(&mut piece)?;
    piece.shrink_to_fit();
    Ok(piece.into())
}

/// A reader from the beginning to the end; each piece is let go as soon as it has been read.
#[derive(Debug)]
pub struct Reader {
    /// The first is empty only at the end.
    front: Bytes,
    rest: std::vec::IntoIter<Bytes>,
    remaining: usize,
}

impl Content {
    pub fn reader(self) -> Reader {
        let remaining = self.len();
        let mut rest = self.pieces.into_iter();
        Reader { front: rest.next().unwrap_or_default(), rest, remaining }
    }
}

impl Reader {
    fn refill(&mut self) {
        if self.front.is_empty() {
            self.front = self.rest.next().unwrap_or_default();
        }
    }
}

impl Buf for Reader {
    fn remaining(&self) -> usize {
        self.remaining
    }

    fn chunk(&self) -> &[u8] {
        &self.front
    }

    fn advance(&mut self, mut count: usize) {
        self.remaining = self.remaining.saturating_sub(count);
        while count > 0 && !self.front.is_empty() {
            let here = count.min(self.front.len());
            self.front.advance(here);
            count -= here;
            self.refill();
        }
    }

    fn copy_to_bytes(&mut self, length: usize) -> Bytes {
        let length = length.min(self.remaining);
        if length <= self.front.len() {
            self.remaining -= length;
            let bytes = self.front.split_to(length);
            self.refill();
            return bytes;
        }
        let mut joined = BytesMut::with_capacity(length);
        while joined.len() < length {
            let here = self.front.len().min(length - joined.len());
            joined.extend_from_slice(&self.front[..here]);
            self.advance(here);
        }
        joined.freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pieces: &[&'static str]) -> Content {
        let mut content = Content::default();
        pieces.iter().for_each(|piece| content.push(Bytes::from_static(piece.as_bytes())));
        content
    }

    #[test]
    fn a_slice_is_shared_within_a_piece_and_joined_over_several() {
        let content = of(&["abc", "", "defg", "h"]);
        assert_eq!((content.len(), content.pieces().count()), (8, 3));
        let shared = content.slice(4, 3).unwrap();
        assert_eq!((&shared[..], shared.as_ptr()), (&b"efg"[..], content.pieces[1][1..].as_ptr()));
        assert_eq!(&content.slice(2, 6).unwrap()[..], b"cdefgh");
        assert_eq!(&content.slice(8, 0).unwrap()[..], b"");
        for (start, length) in [(8, 1), (0, 9), (usize::MAX, 1), (1, usize::MAX)] {
            assert_eq!(content.slice(start, length), None);
        }
    }

    #[test]
    fn a_reader_gives_all_of_it_in_order() {
        let mut reader = of(&["abc", "defg", "h"]).reader();
        assert_eq!(&reader.copy_to_bytes(2)[..], b"ab");
        assert_eq!(&reader.copy_to_bytes(3)[..], b"cde");
        reader.advance(2);
        assert_eq!((reader.remaining(), reader.chunk()), (1, &b"h"[..]));
        assert_eq!(&reader.copy_to_bytes(9)[..], b"h");
        assert_eq!((reader.remaining(), reader.chunk()), (0, &b""[..]));
    }

    #[test]
    fn a_file_is_cut_where_that_is_worth_it() {
        let file: Vec<u8> = (0..3 * PIECE + 5).map(|n| (n % 251) as u8).collect();
        let read = |size, cuts: &[usize]| {
            let content = Content::read(&mut &file[..], size, cuts).unwrap();
            assert_eq!(content.pieces().collect::<Vec<_>>().concat(), file);
            content.pieces().map(<[u8]>::len).collect::<Vec<_>>()
        };
        let cuts = [10, PIECE + 1, PIECE + 2, 3 * PIECE, usize::MAX];
        assert_eq!(read(file.len(), &cuts), [PIECE + 1, 2 * PIECE - 1, 5]);
        // It has become longer, or shorter.
        assert_eq!(read(10, &cuts), [10, PIECE, PIECE, PIECE - 5]);
        assert_eq!(read(file.len() + 9, &[PIECE]), [PIECE, 2 * PIECE + 5]);
    }
}
