//! `format = "json"`: one object with the named fields, in the order of the file. What is there for each element of a list
//! is an array, what is absent `null`.

use crate::codec::fields::{self, Member, draft};
use crate::codec::options;
use crate::diagnostic::Report;
use crate::plan::{Draft, Encode, EncodeError, Format, Input, Origin};
use crate::spec;
use crate::spec::document::Reader;
use std::sync::Arc;

#[derive(Debug)]
struct JsonEncode {
    members: Vec<Member>,
}

pub fn read(_: &spec::Codec, options: &mut Reader<'_>, report: &mut Report) -> Option<Box<dyn Draft>> {
    Some(draft::object(options, report, |_, members| Arc::new(JsonEncode { members })))
}

impl Encode for JsonEncode {
    fn about(&self) -> Format {
        Format { name: "json", media_type: "application/json", extension: "json" }
    }

    fn options(&self) -> serde_json::Value {
        options::canonical(&self.members)
    }

    fn encode(&self, inputs: &[Input], _: Option<&Origin>) -> Result<Vec<u8>, EncodeError> {
        let mut out = Vec::with_capacity(256);
        out.push(b'{');
        fields::write_members(&self.members, inputs, &mut vec![], &mut out)?;
        out.push(b'}');
        Ok(out)
    }
}
