//! `format = "jsonl"`: the object of json, one a line: one for each item, or for each element of a list; offline with the
//! item and the models that served it.

use crate::codec::fields::{self, Member, RowsOf, draft};
use crate::codec::options;
use crate::diagnostic::Report;
use crate::plan::{Draft, Encode, EncodeError, Format, Input, Origin, RowContext, Rows};
use crate::spec;
use crate::spec::document::Reader;
use std::sync::Arc;

#[derive(Debug)]
struct JsonlEncode {
    /// The list for each of whose elements there is a line.
    each: Option<RowsOf>,
    members: Vec<Member>,
}

pub fn read(_: &spec::Codec, options: &mut Reader<'_>, report: &mut Report) -> Option<Box<dyn Draft>> {
    Some(draft::objects(options, report, |each, members| Arc::new(JsonlEncode { each, members })))
}

impl Encode for JsonlEncode {
    fn about(&self) -> Format {
        Format { name: "jsonl", media_type: "application/jsonl", extension: "jsonl" }
    }

    fn options(&self) -> serde_json::Value {
        match &self.each {
            None => options::canonical(&self.members),
            Some(each) => options::canonical(&(each, &self.members)),
        }
    }

    fn encode(&self, inputs: &[Input], _: Option<&Origin>) -> Result<Vec<u8>, EncodeError> {
        let mut out = vec![];
        for mut element in RowsOf::elements(self.each.as_ref(), inputs) {
            out.push(b'{');
            fields::write_members(&self.members, inputs, &mut element, &mut out)?;
            out.extend_from_slice(b"}\n");
        }
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

    fn of_item(&self, context: &RowContext<'_>, inputs: &[Input]) -> Result<Vec<u8>, EncodeError> {
        let mut out = vec![];
        for mut element in RowsOf::elements(self.each.as_ref(), inputs) {
            out.extend_from_slice(b"{\"item\":");
            fields::write_string(context.item, &mut out);
            out.push(b',');
            fields::write_members(&self.members, inputs, &mut element, &mut out)?;
            out.extend_from_slice(b",\"models\":");
            fields::write_string(context.models, &mut out);
            out.extend_from_slice(b"}\n");
        }
        Ok(out)
    }
}
