//! Resizing against Pillow's, for each filter and fit, on the worst of pictures.

use super::{decoded, fixture};

/// The picture that tests/fixtures/codec/make.py draws.
pub fn noise(width: u64, height: u64) -> Vec<u8> {
    let mut rgb = vec![];
    for y in 0..height {
        for x in 0..width {
            for c in 0..3 {
                let product = (x * 7919 + y * 104729 + c * 1299721 + x * y * 31) * 2654435761;
                let mixed = (product % (1 << 32)) >> 11;
                let block = (x / 5 + y / 7 + c) % 2 * 255;
                rgb.push(if (x + 2 * y) % 3 == 0 { mixed % 256 } else { block } as u8);
            }
        }
    }
    rgb
}

pub fn png(rgb: &[u8], width: u32, height: u32) -> Vec<u8> {
    let mut out = vec![];
    let mut encoder = png::Encoder::new(&mut out, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.write_header().unwrap().write_image_data(rgb).unwrap();
    out
}

#[test]
fn every_filter_and_fit_agrees_with_pillow_within_one_level() {
    let table = String::from_utf8(fixture("resize.tsv")).unwrap();
    let levels = fixture("resize.bin");
    let mut rest = levels.as_slice();
    let mut wrong = vec![];
    for line in table.lines().skip(1) {
        let [width, height, to_width, to_height, fit, filter] =
            line.split('\t').collect::<Vec<_>>().try_into().unwrap();
        let (w, h): (usize, usize) = (to_width.parse().unwrap(), to_height.parse().unwrap());
        let (wanted, after) = rest.split_at(w * h * 3);
        rest = after;
        let (width, height): (u64, u64) = (width.parse().unwrap(), height.parse().unwrap());
        let file = png(&noise(width, height), width as u32, height as u32);
        let pad = if fit == "contain" { ", pad = [10, 200, 90]" } else { "" };
        let options = format!(
            r#"format = "image", size = [{w}, {h}], fit = "{fit}", filter = "{filter}", dtype = "uint8", layout = "nhwc"{pad}"#
        );
        let got = decoded(&options, file).unwrap().tensor;
        let worst = got.bytes().iter().zip(wanted).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
        if worst > 1 || got.bytes().len() != wanted.len() {
            wrong.push(format!("{line}: off by {worst}"));
        }
    }
    assert!(rest.is_empty());
    assert!(wrong.is_empty(), "{} cases:\n{}", wrong.len(), wrong.join("\n"));
}
