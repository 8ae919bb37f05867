//! The quotes of a table, looked at as it is read: one that is never closed would make one cell of all rows after it.

use super::MAX_ROW;
use std::io::{self, Read};

/// Passes a table on as it is, and fails at its end where a quote is still open, or where one is open for too long.
pub struct Quotes<R> {
    from: R,
    delimiter: u8,
    at: At,
    /// Bytes of a byte-order mark that were passed.
    mark: usize,
    line: u64,
    after_return: bool,
    /// The line in which the last quoted cell began, and the bytes that it has.
    opened: u64,
    held: u64,
}

/// Where the last byte lies, as the `csv` crate has it.
#[derive(Clone, Copy, PartialEq)]
enum At {
    /// Before the first byte that is not of a byte-order mark.
    Mark,
    /// Before the first byte of a cell.
    Start,
    Plain,
    Quoted,
    /// After a quote within a quoted cell: its end, or the first half of a quote in it.
    Quote,
}

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

impl<R> Quotes<R> {
    pub fn new(from: R, delimiter: u8) -> Self {
        Self { from, delimiter, at: At::Mark, mark: 0, line: 1, after_return: false, opened: 0, held: 0 }
    }

    fn pass(&mut self, byte: u8) {
        if self.at == At::Mark {
            if BYTE_ORDER_MARK.get(self.mark) == Some(&byte) {
                self.mark += 1;
                return;
            }
            self.at = At::Start;
        }
        let is_end = byte == self.delimiter || byte == b'\n' || byte == b'\r';
        self.at = match (self.at, byte) {
            (At::Quoted, b'"') => At::Quote,
            (At::Quoted, _) => At::Quoted,
            (At::Quote, b'"') => At::Quoted,
            (At::Start, b'"') => {
                (self.opened, self.held) = (self.line, 0);
                At::Quoted
            }
            _ if is_end => At::Start,
            _ => At::Plain,
        };
        if self.at == At::Quoted {
            self.held += 1;
        }
        // Lines end in LF, CRLF or CR.
        if byte == b'\r' || (byte == b'\n' && !self.after_return) {
            self.line += 1;
        }
        self.after_return = byte == b'\r';
    }

    fn unclosed(&self, how: &str) -> io::Error {
        let line = self.opened;
        io::Error::new(
            io::ErrorKind::InvalidData,
            format!(
                "the quote that opens in line {line} {how}, and all after it would be one cell; a cell that begins with a \
                 quote ends with one, and a quote within it is written twice"
            ),
        )
    }
}

impl<R: Read> Read for Quotes<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(into)?;
        if read == 0 && !into.is_empty() && self.at == At::Quoted {
            return Err(self.unclosed("is never closed"));
        }
        for byte in &into[..read] {
            self.pass(*byte);
        }
        match self.at == At::Quoted && self.held > MAX_ROW {
            true => Err(self.unclosed(&format!("is not closed within {} MiB", MAX_ROW >> 20))),
            false => Ok(read),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The records, or the line of the quote that is not closed.
    fn read(text: &str) -> Result<usize, String> {
        let mut reader = csv::ReaderBuilder::new();
        let reader = reader.has_headers(false).flexible(true).delimiter(b';').buffer_capacity(4);
        let mut reader = reader.from_reader(Quotes::new(text.as_bytes(), b';'));
        let mut count = 0;
        for record in reader.byte_records() {
            record.map_err(|error| error.to_string())?;
            count += 1;
        }
        Ok(count)
    }

    #[test]
    fn a_quote_that_is_never_closed_is_told_by_its_line() {
        for (text, line) in [
            ("a;b\n1;\"2\n3;4\n", 2),
            ("\"", 1),
            ("\u{feff}\"a;b\n", 1),
            ("a\r\nb\r\n\"c\r\n", 3),
            ("a\rb\r\"c\r", 3),
            ("\"a\nb\";\"c\"\"\nd", 2),
            ("x;\"\"\"", 1),
        ] {
            let error = read(text).unwrap_err();
            assert!(
                error.starts_with(&format!("the quote that opens in line {line} is never closed")),
                "{text:?}: {error}"
            );
        }
    }

    #[test]
    fn other_quotes_are_passed() {
        for (text, records) in [
            ("\"a;b\"\n\"c\nd\";\"\"\"\"\n", 2),
            ("5\" disk;x\ny;z\"\n", 2),
            ("\"a\"b\"\nc\n", 2),
            (" \"a\nb\n", 2),
            ("\u{feff}\"a\"\nb", 2),
            ("", 0),
            ("\"\"", 1),
        ] {
            assert_eq!(read(text), Ok(records), "{text:?}");
        }
    }
}
