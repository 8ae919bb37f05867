//! The inverse cosine transform of libjpeg's `jidctint.c` (its "slow" one, which is the default), to the bit.
//!
//! Numbers are in fixed point with 13 bits; between the two passes two bits more than the levels need are kept.

const BITS: u32 = 13;
const BETWEEN: u32 = 2;

type Lanes = [i32; 8];

/// Turns the blocks of one row of a component into levels: `levels` are the eight rows of pixels of `blocks`, each
/// of `stride` bytes. Coefficients and `quant` are in natural order.
pub fn blocks_to_levels(blocks: &[[i16; 64]], quant: &[u16; 64], stride: usize, levels: &mut [u8]) {
    let work = RowOfBlocks { blocks, quant, stride, levels };
    // Not AVX-512: loads of two rows at once wait for both to be stored, which costs a fifth of the time.
    #[cfg(target_arch = "x86_64")]
    if let Some(avx2) = pulp::x86::V3::try_new() {
        return avx2.vectorize(work);
    }
    pulp::Arch::new().dispatch(work);
}

/// The arguments of [`blocks_to_levels`], for the instructions that the machine has.
struct RowOfBlocks<'a> {
    blocks: &'a [[i16; 64]],
    quant: &'a [u16; 64],
    stride: usize,
    levels: &'a mut [u8],
}

impl pulp::NullaryFnOnce for RowOfBlocks<'_> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        let Self { blocks, quant, stride, levels } = self;
        for (index, block) in blocks.iter().enumerate() {
            let pixels = block_to_levels(block, quant);
            for (y, row) in pixels.iter().enumerate() {
                let at = y * stride + index * 8;
                levels[at..at + 8].copy_from_slice(row);
            }
        }
    }
}

#[inline(always)]
fn block_to_levels(block: &[i16; 64], quant: &[u16; 64]) -> [[u8; 8]; 8] {
    // A product wraps at 16 bits, as it does in libjpeg-turbo's vector code.
    let value = |at: usize| i32::from(block[at].wrapping_mul(quant[at] as i16));
    if block[1..].iter().all(|coefficient| *coefficient == 0) {
        let level = (descale(value(0) << BETWEEN, BETWEEN + 3) + 128).clamp(0, 255) as u8;
        return [[level; 8]; 8];
    }
    let rows: [Lanes; 8] = std::array::from_fn(|y| std::array::from_fn(|x| value(y * 8 + x)));
    let columns = transposed(&pass::<{ BITS - BETWEEN }>(&rows));
    let levels = transposed(&pass::<{ BITS + BETWEEN + 3 }>(&columns));
    std::array::from_fn(|y| std::array::from_fn(|x| (levels[y][x] + 128).clamp(0, 255) as u8))
}

#[inline(always)]
fn descale(value: i32, bits: u32) -> i32 {
    value.wrapping_add(1 << (bits - 1)) >> bits
}

#[inline(always)]
fn transposed(from: &[Lanes; 8]) -> [Lanes; 8] {
    std::array::from_fn(|y| std::array::from_fn(|x| from[x][y]))
}

/// Eight transforms at once, one a lane, over the outer index.
#[inline(always)]
fn pass<const DESCALE: u32>(from: &[Lanes; 8]) -> [Lanes; 8] {
    let mut to = [[0; 8]; 8];
    for lane in 0..8 {
        let at = |index: usize| from[index][lane];
        let times = |value: i32, factor: i32| value.wrapping_mul(factor);

        let z1 = times(at(2) + at(6), 4433);
        let tmp2 = z1.wrapping_add(times(at(6), -15137));
        let tmp3 = z1.wrapping_add(times(at(2), 6270));
        let tmp0 = (at(0) + at(4)) << BITS;
        let tmp1 = (at(0) - at(4)) << BITS;
        let (tmp10, tmp13) = (tmp0.wrapping_add(tmp3), tmp0.wrapping_sub(tmp3));
        let (tmp11, tmp12) = (tmp1.wrapping_add(tmp2), tmp1.wrapping_sub(tmp2));

        let z5 = times(at(7) + at(3) + at(5) + at(1), 9633);
        let z1 = times(at(7) + at(1), -7373);
        let z2 = times(at(5) + at(3), -20995);
        let z3 = times(at(7) + at(3), -16069).wrapping_add(z5);
        let z4 = times(at(5) + at(1), -3196).wrapping_add(z5);
        let tmp0 = times(at(7), 2446).wrapping_add(z1).wrapping_add(z3);
        let tmp1 = times(at(5), 16819).wrapping_add(z2).wrapping_add(z4);
        let tmp2 = times(at(3), 25172).wrapping_add(z2).wrapping_add(z3);
        let tmp3 = times(at(1), 12299).wrapping_add(z1).wrapping_add(z4);

        to[0][lane] = descale(tmp10.wrapping_add(tmp3), DESCALE);
        to[7][lane] = descale(tmp10.wrapping_sub(tmp3), DESCALE);
        to[1][lane] = descale(tmp11.wrapping_add(tmp2), DESCALE);
        to[6][lane] = descale(tmp11.wrapping_sub(tmp2), DESCALE);
        to[2][lane] = descale(tmp12.wrapping_add(tmp1), DESCALE);
        to[5][lane] = descale(tmp12.wrapping_sub(tmp1), DESCALE);
        to[3][lane] = descale(tmp13.wrapping_add(tmp0), DESCALE);
        to[4][lane] = descale(tmp13.wrapping_sub(tmp0), DESCALE);
    }
    to
}
