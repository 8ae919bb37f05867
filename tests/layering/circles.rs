//! Within a room, too, arrows run one way: of two files or folders side by side, one at most uses the other.
//!
//! A folder's own file (`mod.rs`) belongs to all of the folder, and may use what lies in it and be used by it.

use super::{code_lines, rust_files, src};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// The rooms without circles.
const HELD: &[&str] = &[
    "app",
    "cli",
    "codec",
    "diagnostic",
    "engine",
    "ingress",
    "lifecycle",
    "memory",
    "scheduler",
    "store",
    "tensor",
];

/// Arrows that close a circle for a reason.
const ALLOWED: &[(&str, &str, &str)] =
    &[("engine::onnx::attribute", "engine::onnx::graph", "a node's attribute may be a graph")];

/// A module by its names from the crate on.
type Module = Vec<String>;

/// The modules of the crate, each with the paths that its `use` lines and its code name.
struct Crate(BTreeMap<Module, Vec<Module>>);

#[test]
fn no_two_parts_of_a_room_use_each_other() {
    let modules = Crate::read(&src());
    let mut wrong = vec![];
    for (folder, arrows) in modules.arrows() {
        let held = folder.first().is_some_and(|room| HELD.contains(&room.as_str()));
        let circle = if held { circle(&arrows) } else { vec![] };
        wrong.extend(circle.into_iter().map(|(from, to)| format!("{from} uses {to}")));
    }
    assert!(wrong.is_empty(), "these arrows lie on circles:\n{}", wrong.join("\n"));
}

/// The arrows between two children of one folder, and the modules from and to which they run.
type Arrows = BTreeMap<(String, String), BTreeSet<(String, String)>>;

/// The arrows that lie on circles, or between two.
fn circle(arrows: &Arrows) -> Vec<(String, String)> {
    let mut left: Vec<&(String, String)> = arrows.keys().collect();
    loop {
        let starts: BTreeSet<&String> = left.iter().map(|(from, _)| from).collect();
        let ends: BTreeSet<&String> = left.iter().map(|(_, to)| to).collect();
        let before = left.len();
        left.retain(|(from, to)| starts.contains(to) && ends.contains(from));
        if left.len() == before {
            return left.into_iter().flat_map(|pair| arrows[pair].iter().cloned()).collect();
        }
    }
}

impl Crate {
    fn read(src: &Path) -> Self {
        let files = rust_files(src).into_iter().filter(|file| !file.to_string_lossy().ends_with("tests.rs"));
        let modules = files.map(|file| {
            let lines = code_lines(&fs::read_to_string(&file).unwrap());
            let code = lines.into_iter().map(|(_, line)| line).collect::<Vec<_>>().join("\n");
            (module_of(file.strip_prefix(src).unwrap()), named(&code))
        });
        Self(modules.collect())
    }

    /// The arrows within each folder.
    fn arrows(&self) -> BTreeMap<Module, Arrows> {
        let mut all: BTreeMap<Module, Arrows> = BTreeMap::new();
        for (from, paths) in &self.0 {
            for to in paths.iter().filter_map(|path| self.resolve(from, path, 0)) {
                let shared = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
                let (text, other) = (from.join("::"), to.join("::"));
                let allowed = ALLOWED.iter().any(|(a, b, _)| *a == text && *b == other);
                if let (Some(own), Some(next)) = (from.get(shared), to.get(shared))
                    && !allowed
                {
                    let arrows = all.entry(from[..shared].to_vec()).or_default();
                    arrows.entry((own.clone(), next.clone())).or_default().insert((text, other));
                }
            }
        }
        all
    }

    /// The module in which that lies what a path names as seen from a module; `None` where it is not of this crate.
    fn resolve(&self, from: &Module, path: &[String], depth: usize) -> Option<Module> {
        let (mut module, mut rest) = match path.first()?.as_str() {
            "crate" => (vec![], &path[1..]),
            "self" => (from.clone(), &path[1..]),
            "super" => (from.clone(), path),
            _ => (self.child(from, &path[0]).map(|_| from.clone())?, path),
        };
        while rest.first().is_some_and(|name| name == "super") {
            module.pop();
            rest = &rest[1..];
        }
        while let Some(child) = rest.first().and_then(|name| self.child(&module, name)) {
            (module, rest) = (child, &rest[1..]);
        }
        // What a module has from elsewhere is there.
        let handed = self.0.get(&module)?.iter().find(|used| !rest.is_empty() && used.last() == rest.first());
        let further = handed.filter(|_| depth < 8).and_then(|used| self.resolve(&module, used, depth + 1));
        Some(further.unwrap_or(module))
    }

    fn child(&self, module: &[String], name: &str) -> Option<Module> {
        let child = [module, &[name.to_owned()]].concat();
        self.0.contains_key(&child).then_some(child)
    }
}

fn module_of(file: &Path) -> Module {
    let mut names: Module = file.iter().map(|part| part.to_string_lossy().into_owned()).collect();
    let last = names.pop().unwrap_or_default();
    match last.trim_end_matches(".rs") {
        "mod" | "lib" | "main" => {}
        name => names.push(name.to_owned()),
    }
    names
}

/// The paths that `use` lines name, and those of code that begin with `crate::` or `super::`.
fn named(code: &str) -> Vec<Module> {
    let mut paths = vec![];
    let mut rest = String::new();
    for statement in code.split_inclusive(';') {
        let start = statement.rfind("use ").filter(|at| {
            let line = statement[..*at].rsplit('\n').next().unwrap_or_default().trim();
            line.is_empty() || line.starts_with("pub")
        });
        match start {
            Some(at) => {
                rest.push_str(&statement[..at]);
                tree(statement[at + 4..].trim_end_matches(';'), &[], &mut paths);
            }
            None => rest.push_str(statement),
        }
    }
    for head in ["crate::", "super::"] {
        for (at, _) in rest.match_indices(head) {
            let whole = rest[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':');
            let end = |c: char| !c.is_alphanumeric() && c != '_' && c != ':';
            let path = rest[at..].split(end).next().unwrap_or_default();
            if !whole {
                paths.push(path.split("::").filter(|name| !name.is_empty()).map(str::to_owned).collect());
            }
        }
    }
    paths
}

/// The paths of a `use` tree: `a::{b, c::{d, e}}` is a::b, a::c::d and a::c::e.
fn tree(text: &str, before: &[String], into: &mut Vec<Module>) {
    let (head, group) = text.split_once('{').map_or((text, None), |(head, group)| (head, Some(group)));
    let head = head.split(" as ").next().unwrap_or_default();
    let names = head.split("::").map(str::trim).filter(|name| !name.is_empty() && *name != "self");
    let path: Module = before.iter().cloned().chain(names.map(str::to_owned)).collect();
    let Some(group) = group else {
        into.push(path);
        return;
    };
    let (mut depth, mut start) = (0, 0);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                if !group[start..at].trim().is_empty() {
                    tree(&group[start..at], &path, into);
                }
                start = at + 1;
            }
            _ => {}
        }
    }
}

#[test]
fn the_reader_sees_trees_and_what_is_handed_on() {
    let of = |text: &str| text.split("::").map(str::to_owned).collect::<Module>();
    let file = |name: &str, code: &str| (of(name), named(code));
    let modules = Crate(BTreeMap::from([
        file("room", "pub use low::Thing;\nmod low;"),
        file("room::low", "use super::high::{self, Other as Same};"),
        file("room::high", "use crate::{room::{Thing}, tensor::Tensor};\nfn f() { super::low::g() }"),
        file("room::apart", "pub(super) use super::high;"),
    ]));
    let arrows = &modules.arrows()[&of("room")];
    let pairs: Vec<String> = arrows.keys().map(|(from, to)| format!("{from} {to}")).collect();
    assert_eq!(pairs, ["apart high", "high low", "low high"]);
    let text = |(from, to): &(String, String)| format!("{from} {to}");
    let found: Vec<String> = circle(arrows).iter().map(text).collect();
    assert_eq!(found, ["room::high room::low", "room::low room::high"]);
}
