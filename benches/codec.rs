//! What decoding costs: a 128x128 JPEG to a normalised 64x64 tensor, the share of it that is JPEG itself,
//! larger photos, and a JSON answer.
//!
//!     cargo bench --bench codec

use criterion::{Criterion, criterion_group, criterion_main};
use rserve::diagnostic::{At, Report, SourceText};
use rserve::plan::{Decode, Payload};
use rserve::spec::Codec;
use rserve::spec::document::{Value, parse};
use std::hint::black_box;
use std::sync::Arc;
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;

fn decode(options: &str) -> Arc<dyn Decode> {
    let source = SourceText::new("bench.toml", format!("photo = {{ {options} }}"));
    let mut report = Report::default();
    let document = parse(&source, &mut report);
    let (name, value) = document.value.entries.into_iter().next().unwrap();
    let Value::Table(table) = &value.value else { unreachable!() };
    let format = name.with(options.split('"').nth(1).unwrap().to_owned());
    let codec = Codec { name, format, options: At::new(table.clone(), value.place.clone()) };
    rserve::codec::registry().decode(&codec, &mut report).unwrap()
}

/// A photo-like picture as JPEG, 4:2:0 as cameras write.
fn jpeg(width: u16, height: u16) -> Vec<u8> {
    let mut rgb = vec![];
    let mut noise = 1u32;
    for y in 0..height {
        for x in 0..width {
            noise = noise.wrapping_mul(1664525).wrapping_add(1013904223);
            let grain = (noise >> 28) as f32;
            let (x, y) = (f32::from(x) / f32::from(width), f32::from(y) / f32::from(height));
            let wave = ((x * 23.0).sin() * (y * 17.0).cos() * 40.0).abs();
            rgb.extend([x * 180.0 + wave + grain, y * 200.0 + grain, 90.0 + wave + grain].map(|v| v as u8));
        }
    }
    let mut out = vec![];
    image::codecs::jpeg::JpegEncoder::new_with_quality(&mut out, 85)
        .encode(&rgb, width.into(), height.into(), image::ExtendedColorType::Rgb8)
        .unwrap();
    out
}

fn pictures(c: &mut Criterion) {
    let options =
        "format = \"image\", size = [64, 64], mean = [0.485, 0.456, 0.406], std = [0.229, 0.224, 0.225]";
    for (width, height) in [(128, 128), (1024, 768), (4000, 3000)] {
        let file = jpeg(width, height);
        let name = format!("{width}x{height}");
        let mut group = c.benchmark_group(format!("{name}, {} kB", file.len() / 1000));
        group.sample_size(if width > 1000 { 20 } else { 200 });
        group.bench_function("jpeg alone", |b| {
            b.iter(|| JpegDecoder::new(ZCursor::new(black_box(file.as_slice()))).decode().unwrap());
        });
        for (what, more) in [
            ("to 64x64", ""),
            ("to 64x64, cover", ", fit = \"cover\""),
            ("to 64x64, lanczos", ", filter = \"lanczos\""),
        ] {
            let image = decode(&format!("{options}{more}"));
            let payload = Payload::Bytes(file.clone().into());
            group.bench_function(what, |b| b.iter(|| image.decode(black_box(&payload), false).unwrap()));
        }
        group.finish();
    }
}

fn json(c: &mut Criterion) {
    let values: Vec<f32> = (0..3 * 64 * 64).map(|i| (i as f32 * 0.37).sin()).collect();
    let body = serde_json::to_vec(&serde_json::json!({ "x": values })).unwrap();
    let decode = decode("format = \"json\", field = \"x\"");
    let payload = Payload::Bytes(body.into());
    c.bench_function("json to 12288 floats", |b| {
        b.iter(|| decode.decode(black_box(&payload), false).unwrap());
    });
}

criterion_group!(benches, pictures, json);
criterion_main!(benches);
