//! Parts of a picture against Pillow's crop and resize.

use super::fixture;
use super::resize::noise;
use rserve::diagnostic::{Report, SourceText};
use rserve::picture::frame::Bounds;
use rserve::picture::options::prepare;
use rserve::picture::prepare::Prepare;
use rserve::spec::document::{Reader, parse};

fn read(options: &str) -> Prepare {
    let source = SourceText::new("p.toml", options.to_owned());
    let mut report = Report::default();
    let document = parse(&source, &mut report);
    let mut reader = Reader::new("`crop`", &document.value, &document.place);
    let prepare = prepare(&mut reader, &mut report);
    reader.finish(&mut report);
    assert!(!report.has_errors(), "{options}: {:?}", report.diagnostics);
    prepare.unwrap()
}

#[test]
fn a_part_agrees_with_pillow_within_one_level() {
    let (table, levels) = (String::from_utf8(fixture("crop.tsv")).unwrap(), fixture("crop.bin"));
    let (rgb, size) = (noise(97, 61), (97, 61));
    let mut rest = levels.as_slice();
    for line in table.lines().skip(1) {
        let cells: Vec<&str> = line.split('\t').collect();
        let edge = |n: usize| cells[n].parse::<f64>().unwrap();
        let (w, h, fit, filter) = (cells[4], cells[5], cells[6], cells[7]);
        let (wanted, after) = rest.split_at(w.parse::<usize>().unwrap() * h.parse::<usize>().unwrap() * 3);
        rest = after;
        let options = format!(
            "size = [{w}, {h}]\nfit = \"{fit}\"\nfilter = \"{filter}\"\ndtype = \"uint8\"\nlayout = \"nhwc\""
        );
        let bounds = Bounds::new([edge(0), edge(1), edge(2), edge(3)]);
        let part = bounds.pixels(size).unwrap();
        let got = read(&options).part(&rgb, size, part).unwrap().unwrap();
        let worst = got.tensor.bytes().iter().zip(wanted).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
        assert!(worst <= 1, "{line}: off by {worst}");
        let region = got.region;
        assert!(
            region.left >= f64::from(part.left) && region.width <= f64::from(part.width),
            "{line}: {region:?}"
        );
    }
    assert!(rest.is_empty());
}

#[test]
fn a_part_of_its_own_size_is_the_pixels_themselves() {
    let prepare = read("dtype = \"uint8\"\nlayout = \"nhwc\"\ncolor = \"bgr\"");
    let rgb: Vec<u8> = (0..4 * 3 * 3).collect();
    let part = Bounds::new([1.0, 1.0, 3.0, 2.0]).pixels((4, 3)).unwrap();
    let got = prepare.part(&rgb, (4, 3), part).unwrap().unwrap();
    assert_eq!((got.tensor.shape(), got.input), (&[1, 2, 3][..], (2, 1)));
    assert_eq!(got.tensor.bytes().as_ref(), [17, 16, 15, 20, 19, 18]);
    // A part of another picture is refused.
    assert!(prepare.part(&rgb, (4, 2), Bounds::new([0., 0., 9., 9.]).pixels((9, 9)).unwrap()).is_none());
}
