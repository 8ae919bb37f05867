//! The requests that are printed for every pipeline, each as it stands.

use super::house::root;
use super::run::{get, json, start};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A pipeline of every kind of decode, and of several together.
const PIPELINES: &[(&str, &str, &str, &str)] = &[
    ("floats", r#"decode.x = { format = "json" }"#, "floats", "x = \"x\""),
    ("shaped", r#"decode.x = { format = "json", shape = [3] }"#, "floats", "x = \"x\""),
    (
        "integers",
        r#"decode.x = { format = "json", dtype = "int64", field = "ids" }"#,
        "integers",
        "x = \"x\"",
    ),
    ("bools", r#"decode.x = { format = "json", dtype = "bool" }"#, "bools", "x = \"x\""),
    ("text", r#"decode.x = { format = "json", dtype = "string" }"#, "text", "x = \"x\""),
    ("texts", r#"decode.x = { format = "json", dtype = "string" }"#, "texts", "x = \"x\""),
    ("tokens", r#"decode.x = { format = "json", dtype = "int64" }"#, "tokens", "x = \"x\""),
    ("pixels", r#"decode.x = { format = "json" }"#, "picture", "x = \"x\""),
    ("array", r#"decode.x = { format = "npy" }"#, "floats", "x = \"x\""),
    ("raw", r#"decode.x = { format = "raw", shape = [3] }"#, "floats", "x = \"x\""),
    ("picture", r#"decode.x = { format = "image", size = 8 }"#, "picture", "x = \"x\""),
    (
        "columns",
        "decode.age = { format = \"json\" }\ndecode.city = { format = \"json\", dtype = \"string\" }",
        "columns",
        "age = \"age\", city = \"city\"",
    ),
    (
        "past",
        "decode.old = { format = \"json\", shape = [2, -1, 4] }\ndecode.x = { format = \"npy\" }",
        "past",
        "old = \"old\", x = \"x\"",
    ),
];

#[test]
fn every_line_that_is_printed_works() {
    let folder = tempfile::tempdir().unwrap();
    let store = root().join("tests/fixtures/tables");
    let mut text = format!("[store]\npath = {store:?}\n[device]\nuse = \"cpu\"\n");
    let mut models: Vec<&str> = PIPELINES.iter().map(|(_, _, model, _)| *model).collect();
    models.sort_unstable();
    models.dedup();
    models.iter().for_each(|model| text += &format!("[models.{model}]\n"));
    for (name, decodes, model, inputs) in PIPELINES {
        let outputs =
            if *model == "columns" { "fields = { a = \"s.a\", c = \"s.c\" }" } else { "fields.y = \"s\"" };
        text += &format!(
            "[pipelines.{name}]\n{decodes}\nencode.reply = {{ format = \"json\", {outputs} }}\n\
             [pipelines.{name}.steps]\ns = {{ model = \"{model}\", inputs = {{ {inputs} }} }}\n"
        );
    }
    let file = folder.path().join("all.toml");
    fs::write(&file, text).unwrap();
    // The files that lines name: what they hold is for who sends them to say.
    let at = |name: &str| folder.path().join(name);
    fs::copy(super::house::images("landing-spot")[0].as_path(), at("photo.jpg")).unwrap();
    fs::write(at("x.bin"), [0; 12]).unwrap();
    fs::write(at("x.json"), serde_json::to_vec(&vec![vec![vec![0.5; 8]; 8]; 3]).unwrap()).unwrap();
    let npy = |name: &str, shape: &str, elements: usize| {
        let mut header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}");
        while (header.len() + 11) % 64 != 0 {
            header.push(' ');
        }
        header.push('\n');
        let mut file = b"\x93NUMPY\x01\x00".to_vec();
        file.extend((header.len() as u16).to_le_bytes());
        file.extend(header.bytes());
        file.extend(vec![0; 4 * elements]);
        fs::write(at(name), file).unwrap();
    };

    let server = start(&[file.to_str().unwrap()]);
    let printed: Vec<String> = server
        .banner()
        .lines()
        .filter_map(|line| line.trim().strip_prefix("curl ").map(|rest| format!("curl {rest}")))
        .collect();
    assert_eq!(printed.len(), PIPELINES.len(), "{}", server.banner());
    let (_, listed) = get(&server, "/");
    let routes = json(&listed)["routes"].as_array().unwrap().clone();
    let listed = routes.iter().map(|route| route["curl"].as_str().unwrap().to_owned());
    for line in printed.iter().cloned().chain(listed) {
        match line.ends_with("/past/predict") {
            true => npy("x.npy", "(2, 1, 4)", 8),
            false => npy("x.npy", "(3,)", 3),
        }
        let told = line.replacen("curl ", "curl -sS -w '\\n%{http_code}' ", 1);
        let output = Command::new("sh").args(["-c", &told]).current_dir(folder.path()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let why = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.ends_with("\n200"), "{line}\n{said}{why}");
    }

    // A file that curl has taken the line ends out of, as it does with `-d`.
    let url = format!("http://{}/picture/predict", server.address);
    let told = |body: &str| {
        let output =
            Command::new("curl").args(["-sS", "-d", body, &url]).current_dir(folder.path()).output().unwrap();
        json(&output.stdout)["detail"].as_str().unwrap().to_owned()
    };
    fs::write(at("cut.png"), b"\x89PNG\r\n\x1a\n and more").unwrap();
    assert!(told("@cut.png").ends_with("`curl --data-binary` sends it as it is"), "{}", told("@cut.png"));
    assert!(!told(r#"{"x": "AAAA"}"#).contains("--data-binary"));

    let line = |pipeline: &str| printed.iter().find(|line| line.contains(&format!("/{pipeline}/predict")));
    let columns = r#"-H 'content-type: application/json' --data '{"age": 0.5, "city": "text"}'"#;
    assert!(line("columns").unwrap().contains(columns), "{printed:?}");
    assert!(line("past").unwrap().contains("-F 'old=[[[0.5, 0.5, 0.5, 0.5]],"), "{printed:?}");
}

/// A pipeline of two columns, numbers and texts, that gives them back.
fn columns(folder: &Path) -> PathBuf {
    let store = root().join("tests/fixtures/tables");
    let file = folder.join("columns.toml");
    let text = format!(
        "[store]\npath = {store:?}\n[device]\nuse = \"cpu\"\n[models.columns]\n[pipelines.columns]\n\
         decode.age = {{ format = \"json\" }}\ndecode.city = {{ format = \"json\", dtype = \"string\" }}\n\
         encode.reply = {{ format = \"json\", fields = {{ age = \"s.a\", city = \"s.c\" }} }}\n\
         [pipelines.columns.offline]\nencode.rows = {{ format = \"csv\", fields = {{ age = \"s.a\", city = \"s.c\" }} }}\n\
         [pipelines.columns.steps]\ns = {{ model = \"columns\", inputs = {{ age = \"age\", city = \"city\" }} }}\n"
    );
    fs::write(&file, text).unwrap();
    file
}

#[test]
fn what_is_wrong_with_a_table_is_told_before_any_row_runs() {
    let folder = tempfile::tempdir().unwrap();
    let file = columns(folder.path());
    let output = folder.path().join("output");
    for (table, told) in [
        (
            "age,city\n1,a\n2,\"b\n3,c\n",
            "the quote that opens in line 3 is never closed, and all after it would be one cell",
        ),
        ("age,city,age\n1,a,2\n", "columns 1 (`age`) and 3 (`age`) are both for decode `age`"),
        ("age,city\n", "`in.csv` has no rows"),
    ] {
        let input = folder.path().join("in.csv");
        fs::write(&input, table).unwrap();
        let [file, input, output] = [&file, &input, &output].map(|path| path.to_str().unwrap());
        let said = super::house::say(&[
            "batch",
            file,
            "--pipeline",
            "columns",
            "--input",
            input,
            "--output",
            output,
        ]);
        assert_eq!(said.code, 1, "{}", said.err);
        assert!(said.err.contains(told), "{}", said.err);
    }
    assert!(!output.exists());
}

#[test]
fn a_table_is_asked_for_as_tables_are_written() {
    let folder = tempfile::tempdir().unwrap();
    let file = columns(folder.path());
    let server = start(&[file.to_str().unwrap()]);
    let url = format!("http://{}/columns/predict", server.address);
    let curl = |arguments: &[&str]| {
        let output = Command::new("curl").arg("-sS").args(arguments).arg(&url).output().unwrap();
        json(&output.stdout)
    };
    let json_type = ["-H", "content-type: application/json", "--data"];
    let data = |body| [&json_type[..], &[body]].concat();
    let berlin = serde_json::json!({ "age": [30.0], "city": ["Berlin"] });
    assert_eq!(curl(&data(r#"{"age": 30, "city": "Berlin"}"#)), berlin);
    assert_eq!(curl(&data(r#"{"age": [30], "city": ["Berlin"], "id": 7}"#)), berlin);
    assert_eq!(curl(&["-d", r#"{"age": 30, "city": "Berlin"}"#]), berlin);
    assert_eq!(curl(&["-F", "age=30", "-F", "city=Berlin", "-F", "send=Send"]), berlin);
    let missing = curl(&data(r#"{"age": NaN, "city": "42"}"#));
    assert_eq!(missing, serde_json::json!({ "age": [null], "city": ["42"] }));
    assert_eq!(curl(&data(r#"{"age": null, "city": "42"}"#)), missing);
    let misspelt = curl(&data(r#"{"agee": 30, "city": "Berlin"}"#));
    assert_eq!(misspelt["detail"], "missing field `age`; there is `agee`, did you mean `age`?");

    // Excel's delimiter, a number that is missing, a column more; and our own table read again.
    let batch = |input: &str, output: &str, more: &[&str]| {
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let (file, input, output) = (path("columns.toml"), path(input), path(output));
        let arguments = ["batch", &file, "--pipeline", "columns", "--input", &input, "--output", &output];
        let said = super::house::say(&[&arguments[..], more].concat());
        assert_eq!(said.code, 0, "{}", said.err);
        fs::read_to_string(format!("{output}/rows.csv")).unwrap()
    };
    fs::write(folder.path().join("in.csv"), "id;city;age\r\n1;\"a; b\";1.5\r\n2;42;\r\n3;;NA\r\n").unwrap();
    let rows = batch("in.csv", "first", &[]);
    let of = |name: &str| {
        format!(
            "item,age,city,models\n{name}#0,1.5,a; b,columns@1\n{name}#1,,42,columns@1\n{name}#2,,,columns@1\n"
        )
    };
    assert_eq!(rows, of("in.csv"));
    fs::write(folder.path().join("again.csv"), &rows).unwrap();
    assert_eq!(batch("again.csv", "second", &[]), of("again.csv"));
    fs::write(folder.path().join("odd.csv"), "city^age\na; b^1.5\n42^\n^NA\n").unwrap();
    assert_eq!(batch("odd.csv", "third", &["--delimiter", "^"]), of("odd.csv"));
    fs::write(folder.path().join("excel.csv"), "sep=^\r\ncity^age\r\na; b^1.5\r\n42^\\N\r\n^\r\n").unwrap();
    assert_eq!(batch("excel.csv", "excel", &[]), of("excel.csv"));
    // The same rows through the server, which reads them as this one does.
    let via = format!("http://{}", server.address);
    assert_eq!(batch("in.csv", "via", &["--via", &via]), of("in.csv"));
}
