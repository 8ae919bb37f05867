//! Floats of eight bits and fewer: their values, and the nearest of them to a number.
//!
//! Formats: <https://onnx.ai/onnx/technical/float8.html>, <https://onnx.ai/onnx/technical/float4.html>, and
//! the OCP Microscaling Formats specification 1.0.

/// A format with a sign (but for E8M0), an exponent and a mantissa.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SmallFloat {
    mantissa: u32,
    bias: i32,
    /// The code of the sign; 0 where there is none.
    sign: u8,
    /// The code of the largest finite number.
    max: u8,
    nan: Option<u8>,
    infinity: Option<u8>,
}

/// How a number between two powers of two becomes one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    Nearest,
    Up,
    Down,
}

impl SmallFloat {
    pub const E4M3FN: Self =
        Self { mantissa: 3, bias: 7, sign: 0x80, max: 0x7e, nan: Some(0x7f), infinity: None };
    pub const E4M3FNUZ: Self =
        Self { mantissa: 3, bias: 8, sign: 0x80, max: 0x7f, nan: Some(0x80), infinity: None };
    pub const E5M2: Self =
        Self { mantissa: 2, bias: 15, sign: 0x80, max: 0x7b, nan: Some(0x7f), infinity: Some(0x7c) };
    pub const E5M2FNUZ: Self =
        Self { mantissa: 2, bias: 16, sign: 0x80, max: 0x7f, nan: Some(0x80), infinity: None };
    pub const E8M0: Self =
        Self { mantissa: 0, bias: 127, sign: 0, max: 0xfe, nan: Some(0xff), infinity: None };
    pub const E2M1: Self = Self { mantissa: 1, bias: 1, sign: 0x08, max: 0x07, nan: None, infinity: None };

    /// The value of a code.
    pub fn decode(self, code: u8) -> f64 {
        if self.nan == Some(code) {
            return f64::NAN;
        }
        let magnitude = if self.sign == 0 { code } else { code & (self.sign - 1) };
        let value = match self.infinity {
            _ if magnitude <= self.max => self.magnitude(magnitude),
            Some(infinity) if magnitude == infinity => f64::INFINITY,
            _ => f64::NAN,
        };
        if self.sign != 0 && code & self.sign != 0 { -value } else { value }
    }

    fn magnitude(self, code: u8) -> f64 {
        let exponent = i32::from(code >> self.mantissa);
        let fraction = f64::from(code & ((1 << self.mantissa) - 1)) / f64::from(1 << self.mantissa);
        // E8M0 has neither subnormals nor a zero.
        if exponent == 0 && self.sign != 0 {
            fraction * 2f64.powi(1 - self.bias)
        } else {
            (1.0 + fraction) * 2f64.powi(exponent - self.bias)
        }
    }

    /// The code of the nearest value, ties to the even code. What is out of range becomes the largest finite
    /// number where `saturate`, else infinity or what the format has in its place.
    pub fn encode(self, value: f64, saturate: bool) -> u8 {
        let negative = value.is_sign_negative() && self.sign != 0;
        let signed = |code: u8| match code {
            0 if self.is_uz() => 0,
            code if negative && self.nan != Some(code | self.sign) => code | self.sign,
            code => code,
        };
        if value.is_nan() {
            // Only formats whose sign is apart from it have a NaN of either sign.
            return match self.nan {
                Some(nan) if self.is_uz() => nan,
                Some(nan) => nan | if negative { self.sign } else { 0 },
                None => 0,
            };
        }
        let (value, largest) = (value.abs(), self.magnitude(self.max));
        // Halfway to the number that would come next it is rounded there.
        let next = 2.0 * largest - self.magnitude(self.max - 1);
        let middle = (largest + next) / 2.0;
        let over = value > middle || (value == middle && self.max & 1 == 1);
        if over {
            return match (saturate, self.infinity, self.nan) {
                (true, ..) => signed(self.max),
                (false, Some(infinity), _) => signed(infinity),
                (false, None, Some(nan)) if self.is_uz() => nan,
                (false, None, Some(nan)) => nan | if negative { self.sign } else { 0 },
                (false, None, None) => signed(self.max),
            };
        }
        signed(self.nearest(value))
    }

    /// Whether its NaN is where others have a negative zero.
    fn is_uz(self) -> bool {
        self.nan == Some(self.sign) && self.sign != 0
    }

    /// REQUIRES a number that is not rounded beyond the largest.
    fn nearest(self, value: f64) -> u8 {
        let (mut low, mut high) = (0, self.max);
        while low < high {
            let middle = low + (high - low).div_ceil(2);
            if self.magnitude(middle) <= value { low = middle } else { high = middle - 1 }
        }
        if low == self.max {
            return low;
        }
        let (below, above) = (value - self.magnitude(low), self.magnitude(low + 1) - value);
        if above < below || (above == below && low & 1 == 1) { low + 1 } else { low }
    }

    /// The power of two for a number, as a cast to float8e8m0 has it.
    pub fn encode_power(value: f64, saturate: bool, rounding: Rounding) -> u8 {
        let format = Self::E8M0;
        const NAN: u8 = 0xff;
        if value.is_nan() || value < 0.0 {
            return NAN;
        }
        let (least, largest) = (format.magnitude(0), format.magnitude(format.max));
        if value < least || value > largest {
            return match saturate {
                true if value > largest => format.max,
                true => 0,
                false => NAN,
            };
        }
        let (mut low, mut high) = (0, format.max);
        while low < high {
            let middle = low + (high - low).div_ceil(2);
            if format.magnitude(middle) <= value { low = middle } else { high = middle - 1 }
        }
        let base = format.magnitude(low);
        let up = match rounding {
            Rounding::Up => value > base,
            Rounding::Down => false,
            Rounding::Nearest => value >= 1.5 * base,
        };
        match (up, low == format.max) {
            (false, _) => low,
            (true, false) => low + 1,
            (true, true) if saturate => format.max,
            (true, true) => NAN,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_the_nearest_to_its_own_value() {
        for format in [
            SmallFloat::E4M3FN,
            SmallFloat::E4M3FNUZ,
            SmallFloat::E5M2,
            SmallFloat::E5M2FNUZ,
            SmallFloat::E2M1,
        ] {
            let codes = if format == SmallFloat::E2M1 { 0..=15 } else { 0..=255 };
            for code in codes {
                let value = format.decode(code);
                if value.is_nan() {
                    assert!(format.decode(format.encode(value, true)).is_nan(), "{code:#x} of {format:?}");
                } else {
                    assert_eq!(format.encode(value, false), code, "{code:#x} of {format:?} is {value}");
                }
            }
        }
        for code in 0..=254 {
            let value = SmallFloat::E8M0.decode(code);
            assert_eq!(SmallFloat::encode_power(value, true, Rounding::Nearest), code);
        }
    }

    #[test]
    fn the_ends_of_the_formats_are_those_of_the_standard() {
        assert_eq!(SmallFloat::E4M3FN.decode(0x7e), 448.0);
        assert_eq!(SmallFloat::E4M3FNUZ.decode(0x7f), 240.0);
        assert_eq!(SmallFloat::E5M2.decode(0x7b), 57344.0);
        assert_eq!(SmallFloat::E5M2FNUZ.decode(0x7f), 57344.0);
        assert_eq!(SmallFloat::E2M1.decode(0x07), 6.0);
        assert_eq!(SmallFloat::E4M3FN.decode(0x01), 2f64.powi(-9));
        assert_eq!(SmallFloat::E4M3FN.encode(1e9, true), 0x7e);
        assert_eq!(SmallFloat::E4M3FN.encode(1e9, false), 0x7f);
        assert_eq!(SmallFloat::E5M2.encode(f64::NEG_INFINITY, true), 0xfb);
        assert_eq!(SmallFloat::E5M2.encode(f64::NEG_INFINITY, false), 0xfc);
        assert_eq!(SmallFloat::E4M3FNUZ.encode(-0.0, true), 0);
        assert_eq!(SmallFloat::E4M3FNUZ.encode(f64::INFINITY, false), 0x80);
    }

    #[test]
    fn ties_go_to_the_even_code() {
        // 17 lies between 16 and 18, 19 between 18 and 20.
        assert_eq!(SmallFloat::E4M3FN.decode(SmallFloat::E4M3FN.encode(17.0, true)), 16.0);
        assert_eq!(SmallFloat::E4M3FN.decode(SmallFloat::E4M3FN.encode(19.0, true)), 20.0);
        assert_eq!(SmallFloat::encode_power(3.0, true, Rounding::Nearest), 129);
        assert_eq!(SmallFloat::encode_power(3.0, true, Rounding::Down), 128);
        assert_eq!(SmallFloat::encode_power(2.1, true, Rounding::Up), 129);
        assert_eq!(SmallFloat::encode_power(0.0, true, Rounding::Up), 0);
    }
}
