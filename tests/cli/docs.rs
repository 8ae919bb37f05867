//! The examples of docs/pipelines.md: the files that it shows are served together, and its command lines say what it
//! says they do.

use super::house::{root, say};
use super::run::{Server, start};
use std::fs;
use std::path::Path;
use std::process::Command;

/// A block between fences: its language and its text.
fn blocks(page: &str) -> Vec<(&str, String)> {
    let mut blocks: Vec<(&str, String)> = vec![];
    let mut open = false;
    for line in page.lines() {
        match line.strip_prefix("```") {
            Some(language) if !open => blocks.push((language, String::new())),
            None if open => blocks.last_mut().unwrap().1 += &format!("{line}\n"),
            _ => {}
        }
        open ^= line.starts_with("```");
    }
    blocks
}

/// The command lines of a console block, each with what is shown to follow it.
fn commands(block: &str) -> Vec<(String, String)> {
    let mut commands: Vec<(String, String)> = vec![];
    for line in block.lines() {
        match (line.strip_prefix("$ "), commands.last_mut()) {
            (Some(command), _) => commands.push((command.to_owned(), String::new())),
            (None, Some((command, said))) if command.ends_with('\\') && said.is_empty() => {
                command.pop();
                *command += line.trim_start();
            }
            (None, Some((_, said))) => *said += &format!("{line}\n"),
            (None, None) => panic!("a console block begins with `{line}`"),
        }
    }
    commands
}

/// Text without its numbers, and the numbers.
pub fn parted(text: &str) -> (String, Vec<f64>) {
    let (mut words, mut numbers, mut number) = (String::new(), vec![], String::new());
    for c in text.trim().chars().chain(['\n']) {
        if c.is_ascii_digit() || c == '.' && !number.is_empty() {
            number.push(c);
            continue;
        }
        if !number.is_empty() {
            words.push('#');
            numbers.extend(number.parse::<f64>());
            number.clear();
        }
        words.push(c);
    }
    (words, numbers)
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let from = entry.unwrap().path();
        let to = to.join(from.file_name().unwrap());
        if from.is_dir() { copy(&from, &to) } else { _ = fs::copy(&from, &to).unwrap() }
    }
}

/// All files of the page in one, and the models that they name beside it.
fn written(page: &str, folder: &Path) -> String {
    copy(&root().join("examples/models"), &folder.join("models"));
    copy(&root().join("tests/fixtures/pipelines/models"), &folder.join("models"));
    let toml: Vec<String> = blocks(page).into_iter().filter(|(l, _)| *l == "toml").map(|(_, t)| t).collect();
    assert!(toml.len() >= 8, "only {} files are shown", toml.len());
    toml.join("\n") + "\n[device]\nuse = \"cpu\"\n"
}

/// Runs a command line in the folder, as somebody does who has rserve on the path.
fn shell(line: &str, folder: &Path, server: &Server) -> String {
    let line = line.replace("127.0.0.1:8080", &server.address).replacen("curl ", "curl -sS ", 1);
    let bin = Path::new(env!("CARGO_BIN_EXE_rserve")).parent().unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let output =
        Command::new("sh").args(["-c", &line]).current_dir(folder).env("PATH", path).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{line}\n{said}{}", String::from_utf8_lossy(&output.stderr));
    said
}

/// Processors differ in the last digits.
#[test]
fn the_examples_of_the_page_on_pipelines_do_what_it_says() {
    let page = fs::read_to_string(root().join("docs/pipelines.md")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::write(folder.join("pipelines.toml"), written(&page, folder)).unwrap();
    copy(&root().join("examples/images"), &folder.join("examples/images"));

    let server = start(&[folder.join("pipelines.toml").to_str().unwrap()]);
    let mut wrong = vec![];
    let shown = blocks(&page).into_iter().filter(|(language, _)| *language == "console");
    for (line, shown) in shown.flat_map(|(_, block)| commands(&block)) {
        let said = shell(&line, folder, &server);
        let ((words, numbers), (shown_words, shown_numbers)) = (parted(&said), parted(&shown));
        let near = |(a, b): (&f64, &f64)| (a - b).abs() <= 1e-3 + 2e-3 * b.abs();
        if words != shown_words || !numbers.iter().zip(&shown_numbers).all(near) {
            wrong.push(format!("$ {line}\n{said}where the page has\n{shown}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_mistake_of_the_page_on_pipelines_is_said_as_it_says() {
    let page = fs::read_to_string(root().join("docs/pipelines.md")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let whole = written(&page, folder.path());
    let read = r#"read  = { model = "sign-reader", each = "sign", inputs"#;
    assert!(whole.contains(read));
    let broken = folder.path().join("broken.toml");
    fs::write(&broken, whole.replacen(read, r#"read  = { model = "sign-reader", inputs"#, 1)).unwrap();
    let said = say(&["check", broken.to_str().unwrap()]);
    let said = said.err.replace(&format!("{}/", folder.path().display()), "");
    let (_, shown) = blocks(&page).into_iter().find(|(language, _)| *language == "text").unwrap();
    assert!(said.starts_with(&shown), "{said}where the page has\n{shown}");
}

/// What made the models of the page is what it shows.
#[test]
fn the_models_of_the_page_on_pipelines_are_made_as_it_says() {
    let page = fs::read_to_string(root().join("docs/pipelines.md")).unwrap();
    let mut shown = 0;
    for (_, text) in blocks(&page).into_iter().filter(|(language, _)| *language == "python") {
        let made = fs::read_dir(root().join("tests/fixtures/pipelines")).unwrap().any(|file| {
            let path = file.unwrap().path();
            path.extension().is_some_and(|e| e == "py") && fs::read_to_string(&path).unwrap() == text
        });
        assert!(made, "no file of tests/fixtures/pipelines is\n{text}");
        shown += 1;
    }
    assert_eq!(shown, 3);
}
