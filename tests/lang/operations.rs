//! Operations on numbers in pipeline files: one broken in one place, and the whole of what is said about it.

use super::{compile_on, errors, on_cpu, plan, road};
use insta::assert_snapshot;
use rserve::diagnostic::render;
use rserve::plan::graph::text;

/// [`ROAD`](super::ROAD) with a step for what it reads by an operation.
fn with(step: &str) -> String {
    road(&[
        ("surface = {", &format!("made = {step}\nsurface = {{")),
        ("from = \"surface\", as = \"top\", top = 3, labels = \"labels.txt\"", "from = \"made\""),
    ])
}

macro_rules! broken {
    ($($name:ident: $step:expr),* $(,)?) => { $(
        #[test]
        fn $name() {
            assert_snapshot!(errors(&with($step)));
        }
    )* };
}

broken! {
    axis_that_is_not_there: "{ op = \"softmax\", from = \"surface\", axis = 1 }",
    axis_as_a_word: "{ op = \"argmax\", from = \"surface\", axis = \"classes\" }",
    threshold_without_one: "{ op = \"threshold\", from = \"surface\" }",
    scale_by_nothing: "{ op = \"scale\", from = \"surface\" }",
    cast_to_an_unknown_type: "{ op = \"cast\", from = \"surface\", dtype = \"float\" }",
    axes_that_are_no_order: "{ op = \"permute\", from = \"surface\", axes = [1, 1] }",
    axes_of_another_rank: "{ op = \"permute\", from = \"surface\", axes = [1, 0] }",
    shape_of_other_elements: "{ op = \"reshape\", from = \"surface\", shape = [2, -1] }",
    two_open_lengths: "{ op = \"reshape\", from = \"surface\", shape = [-1, -1] }",
    step_of_zero: "{ op = \"slice\", from = \"surface\", step = 0 }",
    sources_that_do_not_join: "{ op = \"concat\", from = [\"surface\", \"mask\"] }",
    mean_of_different_shapes: "{ op = \"mean\", from = [\"surface\", \"mask\"] }",
    weights_for_fewer_sources: "{ op = \"mean\", from = [\"surface\", \"surface\"], weights = [1] }",
    weights_of_zero: "{ op = \"mean\", from = [\"surface\", \"surface\"], weights = [1, 0] }",
    least_above_the_sources: "{ op = \"mean\", from = [\"surface\", \"surface\"], least = 3 }",
    votes_of_scores: "{ op = \"vote\", from = [\"surface\", \"surface\"] }",
    labels_of_other_classes: "{ op = \"argmax\", from = \"surface\", labels = \"label.txt\" }",
    ctc_of_one_axis: "{ op = \"ctc\", from = \"surface\", alphabet = \"labels.txt\" }",
    ctc_without_an_alphabet: "{ op = \"ctc\", from = \"surface\" }",
    index_that_is_not_there: "{ op = \"similar\", from = \"surface\", index = \"idnex.npy\", names = \"labels.txt\" }",
    index_that_is_no_array: "{ op = \"similar\", from = \"surface\", index = \"index.txt\", names = \"labels.txt\" }",
    index_of_other_vectors: "{ op = \"similar\", from = \"part\", index = \"index.npy\", names = \"labels.txt\" }\npart = { op = \"slice\", from = \"surface\", end = 3 }",
    index_of_a_decode: "{ op = \"similar\", from = \"photo\", index = \"index.npy\", names = \"labels.txt\" }",
    resize_of_one_axis: "{ op = \"resize\", from = \"surface\", size = 8 }",
    more_rows_than_the_list_may_have: "{ op = \"split\", from = \"surface\", top = 4 }",
    sources_to_a_step_of_one: "{ op = \"softmax\", from = [\"surface\"] }",
    an_option_of_another_operation: "{ op = \"sigmoid\", from = \"surface\", axis = 1 }",
}

#[test]
fn an_index_is_drawn_beside_its_step() {
    let near = "{ op = \"similar\", from = \"surface\", index = \"index.npy\", names = \"labels.txt\" }";
    let plan = plan(&with(near).replace("from = \"made\"", "from = \"made.names\""));
    let drawn = text(&plan);
    let step = drawn.split("step made").nth(1).unwrap().split("encode").next().unwrap();
    assert_snapshot!(step);
}

#[test]
fn labels_that_do_not_count() {
    let text = with("{ op = \"argmax\", from = \"surface\", labels = \"labels.txt\" }");
    let mislabelled = [
        ("[models.surface]\ngpu = 0.3\nversion = 2", "[models.mislabelled]"),
        ("model = \"surface\"", "model = \"mislabelled\""),
    ];
    let text = mislabelled.iter().fold(text, |text, (from, to)| text.replace(from, to));
    assert_snapshot!(errors(&text.replace(
        "from = \"surface.probabilities\", as = \"label\", labels = \"labels.txt\"",
        "from = \"made\""
    )));
}

#[test]
fn conditions_are_held_against_what_operations_make() {
    let with = |when: &str| {
        let step = "{ op = \"argmax\", from = \"surface\", labels = \"labels.txt\" }";
        let more = [
            "sure = { op = \"max\", from = \"surface\" }".to_owned(),
            format!("maybe = {{ op = \"softmax\", from = \"surface\", when = '{when}' }}"),
            "either = { op = \"first\", from = [\"maybe\", \"surface\"] }".to_owned(),
        ];
        let more = format!("\n{}", more.join("\n"));
        with(&(step.to_owned() + &more)).replace("from = \"made\"", "from = \"either.value\"")
    };
    let (plan, report) = compile_on(&on_cpu(), &[("road.toml", &with("made == \"class 3\" and sure < 0.5"))]);
    assert!(plan.is_some(), "{}", render(&report, false));
    let said: Vec<String> = [
        "made == \"clas 3\" and sure < 0.5",
        "made == 5 and sure < 0.5",
        "made < 2 and sure < 0.5",
        "sure and made == 1",
        "surface < 0.5 and sure < 0.5 and made == 1",
        "sure < 0.5 or shure > 1 or made == 1",
        "sure < 0.5 & made == 1",
    ]
    .iter()
    .map(|when| errors(&with(when)))
    .collect();
    assert_snapshot!(said.join("\n"));
}
