//! Rows of fax pages: ITU-T T.4 (group 3, modified Huffman), one- and two-dimensional, and T.6 (group 4).

use super::Fault;
use fax::maps::{Mode, black, mode, white};
use fax::{BitReader, ByteReader, Color};
use std::convert::Infallible;

/// How rows follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Rows each begin with a byte of their own.
    Huffman,
    /// A mark may stand before each; with `two_dimensional` a bit behind it says of which kind the row is.
    Group3 {
        two_dimensional: bool,
    },
    Group4,
}

type Bytes<'a> = Box<dyn Iterator<Item = Result<u8, Infallible>> + 'a>;

/// Reads one row after another.
pub struct Rows<'a> {
    bits: ByteReader<Bytes<'a>>,
    kind: Kind,
    width: u32,
    /// Where the colour changes in the row before, from white to black first.
    reference: Vec<u32>,
    current: Vec<u32>,
    rows: usize,
    ended: bool,
}

impl<'a> Rows<'a> {
    pub fn new(data: impl Iterator<Item = u8> + 'a, kind: Kind, width: u32) -> Self {
        // Codes are looked up some bits ahead, so there must be some after the last.
        let bytes: Bytes<'a> = Box::new(data.chain([0; 3]).map(Ok));
        let Ok(bits) = ByteReader::new(bytes);
        Self { bits, kind, width, reference: vec![], current: vec![], rows: 0, ended: false }
    }

    /// The next row, a bit a pixel, those that are black set.
    pub fn next(&mut self, row: &mut [u8]) -> Result<(), Fault> {
        row.fill(0);
        if self.ended {
            return Ok(());
        }
        self.current.clear();
        match self.kind {
            Kind::Huffman => {
                self.one_dimensional()?;
                let rest = self.bits.bits_to_byte_boundary();
                let Ok(()) = self.bits.consume(rest);
            }
            Kind::Group3 { two_dimensional } => {
                let marked = self.skip_mark();
                if two_dimensional && marked && !self.bit()? {
                    self.two_dimensional()?;
                } else {
                    self.one_dimensional()?;
                }
            }
            Kind::Group4 => self.two_dimensional()?,
        }
        self.rows += 1;
        for span in self.current.chunks(2) {
            let end = span.get(1).map_or(self.width, |end| *end);
            set_bits(row, span[0] as usize, end as usize);
        }
        std::mem::swap(&mut self.reference, &mut self.current);
        Ok(())
    }

    fn bit(&mut self) -> Result<bool, Fault> {
        let bit = self.bits.peek(1).ok_or(Fault::Truncated)?;
        let Ok(()) = self.bits.consume(1);
        Ok(bit == 1)
    }

    /// Goes over an end-of-line mark, eleven zeros or more and a one, if one comes next.
    fn skip_mark(&mut self) -> bool {
        if self.bits.peek(11) != Some(0) {
            return false;
        }
        while self.bits.peek(1) == Some(0) {
            let Ok(()) = self.bits.consume(1);
        }
        let Ok(()) = self.bits.consume(1);
        true
    }

    fn run(&mut self, color: Color) -> Result<u32, Fault> {
        let mut length = 0_u32;
        loop {
            let code = match color {
                Color::White => white::decode(&mut self.bits),
                Color::Black => black::decode(&mut self.bits),
            };
            let code = u32::from(code.ok_or(Fault::Corrupt("a fax code"))?);
            length += code;
            if length > self.width {
                return Err(Fault::Corrupt("a fax row"));
            }
            if code < 64 {
                return Ok(length);
            }
        }
    }

    fn change(&mut self, at: u32) -> Result<(), Fault> {
        if at > self.width || self.current.last().is_some_and(|last| *last > at) {
            return Err(Fault::Corrupt("a fax row"));
        }
        self.current.push(at);
        Ok(())
    }

    fn one_dimensional(&mut self) -> Result<(), Fault> {
        let (mut at, mut color) = (0, Color::White);
        while at < self.width || self.current.is_empty() {
            at += self.run(color)?;
            self.change(at)?;
            color = !color;
        }
        Ok(())
    }

    fn two_dimensional(&mut self) -> Result<(), Fault> {
        let (mut at, mut color) = (0, Color::White);
        let mut begun = false;
        let mut next = 0;
        while at < self.width {
            // The first change of the row before that lies to the right and is one to the other colour, and the one
            // after it.
            let parity = if color == Color::White { 0 } else { 1 };
            next = usize::max(next, 2) - 2;
            next += (next ^ parity) & 1;
            while self.reference.get(next).is_some_and(|change| *change < at || (begun && *change == at)) {
                next += 2;
            }
            let change = |index: usize| self.reference.get(index).copied().unwrap_or(self.width);
            let (first, second) = (change(next), change(next + 1));
            match mode::decode(&mut self.bits).ok_or(Fault::Corrupt("a fax code"))? {
                Mode::Pass => at = second,
                Mode::Vertical(offset) => {
                    at = first.checked_add_signed(i32::from(offset)).ok_or(Fault::Corrupt("a fax row"))?;
                    self.change(at)?;
                    color = !color;
                }
                Mode::Horizontal => {
                    let first = at + self.run(color)?;
                    self.change(first)?;
                    at = first + self.run(!color)?;
                    self.change(at)?;
                }
                // White rows at the end may be left out.
                Mode::EOF if self.rows > 0 && !begun => {
                    self.ended = true;
                    return Ok(());
                }
                Mode::EOF => return Err(Fault::Truncated),
                Mode::Extension => {
                    return Err(Fault::Unsupported("a fax page with parts that are not coded".into()));
                }
            }
            begun = true;
        }
        Ok(())
    }
}

fn set_bits(row: &mut [u8], from: usize, to: usize) {
    for at in from..to {
        if let Some(byte) = row.get_mut(at / 8) {
            *byte |= 0x80 >> (at % 8);
        }
    }
}
