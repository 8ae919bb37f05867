//! A field against the type of its source.

use super::{As, Field, FieldDraft};
use crate::diagnostic::{Diagnostic, Report};
use crate::plan::Bound;
use crate::tensor::DType;

/// Top entries where a field does not say how many.
const DEFAULT_TOP: usize = 5;

impl FieldDraft {
    /// Reports a type that the field cannot take; `what` is the encode, for messages.
    pub fn bind(&self, what: &str, bound: &Bound, report: &mut Report) -> Option<Field> {
        let kind = self.kind.value;
        let dims = bound.ty.dims.as_deref();
        let before = report.errors();
        let shown = format!("`{}` is {}", bound.from.value, bound.ty);
        let mut refuse = |title: String, help: &str| {
            let mut d = Diagnostic::error(title).at(&bound.from.place, shown.clone());
            if self.kind.place.range != self.name.place.range {
                d = d.at(&self.kind.place, "");
            }
            if let Some(note) = &bound.note {
                d = d.note(note.clone());
            }
            report.push(d.help(help));
        };
        let title = |wants: &str| {
            format!("`as = \"{}\"` in `fields.{}` of {what} takes {wants}", kind.name(), self.name.value)
        };
        if bound.ty.dtype == Some(DType::String) && !matches!(kind, As::Values | As::Scalar) {
            refuse(
                title("numbers"),
                "strings are written by `as = \"values\"`, one of them by `as = \"scalar\"`",
            );
            return None;
        }
        let axis = self.axis.as_ref().map_or(0, |a| a.value);
        let stored = bound.ty.dtype.is_some_and(crate::codec::classes::holds_classes);
        let (mut pointless, mut perhaps_several) = (false, false);
        // The number of classes or elements that the field is about.
        let count = match (kind, dims) {
            (_, None) => None,
            (As::Label | As::Top, Some([classes])) => *classes,
            (As::Label | As::Top, Some(_)) => {
                refuse(
                    title("scores of one axis, one for each class"),
                    "for a map of classes take `as = \"shares\"`, or encode it as png",
                );
                None
            }
            (As::Scalar, Some(dims)) => {
                if dims.iter().any(|d| d.is_some_and(|n| n != 1)) {
                    refuse(title("a source with one element"), "for more take `as = \"values\"`");
                } else {
                    perhaps_several = dims.contains(&None);
                }
                Some(1)
            }
            (As::Argmax | As::Shares, Some(dims)) if kind == As::Argmax || !stored => match dims.get(axis) {
                Some(Some(1)) if kind == As::Shares => {
                    refuse(
                        title("scores for more than one class"),
                        "for the mean of a mask take `as = \"mean\"`",
                    );
                    None
                }
                Some(classes) => {
                    if let (As::Shares, [_]) = (kind, dims) {
                        pointless = true;
                    }
                    *classes
                }
                None => {
                    refuse(
                        title(&format!("a source that has an axis {axis}")),
                        "axes are counted from 0, without the batch axis",
                    );
                    None
                }
            },
            (As::Values, Some(dims)) => dims.iter().try_fold(1_usize, |all, n| all.checked_mul((*n)?)),
            _ => None,
        };
        if perhaps_several {
            report.push(
                Diagnostic::warning(format!(
                    "{}, and how many there are is not known",
                    title("a source with one element")
                ))
                .at(&bound.from.place, shown.clone())
                .note("an item that has none, or more than one, fails")
                .help("for any number take `as = \"values\"`"),
            );
        }
        if pointless {
            report.push(
                Diagnostic::warning(format!(
                    "`as = \"shares\"` in `fields.{}` of {what} is 1 for one class and 0 for all others",
                    self.name.value
                ))
                .at(&bound.from.place, shown.clone())
                .note("it counts the positions of a map of classes, and this is one position")
                .help("for the score of each class take `as = \"top\"` with as many as there are classes"),
            );
        }
        if let (Some((file, labels)), Some(count)) = (&bound.labels, count.filter(|c| c != labels_of(bound)))
        {
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
        let top = match (&self.top, count) {
            (Some(top), Some(classes)) if top.value > classes => {
                report.push(
                    Diagnostic::error(format!(
                        "`top = {}` in `fields.{}` of {what} is more than there are classes",
                        top.value, self.name.value
                    ))
                    .at(&top.place, format!("`{}` has {classes} classes", bound.from.value))
                    .help(format!("at most `top = {classes}`")),
                );
                classes
            }
            (Some(top), _) => top.value,
            (None, classes) => classes.unwrap_or(DEFAULT_TOP).min(DEFAULT_TOP),
        };
        (report.errors() == before).then(|| Field {
            name: self.name.value.clone(),
            kind,
            top,
            axis,
            softmax: self.softmax,
            round: self.round,
            // Where the classes are stored, only the labels say how many there are.
            count: count.or(bound.labels.as_ref().map(|(_, n)| *n)),
            labelled: self.labels.is_some(),
        })
    }
}

fn labels_of(bound: &Bound) -> &usize {
    bound.labels.as_ref().map_or(&0, |(_, n)| n)
}
