//! Fields of lists, and of what may be absent: one mistake each, and the whole of what is said about it.

use super::{errors, plan, road};
use insta::assert_snapshot;

/// [`ROAD`](super::ROAD) with lists of what it finds, and one encode in the place of its table.
fn with(encode: &str) -> String {
    road(&[
        (
            "surface = {",
            "row = { op = \"split\", from = \"mask\", top = 2 }\n\
             line = { op = \"split\", each = \"row\", from = \"row\", top = 64 }\n\
             score = { op = \"split\", from = \"surface\" }\n\
             sure = { op = \"max\", each = \"row\", from = \"row\", when = \"score > 2\" }\n\
             light = { op = \"mean\", each = \"line\", from = \"line\" }\nsurface = {",
        ),
        (
            "encode.overlay",
            "encode.all = { format = \"json\", fields = { sure = \"sure\", light = \"light\", score = \"score\" } }\n\
             encode.overlay",
        ),
        (
            "{ format = \"csv\", fields.surface = { from = \"surface.probabilities\", as = \"label\", labels = \"labels.txt\" } }",
            encode,
        ),
    ])
}

macro_rules! broken {
    ($($name:ident: $encode:expr),* $(,)?) => { $(
        #[test]
        fn $name() {
            assert_snapshot!(errors(&with($encode)));
        }
    )* };
}

broken! {
    list_in_a_cell: "{ format = \"csv\", fields.light = \"light\" }",
    list_in_a_cell_of_an_element: "{ format = \"csv\", each = \"row\", fields.light = \"light\" }",
    field_of_another_list: "{ format = \"parquet\", each = \"row\", fields.sure = \"sure\", fields.score = \"score\" }",
    object_with_a_field_of_another_list: "{ format = \"json\", fields.rows = { each = \"row\", fields.sure = \"sure\", fields.score = \"score\" } }",
    objects_of_another_list: "{ format = \"json\", fields.rows = { each = \"row\", fields.sure = \"sure\", fields.scores = { each = \"score\", fields.score = \"score\" } } }",
    objects_of_a_list_in_a_list: "{ format = \"json\", fields.lines = { each = \"line\", fields.light = \"light\" } }",
    rows_for_each_of_no_list: "{ format = \"csv\", each = \"surface\", fields.a = \"surface\" }",
    rows_for_each_output_of_a_list: "{ format = \"csv\", each = \"row.value\", fields.sure = \"sure\" }",
    rows_for_each_of_a_list_misspelt: "{ format = \"csv\", each = \"rwo\", fields.sure = \"sure\" }",
    rows_of_an_answer: "{ format = \"json\", each = \"row\", fields.sure = \"sure\" }",
    columns_within_columns: "{ format = \"csv\", fields.rows = { each = \"row\", fields.sure = \"sure\" } }",
    each_beside_from: "{ format = \"json\", fields.sure = { each = \"row\", from = \"sure\" } }",
    array_of_each: "{ format = \"npy\", from = \"light\" }",
    picture_of_each: "{ format = \"png\", from = \"row\", as = \"gray\" }",
    size_of_a_step: "{ format = \"json\", fields.size = { from = \"mask\", as = \"size\" } }",
    size_of_no_decode: "{ format = \"json\", fields.size = { from = \"phoot\", as = \"size\" } }",
    size_with_labels: "{ format = \"json\", fields.size = { from = \"photo\", as = \"size\", labels = \"labels.txt\", round = 1 } }",
    source_of_a_model: "{ format = \"json\", fields.by = { from = \"surface\", as = \"source\" } }",
    scores_without_labels: "{ format = \"csv\", fields.surface = { from = \"surface\", as = \"scores\" } }",
    scores_of_other_labels: "{ format = \"csv\", fields.surface = { from = \"mask\", as = \"scores\", labels = \"labels.txt\" } }",
}

#[test]
fn lists_and_what_may_be_absent_have_a_place_in_every_table() {
    let fields = "sure = { from = \"sure\", as = \"scalar\" }, photo = { from = \"surface\", as = \"label\", labels = \"labels.txt\" }";
    for encode in [
        format!("{{ format = \"csv\", each = \"row\", fields = {{ {fields} }} }}"),
        "{ format = \"csv\", each = \"line\", fields = { light = \"light\", sure = \"sure\" } }".to_owned(),
        format!(
            "{{ format = \"jsonl\", each = \"row\", fields = {{ {fields}, lines = {{ each = \"line\", fields.light = \"light\" }} }} }}"
        ),
        format!("{{ format = \"parquet\", fields = {{ {fields}, light = \"light\", score = \"score\" }} }}"),
        "{ format = \"parquet\", each = \"score\", fields = { score = \"score\" } }".to_owned(),
    ] {
        let plan = plan(&with(&encode));
        assert!(plan.pipelines[0].offline.encodes.iter().all(|encode| encode.encode.rows().is_some()));
    }
}

#[test]
fn whatever_changes_the_rows_is_another_entry() {
    let digest = |encode: &str| plan(&with(encode)).pipelines[0].offline.digest();
    let all = [
        "{ format = \"jsonl\", fields = { light = \"light\" } }",
        "{ format = \"jsonl\", each = \"row\", fields = { light = \"light\" } }",
        "{ format = \"jsonl\", each = \"line\", fields = { light = \"light\" } }",
        "{ format = \"jsonl\", each = \"row\", fields = { lines = { each = \"line\", fields.light = \"light\" } } }",
        "{ format = \"jsonl\", each = \"row\", fields = { lines = { fields.light = \"light\" } } }",
        "{ format = \"jsonl\", fields = { lines = { fields.light = \"light\" } } }",
        "{ format = \"parquet\", fields = { light = \"light\" } }",
        "{ format = \"parquet\", each = \"row\", fields = { light = \"light\" } }",
        "{ format = \"parquet\", each = \"line\", fields = { light = \"light\" } }",
        "{ format = \"parquet\", each = \"line\", fields = { light = \"light\", size = { from = \"photo\", as = \"size\" } } }",
    ];
    let digests: std::collections::BTreeSet<String> = all.iter().map(|encode| digest(encode)).collect();
    assert_eq!(digests.len(), all.len());
}
