//! The named fields of an answer, `fields.NAME = { from = "step.output", as = "top", … }`, which json,
//! jsonl, csv and parquet share.
//!
//! - `read` takes the options: fields, and fields within fields.
//! - `draft` binds them to their sources: `level` says where each may be read, `bind` holds it against its type.
//! - `answer` computes what a field says of one value, and `members` writes it as JSON, with everything around it.

mod answer;
mod bind;
pub mod columns;
pub mod draft;
mod level;
mod members;
pub mod number;
mod read;

pub use answer::{Answer, label};
pub use level::RowsOf;
pub use members::{at, write_members, write_string};
pub use number::Number;

use crate::diagnostic::At;
use crate::plan::SourceRef;
use serde::Serialize;

/// What a field says of its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum As {
    /// Every element, nested as the tensor is.
    Values,
    /// The one element of a tensor that has one.
    Scalar,
    /// The label of the largest score, or those of integers that are classes.
    Label,
    /// The largest scores, with their labels.
    Top,
    /// Each score with its label.
    Scores,
    /// The class of the largest score along an axis.
    Argmax,
    /// The share of positions that each class has in a class map.
    Shares,
    /// The mean of all elements.
    Mean,
    /// Which alternative was taken, of a step that takes the first which is there.
    Source,
    /// The width and the height of a picture as it was sent.
    Size,
}

impl As {
    const NAMES: &[(&'static str, As)] = &[
        ("values", As::Values),
        ("scalar", As::Scalar),
        ("label", As::Label),
        ("top", As::Top),
        ("scores", As::Scores),
        ("argmax", As::Argmax),
        ("shares", As::Shares),
        ("mean", As::Mean),
        ("source", As::Source),
        ("size", As::Size),
    ];

    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, kind)| *kind == self).map_or("values", |(name, _)| name)
    }

    /// Whether it names classes, by their labels where these are known.
    pub fn has_labels(self) -> bool {
        matches!(self, Self::Label | Self::Top | Self::Scores | Self::Argmax | Self::Shares)
    }
}

/// A field as written.
#[derive(Clone, Debug)]
pub struct FieldDraft {
    pub name: At<String>,
    pub from: At<String>,
    pub kind: At<As>,
    pub labels: Option<At<String>>,
    pub top: Option<At<usize>>,
    pub axis: Option<At<usize>>,
    pub softmax: bool,
    /// The number of decimal places.
    pub round: Option<u32>,
    /// Whether its options have no errors.
    pub sound: bool,
}

/// A member of an answer, as written.
#[derive(Clone, Debug)]
pub enum MemberDraft {
    Field(FieldDraft),
    Group(GroupDraft),
}

/// A member that holds others, `fields.a = { fields.b = … }`; with `each`, an array of such objects.
#[derive(Clone, Debug)]
pub struct GroupDraft {
    /// The group in the words of an error message.
    pub what: String,
    pub name: At<String>,
    pub each: Option<At<String>>,
    pub members: Vec<MemberDraft>,
    /// Whether its options have no errors.
    pub sound: bool,
}

/// A member of an answer whose sources are known.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum Member {
    Field(Field),
    Group(Group),
}

#[derive(Clone, Debug, Serialize)]
pub struct Group {
    pub name: String,
    /// The source that is the list for each of whose elements there is such an object.
    pub each: Option<usize>,
    pub members: Vec<Member>,
}

/// A field whose source is known.
#[derive(Clone, Debug, Serialize)]
pub struct Field {
    pub name: String,
    /// The position of its source.
    #[serde(skip)]
    pub source: usize,
    pub kind: As,
    /// The number of classes that [`As::Top`] names.
    pub top: usize,
    pub axis: usize,
    pub softmax: bool,
    pub round: Option<u32>,
    /// The number of classes or elements, where it is known beforehand.
    pub count: Option<usize>,
    /// Whether answers carry labels.
    pub labelled: bool,
    /// Whether the source holds classes by themselves, which [`As::Label`] then names.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub stored: bool,
}

impl FieldDraft {
    pub fn source(&self) -> SourceRef {
        SourceRef { from: self.from.clone(), is_list: false, labels: self.labels.clone() }
    }

    /// Whether it says what it is, and does not leave that to its source.
    pub fn says_as(&self) -> bool {
        self.kind.place.range != self.name.place.range
    }
}

impl MemberDraft {
    /// Adds its sources, in the order in which they are bound.
    pub fn sources(&self, all: &mut Vec<SourceRef>) {
        match self {
            Self::Field(field) if field.kind.value == As::Size => {}
            Self::Field(field) => all.push(field.source()),
            Self::Group(group) => {
                all.extend(group.each.iter().map(list));
                group.members.iter().for_each(|member| member.sources(all));
            }
        }
    }

    /// Adds the decodes of whose pictures it tells the size, in the order in which they are given.
    pub fn sizes(&self, all: &mut Vec<At<String>>) {
        match self {
            Self::Field(field) if field.kind.value == As::Size => all.push(field.from.clone()),
            Self::Field(_) => {}
            Self::Group(group) => group.members.iter().for_each(|member| member.sizes(all)),
        }
    }
}

/// The list that `each` names.
pub fn list(each: &At<String>) -> SourceRef {
    SourceRef { from: each.clone(), is_list: true, labels: None }
}
