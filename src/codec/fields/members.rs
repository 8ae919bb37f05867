//! The members of an answer as JSON: what is there for each element of a list is an array, what is absent `null`.

use super::{Field, Group, Member};
use crate::plan::{EncodeError, Given, Input, Labels};

/// The part of a value that belongs to an element: to the one at these positions in the lists that it lies in, or to
/// what that was made for.
pub fn at<'g>(given: &'g Given, path: &[usize]) -> &'g Given {
    path.iter().fold(given, |given, index| match given {
        Given::Each(elements) => elements.get(*index).unwrap_or(&Given::Absent),
        other => other,
    })
}

/// Writes the members of a JSON object, without its braces, for the element at `path`.
pub fn write_members(
    members: &[Member],
    inputs: &[Input],
    path: &mut Vec<usize>,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    for (index, member) in members.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        match member {
            Member::Field(field) => {
                write_string(&field.name, out);
                out.push(b':');
                let input = field.input(inputs)?;
                write_value(field, at(&input.given, path), input.labels.as_ref(), out)?;
            }
            Member::Group(group) => {
                write_string(&group.name, out);
                out.push(b':');
                write_group(group, inputs, path, out)?;
            }
        }
    }
    Ok(())
}

fn write_group(
    group: &Group,
    inputs: &[Input],
    path: &mut Vec<usize>,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    let object = |path: &mut Vec<usize>, out: &mut Vec<u8>| {
        out.push(b'{');
        write_members(&group.members, inputs, path, out)?;
        out.push(b'}');
        Ok(())
    };
    let Some(list) = group.each else { return object(path, out) };
    let list = inputs.get(list).map_or(&Given::Absent, |input| at(&input.given, path));
    let length = match list {
        Given::Absent => {
            out.extend_from_slice(b"null");
            return Ok(());
        }
        Given::Length(length) => *length,
        other => return Err(unforeseen(&group.name, other)),
    };
    out.push(b'[');
    for index in 0..length {
        if index > 0 {
            out.push(b',');
        }
        path.push(index);
        object(path, out)?;
        path.pop();
    }
    out.push(b']');
    Ok(())
}

fn write_value(
    field: &Field,
    given: &Given,
    labels: Option<&Labels>,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    match given {
        Given::Absent => out.extend_from_slice(b"null"),
        Given::One(tensor) => field.write_json(tensor, labels, out)?,
        Given::Each(elements) => {
            out.push(b'[');
            for (index, element) in elements.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_value(field, element, labels, out)?;
            }
            out.push(b']');
        }
        Given::Length(_) => return Err(unforeseen(&field.name, given)),
    }
    Ok(())
}

impl Field {
    /// What is given for its source.
    pub fn input<'i>(&self, inputs: &'i [Input]) -> Result<&'i Input, EncodeError> {
        inputs
            .get(self.source)
            .ok_or_else(|| EncodeError::Unforeseen(format!("field `{}` is given nothing", self.name)))
    }
}

fn unforeseen(name: &str, given: &Given) -> EncodeError {
    EncodeError::Unforeseen(format!("field `{name}` cannot be made of {given:?}"))
}

/// Writes a JSON string.
pub fn write_string(text: &str, out: &mut Vec<u8>) {
    // Writing to memory does not fail.
    let _ = serde_json::to_writer(out, text);
}
