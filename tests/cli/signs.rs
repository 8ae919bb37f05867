//! The shipped pipeline of lists, crops and stages over its pictures, held to what PyTorch, torchvision and Pillow say.

use super::docs::parted;
use super::house::{images, root, say};
use super::run::{json, post, start};
use std::fs;

/// Corners in pixels of the picture, as far as one may be off.
const CORNER: f64 = 0.5;
/// A crop whose corner is rounded to the next pixel is read a little differently.
const SURE: f64 = 0.02;

#[test]
fn road_signs_are_found_and_read_as_pytorch_and_pillow_do() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("out");
    let arguments = ["batch", "pipelines/road-signs.toml", "--pipeline", "road-signs"];
    let paths =
        ["--input", "examples/images/road-signs", "--glob", "*.jpg", "--output", output.to_str().unwrap()];
    let said = say(&[&arguments[..], &paths].concat());
    assert_eq!(said.code, 0, "{}", said.err);

    let expected = json(&fs::read(root().join("tests/fixtures/signs/expected.json")).unwrap());
    let rows = fs::read_to_string(output.join("rows.jsonl")).unwrap();
    assert_eq!(rows.lines().count(), images("road-signs").len());
    let mut signs = 0;
    for row in rows.lines().map(|row| json(row.as_bytes())) {
        let item = row["item"].as_str().unwrap();
        let wanted = &expected[item];
        assert_eq!(row["surface"], wanted["surface"], "{item}");
        let (found, wanted) = (row["signs"].as_array().unwrap(), wanted["signs"].as_array().unwrap());
        assert_eq!(found.len(), wanted.len(), "{item}: {row}");
        for (sign, wanted) in found.iter().zip(wanted) {
            assert_eq!(sign["kind"], wanted["kind"], "{item}");
            let off = |a: &serde_json::Value, b: &serde_json::Value| {
                (a.as_f64().unwrap() - b.as_f64().unwrap()).abs()
            };
            assert!(off(&sign["sure"], &wanted["sure"]) < SURE, "{item}: {sign}, {wanted}");
            for corner in 0..4 {
                assert!(
                    off(&sign["box"][corner], &wanted["box"][corner]) < CORNER,
                    "{item}: {sign}, {wanted}"
                );
            }
            signs += 1;
        }
    }
    assert!(signs > 80, "only {signs} signs were compared");
    let drawn = fs::read_dir(output.join("drawn"))
        .unwrap()
        .filter(|file| file.as_ref().unwrap().path().extension().is_some_and(|e| e == "png"));
    assert_eq!(drawn.count(), images("road-signs").len());
}

/// Processors differ in the last digits.
#[test]
fn road_signs_are_answered_as_the_readme_shows() {
    let server = start(&["pipelines/road-signs.toml"]);
    let photo = fs::read(root().join("examples/images/road-signs/signs-01.jpg")).unwrap();
    let (status, _, body) = post(&server, "/road-signs/predict", &photo);
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let shown = readme.lines().find(|line| line.starts_with("{\"surface\":\"")).unwrap();
    let ((words, numbers), (shown, wanted)) = (parted(std::str::from_utf8(&body).unwrap()), parted(shown));
    assert_eq!(words, shown);
    assert!(
        numbers.iter().zip(&wanted).all(|(a, b)| (a - b).abs() <= 0.11),
        "{numbers:?} where README has {wanted:?}"
    );

    let (status, head, drawn) = post(&server, "/road-signs/predict?encode=drawn", &photo);
    assert_eq!(status, 200);
    assert!(head.contains("content-type: image/png"), "{head}");
    let size = |png: &[u8]| png[16..24].to_vec();
    assert_eq!(size(&drawn), size(&fs::read(root().join("docs/road-signs.png")).unwrap()));
}
