//! `op = "resize"`: the last two axes at another size, as Resize of ONNX with half-pixel coordinates and without
//! antialiasing. Pure.

use super::draft::{VALUE, of_one};
use super::element::{Pieces, floats, of_floats};
use super::shape::{a_float, one, room, room_of_type};
use super::{Classes, Compute, Misfit};
use crate::diagnostic::{At, Report};
use crate::plan::{OperationDraft, TensorType};
use crate::spec::document::{Expected, Reader, Value};
use crate::tensor::Tensor;
use serde::Serialize;

pub fn read(options: &mut Reader<'_>, report: &mut Report) -> Option<Box<dyn OperationDraft>> {
    of_one("resize", VALUE, options, report, Resize::read)
}

#[derive(Debug, Serialize)]
pub struct Resize {
    /// Width and height: the last axis, and the one before it.
    pub size: [usize; 2],
    pub mode: Mode,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Between the four that are nearest. Of floats alone.
    Linear,
    /// Of two that are equally near the first.
    Nearest,
}

/// The pixels that a side may have.
const LONGEST: i64 = 1 << 16;

impl Resize {
    pub fn read(reader: &mut Reader<'_>, report: &mut Report) -> Option<Self> {
        reader.require("size", "say how large it becomes: `size = [64, 48]` is 64 wide and 48 high");
        let modes = [("linear", Mode::Linear), ("nearest", Mode::Nearest)];
        let mode = reader.choice("mode", &modes, report).map_or(Mode::Linear, |mode| mode.value);
        let size = reader.take_as("size", report, size)?;
        Some(Self { size: size.value, mode })
    }

    /// The dimensions of the result.
    fn resized<T: From<usize> + Clone>(&self, dims: &[T]) -> Result<Vec<T>, String> {
        let mut dims = dims.to_vec();
        let rank = dims.len();
        let Some([height, width]) = dims.last_chunk_mut::<2>() else {
            return Err(format!("it resizes the last two axes, and this has {rank}"));
        };
        [*width, *height] = self.size.map(T::from);
        Ok(dims)
    }
}

fn size(value: &At<Value>) -> Result<[usize; 2], Expected> {
    let wanted =
        || Expected::new("`[width, height]`, or one number for a square").help("as in `size = [64, 48]`");
    let side = |item: &At<Value>| match item.value {
        Value::Integer(side) if (1..=LONGEST).contains(&side) => Ok(side as usize),
        _ => Err(wanted()),
    };
    match &value.value {
        Value::Array(items) => match items.as_slice() {
            [width, height] => Ok([side(width)?, side(height)?]),
            _ => Err(wanted()),
        },
        _ => side(value).map(|side| [side; 2]),
    }
}

impl Compute for Resize {
    fn classes(&self) -> Classes {
        if self.mode == Mode::Nearest { Classes::Passed } else { Classes::None }
    }

    fn infer(&self, inputs: &[TensorType]) -> Result<Vec<TensorType>, Misfit> {
        let ty = one(inputs)?;
        if self.mode == Mode::Linear {
            a_float(ty).map_err(|misfit| misfit.help("`mode = \"nearest\"` takes anything"))?;
        }
        let dims = match &ty.dims {
            None => None,
            Some(dims) => {
                let known: Vec<usize> = dims.iter().map(|length| length.unwrap_or(usize::MAX)).collect();
                let resized =
                    self.resized(&known)?.into_iter().map(|length| (length != usize::MAX).then_some(length));
                Some(resized.collect())
            }
        };
        room_of_type(ty.dtype, &dims)?;
        Ok(vec![TensorType { dtype: ty.dtype, dims }])
    }

    fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, String> {
        let tensor = one(inputs)?;
        let shape = self.resized(tensor.shape())?;
        room(tensor.dtype(), &shape)?;
        let (planes, sides) = tensor.shape().split_at(shape.len() - 2);
        let (planes, [height, width]) = (planes.iter().product::<usize>(), [sides[0], sides[1]]);
        if planes > 0 && (height == 0 || width == 0) {
            return Err(format!("{tensor:?} has nothing that could be resized"));
        }
        let [columns, rows] =
            [points(width, self.size[0], self.mode), points(height, self.size[1], self.mode)];
        if self.mode == Mode::Nearest {
            let mut made = Pieces::new(tensor.dtype(), shape)?;
            for plane in 0..planes {
                for row in &rows {
                    let start = (plane * height + row.at) * width;
                    columns.iter().for_each(|column| made.push(tensor, start + column.at, 1));
                }
            }
            return Ok(vec![made.finish()?]);
        }
        let values = floats(tensor)?;
        let mut resized = Vec::with_capacity(shape.iter().product());
        for plane in values.chunks_exact((height * width).max(1)) {
            for row in &rows {
                let [above, below] = [row.at, row.next].map(|row| &plane[row * width..][..width]);
                resized.extend(columns.iter().map(|column| {
                    let [above, below] =
                        [above, below].map(|line| column.between(line[column.at], line[column.next]));
                    row.between(above, below)
                }));
            }
        }
        Ok(vec![of_floats(tensor.dtype(), shape, resized)?])
    }
}

/// Where the centre of a pixel of the result lies along one side.
struct Point {
    at: usize,
    /// The neighbour, and the share of it.
    next: usize,
    share: f64,
}

impl Point {
    fn between(&self, at: f64, next: f64) -> f64 {
        // Of nothing of an infinite neighbour nothing is taken.
        if self.share == 0.0 { at } else { at * (1.0 - self.share) + next * self.share }
    }
}

/// The centres of the pixels of a side of `to` pixels, in one of `from`. In whole numbers, so that ties are ties.
fn points(from: usize, to: usize, mode: Mode) -> Vec<Point> {
    let last = from.saturating_sub(1);
    let point = |index: usize| {
        // (index + 1/2) * from / to - 1/2, in parts of 2 * to.
        let (whole, at) = (2 * to as i128, (2 * index as i128 + 1) * from as i128 - to as i128);
        let at = at.clamp(0, last as i128 * whole);
        let (first, rest) = ((at / whole) as usize, at % whole);
        let next = (first + 1).min(last);
        match mode {
            Mode::Linear => Point { at: first, next, share: rest as f64 / whole as f64 },
            Mode::Nearest => Point { at: if 2 * rest > whole { next } else { first }, next, share: 0.0 },
        }
    };
    (0..to).map(point).collect()
}
