//! `format = "json"`: a field of a JSON document to a tensor.

use super::cells;
use super::nested::{BoolElement, Document, Leaf, Nested, NestedError, StringElement};
use crate::codec::document;
use crate::codec::element::FromNumber;
use crate::codec::options::{self, Shape};
use crate::diagnostic::{At, Diagnostic, Report};
use crate::plan::{Decode, DecodeError, Decoded, Example, JsonValues, Mend, Payload, TensorType};
use crate::spec;
use crate::spec::document::Reader;
use crate::tensor::{DType, Tensor};
use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeSeed;
use serde_json::value::RawValue;
use std::sync::Arc;

#[derive(Clone, Debug, Serialize)]
struct JsonDecode {
    /// The decode's name, by which its field may be called too.
    #[serde(skip)]
    name: String,
    field: String,
    dtype: DType,
    shape: Option<Shape>,
    max_elements: usize,
    /// The shape that the models which read the value take, where they agree. It follows from them, and is no
    /// option.
    #[serde(skip)]
    read_as: Option<Shape>,
}

const MAX_ELEMENTS: i64 = 1 << 24;

/// A text takes many times the two bytes that it may be written with.
const MAX_TEXTS: i64 = 1 << 16;

/// The bytes that a text takes beside its own: a string, and what the allocator adds to it.
const TEXT_BYTES: usize = 40;

/// An example with more elements is a file.
const MOST_SHOWN: usize = 64;

/// The options that decide what type the decode gives.
pub const DECIDE_TYPE: &[&str] = &["dtype", "shape"];

pub fn read(codec: &spec::Codec, options: &mut Reader<'_>, report: &mut Report) -> Option<Arc<dyn Decode>> {
    let name = codec.name.value.clone();
    let field = options.string("field", report);
    if let Some(field) = &field {
        is_nested(field, options.what(), report);
    }
    let field = field.map_or_else(|| name.clone(), |f| f.value);
    let dtype = options::dtype_or_string(options, report).map_or(DType::F32, |d| d.value);
    let shape = options::shape(options, report).map(|s| s.value);
    let usual = if dtype == DType::String { MAX_TEXTS } else { MAX_ELEMENTS };
    let max = options.integer("max_elements", 1..=1 << 32, report).map_or(usual, |m| m.value);
    let max_elements = max as usize;
    Some(Arc::new(JsonDecode { name, field, dtype, shape, max_elements, read_as: None }))
}

/// Warns of what is read as a path elsewhere, and is a key here.
fn is_nested(field: &At<String>, what: &str, report: &mut Report) {
    let Some((_, last)) = field.rsplit_once(['.', '/']).filter(|(_, last)| !last.is_empty()) else { return };
    report.push(
        Diagnostic::warning(format!("`field` in {what} is one key of the document, not a path into it"))
            .at(&field.place, "")
            .note(format!(
                "a document of `{{\"{}\": …}}` is read, what lies in an object within it is not",
                field.value
            ))
            .help(format!(
                "send the value beside the others, with `field = \"{last}\"` and a decode for each"
            )),
    );
}

impl Decode for JsonDecode {
    fn format(&self) -> &'static str {
        "json"
    }

    fn produces(&self) -> TensorType {
        TensorType { dtype: Some(self.dtype), dims: self.shape.clone() }
    }

    fn field(&self) -> Option<&str> {
        Some(&self.field)
    }

    fn json(&self) -> Option<&dyn JsonValues> {
        Some(self)
    }

    fn read_as(&self, dims: &[Option<usize>]) -> Option<Arc<dyn Decode>> {
        let decode = Self { read_as: Some(dims.to_vec()), ..self.clone() };
        Some(Arc::new(decode))
    }

    fn mend(&self, wanted: &TensorType) -> Vec<Mend> {
        options::mend_type(&self.produces(), wanted)
    }

    fn extensions(&self) -> &'static [&'static str] {
        &["json"]
    }

    fn unfolded(&self, payload: &Payload) -> usize {
        let text = match payload {
            Payload::Bytes(bytes) => bytes.as_ref(),
            Payload::Json(value) => value.get().as_bytes(),
        };
        let elements = text.iter().filter(|byte| **byte == b',').count() + 1;
        let each = match self.dtype {
            DType::String => TEXT_BYTES,
            dtype => dtype.size(),
        };
        // A vector that grows takes the double of what it holds; a document with `NaN` is copied to be read.
        elements.min(self.max_elements).saturating_mul(2 * each).saturating_add(text.len())
    }

    fn options(&self) -> serde_json::Value {
        options::canonical(self)
    }

    fn example(&self) -> Example {
        let shape = self.shape.as_ref().or(self.read_as.as_ref());
        let element = match self.dtype {
            DType::String => "\"text\"",
            DType::Bool => "true",
            dtype if dtype.is_float() => "0.5",
            _ => "1",
        };
        let lengths: Vec<usize> = match shape {
            // An open axis may have any length; the shortest line has one.
            Some(shape) if !self.is_one() => shape.iter().map(|n| n.unwrap_or(1)).collect(),
            Some(_) => vec![],
            None => vec![1],
        };
        match lengths.iter().try_fold(1_usize, |all, n| all.checked_mul(*n)) {
            Some(count) if count <= MOST_SHOWN => {
                Example::Json(lengths.iter().rev().fold(element.to_owned(), |inner, length| {
                    format!("[{}]", vec![inner; *length].join(", "))
                }))
            }
            _ => Example::File(format!("{}.json", self.name)),
        }
    }

    fn decode(&self, payload: &Payload, _: bool) -> Result<Decoded, DecodeError> {
        let tensor = match self.dtype {
            DType::F32 => self.numbers::<f32>(payload),
            DType::F64 => self.numbers::<f64>(payload),
            DType::F16 => self.numbers::<half::f16>(payload),
            DType::BF16 => self.numbers::<half::bf16>(payload),
            DType::I8 => self.numbers::<i8>(payload),
            DType::I16 => self.numbers::<i16>(payload),
            DType::I32 => self.numbers::<i32>(payload),
            DType::I64 => self.numbers::<i64>(payload),
            DType::U8 => self.numbers::<u8>(payload),
            DType::U16 => self.numbers::<u16>(payload),
            DType::U32 => self.numbers::<u32>(payload),
            DType::U64 => self.numbers::<u64>(payload),
            DType::Bool => {
                let (shape, elements) = self.flatten::<BoolElement>(payload)?;
                let elements = elements.into_iter().map(|t| t.0).collect();
                Tensor::from_bools(shape, elements).map_err(|e| DecodeError::Invalid(e.to_string()))
            }
            DType::String => {
                let (shape, elements) = self.flatten::<StringElement>(payload)?;
                let elements = elements.into_iter().map(|t| t.0).collect();
                Tensor::from_strings(shape, elements).map_err(|e| DecodeError::Invalid(e.to_string()))
            }
            other => Err(DecodeError::Invalid(format!("{other} is not read from JSON"))),
        }?;
        Ok(Decoded { tensor, origin: None })
    }
}

impl JsonValues for JsonDecode {
    fn field(&self, text: Bytes) -> Result<Payload, DecodeError> {
        if self.dtype == DType::String && self.is_text(&text) {
            let text = std::str::from_utf8(&text)
                .map_err(|_| DecodeError::Invalid(format!("`{}` is not text in UTF-8", self.name)))?;
            return self.value(text);
        }
        let trimmed = text.trim_ascii();
        // A field that is left blank is a value that is missing, as an empty cell is.
        if self.dtype == DType::String || matches!(trimmed.first(), Some(b'[' | b'{' | b'"')) {
            return Ok(Payload::Bytes(text));
        }
        self.value(&String::from_utf8_lossy(trimmed))
    }

    fn cell(&self, cell: &str) -> Result<Payload, DecodeError> {
        let is_array = cell.trim_start().starts_with('[');
        let is_text = self.dtype == DType::String && !self.has_several();
        if is_array && !is_text {
            let given = |text: String| RawValue::from_string(text).map(Payload::Json);
            let mended = document::with_words(cell.as_bytes()).and_then(|text| String::from_utf8(text).ok());
            return given(mended.unwrap_or_else(|| cell.to_owned()))
                .map_err(|error| DecodeError::Invalid(format!("`{}` is not JSON: {error}", self.name)));
        }
        self.value(cell)
    }

    fn element(&self, cell: &str, out: &mut String) -> Result<(), String> {
        cells::element(self.dtype, cell, out)
    }
}

impl JsonDecode {
    fn numbers<T: FromNumber>(&self, payload: &Payload) -> Result<Tensor, DecodeError> {
        let (shape, elements) = self.flatten::<T>(payload)?;
        Tensor::from_vec(shape, elements).map_err(|e| DecodeError::Invalid(e.to_string()))
    }

    fn flatten<T: Leaf>(&self, payload: &Payload) -> Result<(Vec<usize>, Vec<T>), DecodeError> {
        match payload {
            Payload::Bytes(bytes) => {
                let malformed = |what: &str| DecodeError::Malformed(format!("not JSON: {what}"));
                let text = document::text(bytes).map_err(malformed)?;
                if text.trim_ascii().is_empty() {
                    return Err(DecodeError::Malformed("empty, where a JSON document should be".into()));
                }
                match self.read(text, true) {
                    Err(error @ DecodeError::Malformed(_)) => match document::with_words(text) {
                        Some(mended) => self.read(&mended, true),
                        None => Err(error),
                    },
                    read => read,
                }
            }
            Payload::Json(value) => self.read(value.get().as_bytes(), false),
        }
    }

    /// A document that has the field, or the value itself.
    fn read<T: Leaf>(&self, text: &[u8], is_document: bool) -> Result<(Vec<usize>, Vec<T>), DecodeError> {
        let (shape, read_as) = (self.shape.as_ref(), self.read_as.as_ref());
        let mut nested = Nested::new(&self.field, self.dtype.name(), shape, read_as, self.max_elements);
        let mut json = serde_json::Deserializer::from_slice(text);
        let read = match is_document {
            true => Document(&mut nested, &self.name).deserialize(&mut json),
            false => (&mut nested).deserialize(&mut json),
        };
        match (read.and_then(|()| json.end()), nested.problem()) {
            (Ok(()), None) => Ok(nested.finish()),
            // As where several decodes share a document.
            (_, Some(NestedError::NotThere(text))) => Err(DecodeError::Malformed(text)),
            (_, Some(NestedError::Invalid(text))) => Err(DecodeError::Invalid(text)),
            (_, Some(NestedError::TooLarge(text))) => Err(DecodeError::TooLarge(text)),
            // Data errors are of a document that is JSON, but not a kind the visitor takes.
            (Err(error), None) if error.is_data() => Err(DecodeError::Invalid(error.to_string())),
            (Err(error), None) => Err(DecodeError::Malformed(format!("not JSON: {error}"))),
        }
    }

    /// Whether the decode is known to take one value.
    fn is_one(&self) -> bool {
        let shape = self.shape.as_ref().or(self.read_as.as_ref());
        shape.is_some_and(|shape| shape.is_empty() || options::is_of_one(shape))
    }

    /// Whether the decode is known to take another number of values than one.
    fn has_several(&self) -> bool {
        (self.shape.is_some() || self.read_as.is_some()) && !self.is_one()
    }

    /// Whether the field of a form is a string itself, and not an array of them in JSON.
    fn is_text(&self, text: &Bytes) -> bool {
        let known = self.shape.is_some() || self.read_as.is_some();
        let is_array = text.trim_ascii().starts_with(b"[");
        match (known, is_array) {
            (_, false) => !self.has_several(),
            (true, true) => !self.has_several(),
            (false, true) => self.flatten::<StringElement>(&Payload::Bytes(text.clone())).is_err(),
        }
    }

    /// One element by itself.
    fn value(&self, text: &str) -> Result<Payload, DecodeError> {
        let mut json = String::new();
        cells::element(self.dtype, text, &mut json).map_err(DecodeError::Invalid)?;
        let value = RawValue::from_string(json).map_err(|e| DecodeError::Invalid(e.to_string()))?;
        Ok(Payload::Json(value))
    }
}
