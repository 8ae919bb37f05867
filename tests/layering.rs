//! The walls of the house: which room may use which.

mod circles;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The rooms in the order in which the data goes through them. A room may use those on earlier lines,
/// and none of its own line but itself.
const ORDER: &[&[&str]] = &[
    &["diagnostic", "memory", "random", "sync", "tensor"],
    &["spec"],
    &["plan"],
    &["store", "picture"],
    &["codec", "steps"],
    &["scheduler"],
    &["engine"],
    &["lifecycle"],
    &["flow"],
    &["ingress", "offline", "watch"],
    &["app"],
    &["cli"],
];

/// Rooms with a narrower door than their place in the order gives them: all that they may use.
const NARROW: &[(&str, &[&str])] = &[
    ("diagnostic", &[]),
    ("memory", &[]),
    ("random", &[]),
    ("sync", &[]),
    ("tensor", &[]),
    ("spec", &["diagnostic"]),
    ("store", &["diagnostic", "memory", "tensor", "plan"]),
    ("picture", &["diagnostic", "memory", "tensor", "spec", "plan"]),
    ("scheduler", &["memory", "sync", "tensor", "plan"]),
    ("watch", &[]),
];

#[test]
fn arrows_run_one_way() {
    let level: BTreeMap<&str, usize> = ORDER
        .iter()
        .enumerate()
        .flat_map(|(level, rooms)| rooms.iter().map(move |room| (*room, level)))
        .collect();
    let narrow: BTreeMap<&str, &[&str]> = NARROW.iter().copied().collect();
    let mut wrong = vec![];
    for file in rust_files(&src()) {
        let from = room_of(&file);
        if from == "lib" || from == "main" {
            continue;
        }
        let Some(own) = level.get(from.as_str()) else {
            wrong.push(format!("{}: the room `{from}` is not in the order", file.display()));
            continue;
        };
        for (line, to) in uses(&fs::read_to_string(&file).unwrap()) {
            if to == from {
                continue;
            }
            let allowed = match (narrow.get(from.as_str()), level.get(to.as_str())) {
                (_, None) => false,
                (Some(rooms), _) => rooms.contains(&to.as_str()),
                (None, Some(other)) => other < own,
            };
            if !allowed {
                wrong.push(format!("{}:{line}: `{from}` must not use `{to}`", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Crates that one room alone may name.
#[test]
fn burn_and_hyper_stay_in_their_rooms() {
    let mut wrong = vec![];
    for file in rust_files(&src()) {
        let room = room_of(&file);
        for (number, line) in code_lines(&fs::read_to_string(&file).unwrap()) {
            for (word, home) in [("burn", "engine"), ("burn_flex", "engine"), ("hyper", "ingress")] {
                if room != home && line.contains(&format!("{word}::")) && names_crate(&line, word) {
                    wrong.push(format!("{}:{number}: `{word}` belongs to `{home}`", file.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// `plan`, `spec`, and every file that says of itself that it is pure, do no I/O, read no clock and await nothing.
#[test]
fn what_is_pure_is_pure() {
    let banned =
        ["std::fs", "std::net::Tcp", "tokio::", ".await", "Instant::now", "SystemTime::now", "rand::"];
    let says_so = |text: &str| {
        let mut head = text.lines().take_while(|line| line.starts_with("//!"));
        head.any(|line| line.split(|c: char| !c.is_alphanumeric()).any(|word| word == "Pure"))
    };
    let mut wrong = vec![];
    let mut seen = 0;
    for file in rust_files(&src()) {
        let text = fs::read_to_string(&file).unwrap();
        let room = room_of(&file);
        let pure = room == "plan" || room == "spec" || (room != "lib" && says_so(&text));
        if !pure || file.ends_with("tests.rs") {
            continue;
        }
        seen += usize::from(says_so(&text));
        for (number, line) in code_lines(&text) {
            for word in banned.iter().filter(|word| holds(&line, word)) {
                wrong.push(format!("{}:{number}: `{word}` in what is pure", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(seen >= 8, "only {seen} files say that they are pure");
}

/// Whether the line holds the word, not only as the end of another: `Operand::` is not `rand::`.
fn holds(line: &str, word: &str) -> bool {
    let begins = word.starts_with(|c: char| c.is_alphanumeric());
    let goes_on = |at: usize| line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
    line.match_indices(word).any(|(at, _)| !begins || !goes_on(at))
}

#[test]
fn every_room_says_what_it_is_for() {
    for file in rust_files(&src()) {
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.starts_with("//! "), "{} does not begin with what it is for", file.display());
    }
}

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = vec![];
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// The first folder or file below `src`.
fn room_of(file: &Path) -> String {
    let below = file.strip_prefix(src()).unwrap();
    let first = below.components().next().unwrap().as_os_str().to_string_lossy().into_owned();
    first.trim_end_matches(".rs").to_owned()
}

/// The lines that are code, up to a module of tests at the file's end, numbered from 1.
fn code_lines(text: &str) -> Vec<(usize, String)> {
    text.lines()
        .enumerate()
        .take_while(|(_, line)| line.trim() != "mod tests {")
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
        .map(|(index, line)| (index + 1, line.to_owned()))
        .collect()
}

/// Rooms named by `crate::room`, also within `use crate::{a, b::c}`.
fn uses(text: &str) -> Vec<(usize, String)> {
    let mut found = vec![];
    let lines = code_lines(text);
    for (index, (number, line)) in lines.iter().enumerate() {
        let mut rest = line.as_str();
        while let Some(at) = rest.find("crate::") {
            let boundary = rest[..at].chars().next_back().is_none_or(|c| !c.is_alphanumeric() && c != '_');
            rest = &rest[at + "crate::".len()..];
            if !boundary {
                continue;
            }
            if rest.starts_with('{') {
                let following: Vec<&str> = lines[index + 1..].iter().map(|(_, l)| l.as_str()).collect();
                let group = format!("{rest} {}", following.join(" "));
                found.extend(group_heads(&group).into_iter().map(|room| (*number, room)));
            } else {
                found.push((*number, identifier(rest)));
            }
        }
    }
    found
}

/// The first names within a braced group: `{a, b::{c, d}}` gives a and b.
fn group_heads(group: &str) -> Vec<String> {
    let mut heads = vec![];
    let mut depth = 0;
    let mut fresh = false;
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            break;
        }
        if depth == 1 && (c == '{' || c == ',') {
            fresh = true;
        } else if fresh && !c.is_whitespace() {
            heads.push(identifier(&group[at..]));
            fresh = false;
        }
    }
    heads.retain(|head| !head.is_empty());
    heads
}

fn identifier(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// Whether `word::` stands in the line as a path's head, not as the tail of another name.
fn names_crate(line: &str, word: &str) -> bool {
    line.match_indices(&format!("{word}::"))
        .any(|(at, _)| !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':'))
}

#[test]
fn the_reader_of_uses_sees_groups_and_paths() {
    let text = "use crate::{plan::{self, Port}, tensor::Tensor};\nfn f() { crate::spec::read(); mycrate::x(); }\n// crate::cli\n";
    let rooms: Vec<String> = uses(text).into_iter().map(|(_, room)| room).collect();
    assert_eq!(rooms, ["plan", "tensor", "spec"]);
}
