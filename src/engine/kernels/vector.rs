//! Functions of a vector of numbers, with fused multiply-adds where the machine has them.

use pulp::{Simd, WithSimd};

/// A function that is applied to each element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Map {
    /// 1 / (1 + e^-x)
    Sigmoid,
    /// x / (1 + e^-x)
    Silu,
    /// x/2 · (1 + erf(x / √2))
    Gelu,
    /// x · min(max(x/6 + 1/2, 0), 1)
    HardSwish,
    Tanh,
    Erf,
    Exp,
}

/// A function of each element of a slice.
pub(super) struct Each<'a> {
    pub map: Map,
    pub values: &'a mut [f32],
}

impl WithSimd for Each<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        each(simd, self.map, self.values);
    }
}

#[inline(always)]
pub(super) fn each<S: Simd>(simd: S, map: Map, values: &mut [f32]) {
    // A loop for each function, so that none asks which it is at every element.
    macro_rules! loops {
        ($($map:ident)*) => {
            match map {
                $(Map::$map => over(
                    simd,
                    values,
                    #[inline(always)]
                    |x| one(simd, Map::$map, x),
                ),)*
            }
        };
    }
    loops!(Sigmoid Silu Gelu HardSwish Tanh Erf Exp);
}

/// The function of a vector.
#[inline(always)]
fn one<S: Simd>(simd: S, map: Map, x: S::f32s) -> S::f32s {
    match map {
        Map::Sigmoid => sigmoid(simd, x),
        Map::Silu => silu(simd, x),
        Map::Gelu => {
            let curve = erf(simd, simd.mul_f32s(x, simd.splat_f32s(std::f32::consts::FRAC_1_SQRT_2)));
            let half = simd.mul_f32s(x, simd.splat_f32s(0.5));
            simd.mul_add_e_f32s(half, curve, half)
        }
        Map::HardSwish => {
            let line = simd.mul_add_e_f32s(x, simd.splat_f32s(1.0 / 6.0), simd.splat_f32s(0.5));
            let line = at_most(simd, at_least(simd, line, simd.splat_f32s(0.0)), simd.splat_f32s(1.0));
            simd.mul_f32s(x, line)
        }
        Map::Tanh => tanh(simd, x),
        Map::Erf => erf(simd, x),
        Map::Exp => {
            let half = exp(simd, bounded(simd, simd.mul_f32s(x, simd.splat_f32s(0.5))));
            or_nan(simd, x, simd.mul_f32s(half, half))
        }
    }
}

#[inline(always)]
pub(super) fn over<S: Simd>(simd: S, values: &mut [f32], f: impl Fn(S::f32s) -> S::f32s) {
    let (vectors, rest) = S::as_mut_simd_f32s(values);
    for v in vectors {
        *v = f(*v);
    }
    if !rest.is_empty() {
        let y = f(simd.partial_load_f32s(rest));
        simd.partial_store_f32s(rest, y);
    }
}

/// The greater of a number and a bound; NaN stays NaN, whichever of its operands a processor's maximum gives for one.
#[inline(always)]
pub(super) fn at_least<S: Simd>(simd: S, x: S::f32s, bound: S::f32s) -> S::f32s {
    simd.select_f32s(simd.less_than_f32s(x, bound), bound, x)
}

/// The lesser of a number and a bound; NaN stays NaN.
#[inline(always)]
pub(super) fn at_most<S: Simd>(simd: S, x: S::f32s, bound: S::f32s) -> S::f32s {
    simd.select_f32s(simd.less_than_f32s(bound, x), bound, x)
}

/// scale · x, and below zero scale · alpha · (e^(x / width) - 1); x itself where that is not a number.
#[inline(always)]
pub(super) fn slope_below_zero<S: Simd>(simd: S, x: S::f32s, [scale, alpha, width]: [f32; 3]) -> S::f32s {
    let (zero, one) = (simd.splat_f32s(0.0), simd.splat_f32s(1.0));
    let inner = simd.div_f32s(x, simd.splat_f32s(width));
    let far = simd.sub_f32s(exp(simd, bounded(simd, inner)), one);
    // Near zero, where that cancels, by its series.
    let mut p = simd.splat_f32s(1.0 / 120.0);
    for c in [1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0] {
        p = simd.mul_add_e_f32s(p, inner, simd.splat_f32s(c));
    }
    let near = simd.less_than_f32s(simd.abs_f32s(inner), simd.splat_f32s(0.125));
    let curve = simd.select_f32s(near, simd.mul_f32s(inner, p), far);
    let below = simd.mul_f32s(curve, simd.splat_f32s(alpha));
    simd.mul_f32s(simd.select_f32s(simd.less_than_f32s(x, zero), below, x), simd.splat_f32s(scale))
}

/// `y`, or `x` where that is not a number.
#[inline(always)]
fn or_nan<S: Simd>(simd: S, x: S::f32s, y: S::f32s) -> S::f32s {
    simd.select_f32s(simd.equal_f32s(x, x), y, x)
}

/// 1 / x, to within two units in the last place, for x of 1 and more.
#[inline(always)]
fn reciprocal<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    #[cfg(target_arch = "x86_64")]
    if std::any::TypeId::of::<S>() == std::any::TypeId::of::<pulp::x86::V4>() {
        use std::arch::x86_64::{__m512, _mm512_rcp14_ps};
        // A division takes sixteen cycles of a unit; this takes four, and one step of Newton's makes it as good.
        // SAFETY: with the instructions of `V4`, a vector is sixteen floats, and there is AVX-512.
        let near = unsafe {
            let x: __m512 = std::mem::transmute_copy(&x);
            std::mem::transmute_copy::<__m512, S::f32s>(&_mm512_rcp14_ps(x))
        };
        let off = simd.sub_f32s(simd.splat_f32s(1.0), simd.mul_f32s(x, near));
        return simd.mul_add_e_f32s(near, off, near);
    }
    simd.div_f32s(simd.splat_f32s(1.0), x)
}

/// Brings numbers within what [`exp`] takes.
#[inline(always)]
fn bounded<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    simd.min_f32s(simd.max_f32s(x, simd.splat_f32s(-87.0)), simd.splat_f32s(87.0))
}

/// e^x for |x| within 87: 2^n · e^r with n the nearest integer to x / ln 2, and a polynomial for e^r.
#[inline(always)]
pub(super) fn exp<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    // 1.5 · 2^23: added to a number, it leaves its nearest integer in the lowest bits.
    let round = simd.splat_f32s(12_582_912.0);
    let shifted = simd.mul_add_e_f32s(x, simd.splat_f32s(std::f32::consts::LOG2_E), round);
    let n = simd.sub_f32s(shifted, round);
    // ln 2 in two parts, so that n · ln 2 is exact.
    let r = simd.mul_add_e_f32s(n, simd.splat_f32s(-0.693_359_4), x);
    let r = simd.mul_add_e_f32s(n, simd.splat_f32s(2.121_944_4e-4), r);
    let mut p = simd.splat_f32s(1.0 / 5040.0);
    for c in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        p = simd.mul_add_e_f32s(p, r, simd.splat_f32s(c));
    }
    let bits = simd.wrapping_dyn_shl_u32s(simd.transmute_u32s_f32s(shifted), simd.splat_u32s(23));
    let power = simd.add_u32s(bits, simd.splat_u32s(0x3f80_0000));
    simd.mul_f32s(p, simd.transmute_f32s_u32s(power))
}

#[inline(always)]
pub(super) fn sigmoid<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let one = simd.splat_f32s(1.0);
    let y = reciprocal(simd, simd.add_f32s(one, exp(simd, bounded(simd, simd.neg_f32s(x)))));
    or_nan(simd, x, y)
}

/// x · sigmoid(x). Where the sigmoid is less than a float holds, the product is zero, and no number for -∞.
#[inline(always)]
fn silu<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let lost = simd.less_than_f32s(x, simd.splat_f32s(-87.0));
    let sigmoid = simd.select_f32s(lost, simd.splat_f32s(0.0), sigmoid(simd, x));
    simd.mul_f32s(x, sigmoid)
}

/// 1 - 2 / (e^2x + 1); near zero, where that cancels, by its series.
#[inline(always)]
pub(super) fn tanh<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let e = exp(simd, bounded(simd, simd.add_f32s(x, x)));
    let half = reciprocal(simd, simd.add_f32s(e, simd.splat_f32s(1.0)));
    let far = simd.sub_f32s(simd.splat_f32s(1.0), simd.add_f32s(half, half));
    let s = simd.mul_f32s(x, x);
    let mut p = simd.splat_f32s(-17.0 / 315.0);
    for c in [2.0 / 15.0, -1.0 / 3.0, 1.0] {
        p = simd.mul_add_e_f32s(p, s, simd.splat_f32s(c));
    }
    let near = simd.less_than_f32s(simd.abs_f32s(x), simd.splat_f32s(0.25));
    or_nan(simd, x, simd.select_f32s(near, simd.mul_f32s(x, p), far))
}

/// Abramowitz and Stegun 7.1.26 (absolute error under 2e-7); near zero by its series.
#[inline(always)]
fn erf<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    // From there on it is 1 to the last digit, and infinity would take part in what cancels.
    let a = simd.min_f32s(simd.abs_f32s(x), simd.splat_f32s(16.0));
    let t = reciprocal(simd, simd.mul_add_e_f32s(a, simd.splat_f32s(0.327_591_1), simd.splat_f32s(1.0)));
    let mut p = simd.splat_f32s(1.061_405_4);
    for c in [-1.453_152, 1.421_413_7, -0.284_496_74, 0.254_829_6, 0.0] {
        p = simd.mul_add_e_f32s(p, t, simd.splat_f32s(c));
    }
    let square = simd.mul_f32s(a, a);
    let e = exp(simd, simd.max_f32s(simd.neg_f32s(square), simd.splat_f32s(-87.0)));
    let far = simd.sub_f32s(simd.splat_f32s(1.0), simd.mul_f32s(p, e));
    let far = simd.select_f32s(simd.less_than_f32s(x, simd.splat_f32s(0.0)), simd.neg_f32s(far), far);
    let mut q = simd.splat_f32s(0.005_223_978);
    for c in [-0.026_866_17, 0.112_837_92, -0.376_126_4, std::f32::consts::FRAC_2_SQRT_PI] {
        q = simd.mul_add_e_f32s(q, square, simd.splat_f32s(c));
    }
    let near = simd.less_than_f32s(a, simd.splat_f32s(0.5));
    or_nan(simd, x, simd.select_f32s(near, simd.mul_f32s(x, q), far))
}

/// A vector of the elements, filled up with that of which there is nothing to add.
#[inline(always)]
fn rest<S: Simd>(simd: S, rest: &[f32], fill: f32) -> S::f32s {
    let mut padded = [fill; 64];
    padded[..rest.len()].copy_from_slice(rest);
    simd.partial_load_f32s(&padded[..S::F32_LANES])
}

/// e^(x - greatest); nothing where that is less than a float holds.
#[inline(always)]
fn weight<S: Simd>(simd: S, x: S::f32s, greatest: S::f32s) -> S::f32s {
    let x = simd.sub_f32s(x, greatest);
    let y = exp(simd, simd.max_f32s(x, simd.splat_f32s(-87.0)));
    let y = simd.select_f32s(simd.less_than_f32s(x, simd.splat_f32s(-87.0)), simd.splat_f32s(0.0), y);
    or_nan(simd, x, y)
}

/// Makes a row of scores x into e^(x · scale + mask - greatest); gives the greatest, and their sum.
#[inline(always)]
pub(super) fn weights<S: Simd>(simd: S, row: &mut [f32], scale: f32, mask: Option<&[f32]>) -> (f32, f32) {
    // The greatest in the same pass.
    let mut most = simd.splat_f32s(f32::NEG_INFINITY);
    let by = simd.splat_f32s(scale);
    let (vectors, tail) = S::as_mut_simd_f32s(row);
    let after = vectors.len() * S::F32_LANES;
    if let Some(mask) = mask {
        let (masks, _) = S::as_simd_f32s(mask);
        for (v, mask) in vectors.iter_mut().zip(masks) {
            *v = simd.mul_add_e_f32s(*v, by, *mask);
            most = simd.max_f32s(*v, most);
        }
        tail.iter_mut().zip(&mask[after..]).for_each(|(v, m)| *v = *v * scale + m);
    } else if scale == 1.0 {
        for v in vectors.iter() {
            most = simd.max_f32s(*v, most);
        }
    } else {
        for v in vectors.iter_mut() {
            *v = simd.mul_f32s(*v, by);
            most = simd.max_f32s(*v, most);
        }
        tail.iter_mut().for_each(|v| *v *= scale);
    }
    most = simd.max_f32s(rest(simd, tail, f32::NEG_INFINITY), most);
    let greatest = simd.reduce_max_f32s(most);
    let off = simd.splat_f32s(greatest);
    let mut sum = simd.splat_f32s(0.0);
    for v in vectors.iter_mut() {
        *v = weight(simd, *v, off);
        sum = simd.add_f32s(sum, *v);
    }
    if !tail.is_empty() {
        let last = weight(simd, rest(simd, tail, f32::NEG_INFINITY), off);
        simd.partial_store_f32s(tail, last);
        sum = simd.add_f32s(sum, last);
    }
    (greatest, simd.reduce_sum_f32s(sum))
}
