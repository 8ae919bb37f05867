//! A field against the type of its source.

use super::{As, Field, FieldDraft};
use crate::codec::classes::holds_classes;
use crate::diagnostic::{Diagnostic, Report};
use crate::plan::Bound;
use crate::tensor::DType;
use std::collections::BTreeSet;

/// Top entries where a field does not say how many.
const DEFAULT_TOP: usize = 5;

impl FieldDraft {
    /// Reports a type that the field cannot take; `what` is the encode, for messages.
    pub fn bind(&self, what: &str, bound: &Bound, report: &mut Report) -> Option<Field> {
        let before = report.errors();
        let stored = self.stored(bound);
        let binding =
            Binding { draft: self, what, bound, kind: self.kind(stored, bound.labels.is_some()), stored };
        let texts = matches!(binding.kind, As::Values | As::Scalar | As::Source);
        if bound.ty.dtype == Some(DType::String) && !texts {
            binding.refuse(
                "numbers",
                "strings are written by `as = \"values\"`, one of them by `as = \"scalar\"`",
                report,
            );
            return None;
        }
        let count = binding.count(report);
        binding.pointless(report);
        binding.labels(count, report);
        let top = binding.top(count, report);
        (report.errors() == before).then(|| Field {
            name: self.name.value.clone(),
            source: 0,
            kind: binding.kind,
            top,
            axis: self.axis.as_ref().map_or(0, |a| a.value),
            softmax: self.softmax,
            round: self.round,
            // Where the classes are stored, only the labels say how many there are.
            count: count.or_else(|| bound.labels.as_ref().filter(|_| binding.of_classes()).map(|(_, n)| *n)),
            labelled: binding.kind.has_labels() && bound.labels.is_some(),
            stored: stored && binding.kind == As::Label,
        })
    }

    /// Whether the source holds classes by themselves, and not a score for each: integers, and those of bytes where
    /// there are not just as many as there are labels.
    fn stored(&self, bound: &Bound) -> bool {
        let Some(dtype) = bound.ty.dtype.filter(|dtype| holds_classes(*dtype) && *dtype != DType::String)
        else {
            return false;
        };
        let quantised = matches!(dtype, DType::I8 | DType::U8);
        let scores = match (bound.ty.dims.as_deref(), &bound.labels) {
            (Some([Some(length)]), Some((_, count))) => length == count,
            _ => false,
        };
        // Labels that a source brings along are those of classes.
        self.labels.is_none() || !(quantised && scores)
    }

    /// What the field says. Classes whose labels are known are written as these, unless it asks for the numbers.
    fn kind(&self, stored: bool, labelled: bool) -> As {
        match self.kind.value {
            As::Values if stored && labelled && !self.says_as() => As::Label,
            kind => kind,
        }
    }
}

struct Binding<'b> {
    draft: &'b FieldDraft,
    what: &'b str,
    bound: &'b Bound,
    kind: As,
    /// Whether the source holds classes.
    stored: bool,
}

impl Binding<'_> {
    /// The number of classes or elements that the field is about, where it is known.
    fn count(&self, report: &mut Report) -> Option<usize> {
        let dims = self.bound.ty.dims.as_deref()?;
        match self.kind {
            As::Values | As::Size => elements(dims),
            As::Source if self.bound.ty.dtype != Some(DType::String) => {
                self.refuse("a step with `op = \"first\"`", "it says which alternative that took", report);
                None
            }
            As::Label if self.stored => elements(dims),
            As::Label | As::Top | As::Scores => match dims {
                [classes] => *classes,
                _ => {
                    self.refuse(
                        "scores of one axis, one for each class",
                        "for a map of classes take `as = \"shares\"`, or encode it as png",
                        report,
                    );
                    None
                }
            },
            As::Scalar | As::Source => {
                if dims.iter().any(|d| d.is_some_and(|n| n != 1)) {
                    self.refuse("a source with one element", "for more take `as = \"values\"`", report);
                } else if dims.contains(&None) {
                    self.perhaps_several(report);
                }
                Some(1)
            }
            As::Argmax => self.classes_along(dims, report),
            As::Shares if !self.holds_classes() => self.classes_along(dims, report),
            As::Shares | As::Mean => None,
        }
    }

    /// Whether the field is about as many classes as there are labels.
    fn of_classes(&self) -> bool {
        self.kind.has_labels() && !(self.kind == As::Label && self.stored)
    }

    /// Whether the source is a map of classes to what counts them.
    fn holds_classes(&self) -> bool {
        self.bound.ty.dtype.is_some_and(holds_classes)
    }

    /// The number of classes along the axis that the field names.
    fn classes_along(&self, dims: &[Option<usize>], report: &mut Report) -> Option<usize> {
        let axis = self.draft.axis.as_ref().map_or(0, |a| a.value);
        match dims.get(axis) {
            Some(Some(1)) if self.kind == As::Shares => {
                self.refuse(
                    "scores for more than one class",
                    "for the mean of a mask take `as = \"mean\"`",
                    report,
                );
                None
            }
            Some(classes) => *classes,
            None => {
                self.refuse(
                    &format!("a source that has an axis {axis}"),
                    "axes are counted from 0, without the batch axis",
                    report,
                );
                None
            }
        }
    }

    /// "`as = "scalar"` in `fields.radius` of `encode.reply` takes one element"
    fn takes(&self, wants: &str) -> String {
        let (kind, name) = (self.kind.name(), &self.draft.name.value);
        format!("`as = \"{kind}\"` in `fields.{name}` of {} takes {wants}", self.what)
    }

    /// Warns of a source that has one element or any other number.
    fn perhaps_several(&self, report: &mut Report) {
        let from = &self.bound.from;
        report.push(
            Diagnostic::warning(format!(
                "{}, and how many there are is not known",
                self.takes("a source with one element")
            ))
            .at(&from.place, format!("`{}` is {}", from.value, self.bound.ty))
            .note("an item that has none, or more than one, fails")
            .help("for any number take `as = \"values\"`"),
        );
    }

    fn refuse(&self, wants: &str, help: &str, report: &mut Report) {
        let (draft, bound) = (self.draft, self.bound);
        let mut d = Diagnostic::error(self.takes(wants))
            .at(&bound.from.place, format!("`{}` is {}", bound.from.value, bound.ty));
        if draft.says_as() {
            d = d.at(&draft.kind.place, "");
        }
        if let Some(note) = &bound.note {
            d = d.note(note.clone());
        }
        report.push(d.help(help));
    }

    /// Warns of shares of one position.
    fn pointless(&self, report: &mut Report) {
        let one = matches!(self.bound.ty.dims.as_deref(), Some([classes]) if *classes != Some(1));
        let other_axis = self.draft.axis.as_ref().is_some_and(|axis| axis.value > 0);
        if self.kind != As::Shares || self.holds_classes() || !one || other_axis {
            return;
        }
        let (from, name) = (&self.bound.from, &self.draft.name.value);
        report.push(
            Diagnostic::warning(format!(
                "`as = \"shares\"` in `fields.{name}` of {} is 1 for one class and 0 for all others",
                self.what
            ))
            .at(&from.place, format!("`{}` is {}", from.value, self.bound.ty))
            .note("it counts the positions of a map of classes, and this is one position")
            .help("for the score of each class take `as = \"scores\"`"),
        );
    }

    /// Reports labels that are missing, that do not count what there is, or are no names for the members of an object.
    fn labels(&self, count: Option<usize>, report: &mut Report) {
        let (draft, bound) = (self.draft, self.bound);
        let Some((file, labels)) = &bound.labels else {
            // One that was named and is not there was reported.
            if matches!(self.kind, As::Label | As::Scores) && draft.labels.is_none() {
                report.push(
                    Diagnostic::error(format!("`fields.{}` of {} has no `labels`", draft.name.value, self.what))
                        .at(&draft.name.place, "")
                        .help(
                            "name the file beside the model that has a label on each line: `labels = \"labels.txt\"`",
                        ),
                );
            }
            return;
        };
        if let Some(count) = count.filter(|count| self.of_classes() && count != labels) {
            let mut d = Diagnostic::error(format!(
                "`{}` has {labels} labels, `{}` has {count} classes",
                file.value, bound.from.value
            ))
            .at(&file.place, format!("{labels} labels"))
            .at(&bound.from.place, bound.ty.to_string());
            if let Some(note) = &bound.note {
                d = d.note(note.clone());
            }
            report.push(d.help("the file has one label a line, in the order of the model's classes"));
        }
        let mut seen = BTreeSet::new();
        let twice = bound.lines.iter().flat_map(|lines| lines.iter()).find(|label| !seen.insert(*label));
        if let Some(label) = twice.filter(|_| self.kind == As::Scores) {
            report.push(
                Diagnostic::error(format!(
                    "`{}` has the label `{label}` twice, and `as = \"scores\"` has each label once",
                    file.value
                ))
                .at(&file.place, "")
                .help("tell the labels apart, or take `as = \"top\"`, which gives their indices too"),
            );
        }
    }

    /// The number of the largest scores.
    fn top(&self, count: Option<usize>, report: &mut Report) -> usize {
        match (&self.draft.top, count) {
            (Some(top), Some(classes)) if top.value > classes => {
                report.push(
                    Diagnostic::error(format!(
                        "`top = {}` in `fields.{}` of {} is more than there are classes",
                        top.value, self.draft.name.value, self.what
                    ))
                    .at(&top.place, format!("`{}` has {classes} classes", self.bound.from.value))
                    .help(format!("at most `top = {classes}`")),
                );
                classes
            }
            (Some(top), _) => top.value,
            (None, classes) => classes.unwrap_or(DEFAULT_TOP).min(DEFAULT_TOP),
        }
    }
}

/// The number of elements of a shape, where each length is known.
fn elements(dims: &[Option<usize>]) -> Option<usize> {
    dims.iter().try_fold(1_usize, |all, n| all.checked_mul((*n)?))
}
