//! One test a rule: a good file broken in one place, and the whole of what is said about it.

use super::{compile_on, errors, on_cpu, road, with_gpus};
use crate::fakes::id;
use insta::assert_snapshot;
use rserve::diagnostic::render;

/// `name: [edits of ROAD]`
macro_rules! broken {
    ($($name:ident: [$(($from:expr, $to:expr)),+ $(,)?])*) => { $(
        #[test]
        fn $name() {
            assert_snapshot!(errors(&road(&[$(($from, $to)),+])));
        }
    )* };
}

// Keys and values.
broken! {
    unknown_section: [("[models.surface]", "[model.surface]")]
    unknown_section_far_from_any: [("[store]", "[zookeeper]\na = 1\n[store]")]
    unknown_section_beside_the_right_one: [("[pipelines.road]", "[pipeline.road]")]
    unknown_part_of_a_pipeline: [("[pipelines.road.steps]", "[pipelines.road.step]"), ("[pipelines.road.online]", "[pipelines.road.onlin]")]
    array_of_tables: [("[models.surface]", "[[models.surface]]")]
    share_in_percent: [("gpu = 0.7", "gpu = 1.7")]
    unknown_key_of_a_model: [("gpu = 0.7", "gpu = 0.7\nverison = 1")]
    unknown_key_of_a_step: [("model = \"road-mask\"", "modle = \"road-mask\"")]
    unknown_key_of_a_decode: [("size = [64, 64]", "sizes = [64, 64]")]
    wrong_type: [("gpu = 0.7", "gpu = \"0.7\"")]
    share_with_a_percent_sign: [("gpu = 0.7", "gpu = \"70%\"")]
    units_in_words: [("gpu = 0.7", "gpu = 0.7\nbatch = { wait = \"2 millis\" }"), ("[store]", "[server]\nmax_body = \"16M\"\ntimeout = \"30 sec\"\n\n[store]")]
    size_with_an_x: [("size = [64, 64]", "size = \"64x64\"")]
    share_above_one: [("gpu = 0.7", "gpu = 70")]
    share_of_zero: [("gpu = 0.7", "gpu = 0")]
    share_not_a_number: [("gpu = 0.7", "gpu = nan")]
    share_negative: [("gpu = 0.7", "gpu = -0.5")]
    batch_of_zero: [("gpu = 0.7", "gpu = 0.7\nbatch = { max = 0, wait = 2 }")]
    queue_of_zero: [("gpu = 0.7", "gpu = 0.7\nqueue = 0")]
    version_in_quotes: [("version = 2", "version = \"2\"")]
    version_list_empty: [("version = 2", "version = []")]
    version_list_repeats: [("version = 2", "version = [2, 1, 2]")]
    version_negative: [("version = 2", "version = -2")]
    version_misspelt: [("version = 2", "version = \"lastest\"")]
    duration_without_a_unit: [("[pipelines.road]", "[pipelines.road]\ntimeout = 2")]
    duration_of_zero: [("[pipelines.road]", "[pipelines.road]\ntimeout = \"0s\"")]
    duration_with_an_odd_unit: [("[pipelines.road]", "[pipelines.road]\ntimeout = \"2 weeks\"")]
    server_values: [("[store]", "[server]\nlisten = \":8080\"\nadmin = false\nmax_body = \"16M\"\ntimeout = \"30\"\n[store]")]
    server_memory: [("[store]", "[server]\nmemory = \"8G\"\n[store]")]
    server_admin_that_others_reach: [("[store]", "[server]\nadmin = \"0.0.0.0:8081\"\n[store]")]
    server_health_on_the_routes: [("[store]", "[server]\nhealth = \"127.0.0.1:8080\"\n[store]")]
    server_clients: [("[store]", "[server]\nper_client = 100\nproxies = [\"10.0.0.0/8\", \"lb.example\"]\nadmin_hosts = [\"rserve.internal:8081\"]\n[store]")]
    server_client_bounds: [("[store]", "[server]\nper_client = { conections = 0, connections = 0, memory = \"64M\" }\n[store]")]
    server_same_address: [("[store]", "[server]\nlisten = \"127.0.0.1:9000\"\nadmin = \"127.0.0.1:9000\"\n[store]")]
    device_unknown: [("[store]", "[device]\nuse = \"gpu\"\n[store]")]
    device_listed_twice: [("[store]", "[device]\nuse = [\"cuda:0\", \"cuda:0\"]\n[store]")]
    route_without_a_slash: [("\"/road\"", "\"road\"")]
    route_that_is_reserved: [("\"/road\"", "\"/healthz/live\"")]
    route_with_odd_characters: [("\"/road\"", "\"/road/{id}\"")]
    route_with_a_slash_at_its_end: [("\"/road\"", "\"/road/\"")]
    name_in_capitals: [("[models.surface]", "[models.Surface]"), ("\"surface\", inputs", "\"Surface\", inputs")]
    format_missing: [("format = \"png\", ", "")]
    format_misspelt: [("format = \"png\"", "fromat = \"png\"")]
    format_unknown: [("format = \"png\"", "format = \"jpeg\"")]
    format_of_the_other_side: [("format = \"csv\"", "format = \"image\"")]
    step_is_not_a_table: [("mask = { model = \"road-mask\", inputs = { image = \"photo\" } }", "mask = \"road-mask\"")]
    step_without_a_model: [("{ model = \"road-mask\", ", "{ ")]
    source_is_not_a_name: [("mask = \"mask\" }", "mask = 1 }")]
}

// Names.
broken! {
    model_not_declared: [("model = \"surface\"", "model = \"surfaces\"")]
    model_not_declared_and_far_from_any: [("model = \"surface\"", "model = \"resnet\"")]
    model_not_in_the_store: [("[models.surface]", "[models.surfaces]"), ("model = \"surface\"", "model = \"surfaces\"")]
    model_without_versions: [("[models.surface]", "[models.empty]"), ("model = \"surface\"", "model = \"empty\"")]
    version_not_in_the_store: [("version = 2", "version = 7")]
    version_that_cannot_be_served: [
        ("[models.road-mask]\n", "[models.half-broken]\nversion = 2\n"), ("\"road-mask\"", "\"half-broken\"")
    ]
    no_version_that_can_be_served: [("[models.road-mask]", "[models.broken]"), ("\"road-mask\"", "\"broken\"")]
    versions_that_differ: [
        ("[models.road-mask]\n", "[models.changed]\nversion = [1, 2]\n"), ("\"road-mask\"", "\"changed\"")
    ]
    store_not_there: [("path = \"store\"", "path = \"shop\"")]
    source_that_does_not_exist: [("image = \"photo\", mask", "image = \"foto\", mask")]
    source_far_from_any: [("image = \"photo\", mask", "image = \"x\", mask")]
    output_that_does_not_exist: [("\"surface.probabilities\"", "\"surface.probability\"")]
    output_of_a_decode: [("image = \"photo\", mask", "image = \"photo.pixels\", mask")]
    encode_of_a_source_that_does_not_exist: [("from = \"surface\"", "from = \"surfaec\"")]
    input_that_does_not_exist: [("image = \"photo\", mask", "img = \"photo\", mask")]
    input_left_unfed: [("image = \"photo\", mask = \"mask\"", "image = \"photo\"")]
    same_name_for_a_decode_and_a_step: [
        ("mask = { model", "photo = { model"), ("mask = \"mask\"", "mask = \"photo\""), ("from = \"mask\"", "from = \"photo\"")
    ]
    on_is_not_an_image: [("on = \"photo\"", "on = \"mask\"")]
    on_is_misspelt: [("on = \"photo\"", "on = \"phot\"")]
}

// The graph.
broken! {
    cycle_of_one: [("image = \"photo\" }", "image = \"mask\" }")]
    cycle_of_two: [("image = \"photo\" }", "image = \"surface\" }")]
    step_unused: [("[pipelines.road.online]", "spare = { model = \"surface\", inputs = { image = \"photo\", mask = \"mask\" } }\n\n[pipelines.road.online]")]
    step_that_feeds_an_unused_one: [(
        "[pipelines.road.online]",
        "one = { model = \"road-mask\", inputs = { image = \"photo\" } }\n\
         two = { model = \"surface\", inputs = { image = \"photo\", mask = \"one\" } }\n\n[pipelines.road.online]"
    )]
    decode_unused: [("[pipelines.road.steps]", "decode.spare = { format = \"npy\", dtype = \"float32\", shape = [3] }\n\n[pipelines.road.steps]")]
    decode_never_reached: [
        ("[pipelines.road.online]\n", "[pipelines.road.online]\ndecode.photo = { format = \"image\", size = [64, 64] }\n"),
        ("[pipelines.road.offline]\n", "[pipelines.road.offline]\ndecode.photo = { format = \"image\", size = [64, 64] }\n")
    ]
    encode_never_reached: [("[pipelines.road.steps]", "encode.extra = { format = \"npy\", from = \"mask\" }\n\n[pipelines.road.steps]")]
    model_unused: [("[pipelines.road]\n", "[models.resnet]\n\n[pipelines.road]\n")]
    decode_of_the_other_entry_point: [
        ("decode.photo = { format", "timeout = \"1s\"\n\n[pipelines.road.online.decode]\nphoto = { format")
    ]
    no_decode: [("decode.photo =", "decode = {}\n#")]
    no_step: [("mask = { model", "# "), ("surface = { model", "# ")]
    no_encode_offline: [("encode.rows", "#")]
}

// Types.
broken! {
    picture_of_another_size: [("size = [64, 64]", "size = [96, 32]")]
    picture_of_any_size: [("size = [64, 64], ", "")]
    picture_of_another_layout: [("size = [64, 64]", "size = [64, 64], layout = \"nhwc\"")]
    picture_of_another_dtype_layout_and_size: [
        ("size = [64, 64], mean = [0.485, 0.456, 0.406], std = [0.229, 0.224, 0.225]", "size = [32, 32]"),
        ("[models.road-mask]", "[models.bytes]"), ("\"road-mask\"", "\"bytes\"")
    ]
    picture_in_colour: [
        ("[models.road-mask]", "[models.gray]"), ("\"road-mask\"", "\"gray\"")
    ]
    step_of_another_shape: [("mask = \"mask\" }", "mask = \"photo\" }"), ("from = \"mask\", as = \"overlay\"", "from = \"mask\", as = \"overlay\"")]
    step_into_a_step: [
        ("[models.surface]\ngpu = 0.3\nversion = 2", "[models.landing-spot]"),
        ("surface = { model = \"surface\", inputs = { image = \"photo\", mask = \"mask\" } }", "surface = { model = \"landing-spot\", inputs = { safety = \"mask\" } }"),
        ("from = \"surface\"", "from = \"surface.centre\""),
        ("from = \"surface.probabilities\", as = \"label\", labels = \"labels.txt\"", "from = \"surface.centre\"")
    ]
    several_outputs: [
        ("[models.surface]\ngpu = 0.3\nversion = 2", "[models.landing-spot]\n[models.landing-safety]"),
        ("size = [64, 64]", "size = [96, 96]"),
        ("[models.road-mask]\ngpu = 0.7\n", ""),
        ("model = \"road-mask\"", "model = \"landing-safety\""),
        ("surface = { model = \"surface\", inputs = { image = \"photo\", mask = \"mask\" } }", "surface = { model = \"landing-spot\", inputs = { safety = \"mask\" } }"),
        (", as = \"top\", top = 3, labels = \"labels.txt\"", ""),
        ("from = \"surface.probabilities\", as = \"label\", labels = \"labels.txt\"", "from = \"surface.centre\"")
    ]
    not_a_tensor: [
        ("[models.road-mask]", "[models.words]"), ("model = \"road-mask\", inputs = { image", "model = \"words\", inputs = { text")
    ]
    encode_that_cannot_take_it: [("from = \"mask\", as = \"overlay\"", "from = \"surface\", as = \"overlay\"")]
    labels_not_there: [("labels = \"labels.txt\"", "labels = \"label.txt\"")]
    labels_of_a_model_without: [("from = \"surface\", as = \"top\"", "from = \"mask\", as = \"top\"")]
    labels_of_a_decode: [("from = \"surface\", as = \"top\"", "from = \"photo\", as = \"top\"")]
    labels_that_do_not_count: [
        ("[models.surface]\ngpu = 0.3\nversion = 2", "[models.mislabelled]\ngpu = 0.3"), ("model = \"surface\"", "model = \"mislabelled\"")
    ]
    labels_that_differ_between_versions: [
        ("[models.surface]\ngpu = 0.3\nversion = 2", "[models.relabelled]\ngpu = 0.3\nversion = [1, 2]"), ("model = \"surface\"", "model = \"relabelled\"")
    ]
}

// One error does not hide another.
broken! {
    decode_with_an_error_in_an_option_and_of_another_size: [("size = [64, 64]", "fit = \"strech\", size = [96, 96]")]
    decode_whose_type_is_in_doubt: [("size = [64, 64]", "layuot = \"nhwc\", size = [64, 64]")]
    encode_with_an_error_in_an_option_and_of_a_source_that_does_not_exist: [
        ("from = \"mask\", as = \"overlay\"", "from = \"maks\", as = \"overlays\"")
    ]
    fields_with_errors_each: [(
        "fields.surface = { from = \"surface\", as = \"top\", top = 3, labels = \"labels.txt\" }",
        "fields.surface = { from = \"surfaec\", as = \"tops\" }, \
         fields.second = { from = \"surface\", as = \"top\", top = 9, labels = \"label.txt\" }, \
         fields.third = { from = \"surface\", as = \"top\", top = 9 }"
    )]
}

// One word for one mistake.
broken! {
    declaration_misspelt: [("[models.surface]", "[models.surfaces]")]
    steps_as_an_array: [("[pipelines.road.steps]\n", "[[pipelines.road.steps]]\n")]
    inputs_misspelt: [("inputs = { image = \"photo\" }", "input = { image = \"photo\" }")]
    inputs_as_an_array: [("inputs = { image = \"photo\", mask = \"mask\" }", "inputs = [\"photo\", \"mask\"]")]
    inputs_swapped: [("image = \"photo\", mask = \"mask\"", "image = \"mask\", mask = \"photo\"")]
    from_without_a_field: [(
        "fields.surface = { from = \"surface\", as = \"top\", top = 3, labels = \"labels.txt\" }",
        "from = \"surface\", as = \"top\""
    )]
    cycle_that_nothing_reads: [(
        "[pipelines.road.online]",
        "one = { model = \"road-mask\", inputs = { image = \"two\" } }\n\
         two = { model = \"road-mask\", inputs = { image = \"one\" } }\n\n[pipelines.road.online]"
    )]
    no_encode_at_all: [("encode.reply", "#"), ("encode.overlay", "#"), ("encode.rows", "#")]
    name_of_a_step_and_of_a_model: [
        ("[models.road-mask]", "[models.\"Road Mask\"]"), ("\"road-mask\"", "\"Road Mask\""), ("mask = { model", "\"Mask!\" = { model")
    ]
    choice_in_capitals: [("size = [64, 64]", "layout = \"NHWC\", size = [64, 64]")]
}

// Devices, replicas, batches, priorities.
broken! {
    replicas_that_do_not_fit: [("gpu = 0.3", "gpu = 0.3\nreplicas = 2")]
    replicas_of_none: [("gpu = 0.3", "gpu = 0.3\nreplicas = 0")]
    batch_sizes_that_are_none: [("gpu = 0.3", "gpu = 0.3\nbatch = { sizes = [1, 0] }")]
    batch_sizes_twice: [("gpu = 0.3", "gpu = 0.3\nbatch = { sizes = [4, 1, 4] }")]
    batch_sizes_beside_another_max: [("gpu = 0.3", "gpu = 0.3\nbatch = { max = 8, sizes = [1, 4] }")]
    priority_unknown: [("[pipelines.road]\n", "[pipelines.road]\npriority = \"hihg\"\n")]
    shares_over_the_one_device: [("gpu = 0.3", "gpu = 0.4")]
    cuda_where_there_is_none: [("[store]", "[device]\nuse = \"cuda\"\n[store]")]
}

#[test]
fn shares_over_several_devices() {
    let text = road(&[
        ("gpu = 0.7", "gpu = 0.8"),
        ("gpu = 0.3", "gpu = 0.7"),
        ("[pipelines.road]\n", "[models.resnet]\ngpu = 0.6\n[models.bytes]\ngpu = 0.2\n\n[pipelines.road]\n"),
        (
            "[pipelines.road.online]",
            "more = { model = \"resnet\", inputs = { data = \"large\" } }\n\
             last = { model = \"bytes\", inputs = { image = \"small\" } }\n\n[pipelines.road.online]",
        ),
        (
            "decode.photo",
            "decode.large = { format = \"image\", size = 224 }\n\
             decode.small = { format = \"image\", size = 64, layout = \"nhwc\", dtype = \"uint8\" }\ndecode.photo",
        ),
        (
            "fields.surface = { from = \"surface\"",
            "fields.more = \"more\", fields.last = \"last\", fields.surface = { from = \"surface\"",
        ),
    ]);
    let (plan, report) = compile_on(&with_gpus(2), &[("road.toml", &text)]);
    assert!(plan.is_none());
    assert_snapshot!(render(&report, false));
}

#[test]
fn cuda_device_that_is_not_there() {
    let text = road(&[("[store]", "[device]\nuse = [\"cuda:0\", \"cuda:3\"]\n[store]")]);
    let (_, report) = compile_on(&with_gpus(2), &[("road.toml", &text)]);
    assert_snapshot!(render(&report, false));
}

#[test]
fn a_model_too_large_for_its_share_of_the_memory() {
    let mut capacity = on_cpu();
    capacity.devices[0].memory = Some(2 << 20);
    let text = road(&[("gpu = 0.7", "gpu = 0.25\nbatch = { max = 64 }")]);
    let (plan, report) = compile_on(&capacity, &[("road.toml", &text)]);
    assert!(plan.is_none());
    assert_snapshot!(render(&report, false));
}

#[test]
fn a_batch_that_has_no_effect_is_a_warning() {
    let text = road(&[
        ("[models.road-mask]", "[models.single]\nbatch = { max = 8 }"),
        ("model = \"road-mask\"", "model = \"single\""),
    ]);
    let (plan, report) = compile_on(&on_cpu(), &[("road.toml", &text)]);
    assert!(plan.is_some());
    assert_snapshot!(render(&report, false));
}

#[test]
fn a_newest_version_that_cannot_be_served_is_a_warning() {
    let text = road(&[
        ("[models.road-mask]", "[models.half-broken]"),
        ("model = \"road-mask\"", "model = \"half-broken\""),
    ]);
    let (plan, report) = compile_on(&on_cpu(), &[("road.toml", &text)]);
    assert_eq!(plan.unwrap().models[id(0)].versions, [1]);
    assert_snapshot!(render(&report, false));
}

/// Everything at once, each at its place, in the order of the file.
#[test]
fn ten_errors_in_one_file() {
    assert_snapshot!(errors(&road(&[
        ("[store]", "[sever]\nlisten = \"127.0.0.1:1\"\n\n[store]"),
        ("gpu = 0.7", "gpu = 1.7\nque = 3"),
        ("version = 2", "version = 9"),
        ("[pipelines.road]\n", "[pipelines.road]\ntimeout = 2\n"),
        ("size = [64, 64]", "size = [64, 64], fit = \"strech\""),
        ("inputs = { image = \"photo\" }", "inputs = { img = \"photo\" }"),
        ("image = \"photo\", mask = \"mask\"", "image = \"photo\", mask = \"maks\""),
        ("\"/road\"", "\"road\""),
        ("format = \"png\"", "format = \"pgn\""),
        (
            "fields.surface = { from = \"surface.probabilities\"",
            "felds.surface = { from = \"surface.probabilities\""
        ),
    ])));
}

// Versions side by side.
broken! {
    traffic_that_adds_up_to_more: [("version = 2", "traffic = { 1 = 50, 2 = 60 }")]
    traffic_as_parts_of_one: [("version = 2", "traffic = { 1 = 0.9, 2 = 0.1 }")]
    traffic_of_nothing: [("version = 2", "traffic = { 1 = 0, 2 = 0 }")]
    shadow_of_itself: [("version = 2", "version = 2\nshadow = 2")]
    shadow_that_answers: [("version = 2", "version = [1, 2]\nshadow = 2")]
    shadow_that_has_traffic: [("version = 2", "traffic = { 1 = 50, 2 = 50 }\nshadow = 1")]
}

// Brackets and names.
broken! {
    array_of_tables_of_a_pipeline: [("[pipelines.road]\n", "[[pipelines.road]]\n")]
    array_of_all_pipelines: [("[pipelines.road]\n", "[[pipelines]]\nname = \"road\"\n"), ("[pipelines.road.steps]", "[pipelines.steps]"), ("[pipelines.road.online]", "[pipelines.online]"), ("[pipelines.road.offline]", "[pipelines.offline]")]
    field_of_a_decode: [("{ image = \"photo\" }", "{ image = \"photo.age\" }")]
    name_that_is_known_twice: [("inputs = { image = \"photo\" }", "inputs = { image = \"elsewhere\" }"), ("mask = { model", "photo = { model"), ("mask = \"mask\"", "mask = \"photo\""), ("from = \"mask\"", "from = \"photo\"")]
}

#[test]
fn more_memory_than_the_machine_has_is_a_warning() {
    let mut capacity = on_cpu();
    capacity.devices[0].memory = Some(4 << 30);
    let of = |memory: &str| {
        let text = road(&[("[store]", &format!("[server]\nmemory = \"{memory}\"\n[store]"))]);
        let (plan, report) = compile_on(&capacity, &[("road.toml", &text)]);
        assert!(plan.is_some());
        render(&report, false)
    };
    assert_eq!(of("4GiB"), "");
    assert_snapshot!(of("8GiB"));
}
