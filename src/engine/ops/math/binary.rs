//! Add, Sub, Mul, Div; Pow, Mod, BitShift and the bitwise operators.

use crate::engine::backend::Kernels;
use crate::engine::host::{self, Cell, Number, Reader};
use crate::engine::ops::{BoxOp, Context, Inputs, OpError, OpResult, Site, broadcast, one};
use crate::engine::value::Value;
use crate::tensor::{DType, Tensor};
use burn::tensor::{TensorMetadata, get_device_settings};

pub use crate::engine::kernels::strided::Binary as Arithmetic;

pub fn build<B: Kernels>(op: Arithmetic) -> Result<BoxOp<B>, String> {
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        let (a, b) = (inputs.take(0)?, inputs.take(1)?);
        one(arithmetic(op, a, b, cx)?)
    }))
}

pub fn arithmetic<B: Kernels>(
    op: Arithmetic,
    a: Value<B>,
    b: Value<B>,
    cx: &Context<B>,
) -> Result<Value<B>, OpError> {
    broadcast::same_dtype(&a, &b)?;
    let (a, b) = match broadcast::settled(a, b, cx) {
        (Value::Host(a), Value::Host(b)) => return on_host(op, &a, &b, cx).map(Value::Host),
        // A constant of one element costs no tensor.
        (Value::Float(a), Value::Host(b)) if b.len() == 1 && b.shape().len() <= a_rank::<B>(&a) => {
            return Ok(Value::Float(B::with_number(op, a, host::only(&b)?.as_f64())));
        }
        (Value::Host(a), Value::Float(b))
            if a.len() == 1
                && a.shape().len() <= a_rank::<B>(&b)
                && matches!(op, Arithmetic::Add | Arithmetic::Mul) =>
        {
            return Ok(Value::Float(B::with_number(op, b, host::only(&a)?.as_f64())));
        }
        both => both,
    };
    if matches!(op, Arithmetic::Div) && B::ON_HOST && !a.dtype().is_float() {
        // The backend panics where a quotient is none, or is one more than the type holds.
        let divisor = b.clone().into_host()?;
        if host::numbers(&divisor).any(|n| matches!(n, Number::Int(0 | -1))) {
            return on_host(op, &a.into_host()?, &divisor, cx).map(Value::Host);
        }
    }
    Ok(match broadcast::both(a, b, cx)? {
        (Value::Float(a), Value::Float(b)) => Value::Float(B::binary(op, a, b)),
        (Value::Int(a), Value::Int(b)) => Value::Int(match op {
            Arithmetic::Add => B::int_add(a, b),
            Arithmetic::Sub => B::int_sub(a, b),
            Arithmetic::Mul => B::int_mul(a, b),
            Arithmetic::Div => B::int_div(a, b),
        }),
        (a, _) => return Err(format!("{} has no arithmetic", a.dtype()).into()),
    })
}

fn a_rank<B: Kernels>(tensor: &B::FloatTensorPrimitive) -> usize {
    tensor.rank()
}

fn on_host<B: Kernels>(op: Arithmetic, a: &Tensor, b: &Tensor, cx: &Context<B>) -> Result<Tensor, OpError> {
    elementwise(a, b, a.dtype(), cx, |a, b| {
        Ok(match (a, b) {
            (Number::Int(a), Number::Int(b)) => Number::Int(match op {
                Arithmetic::Add => a.wrapping_add(b),
                Arithmetic::Sub => a.wrapping_sub(b),
                Arithmetic::Mul => a.wrapping_mul(b),
                Arithmetic::Div => a.checked_div(b).ok_or("an integer is divided by zero")?,
            }),
            (a, b) => {
                let (a, b) = (a.as_f64(), b.as_f64());
                Number::Float(match op {
                    Arithmetic::Add => a + b,
                    Arithmetic::Sub => a - b,
                    Arithmetic::Mul => a * b,
                    Arithmetic::Div => a / b,
                })
            }
        })
    })
}

/// A binary operation on the host, with broadcasting.
pub fn elementwise<B: Kernels>(
    a: &Tensor,
    b: &Tensor,
    dtype: DType,
    cx: &Context<B>,
    f: impl Fn(Number, Number) -> Result<Number, String>,
) -> Result<Tensor, OpError> {
    let dims = broadcast::shape(a.shape(), b.shape())?;
    if a.strings().is_some() || b.strings().is_some() {
        return Err("it takes no strings".into());
    }
    cx.check(dtype, &dims)?;
    let at = host::broadcast_indices(a.shape(), &dims).zip(host::broadcast_indices(b.shape(), &dims));
    // What shapes and masks are made of.
    if let (Some(left), Some(right)) = (a.elements::<i64>(), b.elements::<i64>()) {
        let number = |v: i64| Number::Int(v.into());
        let results = at.map(|(l, r)| f(number(left[l]), number(right[r])));
        return match dtype {
            DType::I64 => typed(dtype, dims, results, <i64 as Cell>::from_number, cx),
            DType::Bool => typed(dtype, dims, results, |n| u8::from(n != Number::Int(0)), cx),
            _ => host::try_from_numbers(dtype, dims, watched(results, cx)),
        };
    }
    let (left, right) = (Reader::new(a), Reader::new(b));
    let results = at.map(|(l, r)| f(left.at(l), right.at(r)));
    host::try_from_numbers(dtype, dims, watched(results, cx))
}

/// The same results, and an error once the run is to end.
fn watched<B: Kernels>(
    results: impl Iterator<Item = Result<Number, String>>,
    cx: &Context<B>,
) -> impl Iterator<Item = Result<Number, OpError>> {
    results.enumerate().map(|(index, result)| {
        if index % LOOK == 0 {
            cx.run.go_on()?;
        }
        Ok(result?)
    })
}

/// Elements between two looks at whether the run is to end.
const LOOK: usize = 1 << 16;

fn typed<T: Cell, B: Kernels>(
    dtype: DType,
    dims: Vec<usize>,
    results: impl Iterator<Item = Result<Number, String>>,
    cell: impl Fn(Number) -> T,
    cx: &Context<B>,
) -> Result<Tensor, OpError> {
    let mut cells = host::room(host::count(&dims)?)?;
    for result in watched(results, cx) {
        cells.push(cell(result?));
    }
    Ok(host::tensor(dtype, dims, cells)?)
}

/// The exponent may be of another type; the result is of the base's.
pub fn pow<B: Kernels>(_: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    Ok(Box::new(|mut inputs: Inputs<B>, cx: &Context<B>| {
        let (base, exponent) = (inputs.take(0)?, inputs.take(1)?);
        let dtype = base.dtype();
        match (base, exponent) {
            (Value::Float(base), Value::Host(exponent))
                if exponent.len() == 1 && exponent.shape().len() <= a_rank::<B>(&base) =>
            {
                let exponent = host::only(&exponent)?.as_f64();
                one(Value::Float(power::<B>(base, exponent, cx)))
            }
            (Value::Float(base), exponent) if exponent.dtype() == dtype => {
                match broadcast::both(Value::Float(base), exponent, cx)? {
                    (Value::Float(base), Value::Float(exponent)) => {
                        one(Value::Float(B::float_powf(base, exponent)))
                    }
                    _ => Err("Pow takes numbers".into()),
                }
            }
            (base, exponent) => {
                let (base, exponent) = (base.into_host()?, exponent.into_host()?);
                let result = elementwise(&base, &exponent, dtype, cx, |a, b| {
                    Ok(match (a, b) {
                        (Number::Int(a), Number::Int(b)) if b >= 0 => {
                            Number::Int(a.wrapping_pow(u32::try_from(b).unwrap_or(u32::MAX)))
                        }
                        (a, b) => Number::Float(a.as_f64().powf(b.as_f64())),
                    })
                })?;
                one(Value::Host(result))
            }
        }
    }))
}

fn power<B: Kernels>(
    base: B::FloatTensorPrimitive,
    exponent: f64,
    cx: &Context<B>,
) -> B::FloatTensorPrimitive {
    if !exponent.is_finite() {
        // Burn takes a number that it can count to.
        let (shape, dtype) = (base.shape(), base.dtype());
        let full = B::float_full(shape, exponent.into(), &cx.device, dtype.into());
        B::float_powf(base, full)
    } else if exponent == 2.0 {
        B::float_mul(base.clone(), base)
    } else if exponent == 0.5 {
        // The root of -∞ is no number, its power is.
        let out = get_device_settings::<B>(&cx.device).bool_dtype;
        let lowest = B::float_equal_elem(base.clone(), f64::NEG_INFINITY.into(), out);
        B::float_mask_fill(B::float_sqrt(base), lowest, f64::INFINITY.into())
    } else {
        B::each(base, &|base| B::float_powf_scalar(base, exponent.into()))
    }
}

/// The remainder: with `fmod` its sign is the dividend's, as in C; without, the divisor's.
pub fn modulo<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let fmod = site.node.attributes.flag("fmod")?;
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| {
        let (a, b) = (inputs.take(0)?, inputs.take(1)?);
        let dtype = broadcast::same_dtype(&a, &b)?;
        let result = elementwise(&a.into_host()?, &b.into_host()?, dtype, cx, |a, b| {
            Ok(match (a, b) {
                (_, Number::Int(0)) => return Err("an integer is divided by zero".into()),
                (Number::Int(a), Number::Int(b)) if fmod => Number::Int(a % b),
                (Number::Int(a), Number::Int(b)) => Number::Int((a % b + b) % b),
                (a, b) if fmod => Number::Float(a.as_f64() % b.as_f64()),
                (a, b) => {
                    let (a, b) = (a.as_f64(), b.as_f64());
                    let rest = a % b;
                    Number::Float(if rest != 0.0 && (rest < 0.0) != (b < 0.0) { rest + b } else { rest })
                }
            })
        })?;
        one(Value::Host(result))
    }))
}

pub fn shift<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    let left = match site.node.attributes.text("direction", "")? {
        "LEFT" => true,
        "RIGHT" => false,
        other => return Err(format!("direction is {other:?}, not \"LEFT\" or \"RIGHT\"")),
    };
    host_ints(move |a, b| {
        let by = u32::try_from(b).unwrap_or(u32::MAX);
        if left { a.checked_shl(by).unwrap_or(0) } else { a >> by.min(127) }
    })
}

#[derive(Clone, Copy, Debug)]
pub enum Bits {
    And,
    Or,
    Xor,
}

pub fn bitwise<B: Kernels>(op: Bits) -> Result<BoxOp<B>, String> {
    host_ints(move |a, b| match op {
        Bits::And => a & b,
        Bits::Or => a | b,
        Bits::Xor => a ^ b,
    })
}

fn host_ints<B: Kernels>(f: impl Fn(i128, i128) -> i128 + Send + Sync + 'static) -> Result<BoxOp<B>, String> {
    Ok(Box::new(move |mut inputs: Inputs<B>, cx: &Context<B>| -> OpResult<B> {
        let (a, b) = (inputs.take(0)?, inputs.take(1)?);
        let dtype = broadcast::same_dtype(&a, &b)?;
        let result = elementwise(&a.into_host()?, &b.into_host()?, dtype, cx, |a, b| match (a, b) {
            (Number::Int(a), Number::Int(b)) => Ok(Number::Int(f(a, b))),
            _ => Err("it takes integers".into()),
        })?;
        one(Value::Host(result))
    }))
}
