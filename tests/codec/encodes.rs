//! Answers: what is written, and what is refused before anything runs.

use super::{bind, decoded, f32s, fixture, input, labelled, text};
use rserve::plan::{EncodeError, Input, Origin, Region, RowContext};
use rserve::tensor::Tensor;
use std::io::{Seek, Write};

const LABELS: [&str; 3] = ["asphalt", "gravel", "a \"b\", c"];

fn scores() -> Input {
    labelled(f32s(&[3], &[0.1, 0.725, 0.175]), &LABELS)
}

/// The answer of one field of the scores above.
fn field(options: &str) -> String {
    let encode = bind(&format!(r#"format = "json", fields.f = {options}"#), &[("float32[3]", 3)]).unwrap();
    assert_eq!((encode.media_type(), encode.extension()), ("application/json", "json"));
    text(encode.encode(&[scores()], None).unwrap())
}

#[test]
fn json_says_what_a_field_asks_for() {
    assert_eq!(field(r#""s.p""#), r#"{"f":[0.1,0.725,0.175]}"#);
    assert_eq!(field(r#"{ from = "s.p", round = 1 }"#), r#"{"f":[0.1,0.7,0.2]}"#);
    assert_eq!(field(r#"{ from = "s.p", as = "label", labels = "l.txt" }"#), r#"{"f":"gravel"}"#);
    assert_eq!(field(r#"{ from = "s.p", as = "argmax" }"#), r#"{"f":1}"#);
    assert_eq!(field(r#"{ from = "s.p", as = "mean", round = 4 }"#), r#"{"f":0.3333}"#);
    assert_eq!(
        field(r#"{ from = "s.p", as = "top", top = 2, labels = "l.txt" }"#),
        r#"{"f":[{"label":"gravel","index":1,"score":0.725},{"label":"a \"b\", c","index":2,"score":0.175}]}"#
    );
    assert_eq!(
        field(r#"{ from = "s.p", as = "top", round = 2, softmax = true }"#),
        r#"{"f":[{"index":1,"score":0.47},{"index":2,"score":0.27},{"index":0,"score":0.25}]}"#
    );
}

#[test]
fn fields_keep_the_order_of_the_file() {
    let encode = bind(
        r#"format = "json", fields.z = "a", fields.a = { from = "b", as = "scalar" }"#,
        &[("int64[2, 1]", 0), ("float32[1]", 0)],
    )
    .unwrap();
    let z = Tensor::from_vec(vec![2, 1], vec![i64::MAX, -1]).unwrap();
    let answer = encode.encode(&[input(z), input(f32s(&[1], &[2.0]))], None).unwrap();
    assert_eq!(text(answer), r#"{"z":[[9223372036854775807],[-1]],"a":2.0}"#);
}

#[test]
fn what_is_no_number_is_null() {
    let encode = bind(
        r#"format = "json", fields.v = "a", fields.t = { from = "a", as = "top" }"#,
        &[("float32[3]", 0), ("float32[3]", 0)],
    )
    .unwrap();
    let broken = || input(f32s(&[3], &[f32::NAN, f32::INFINITY, 1.0]));
    let answer = text(encode.encode(&[broken(), broken()], None).unwrap());
    assert_eq!(answer, r#"{"v":[null,null,1.0],"t":[{"index":1,"score":null},{"index":2,"score":1.0}]}"#);
    serde_json::from_str::<serde_json::Value>(&answer).unwrap();
}

#[test]
fn a_score_that_is_no_number_is_of_no_class() {
    let nan = || f32s(&[3], &[f32::NAN; 3]);
    let one = |options: &str, format: &str, tensor: Tensor| {
        let options = format!(r#"format = "{format}", fields.f = {{ from = "a", {options} }}"#);
        let encode = bind(&options, &[("float32[3]", 3)]).unwrap();
        text(encode.encode(&[labelled(tensor, &LABELS)], None).unwrap())
    };
    let label = r#"as = "label", labels = "l.txt""#;
    assert_eq!(one(label, "json", nan()), r#"{"f":null}"#);
    assert_eq!(one(label, "csv", nan()), "f\n\"\"\n");
    assert_eq!(one(label, "json", f32s(&[3], &[f32::NAN, -1.0, -2.0])), r#"{"f":"gravel"}"#);
    assert_eq!(one(label, "json", f32s(&[3], &[f32::NEG_INFINITY; 3])), r#"{"f":"asphalt"}"#);
    assert_eq!(one(r#"as = "top""#, "json", nan()), r#"{"f":[]}"#);
    assert_eq!(one(r#"as = "top", top = 1"#, "csv", nan()), "f_1,f_1_score\n,\n");
    assert_eq!(one(r#"as = "argmax""#, "json", nan()), r#"{"f":null}"#);
    assert_eq!(one(r#"as = "argmax""#, "csv", nan()), "f\n\"\"\n");

    let map = || f32s(&[2, 2], &[f32::NAN, 1.0, f32::NAN, f32::NEG_INFINITY]);
    let of_map = |options: &str| {
        let options = format!(r#"format = "json", fields.f = {{ from = "a", {options} }}"#);
        let encode = bind(&options, &[("float32[2, 2]", 0)]).unwrap();
        text(encode.encode(&[input(map())], None).unwrap())
    };
    assert_eq!(of_map(r#"as = "argmax""#), r#"{"f":[null,0]}"#);
    assert_eq!(of_map(r#"as = "shares""#), r#"{"f":{"0":0.5,"1":0.0}}"#);
}

/// As a detector gives them: how many there are, an item says.
#[test]
fn answers_of_no_rows_one_and_two_differ_in_length_alone() {
    let rows = |n: usize| f32s(&[n, 4], &(0..4 * n).map(|v| v as f32).collect::<Vec<_>>());
    let scores = |n: usize| f32s(&[n], &vec![0.5; n]);
    let types = [("float32[?, 4]", 0), ("float32[?]", 0)];
    let fields = r#"fields.boxes = "d.boxes", fields.scores = "d.scores""#;
    for (format, wanted) in [
        (
            "json",
            [
                r#"{"boxes":[],"scores":[]}"#,
                r#"{"boxes":[[0.0,1.0,2.0,3.0]],"scores":[0.5]}"#,
                r#"{"boxes":[[0.0,1.0,2.0,3.0],[4.0,5.0,6.0,7.0]],"scores":[0.5,0.5]}"#,
            ],
        ),
        (
            "jsonl",
            [
                "{\"boxes\":[],\"scores\":[]}\n",
                "{\"boxes\":[[0.0,1.0,2.0,3.0]],\"scores\":[0.5]}\n",
                "{\"boxes\":[[0.0,1.0,2.0,3.0],[4.0,5.0,6.0,7.0]],\"scores\":[0.5,0.5]}\n",
            ],
        ),
    ] {
        let encode = bind(&format!(r#"format = "{format}", {fields}"#), &types).unwrap();
        for (n, wanted) in wanted.into_iter().enumerate() {
            assert_eq!(text(encode.encode(&[input(rows(n)), input(scores(n))], None).unwrap()), wanted);
        }
    }
    let encode = bind(r#"format = "npy", from = "d.boxes""#, &types[..1]).unwrap();
    for n in 0..3 {
        let file = encode.encode(&[input(rows(n))], None).unwrap();
        assert_eq!(decoded(r#"format = "npy""#, file).unwrap().tensor.shape(), [n, 4]);
    }
    // One table has all three, in columns of lists.
    let encode = bind(&format!(r#"format = "parquet", {fields}"#), &types).unwrap();
    let table = encode.rows().unwrap();
    let mut gathered = table.header().unwrap();
    for n in 0..3 {
        let context = RowContext { item: "a.jpg", models: "m@1" };
        gathered.extend(table.of_item(&context, &[input(rows(n)), input(scores(n))]).unwrap());
    }
    let (format, file) = (rserve::codec::tables::table("rows.parquet"), || tempfile::tempfile().unwrap());
    let (mut from, mut sealed) = (file(), file());
    from.write_all(&gathered).unwrap();
    from.rewind().unwrap();
    format.seal(from, sealed.try_clone().unwrap()).unwrap();
    sealed.rewind().unwrap();
    let mut back = vec![];
    format.unseal(sealed, &mut back).unwrap();
    assert_eq!(back, gathered);
    // In a table of text that many columns are not known beforehand.
    let refused = bind(r#"format = "csv", fields.boxes = "d.boxes""#, &types[..1]).unwrap_err();
    assert!(refused[0].contains("how many values that is, is not known"), "{refused:?}");
    assert!(refused[0].contains("\"parquet\""), "{refused:?}");
}

#[test]
fn maps_have_shares_and_classes() {
    let encode = bind(
        r#"format = "json", fields.shares = { from = "m", as = "shares", labels = "l.txt" },
           fields.map = { from = "m", as = "argmax" }, fields.stored = { from = "n", as = "shares", labels = "l.txt" }"#
            .replace('\n', " ")
            .as_str(),
        &[("float32[2, 2, 2]", 2), ("float32[2, 2, 2]", 0), ("int64[4]", 3)],
    )
    .unwrap();
    let map = f32s(&[2, 2, 2], &[1., 0., 0., 0., 0., 1., 1., 1.]);
    let stored = Tensor::from_vec(vec![4], vec![0i64, 0, 1, 1]).unwrap();
    let answer =
        encode.encode(&[labelled(map.clone(), &["a", "b"]), input(map), labelled(stored, &LABELS)], None);
    assert_eq!(
        text(answer.unwrap()),
        r#"{"shares":{"a":0.25,"b":0.75},"map":[[0,1],[1,1]],"stored":{"asphalt":0.5,"gravel":0.5,"a \"b\", c":0.0}}"#
    );
}

#[test]
fn what_does_not_fit_is_refused_before_it_runs() {
    let refused = |options: &str, source: (&'static str, usize)| {
        bind(&format!(r#"format = "json", fields.f = {options}"#), &[source]).unwrap_err()
    };
    assert_eq!(
        refused(r#"{ from = "s.p", as = "label", labels = "l.txt" }"#, ("float32[5]", 3)),
        [
            "`l.txt` has 3 labels, `s.p` has 5 classes @ \"l.txt\" (3 labels) | the file has one label a line, in the \
          order of the model's classes"
        ]
    );
    assert_eq!(
        refused(r#"{ from = "s.p", as = "top", top = 9 }"#, ("float32[5]", 0)),
        [
            "`top = 9` in `fields.f` of `encode.photo` is more than there are classes @ 9 (`s.p` has 5 classes) | at \
          most `top = 5`"
        ]
    );
    assert_eq!(
        refused(r#"{ from = "s.p", as = "top" }"#, ("float32[4, 64, 64]", 0)),
        [
            "`as = \"top\"` in `fields.f` of `encode.photo` takes scores of one axis, one for each class @ \"s.p\" \
          (`s.p` is float32[4, 64, 64]) | for a map of classes take `as = \"shares\"`, or encode it as png"
        ]
    );
    assert_eq!(refused(r#"{ from = "s.p", as = "scalar" }"#, ("float32[2]", 0)).len(), 1);
    assert_eq!(refused(r#"{ from = "s.p", as = "argmax", axis = 2 }"#, ("float32[2]", 0)).len(), 1);
    assert_eq!(refused(r#"{ from = "s.p", as = "shares" }"#, ("float32[1, 8, 8]", 0)).len(), 1);
    // What is not known beforehand is left to the run.
    let encode =
        bind(r#"format = "json", fields.f = { from = "s", as = "top" }"#, &[("float32[..]", 0)]).unwrap();
    let error = encode.encode(&[input(f32s(&[1, 2], &[1., 2.]))], None).unwrap_err();
    assert_eq!(
        error.to_string(),
        "field `f`: the model gave float32[1, 2], where scores of one axis are wanted"
    );
}

#[test]
fn tables_have_rows() {
    let fields = r#"fields.s = { from = "s.p", as = "top", top = 2, labels = "l.txt", round = 2 },
        fields.box = "b", fields.label = { from = "s.p", as = "label", labels = "l.txt" }"#
        .replace('\n', " ");
    let types = [("float32[3]", 3), ("float32[2]", 0), ("float32[3]", 3)];
    let inputs =
        [scores(), input(f32s(&[2], &[0.5, f32::NAN])), labelled(f32s(&[3], &[0., 1., 2.]), &LABELS)];
    let context = RowContext { item: "a, b/c.jpg", models: "m@2, n@1" };

    let csv = bind(&format!(r#"format = "csv", {fields}"#), &types).unwrap();
    assert_eq!(
        text(csv.encode(&inputs, None).unwrap()),
        "s_1,s_1_score,s_2,s_2_score,box_0,box_1,label\n\
         gravel,0.73,\"a \"\"b\"\", c\",0.17,0.5,,\"a \"\"b\"\", c\"\n"
    );
    let rows = csv.rows().unwrap();
    assert_eq!(text(rows.header().unwrap()), "item,s_1,s_1_score,s_2,s_2_score,box_0,box_1,label,models\n");
    let row = text(rows.of_item(&context, &inputs).unwrap());
    assert!(row.starts_with("\"a, b/c.jpg\",gravel,") && row.ends_with(",\"m@2, n@1\"\n"), "{row}");

    let jsonl = bind(&format!(r#"format = "jsonl", {fields}"#), &types).unwrap();
    assert_eq!(jsonl.rows().unwrap().header().unwrap(), b"");
    let line = text(jsonl.rows().unwrap().of_item(&context, &inputs).unwrap());
    assert!(line.starts_with("{\"item\":\"a, b/c.jpg\",\"s\":[{\"label\":\"gravel\""), "{line}");
    assert!(
        line.ends_with("\"box\":[0.5,null],\"label\":\"a \\\"b\\\", c\",\"models\":\"m@2, n@1\"}\n"),
        "{line}"
    );
    assert!(text(jsonl.encode(&inputs, None).unwrap()).ends_with("}\n"));
}

#[test]
fn tables_refuse_what_has_no_columns() {
    let refused = |fields: &str, types: &[(&str, usize)]| {
        bind(&format!(r#"format = "csv", {fields}"#), types).unwrap_err()
    };
    assert_eq!(
        refused(r#"fields.m = "mask""#, &[("float32[1, 64, 64]", 0)]),
        [
            "`fields.m` of `encode.photo` does not fit a table @ \"mask\" (4096 values, more than 1024 columns) | take a \
          summary such as `as = \"mean\"`, or write it with `format = \"parquet\"`, \"jsonl\" or \"npy\""
        ]
    );
    assert_eq!(refused(r#"fields.m = "mask""#, &[("float32[?]", 0)]).len(), 1);
    assert_eq!(
        refused(
            r#"fields.a = "x", fields.a_0 = { from = "y", as = "mean" }"#,
            &[("float32[2]", 0), ("float32[2]", 0)]
        ),
        [
            "two columns of `encode.photo` would be `a_0` @ a_0 (the second of them) | rename one of the fields"
        ]
    );
}

/// Width, height, channels and bytes of a PNG, as stored.
fn unpack(file: &[u8]) -> (u32, u32, png::ColorType, Vec<u8>, Option<Vec<u8>>) {
    let mut reader = png::Decoder::new(std::io::Cursor::new(file)).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let frame = reader.next_frame(&mut pixels).unwrap();
    let palette = reader.info().palette.as_ref().map(|p| p.to_vec());
    (frame.width, frame.height, frame.color_type, pixels, palette)
}

fn origin(fit: &str) -> Origin {
    let options = format!(r#"format = "image", size = [4, 4], fit = "{fit}""#);
    decoded(&options, fixture("pictures/rgb.png")).unwrap().origin.unwrap()
}

#[test]
fn masks_are_drawn_in_gray() {
    let draw = |options: &str, ty: &'static str, tensor: Tensor| {
        let options = format!(r#"format = "png", from = "m", as = "gray"{options}"#);
        let (w, h, kind, pixels, _) =
            unpack(&bind(&options, &[(ty, 0)]).unwrap().encode(&[input(tensor)], None).unwrap());
        assert_eq!((w, h, kind), (2, 1, png::ColorType::Grayscale));
        pixels
    };
    assert_eq!(draw("", "float32[1, 1, 2]", f32s(&[1, 1, 2], &[0.5, 7.0])), [128, 255]);
    assert_eq!(draw(", range = [-1, 1]", "float32[1, 2]", f32s(&[1, 2], &[0.0, f32::NAN])), [128, 0]);
    assert_eq!(draw(", threshold = 0.4", "float32[1, 2]", f32s(&[1, 2], &[0.3, 0.4])), [0, 255]);
    assert_eq!(draw("", "uint8[1, 2]", Tensor::from_vec(vec![1, 2], vec![9u8, 200]).unwrap()), [9, 200]);
}

#[test]
fn class_maps_are_indexed() {
    let encode = bind(
        r##"format = "png", from = "m", as = "classes", palette = ["#010203", [4, 5, 6], "none"]"##,
        &[("float32[3, 1, 2]", 0)],
    )
    .unwrap();
    let scores = f32s(&[3, 1, 2], &[0., 0., 1., 0., 0., 2.]);
    let (w, h, kind, pixels, palette) = unpack(&encode.encode(&[input(scores)], None).unwrap());
    assert_eq!((w, h, kind, pixels), (2, 1, png::ColorType::Indexed, vec![1, 2]));
    assert_eq!(palette.unwrap()[..6], [1, 2, 3, 4, 5, 6]);

    // A position without a number is of no class, as where the model did not see the picture.
    let scores = f32s(&[3, 1, 2], &[0., f32::NAN, 1., f32::NAN, 0., f32::NAN]);
    assert_eq!(unpack(&encode.encode(&[input(scores)], None).unwrap()).3, [1, 3]);

    // At the size of the picture, of which `cover` saw the middle 29 of 37 columns.
    let encode =
        bind(r#"format = "png", from = "m", as = "classes", on = "photo""#, &[("int64[1, 2]", 0)]).unwrap();
    let stored = Tensor::from_vec(vec![1, 2], vec![0i64, 1]).unwrap();
    let (w, h, _, pixels, _) = unpack(&encode.encode(&[input(stored)], Some(&origin("cover"))).unwrap());
    assert_eq!((w, h), (37, 29));
    let row = [vec![2; 4], vec![0; 14], vec![1; 15], vec![2; 4]].concat();
    // The column whose middle is the middle of the map falls to its right half.
    assert_eq!(pixels[..37], row[..]);
}

#[test]
fn overlays_tint_the_picture() {
    let options =
        r#"format = "png", from = "m", as = "overlay", on = "photo", color = [255, 0, 0], alpha = 0.5"#;
    let encode = bind(options, &[("float32[1, 1, 2]", 0)]).unwrap();
    let origin = origin("stretch");
    let (w, h, kind, pixels, _) =
        unpack(&encode.encode(&[input(f32s(&[1, 1, 2], &[0.0, 1.0]))], Some(&origin)).unwrap());
    assert_eq!((w, h, kind), (37, 29, png::ColorType::Rgb));
    assert_eq!(pixels[..3], origin.rgb[..3]);
    let last = &origin.rgb[36 * 3..37 * 3];
    let half = |level: u8, tint: u8| ((f32::from(level) + f32::from(tint)) / 2.0).round() as u8;
    assert_eq!(pixels[36 * 3..37 * 3], [half(last[0], 255), half(last[1], 0), half(last[2], 0)]);

    let options = r##"format = "png", from = "m", as = "overlay", on = "photo", palette = ["none", "#0000ff"], alpha = 1"##;
    let encode = bind(options, &[("float32[2, 1, 1]", 0)]).unwrap();
    let tint = |scores: [f32; 2]| {
        unpack(&encode.encode(&[input(f32s(&[2, 1, 1], &scores))], Some(&origin)).unwrap()).3
    };
    assert_eq!(tint([1.0, 0.0]), origin.rgb.to_vec());
    assert_eq!(tint([0.0, 1.0])[..3], [0, 0, 255]);
}

#[test]
fn pictures_refuse_what_is_no_map() {
    let refused = |options: &str, source: (&'static str, usize)| {
        bind(&format!(r#"format = "png", from = "m", {options}"#), &[source]).unwrap_err()
    };
    assert_eq!(
        refused(r#"as = "gray""#, ("float32[4, 8, 8]", 0)),
        [
            "`as = \"gray\"` in `encode.photo` takes a mask, [H, W] or [1, H, W] @ \"m\" (`m` is float32[4, 8, 8]) | scores \
          for several classes are drawn with `as = \"classes\"`"
        ]
    );
    assert_eq!(
        refused(r##"as = "classes", palette = ["#000000"]"##, ("float32[4, 8, 8]", 0)),
        ["1 colours for 4 classes in `encode.photo` @ [\"#000000\"] (1 colours) | "]
    );
    assert_eq!(refused(r#"as = "classes", labels = "l.txt""#, ("float32[4, 8, 8]", 3)).len(), 1);
    assert_eq!(refused(r#"as = "overlay", on = "photo""#, ("float32[5]", 0)).len(), 1);
    let encode = bind(r#"format = "png", from = "m", as = "gray""#, &[("float32[..]", 0)]).unwrap();
    assert!(encode.encode(&[input(f32s(&[3], &[0.; 3]))], None).is_err());
    // Lengths come from a model's file, whose product may be beyond any number.
    let values = r#"format = "json", fields.y = { from = "m", as = "values" }"#;
    assert!(bind(values, &[("float32[4611686018427387904, 4611686018427387904]", 0)]).is_ok());
    // A model that found nothing has no fault.
    let nothing = encode.encode(&[input(f32s(&[0, 4], &[]))], None).unwrap_err();
    assert!(matches!(nothing, EncodeError::Nothing(_)), "{nothing}");
    let far = Region { left: 90.0, top: 90.0, width: 4.0, height: 4.0 };
    let outside = Origin { region: far, ..origin("stretch") };
    let encode =
        bind(r#"format = "png", from = "m", as = "gray", on = "photo""#, &[("float32[1, 1]", 0)]).unwrap();
    assert_eq!(
        unpack(&encode.encode(&[input(f32s(&[1, 1], &[1.]))], Some(&outside)).unwrap()).3,
        [0; 37 * 29]
    );
}
