//! Answers about lists, and about what may be absent.

use super::{codec, f32s, text, ty};
use rserve::diagnostic::Report;
use rserve::plan::{Bound, Encode, Given, Input, Labels, Presence, RowContext};
use rserve::tensor::Tensor;
use std::sync::Arc;

/// A source: its type, the lists for each of whose elements it is there (`?` where it may be absent), and the labels
/// that it brings along.
struct Source {
    ty: &'static str,
    there: &'static str,
    labels: &'static [&'static str],
}

fn of(ty: &'static str, there: &'static str) -> Source {
    Source { ty, there, labels: &[] }
}

fn list(there: &'static str) -> Source {
    of("int64[]", there)
}

const KINDS: &[&str] = &["car", "truck", "a, b"];

fn labels(labels: &[&str]) -> Labels {
    labels.iter().map(|label| label.to_string()).collect()
}

/// The encode bound to its sources, or titles and helps of what is wrong.
fn bound(options: &str, sources: &[Source]) -> Result<Arc<dyn Encode>, Vec<String>> {
    let mut report = Report::default();
    let options = options.replace('\n', " ");
    let draft = rserve::codec::registry().encode(&codec(&options), &mut report);
    let draft = draft.unwrap_or_else(|| panic!("{options}: {:?}", report.diagnostics));
    let wanted = draft.sources();
    let names: Vec<&str> = wanted.iter().map(|source| source.from.as_str()).collect();
    assert_eq!(wanted.len(), sources.len(), "{names:?}");
    assert!(draft.takes_lists());
    let bind = |(wanted, source): (rserve::plan::SourceRef, &Source)| {
        let file = wanted.labels.unwrap_or_else(|| wanted.from.with("brought.txt".to_owned()));
        let lines = (!source.labels.is_empty()).then(|| labels(source.labels));
        Some(Bound {
            ty: ty(source.ty),
            labels: lines.as_ref().map(|lines| (file, lines.len())),
            lines,
            note: None,
            presence: Presence {
                each: source.there.trim_end_matches('?').split_whitespace().map(str::to_owned).collect(),
                maybe: source.there.ends_with('?'),
                is_list: wanted.is_list,
            },
            from: wanted.from,
        })
    };
    let bound: Vec<Option<Bound>> = wanted.into_iter().zip(sources).map(bind).collect();
    let encode = draft.bind(&bound, &mut report);
    assert_eq!(encode.is_none(), report.has_errors(), "{:?}", report.diagnostics);
    encode.ok_or_else(|| {
        let said = |d: &rserve::diagnostic::Diagnostic| {
            let (place, _) = &d.places[0];
            format!("{} @ {} | {}", d.title, &place.source.text[place.range.clone()], d.helps.join("; "))
        };
        report.diagnostics.iter().map(said).collect()
    })
}

fn given(given: Given) -> Input {
    Input { given, labels: None }
}

fn number(value: f32) -> Given {
    Given::One(f32s(&[], &[value]))
}

fn word(word: &str) -> Given {
    Given::One(Tensor::from_strings(vec![], vec![word.into()]).unwrap())
}

fn classes(classes: &[i64]) -> Given {
    Given::One(Tensor::from_vec(vec![classes.len()], classes.to_vec()).unwrap())
}

fn each<const N: usize>(elements: [Given; N]) -> Given {
    Given::Each(elements.into())
}

fn written(encode: &Arc<dyn Encode>, inputs: &[Input]) -> String {
    text(encode.encode(inputs, None).unwrap())
}

fn rows(encode: &Arc<dyn Encode>, inputs: &[Input]) -> String {
    let context = RowContext { item: "a.jpg", models: "m@1" };
    text(encode.rows().unwrap().of_item(&context, inputs).unwrap())
}

#[test]
fn what_is_there_for_each_element_is_an_array_and_what_is_absent_null() {
    let encode = bound(
        r#"format = "json", fields.text = { from = "text", as = "scalar" },
           fields.words = "words", fields.best = "best""#,
        &[of("string[]", "plate"), of("float32[2]", "line word"), of("float32[?]", "?")],
    )
    .unwrap();
    let pair = |a| Given::One(f32s(&[2], &[a, 0.5]));
    let inputs = [
        given(each([word("B-XY 1"), Given::Absent])),
        given(each([each([pair(1.0), pair(2.0)]), each([]), Given::Absent])),
        given(Given::Absent),
    ];
    assert_eq!(
        written(&encode, &inputs),
        r#"{"text":["B-XY 1",null],"words":[[[1.0,0.5],[2.0,0.5]],[],null],"best":null}"#
    );
    let none = [given(each([])), given(Given::Absent), given(Given::One(f32s(&[0], &[])))];
    assert_eq!(written(&encode, &none), r#"{"text":[],"words":null,"best":[]}"#);
}

#[test]
fn objects_are_written_for_each_element() {
    let encode = bound(
        r#"format = "json",
           fields.lines = { each = "line", fields.score = { from = "score", as = "scalar", round = 1 }, fields.photo = "photo",
                            fields.words = { each = "word", fields.text = { from = "text", as = "scalar" },
                                             fields.of = { from = "score", as = "scalar" } },
                            fields.all = "text" },
           fields.about = { fields.size = "photo", fields.scores = "score" }"#,
        &[
            list(""),
            of("float32[]", "line"),
            of("float32[1]", ""),
            list("line"),
            of("string[]", "line word?"),
            of("float32[]", "line"),
            of("string[]", "line word?"),
            of("float32[1]", ""),
            of("float32[]", "line"),
        ],
    )
    .unwrap();
    let inputs = |lines: Given, scores: Given, words: Given, texts: Given| {
        let photo = || given(Given::One(f32s(&[1], &[7.0])));
        let [lines, scores, words, texts] = [lines, scores, words, texts].map(given);
        [lines, scores.clone(), photo(), words, texts.clone(), scores.clone(), texts, photo(), scores]
    };
    let two = inputs(
        Given::Length(2),
        each([number(0.25), number(0.5)]),
        each([Given::Length(2), Given::Absent]),
        each([each([word("a"), Given::Absent]), Given::Absent]),
    );
    assert_eq!(
        written(&encode, &two),
        r#"{"lines":[{"score":0.3,"photo":[7.0],"words":[{"text":"a","of":0.25},{"text":null,"of":0.25}],"all":["a",null]},{"score":0.5,"photo":[7.0],"words":null,"all":null}],"about":{"size":[7.0],"scores":[0.25,0.5]}}"#
    );
    let none = inputs(Given::Length(0), each([]), each([]), each([]));
    assert_eq!(written(&encode, &none), r#"{"lines":[],"about":{"size":[7.0],"scores":[]}}"#);
    let absent = inputs(Given::Absent, Given::Absent, Given::Absent, Given::Absent);
    assert_eq!(written(&encode, &absent), r#"{"lines":null,"about":{"size":[7.0],"scores":null}}"#);
}

#[test]
fn tables_have_a_row_for_each_element() {
    let fields = r#"each = "plate", fields.text = { from = "text", as = "scalar" }, fields.box = "box",
                    fields.photo = { from = "photo", as = "scalar" }, fields.sure = { from = "sure", as = "scalar" }"#;
    let sources = || {
        [
            list(""),
            of("string[]", "plate?"),
            of("float32[2]", "plate"),
            of("float32[]", ""),
            of("float32[]", "?"),
        ]
    };
    let pair = |a| Given::One(f32s(&[2], &[a, 0.5]));
    let some = [
        given(Given::Length(2)),
        given(each([word("a,b"), Given::Absent])),
        given(each([pair(1.0), pair(2.0)])),
        given(number(3.0)),
        given(Given::Absent),
    ];
    let none =
        [given(Given::Length(0)), given(each([])), given(each([])), given(number(3.0)), given(number(0.5))];
    let csv = bound(&format!(r#"format = "csv", {fields}"#), &sources()).unwrap();
    let header = "text,box_0,box_1,photo,sure\n";
    assert_eq!(written(&csv, &some), format!("{header}\"a,b\",1.0,0.5,3.0,\n,2.0,0.5,3.0,\n"));
    assert_eq!(written(&csv, &none), header);
    assert_eq!(rows(&csv, &some), "a.jpg,\"a,b\",1.0,0.5,3.0,,m@1\na.jpg,,2.0,0.5,3.0,,m@1\n");
    assert_eq!(rows(&csv, &none), "");
    let mut absent = none.clone();
    absent[0] = given(Given::Absent);
    assert_eq!(rows(&csv, &absent), "");

    let jsonl = bound(&format!(r#"format = "jsonl", {fields}"#), &sources()).unwrap();
    assert_eq!(
        rows(&jsonl, &some),
        "{\"item\":\"a.jpg\",\"text\":\"a,b\",\"box\":[1.0,0.5],\"photo\":3.0,\"sure\":null,\"models\":\"m@1\"}\n\
         {\"item\":\"a.jpg\",\"text\":null,\"box\":[2.0,0.5],\"photo\":3.0,\"sure\":null,\"models\":\"m@1\"}\n"
    );
    assert_eq!(written(&jsonl, &none), "");

    let parquet = bound(&format!(r#"format = "parquet", {fields}"#), &sources()).unwrap();
    let context = RowContext { item: "a.jpg", models: "m@1" };
    assert!(parquet.rows().unwrap().of_item(&context, &none).unwrap().is_empty());
    insta::assert_snapshot!(columns(&parquet, &[&some, &none]));
}

/// Rows of elements of lists within lists follow each other.
#[test]
fn rows_of_a_list_within_a_list() {
    let encode = bound(
        r#"format = "csv", each = "word", fields.text = { from = "text", as = "scalar" },
           fields.line = { from = "line.score", as = "scalar" }"#,
        &[list("line"), of("string[]", "line word"), of("float32[]", "line")],
    )
    .unwrap();
    let inputs = [
        given(each([Given::Length(2), Given::Length(0), Given::Absent, Given::Length(1)])),
        given(each([each([word("a"), word("b")]), each([]), Given::Absent, each([word("c")])])),
        given(each([number(0.0), number(1.0), number(2.0), number(3.0)])),
    ];
    assert_eq!(written(&encode, &inputs), "text,line\na,0.0\nb,0.0\nc,3.0\n");
}

/// The columns of a parquet table of these items, and its rows as they come back.
fn columns(encode: &Arc<dyn Encode>, items: &[&[Input]]) -> String {
    use parquet::file::reader::{FileReader, SerializedFileReader};
    use std::io::{Seek, Write};
    let table = encode.rows().unwrap();
    let mut gathered = table.header().unwrap();
    for item in items {
        let context = RowContext { item: "a.jpg", models: "m@1" };
        gathered.extend(table.of_item(&context, item).unwrap());
    }
    let format = rserve::codec::tables::table("rows.parquet");
    let (mut from, mut sealed) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
    from.write_all(&gathered).unwrap();
    from.rewind().unwrap();
    format.seal(from, sealed.try_clone().unwrap()).unwrap();
    sealed.rewind().unwrap();
    let mut back = vec![];
    format.unseal(sealed.try_clone().unwrap(), &mut back).unwrap();
    assert_eq!(back.escape_ascii().to_string(), gathered.escape_ascii().to_string());
    let reader = SerializedFileReader::new(sealed).unwrap();
    let mut shown = vec![];
    parquet::schema::printer::print_schema(&mut shown, reader.metadata().file_metadata().schema());
    let mut shown = text(shown);
    for row in reader.get_row_iter(None).unwrap() {
        shown += &format!("{}\n", row.unwrap());
    }
    shown
}

#[test]
fn parquet_has_columns_of_lists() {
    let encode = bound(
        r#"format = "parquet", fields.text = { from = "text", as = "scalar" }, fields.box = "box", fields.kind = "kind",
           fields.first = { from = "scores", as = "top", top = 1 }, fields.words = { from = "words", as = "scalar" },
           fields.vector = "vector", fields.sure = { from = "sure", as = "scalar" }"#,
        &[
            of("string[]", "plate?"),
            of("float32[2]", "plate"),
            Source { ty: "int64[]", there: "plate", labels: KINDS },
            of("float32[2]", "plate"),
            of("string[]", "line word"),
            of("float32[?]", "?"),
            of("float32[]", "?"),
        ],
    )
    .unwrap();
    let pair = |a: f32| Given::One(f32s(&[2], &[a, 0.5]));
    let class = |class: i64| Given::One(Tensor::from_vec(vec![], vec![class]).unwrap());
    let labelled = |given| Input { given, labels: Some(labels(KINDS)) };
    let some = [
        given(each([word("a"), Given::Absent])),
        given(each([pair(0.0), pair(1.0)])),
        labelled(each([class(1), class(-1)])),
        given(each([pair(0.0), pair(1.0)])),
        given(each([each([word("x"), word("y")]), each([]), Given::Absent])),
        given(Given::One(f32s(&[0], &[]))),
        given(number(0.5)),
    ];
    let nothing = || given(Given::Absent);
    let none = [
        given(each([])),
        given(each([])),
        labelled(each([])),
        given(each([])),
        nothing(),
        nothing(),
        nothing(),
    ];
    insta::assert_snapshot!(columns(&encode, &[&some, &none]));
}

#[test]
fn classes_are_written_by_their_labels() {
    let kinds = |ty| Source { ty, there: "", labels: KINDS };
    let one = |format: &str, options: &str, ty: &'static str, tensor: Given| {
        let encode = bound(&format!(r#"format = "{format}", fields.f = {options}"#), &[kinds(ty)]).unwrap();
        written(&encode, &[Input { given: tensor, labels: Some(labels(KINDS)) }])
    };
    let scalar = |class: i64| Given::One(Tensor::from_vec(vec![], vec![class]).unwrap());
    // By themselves, where the source brings labels along.
    assert_eq!(one("json", r#""b.class""#, "int64[]", scalar(1)), r#"{"f":"truck"}"#);
    assert_eq!(one("csv", r#""b.class""#, "int64[]", scalar(2)), "f\n\"a, b\"\n");
    assert_eq!(one("json", r#"{ from = "b.class", as = "values" }"#, "int64[]", scalar(1)), r#"{"f":1}"#);
    assert_eq!(one("json", r#"{ from = "b.class", as = "scalar" }"#, "int64[]", scalar(1)), r#"{"f":1}"#);
    assert_eq!(one("json", r#"{ from = "b.class", as = "label" }"#, "int64[]", scalar(0)), r#"{"f":"car"}"#);
    // The indices of a TopK; what is no class has no label, and what is beyond the labels keeps its index.
    let top = r#"{ from = "t", as = "label", labels = "l.txt" }"#;
    assert_eq!(one("json", top, "int64[3]", classes(&[2, -1, 0])), r#"{"f":["a, b",null,"car"]}"#);
    assert_eq!(one("csv", top, "int32[3]", classes(&[2, -1, 7])), "f_0,f_1,f_2\n\"a, b\",,7\n");
    assert_eq!(one("json", top, "int64[?]", classes(&[])), r#"{"f":[]}"#);
    // A map, and the classes that are best along an axis.
    let map = Given::One(Tensor::from_vec(vec![1, 2], vec![0u8, 1]).unwrap());
    assert_eq!(one("json", top, "uint8[1, 2]", map), r#"{"f":[["car","truck"]]}"#);
    let scores = || Given::One(f32s(&[3, 2], &[0.1, 0.9, 0.8, 0.0, 0.1, f32::NAN]));
    let argmax = r#"{ from = "s", as = "argmax", labels = "l.txt" }"#;
    assert_eq!(one("json", argmax, "float32[3, 2]", scores()), r#"{"f":["truck","car"]}"#);
    // Bytes that are as many as there are labels are scores, as ever.
    let scores = Given::One(Tensor::from_vec(vec![3], vec![3u8, 200, 7]).unwrap());
    assert_eq!(one("json", top, "uint8[3]", scores), r#"{"f":"truck"}"#);
}

#[test]
fn scores_have_the_names_of_their_labels() {
    let sources = || [Source { ty: "float32[3]", there: "", labels: KINDS }];
    let scores = || Given::One(f32s(&[3], &[0.25, f32::NAN, 0.5]));
    let inputs = |of: &[&str]| [Input { given: scores(), labels: Some(labels(of)) }];
    let options = r#"fields.kind = { from = "s", as = "scores", labels = "l.txt", round = 1 }"#;
    let json = bound(&format!(r#"format = "json", {options}"#), &sources()).unwrap();
    assert_eq!(written(&json, &inputs(KINDS)), r#"{"kind":{"car":0.3,"truck":null,"a, b":0.5}}"#);
    let csv = bound(&format!(r#"format = "csv", {options}"#), &sources()).unwrap();
    assert_eq!(written(&csv, &inputs(KINDS)), "kind_car,kind_truck,\"kind_a, b\"\n0.3,,0.5\n");
    let parquet = bound(&format!(r#"format = "parquet", {options}"#), &sources()).unwrap();
    insta::assert_snapshot!(columns(&parquet, &[&inputs(KINDS)]));
    // The columns are named by the newest version: another one's scores would stand under other names.
    for encode in [csv, parquet] {
        let error = encode.encode(&inputs(&["truck", "car", "a, b"]), None).unwrap_err().to_string();
        assert!(error.contains("has other labels than its newest"), "{error}");
    }
    let softmax = options.replace("round = 1", "softmax = true, round = 2");
    let json = bound(&format!(r#"format = "json", {softmax}"#), &sources()).unwrap();
    let given = Given::One(f32s(&[3], &[0.0, 0.0, 0.0]));
    let inputs = [Input { given, labels: Some(labels(KINDS)) }];
    assert_eq!(written(&json, &inputs), r#"{"kind":{"car":0.33,"truck":0.33,"a, b":0.33}}"#);
}

/// The sizes of pictures come after all sources.
#[test]
fn sizes_of_pictures_and_what_was_taken_are_fields() {
    let fields = r#"fields.size = { from = "photo", as = "size" }, fields.by = { from = "best", as = "source" },
                    fields.of = "best.value""#;
    let size = |width: i64, height| Given::One(Tensor::from_vec(vec![2], vec![width, height]).unwrap());
    let inputs = || [given(word("large.probabilities")), given(number(0.5)), given(size(640, 480))];
    let sources = || [of("string[]", ""), of("float32[]", "")];
    let one = |format: &str| bound(&format!(r#"format = "{format}", {fields}"#), &sources()).unwrap();
    assert_eq!(written(&one("json"), &inputs()), r#"{"size":[640,480],"by":"large.probabilities","of":0.5}"#);
    assert_eq!(
        written(&one("csv"), &inputs()),
        "size_width,size_height,by,of\n640,480,large.probabilities,0.5\n"
    );
    insta::assert_snapshot!(columns(&one("parquet"), &[&inputs()]));
    // Also within objects and rows of elements.
    let encode = bound(
        r#"format = "jsonl", each = "plate", fields.a = { fields.size = { from = "photo", as = "size" } }, fields.text = { from = "text", as = "scalar" },
           fields.other = { from = "other", as = "size" }"#,
        &[list(""), of("string[]", "plate")],
    )
    .unwrap();
    let inputs = [given(Given::Length(1)), given(each([word("x")])), given(size(1, 2)), given(size(3, 4))];
    assert_eq!(written(&encode, &inputs), "{\"a\":{\"size\":[1,2]},\"text\":\"x\",\"other\":[3,4]}\n");
    let drafted = |from: &str| {
        let options = format!(r#"format = "json", fields.by = {{ from = "{from}", as = "source" }}"#);
        let draft = rserve::codec::registry().encode(&codec(&options), &mut Report::default()).unwrap();
        draft.sources()[0].from.value.clone()
    };
    assert_eq!(["best", "best.source", "best.value"].map(drafted), ["best.source"; 3]);
}

#[test]
fn what_cannot_be_written_there_is_refused() {
    let refused = |options: &str, sources: &[Source]| bound(options, sources).unwrap_err().join("\n");
    let mut said = String::new();
    let cases: [(&str, Vec<Source>); 11] = [
        (r#"format = "csv", fields.text = "text""#, vec![of("string[]", "plate")]),
        (
            r#"format = "csv", each = "line", fields.text = "text""#,
            vec![list(""), of("string[]", "line word")],
        ),
        (
            r#"format = "csv", each = "plate", fields.sign = "sign.box""#,
            vec![list(""), of("int64[]", "sign")],
        ),
        (
            r#"format = "parquet", each = "plate", fields.sign = "sign.box""#,
            vec![list(""), of("int64[]", "sign")],
        ),
        (
            r#"format = "json", fields.a = { each = "plate", fields.b = "sign.box" }"#,
            vec![list(""), of("int64[]", "sign")],
        ),
        (
            r#"format = "json", fields.a = { each = "word", fields.b = "word.text" }"#,
            vec![list("line"), of("string[]", "line word")],
        ),
        (
            r#"format = "json", fields.a = { each = "plate", fields.b = { each = "sign", fields.c = "sign.box" } }"#,
            vec![list(""), list(""), of("int64[]", "sign")],
        ),
        (r#"format = "json", fields.f = { from = "s", as = "scores" }"#, vec![of("float32[3]", "")]),
        (
            r#"format = "json", fields.f = { from = "s", as = "scores", labels = "l.txt" }"#,
            vec![Source { ty: "float32[2]", there: "", labels: &["a", "a"] }],
        ),
        (r#"format = "json", fields.f = { from = "s", as = "label" }"#, vec![of("int64[]", "")]),
        (
            r#"format = "csv", fields.f = { from = "s", as = "label", labels = "l.txt" }"#,
            vec![Source { ty: "int64[?]", there: "", labels: KINDS }],
        ),
    ];
    for (options, sources) in cases {
        said += &format!("{options}\n{}\n\n", refused(options, &sources));
    }
    insta::assert_snapshot!(said);
}
