//! Detectors, crops and what looks at them, end to end: small models that find what is bright in a picture, which was
//! turned by EXIF and brought to their size in every way.

use super::house::{Said, root, say};
use serde_json::Value;
use std::fs;
use std::path::Path;

const STEPS: &str = r#"
[store]
path = "STORE"

[models.find]
[models.yolo]
[models.colour]

[pipelines.look]
decode.photo = { format = "image", size = [64, 64], fit = "FIT" }

[pipelines.look.steps]
found   = { model = "find", inputs = { image = "photo" } }
thing   = { op = "boxes", from = "found", on = "photo", layout = "end-to-end", threshold = 0.5, labels = "labels.txt" }
cut     = { op = "crop", each = "thing", box = "thing.box", on = "photo", grow = -0.1, size = [8, 8] }
seen    = { model = "colour", each = "thing", inputs = { image = "cut" } }
boxes   = { op = "stack", from = "thing.box" }
classes = { op = "stack", from = "thing.class" }
colours = { op = "stack", from = "seen" }
raw     = { model = "yolo", inputs = { image = "photo" } }
plate   = { op = "boxes", from = "raw.output0", on = "photo", layout = "yolov8", iou = 0.5, rest = 8, labels = "labels.txt", classes = ["plate"] }
weights = { op = "slice", each = "plate", from = "plate.rest", start = 0, end = 2 }
points  = { op = "slice", each = "plate", from = "plate.rest", start = 2, end = 8 }
mask    = { op = "masks", each = "plate", from = "weights", box = "plate.box", prototypes = "raw.prototypes", on = "photo", threshold = 0.5 }
corner  = { op = "keypoints", each = "plate", from = "points", on = "photo" }
masks   = { op = "stack", from = "mask" }
corners = { op = "stack", from = "corner.points" }
again   = { op = "stack", from = "plate.box" }

[pipelines.look.offline]
encode.mask = { format = "npy", from = "masks" }
encode.boxes = { format = "png", from = "thing.box", as = "boxes", on = "photo", class = "thing.class", text = ["thing.class", "thing.score"] }
encode.tinted = { format = "png", from = "mask", as = "masks", on = "photo", alpha = 1.0, palette = [[0, 0, 255]] }
encode.points = { format = "png", from = "corner", as = "keypoints", on = "photo", scores = "corner.scores", lines = [[0, 1]], line = 3 }

[pipelines.look.offline.encode.rows]
format = "jsonl"
fields.boxes = { from = "boxes" }
fields.classes = { from = "classes" }
fields.colours = { from = "colours" }
fields.again = { from = "again" }
fields.corners = { from = "corners" }
"#;

/// A black PNG with an orange rectangle, in pixels as they are stored, and its EXIF orientation.
fn picture(size: (u32, u32), [x0, y0, x1, y1]: [u32; 4], orientation: u8) -> Vec<u8> {
    let inside = |x: u32, y: u32| (x0..x1).contains(&x) && (y0..y1).contains(&y);
    let pixel = |x: u32, y: u32| if inside(x, y) { [255, 128, 0] } else { [0; 3] };
    let rgb: Vec<u8> = (0..size.1).flat_map(|y| (0..size.0).flat_map(move |x| pixel(x, y))).collect();
    let mut out = vec![];
    let mut encoder = png::Encoder::new(&mut out, size.0, size.1);
    encoder.set_color(png::ColorType::Rgb);
    let mut writer = encoder.write_header().unwrap();
    let exif =
        [b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0", &[orientation, 0, 0, 0, 0, 0, 0, 0][..]].concat();
    writer.write_chunk(png::chunk::ChunkType(*b"eXIf"), &exif).unwrap();
    writer.write_image_data(&rgb).unwrap();
    writer.finish().unwrap();
    out
}

fn batch(pipeline: &str, input: &Path, output: &Path) -> Said {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("look.toml");
    let store = root().join("tests/fixtures/detect/store");
    fs::write(&file, pipeline.replace("STORE", store.to_str().unwrap())).unwrap();
    let [file, input, output] = [file.as_path(), input, output].map(|path| path.to_str().unwrap());
    say(&["batch", file, "--pipeline", "look", "--input", input, "--output", output])
}

fn near(found: &Value, wanted: &[f64], by: f64) -> bool {
    let found = found.as_array().unwrap();
    found.len() == wanted.len()
        && found.iter().zip(wanted).all(|(f, w)| (f.as_f64().unwrap() - w).abs() <= by)
}

#[test]
fn what_is_found_is_where_it_was_in_the_picture_that_was_sent() {
    let (size, thing) = ((203, 121), [70, 37, 131, 84]);
    let input = tempfile::tempdir().unwrap();
    for orientation in 1..=8 {
        fs::write(input.path().join(format!("{orientation}.png")), picture(size, thing, orientation))
            .unwrap();
    }
    fs::write(input.path().join("black.png"), picture(size, [0; 4], 1)).unwrap();
    fs::write(input.path().join("pixel.png"), picture((1, 1), [0, 0, 1, 1], 1)).unwrap();
    for fit in ["contain", "cover", "stretch"] {
        let output = tempfile::tempdir().unwrap();
        let said = batch(&STEPS.replace("FIT", fit), input.path(), output.path());
        // Nothing was found in the black one, of which no array of masks is made that has a size.
        assert!(said.err.contains("10 done, 0 failed"), "{fit}: {}", said.err);
        let rows = fs::read_to_string(output.path().join("rows.jsonl")).unwrap();
        for row in rows.lines() {
            let row: Value = serde_json::from_str(row).unwrap();
            let item = row["item"].as_str().unwrap().to_owned();
            match item.as_str() {
                "black.png" => {
                    for field in ["boxes", "classes", "colours", "again", "corners"] {
                        assert_eq!(row[field], serde_json::json!([]), "{fit}: {row}");
                    }
                    continue;
                }
                "pixel.png" => {
                    assert!(near(&row["boxes"][0], &[0., 0., 1., 1.], 0.51), "{fit}: {row}");
                    continue;
                }
                _ => {}
            }
            // The model sees a pixel in three or so.
            let by = 203.0 / 64.0 + 0.5;
            let wanted = thing.map(f64::from);
            assert_eq!(row["classes"], serde_json::json!(["thing"]), "{fit}: {row}");
            assert!(near(&row["boxes"][0], &wanted, by), "{fit}: {row}");
            assert!(near(&row["again"][0], &wanted, by), "{fit}: {row}");
            assert_eq!(row["again"].as_array().unwrap().len(), 1, "{fit}: {row}");
            assert!(near(&row["colours"][0], &[1.0, 128.0 / 255.0, 0.0], 0.01), "{fit}: {row}");
            // Two corners of the upright picture, which are two corners of the one that was sent.
            let corners = row["corners"][0].as_array().unwrap();
            let [a, b]: [Vec<f64>; 2] = [0, 1]
                .map(|i: usize| corners[i].as_array().unwrap().iter().map(|n| n.as_f64().unwrap()).collect());
            let spanned = [a[0].min(b[0]), a[1].min(b[1]), a[0].max(b[0]), a[1].max(b[1])];
            assert!(spanned.iter().zip(wanted).all(|(s, w)| (s - w).abs() <= by), "{fit}: {row}");
            check_pictures(output.path(), &item, size, thing);
            check_mask(
                &output.path().join(format!("mask/{}.npy", item.trim_end_matches(".png"))),
                size,
                thing,
            );
        }
    }
}

const PARTS: &str = r#"
[store]
path = "STORE"

[models.find]

[pipelines.look]
decode.photo = { format = "image", size = [64, 64] }

[pipelines.look.steps]
tile  = { op = "tiles", on = "photo", size = 64, overlap = 0.1 }
found = { model = "find", each = "tile", inputs = { image = "tile.image" } }
thing = { op = "boxes", each = "tile", from = "found", on = "photo", view = "tile.view", layout = "end-to-end", threshold = 0.5 }
whole = { model = "find", inputs = { image = "photo" } }
one   = { op = "boxes", from = "whole", on = "photo", layout = "end-to-end" }
cut   = { op = "crop", each = "one", box = "one.box", on = "photo", grow = 0.3, size = [64, 64], fit = "contain" }
again = { model = "find", each = "one", inputs = { image = "cut" } }
near  = { op = "boxes", each = "one", from = "again", on = "photo", view = "cut.view", layout = "end-to-end" }

[pipelines.look.offline]
encode.rows = { format = "jsonl", fields.tiles = "tile.box", fields.things = "thing.box", fields.near = "near.box" }
"#;

/// What a detector finds in tiles and in crops is in pixels of the whole picture, too.
#[test]
fn what_is_found_in_a_part_is_where_it_is_in_the_whole() {
    let thing = [70, 37, 131, 84];
    let input = tempfile::tempdir().unwrap();
    for orientation in 1..=8 {
        let file = input.path().join(format!("{orientation}.png"));
        fs::write(file, picture((203, 121), thing, orientation)).unwrap();
    }
    let output = tempfile::tempdir().unwrap();
    let said = batch(PARTS, input.path(), output.path());
    assert!(said.err.contains("8 done, 0 failed"), "{}", said.err);
    let wanted = thing.map(f64::from);
    for row in fs::read_to_string(output.path().join("rows.jsonl")).unwrap().lines() {
        let row: Value = serde_json::from_str(row).unwrap();
        assert_eq!(row["tiles"].as_array().unwrap().len(), 8, "{row}");
        let found = row["things"].as_array().unwrap().iter().flat_map(|tile| tile.as_array().unwrap());
        let found: Vec<Vec<f64>> =
            found.map(|b| b.as_array().unwrap().iter().map(|n| n.as_f64().unwrap()).collect()).collect();
        // A tile has the pixels of the picture themselves.
        let low = |n: usize| found.iter().map(|b| b[n]).fold(f64::INFINITY, f64::min);
        let high = |n: usize| found.iter().map(|b| b[n]).fold(0.0, f64::max);
        assert_eq!([low(0), low(1), high(2), high(3)], wanted, "{row}");
        assert!(near(&row["near"][0][0], &wanted, 2.0), "{row}");
    }
}

/// What is drawn on the picture, turned upright: the box in the colour of its class, the mask, the points.
fn check_pictures(output: &Path, item: &str, size: (u32, u32), [x0, y0, x1, y1]: [u32; 4]) {
    let orientation: u8 = item[..1].parse().unwrap();
    let open = |folder: &str| {
        let picture = image::open(output.join(folder).join(item)).unwrap().to_rgb8();
        let turned = orientation >= 5;
        assert_eq!(picture.dimensions(), if turned { (size.1, size.0) } else { size }, "{folder}/{item}");
        picture
    };
    // Where a pixel of the picture as it was sent is in the one that was turned upright.
    let (w, h) = (size.0 - 1, size.1 - 1);
    let upright = |x: u32, y: u32| match orientation {
        1 => (x, y),
        2 => (w - x, y),
        3 => (w - x, h - y),
        4 => (x, h - y),
        5 => (y, x),
        6 => (h - y, x),
        7 => (h - y, w - x),
        _ => (y, w - x),
    };
    let (middle_x, middle_y) = ((x0 + x1) / 2, (y0 + y1) / 2);
    let boxes = open("boxes");
    let at = |x: u32, y: u32| {
        let (x, y) = upright(x, y);
        boxes.get_pixel(x, y).0
    };
    let edge = |x: u32, y: u32| (0..5).flat_map(move |a| (0..5).map(move |b| (x + a - 2, y + b - 2)));
    // The colour of class 1.
    let orange = [0xff, 0xb3, 0x00];
    for (x, y) in [(x0, middle_y), (x1, middle_y), (middle_x, y0), (middle_x, y1)] {
        assert!(edge(x, y).any(|(x, y)| at(x, y) == orange), "boxes/{item} at {x}, {y}");
    }
    assert_eq!(at(middle_x, middle_y), [255, 128, 0]);
    let black = boxes.pixels().filter(|pixel| pixel.0 == orange).count();
    assert!(black > 500, "boxes/{item} has no label: {black}");
    let (tinted, (x, y)) = (open("tinted"), upright(middle_x, middle_y));
    assert_eq!(tinted.get_pixel(x, y).0, [0, 0, 255]);
    let (x, y) = upright(x0 - 6, y0 - 6);
    assert_eq!(tinted.get_pixel(x, y).0, [0; 3]);
    let points = open("points");
    let dots = points.pixels().filter(|pixel| pixel.0 == [0x4c, 0xaf, 0x50]).count();
    assert!(dots > 100, "points/{item}: {dots}");
}

/// The mask is the thing, but for pixels at its edge.
fn check_mask(path: &Path, (width, height): (u32, u32), [x0, y0, x1, y1]: [u32; 4]) {
    let file = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let header = String::from_utf8_lossy(&file[..128]).into_owned();
    assert!(header.contains(&format!("(1, {height}, {width})")), "{header}");
    let mask = &file[file.len() - (width * height) as usize..];
    for (at, inside) in (0..).zip(mask) {
        let (x, y) = (at % width, at / width);
        let (away_x, away_y) = (x.abs_diff(x0).min(x.abs_diff(x1)), y.abs_diff(y0).min(y.abs_diff(y1)));
        if away_x > 4 && away_y > 4 {
            let wanted = (x0..x1).contains(&x) && (y0..y1).contains(&y);
            assert_eq!(*inside != 0, wanted, "{}: ({x}, {y})", path.display());
        }
    }
}
