//! Huffman codes of JPEG (ITU T.81, annexes C and F): their tables, and the bits of a scan.

use super::Fault;

/// How many bits are looked up at once; longer codes are rare.
const LOOKUP: u32 = 9;

/// Codes to symbols.
#[derive(Clone)]
pub struct Table {
    /// The length of the code that the next [`LOOKUP`] bits begin with and its symbol; length 0 where the code is
    /// longer.
    short: [(u8, u8); 1 << LOOKUP],
    /// The first code that is not of each length or a shorter one, aligned to 16 bits.
    ends: [u32; 17],
    /// What is added to a code of each length to find its symbol.
    offsets: [i32; 17],
    symbols: Vec<u8>,
}

impl Table {
    /// The table of a DHT segment: how many codes there are of each length from 1 to 16, and their symbols.
    pub fn new(counts: &[u8; 16], symbols: &[u8]) -> Result<Self, Fault> {
        let mut table =
            Self { short: [(0, 0); 1 << LOOKUP], ends: [0; 17], offsets: [0; 17], symbols: symbols.to_vec() };
        let mut code = 0_u32;
        let mut next = 0_usize;
        for length in 1..=16_u32 {
            let count = usize::from(counts[length as usize - 1]);
            table.offsets[length as usize] = next as i32 - code as i32;
            for symbol in symbols.get(next..next + count).ok_or(Fault::Corrupt("a Huffman table"))? {
                if code >> length != 0 {
                    return Err(Fault::Corrupt("a Huffman table"));
                }
                if length <= LOOKUP {
                    let first = (code << (LOOKUP - length)) as usize;
                    table.short[first..first + (1 << (LOOKUP - length))].fill((length as u8, *symbol));
                }
                code += 1;
            }
            next += count;
            table.ends[length as usize] = code << (16 - length);
            code <<= 1;
        }
        Ok(table)
    }

    /// Whether every symbol can be the size of a DC difference.
    pub fn is_for_dc(&self) -> bool {
        self.symbols.iter().all(|symbol| *symbol <= 15)
    }
}

/// The bits of one scan, up to the marker that ends it. Past the end there are zeros, which [`Bits::check`] tells.
pub struct Bits<'a> {
    data: &'a [u8],
    at: usize,
    buffer: u64,
    /// Bits in the buffer, those of `padding` last.
    count: u32,
    padding: u32,
    ended: bool,
}

impl<'a> Bits<'a> {
    pub fn new(data: &'a [u8], at: usize) -> Self {
        Self { data, at, buffer: 0, count: 0, padding: 0, ended: false }
    }

    /// Where the marker after the bits is, or the next byte that was not read.
    pub fn position(&self) -> usize {
        self.at
    }

    /// REQUIRED after each unit, before it is used: that it was made of bits of the file alone.
    #[inline(always)]
    pub fn check(&self) -> Result<(), Fault> {
        if self.count < self.padding { Err(Fault::Truncated) } else { Ok(()) }
    }

    /// Fills the buffer to 32 bits or more.
    #[inline(always)]
    fn refill(&mut self) {
        if self.count >= 32 {
            return;
        }
        if let Some(bytes) = self.data.get(self.at..).and_then(|rest| rest.first_chunk::<4>()) {
            let word = u32::from_be_bytes(*bytes);
            // A byte of 0xff may be a marker's, and is looked at singly.
            let has_ff = ((word & 0x7f7f_7f7f) + 0x0101_0101) & word & 0x8080_8080 != 0;
            if !has_ff && !self.ended {
                self.buffer = self.buffer << 32 | u64::from(word);
                self.count += 32;
                self.at += 4;
                return;
            }
        }
        self.refill_slowly();
    }

    #[cold]
    #[inline(never)]
    fn refill_slowly(&mut self) {
        while self.count <= 48 {
            let byte = if self.ended { None } else { self.next_byte() };
            if byte.is_none() {
                self.padding += 8;
            }
            self.buffer = self.buffer << 8 | u64::from(byte.unwrap_or(0));
            self.count += 8;
        }
    }

    /// The next byte of data; `None` at a marker, where the position stays.
    fn next_byte(&mut self) -> Option<u8> {
        let byte = self.data.get(self.at).copied();
        if byte.is_some_and(|byte| byte != 0xff) {
            self.at += 1;
            return byte;
        }
        // A stuffed 0xff, which fill bytes may precede.
        let mut after = self.at + 1;
        while self.data.get(after) == Some(&0xff) {
            after += 1;
        }
        if byte.is_some() && self.data.get(after) == Some(&0) {
            self.at = after + 1;
            return byte;
        }
        self.ended = true;
        None
    }

    /// The next `count` bits, at most 16.
    #[inline(always)]
    pub fn take(&mut self, count: u32) -> u32 {
        self.refill();
        self.count -= count;
        (self.buffer >> self.count) as u32 & ((1 << count) - 1)
    }

    #[inline(always)]
    pub fn bit(&mut self) -> bool {
        self.take(1) == 1
    }

    /// A number of `size` bits, at most 16, as T.81 writes signed ones (EXTEND).
    #[inline(always)]
    pub fn signed(&mut self, size: u32) -> i32 {
        if size == 0 {
            return 0;
        }
        let value = self.take(size) as i32;
        if value < 1 << (size - 1) { value - (1 << size) + 1 } else { value }
    }

    #[inline(always)]
    pub fn symbol(&mut self, table: &Table) -> Result<u8, Fault> {
        self.refill();
        let next = (self.buffer >> (self.count - 16)) as u32 & 0xffff;
        let (length, symbol) = table.short[(next >> (16 - LOOKUP)) as usize];
        if length != 0 {
            self.count -= u32::from(length);
            return Ok(symbol);
        }
        self.long_symbol(next, table)
    }

    #[cold]
    #[inline(never)]
    fn long_symbol(&mut self, next: u32, table: &Table) -> Result<u8, Fault> {
        for length in LOOKUP as usize + 1..=16 {
            if next < table.ends[length] {
                self.count -= length as u32;
                let code = (next >> (16 - length)) as i32;
                let index = usize::try_from(code + table.offsets[length]).ok();
                return index
                    .and_then(|i| table.symbols.get(i))
                    .copied()
                    .ok_or(Fault::Corrupt("a Huffman code"));
            }
        }
        self.check()?;
        Err(Fault::Corrupt("a Huffman code"))
    }

    /// Goes to the restart marker that must come next, and behind it.
    pub fn restart(&mut self, index: usize) -> Result<(), Fault> {
        self.check()?;
        // Whole bytes that were read ahead would be lost.
        if self.count - self.padding >= 8 {
            return Err(Fault::Corrupt("a restart interval"));
        }
        let mut at = self.at;
        while self.data.get(at) == Some(&0xff) && self.data.get(at + 1) == Some(&0xff) {
            at += 1;
        }
        match (self.data.get(at), self.data.get(at + 1)) {
            (Some(0xff), Some(marker)) if usize::from(*marker) == 0xd0 + index % 8 => {
                *self = Self::new(self.data, at + 2);
                Ok(())
            }
            (Some(_), Some(_)) => Err(Fault::Corrupt("a restart interval")),
            _ => Err(Fault::Truncated),
        }
    }
}

/// The tables that T.81 suggests (annex K), which files of a stream of pictures leave out: DC and AC, each for
/// luminance and chrominance.
pub fn usual() -> [(usize, bool, [u8; 16], &'static [u8]); 4] {
    const DC: &[u8] = &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11];
    [
        (0, false, [0, 1, 5, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0], DC),
        (1, false, [0, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0], DC),
        (0, true, [0, 2, 1, 3, 3, 2, 4, 3, 5, 5, 4, 4, 0, 0, 1, 0x7d], AC_LUMINANCE),
        (1, true, [0, 2, 1, 2, 4, 4, 3, 4, 7, 5, 4, 4, 0, 1, 2, 0x77], AC_CHROMINANCE),
    ]
}

const AC_LUMINANCE: &[u8] = &[
    0x01, 0x02, 0x03, 0x00, 0x04, 0x11, 0x05, 0x12, 0x21, 0x31, 0x41, 0x06, 0x13, 0x51, 0x61, 0x07, 0x22,
    0x71, 0x14, 0x32, 0x81, 0x91, 0xa1, 0x08, 0x23, 0x42, 0xb1, 0xc1, 0x15, 0x52, 0xd1, 0xf0, 0x24, 0x33,
    0x62, 0x72, 0x82, 0x09, 0x0a, 0x16, 0x17, 0x18, 0x19, 0x1a, 0x25, 0x26, 0x27, 0x28, 0x29, 0x2a, 0x34,
    0x35, 0x36, 0x37, 0x38, 0x39, 0x3a, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x49, 0x4a, 0x53, 0x54, 0x55,
    0x56, 0x57, 0x58, 0x59, 0x5a, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x73, 0x74, 0x75, 0x76,
    0x77, 0x78, 0x79, 0x7a, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x92, 0x93, 0x94, 0x95, 0x96,
    0x97, 0x98, 0x99, 0x9a, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xb2, 0xb3, 0xb4, 0xb5,
    0xb6, 0xb7, 0xb8, 0xb9, 0xba, 0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7, 0xc8, 0xc9, 0xca, 0xd2, 0xd3, 0xd4,
    0xd5, 0xd6, 0xd7, 0xd8, 0xd9, 0xda, 0xe1, 0xe2, 0xe3, 0xe4, 0xe5, 0xe6, 0xe7, 0xe8, 0xe9, 0xea, 0xf1,
    0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8, 0xf9, 0xfa,
];

const AC_CHROMINANCE: &[u8] = &[
    0x00, 0x01, 0x02, 0x03, 0x11, 0x04, 0x05, 0x21, 0x31, 0x06, 0x12, 0x41, 0x51, 0x07, 0x61, 0x71, 0x13,
    0x22, 0x32, 0x81, 0x08, 0x14, 0x42, 0x91, 0xa1, 0xb1, 0xc1, 0x09, 0x23, 0x33, 0x52, 0xf0, 0x15, 0x62,
    0x72, 0xd1, 0x0a, 0x16, 0x24, 0x34, 0xe1, 0x25, 0xf1, 0x17, 0x18, 0x19, 0x1a, 0x26, 0x27, 0x28, 0x29,
    0x2a, 0x35, 0x36, 0x37, 0x38, 0x39, 0x3a, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x49, 0x4a, 0x53, 0x54,
    0x55, 0x56, 0x57, 0x58, 0x59, 0x5a, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x73, 0x74, 0x75,
    0x76, 0x77, 0x78, 0x79, 0x7a, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x92, 0x93, 0x94,
    0x95, 0x96, 0x97, 0x98, 0x99, 0x9a, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xb2, 0xb3,
    0xb4, 0xb5, 0xb6, 0xb7, 0xb8, 0xb9, 0xba, 0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7, 0xc8, 0xc9, 0xca, 0xd2,
    0xd3, 0xd4, 0xd5, 0xd6, 0xd7, 0xd8, 0xd9, 0xda, 0xe2, 0xe3, 0xe4, 0xe5, 0xe6, 0xe7, 0xe8, 0xe9, 0xea,
    0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8, 0xf9, 0xfa,
];
