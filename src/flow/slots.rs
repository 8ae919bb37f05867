//! The values of one item: a slot has one for the item, or one for each element of a list. Pure.
//!
//! Elements of lists within lists are numbered through, over all lists that one step made: the elements made for the
//! first element of the outer list come first.

use crate::plan::{Entry, Given, IdVec, ListId, SlotId};
use crate::scheduler::{RunError, Value};

/// The value of a slot for the item or an element, or all of those below it.
#[derive(Clone)]
pub(super) enum Cell {
    /// Its step was skipped, or made nothing.
    Absent,
    Here(Value),
    /// A list itself, which has so many elements.
    Length(usize),
    /// What each element of a list has.
    Each(Vec<Cell>),
}

/// The elements of a list, for all that it was made for.
struct Extent {
    /// Where the elements that were made for each begin, and the end of all.
    starts: Vec<usize>,
    /// What each element was made for.
    parents: Vec<usize>,
}

pub(super) struct Slots<'a> {
    entry: &'a Entry,
    /// The values of each slot; `None` where its step has not ended.
    cells: IdVec<SlotId, Option<Vec<Cell>>>,
    lists: IdVec<ListId, Option<Extent>>,
}

impl<'a> Slots<'a> {
    pub(super) fn new(entry: &'a Entry) -> Self {
        let cells = entry.slots.iter().map(|_| None).collect();
        Self { entry, cells, lists: entry.lists.iter().map(|_| None).collect() }
    }

    /// Fills a slot with a value for each that it has one for.
    pub(super) fn fill(&mut self, slot: SlotId, cells: Vec<Cell>) {
        if let Some(place) = self.cells.get_mut(slot) {
            *place = Some(cells);
        }
    }

    /// The lengths of the lists that a step made; `None` where it made none.
    pub(super) fn fill_list(&mut self, list: ListId, lengths: &[Option<usize>]) {
        let mut extent = Extent { starts: vec![0], parents: vec![] };
        for (parent, length) in lengths.iter().enumerate() {
            extent.parents.resize(extent.parents.len() + length.unwrap_or(0), parent);
            extent.starts.push(extent.parents.len());
        }
        self.lists[list] = Some(extent);
        let cells = lengths.iter().map(|length| length.map_or(Cell::Absent, Cell::Length));
        self.fill(self.entry.lists[list].slot, cells.collect());
    }

    pub(super) fn is_filled(&self, slot: SlotId) -> bool {
        self.cells.get(slot).is_some_and(Option::is_some)
    }

    /// The number of elements at a level: 1 for the item itself. `None` where that is not known yet.
    pub(super) fn elements(&self, level: Option<ListId>) -> Option<usize> {
        let Some(list) = level else { return Some(1) };
        Some(self.lists.get(list)?.as_ref()?.parents.len())
    }

    /// The value of a slot for one element of a level: that of the element, or of what it was made for; and where the
    /// slot has values for elements below it, all of those.
    pub(super) fn cell(&self, slot: SlotId, level: Option<ListId>, element: usize) -> Cell {
        let of_slot = self.entry.slots.get(slot).copied().flatten();
        let own = self.entry.lineage(of_slot);
        let reader = self.entry.lineage(level);
        if own.len() > reader.len() {
            return self.below(slot, &own[reader.len()..], element);
        }
        let mut at = element;
        for list in reader[own.len()..].iter().rev() {
            let parent = self.lists[*list].as_ref().and_then(|extent| extent.parents.get(at));
            let Some(parent) = parent else { return Cell::Absent };
            at = *parent;
        }
        self.at(slot, at)
    }

    fn at(&self, slot: SlotId, at: usize) -> Cell {
        let cells = self.cells.get(slot).and_then(Option::as_ref);
        cells.and_then(|cells| cells.get(at)).cloned().unwrap_or(Cell::Absent)
    }

    /// The values of a slot for all elements of `lists` that were made for one element.
    fn below(&self, slot: SlotId, lists: &[ListId], element: usize) -> Cell {
        let Some((list, rest)) = lists.split_first() else { return self.at(slot, element) };
        if let Cell::Absent = self.at(self.entry.lists[*list].slot, element) {
            return Cell::Absent;
        }
        let extent = self.lists[*list].as_ref();
        let range =
            extent.and_then(|extent| Some((*extent.starts.get(element)?, *extent.starts.get(element + 1)?)));
        let Some((start, end)) = range else { return Cell::Absent };
        Cell::Each((start..end).map(|element| self.below(slot, rest, element)).collect())
    }
}

impl Cell {
    /// The bytes that it takes on the host; `None` where a part of it is on a device.
    pub(super) fn host_bytes(&self) -> Option<usize> {
        match self {
            Self::Absent | Self::Length(_) => Some(0),
            Self::Here(Value::Host(tensor)) => Some(tensor.bytes().len()),
            Self::Here(Value::Device(_)) => None,
            Self::Each(cells) => {
                cells.iter().try_fold(0_usize, |all, cell| all.checked_add(cell.host_bytes()?))
            }
        }
    }

    /// The same on the host. To bring down what is on a device waits for that.
    pub(super) fn bring_down(self) -> Result<Given, RunError> {
        Ok(match self {
            Self::Absent => Given::Absent,
            Self::Length(length) => Given::Length(length),
            Self::Here(Value::Host(tensor)) => Given::One(tensor),
            Self::Here(Value::Device(resident)) => Given::One(resident.to_host()?),
            Self::Each(cells) => {
                Given::Each(cells.into_iter().map(Self::bring_down).collect::<Result<_, _>>()?)
            }
        })
    }
}
