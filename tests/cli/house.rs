//! Where things are, and the binary in a folder of the repository.

use assert_cmd::Command;
use std::path::{Path, PathBuf};

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub fn images(folder: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root().join("examples/images").join(folder)).unwrap();
    let mut images: Vec<PathBuf> = entries
        .map(|e| e.unwrap().path())
        .filter(|p| p.extension().is_some_and(|e| e == "jpg" || e == "png"))
        .collect();
    images.sort();
    assert!(images.len() >= 32);
    images
}

/// Runs in the repository, without whatever the surroundings say of colours and logs.
pub fn rserve() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rserve"));
    command.current_dir(root());
    for name in ["NO_COLOR", "CLICOLOR_FORCE", "RSERVE_LOG"] {
        command.env_remove(name);
    }
    command
}

/// What was said and how it ended.
pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

pub fn say(arguments: &[&str]) -> Said {
    let output = rserve().args(arguments).output().unwrap();
    Said {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}
