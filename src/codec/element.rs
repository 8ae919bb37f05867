//! Numbers from outside to elements of a dtype: what fits, and why something does not.

use crate::tensor::Element;
use half::{bf16, f16};

/// Why a number is not an element of the dtype.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ElementError {
    Range,
    Fraction,
}

/// A dtype's element, from the three kinds of number that JSON has.
pub trait FromNumber: Element {
    fn float(value: f64) -> Result<Self, ElementError>;
    fn signed(value: i64) -> Result<Self, ElementError>;
    fn unsigned(value: u64) -> Result<Self, ElementError>;
    /// NaN or an infinity, where the dtype has them.
    fn not_finite(_: f64) -> Option<Self> {
        None
    }
}

macro_rules! integers {
    ($($t:ty),*) => { $(impl FromNumber for $t {
        fn float(value: f64) -> Result<Self, ElementError> {
            if value.fract() != 0.0 {
                return Err(ElementError::Fraction);
            }
            // Beyond 2^53 a float no longer says which integer is meant.
            if value.abs() > 9_007_199_254_740_992.0 {
                return Err(ElementError::Range);
            }
            Self::signed(value as i64)
        }
        fn signed(value: i64) -> Result<Self, ElementError> {
            <$t>::try_from(value).map_err(|_| ElementError::Range)
        }
        fn unsigned(value: u64) -> Result<Self, ElementError> {
            <$t>::try_from(value).map_err(|_| ElementError::Range)
        }
    })* };
}
integers!(i8, i16, i32, i64, u8, u16, u32, u64);

macro_rules! floats {
    ($($t:ty: $cast:expr, $finite:expr);* $(;)?) => { $(impl FromNumber for $t {
        fn float(value: f64) -> Result<Self, ElementError> {
            let cast: fn(f64) -> $t = $cast;
            let finite: fn($t) -> bool = $finite;
            Some(cast(value)).filter(|v| finite(*v)).ok_or(ElementError::Range)
        }
        fn signed(value: i64) -> Result<Self, ElementError> {
            <Self as FromNumber>::float(value as f64)
        }
        fn unsigned(value: u64) -> Result<Self, ElementError> {
            <Self as FromNumber>::float(value as f64)
        }
        fn not_finite(value: f64) -> Option<Self> {
            let cast: fn(f64) -> $t = $cast;
            Some(cast(value))
        }
    })* };
}
floats! {
    f32: |v| v as f32, |v| v.is_finite();
    f64: |v| v, |v| v.is_finite();
    f16: f16::from_f64, |v| v.is_finite();
    bf16: bf16::from_f64, |v| v.is_finite();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_fit_or_say_why_not() {
        assert_eq!(u8::float(3.0), Ok(3));
        assert_eq!(u8::float(3.5), Err(ElementError::Fraction));
        assert_eq!(u8::signed(-1), Err(ElementError::Range));
        assert_eq!(i64::unsigned(u64::MAX), Err(ElementError::Range));
        assert_eq!(i64::float(1e18), Err(ElementError::Range));
        assert_eq!(u64::unsigned(u64::MAX), Ok(u64::MAX));
        assert_eq!(f32::float(1e39), Err(ElementError::Range));
        assert_eq!(f16::float(65504.0), Ok(f16::MAX));
        assert_eq!(f16::float(70000.0), Err(ElementError::Range));
    }
}
