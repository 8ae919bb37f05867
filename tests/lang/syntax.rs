//! Text that is not TOML: said clearly, without nonsense in its wake, and the rest still read.

use super::{ROAD, compile_on, errors, on_cpu, road};
use insta::assert_snapshot;
use rserve::diagnostic::render;

macro_rules! syntax {
    ($($name:ident: $text:expr;)*) => { $(
        #[test]
        fn $name() {
            assert_snapshot!(errors(AsRef::<str>::as_ref(&$text)));
        }
    )* };
}

syntax! {
    empty_file: "";
    no_value: road(&[("gpu = 0.7", "gpu =")]);
    no_equals_sign: road(&[("gpu = 0.7", "gpu 0.7")]);
    unquoted_string: road(&[("path = \"store\"", "path = store")]);
    string_not_closed: road(&[("path = \"store\"", "path = \"store")]);
    header_not_closed: road(&[("[models.surface]", "[models.surface")]);
    table_not_closed: road(&[("inputs = { image = \"photo\" } }", "inputs = { image = \"photo\" }")]);
    array_not_closed: road(&[("mean = [0.485, 0.456, 0.406]", "mean = [0.485, 0.456, 0.406"), ("\"/road\"", "\"road\"")]);
    two_tables_not_closed: road(&[("inputs = { image = \"photo\" } }", "inputs = { image = \"photo\""), ("as = \"overlay\", on = \"photo\" }", "as = \"overlay\", on = \"photo\"")]);
    last_table_not_closed: ROAD.trim_end().trim_end_matches('}');
    key_given_twice: road(&[("gpu = 0.7", "gpu = 0.7\ngpu = 0.6")]);
    step_given_twice: road(&[("surface = { model", "mask = { model")]);
    string_in_a_table_not_closed: road(&[("format = \"image\"", "format = \"image")]);
    string_in_an_inner_table_not_closed: road(&[("inputs = { image = \"photo\" } }", "inputs = { image = \"photo } }"), ("\"/road\"", "\"road\"")]);
    string_in_an_array_of_lines_not_closed: road(&[("[store]", "[device]\nuse = [\n  \"cuda:0,\n  \"cuda:9\"\n]\n\n[store]")]);
    literal_not_closed: road(&[("\"/road\"", "'/road")]);
    curly_quotes: road(&[("format = \"image\"", "format = “image”"), ("path = \"store\"", "path = «store»")]);
    unquoted_path: road(&[("path = \"store\"", "path = ../examples/models")]);
    unquoted_address: road(&[("[store]", "[server]\nlisten = 127.0.0.1:8080\ndrain = 1.2.3\n\n[store]")]);
    step_given_twice_under_a_header: road(&[("[pipelines.road.online]", "[pipelines.road.steps.mask]\nmodel = \"road-mask\"\n\n[pipelines.road.online]")]);
    decode_given_twice_under_a_header: road(&[("[pipelines.road.steps]", "[pipelines.road.decode.photo]\nformat = \"image\"\n\n[pipelines.road.steps]")]);
    table_in_braces_added_to: road(&[("[pipelines.road.online]", "[pipelines.road.steps.mask.inputs]\nimage = \"photo\"\n\n[pipelines.road.online]")]);
    key_of_the_same_name_elsewhere_given_twice: road(&[("gpu = 0.3", "gpu = 0.3\nqueue = 4\nqueue = 5"), ("gpu = 0.7", "gpu = 0.7\nqueue = 3")]);
    no_comma: road(&[("size = [64, 64]", "size = [64 64]")]);
    table_given_twice: road(&[("[pipelines.road]\n", "[models.surface]\nqueue = 1\n\n[pipelines.road]\n")]);
    table_given_twice_after_others_of_its_name: format!("{ROAD}\n[models.surface]\nqueue = 1\n");
    dotted_key_into_a_value: road(&[("gpu = 0.7", "gpu = 0.7\ngpu.share = 0.6")]);
    number_out_of_range: road(&[("gpu = 0.7", "gpu = 0.7\nqueue = 99999999999999999999")]);
    other_errors_are_still_found: road(&[("gpu = 0.7", "gpu =\nqueue = 0"), ("\"/road\"", "\"road\"")]);
    json: "{\n  \"models\": {}\n}";
    yaml: "# pipelines\nmodels:\n  road-mask:\n    gpu: 0.7\n";
    not_text_at_all: "\u{0}\u{1}\u{2}PK\u{3}\u{4}\n\u{7f}";
}

/// Whatever is cut off or typed in, there is a plan or an error, and never a panic.
#[test]
fn no_text_makes_it_panic() {
    let try_one = |text: &str| {
        let (_, report) = compile_on(&on_cpu(), &[("road.toml", text)]);
        render(&report, true);
    };
    for at in (0..ROAD.len()).step_by(3) {
        try_one(&ROAD[..at]);
        try_one(&ROAD[at..]);
    }
    let typed = ["{", "}", "[", "]", "\"", "'", "=", ".", "\n", "#", "\"\"\"", "\u{e9}", "0", "-"];
    for (number, at) in (0..ROAD.len()).step_by(5).enumerate() {
        let more = typed[number % typed.len()];
        try_one(&[&ROAD[..at], more, &ROAD[at..]].concat());
        try_one(&[&ROAD[..at], more, &ROAD[at + 1..]].concat());
    }
    for line in ROAD.lines() {
        try_one(&ROAD.replacen(line, "", 1));
        try_one(&ROAD.replacen(line, &[line, "\n", line].concat(), 1));
    }
}
