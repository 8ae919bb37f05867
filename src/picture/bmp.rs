//! Levels of 5 and 6 bits in a BMP, which Pillow cuts off where `image` rounds. Pure.

/// Brings the RGB that `image` made of a BMP to what Pillow makes of it.
pub fn as_pillow(bytes: &[u8], rgb: &mut [u8]) {
    let Some(bits) = bits(bytes) else { return };
    let cut = bits.map(table);
    for pixel in rgb.as_chunks_mut::<3>().0 {
        for (level, cut) in pixel.iter_mut().zip(&cut) {
            *level = cut[usize::from(*level)];
        }
    }
}

/// The bits of each colour of a picture with 16 bits for a pixel.
fn bits(bytes: &[u8]) -> Option<[u32; 3]> {
    let number = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    let (header, depth, packing) = (number(14)?, number(28)? & 0xffff, number(30)?);
    match (header, depth, packing) {
        (40.., 16, 0) => Some([5; 3]),
        (40.., 16, 3 | 6) => {
            let masks = [number(54)?, number(58)?, number(62)?];
            Some(masks.map(u32::count_ones)).filter(|bits| bits.iter().all(|n| matches!(n, 5 | 6)))
        }
        _ => None,
    }
}

/// By level as it is rounded: the level as it is cut off.
fn table(bits: u32) -> [u8; 256] {
    let most = (1 << bits) - 1;
    std::array::from_fn(|level| {
        let value = (level * most + 127) / 255;
        (value * 255 / most) as u8
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_cut_off() {
        let rounded = |value: usize, most: usize| (value * 255 * 2 + most) / (2 * most);
        for bits in [5, 6] {
            let most = (1usize << bits) - 1;
            for value in 0..=most {
                assert_eq!(usize::from(table(bits)[rounded(value, most)]), value * 255 / most);
            }
        }
    }
}
