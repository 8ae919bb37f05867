//! TIFF with a palette, which the decoder does not know: it is decoded as gray, and its levels looked up.
//!
//! Tags: TIFF 6.0, section 8 ("Baseline Field Reference Guide").

/// Bytes of the same picture declared gray, and the colour of each of its levels; `None` where it has no
/// palette of 8 bits.
pub fn as_gray(bytes: &[u8]) -> Option<(Vec<u8>, [[u8; 3]; 256])> {
    let big = match bytes.get(..4)? {
        b"II*\0" => false,
        b"MM\0*" => true,
        _ => return None,
    };
    let short = |at: usize| {
        let pair: [u8; 2] = bytes.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(if big { u16::from_be_bytes(pair) } else { u16::from_le_bytes(pair) })
    };
    let long = |at: usize| {
        let four: [u8; 4] = bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
        Some(if big { u32::from_be_bytes(four) } else { u32::from_le_bytes(four) } as usize)
    };
    let directory = long(4)?;
    let mut photometric = None;
    let mut colors = None;
    for entry in 0..usize::from(short(directory)?) {
        // A tag, its type, how many there are, and the value or where it is.
        let at = directory + 2 + entry * 12;
        match short(at)? {
            258 if short(at + 8)? != 8 => return None,
            262 if short(at + 8)? == 3 => photometric = Some(at + 8),
            320 if long(at + 4)? == 3 * 256 => colors = Some(long(at + 8)?),
            _ => {}
        }
    }
    let (photometric, colors) = (photometric?, colors?);
    let mut palette = [[0; 3]; 256];
    for (level, color) in palette.iter_mut().enumerate() {
        for (c, sample) in color.iter_mut().enumerate() {
            *sample = (short(colors.checked_add((c * 256 + level) * 2)?)? >> 8) as u8;
        }
    }
    let mut gray = bytes.to_vec();
    let black_is_zero = if big { [0, 1] } else { [1, 0] };
    gray.get_mut(photometric..photometric + 2)?.copy_from_slice(&black_is_zero);
    Some((gray, palette))
}
