//! A look at the wire before it is decoded: an empty message takes two bytes in a file, and some hundred in
//! memory, so a file is refused by the number of its messages before any of them is made.

/// Messages and names that a file may have.
const LIMIT: usize = 2 << 20;
/// Messages inside messages; as protobuf's own limit.
const DEPTH: usize = 100;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Model,
    Graph,
    Node,
    Attribute,
    Function,
    Tensor,
    Sparse,
    /// Of which nothing but its number matters.
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
            (Kind::Model, 8) | (Kind::Graph, 11 | 12) | (Kind::Tensor, 6 | 13) => Kind::Other,
            (Kind::Node, 1 | 2) | (Kind::Attribute, 9) | (Kind::Function, 4 | 5 | 9) => Kind::Other,
            _ => return None,
        })
    }
}

/// An error where the file would take memory out of proportion, or is not protobuf at all.
pub fn check(file: &[u8]) -> Result<(), String> {
    let mut stack = vec![(Kind::Model, file)];
    let mut count = 0;
    while let Some((kind, mut bytes)) = stack.pop() {
        while !bytes.is_empty() {
            let key = varint(&mut bytes)?;
            let length = match key & 7 {
                0 => {
                    varint(&mut bytes)?;
                    continue;
                }
                1 => 8,
                5 => 4,
                2 => varint(&mut bytes)?,
                other => return Err(format!("wire type {other} is not one of protobuf's")),
            };
            let length = usize::try_from(length).ok().filter(|n| *n <= bytes.len());
            let (field, rest) = bytes.split_at(length.ok_or("a field is longer than the file")?);
            bytes = rest;
            let Some(inner) = kind.field(key >> 3).filter(|_| key & 7 == 2) else { continue };
            count += 1;
            if count > LIMIT {
                return Err(format!("it has more than {LIMIT} nodes, attributes, names and strings"));
            }
            if inner != Kind::Other {
                // What is left of this message is looked at after the one inside it.
                stack.push((kind, bytes));
                if stack.len() > DEPTH {
                    return Err(format!("graphs are nested more than {DEPTH} messages deep"));
                }
                stack.push((inner, field));
                break;
            }
        }
    }
    Ok(())
}

fn varint(bytes: &mut &[u8]) -> Result<u64, String> {
    let mut value = 0u64;
    for index in 0..10 {
        let (byte, rest) = bytes.split_first().ok_or("it ends within a field")?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f).checked_shl(7 * index).unwrap_or(0);
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err("a number is longer than 64 bits".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A length-delimited field.
    fn field(tag: u8, content: &[u8]) -> Vec<u8> {
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
