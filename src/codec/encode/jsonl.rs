//! `format = "jsonl"`: the object of json, one a line; offline with the item and the models that served it.

use crate::codec::fields::{self, Field, draft};
use crate::codec::options;
use crate::diagnostic::Report;
use crate::plan::{Draft, Encode, EncodeError, Format, Input, Origin, RowContext, Rows};
use crate::spec;
use crate::spec::document::Reader;
use std::sync::Arc;

#[derive(Debug)]
struct JsonlEncode {
    fields: Vec<Field>,
}

pub fn read(_: &spec::Codec, options: &mut Reader<'_>, report: &mut Report) -> Option<Box<dyn Draft>> {
    Some(draft::table(options, report, |_, fields, _| {
        let fields = fields.into_iter().map(|field| field.field).collect();
        Some(Arc::new(JsonlEncode { fields }))
    }))
}

impl Encode for JsonlEncode {
    fn about(&self) -> Format {
        Format { name: "jsonl", media_type: "application/jsonl", extension: "jsonl" }
    }

    fn options(&self) -> serde_json::Value {
        options::canonical(&self.fields)
    }

    fn encode(&self, inputs: &[Input], _: Option<&Origin>) -> Result<Vec<u8>, EncodeError> {
        let mut out = vec![b'{'];
        fields::write_members(&self.fields, inputs, &mut out)?;
        out.extend_from_slice(b"}\n");
        Ok(out)
    }

    fn rows(&self) -> Option<&dyn Rows> {
        Some(self)
    }
}

impl Rows for JsonlEncode {
    fn header(&self) -> Result<Vec<u8>, EncodeError> {
        Ok(vec![])
    }

    fn row(&self, context: &RowContext<'_>, inputs: &[Input]) -> Result<Vec<u8>, EncodeError> {
        let mut out = b"{\"item\":".to_vec();
        fields::write_string(context.item, &mut out);
        out.push(b',');
        fields::write_members(&self.fields, inputs, &mut out)?;
        out.extend_from_slice(b",\"models\":");
        fields::write_string(context.models, &mut out);
        out.extend_from_slice(b"}\n");
        Ok(out)
    }
}
