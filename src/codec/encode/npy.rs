//! `format = "npy"`: one source as a NumPy file.

use crate::codec::npy::Header;
use crate::codec::options;
use crate::diagnostic::{At, Diagnostic, Report};
use crate::plan::{Bound, Draft, Encode, EncodeError, Format, Input, Origin, SourceRef};
use crate::spec;
use crate::spec::document::Reader;
use crate::tensor::DType;
use std::sync::Arc;

#[derive(Debug)]
struct NpyDraft {
    from: At<String>,
}

#[derive(Debug)]
struct NpyEncode;

pub fn read(_: &spec::Codec, options: &mut Reader<'_>, report: &mut Report) -> Option<Box<dyn Draft>> {
    Some(Box::new(NpyDraft { from: options::from(options, report)? }))
}

impl Draft for NpyDraft {
    fn sources(&self) -> Vec<SourceRef> {
        vec![SourceRef { from: self.from.clone(), is_list: false, labels: None }]
    }

    fn bind(self: Box<Self>, bound: &[Option<Bound>], report: &mut Report) -> Option<Arc<dyn Encode>> {
        let bound = bound.first()?.as_ref()?;
        if bound.ty.dtype.is_some_and(|dtype| !dtype.is_number()) {
            report.push(
                Diagnostic::error("npy holds numbers only")
                    .at(&bound.from.place, format!("`{}` is {}", bound.from.value, bound.ty))
                    .help("write it with `format = \"json\"`"),
            );
            return None;
        }
        Some(Arc::new(NpyEncode))
    }
}

impl Encode for NpyEncode {
    fn grows(&self) -> u64 {
        2
    }

    fn about(&self) -> Format {
        Format { name: "npy", media_type: "application/x-npy", extension: "npy" }
    }

    fn options(&self) -> serde_json::Value {
        serde_json::Value::Null
    }

    fn encode(&self, inputs: &[Input], _: Option<&Origin>) -> Result<Vec<u8>, EncodeError> {
        let [input] = inputs else {
            return Err(EncodeError::Unforeseen("npy takes one source".into()));
        };
        let tensor = input.tensor()?;
        if !tensor.dtype().is_number() {
            return Err(EncodeError::Unforeseen(format!(
                "the model gave {tensor:?}, where npy holds numbers"
            )));
        }
        if tensor.dtype() == DType::BF16 {
            // NumPy has no bfloat16; every one of its numbers is a float32.
            let mut out = Header::write(DType::F32, tensor.shape());
            for element in tensor.elements::<half::bf16>().unwrap_or_default().iter() {
                out.extend(element.to_f32().to_ne_bytes());
            }
            return Ok(out);
        }
        let mut out = Header::write(tensor.dtype(), tensor.shape());
        out.extend_from_slice(tensor.bytes());
        Ok(out)
    }
}
