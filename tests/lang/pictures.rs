//! Operations on pictures, and what is drawn of them: a good file broken in one place, and everything that is said.

use super::{compile_on, errors, on_cpu};
use insta::assert_snapshot;
use rserve::diagnostic::render;

const PLATES: &str = r#"[store]
path = "store"

[models.detector]
[models.pairs]
[models.reader]

[pipelines.plates]
decode.photo = { format = "image", size = [64, 64], fit = "contain" }

[pipelines.plates.steps]
found = { model = "detector", inputs = { image = "photo" } }
plate = { op = "boxes", from = "found", on = "photo", layout = "yolov8", iou = 0.5, labels = "labels.txt", classes = ["class 1"] }
cut = { op = "crop", each = "plate", box = "plate.box", on = "photo", size = [96, 32] }
read = { model = "reader", each = "plate", inputs = { image = "cut" } }
kind = { op = "argmax", each = "plate", from = "read" }
kinds = { op = "stack", from = "kind" }
twos = { model = "pairs", inputs = { image = "photo" } }
two = { op = "boxes", boxes = "twos.boxes", scores = "twos.scores", classes = "twos.classes", on = "photo", only = [2], labels = "labels.txt" }
count = { op = "count", from = "two" }

[pipelines.plates.online]
encode.reply = { format = "json", fields.kinds = "kinds", fields.count = "count" }
encode.drawn = { format = "png", from = "plate.box", as = "boxes", on = "photo", class = "plate.class", text = ["plate.class", "kind"] }
"#;

/// [`PLATES`] with parts of it replaced. Each must be there.
fn plates(edits: &[(&str, &str)]) -> String {
    edits.iter().fold(PLATES.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "{from:?} is not in the text");
        text.replacen(from, to, 1)
    })
}

macro_rules! broken {
    ($($name:ident: [$(($from:expr, $to:expr)),+ $(,)?])*) => { $(
        #[test]
        fn $name() {
            assert_snapshot!(errors(&plates(&[$(($from, $to)),+])));
        }
    )* };
}

#[test]
fn the_file_that_is_broken_is_good() {
    let (plan, report) = compile_on(&on_cpu(), &[("plates.toml", &plates(&[]))]);
    assert!(plan.is_some(), "{}", render(&report, false));
}

broken! {
    boxes_on_another_picture: [
        ("decode.photo =", "decode.other = { format = \"image\", size = [64, 64] }\ndecode.photo ="),
        ("from = \"found\", on = \"photo\"", "from = \"found\", on = \"other\""),
    ]
    boxes_are_drawn_on_another_picture: [
        ("decode.photo =", "decode.other = { format = \"image\", size = [64, 64] }\ndecode.photo ="),
        ("as = \"boxes\", on = \"photo\"", "as = \"boxes\", on = \"other\""),
    ]
    boxes_in_a_part_without_its_view: [
        ("{ model = \"detector\", inputs = { image = \"photo\" } }", "{ model = \"detector\", inputs = { image = \"part\" } }\npart = { op = \"crop\", on = \"photo\", size = [64, 64] }"),
    ]
    masks_of_no_mask: [
        ("kinds = { op = \"stack\", from = \"kind\" }", "kinds = { op = \"stack\", from = \"mask\" }\nmask = { op = \"masks\", each = \"plate\", from = \"read\", box = \"plate.box\", on = \"photo\" }"),
        ("[\"plate.class\", \"kind\"]", "[\"plate.class\"]"),
        ("kind = { op = \"argmax\", each = \"plate\", from = \"read\" }\n", ""),
    ]
    label_without_quotes: [
        ("each = \"plate\", inputs = { image = \"cut\" } }", "each = \"plate\", inputs = { image = \"cut\" }, when = \"plate.class == plate\" }"),
    ]
    layout_that_is_none: [("layout = \"yolov8\"", "layout = \"yolo8\"")]
    layout_of_another_form: [("layout = \"yolov8\"", "layout = \"end-to-end\", transposed = true")]
    layout_of_several_outputs: [("layout = \"yolov8\"", "layout = \"detr\"")]
    layout_with_more_in_a_row: [("layout = \"yolov8\"", "layout = \"end-to-end\"")]
    labels_for_other_classes: [("labels = \"labels.txt\", classes", "labels = \"labels.txt\", rest = 1, classes")]
    class_that_is_none: [("[\"class 1\"]", "[\"clas 1\"]")]
    class_beyond_the_last: [("only = [2]", "only = [3]")]
    class_without_labels: [(", labels = \"labels.txt\", classes", ", classes")]
    threshold_in_percent: [("iou = 0.5", "iou = 0.5, threshold = 40")]
    agnostic_of_nothing: [("iou = 0.5", "agnostic = true")]
    boxes_without_a_picture: [("from = \"found\", on = \"photo\"", "from = \"found\"")]
    boxes_on_a_step: [("from = \"found\", on = \"photo\"", "from = \"found\", on = \"found\"")]
    boxes_without_scores: [(", scores = \"twos.scores\"", "")]
    boxes_that_are_scores: [("boxes = \"twos.boxes\"", "boxes = \"twos.scores\"")]
    crop_without_each: [("op = \"crop\", each = \"plate\",", "op = \"crop\",")]
    crop_of_no_box: [("box = \"plate.box\"", "box = \"found\"")]
    crop_of_another_size: [("size = [96, 32]", "size = [32, 96]")]
    crop_with_an_option_of_a_decode: [("size = [96, 32]", "size = [96, 32], max_pixels = 100")]
    boxes_of_another_list_are_drawn: [("class = \"plate.class\"", "class = \"two.class\"")]
    a_list_is_drawn: [("from = \"plate.box\", as", "from = \"plate\", as")]
    boxes_are_drawn_that_are_none: [("from = \"plate.box\", as", "from = \"plate.score\", as")]
    boxes_are_drawn_on_nothing: [("as = \"boxes\", on = \"photo\"", "as = \"boxes\"")]
    option_of_another_drawing: [("as = \"boxes\"", "as = \"boxes\", alpha = 0.5")]
}
