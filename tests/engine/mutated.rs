//! Files that were garbled or cut: 24 of each network, refused or run, never a crash or a hang.

use super::{entry, file};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Deterministic numbers that look random (xorshift).
fn noise(mut state: u64) -> impl FnMut() -> usize {
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as usize
    }
}

/// A file after one kind of accident, the same for the same seed.
fn mutated(original: &[u8], round: usize, random: &mut impl FnMut() -> usize) -> Vec<u8> {
    let mut bytes = original.to_vec();
    // The head of a file and its tail are its structure; between them are weights.
    let reach = if round.is_multiple_of(2) { bytes.len() } else { bytes.len().min(4096) };
    match round % 6 {
        0 | 1 => (0..=round).for_each(|_| bytes[random() % reach] ^= 1 << (random() % 8)),
        2 => bytes.truncate(random() % original.len()),
        // A run of bytes from elsewhere in the file.
        3 => {
            let length = 1 + random() % 64;
            let (from, to) = (random() % (bytes.len() - length), random() % (reach - length));
            bytes.copy_within(from..from + length, to);
        }
        4 => bytes[original.len() - 1 - random() % 512.min(original.len())] = random() as u8,
        _ => {
            let at = random() % reach;
            bytes.drain(at..(at + 1 + random() % 16).min(original.len()));
        }
    }
    bytes
}

fn models(folder: &str) -> Vec<PathBuf> {
    let mut models: Vec<PathBuf> = std::fs::read_dir(file(folder))
        .unwrap()
        .map(|entry| entry.unwrap().path().join("model.onnx"))
        .filter(|path| path.exists())
        .collect();
    models.sort();
    models
}

/// Whether the whole file ran.
fn hunt(path: &Path, seed: u64) -> bool {
    let original = std::fs::read(path).unwrap();
    let ran = entry::model(&original).is_ok();
    let mut random = noise(seed);
    for round in 0..24 {
        let bytes = mutated(&original, round, &mut random);
        let began = Instant::now();
        // Either will do.
        let _ = entry::model(&bytes);
        let took = began.elapsed();
        assert!(took < Duration::from_secs(30), "{}, round {round}: {took:?}", path.display());
    }
    ran
}

#[test]
fn mutated_networks_are_refused_or_run() {
    let models = models("tests/fixtures/networks");
    let ran = models.iter().enumerate().filter(|(seed, path)| hunt(path, *seed as u64 + 1)).count();
    // All but those that want inputs of particular lengths.
    assert!(ran >= 25, "only {ran} ran before they were garbled");
}
