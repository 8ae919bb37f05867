//! Pictures of every format and colour type against what Pillow reads from them.

use super::{decode, decoded, fixture, json, refusal, ty};
use base64::Engine;
use rserve::plan::Region;
use rserve::tensor::DType;
use std::path::Path;

/// Width, height and RGB of a binary PPM.
fn ppm(bytes: &[u8]) -> (u32, u32, &[u8]) {
    let header = bytes.iter().enumerate().filter(|(_, b)| b.is_ascii_whitespace()).nth(3).unwrap().0 + 1;
    let words: Vec<&str> = std::str::from_utf8(&bytes[..header]).unwrap().split_whitespace().collect();
    (words[1].parse().unwrap(), words[2].parse().unwrap(), &bytes[header..])
}

fn names() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/codec/pictures");
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.ends_with(".ppm"))
        .collect();
    names.sort();
    names
}

#[test]
fn every_picture_reads_as_pillow_reads_it() {
    let names = names();
    assert!(names.len() > 110, "{names:?}");
    let mut wrong = vec![];
    for name in names {
        let file = fixture(&format!("pictures/{name}"));
        let wanted = fixture(&format!("pictures/{name}.ppm"));
        let (width, height, wanted) = ppm(&wanted);
        let origin = match decoded(r#"format = "image", dtype = "uint8", layout = "nhwc""#, file) {
            Ok(decoded) => {
                let origin = decoded.origin.unwrap();
                assert_eq!(decoded.tensor.bytes(), &origin.rgb, "{name}");
                assert_eq!(decoded.tensor.shape(), [origin.height as usize, origin.width as usize, 3]);
                origin
            }
            Err(error) => {
                wrong.push(format!("{name}: {error}"));
                continue;
            }
        };
        if (origin.width, origin.height) != (width, height) {
            wrong.push(format!("{name}: {}x{}, not {width}x{height}", origin.width, origin.height));
            continue;
        }
        let tolerance = if name == "lossy.webp" { 3 } else { 0 };
        let worst = origin.rgb.iter().zip(wanted).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
        if worst > tolerance {
            wrong.push(format!("{name}: off by {worst}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_name_and_the_wrapping_do_not_matter() {
    let file = fixture("pictures/rgb.jpg");
    let base64 = base64::engine::general_purpose::STANDARD.encode(&file);
    let image = decode(r#"format = "image", size = [8, 8]"#);
    let plain = image.decode(&super::bytes(file), false).unwrap();
    for text in [format!("\"{base64}\""), format!("\"data:image/png;base64,{base64}\"")] {
        let wrapped = image.decode(&json(&text), false).unwrap();
        assert_eq!(wrapped.tensor.bytes(), plain.tensor.bytes());
    }
    assert!(plain.origin.is_none());
}

#[test]
fn levels_become_elements_by_scale_mean_and_std() {
    let file = || fixture("pictures/one-pixel.png");
    let value = |options: &str| decoded(&format!(r#"format = "image", {options}"#), file()).unwrap().tensor;
    let t = value("size = 1");
    assert_eq!((t.dtype(), t.shape()), (DType::F32, &[3, 1, 1][..]));
    assert_eq!(t.elements::<f32>().unwrap().as_ref(), [200.0 / 255.0, 100.0 / 255.0, 50.0 / 255.0]);
    let t = value("mean = [0.5, 0.25, 0], std = [0.5, 1, 2]");
    let wanted = [(200.0 / 255.0 - 0.5) / 0.5, 100.0 / 255.0 - 0.25, 50.0 / 255.0 / 2.0];
    assert_eq!(t.elements::<f32>().unwrap().as_ref(), wanted.map(|v: f64| v as f32));
    // Means follow the channels of the tensor, here B, G, R.
    let t = value(r#"color = "bgr", scale = 1, mean = [1, 2, 3]"#);
    assert_eq!(t.elements::<f32>().unwrap().as_ref(), [49.0, 98.0, 197.0]);
    // Pillow: 0.299 R + 0.587 G + 0.114 B.
    let t = value(r#"color = "gray", scale = "1/2", layout = "nhwc""#);
    assert_eq!((t.shape(), t.elements::<f32>().unwrap()[0]), (&[1, 1, 1][..], 62.0));
    let t = value(r#"dtype = "float16", scale = 1"#);
    assert_eq!(t.to_f64(), [200.0, 100.0, 50.0]);
    assert_eq!(value(r#"dtype = "uint8""#).bytes().as_ref(), [200, 100, 50]);
    assert_eq!(value(r#"dtype = "bfloat16", scale = 1"#).to_f64(), [200.0, 100.0, 50.0]);
    assert_eq!(value(r#"dtype = "float64""#).to_f64()[0], 200.0 / 255.0);
}

#[test]
fn the_layouts_hold_the_same_pixels() {
    let file = || fixture("pictures/rgb.png");
    let planes = decoded(r#"format = "image", size = [5, 4], scale = 1"#, file()).unwrap().tensor.to_f64();
    let pixels =
        decoded(r#"format = "image", size = [5, 4], scale = 1, layout = "nhwc", color = "bgr""#, file())
            .unwrap()
            .tensor
            .to_f64();
    for at in 0..20 {
        for c in 0..3 {
            assert_eq!(planes[c * 20 + at], pixels[at * 3 + 2 - c]);
        }
    }
}

#[test]
fn transparency_is_dropped_or_laid_over_a_background() {
    let level = |options: &str| {
        decoded(&format!(r#"format = "image", dtype = "uint8"{options}"#), fixture("pictures/alpha.png"))
            .unwrap()
            .tensor
            .bytes()
            .to_vec()
    };
    let (dropped, white) = (level(""), level(r##", background = "#ffffff""##));
    // The first column is fully transparent.
    assert_ne!(dropped[0], 255);
    assert_eq!(white[0], 255);
}

#[test]
fn types_are_known_beforehand() {
    for (options, wanted) in [
        ("size = [64, 48]", "float32[3, 48, 64]"),
        ("size = 32", "float32[3, 32, 32]"),
        ("", "float32[3, ?, ?]"),
        (r#"size = [64, 48], layout = "nhwc", color = "gray", dtype = "uint8""#, "uint8[48, 64, 1]"),
    ] {
        assert_eq!(decode(&format!(r#"format = "image", {options}"#)).produces(), ty(wanted), "{options}");
    }
}

/// Where the tensor lies in the picture, for overlays: 37x29 in a square.
#[test]
fn the_region_follows_the_fit() {
    let region = |fit: &str| {
        decoded(&format!(r#"format = "image", size = [10, 10], fit = "{fit}""#), fixture("pictures/rgb.png"))
            .unwrap()
            .origin
            .unwrap()
            .region
    };
    assert_eq!(region("stretch"), Region { left: 0.0, top: 0.0, width: 37.0, height: 29.0 });
    assert_eq!(region("cover"), Region { left: 4.0, top: 0.0, width: 29.0, height: 29.0 });
    // Ten wide and eight high, with a row of padding above and below.
    assert_eq!(region("contain"), Region { left: 0.0, top: -3.625, width: 37.0, height: 36.25 });
}

#[test]
fn a_truncated_picture_is_refused() {
    let mut passed = vec![];
    // Of an animation, the first frame is all that is read.
    for name in names().into_iter().filter(|name| name != "animated.gif") {
        let file = fixture(&format!("pictures/{name}"));
        for part in [0.3, 0.6, 0.9] {
            let cut = file[..(file.len() as f64 * part) as usize].to_vec();
            match decoded(r#"format = "image", size = 8"#, cut) {
                Ok(_) => passed.push(format!("{name} at {part}")),
                Err(error) => {
                    let text = refusal(Err(error));
                    assert!(text.starts_with("invalid: "), "{name} at {part}: {text}");
                }
            }
        }
    }
    assert!(passed.is_empty(), "{}", passed.join("\n"));
}

#[test]
fn the_weight_is_that_of_the_pixels_where_the_header_tells() {
    let image = decode(r#"format = "image""#);
    for name in names() {
        let file = fixture(&format!("pictures/{name}"));
        let wanted = fixture(&format!("pictures/{name}.ppm"));
        let pixels = ppm(&wanted).2.len();
        assert_eq!(image.weight(&super::bytes(file.clone())), pixels.max(file.len()), "{name}");
        // In JSON too, where a small text may be a large picture.
        let text = json(&format!("\"{}\"", base64::prelude::BASE64_STANDARD.encode(&file)));
        assert_eq!(image.weight(&text), pixels.max(text.len()), "{name}");
        assert!(image.weight(&super::bytes(file[..20].to_vec())) >= 20);
    }
}

/// What the first bytes do not tell may be as large as is allowed, so it is decoded off the threads that serve.
#[test]
fn what_the_header_does_not_tell_is_heavy() {
    let image = decode(r#"format = "image""#);
    let jpeg = fixture("pictures/rgb.jpg");
    let mut late = jpeg[..2].to_vec();
    // A profile of 320 KB in segments, as far as base64 is looked into.
    (0..5).for_each(|_| late.extend([&[0xff, 0xe2, 0xff, 0xff][..], &[0; 0xfffd]].concat()));
    late.extend(&jpeg[2..]);
    let base64 = |bytes: &[u8]| base64::prelude::BASE64_STANDARD.encode(bytes);
    for payload in [
        json(&format!("\"{}\"", base64(&late))),
        super::bytes(b"II*\0\xff\xff\xff\x7f".to_vec()),
        // The first letter is escaped, so that the head is not unpacked to be looked at.
        json(&format!("\"\\u002f{}\"", &base64(&jpeg)[1..])),
    ] {
        assert_eq!(image.weight(&payload), usize::MAX);
        assert!(image.working_memory(&payload) >= 50_000_000 * 19);
    }
    // Of a file that is there as it is, all segments are passed over.
    assert_eq!(image.weight(&super::bytes(late.clone())), late.len());
    assert!(image.decode(&super::bytes(late), false).is_ok());
    // What is no picture is refused at once.
    assert_eq!(image.weight(&super::bytes(b"hello".to_vec())), 5);
}

/// What a picture takes was known once it had been taken: thirty times the file, or six hundred times.
#[test]
fn the_memory_of_a_decode_is_known_from_the_head() {
    let payload = || super::bytes(fixture("pictures/rgb.jpg"));
    let (width, height) = (37u64, 29u64);
    let taken = |options: &str| decode(&format!("format = \"image\"{options}")).working_memory(&payload());
    // RGB, the same turned, gray, and the tensor of floats.
    let whole = taken("");
    assert!(whole >= width * height * (7 + 12), "{whole}");
    assert!(whole < 25_000, "{whole}");
    let scaled = taken(", size = [1000, 1000]");
    assert!((12_000_000..20_000_000).contains(&scaled), "{scaled}");
    assert_eq!(taken(", max_pixels = 10"), 0, "it is refused");
}

#[test]
fn what_no_decoder_reads_is_refused_with_its_reason() {
    let image = |bytes: Vec<u8>| refusal(decoded(r#"format = "image""#, bytes));
    let frame = |marker: u8, precision: u8, height: u8| {
        let mut file = fixture("pictures/rgb.jpg");
        let at = file.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
        (file[at + 1], file[at + 4], file[at + 6]) = (marker, precision, height);
        file
    };
    assert_eq!(image(frame(0xc3, 8, 29)), "invalid: a JPEG without loss (SOF3) is not read");
    assert_eq!(image(frame(0xc9, 8, 29)), "invalid: a JPEG with arithmetic coding is not read");
    assert_eq!(image(frame(0xc1, 12, 29)), "invalid: a JPEG of 12 bits is not read");
    assert_eq!(
        image(frame(0xc0, 8, 0)),
        "invalid: a JPEG that tells its height behind its first scan (DNL), or not at all, is not read"
    );
    let mut old = fixture("pictures/rgb.tif");
    let at = old.windows(4).position(|entry| entry == [3, 1, 3, 0]).unwrap();
    old[at + 8] = 6;
    assert_eq!(image(old), "invalid: the old kind of JPEG in a TIFF is not read");
}
