//! Operations: the steps that call no model. A file an operation, and one registry.
//!
//! Each reads its options from the TOML, is bound to the types of its sources, and then works on the tensors of one
//! item, or of one element of a list. It knows neither models nor the scheduler, neither HTTP nor folders.
//!
//! A new operation is one file and one line in `OPERATIONS`.

mod count;
mod first;
pub mod number;
mod options;
mod picture;
mod stack;

use crate::diagnostic::{Diagnostic, Report, nearest};
use crate::plan::{OperationDraft, Operations};
use crate::spec;
use crate::spec::document::Reader;

/// Reads the options of an operation. With errors, which go to the report, it is returned for the sake of the sources
/// that it names.
type Read = fn(&mut Reader<'_>, &mut Report) -> Option<Box<dyn OperationDraft>>;

/// All operations by their names.
const OPERATIONS: &[(&str, Read)] = &[
    ("any", count::read_any),
    ("argmax", number::argmax::read),
    ("boxes", picture::boxes::read),
    ("cast", number::cast::read),
    ("concat", number::concat::read),
    ("count", count::read_count),
    ("crop", picture::crop::read),
    ("ctc", number::ctc::read),
    ("first", first::read),
    ("keypoints", picture::keypoints::read),
    ("masks", picture::masks::read),
    ("max", number::reduce::read_max),
    ("mean", number::reduce::read_mean),
    ("min", number::reduce::read_min),
    ("norm", number::norm::read),
    ("permute", number::permute::read),
    ("reshape", number::reshape::read),
    ("resize", number::resize::read),
    ("scale", number::scale::read),
    ("sigmoid", number::sigmoid::read),
    ("similar", number::similar::read),
    ("slice", number::slice::read),
    ("softmax", number::softmax::read),
    ("split", number::split::read),
    ("stack", stack::read),
    ("sum", number::reduce::read_sum),
    ("threshold", number::threshold::read),
    ("tiles", picture::tiles::read),
    ("top", number::top::read),
    ("vote", number::vote::read),
];

/// All operations of rserve.
pub fn registry() -> &'static dyn Operations {
    &Registry
}

struct Registry;

impl Operations for Registry {
    fn read(&self, step: &spec::Step, report: &mut Report) -> Option<Box<dyn OperationDraft>> {
        let wanted = step.op.as_ref()?;
        let names = || OPERATIONS.iter().map(|(name, _)| *name);
        let Some((_, read)) = OPERATIONS.iter().find(|(name, _)| *name == wanted.value) else {
            let list: Vec<String> = names().map(|name| format!("`{name}`")).collect();
            let d = Diagnostic::error(format!("unknown operation `{}`", wanted.value)).at(&wanted.place, "");
            let d = match nearest(&wanted.value, names()) {
                Some(near) => d.help(format!("did you mean `{near}`?")),
                None => d.help("what no operation does, a model without a share can: any ONNX file"),
            };
            report.push(d.note(format!("operations: {}", list.join(", "))));
            return None;
        };
        let mut options = Reader::new(step.what(), &step.options, &step.name.place);
        for key in spec::Step::KEYS {
            options.take(key);
        }
        let draft = read(&mut options, report);
        options.finish(report);
        draft
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_in_order_and_each_is_there_once() {
        let names: Vec<&str> = OPERATIONS.iter().map(|(name, _)| *name).collect();
        let mut sorted = names.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(names, sorted);
    }
}
