//! A look at the wire before it is decoded: an empty message takes two bytes in a file, and some hundred in
//! memory, so a file is refused by the number of its messages before any of them is made.

use crate::store::Content;

/// Messages and names that a file may have, and strings that any file may have.
const LIMIT: usize = 2 << 20;
/// The bytes of a file for which it may have one string more. A string takes some 64 bytes in memory, so that those of a
/// file take no more than a few times the file. A forest has one for each of its nodes, beside some 30 bytes of numbers.
const BYTES_PER_STRING: u64 = 16;
/// Messages inside messages; as protobuf's own limit.
const DEPTH: usize = 100;

const STRING_OF_ATTRIBUTE: (Kind, u64) = (Kind::Attribute, 9);
const STRING_OF_TENSOR: (Kind, u64) = (Kind::Tensor, 6);
/// Elements of a tensor, and a word on where else they lie.
const RAW: (Kind, u64) = (Kind::Tensor, 9);
const EXTERNAL: (Kind, u64) = (Kind::Tensor, 13);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Model,
    Graph,
    Node,
    Attribute,
    Function,
    Tensor,
    Sparse,
    /// A message or a name that is counted and not looked into.
    Other,
}

impl Kind {
    /// What a length-delimited field holds, where that is counted.
    fn field(self, tag: u64) -> Option<Kind> {
        Some(match (self, tag) {
            (Kind::Model, 7) | (Kind::Attribute, 6) => Kind::Graph,
            (Kind::Model, 25) => Kind::Function,
            (Kind::Graph, 1) | (Kind::Function, 7) => Kind::Node,
            (Kind::Node, 5) | (Kind::Function, 11) => Kind::Attribute,
            (Kind::Graph, 5) | (Kind::Attribute, 5) | (Kind::Sparse, 1 | 2) => Kind::Tensor,
            (Kind::Graph, 15) | (Kind::Attribute, 22) => Kind::Sparse,
            (Kind::Model, 8) | (Kind::Graph, 11..=13) | (Kind::Tensor, 6 | 13) => Kind::Other,
            (Kind::Node, 1 | 2) | (Kind::Attribute, 9) | (Kind::Function, 4 | 5 | 9) => Kind::Other,
            _ => return None,
        })
    }
}

/// Bytes of a field that is read alone, so that it can be freed alone.
pub const LARGE: u64 = 64 << 10;

/// What [`check`] saw of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Nodes, attributes and names.
    messages: usize,
    /// Strings in attributes and in tensors.
    strings: usize,
    /// It keeps weights in other files.
    pub external: bool,
}

/// An error where the file would take memory out of proportion, or is not protobuf at all.
pub fn check(file: &Content) -> Result<Seen, String> {
    let mut pieces = file.pieces();
    let tape = &mut Read { front: pieces.next().unwrap_or_default(), rest: pieces };
    walk(tape, file.len() as u64)
}

/// Where a message is read from.
pub trait Tape {
    fn byte(&mut self) -> Option<u8>;

    /// Passes over what a field has; gives whether there was so much.
    fn pass(&mut self, length: u64, alone: bool) -> bool;
}

/// Visits the messages of a file, depth first.
pub fn walk(tape: &mut impl Tape, size: u64) -> Result<Seen, String> {
    const BEYOND: &str = "a field is longer than the file";
    let mut stack = vec![(Kind::Model, size)];
    let mut at = 0u64;
    let mut seen = Seen::default();
    let most_strings = LIMIT.saturating_add(usize::try_from(size / BYTES_PER_STRING).unwrap_or(usize::MAX));
    while let Some((kind, end)) = stack.last().copied() {
        if at >= end {
            stack.pop();
            continue;
        }
        let key = varint(tape, &mut at, end)?;
        let length = match key & 7 {
            0 => {
                varint(tape, &mut at, end)?;
                continue;
            }
            1 => 8,
            5 => 4,
            2 => varint(tape, &mut at, end)?,
            other => return Err(format!("wire type {other} is not one of protobuf's")),
        };
        let after = at.checked_add(length).filter(|after| *after <= end).ok_or(BEYOND)?;
        let inner = kind.field(key >> 3).filter(|_| key & 7 == 2);
        if matches!((kind, key >> 3), STRING_OF_ATTRIBUTE | STRING_OF_TENSOR) {
            seen.strings += 1;
            if seen.strings > most_strings {
                return Err(format!(
                    "it has more than {most_strings} strings, the most for a file of its size"
                ));
            }
        } else if inner.is_some() {
            seen.messages += 1;
            if seen.messages > LIMIT {
                return Err(format!("it has more than {LIMIT} nodes, attributes and names"));
            }
        }
        seen.external |= (kind, key >> 3) == EXTERNAL;
        match inner {
            Some(inner) if inner != Kind::Other => {
                stack.push((inner, after));
                if stack.len() > DEPTH {
                    return Err(format!("graphs are nested more than {DEPTH} messages deep"));
                }
            }
            _ => {
                let alone = length >= LARGE && (kind, key >> 3) == RAW;
                if !tape.pass(length, alone) {
                    return Err(BEYOND.to_owned());
                }
                at = after;
            }
        }
    }
    Ok(seen)
}

fn varint(tape: &mut impl Tape, at: &mut u64, end: u64) -> Result<u64, String> {
    let mut value = 0u64;
    for index in 0..10 {
        let byte = if *at < end { tape.byte() } else { None }.ok_or("it ends within a field")?;
        *at += 1;
        value |= u64::from(byte & 0x7f).checked_shl(7 * index).unwrap_or(0);
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err("a number is longer than 64 bits".to_owned())
}

/// A file in memory.
struct Read<'a, I> {
    front: &'a [u8],
    rest: I,
}

impl<'a, I: Iterator<Item = &'a [u8]>> Tape for Read<'a, I> {
    fn byte(&mut self) -> Option<u8> {
        while self.front.is_empty() {
            self.front = self.rest.next()?;
        }
        let (byte, rest) = self.front.split_first()?;
        self.front = rest;
        Some(*byte)
    }

    fn pass(&mut self, length: u64, _: bool) -> bool {
        let mut left = usize::try_from(length).unwrap_or(usize::MAX);
        while left > self.front.len() {
            left -= self.front.len();
            let Some(next) = self.rest.next() else { return false };
            self.front = next;
        }
        self.front = &self.front[left..];
        true
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use bytes::Bytes;

    fn check(file: &[u8]) -> Result<Seen, String> {
        super::check(&Bytes::copy_from_slice(file).into())
    }

    /// A length-delimited field.
    pub fn field(tag: u8, content: &[u8]) -> Vec<u8> {
        let mut out = vec![tag << 3 | 2];
        let mut length = content.len();
        while length >= 0x80 {
            out.push(length as u8 | 0x80);
            length >>= 7;
        }
        out.push(length as u8);
        out.extend_from_slice(content);
        out
    }

    #[test]
    fn empty_nodes_are_counted_before_they_are_made() {
        let nodes = field(1, &[]).repeat(LIMIT + 1);
        assert!(check(&field(7, &nodes)).unwrap_err().contains("more than"));
        assert!(check(&field(7, &field(1, &[]).repeat(1000))).is_ok());
    }

    #[test]
    fn strings_may_be_as_many_as_a_forest_of_that_size_has() {
        let attribute =
            |string: &[u8], count| field(7, &field(1, &field(5, &field(9, string).repeat(count))));
        // With the numbers of the same nodes beside them.
        let numbers = vec![0; (LIMIT + 1) * 20];
        let forest = [attribute(b"BRANCH_LEQ", LIMIT + 1), field(2, &numbers)].concat();
        assert!(check(&forest).is_ok());
        let empty = attribute(b"", LIMIT / 4 * 5);
        assert!(check(&empty).unwrap_err().contains("strings"));
    }

    #[test]
    fn depth_is_bounded() {
        let mut graph = Vec::new();
        for _ in 0..1000 {
            graph = field(1, &field(5, &field(6, &graph)));
        }
        assert!(check(&field(7, &graph)).unwrap_err().contains("nested"));
    }

    #[test]
    fn what_is_not_protobuf_is_refused() {
        for bytes in [&b"<!DOCTYPE html>"[..], b"\x3a\xff\xff\xff\xff\x0f", b"\x08\x80", b"\x0f"] {
            assert!(check(bytes).is_err(), "{bytes:?}");
        }
    }
}
