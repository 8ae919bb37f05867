//! The draft of an encode that is made of fields: what json, jsonl, csv and parquet have in common before
//! they write anything.

use super::level::{Level, RowsOf};
use super::read::{self, Holds};
use super::{As, Field, FieldDraft, Group, Member, MemberDraft, list};
use crate::diagnostic::{At, Diagnostic, Report};
use crate::plan::{Bound, Draft, Encode, Presence, SourceRef, TensorType};
use crate::spec::document::Reader;
use crate::tensor::DType;
use std::sync::Arc;

/// A field with what it was made of, for a format to judge.
pub struct BoundField<'a> {
    pub field: Field,
    pub draft: &'a FieldDraft,
    pub bound: Bound,
    /// The number of lists, each within the one before, in which its values lie.
    pub lists: usize,
}

/// How a format is made of its fields. `None` where it cannot take one of them, which it reports.
#[derive(Clone, Copy, Debug)]
enum Make {
    /// Objects, with fields within fields.
    Objects(MakeObjects),
    /// A table, with a column or several for each field.
    Table(MakeTable),
}

pub type MakeObjects = fn(Option<RowsOf>, Vec<Member>) -> Arc<dyn Encode>;
pub type MakeTable = fn(&str, Option<RowsOf>, Vec<BoundField<'_>>, &mut Report) -> Option<Arc<dyn Encode>>;

#[derive(Debug)]
struct FieldsDraft {
    what: String,
    /// The list for each of whose elements there is a row.
    each: Option<At<String>>,
    members: Vec<MemberDraft>,
    holds: Holds,
    make: Make,
}

/// Reads the fields of an encode that is one object.
pub fn object(options: &mut Reader<'_>, report: &mut Report, make: MakeObjects) -> Box<dyn Draft> {
    let holds = Holds { nested: true, rows: false, lists: true };
    Box::new(FieldsDraft::read(options, holds, Make::Objects(make), report))
}

/// Reads the fields of an encode whose rows are objects.
pub fn objects(options: &mut Reader<'_>, report: &mut Report, make: MakeObjects) -> Box<dyn Draft> {
    let holds = Holds { nested: true, rows: true, lists: true };
    Box::new(FieldsDraft::read(options, holds, Make::Objects(make), report))
}

/// Reads the fields of an encode whose rows have cells; `lists` where a cell can hold several values.
pub fn table(options: &mut Reader<'_>, lists: bool, report: &mut Report, make: MakeTable) -> Box<dyn Draft> {
    let holds = Holds { nested: false, rows: true, lists };
    Box::new(FieldsDraft::read(options, holds, Make::Table(make), report))
}

impl FieldsDraft {
    fn read(options: &mut Reader<'_>, holds: Holds, make: Make, report: &mut Report) -> Self {
        let what = options.what().to_owned();
        let each = read::read_each(options, holds, report);
        let members = read::read(options, holds, report);
        let names = members.iter().map(|member| match member {
            MemberDraft::Field(field) => &field.name,
            MemberDraft::Group(group) => &group.name,
        });
        for name in names.filter(|name| holds.rows && ["item", "models"].contains(&name.as_str())) {
            report.push(
                Diagnostic::error(format!("`{}` is no name for a field of {what}", name.value))
                    .at(&name.place, "")
                    .note("each row begins with the `item` and ends with the `models` that served it"),
            );
        }
        Self { what, each, members, holds, make }
    }
}

impl Draft for FieldsDraft {
    fn sources(&self) -> Vec<SourceRef> {
        let mut all: Vec<SourceRef> = self.each.iter().map(list).collect();
        self.members.iter().for_each(|member| member.sources(&mut all));
        all
    }

    fn sizes(&self) -> Vec<At<String>> {
        let mut all = vec![];
        self.members.iter().for_each(|member| member.sizes(&mut all));
        all
    }

    fn takes_lists(&self) -> bool {
        true
    }

    fn bind(self: Box<Self>, bound: &[Option<Bound>], report: &mut Report) -> Option<Arc<dyn Encode>> {
        let mut sources = Sources { bound, next: 0, sizes: bound.len() };
        let mut level = Level::once();
        let mut rows = None;
        if self.each.is_some() {
            let (source, list) = sources.next();
            level = Level::of_rows(list);
            rows = list.map(|_| RowsOf { source });
        }
        let rows_are_known = rows.is_some() == self.each.is_some();
        let before = report.errors();
        let mut binding = Binding { holds: self.holds, sources, report };
        match self.make {
            Make::Objects(make) => {
                let members = binding.members(&self.what, &self.members, &level)?;
                let sound = rows_are_known && report.errors() == before;
                sound.then(|| make(rows, members))
            }
            Make::Table(make) => {
                let fields = self.members.iter().filter_map(|member| match member {
                    MemberDraft::Field(field) => Some(field),
                    // Refused where it was read.
                    MemberDraft::Group(_) => None,
                });
                let fields: Vec<_> = fields.map(|field| binding.field(&self.what, field, &level)).collect();
                let fields: Vec<_> = fields.into_iter().collect::<Option<_>>()?;
                make(&self.what, rows, fields, report).filter(|_| rows_are_known)
            }
        }
    }
}

/// The sources of a draft, one after the other.
struct Sources<'b> {
    bound: &'b [Option<Bound>],
    next: usize,
    /// The position of the next size of a picture: they come after all sources.
    sizes: usize,
}

impl<'b> Sources<'b> {
    fn next(&mut self) -> (usize, Option<&'b Bound>) {
        let at = self.next;
        self.next += 1;
        (at, self.bound.get(at).and_then(Option::as_ref))
    }

    /// What a field reads.
    fn of(&mut self, draft: &FieldDraft) -> (usize, Option<Bound>) {
        if draft.kind.value != As::Size {
            let (at, bound) = self.next();
            return (at, bound.cloned());
        }
        self.sizes += 1;
        let size = Bound {
            from: draft.from.clone(),
            ty: TensorType { dtype: Some(DType::I64), dims: Some(vec![Some(2)]) },
            labels: None,
            lines: None,
            note: None,
            presence: Presence::default(),
        };
        (self.sizes - 1, Some(size))
    }
}

struct Binding<'b, 'r> {
    holds: Holds,
    sources: Sources<'b>,
    report: &'r mut Report,
}

impl Binding<'_, '_> {
    /// Binds all members, whatever is wrong with one of them.
    fn members(&mut self, what: &str, members: &[MemberDraft], level: &Level) -> Option<Vec<Member>> {
        let members: Vec<Option<Member>> = members
            .iter()
            .map(|member| match member {
                MemberDraft::Field(draft) => {
                    self.field(what, draft, level).map(|bound| Member::Field(bound.field))
                }
                MemberDraft::Group(draft) => {
                    let (each, level) = match &draft.each {
                        None => (None, level.clone()),
                        Some(_) => {
                            let (source, list) = self.sources.next();
                            (Some(source), level.within(&draft.what, list, self.report))
                        }
                    };
                    let members = self.members(&draft.what, &draft.members, &level)?;
                    let name = draft.name.value.clone();
                    draft.sound.then_some(Member::Group(Group { name, each, members }))
                }
            })
            .collect();
        members.into_iter().collect()
    }

    fn field<'d>(&mut self, what: &str, draft: &'d FieldDraft, level: &Level) -> Option<BoundField<'d>> {
        let (source, bound) = self.sources.of(draft);
        let bound = bound.filter(|_| draft.sound)?;
        let part = format!("`fields.{}` of {what}", draft.name.value);
        let lists = level.lists(&part, &bound, self.report);
        if lists.is_some_and(|lists| lists > 0) && !self.holds.lists {
            self.no_list(&part, &bound);
            return None;
        }
        let field = Field { source, ..draft.bind(what, &bound, self.report)? };
        // Labels that were not found were reported; what they are for was checked all the same.
        let has_labels = draft.labels.is_none() || bound.labels.is_some();
        let lists = lists.filter(|_| has_labels)?;
        Some(BoundField { field, draft, bound, lists })
    }

    /// Reports what is there several times, where there is one value.
    fn no_list(&mut self, part: &str, bound: &Bound) {
        let list = bound.presence.each.last().map_or("", String::as_str);
        self.report.push(
            Diagnostic::error(format!(
                "`{}` is there once for each `{list}`, and {part} is one value in a row",
                bound.from.value
            ))
            .at(&bound.from.place, "")
            .help(format!("`each = \"{list}\"` beside `fields` writes a row for each of them"))
            .help("`op = \"stack\"` makes one array of them all, `op = \"count\"` their number; parquet has columns of lists"),
        );
    }
}
