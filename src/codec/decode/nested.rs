//! Nested JSON arrays to the elements of one tensor, in one pass: no tree is built.
//!
//! Rank and lengths are learned from the first branch and held against all others; what does not fit is
//! named by its path, as `box[3][0]`.

use crate::codec::document::{MOST_NAMED, meant};
use crate::codec::element::{ElementError, FromNumber};
use crate::codec::options::{MAX_RANK, Shape, is_of_one};
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;
use std::sync::Arc;

/// A JSON number or boolean as an element.
pub trait Leaf: Sized {
    /// What is wanted, in the words of an error message.
    const WANTED: &'static str;
    fn float(value: f64) -> Result<Self, ElementError>;
    fn signed(value: i64) -> Result<Self, ElementError>;
    fn unsigned(value: u64) -> Result<Self, ElementError>;
    /// `None` where a boolean is no element.
    fn boolean(value: bool) -> Option<Self>;
    /// `None` where this string is no element.
    fn text(_: &str) -> Option<Self> {
        None
    }
    /// What `null` is where an element should be; `None` where it is no element.
    fn null() -> Option<Self> {
        None
    }
    /// Why a number is no element, whichever it is.
    const NO_NUMBER: Option<&'static str> = None;
}

impl<T: FromNumber> Leaf for T {
    const WANTED: &'static str = "a number";
    fn float(value: f64) -> Result<Self, ElementError> {
        <T as FromNumber>::float(value)
    }
    fn signed(value: i64) -> Result<Self, ElementError> {
        <T as FromNumber>::signed(value)
    }
    fn unsigned(value: u64) -> Result<Self, ElementError> {
        <T as FromNumber>::unsigned(value)
    }
    fn boolean(_: bool) -> Option<Self> {
        None
    }
    /// What JSON has no words for is a string, as Protocol Buffers write it.
    fn text(value: &str) -> Option<Self> {
        match value {
            "NaN" => T::not_finite(f64::NAN),
            "Infinity" => T::not_finite(f64::INFINITY),
            "-Infinity" => T::not_finite(f64::NEG_INFINITY),
            _ => None,
        }
    }
    fn null() -> Option<Self> {
        T::not_finite(f64::NAN)
    }
}

/// An element of a bool tensor: true, false, 1 or 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BoolElement(pub bool);

impl Leaf for BoolElement {
    const WANTED: &'static str = "true or false";
    fn float(value: f64) -> Result<Self, ElementError> {
        match value {
            0.0 => Ok(Self(false)),
            1.0 => Ok(Self(true)),
            _ => Err(ElementError::Range),
        }
    }
    fn signed(value: i64) -> Result<Self, ElementError> {
        Self::float(value as f64)
    }
    fn unsigned(value: u64) -> Result<Self, ElementError> {
        Self::float(value as f64)
    }
    fn boolean(value: bool) -> Option<Self> {
        Some(Self(value))
    }
}

/// An element of a tensor of strings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StringElement(pub Arc<str>);

impl Leaf for StringElement {
    const WANTED: &'static str = "a string";
    const NO_NUMBER: Option<&'static str> = Some("a number");
    fn float(_: f64) -> Result<Self, ElementError> {
        Err(ElementError::Range)
    }
    fn signed(_: i64) -> Result<Self, ElementError> {
        Err(ElementError::Range)
    }
    fn unsigned(_: u64) -> Result<Self, ElementError> {
        Err(ElementError::Range)
    }
    fn boolean(_: bool) -> Option<Self> {
        None
    }
    fn text(value: &str) -> Option<Self> {
        Some(Self(value.into()))
    }
}

/// What is read, and how far reading has come.
pub struct Nested<'a, T> {
    /// The field's name, for messages.
    name: &'a str,
    dtype: &'a str,
    /// What the value must be like.
    shape: Option<&'a Shape>,
    /// What the models that read the value take, which is the shape of what does not show its own: of a
    /// value by itself and of an empty array. Everything else is as it comes.
    read_as: Option<&'a Shape>,
    max_elements: usize,
    elements: Vec<T>,
    /// The length of each axis, once an array of it has been read to its end.
    lengths: Vec<Option<usize>>,
    /// Known from the options or from the first element.
    rank: Option<usize>,
    /// Indices of the value being read.
    path: Vec<usize>,
    problem: Option<NestedError>,
}

/// Why a value is not such a tensor.
#[derive(Debug, PartialEq, Eq)]
pub enum NestedError {
    /// The document has not the field, once.
    NotThere(String),
    Invalid(String),
    TooLarge(String),
}

impl<'a, T: Leaf> Nested<'a, T> {
    pub fn new(
        name: &'a str,
        dtype: &'a str,
        shape: Option<&'a Shape>,
        read_as: Option<&'a Shape>,
        max_elements: usize,
    ) -> Self {
        let known: Option<usize> =
            shape.and_then(|s| s.iter().try_fold(1_usize, |all, n| all.checked_mul((*n)?)));
        Self {
            name,
            dtype,
            shape,
            read_as: shape.or(read_as),
            max_elements,
            elements: Vec::with_capacity(known.unwrap_or(0).min(max_elements).min(1 << 20)),
            lengths: vec![],
            rank: shape.map(Vec::len),
            path: vec![],
            problem: None,
        }
    }

    /// Shape and elements, once a value has been read without an error.
    pub fn finish(self) -> (Vec<usize>, Vec<T>) {
        let mut shape: Vec<usize> = self.lengths.into_iter().map(Option::unwrap_or_default).collect();
        let wanted = self.read_as.map_or(&[][..], Vec::as_slice);
        match self.elements.len() {
            0 => shape.extend(wanted.iter().skip(shape.len()).map(|length| length.unwrap_or(0))),
            1 if shape.is_empty() && is_of_one(wanted) => shape = vec![1; wanted.len()],
            _ => {}
        }
        (shape, self.elements)
    }

    /// Whether the value being read is in no array, and one element makes the tensor.
    fn is_alone(&self) -> bool {
        self.path.is_empty() && self.read_as.is_some_and(|shape| shape.is_empty() || is_of_one(shape))
    }

    /// Why reading stopped, where it was not the JSON itself.
    pub fn problem(&mut self) -> Option<NestedError> {
        self.problem.take()
    }

    /// `box[3][0]`
    fn at(&self) -> String {
        let indices: String = self.path.iter().map(|i| format!("[{i}]")).collect();
        format!("`{}{indices}`", self.name)
    }

    fn stop<E: Error>(&mut self, problem: NestedError) -> E {
        self.problem = Some(problem);
        E::custom("stopped")
    }

    fn invalid<E: Error>(&mut self, what: impl fmt::Display) -> E {
        let text = format!("{} {what}", self.at());
        self.stop(NestedError::Invalid(text))
    }

    /// Notes an element at the current path.
    fn leaf<E: Error>(&mut self, value: Result<T, ElementError>, shown: impl fmt::Display) -> Result<(), E> {
        let depth = self.path.len();
        match self.rank {
            None => {
                self.rank = Some(depth);
                self.lengths.resize(depth, None);
            }
            Some(rank) if depth < rank && !self.is_alone() => {
                return Err(self.invalid(format_args!("is {shown}, where an array should be{}", self.hint())));
            }
            Some(_) => {}
        }
        match value {
            Ok(element) if self.elements.len() < self.max_elements => self.elements.push(element),
            Ok(_) => {
                let text = format!("`{}` has more than {} elements", self.name, self.max_elements);
                return Err(self.stop(NestedError::TooLarge(text)));
            }
            Err(misfit) => {
                let dtype = self.dtype;
                return Err(match misfit {
                    ElementError::Fraction => {
                        self.invalid(format_args!("is {shown}, where {dtype} has integers"))
                    }
                    ElementError::Range => {
                        self.invalid(format_args!("is {shown}, which {dtype} does not hold"))
                    }
                });
            }
        }
        Ok(())
    }

    fn wrong_kind<E: Error>(&mut self, kind: &str) -> E {
        let wanted = match self.rank {
            _ if self.is_alone() => T::WANTED,
            Some(rank) if self.path.len() < rank => "an array",
            Some(_) => T::WANTED,
            None if T::NO_NUMBER.is_some() => "a string or an array of strings",
            None => "a number or an array of numbers",
        };
        self.invalid(format_args!("is {kind}, where {wanted} should be"))
    }

    /// "; the shape is [?, 4]" where one is wanted.
    fn hint(&self) -> String {
        self.shape
            .map(|s| format!("; the shape wanted is {}", crate::codec::options::show_shape(s)))
            .unwrap_or_default()
    }

    /// An array at the current path begins.
    fn open<E: Error>(&mut self) -> Result<(), E> {
        let depth = self.path.len();
        if self.rank.is_some_and(|rank| depth >= rank) {
            return Err(self.invalid(format_args!(
                "is an array, where {} should be{}",
                T::WANTED,
                self.hint()
            )));
        }
        if depth >= MAX_RANK {
            return Err(self.invalid(format_args!("nests arrays more than {MAX_RANK} deep")));
        }
        if self.lengths.len() <= depth {
            self.lengths.resize(depth + 1, None);
        }
        Ok(())
    }

    /// An array at the current path has ended.
    fn close<E: Error>(&mut self, length: usize) -> Result<(), E> {
        let depth = self.path.len();
        let wanted = self.shape.and_then(|s| s.get(depth).copied().flatten());
        if let Some(wanted) = wanted.filter(|w| *w != length) {
            return Err(self.invalid(format_args!("has length {length}, not {wanted}{}", self.hint())));
        }
        if length == 0 && self.read_as.is_none() {
            return Err(self.invalid("is empty, and how many axes it has is not known without a `shape`"));
        }
        match self.lengths.get(depth).copied().flatten() {
            Some(first) if first != length => {
                Err(self.invalid(format_args!("has length {length}, others beside it have {first}")))
            }
            _ => {
                self.lengths[depth] = Some(length);
                Ok(())
            }
        }
    }
}

impl<'de, T: Leaf> DeserializeSeed<'de> for &mut Nested<'_, T> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, T: Leaf> Visitor<'de> for &mut Nested<'_, T> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number or nested arrays of numbers")
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        if let Some(kind) = T::NO_NUMBER {
            return Err(self.wrong_kind(kind));
        }
        self.leaf(T::float(value), format_args!("{value:?}"))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        if let Some(kind) = T::NO_NUMBER {
            return Err(self.wrong_kind(kind));
        }
        self.leaf(T::signed(value), value)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        if let Some(kind) = T::NO_NUMBER {
            return Err(self.wrong_kind(kind));
        }
        self.leaf(T::unsigned(value), value)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        match T::boolean(value) {
            Some(element) => self.leaf(Ok(element), value),
            None => Err(self.wrong_kind("a boolean")),
        }
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        match T::text(value) {
            Some(element) => self.leaf(Ok(element), "a string"),
            None => Err(self.wrong_kind("a string")),
        }
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        // In the place of an array it is a field that was not given, or one that is too short. What is not
        // known to be one element by itself may have been meant for an array.
        let within = !self.path.is_empty() && self.rank.is_none_or(|rank| rank == self.path.len());
        let element = within || self.is_alone();
        match T::null() {
            Some(missing) if element => self.leaf(Ok(missing), "null"),
            _ => Err(self.wrong_kind("null")),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<(), A::Error> {
        self.open()?;
        let mut length = 0;
        self.path.push(0);
        while array.next_element_seed(&mut *self)?.is_some() {
            length += 1;
            if let Some(index) = self.path.last_mut() {
                *index = length;
            }
        }
        self.path.pop();
        self.close(length)
    }

    fn visit_map<A: MapAccess<'de>>(self, _: A) -> Result<(), A::Error> {
        Err(self.wrong_kind("an object"))
    }
}

/// A document: an object that has the field, under its name or the other, or else the value itself.
pub struct Document<'n, 'a, T>(pub &'n mut Nested<'a, T>, pub &'a str);

impl<'de, T: Leaf> DeserializeSeed<'de> for Document<'_, '_, T> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, T: Leaf> Visitor<'de> for Document<'_, '_, T> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object that has the field `{}`", self.0.name)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<(), A::Error> {
        let mut found = false;
        let mut others = vec![];
        while let Some(key) = object.next_key::<String>()? {
            if key == self.0.name || key == self.1 {
                if found {
                    let text = format!("{} is there twice", self.0.at());
                    return Err(self.0.stop(NestedError::NotThere(text)));
                }
                found = true;
                object.next_value_seed(&mut *self.0)?;
            } else {
                object.next_value::<IgnoredAny>()?;
                if others.len() < MOST_NAMED && key.len() <= 64 {
                    others.push(key);
                }
            }
        }
        if found {
            return Ok(());
        }
        let others = meant([self.0.name], &others).unwrap_or("it is an empty object".into());
        let text = format!("the document has no field `{}`: {others}", self.0.name);
        Err(self.0.stop(NestedError::NotThere(text)))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.0.visit_f64(value)
    }
    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.0.visit_i64(value)
    }
    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.0.visit_u64(value)
    }
    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.0.visit_bool(value)
    }
    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        self.0.visit_str(value)
    }
    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.0.visit_unit()
    }
    fn visit_seq<A: SeqAccess<'de>>(self, array: A) -> Result<(), A::Error> {
        self.0.visit_seq(array)
    }
}
