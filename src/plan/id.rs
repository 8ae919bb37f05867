//! Positions with a type of their own, so that a place in one list is never taken for one in another.

use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut, Index, IndexMut};

/// A position in the lists that are indexed by it.
pub trait Id: Copy + Ord + fmt::Debug {
    fn new(index: usize) -> Self;
    fn index(self) -> usize;
}

macro_rules! ids {
    ($($(#[$doc:meta])* $vis:vis struct $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        $vis struct $name(u32);

        impl Id for $name {
            fn new(index: usize) -> Self {
                // No list here comes near that length: each of its elements is written in a file.
                Self(u32::try_from(index).unwrap_or(u32::MAX))
            }

            fn index(self) -> usize {
                self.0 as usize
            }
        }
    )*};
}

ids! {
    /// A model of the plan: its position in [`super::Plan::models`].
    pub struct ModelId;

    /// A model that a pipeline calls: its position in [`super::Pipeline::models`].
    pub struct CalledId;

    /// A decode of an entry: its position in [`super::Entry::decodes`].
    pub struct DecodeId;

    /// A step of an entry: its position in [`super::Entry::steps`].
    pub struct StepId;

    /// A list that a step of an entry makes: its position in [`super::Entry::lists`].
    pub struct ListId;

    /// An encode of an entry: its position in [`super::Entry::encodes`].
    pub struct EncodeId;

    /// A value that an item has on its way through an entry.
    pub struct SlotId;

    /// A model that the files declare, whether a step calls it or not.
    pub struct LoadedId;

    /// The name of a decode that either entry point of a pipeline has.
    pub struct ScopeDecodeId;

    /// A step as its pipeline declares it, whether an entry needs it or not.
    pub struct ScopeStepId;
}

impl SlotId {
    /// The slot that a decode writes. The slots of decodes come before all others.
    pub fn of_decode(decode: DecodeId) -> Self {
        Self(decode.0)
    }
}

/// A list that is indexed by ids of one type.
pub struct IdVec<I, T> {
    items: Vec<T>,
    ids: PhantomData<fn(I) -> I>,
}

impl<I: Id, T> IdVec<I, T> {
    pub fn push(&mut self, item: T) -> I {
        self.items.push(item);
        I::new(self.items.len() - 1)
    }

    pub fn get(&self, id: I) -> Option<&T> {
        self.items.get(id.index())
    }

    pub fn get_mut(&mut self, id: I) -> Option<&mut T> {
        self.items.get_mut(id.index())
    }

    /// The ids of all elements, ascending.
    pub fn ids(&self) -> impl DoubleEndedIterator<Item = I> + Clone + use<I, T> {
        (0..self.items.len()).map(I::new)
    }

    /// The elements with their ids.
    pub fn enumerate(&self) -> impl DoubleEndedIterator<Item = (I, &T)> + Clone {
        self.items.iter().enumerate().map(|(index, item)| (I::new(index), item))
    }

    /// The first element of which `is` holds.
    pub fn position(&self, is: impl Fn(&T) -> bool) -> Option<I> {
        self.items.iter().position(is).map(I::new)
    }

    /// A list of the same length, with `value` for each element.
    pub fn with<U: Clone>(&self, value: U) -> IdVec<I, U> {
        vec![value; self.items.len()].into()
    }
}

impl<I: Id, T> Index<I> for IdVec<I, T> {
    type Output = T;

    fn index(&self, id: I) -> &T {
        &self.items[id.index()]
    }
}

impl<I: Id, T> IndexMut<I> for IdVec<I, T> {
    fn index_mut(&mut self, id: I) -> &mut T {
        &mut self.items[id.index()]
    }
}

impl<I, T> Deref for IdVec<I, T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.items
    }
}

impl<I, T> DerefMut for IdVec<I, T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.items
    }
}

impl<I, T> From<Vec<T>> for IdVec<I, T> {
    fn from(items: Vec<T>) -> Self {
        Self { items, ids: PhantomData }
    }
}

impl<I, T> FromIterator<T> for IdVec<I, T> {
    fn from_iter<It: IntoIterator<Item = T>>(items: It) -> Self {
        Vec::from_iter(items).into()
    }
}

impl<I, T> IntoIterator for IdVec<I, T> {
    type Item = T;
    type IntoIter = std::vec::IntoIter<T>;

    fn into_iter(self) -> Self::IntoIter {
        self.items.into_iter()
    }
}

impl<'v, I, T> IntoIterator for &'v IdVec<I, T> {
    type Item = &'v T;
    type IntoIter = std::slice::Iter<'v, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.items.iter()
    }
}

impl<'v, I, T> IntoIterator for &'v mut IdVec<I, T> {
    type Item = &'v mut T;
    type IntoIter = std::slice::IterMut<'v, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.items.iter_mut()
    }
}

impl<I, T> Default for IdVec<I, T> {
    fn default() -> Self {
        vec![].into()
    }
}

impl<I, T: Clone> Clone for IdVec<I, T> {
    fn clone(&self) -> Self {
        self.items.clone().into()
    }
}

impl<I, T: PartialEq> PartialEq for IdVec<I, T> {
    fn eq(&self, other: &Self) -> bool {
        self.items == other.items
    }
}

impl<I, T: fmt::Debug> fmt::Debug for IdVec<I, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.items.fmt(f)
    }
}
