//! Lines of JSON: the fields are called as the decodes.

use super::{read_file, reads_json, refused};
use crate::codec::document::{self, Missing, SplitError};
use crate::offline::Refused;
use crate::plan::{DecodePlan, Payload};
use bytes::Bytes;
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
    let payloads = document::split(&text, decodes).map_err(|unsplit| {
        refused(match unsplit {
            SplitError::NotText(why) => format!("the line is not JSON: {why}"),
            SplitError::NotJson(error) => format!("the line is not JSON: {error}"),
            SplitError::NotFields => format!("the line is not a JSON object with {}", listed(decodes)),
            SplitError::Twice(name) => format!("the line has `{name}` twice"),
            SplitError::Missing(Missing { names, hint, .. }) => {
                let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
                let hint = hint.map_or(String::new(), |hint| format!("; {hint}"));
                format!("the line has no {}{hint}", names.join(", "))
            }
        })
    })?;
    let in_file = |(payload, decode): (Payload, &DecodePlan)| match &payload {
        Payload::Json(value) if !reads_json(decode) => match serde_json::from_str::<InFile>(value.get()) {
            Ok(file) => read_file(&folder.join(file.path)),
            Err(_) => Ok(payload),
        },
        _ => Ok(payload),
    };
    payloads.into_iter().zip(decodes).map(in_file).collect()
}

fn listed(decodes: &[DecodePlan]) -> String {
    let names: Vec<String> = decodes.iter().map(|d| format!("`{}`", d.name)).collect();
    names.join(", ")
}
