//! `format = "json"`: a field of a JSON document to a tensor.

use super::nested::{Document, Leaf, Nested, Problem, Text, Truth};
use crate::codec::element::FromNumber;
use crate::codec::options::{self, Shape};
use crate::diagnostic::Report;
use crate::plan::{Decode, DecodeError, Decoded, Payload, TensorType};
use crate::spec;
use crate::spec::document::Reader;
use crate::tensor::{DType, Tensor};
use serde::Serialize;
use serde::de::DeserializeSeed;
use std::sync::Arc;

#[derive(Debug, Serialize)]
struct JsonDecode {
    field: String,
    dtype: DType,
    shape: Option<Shape>,
    max_elements: usize,
}

const MAX_ELEMENTS: i64 = 1 << 24;

pub fn read(codec: &spec::Codec, options: &mut Reader<'_>, report: &mut Report) -> Option<Arc<dyn Decode>> {
    let field = options.string("field", report).map_or_else(|| codec.name.value.clone(), |f| f.value);
    let dtype = options::dtype_or_string(options, report).map_or(DType::F32, |d| d.value);
    let shape = options::shape(options, report).map(|s| s.value);
    let max = options.integer("max_elements", 1..=1 << 32, report).map_or(MAX_ELEMENTS, |m| m.value);
    Some(Arc::new(JsonDecode { field, dtype, shape, max_elements: max as usize }))
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

    fn extensions(&self) -> &'static [&'static str] {
        &["json"]
    }

    fn options(&self) -> serde_json::Value {
        options::canonical(self)
    }

    fn curl_example(&self) -> String {
        let rank = self.shape.as_ref().map_or(1, Vec::len);
        let value = format!("{}...{}", "[".repeat(rank), "]".repeat(rank));
        let name = serde_json::Value::from(self.field.as_str());
        format!("-H 'content-type: application/json' --data '{{{name}: {value}}}'")
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
                let (shape, elements) = self.flatten::<Truth>(payload)?;
                let elements = elements.into_iter().map(|t| t.0).collect();
                Tensor::from_bools(shape, elements).map_err(|e| DecodeError::Invalid(e.to_string()))
            }
            DType::String => {
                let (shape, elements) = self.flatten::<Text>(payload)?;
                let elements = elements.into_iter().map(|t| t.0).collect();
                Tensor::from_strings(shape, elements).map_err(|e| DecodeError::Invalid(e.to_string()))
            }
            other => Err(DecodeError::Invalid(format!("{other} is not read from JSON"))),
        }?;
        Ok(Decoded { tensor, origin: None })
    }
}

impl JsonDecode {
    fn numbers<T: FromNumber>(&self, payload: &Payload) -> Result<Tensor, DecodeError> {
        let (shape, elements) = self.flatten::<T>(payload)?;
        Tensor::from_vec(shape, elements).map_err(|e| DecodeError::Invalid(e.to_string()))
    }

    fn flatten<T: Leaf>(&self, payload: &Payload) -> Result<(Vec<usize>, Vec<T>), DecodeError> {
        let mut nested = Nested::new(&self.field, self.dtype.name(), self.shape.as_ref(), self.max_elements);
        let read = match payload {
            Payload::Bytes(bytes) if bytes.trim_ascii().is_empty() => {
                return Err(DecodeError::Malformed("empty, where a JSON document should be".into()));
            }
            Payload::Bytes(bytes) => {
                let mut json = serde_json::Deserializer::from_slice(bytes);
                Document(&mut nested).deserialize(&mut json).and_then(|()| json.end())
            }
            Payload::Json(value) => {
                let mut json = serde_json::Deserializer::from_str(value.get());
                (&mut nested).deserialize(&mut json).and_then(|()| json.end())
            }
        };
        match (read, nested.problem()) {
            (Ok(()), None) => Ok(nested.finish()),
            (_, Some(Problem::Invalid(text))) => Err(DecodeError::Invalid(text)),
            (_, Some(Problem::TooLarge(text))) => Err(DecodeError::TooLarge(text)),
            // Data errors are of a document that is JSON, but not a kind the visitor takes.
            (Err(error), None) if error.is_data() => Err(DecodeError::Invalid(error.to_string())),
            (Err(error), None) => Err(DecodeError::Malformed(format!("not JSON: {error}"))),
        }
    }
}
