//! Lines of JSON: the fields are called as the decodes.

use super::{read_file, reads_json, refused};
use crate::offline::Refused;
use crate::plan::{DecodePlan, Payload};
use bytes::Bytes;
use serde_json::value::RawValue;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// A file instead of the bytes themselves: `{"photo": {"path": "a.jpg"}}`.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct InFile {
    path: PathBuf,
}

pub(super) fn line(text: Bytes, folder: &Path, decodes: &[DecodePlan]) -> Result<Vec<Payload>, Refused> {
    if let [one] = decodes
        && reads_json(one)
    {
        return Ok(vec![Payload::Bytes(text)]);
    }
    let mut fields: HashMap<String, Box<RawValue>> = serde_json::from_slice(&text)
        .map_err(|e| refused(format!("the line is not a JSON object with {}: {e}", listed(decodes))))?;
    let payload = |decode: &DecodePlan| {
        let value = fields.remove(&decode.name).or_else(|| fields.remove(decode.decode.field()?));
        let value = value.ok_or_else(|| refused(format!("the line has no `{}`", decode.name)))?;
        match serde_json::from_str::<InFile>(value.get()) {
            Ok(file) if !reads_json(decode) => read_file(&folder.join(file.path)),
            _ => Ok(Payload::Json(value)),
        }
    };
    decodes.iter().map(payload).collect()
}

fn listed(decodes: &[DecodePlan]) -> String {
    let names: Vec<String> = decodes.iter().map(|d| format!("`{}`", d.name)).collect();
    names.join(", ")
}
