//! Sixteen rows of sixteen elements turned into columns, in registers where the machine has the instructions.

use super::arch;

/// Rows and columns of a tile.
pub const SIDE: usize = 16;

/// Writes `to[c * into + r] = from[r * apart + c]` for all rows and columns of a tile.
///
/// REQUIRES sixteen elements at each of sixteen rows of either; panics otherwise.
#[inline]
pub fn tile(from: &[f32], apart: usize, to: &mut [f32], into: usize) {
    assert!(from.len() >= (SIDE - 1) * apart + SIDE && to.len() >= (SIDE - 1) * into + SIDE);
    #[cfg(target_arch = "x86_64")]
    match arch() {
        // SAFETY: the machine has the instructions, and all rows are within the slices.
        pulp::Arch::V4(_) => return unsafe { x86::wide(from.as_ptr(), apart, to.as_mut_ptr(), into) },
        pulp::Arch::V3(_) => {
            for (row, column) in [(0, 0), (0, 8), (8, 0), (8, 8)] {
                let (from, to) = (&from[row * apart + column..], &mut to[column * into + row..]);
                // SAFETY: as above, for a quarter of the tile.
                unsafe { x86::narrow(from.as_ptr(), apart, to.as_mut_ptr(), into) };
            }
            return;
        }
        _ => {}
    }
    plain(from, apart, to, into);
}

fn plain(from: &[f32], apart: usize, to: &mut [f32], into: usize) {
    for row in 0..SIDE {
        for column in 0..SIDE {
            to[column * into + row] = from[row * apart + column];
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    /// # Safety
    ///
    /// The machine has AVX-512; sixteen floats at each of sixteen rows of `from`, `apart` floats from each
    /// other, can be read, and of `to`, `into` floats from each other, written.
    #[target_feature(enable = "avx512f")]
    pub unsafe fn wide(from: *const f32, apart: usize, to: *mut f32, into: usize) {
        // SAFETY: the caller's.
        unsafe {
            let rows: [__m512; 16] = std::array::from_fn(|r| _mm512_loadu_ps(from.add(r * apart)));
            // Within lanes of four: pairs of rows, then fours.
            let mut fours = [_mm512_setzero_ps(); 16];
            for quad in 0..4 {
                let r = &rows[quad * 4..quad * 4 + 4];
                let (a, b) = (_mm512_unpacklo_ps(r[0], r[1]), _mm512_unpackhi_ps(r[0], r[1]));
                let (c, d) = (_mm512_unpacklo_ps(r[2], r[3]), _mm512_unpackhi_ps(r[2], r[3]));
                let low =
                    |x, y| _mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(x), _mm512_castps_pd(y)));
                let high =
                    |x, y| _mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(x), _mm512_castps_pd(y)));
                fours[quad * 4] = low(a, c);
                fours[quad * 4 + 1] = high(a, c);
                fours[quad * 4 + 2] = low(b, d);
                fours[quad * 4 + 3] = high(b, d);
            }
            // Column c of the tile is lane c / 4 of `fours[q * 4 + c % 4]` for the four quads of rows.
            for c in 0..4 {
                let (a, b) = (fours[c], fours[4 + c]);
                let (x, y) = (fours[8 + c], fours[12 + c]);
                let (ab_even, ab_odd) = (_mm512_shuffle_f32x4(a, b, 0x88), _mm512_shuffle_f32x4(a, b, 0xdd));
                let (xy_even, xy_odd) = (_mm512_shuffle_f32x4(x, y, 0x88), _mm512_shuffle_f32x4(x, y, 0xdd));
                // Lanes: a0 a2 b0 b2 and so on; the even and odd lanes of both make a column.
                _mm512_storeu_ps(to.add(c * into), _mm512_shuffle_f32x4(ab_even, xy_even, 0x88));
                _mm512_storeu_ps(to.add((c + 8) * into), _mm512_shuffle_f32x4(ab_even, xy_even, 0xdd));
                _mm512_storeu_ps(to.add((c + 4) * into), _mm512_shuffle_f32x4(ab_odd, xy_odd, 0x88));
                _mm512_storeu_ps(to.add((c + 12) * into), _mm512_shuffle_f32x4(ab_odd, xy_odd, 0xdd));
            }
        }
    }

    /// A quarter of a tile. SAFETY: as of [`wide`], of AVX2 and eight rows of eight floats.
    #[target_feature(enable = "avx2")]
    pub unsafe fn narrow(from: *const f32, apart: usize, to: *mut f32, into: usize) {
        // SAFETY: the caller's.
        unsafe {
            let rows: [__m256; 8] = std::array::from_fn(|r| _mm256_loadu_ps(from.add(r * apart)));
            let mut fours = [_mm256_setzero_ps(); 8];
            for quad in 0..2 {
                let r = &rows[quad * 4..quad * 4 + 4];
                let (a, b) = (_mm256_unpacklo_ps(r[0], r[1]), _mm256_unpackhi_ps(r[0], r[1]));
                let (c, d) = (_mm256_unpacklo_ps(r[2], r[3]), _mm256_unpackhi_ps(r[2], r[3]));
                fours[quad * 4] = _mm256_shuffle_ps(a, c, 0x44);
                fours[quad * 4 + 1] = _mm256_shuffle_ps(a, c, 0xee);
                fours[quad * 4 + 2] = _mm256_shuffle_ps(b, d, 0x44);
                fours[quad * 4 + 3] = _mm256_shuffle_ps(b, d, 0xee);
            }
            for c in 0..4 {
                let (a, b) = (fours[c], fours[4 + c]);
                _mm256_storeu_ps(to.add(c * into), _mm256_permute2f128_ps(a, b, 0x20));
                _mm256_storeu_ps(to.add((c + 4) * into), _mm256_permute2f128_ps(a, b, 0x31));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_become_columns_and_nothing_else_is_written() {
        let from: Vec<f32> = (0..SIDE * 23).map(|i| i as f32).collect();
        let mut wanted = vec![-1.0; SIDE * 19];
        let mut got = wanted.clone();
        plain(&from, 23, &mut wanted, 19);
        tile(&from, 23, &mut got, 19);
        assert_eq!(got, wanted);
        assert_eq!(got[3 * 19 + 5], (5 * 23 + 3) as f32);
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") {
            let mut got = vec![-1.0; SIDE * 19];
            for (row, column) in [(0, 0), (0, 8), (8, 0), (8, 8)] {
                let (from, to) = (&from[row * 23 + column..], &mut got[column * 19 + row..]);
                // SAFETY: the machine has the instructions, and there are eight floats at each of eight rows.
                unsafe { x86::narrow(from.as_ptr(), 23, to.as_mut_ptr(), 19) };
            }
            assert_eq!(got, wanted);
        }
    }
}
