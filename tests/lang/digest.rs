//! What two declarations have in common, so that a run may go on and a server may take another's items.

use super::{ROAD, plan, road};

fn digests(text: &str) -> [String; 2] {
    let plan = plan(text);
    let pipeline = &plan.pipelines[0];
    [pipeline.online.digest(), pipeline.offline.digest()]
}

#[test]
fn another_spelling_or_order_is_the_same() {
    for edits in [
        vec![(
            "mean = [0.485, 0.456, 0.406], std",
            "mean = [4.85e-1, 0.4560, 0.406], scale = \"1/255\", std",
        )],
        vec![("size = [64, 64], mean", "size = 64, fit = \"stretch\", filter = \"bilinear\", mean")],
        vec![(
            "[0.485, 0.456, 0.406], std = [0.229, 0.224, 0.225]",
            "[0.485, 0.456, 0.406], dtype = \"float32\", std = [0.229, 0.224, 0.225], max_side = 16384",
        )],
        vec![(
            "size = [64, 64], mean = [0.485, 0.456, 0.406]",
            "mean = [0.485, 0.456, 0.406], size = [64, 64]",
        )],
        vec![(
            "inputs = { image = \"photo\", mask = \"mask\" }",
            "inputs = { mask = \"mask\", image = \"photo\" }",
        )],
        vec![(
            "mask = { model = \"road-mask\", inputs = { image = \"photo\" } }\nsurface = { model = \"surface\", inputs = { image = \"photo\", mask = \"mask\" } }",
            "surface = { model = \"surface\", inputs = { image = \"photo\", mask = \"mask\" } }\nmask = { model = \"road-mask\", inputs = { image = \"photo\" } }",
        )],
        // What is done, not how much of the machine does it, nor for whom.
        vec![("gpu = 0.7", "gpu = 0.6")],
        vec![("route = \"/road\"", "route = \"/street\"")],
    ] {
        assert_eq!(digests(&road(&edits)), digests(ROAD), "{edits:?}");
    }
}

#[test]
fn whatever_changes_an_answer_is_another() {
    let [online, offline] = digests(ROAD);
    for edits in [
        vec![("0.485", "0.484")],
        vec![("0.229", "0.23")],
        vec![("std =", "scale = 1, std =")],
        vec![("std =", "fit = \"cover\", std =")],
        vec![
            ("model = \"road-mask\"", "model = \"changed\""),
            ("[models.road-mask]", "[models.changed]\nversion = 2"),
        ],
    ] {
        let [other_online, other_offline] = digests(&road(&edits));
        assert_ne!(other_online, online, "{edits:?}");
        assert_ne!(other_offline, offline, "{edits:?}");
    }
    let [same, other] = digests(&road(&[("as = \"label\"", "as = \"top\"")]));
    assert_eq!(same, online, "the offline entry is no part of the other");
    assert_ne!(other, offline);
}
