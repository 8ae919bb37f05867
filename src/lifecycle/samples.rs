//! Items to try a model with before it serves: like those that its decodes give, where a pipeline feeds it from
//! one, and plain numbers elsewhere.

use crate::plan::{Dim, Port, Signature, TensorType};
use crate::random::SplitMix64;
use crate::tensor::{DType, Tensor, byte_len};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Bytes that one tensor of a sample may have.
const LIMIT: usize = 1 << 28;

/// Lengths that axes of unknown length are given, in the order in which they are tried.
pub(super) const LENGTHS: [usize; 6] = [32, 64, 224, 10, 5, 1];

/// The values that come to an input of a model, as far as the plan tells.
#[derive(Clone, Debug, Default)]
pub(super) struct Feed {
    pub ty: TensorType,
    /// The least and the greatest number that comes.
    pub range: Option<(f64, f64)>,
}

/// The values that come to each input, by its name.
pub(super) type Feeds = BTreeMap<String, Feed>;

/// The character of the numbers of a sample. They differ as much as items do, so that a model that finds one thing
/// in each of some of them does not in the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Character {
    /// Noise over the whole range.
    Noise,
    /// Other noise, over a part of the range.
    Faint,
    /// Noise that goes beyond the range.
    Wide,
    Ones,
    Zeros,
}

impl Character {
    pub(super) const ALL: [Self; 5] = [Self::Noise, Self::Faint, Self::Wide, Self::Ones, Self::Zeros];
}

/// Whether the shape of an item follows from what is declared and from what feeds the model, so that nothing of it
/// is made up.
pub(super) fn shapes_are_known(signature: &Signature, feeds: &Feeds) -> bool {
    let known = |port: &Port| lengths(port, feeds, &bound(signature, feeds), None).is_some();
    signature.inputs.iter().all(known)
}

/// A sample: a tensor for each input, in which axes of unknown length are `length` long. `None` where a dtype or a
/// rank is not known, or where it would be too large.
pub(super) fn sample(
    signature: &Signature,
    feeds: &Feeds,
    length: usize,
    character: Character,
) -> Option<Vec<Tensor>> {
    let bound = bound(signature, feeds);
    let each = signature.inputs.iter().enumerate();
    each.map(|(index, port)| {
        let shape = lengths(port, feeds, &bound, Some(length))?;
        let range = feeds.get(&port.name).and_then(|feed| feed.range);
        let random = SplitMix64(((index as u64) << 32) ^ (character as u64 + 1));
        match port.dtype? {
            DType::String => texts(shape, &port.texts, random),
            dtype => tensor(dtype, shape, range, character, random),
        }
    })
    .collect()
}

/// Named axes whose length is told by what feeds them.
fn bound(signature: &Signature, feeds: &Feeds) -> BTreeMap<String, usize> {
    let mut bound = BTreeMap::new();
    for port in &signature.inputs {
        let fed = feeds.get(&port.name).and_then(|feed| feed.ty.dims.as_ref());
        let (Some(fed), Some(dims)) = (fed, item_dims(port)) else { continue };
        for (dim, length) in dims.into_iter().zip(fed) {
            if let (Dim::Named(name), Some(length)) = (dim, length) {
                bound.insert(name, *length);
            }
        }
    }
    bound
}

fn item_dims(port: &Port) -> Option<Vec<Dim>> {
    let dims = port.known_dims()?.into_iter().enumerate();
    Some(dims.filter(|(axis, _)| Some(*axis) != port.batch).map(|(_, dim)| dim).collect())
}

/// The shape of an item of a port; where a length is not known, `made_up`.
fn lengths(
    port: &Port,
    feeds: &Feeds,
    bound: &BTreeMap<String, usize>,
    made_up: Option<usize>,
) -> Option<Vec<usize>> {
    let fed = feeds.get(&port.name).and_then(|feed| feed.ty.dims.clone());
    let Some(dims) = item_dims(port) else { return fed?.into_iter().map(|dim| dim.or(made_up)).collect() };
    let fed = fed.filter(|fed| fed.len() == dims.len()).unwrap_or_else(|| vec![None; dims.len()]);
    let length = |(dim, fed): (Dim, Option<usize>)| match dim {
        Dim::Fixed(n) => Some(n),
        Dim::Named(name) => fed.or_else(|| bound.get(&name).copied()).or(made_up),
        Dim::DataDependent | Dim::Unknown => fed.or(made_up),
    };
    dims.into_iter().zip(fed).map(length).collect()
}

/// Texts that the model knows, each of its column.
fn texts(shape: Vec<usize>, known: &[Vec<Arc<str>>], mut random: SplitMix64) -> Option<Tensor> {
    byte_len(DType::String, &shape).filter(|bytes| *bytes <= LIMIT)?;
    let count: usize = shape.iter().product();
    let columns = shape.last().copied().unwrap_or(1).max(1);
    let text = |at: usize| match known.get(at % columns).or(known.first()) {
        Some(texts) if !texts.is_empty() => texts[random.below(texts.len())].clone(),
        _ => Arc::from(["a", "b", "c", "d"][random.below(4)]),
    };
    Tensor::from_strings(shape, (0..count).map(text).collect()).ok()
}

fn tensor(
    dtype: DType,
    shape: Vec<usize>,
    range: Option<(f64, f64)>,
    character: Character,
    mut random: SplitMix64,
) -> Option<Tensor> {
    byte_len(dtype, &shape).filter(|bytes| *bytes <= LIMIT)?;
    let count = shape.iter().product();
    // Small whole numbers are in the vocabulary of most models that take any, and no index that is out of range.
    let (low, high) = range.unwrap_or(match dtype {
        DType::U8 => (0.0, 255.0),
        dtype if dtype.is_float() => (0.0, 1.0),
        DType::Bool => (0.0, 1.0),
        _ => (1.0, 3.0),
    });
    let span = high - low;
    let (low, high) = match character {
        Character::Noise => (low, high),
        Character::Faint => (low, low + span / 2.0),
        Character::Wide if dtype.is_float() => (low - 3.0 * span, high + 3.0 * span),
        Character::Wide => (low, (high * 3.0).min(250.0)),
        Character::Ones => (1.0, 1.0),
        Character::Zeros => (0.0, 0.0),
    };
    let mut number = || low + (high - low) * random.unit();
    macro_rules! made {
        ($($dtype:ident => $t:ty: $make:expr),* $(,)?) => {
            match dtype {
                $(DType::$dtype => {
                    let make: fn(f64) -> $t = $make;
                    Tensor::from_vec(shape, (0..count).map(|_| make(number())).collect::<Vec<$t>>()).ok()
                })*
                DType::Bool => {
                    let bytes: Vec<u8> = (0..count).map(|_| u8::from(number() >= 0.5)).collect();
                    Tensor::from_bytes(dtype, shape, Bytes::from(bytes)).ok()
                }
                _ => None,
            }
        };
    }
    made!(
        F32 => f32: |x| x as f32, F64 => f64: |x| x,
        F16 => half::f16: half::f16::from_f64, BF16 => half::bf16: half::bf16::from_f64,
        I8 => i8: |x| x.round() as i8, I16 => i16: |x| x.round() as i16,
        I32 => i32: |x| x.round() as i32, I64 => i64: |x| x.round() as i64,
        U8 => u8: |x| x.round() as u8, U16 => u16: |x| x.round() as u16,
        U32 => u32: |x| x.round() as u32, U64 => u64: |x| x.round() as u64,
    )
}
