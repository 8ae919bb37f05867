//! Any bytes as a picture of any format. Seeds: `fuzz/seeds.py`.
#![no_main]

use rserve::picture::{Limits, read};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let limits = Limits { pixels: 1 << 20, side: 4096 };
    let (mut rgb, mut spare) = (vec![], vec![]);
    if let Ok((width, height)) = read(bytes, limits, Some([9, 9, 9]), &mut rgb, &mut spare) {
        assert_eq!(rgb.len(), width as usize * height as usize * 3);
    }
});
