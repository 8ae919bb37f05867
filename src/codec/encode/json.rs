//! `format = "json"`: one object with the named fields, in the order of the file.

use crate::codec::fields::{self, Field, draft};
use crate::codec::options;
use crate::diagnostic::Report;
use crate::plan::{Draft, Encode, EncodeError, Format, Input, Origin};
use crate::spec;
use crate::spec::document::Reader;
use std::sync::Arc;

#[derive(Debug)]
struct JsonEncode {
    fields: Vec<Field>,
}

pub fn read(_: &spec::Codec, options: &mut Reader<'_>, report: &mut Report) -> Option<Box<dyn Draft>> {
    Some(draft::answer(options, report, |_, fields, _| {
        let fields = fields.into_iter().map(|field| field.field).collect();
        Some(Arc::new(JsonEncode { fields }))
    }))
}

impl Encode for JsonEncode {
    fn about(&self) -> Format {
        Format { name: "json", media_type: "application/json", extension: "json" }
    }

    fn options(&self) -> serde_json::Value {
        options::canonical(&self.fields)
    }

    fn encode(&self, inputs: &[Input], _: Option<&Origin>) -> Result<Vec<u8>, EncodeError> {
        let mut out = Vec::with_capacity(256);
        out.push(b'{');
        fields::write_members(&self.fields, inputs, &mut out)?;
        out.push(b'}');
        Ok(out)
    }
}
