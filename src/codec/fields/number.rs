//! Numbers of an answer: written as short as reads back the same, and never as what JSON has no word for.

use crate::tensor::{DType, Tensor};
use half::{bf16, f16};
use std::io::Write;

/// An element, or something computed from elements.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    /// A number of float32 or less, so that 0.1 is not written as 0.10000000149011612.
    F32(f32),
    F64(f64),
    Signed(i64),
    Unsigned(u64),
    Bool(bool),
}

impl Number {
    /// The number rounded to `places` decimal places; integers stay as they are.
    pub fn rounded(self, places: Option<u32>) -> Self {
        let Some(places) = places else { return self };
        let round = |v: f64| {
            let factor = 10f64.powi(places as i32);
            let rounded = (v * factor).round() / factor;
            if rounded.is_finite() { rounded } else { v }
        };
        match self {
            Self::F32(v) => Self::F64(round(f64::from(v))),
            Self::F64(v) => Self::F64(round(v)),
            other => other,
        }
    }

    /// Writes the number as JSON; NaN and infinities are `null`.
    pub fn write_json(self, out: &mut Vec<u8>) {
        // Writing to memory does not fail.
        let _ = match self {
            Self::F32(v) if v.is_finite() => serde_json::to_writer(&mut *out, &v).map_err(Into::into),
            Self::F64(v) if v.is_finite() => serde_json::to_writer(&mut *out, &v).map_err(Into::into),
            Self::F32(_) | Self::F64(_) => out.write_all(b"null"),
            Self::Signed(v) => write!(out, "{v}"),
            Self::Unsigned(v) => write!(out, "{v}"),
            Self::Bool(v) => write!(out, "{v}"),
        };
    }

    /// The number as a cell of CSV; NaN and infinities leave it empty.
    pub fn cell(self) -> String {
        let mut out = vec![];
        self.write_json(&mut out);
        if out == b"null" {
            out.clear();
        }
        String::from_utf8_lossy(&out).into_owned()
    }
}

/// The elements of a tensor as numbers, in order.
pub fn numbers(tensor: &Tensor) -> Box<dyn Iterator<Item = Number> + '_> {
    fn each<'a, T: bytemuck::Pod>(
        tensor: &'a Tensor,
        number: fn(T) -> Number,
    ) -> Box<dyn Iterator<Item = Number> + 'a> {
        let element = move |bytes: &[u8]| number(bytemuck::pod_read_unaligned(bytes));
        Box::new(tensor.bytes().chunks_exact(size_of::<T>()).map(element))
    }
    match tensor.dtype() {
        DType::F32 => each(tensor, Number::F32),
        DType::F64 => each(tensor, Number::F64),
        DType::F16 => each(tensor, |v: f16| Number::F32(v.into())),
        DType::BF16 => each(tensor, |v: bf16| Number::F32(v.into())),
        DType::I8 => each(tensor, |v: i8| Number::Signed(v.into())),
        DType::I16 => each(tensor, |v: i16| Number::Signed(v.into())),
        DType::I32 => each(tensor, |v: i32| Number::Signed(v.into())),
        DType::I64 => each(tensor, Number::Signed),
        DType::U8 => each(tensor, |v: u8| Number::Unsigned(v.into())),
        DType::U16 => each(tensor, |v: u16| Number::Unsigned(v.into())),
        DType::U32 => each(tensor, |v: u32| Number::Unsigned(v.into())),
        DType::U64 => each(tensor, Number::Unsigned),
        DType::Bool => each(tensor, |v: u8| Number::Bool(v != 0)),
        // Strings are no numbers, and small floats are few enough.
        _ => Box::new(tensor.to_f64().into_iter().map(Number::F64)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(number: Number) -> String {
        let mut out = vec![];
        number.write_json(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn floats_are_short_and_finite() {
        assert_eq!(json(Number::F32(0.1)), "0.1");
        assert_eq!(json(Number::F32(1.0)), "1.0");
        assert_eq!(json(Number::F64(0.1)), "0.1");
        assert_eq!(json(Number::F32(f32::NAN)), "null");
        assert_eq!(json(Number::F64(f64::NEG_INFINITY)), "null");
        assert_eq!(Number::F32(f32::INFINITY).cell(), "");
    }

    #[test]
    fn rounding_leaves_no_noise() {
        assert_eq!(json(Number::F32(0.93456787).rounded(Some(4))), "0.9346");
        assert_eq!(json(Number::F32(0.1).rounded(Some(15))), "0.100000001490116");
        assert_eq!(json(Number::F64(1e300).rounded(Some(15))), "1e+300");
        assert_eq!(json(Number::Signed(7).rounded(Some(2))), "7");
    }

    proptest::proptest! {
        #[test]
        fn what_is_written_reads_back(v: f32) {
            proptest::prop_assume!(v.is_finite());
            let back: f32 = json(Number::F32(v)).parse().unwrap();
            proptest::prop_assert_eq!(back.to_bits(), v.to_bits());
        }
    }
}
