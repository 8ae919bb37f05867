//! One operator each against ONNX Runtime's numbers, where the conformance cases of the standard do not reach.

use super::conformance;

#[test]
fn every_operator_gives_what_onnx_runtime_gives() {
    let folder = super::file("tests/fixtures/engine/operators");
    let mut failures = Vec::new();
    let mut cases = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let folder = entry.unwrap().path();
        cases += 1;
        if let Err(why) = conformance::run(&folder) {
            failures.push(format!("{}: {why}", folder.file_name().unwrap().to_string_lossy()));
        }
    }
    assert!(cases > 30, "{cases} cases in {}", folder.display());
    assert!(failures.is_empty(), "{failures:#?}");
}
