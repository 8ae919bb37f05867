//! The header of NumPy's `.npy` files, versions 1 to 3.
//!
//! Format: <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>

use crate::tensor::DType;

/// What a header says of the array after it.
#[derive(Debug, PartialEq, Eq)]
pub struct Header {
    pub dtype: DType,
    pub big_endian: bool,
    pub fortran_order: bool,
    pub shape: Vec<usize>,
    /// The position of the first element in the file.
    pub start: usize,
}

const MAGIC: &[u8] = b"\x93NUMPY";
/// NumPy itself refuses longer headers.
const MAX_HEADER: usize = 64 << 10;

/// Whether the bytes begin as an npy file does.
pub fn is_npy(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC)
}

impl Header {
    /// Reads the header; errors say what is wrong, without a subject.
    pub fn read(bytes: &[u8]) -> Result<Self, String> {
        let truncated = || "is cut off within its header".to_string();
        let rest = bytes.strip_prefix(MAGIC).ok_or("does not begin as an npy file does")?;
        let [major, _minor, rest @ ..] = rest else { return Err(truncated()) };
        let (length, rest) = match (major, rest) {
            (1, [a, b, rest @ ..]) => (usize::from(u16::from_le_bytes([*a, *b])), rest),
            (2 | 3, [a, b, c, d, rest @ ..]) => (u32::from_le_bytes([*a, *b, *c, *d]) as usize, rest),
            (1..=3, _) => return Err(truncated()),
            _ => return Err(format!("is npy version {major}, where 1, 2 and 3 are known")),
        };
        if length > MAX_HEADER {
            return Err(format!("has a header of {length} bytes, more than {MAX_HEADER}"));
        }
        let text = rest.get(..length).ok_or_else(truncated)?;
        let text = std::str::from_utf8(text).map_err(|_| "has a header that is not text".to_string())?;
        let mut header = Dict(text).header()?;
        header.start = bytes.len() - rest.len() + length;
        Ok(header)
    }

    /// A header of version 1 for an array in C order in the machine's byte order, padded so that the
    /// elements begin at a multiple of 64. NumPy has no bfloat16; write such an array as float32.
    pub fn write(dtype: DType, shape: &[usize]) -> Vec<u8> {
        let kind = match dtype {
            DType::Bool => 'b',
            // Not numbers of NumPy's; the encode refuses them.
            other if !other.is_number() => 'V',
            DType::U8 | DType::U16 | DType::U32 | DType::U64 => 'u',
            DType::I8 | DType::I16 | DType::I32 | DType::I64 => 'i',
            _ => 'f',
        };
        let order = match dtype.size() {
            1 => '|',
            _ if cfg!(target_endian = "big") => '>',
            _ => '<',
        };
        let dims = match shape {
            [one] => format!("{one},"),
            more => more.iter().map(usize::to_string).collect::<Vec<_>>().join(", "),
        };
        let size = dtype.size();
        let mut dict =
            format!("{{'descr': '{order}{kind}{size}', 'fortran_order': False, 'shape': ({dims}), }}");
        let unpadded = MAGIC.len() + 4 + dict.len() + 1;
        dict.extend(std::iter::repeat_n(' ', unpadded.next_multiple_of(64) - unpadded));
        dict.push('\n');
        let mut out = MAGIC.to_vec();
        out.extend([1, 0]);
        out.extend((dict.len() as u16).to_le_bytes());
        out.extend(dict.into_bytes());
        out
    }
}

/// The Python dictionary of a header, read from its front.
struct Dict<'a>(&'a str);

impl<'a> Dict<'a> {
    fn header(&mut self) -> Result<Header, String> {
        let (mut descr, mut fortran_order, mut shape) = (None, None, None);
        self.expect('{')?;
        while !self.eat('}') {
            let key = self.string()?;
            self.expect(':')?;
            match key {
                "descr" => descr = Some(self.descr()?),
                "fortran_order" => fortran_order = Some(self.boolean()?),
                "shape" => shape = Some(self.tuple()?),
                other => return Err(format!("has an unknown key '{other}' in its header")),
            }
            if !self.eat(',') {
                self.expect('}')?;
                break;
            }
        }
        let missing = |key: &str| format!("has no '{key}' in its header");
        let (dtype, big_endian) = descr.ok_or_else(|| missing("descr"))?;
        Ok(Header {
            dtype,
            big_endian,
            fortran_order: fortran_order.ok_or_else(|| missing("fortran_order"))?,
            shape: shape.ok_or_else(|| missing("shape"))?,
            start: 0,
        })
    }

    fn eat(&mut self, c: char) -> bool {
        let trimmed = self.0.trim_start();
        match trimmed.strip_prefix(c) {
            Some(rest) => {
                self.0 = rest;
                true
            }
            None => false,
        }
    }

    fn expect(&mut self, c: char) -> Result<(), String> {
        if self.eat(c) { Ok(()) } else { Err(format!("has a header that cannot be read: no `{c}`")) }
    }

    fn string(&mut self) -> Result<&'a str, String> {
        let text = self.0.trim_start();
        let quote = text.chars().next().filter(|c| matches!(c, '\'' | '"'));
        let found = quote.and_then(|quote| text[1..].split_once(quote));
        let (string, rest) = found.ok_or("has a header that cannot be read: no string")?;
        self.0 = rest;
        Ok(string)
    }

    fn word(&mut self) -> &'a str {
        let text = self.0.trim_start();
        let end = text.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(text.len());
        let (word, rest) = text.split_at(end);
        self.0 = rest;
        word
    }

    fn boolean(&mut self) -> Result<bool, String> {
        match self.word() {
            "True" => Ok(true),
            "False" => Ok(false),
            other => Err(format!("has a header that cannot be read: `{other}` for a truth value")),
        }
    }

    fn tuple(&mut self) -> Result<Vec<usize>, String> {
        let mut dims = vec![];
        self.expect('(')?;
        while !self.eat(')') {
            let word = self.word();
            // Python 2 wrote longs as `3L`.
            let dim = word.strip_suffix('L').unwrap_or(word).parse();
            dims.push(dim.map_err(|_| format!("has a header that cannot be read: `{word}` in its shape"))?);
            if !self.eat(',') {
                self.expect(')')?;
                break;
            }
        }
        Ok(dims)
    }

    /// An element type, and whether it is big-endian.
    fn descr(&mut self) -> Result<(DType, bool), String> {
        if !self.0.trim_start().starts_with(['\'', '"']) {
            return Err("holds records, where plain numbers are read".into());
        }
        let descr = self.string()?;
        let refused = || format!("holds elements of NumPy type '{descr}', which no tensor has");
        let (order, kind) = match descr.split_at_checked(1) {
            Some((order @ ("<" | ">" | "|" | "="), kind)) => (order, kind),
            _ => ("=", descr),
        };
        let dtype = match kind {
            "f4" => DType::F32,
            "f8" => DType::F64,
            "f2" => DType::F16,
            "i1" => DType::I8,
            "i2" => DType::I16,
            "i4" => DType::I32,
            "i8" => DType::I64,
            "u1" => DType::U8,
            "u2" => DType::U16,
            "u4" => DType::U32,
            "u8" => DType::U64,
            "b1" => DType::Bool,
            _ => return Err(refused()),
        };
        Ok((dtype, order == ">"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_that_is_written_reads_back() {
        for dtype in DType::NUMBERS {
            for shape in [vec![], vec![5], vec![2, 3], vec![1, 2, 3, 4]] {
                let bytes = Header::write(dtype, &shape);
                assert_eq!(bytes.len() % 64, 0);
                let read = Header::read(&bytes).unwrap();
                // bfloat16 has no name in NumPy; its bytes would read as float16.
                let dtype = if dtype == DType::BF16 { DType::F16 } else { dtype };
                assert_eq!((read.dtype, read.shape, read.start), (dtype, shape, bytes.len()));
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn no_header_panics(bytes: Vec<u8>) {
            let _ = Header::read(&bytes);
            let mut file = b"\x93NUMPY\x01\x00\x40\x00".to_vec();
            file.extend(&bytes);
            let _ = Header::read(&file);
        }

        #[test]
        fn no_dictionary_panics(text in "[{}()'\", :a-z0-9<>|TrueFalsL]{0,80}") {
            let _ = Dict(&text).header();
        }
    }
}
