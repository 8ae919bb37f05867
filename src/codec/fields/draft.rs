//! The draft of an encode that is made of fields: what json, jsonl, csv and parquet have in common before
//! they write anything.

use super::{Field, FieldDraft, read};
use crate::diagnostic::{Diagnostic, Report};
use crate::plan::{Bound, Draft, Encode, SourceRef};
use crate::spec::document::Reader;
use std::collections::BTreeSet;
use std::sync::Arc;

/// A field with what it was made of, for a format to judge.
pub struct BoundField<'a> {
    pub field: Field,
    pub draft: &'a FieldDraft,
    pub bound: &'a Bound,
}

/// Makes the encode of its fields, in the order of the file. `None` where the format cannot take one of them,
/// which it reports.
pub type Make = fn(&str, Vec<BoundField<'_>>, &mut Report) -> Option<Arc<dyn Encode>>;

#[derive(Debug)]
struct FieldsDraft {
    what: String,
    fields: Vec<FieldDraft>,
    make: Make,
}

/// Reads the fields of an encode that is one answer.
pub fn answer(options: &mut Reader<'_>, report: &mut Report, make: Make) -> Box<dyn Draft> {
    let fields = read(options, report);
    Box::new(FieldsDraft { what: options.what().to_owned(), fields, make })
}

/// Reads the fields of an encode whose rows have an item and models beside them.
pub fn table(options: &mut Reader<'_>, report: &mut Report, make: Make) -> Box<dyn Draft> {
    let fields = read(options, report);
    for field in fields.iter().filter(|f| ["item", "models"].contains(&f.name.as_str())) {
        report.push(
            Diagnostic::error(format!("`{}` is no name for a field of {}", field.name.value, options.what()))
                .at(&field.name.place, "")
                .note("each row begins with the `item` and ends with the `models` that served it"),
        );
    }
    Box::new(FieldsDraft { what: options.what().to_owned(), fields, make })
}

impl Draft for FieldsDraft {
    fn sources(&self) -> Vec<SourceRef> {
        self.fields.iter().map(FieldDraft::source).collect()
    }

    fn bind(self: Box<Self>, bound: &[Option<Bound>], report: &mut Report) -> Option<Arc<dyn Encode>> {
        let mut bind = |(draft, bound): (&'_ FieldDraft, &'_ Option<Bound>)| {
            let bound = bound.as_ref().filter(|_| draft.sound)?;
            let field = draft.bind(&self.what, bound, report)?;
            // Labels that were not found were reported; what they are for was checked all the same.
            (draft.labels.is_none() || bound.labels.is_some()).then_some(field)
        };
        let fields: Vec<Option<Field>> = self.fields.iter().zip(bound).map(&mut bind).collect();
        let fields: Vec<Field> = fields.into_iter().collect::<Option<_>>()?;
        let with_source = fields.into_iter().zip(&self.fields).zip(bound.iter().flatten());
        let fields = with_source.map(|((field, draft), bound)| BoundField { field, draft, bound }).collect();
        (self.make)(&self.what, fields, report)
    }
}

/// Refuses the columns of a field of which another field of the table has one already.
pub fn refuse_columns_twice<'a>(
    what: &str,
    field: &FieldDraft,
    columns: impl IntoIterator<Item = &'a str>,
    taken: &mut BTreeSet<String>,
    report: &mut Report,
) {
    for column in columns {
        if !taken.insert(column.to_owned()) {
            report.push(
                Diagnostic::error(format!("two columns of {what} would be `{column}`"))
                    .at(&field.name.place, "the second of them")
                    .help("rename one of the fields"),
            );
        }
    }
}
