//! Whether a new generation can take the place of what the plan was compiled with. Pure.

use crate::plan::{Dim, Labels, Port, Signature};
use crate::store::MODEL_FILE;
use std::collections::{BTreeMap, BTreeSet};

/// What the plan relies on.
#[derive(Clone, Debug)]
pub struct Contract {
    pub signature: std::sync::Arc<Signature>,
    /// The labels files that encodes read, by name, with the number of lines they were checked with (where
    /// something serves already).
    pub labels: BTreeMap<String, Option<usize>>,
}

/// Every reason why not, each a line; none where it can.
pub fn check(
    contract: &Contract,
    signature: &Signature,
    labels: &BTreeMap<String, Labels>,
) -> BTreeSet<String> {
    let mut reasons = BTreeSet::new();
    ports("input", &contract.signature.inputs, &signature.inputs, true, &mut reasons);
    ports("output", &contract.signature.outputs, &signature.outputs, false, &mut reasons);
    for (name, count) in &contract.labels {
        match (labels.get(name), count) {
            (None, _) if name == MODEL_FILE => {
                reasons.insert(format!("its `{name}` names no classes, which an encode takes for labels"));
            }
            (None, _) => {
                reasons.insert(format!("it has no `{name}` beside its model.onnx, which an encode reads"));
            }
            (Some(lines), Some(count)) if lines.len() != *count => {
                reasons.insert(format!("its `{name}` has {} lines, not {count}", lines.len()));
            }
            (Some(_), _) => {}
        }
    }
    reasons
}

fn ports(kind: &str, old: &[Port], new: &[Port], is_input: bool, reasons: &mut BTreeSet<String>) {
    let names = |ports: &[Port]| {
        let names: Vec<String> = ports.iter().map(|port| format!("`{}`", port.name)).collect();
        names.join(", ")
    };
    if old.iter().map(|port| &port.name).ne(new.iter().map(|port| &port.name)) {
        reasons.insert(format!(
            "its {kind}s are {}; the pipelines were compiled for {}",
            names(new),
            names(old)
        ));
        return;
    }
    for (old, new) in old.iter().zip(new) {
        if old.dtype != new.dtype
            || old.has_batch_axis() != new.has_batch_axis()
            || !dims_fit(old, new, is_input)
        {
            reasons.insert(format!("its {kind} is {new}; the pipelines were compiled for {old}"));
        }
    }
}

/// An input may take more shapes than before, not fewer. An output that was fixed may not become another.
fn dims_fit(old: &Port, new: &Port, is_input: bool) -> bool {
    match (&old.dims, &new.dims) {
        (_, None) => true,
        (None, Some(_)) => !is_input,
        (Some(old), Some(new)) => {
            old.len() == new.len()
                && old.iter().zip(new).all(|dims| match dims {
                    (Dim::Fixed(old), Dim::Fixed(new)) => old == new,
                    (_, Dim::Fixed(_)) => !is_input,
                    (_, Dim::Named(_) | Dim::Own(_) | Dim::Unknown) => true,
                })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::DType;
    use std::sync::Arc;

    /// "image f N 3 64": name, float32 or int64, dims; "?" alone for an undeclared shape.
    fn port(text: &str) -> Port {
        let mut words = text.split_whitespace();
        let name = words.next().unwrap().to_owned();
        let dtype = if words.next() == Some("f") { DType::F32 } else { DType::I64 };
        let dims = words.map(|word| word.parse().map_or(Dim::Named(word.into()), Dim::Fixed)).collect();
        let dims = (!text.ends_with('?')).then_some(dims);
        Port { name, dtype: Some(dtype), declared: dtype.name().into(), dims }
    }

    fn signature(inputs: &[&str], outputs: &[&str]) -> Signature {
        let ports = |texts: &[&str]| texts.iter().map(|text| port(text)).collect();
        Signature { inputs: ports(inputs), outputs: ports(outputs) }
    }

    fn reasons(new: Signature) -> Vec<String> {
        let signature = Arc::new(signature(&["image f N 3 64 64"], &["mask f N 1 64 64"]));
        let contract = Contract { signature, labels: BTreeMap::new() };
        check(&contract, &new, &BTreeMap::new()).into_iter().collect()
    }

    #[test]
    fn the_same_and_the_wider_are_taken() {
        for (input, output) in [
            ("image f N 3 64 64", "mask f N 1 64 64"),
            ("image f batch 3 64 64", "mask f batch 1 64 64"),
            ("image f N 3 H W", "mask f N 1 H W"),
            ("image f ?", "mask f ?"),
        ] {
            assert_eq!(reasons(signature(&[input], &[output])), [""; 0], "{input} -> {output}");
        }
    }

    #[test]
    fn what_would_break_a_pipeline_is_refused_with_both_sides() {
        #[rustfmt::skip]
        let table: [(&[&str], &[&str], &[&str]); 6] = [
            (&["photo f N 3 64 64"], &["mask f N 1 64 64"],
             &["its inputs are `photo`; the pipelines were compiled for `image`"]),
            (&["image f N 3 64 64", "mask f N 1"], &["mask f N 1 64 64"],
             &["its inputs are `image`, `mask`; the pipelines were compiled for `image`"]),
            (&["image i N 3 64 64"], &["mask f N 1 64 64"],
             &["its input is image: int64[N, 3, 64, 64]; the pipelines were compiled for image: float32[N, 3, 64, 64]"]),
            (&["image f N 3 32 32"], &["mask f N 1 32 32"],
             &["its input is image: float32[N, 3, 32, 32]; the pipelines were compiled for image: float32[N, 3, 64, 64]",
               "its output is mask: float32[N, 1, 32, 32]; the pipelines were compiled for mask: float32[N, 1, 64, 64]"]),
            (&["image f 1 3 64 64"], &["mask f 1 1 64 64"],
             &["its input is image: float32[1, 3, 64, 64]; the pipelines were compiled for image: float32[N, 3, 64, 64]"]),
            (&["image f N 3 64 64"], &["mask f 4 1 64 64"],
             &["its output is mask: float32[4, 1, 64, 64]; the pipelines were compiled for mask: float32[N, 1, 64, 64]"]),
        ];
        for (inputs, outputs, expected) in table {
            assert_eq!(reasons(signature(inputs, outputs)), expected);
        }
    }

    #[test]
    fn labels_that_an_encode_reads_must_be_there_and_as_many() {
        let signature = Arc::new(signature(&["image f N 3"], &["classes f N 2"]));
        let labels = |lines: &[&str]| -> BTreeMap<String, Labels> {
            [("labels.txt".to_owned(), lines.iter().map(|l| l.to_string()).collect())].into()
        };
        let found = |count, labels: BTreeMap<String, Labels>| -> Vec<String> {
            let contract =
                Contract { signature: signature.clone(), labels: [("labels.txt".into(), count)].into() };
            check(&contract, &signature, &labels).into_iter().collect()
        };
        assert_eq!(found(Some(2), labels(&["a", "b"])), [""; 0]);
        assert_eq!(found(None, labels(&["a"])), [""; 0]);
        assert_eq!(found(Some(2), labels(&["a"])), ["its `labels.txt` has 1 lines, not 2"]);
        assert_eq!(
            found(None, BTreeMap::new()),
            ["it has no `labels.txt` beside its model.onnx, which an encode reads"]
        );
    }
}
