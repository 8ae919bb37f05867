//! Axes and lengths, as operations are told them and as tensors have them. Pure.

use super::{MOST_BYTES, Misfit};
use crate::plan::TensorType;
use crate::tensor::{DType, Tensor, byte_len};

/// The dimensions of a type, where they are known.
pub type Dims = Option<Vec<Option<usize>>>;

/// The axis that is meant; a negative one counts from the end.
pub fn axis(given: i64, rank: usize) -> Result<usize, String> {
    let from_end = if given < 0 { given + rank as i64 } else { given };
    let axis = usize::try_from(from_end).ok().filter(|axis| *axis < rank);
    axis.ok_or_else(|| match rank {
        0 => "this is one number, which has no axes".to_owned(),
        1 => format!("there is no axis {given}: it has one axis, which is 0"),
        _ => format!("there is no axis {given}: it has {rank} axes, 0 to {}", rank - 1),
    })
}

/// Axes that are meant, in ascending order and each once.
pub fn axes(given: &[i64], rank: usize) -> Result<Vec<usize>, String> {
    let mut axes = given.iter().map(|given| axis(*given, rank)).collect::<Result<Vec<_>, _>>()?;
    axes.sort_unstable();
    match axes.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(format!("axis {} is there twice", pair[0])),
        None => Ok(axes),
    }
}

/// The only input. An operation of one is given one.
pub fn one<T>(inputs: &[T]) -> Result<&T, String> {
    match inputs {
        [one] => Ok(one),
        _ => Err(format!("it reads one source, and is given {}", inputs.len())),
    }
}

/// Refuses what is no number.
pub fn a_number(ty: &TensorType) -> Result<(), Misfit> {
    match ty.dtype {
        Some(dtype) if !dtype.is_number() => Err(Misfit::new("it computes with numbers")),
        _ => Ok(()),
    }
}

/// Refuses what is no float.
pub fn a_float(ty: &TensorType) -> Result<(), Misfit> {
    match ty.dtype {
        Some(dtype) if dtype.is_float() => Ok(()),
        Some(dtype) if dtype.is_number() => Err(Misfit::new("it computes with floats")
            .help("a step with `op = \"cast\"` makes floats of integers")),
        Some(_) => Err(Misfit::new("it computes with floats")),
        None => Ok(()),
    }
}

/// The dimensions with one of them changed by `change`, or left out where that is `None`.
pub fn with_axis(
    dims: &Dims,
    given: i64,
    change: impl FnOnce(Option<usize>) -> Option<Option<usize>>,
) -> Result<Dims, String> {
    let Some(dims) = dims else { return Ok(None) };
    let axis = axis(given, dims.len())?;
    let mut dims = dims.clone();
    match change(dims[axis]) {
        Some(length) => dims[axis] = length,
        None => _ = dims.remove(axis),
    }
    Ok(Some(dims))
}

/// The number of elements of a result, or why it is not made.
pub fn room(dtype: DType, shape: &[usize]) -> Result<usize, String> {
    let bytes = byte_len(dtype, shape).filter(|bytes| *bytes <= MOST_BYTES);
    match bytes {
        Some(bytes) => Ok(bytes / dtype.size()),
        None => Err(format!("a result of {shape:?} is too large: {} MiB are the most", MOST_BYTES >> 20)),
    }
}

/// The same for a result whose lengths may be open.
pub fn room_of_type(dtype: Option<DType>, dims: &Dims) -> Result<(), String> {
    let known: Vec<usize> = dims.iter().flatten().map(|length| length.unwrap_or(1)).collect();
    room(dtype.unwrap_or(DType::U8), &known).map(|_| ())
}

/// A tensor as lines along one of its axes.
#[derive(Clone, Copy, Debug)]
pub struct Lines {
    /// The elements of a line.
    pub length: usize,
    /// From an element of a line to its next.
    pub step: usize,
    /// The lines that begin next to each other, `step` of them, come so often.
    outer: usize,
}

impl Lines {
    pub fn along(shape: &[usize], axis: usize) -> Self {
        let step = shape[axis + 1..].iter().product();
        // Of lines without elements there may be very many.
        let outer = if shape.contains(&0) { 0 } else { shape[..axis].iter().product() };
        Self { length: shape[axis], step, outer }
    }

    /// The position of the first element of each line, in the order in which a result without the axis has them.
    pub fn starts(self) -> impl Iterator<Item = usize> {
        (0..self.outer)
            .flat_map(move |row| (0..self.step).map(move |column| row * self.length * self.step + column))
    }

    /// The positions of the elements of the line that begins at `start`.
    pub fn line(self, start: usize) -> impl Iterator<Item = usize> + Clone {
        (0..self.length).map(move |index| start + index * self.step)
    }
}

/// Refuses tensors whose shapes differ.
pub fn alike(tensors: &[Tensor]) -> Result<(), String> {
    let Some((first, rest)) = tensors.split_first() else { return Ok(()) };
    for other in rest {
        if other.dtype() != first.dtype() || other.shape() != first.shape() {
            return Err(format!("{first:?} and {other:?} are not alike"));
        }
    }
    Ok(())
}

/// The type of which all of these are, as far as it is known.
pub fn common(types: &[TensorType]) -> Result<TensorType, Misfit> {
    let mut common = TensorType::default();
    for (source, ty) in types.iter().enumerate() {
        if ty.mismatch(&common).is_some() {
            return Err(Misfit { source, ..Misfit::new(format!("the sources before it are {common}")) });
        }
        common.dtype = common.dtype.or(ty.dtype);
        common.dims = match (common.dims, &ty.dims) {
            (Some(one), Some(other)) => Some(one.iter().zip(other).map(|(a, b)| a.or(*b)).collect()),
            (one, other) => one.or_else(|| other.clone()),
        };
    }
    Ok(common)
}
