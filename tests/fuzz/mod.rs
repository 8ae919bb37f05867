//! Bytes from outside that were garbled, the same at every run: whatever they are, they are refused or taken.
//!
//! `RSERVE_FUZZ_SECONDS=300 RSERVE_FUZZ_SEED=7 cargo test --release --test tests -- fuzz:: --nocapture` goes on for that
//! long with each, from another seed. What fails is written to the folder of temporary files, and its path is said.

mod entry;

use rserve::random::SplitMix64;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Rounds of each test where no time is asked for.
const ROUNDS: usize = 1500;

/// The bytes that an input may have.
const LARGEST: usize = 1 << 16;

/// What no input may take, however slow the machine.
const HANG: Duration = Duration::from_secs(30);

/// Deterministic numbers that look random.
struct Random(SplitMix64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0.below(n)
    }

    fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }
}

/// One or a few accidents, as files and requests have them, and as somebody makes them who means harm.
fn mutated(seeds: &[Vec<u8>], words: &[&[u8]], random: &mut Random) -> Vec<u8> {
    let mut bytes = random.of(seeds).clone();
    for _ in 0..1 + random.below(4) {
        let at = random.below(bytes.len() + 1);
        let end = (at + random.below(32)).min(bytes.len());
        match random.below(9) {
            0 => bytes.truncate(at),
            1 => _ = bytes.drain(at..end),
            2 => {
                let again = bytes[at..end].to_vec();
                bytes.splice(at..at, again);
            }
            3 => bytes.splice(at..at, random.of(words).iter().copied()).for_each(drop),
            4 => bytes.splice(at..end, random.of(words).iter().copied()).for_each(drop),
            // The end of another one.
            5 => {
                let other = random.of(seeds);
                bytes.truncate(at);
                bytes.extend_from_slice(&other[random.below(other.len() + 1)..]);
            }
            6 => {
                for byte in &mut bytes[at..end] {
                    *byte = *random.of(&[0, 1, 0x7f, 0x80, 0xff]);
                }
            }
            7 => {
                let times = 1 << random.below(10);
                let word = random.of(words).repeat(times);
                bytes.splice(at..at, word);
            }
            _ => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << random.below(8);
                }
            }
        }
    }
    bytes.truncate(LARGEST);
    bytes
}

/// Gives mutated seeds to an entry, and the seeds themselves.
fn hunt(name: &str, seeds: &[Vec<u8>], words: &[&str], entry: fn(&[u8])) {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
    let mut random = Random(SplitMix64(number("RSERVE_FUZZ_SEED").unwrap_or(1)));
    let until = number("RSERVE_FUZZ_SECONDS").map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let goes_on = |round: usize| until.map_or(round < ROUNDS, |until| Instant::now() < until);
    assert!(!seeds.is_empty());
    let (mut round, mut slowest) = (0, Duration::ZERO);
    while goes_on(round) {
        let bytes = seeds.get(round).cloned().unwrap_or_else(|| mutated(seeds, &words, &mut random));
        let began = Instant::now();
        let held = catch_unwind(AssertUnwindSafe(|| entry(&bytes)));
        let took = began.elapsed();
        if until.is_some() && took > slowest {
            slowest = took;
            std::fs::write(std::env::temp_dir().join(format!("rserve-fuzz-{name}-slowest")), &bytes).unwrap();
        }
        if held.is_err() || took > HANG {
            let path = std::env::temp_dir().join(format!("rserve-fuzz-{name}-{round}"));
            std::fs::write(&path, &bytes).unwrap();
            panic!("{name}, round {round}, {took:?}: the input is `{}`", path.display());
        }
        round += 1;
    }
    if until.is_some() {
        println!("{name}: {round} rounds, the slowest took {slowest:?}");
    }
}

fn files(folder: &str, wanted: impl Fn(&Path) -> bool) -> Vec<Vec<u8>> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let wanted = paths.iter().filter(|path| path.is_file() && wanted(path));
    wanted.map(|path| std::fs::read(path).unwrap()).filter(|bytes| bytes.len() <= LARGEST).collect()
}

#[test]
fn pipeline_files() {
    let mut seeds = files("pipelines", |path| path.extension().is_some_and(|e| e == "toml"));
    let more = r#"
        [server]
        listen = "127.0.0.1:0"
        memory = "1GiB"
        [device]
        use = "cpu"
        [models.a]
        version = [1, 2]
        traffic = { 1 = 90, 2 = 10 }
        batch = { max = 8, wait = "2ms", axes = { image = 0, mask = false } }
        gpu = 0.5
        [pipelines.a]
        timeout = "1s"
        decode.photo = { format = "image", size = [64, 64], mean = [0.5, 0.5, 0.5], std = [1, 1, 1] }
        decode.mask = { format = "npy", dtype = "float32", shape = [1, 64, 64] }
        encode.rows = { format = "csv", fields.x = { from = "s.probabilities", as = "top", labels = "labels.txt" } }
        [pipelines.a.steps]
        s = { model = "a", inputs = { image = "photo", mask = "mask" } }
        t = { model = "a", inputs = { image = "photo", mask = "s.mask" } }
        top = { op = "top", from = "s.probabilities", top = 3, labels = "labels.txt" }
        sure = { op = "max", from = ["top.values", "top.values"], weights = [1, 2], least = 1 }
        row = { op = "split", from = "s.mask", top = 9 }
        part = { op = "slice", each = "row", from = "row", axis = -1, start = 1, when = "sure < 0.85 and row > 2" }
        u = { op = "mean", over = "row", from = "part" }
        [pipelines.a.online]
        refuse = [{ when = "sure == 0", status = 422, say = "no" }]
        encode.map = { format = "png", from = "t.mask", as = "overlay", on = "photo" }
        encode.y = { format = "json", fields.y = "t.probabilities" }
    "#;
    seeds.push(more.as_bytes().to_vec());
    let words = [
        "\"",
        "'''",
        "[",
        "]]",
        "{",
        "}",
        "=",
        ".",
        "\n",
        "\u{1b}[2J",
        "é",
        "\u{202e}",
        "0x7fffffffffffffff",
        "1e999",
        "nan",
        "-1",
        "true",
        "\"latest\"",
        "s.mask",
        "photo",
        "[models.a]\n",
        "[pipelines.b.steps]\n",
        "format = \"json\"",
        "#",
        "\\u0000",
        "inputs = { image = \"s\" }",
        "op = \"ctc\", ",
        "axis = -3",
        "over = \"row\"",
        "from = \"row\"",
        "when = \"row > 2\"",
        "each = \"row\"",
        "within = \"9ms\"",
        "2024-01-01",
        ", ",
    ];
    hunt("toml", &seeds, &words, entry::toml);
}

#[test]
fn conditions_of_when() {
    let seeds = [
        "sure < 0.85 and not (faces == 0 or blurred)",
        "kind in [\"truck\", 'bus'] and kind != \"car\"",
        "a.score-1 >= -1e-3 or b not in [1, 2, 3]",
        "0.5 > x and x != y and ok == true",
    ];
    let words = [
        "(",
        ")",
        "[",
        "]",
        ",",
        "\"",
        "'",
        "and ",
        " or ",
        "not ",
        " in ",
        "==",
        "!=",
        "<",
        ">=",
        "=",
        "&&",
        "true",
        "-1",
        "1e999",
        "0.",
        "340282366920938463463374607431768211455",
        "a.b-c",
        "\"truk\"",
        "é",
        "\u{202e}",
        "\n",
        "≤",
        "%",
    ];
    hunt("condition", &seeds.map(|seed| seed.as_bytes().to_vec()), &words, entry::condition);
}

#[test]
fn bodies_of_requests() {
    let seeds: [&[u8]; 9] = [
        b"\0--B\r\nContent-Disposition: form-data; name=\"image\"; filename=\"p\"\r\n\r\nGIF89a\r\n--B\r\nContent-Disposition: form-data; name=\"json\"\r\nContent-Type: application/json\r\n\r\n[1,2]\r\n--B--\r\n",
        b"\0--B\r\nContent-Disposition: form-data; name*=utf-8''raw\r\n\r\n\0\0\0\0\r\n--B--",
        b"\x01{\"image\": \"R0lGODlh\", \"json\": [[1, 2.5], [3, 4]], \"npy\": \"k05VTVBZ\", \"raw\": \"AAAAAA==\"}",
        b"\x01{\"json\": {\"x\": [1, null, \"a\", {\"y\": 1e400}]}, \"image\": \"data:image/png;base64,iVBORw0KGgo=\"}",
        b"\x02image=R0lGODlh&json=%5B1%2C2%5D&npy=x",
        b"\x02{\"json\": [1]}",
        b"\x03a text",
        b"\x04[\"a\", \"b\"]",
        b"\x05{\"json\": \"\\ud83d\\ude00\"}",
    ];
    let words = [
        "--B",
        "\r\n",
        "\r\n\r\n",
        "Content-Disposition: form-data; name=\"image\"",
        "name=\"\"",
        "filename*=",
        "Content-Type: x/y+json",
        "{",
        "}",
        "[",
        "]",
        "\"",
        ",",
        ":",
        "\\u0000",
        "\\",
        "null",
        "1e999",
        "-0",
        "\"image\":",
        "\"json\":",
        "data:",
        ";base64,",
        "=",
        "&",
        "%",
        "\u{feff}",
    ];
    hunt("body", &seeds.map(<[u8]>::to_vec), &words, entry::body);
}

#[test]
fn json_documents() {
    let seeds: [&[u8]; 6] = [
        b"[[1, 2.5, -3e-7], [4, 5, 6]]",
        b"{\"x\": [1, 2], \"y\": {\"z\": [true, false, null]}}",
        b"[\"a\", \"\\u00e9\\n\", \"\"]",
        b"[9223372036854775807, -9223372036854775808, 18446744073709551615, 1e308]",
        b"[[[[[[[[1]]]]]]]]",
        b" 7 ",
    ];
    let words = [
        "[", "]", "[[[[", "{", "}", ",", ":", "\"", "\"x\":", "1e999", "-", ".", "0", "null", "\\ud800",
        "\\u0000", "true", "\n", "NaN", "9",
    ];
    hunt("json", &seeds.map(<[u8]>::to_vec), &words, entry::json);
}

#[test]
fn arrays_of_numpy() {
    let array = |version: u8, header: &str, elements: usize| {
        let mut file = b"\x93NUMPY".to_vec();
        file.extend([version, 0]);
        match version {
            1 => file.extend((header.len() as u16).to_le_bytes()),
            _ => file.extend((header.len() as u32).to_le_bytes()),
        }
        file.extend(header.bytes());
        file.extend(vec![0x3f; elements]);
        file
    };
    let seeds = [
        array(1, "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }\n", 24),
        array(1, "{'descr': '|u1', 'fortran_order': True, 'shape': (4,), }\n", 4),
        array(2, "{'descr': '>i8', 'fortran_order': False, 'shape': (), }\n", 8),
        array(3, "{'descr': '<U3', 'fortran_order': False, 'shape': (2,), }\n", 24),
        array(1, "{'descr': '|b1', 'fortran_order': False, 'shape': (0, 5), }\n", 0),
    ];
    let words = [
        "'shape': (",
        "18446744073709551615",
        "4294967296,",
        "0,",
        "-1",
        ")",
        "'descr': '",
        "<f8",
        "<c16",
        "|O",
        "|S9999999999",
        "<U1073741824",
        "True",
        "False",
        "'",
        "{",
        "}",
        "\\",
        "\n",
        "(((((",
        "[('a', '<i4')]",
    ];
    hunt("npy", &seeds, &words, entry::npy);
}

#[test]
fn pictures_of_all_formats() {
    let seeds = files("tests/fixtures/codec/pictures", |path| path.extension().is_none_or(|e| e != "ppm"));
    let words = [
        "\u{0}\u{0}\u{0}\u{1}",
        "IDAT",
        "\u{7f}\u{7f}",
        "II*\u{0}",
        "GIF89a",
        "RIFF",
        "VP8X",
        "\u{0}",
        "Exif\u{0}\u{0}",
        "acTL",
        "tRNS",
    ];
    hunt("picture", &seeds, &words, entry::picture);
}
