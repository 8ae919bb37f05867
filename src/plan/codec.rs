//! What the plan asks of a codec. The room `codec` implements these, a file a format.
//!
//! A decode is ready once its options are read. An encode is read in two strides: a [`Draft`] names the
//! sources it wants; the plan resolves them, checks names, labels and types, and has the draft bound.

use super::{Labels, TensorType};
use crate::diagnostic::{At, Report};
use crate::spec;
use crate::tensor::Tensor;
use bytes::Bytes;
use image::metadata::Orientation;
use serde_json::value::RawValue;
use std::fmt::Debug;

/// The registry of formats.
pub trait Codecs {
    /// Reads the options of a decode. Errors go to the report, an unknown format is one of them; where they
    /// leave no doubt about what the decode gives, it is returned all the same, so that this can be checked.
    fn decode(&self, codec: &spec::Codec, report: &mut Report) -> Option<std::sync::Arc<dyn Decode>>;
    /// Reads the options of an encode. With errors it is returned for the sake of the sources it names.
    fn encode(&self, codec: &spec::Codec, report: &mut Report) -> Option<Box<dyn Draft>>;
}

/// What a decode reads: the whole body, a multipart field, a file; or a field of a JSON body.
#[derive(Clone, Debug)]
pub enum Payload {
    Bytes(Bytes),
    Json(Box<RawValue>),
}

impl Payload {
    /// The number of bytes.
    pub fn len(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::Json(json) => json.get().len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

pub trait Decode: Send + Sync + Debug {
    /// The name in the registry: "image".
    fn format(&self) -> &'static str;
    fn produces(&self) -> TensorType;
    /// The key under which a JSON body of several decodes may hold this one's value, beside its own name.
    fn field(&self) -> Option<&str> {
        None
    }
    /// How text becomes JSON, where the format reads values of JSON documents. Such a decode reads a body
    /// that is JSON by itself, whatever the body is called; the fields of forms and the cells of tables are
    /// values to it, and to all others they are files.
    fn json(&self) -> Option<&dyn JsonValues> {
        None
    }
    /// The same decode, told what the models that read it take, without the batch axis: what is sent need not
    /// say a shape that only one can have. `None` where that makes no difference.
    fn read_as(&self, _dims: &[Option<usize>]) -> Option<std::sync::Arc<dyn Decode>> {
        None
    }
    /// The least and the greatest number that it gives, where that is known: what a model is tried with before it
    /// serves.
    fn range(&self) -> Option<(f64, f64)> {
        None
    }
    /// Whether it gives [`Decoded::origin`] where that is asked for: a picture, which encodes can draw on.
    fn keeps_picture(&self) -> bool {
        false
    }
    /// The option that is missing where lengths of axes are open because what is read may have any size, and a
    /// model takes one only: "size".
    fn missing_size(&self) -> Option<&'static str> {
        None
    }
    /// What to change in its options so that it gives `wanted`, which it does not.
    fn mend(&self, _wanted: &TensorType) -> Vec<Mend> {
        vec![]
    }
    /// File extensions that an offline run takes up, lower case, without a dot: `["jpg", "png"]`.
    fn extensions(&self) -> &'static [&'static str];
    /// What a request may send for it, to be shown to who asks how.
    fn example(&self) -> Example;
    /// How much there is to do, in bytes read or unpacked, whichever are more, as far as the header tells;
    /// `usize::MAX` where it tells nothing. Called once for each payload, on threads that serve connections, so it
    /// looks at no more than a header may take. What is heavy is decoded elsewhere.
    fn weight(&self, payload: &Payload) -> usize {
        payload.len()
    }
    /// The most bytes of memory that decoding a payload takes while it goes on, what it gives included, beside the
    /// payload itself and its [`unfolded`](Self::unfolded) values; as far as the header tells, and for the largest that is
    /// allowed where it tells nothing.
    fn working_memory(&self, _payload: &Payload) -> u64 {
        0
    }
    /// The bytes that the values of a payload take while they are read, beside the payload itself and where they are
    /// more than what is read; an upper bound.
    fn unfolded(&self, _payload: &Payload) -> usize {
        0
    }
    /// Every option that has a part in what the decode gives, with its default where the file says nothing.
    /// Two decodes of one format with equal options give the same for the same payload.
    fn options(&self) -> serde_json::Value;
    /// Pure work on the calling thread. `keep_origin` asks for [`Decoded::origin`].
    fn decode(&self, payload: &Payload, keep_origin: bool) -> Result<Decoded, DecodeError>;
}

/// A change to a decode, so that a model can read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mend {
    /// The value to write for an option, in TOML.
    Option { key: &'static str, value: String },
    /// No option does it: what the decode can give, as a sentence.
    Impossible(String),
}

/// What a request may send for a decode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Example {
    /// A file as it is: "photo.jpg".
    File(String),
    /// A value in a JSON document: `[0.5, 0.5]`.
    Json(String),
}

/// What a decode of JSON makes of text that is not JSON.
pub trait JsonValues {
    /// The field of a form.
    fn field(&self, text: Bytes) -> Result<Payload, DecodeError>;
    /// A cell of a table that is the whole value.
    fn cell(&self, cell: &str) -> Result<Payload, DecodeError>;
    /// Writes a cell of a table as one element of an array. The error says what is wrong with it.
    fn element(&self, cell: &str, out: &mut String) -> Result<(), String>;
}

#[derive(Clone, Debug)]
pub struct Decoded {
    pub tensor: Tensor,
    pub origin: Option<Origin>,
}

/// The picture that an item was decoded from, upright, before it was resized.
#[derive(Clone, Debug)]
pub struct Origin {
    pub width: u32,
    pub height: u32,
    /// RGB, 8 bits, `width * height * 3` bytes.
    pub rgb: Bytes,
    /// What of the picture the tensor shows.
    pub region: Region,
    /// Width and height of the tensor.
    pub input: (u32, u32),
    /// How the picture was turned upright.
    pub orientation: Orientation,
}

/// The rectangle that a decoded tensor covers, in pixels of the picture it came from: a part of it where
/// `fit = "cover"` cropped, more than it where `fit = "contain"` padded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Region {
    pub left: f64,
    pub top: f64,
    pub width: f64,
    pub height: f64,
}

/// Why an item cannot be decoded. Each maps to one HTTP status, which `ingress` knows.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The payload is not in a format this decode reads: 415.
    #[error("{0}")]
    WrongType(String),
    /// The payload is not well-formed, so that nothing can be said of its content (broken JSON, an empty body): 400.
    #[error("{0}")]
    Malformed(String),
    /// Over a limit on pixels, sides or elements: 413.
    #[error("{0}")]
    TooLarge(String),
    /// Readable in part or whole, but not what the pipeline takes (truncated picture, wrong shape): 422.
    #[error("{0}")]
    Invalid(String),
}

/// One source that an encode reads.
#[derive(Clone, Debug)]
pub struct SourceRef {
    /// "surface.probabilities", "mask" or "photo".
    pub from: At<String>,
    /// It is the list of this name that is meant, and not a tensor: how many elements there are.
    pub is_list: bool,
    /// A labels file beside the model that computes the source.
    pub labels: Option<At<String>>,
}

/// A [`SourceRef`] that the plan has resolved.
#[derive(Clone, Debug)]
pub struct Bound {
    pub from: At<String>,
    /// The type of one item.
    pub ty: TensorType,
    /// The labels file and the number of its labels, where one was asked for and found.
    pub labels: Option<(At<String>, usize)>,
    /// The labels themselves, as the newest version has them.
    pub lines: Option<Labels>,
    /// The signature's line of the model output, for notes: "model `surface` gives probabilities: …".
    pub note: Option<String>,
    /// Where it is there.
    pub presence: Presence,
}

/// Where a source is there: once for an item, for each element of lists, or perhaps not at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Presence {
    /// The steps that make the lists for each of whose elements it is there, the outermost first.
    pub each: Vec<String>,
    /// It may be absent, for an item or for an element.
    pub maybe: bool,
    /// It is the list itself, and no tensor.
    pub is_list: bool,
}

impl Presence {
    /// Whether every item has just one.
    pub fn is_once(&self) -> bool {
        self.each.is_empty() && !self.maybe && !self.is_list
    }
}

/// An encode whose options are read and whose sources are not yet resolved.
pub trait Draft: Debug {
    fn sources(&self) -> Vec<SourceRef>;
    /// The decode whose picture is drawn on or whose size is resized to: `on = "photo"`.
    fn on(&self) -> Option<At<String>> {
        None
    }
    /// The decodes of whose pictures it tells the size. Their widths and heights, as these were sent, are given after
    /// all sources: a tensor of two int64 each.
    fn sizes(&self) -> Vec<At<String>> {
        vec![]
    }
    /// Whether it can write sources that are lists, or may be absent. The plan refuses them to all others.
    fn takes_lists(&self) -> bool {
        false
    }
    /// `bound` is in the order of [`Draft::sources`], `None` for a source that does not resolve, which was
    /// reported. Reports a type that the encode cannot take, labels that do not count what the axis has, and
    /// so on. `None` where there were errors, now or in the options.
    fn bind(
        self: Box<Self>,
        bound: &[Option<Bound>],
        report: &mut Report,
    ) -> Option<std::sync::Arc<dyn Encode>>;
}

/// One source at run time.
#[derive(Clone, Debug)]
pub struct Input {
    pub given: Given,
    /// The labels of the generation that computed it.
    pub labels: Option<Labels>,
}

/// The value of a source for one item.
#[derive(Clone, Debug)]
pub enum Given {
    /// It is not there: its step was skipped.
    Absent,
    One(Tensor),
    /// A list itself, which has so many elements.
    Length(usize),
    /// What each element of a list has. Lists within lists are nested.
    Each(Vec<Given>),
}

impl Given {
    /// The one tensor, where it is that.
    pub fn one(&self) -> Option<&Tensor> {
        if let Self::One(tensor) = self { Some(tensor) } else { None }
    }

    /// The bytes of all its tensors.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Absent | Self::Length(_) => 0,
            Self::One(tensor) => tensor.bytes().len(),
            Self::Each(elements) => elements.iter().map(Self::bytes).fold(0, usize::saturating_add),
        }
    }
}

impl Input {
    /// The one tensor that an encode of what is there once for each item reads.
    pub fn tensor(&self) -> Result<&Tensor, EncodeError> {
        self.given.one().ok_or_else(|| {
            EncodeError::Unforeseen(
                "a source is not there, or there several times, that is foreseen once".into(),
            )
        })
    }
}

/// An answer cannot be encoded.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// The model gave something unforeseen, which is not the client's fault.
    #[error("{0}")]
    Unforeseen(String),
    /// What the model found in this item has no form in the format: a picture of no rows.
    #[error("{0}")]
    Nothing(String),
}

/// What an encode's format is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    /// The name in the registry: "json".
    pub name: &'static str,
    /// "application/json".
    pub media_type: &'static str,
    /// The extension of a file with one answer, without a dot: "json".
    pub extension: &'static str,
}

pub trait Encode: Send + Sync + Debug {
    fn about(&self) -> Format;
    /// Every option that has a part in what the encode writes, with its default where the file says nothing,
    /// and what it learned of its sources. Two encodes of one format with equal options write the same of the
    /// same inputs.
    fn options(&self) -> serde_json::Value;
    fn format(&self) -> &'static str {
        self.about().name
    }
    fn media_type(&self) -> &'static str {
        self.about().media_type
    }
    fn extension(&self) -> &'static str {
        self.about().extension
    }
    /// The most bytes that encoding takes for each byte that it reads: of what it writes, in a buffer that takes the double
    /// of what it holds as it grows. Of four bytes a text makes up to twenty.
    fn grows(&self) -> u64 {
        10
    }
    /// Makes one whole answer, as over HTTP or as a file of its own. `inputs` is in the order of [`Draft::sources`], and
    /// then of [`Draft::sizes`].
    fn encode(&self, inputs: &[Input], origin: Option<&Origin>) -> Result<Vec<u8>, EncodeError>;
    /// How the format gathers items into one table offline, where it does.
    fn rows(&self) -> Option<&dyn Rows> {
        None
    }
}

/// Encodes whose offline form is one table for all items (csv, jsonl).
pub trait Rows: Send + Sync {
    /// What stands before the first row, line end included; empty where nothing does.
    fn header(&self) -> Result<Vec<u8>, EncodeError>;
    /// Makes the rows of one item, each with its line end: one, or as many as a list has elements.
    fn of_item(&self, context: &RowContext<'_>, inputs: &[Input]) -> Result<Vec<u8>, EncodeError>;
}

/// What every row carries beside the encode's own fields.
#[derive(Clone, Copy, Debug)]
pub struct RowContext<'a> {
    /// The item's path, relative to the input folder, with `/`.
    pub item: &'a str,
    /// "road-mask@2, surface@2".
    pub models: &'a str,
}
