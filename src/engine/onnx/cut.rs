//! A model file read in pieces, so that each of its larger tensors can be freed alone.

use super::wire::{LARGE, Tape, walk};
use crate::store::{Content, content};
use std::io::{self, BufRead, BufReader, Read};

/// A piece that holds none of the larger tensors.
const PIECE: u64 = 1 << 20;

/// Reads a model file, each of its larger tensors alone. `size` is what the file is thought to have. Whether it
/// is a model at all is not said here.
pub fn read(file: &mut dyn io::Read, size: usize) -> io::Result<Content> {
    let file = BufReader::with_capacity(LARGE as usize, file);
    let mut tape = Recorded { file, content: Content::default(), piece: Vec::new(), failed: None };
    // Where it is no model, the rest is read for whoever says so.
    let _ = walk(&mut tape, size as u64);
    let Recorded { mut file, mut content, piece, failed } = tape;
    content.push(piece.into());
    match failed {
        Some(error) => Err(error),
        None => content.read_rest(&mut file).map(|()| content),
    }
}

/// A file on its way into memory.
struct Recorded<'a> {
    file: BufReader<&'a mut dyn io::Read>,
    content: Content,
    /// What was read since the last piece of the content.
    piece: Vec<u8>,
    failed: Option<io::Error>,
}

impl Recorded<'_> {
    fn cut(&mut self) {
        self.piece.shrink_to_fit();
        self.content.push(std::mem::take(&mut self.piece).into());
    }
}

impl Tape for Recorded<'_> {
    fn byte(&mut self) -> Option<u8> {
        match self.file.fill_buf() {
            Ok(buffer) => {
                let byte = *buffer.first()?;
                self.file.consume(1);
                self.piece.push(byte);
                Some(byte)
            }
            Err(error) => {
                self.failed = Some(error);
                None
            }
        }
    }

    fn pass(&mut self, length: u64, alone: bool) -> bool {
        if alone || self.piece.len() as u64 + length >= PIECE {
            self.cut();
        }
        let mut left = length;
        while left > 0 {
            let next = if alone { left } else { left.min(PIECE) };
            let read = if next < PIECE && !alone {
                (&mut self.file).take(next).read_to_end(&mut self.piece)
            } else {
                content::piece(&mut self.file, next as usize).map(|piece| {
                    let length = piece.len();
                    self.content.push(piece);
                    length
                })
            };
            match read {
                Ok(read) if read as u64 == next => left -= next,
                Ok(_) => return false,
                Err(error) => {
                    self.failed = Some(error);
                    return false;
                }
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::super::wire::tests::field;
    use super::*;

    #[test]
    fn large_tensors_are_read_alone_and_nothing_is_lost() {
        let large = vec![7; 100 << 10];
        let tensor = |name: &[u8], raw: &[u8]| field(5, &[field(8, name), field(9, raw)].concat());
        let doc = field(10, &vec![b' '; 3 << 20]);
        let graph = [tensor(b"a", &large), doc, tensor(b"b", b"tiny"), tensor(b"c", &large)].concat();
        let model = [field(7, &graph), field(20, b"end")].concat();
        let cut = |file: &[u8], size: usize| {
            let content = read(&mut &file[..], size).unwrap();
            assert_eq!(content.pieces().collect::<Vec<_>>().concat(), file);
            content.pieces().filter(|piece| *piece == large).count()
        };
        assert_eq!(cut(&model, model.len()), 2);
        // What is no model, or has another length than was thought, is read to its end all the same.
        for (file, size) in [
            (&model[..model.len() - 9], model.len()),
            (&model[..200], model.len()),
            (&model, 1000),
            (&model, usize::MAX),
            (&[0xff; 3000], 3000),
            (&[], 0),
        ] {
            cut(file, size);
        }
    }
}
