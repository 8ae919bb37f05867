//! Models whose types do not go together, of which ONNX Runtime loads none, and models that are right and near to them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rserve::engine::{self, LoadError};
use rserve::plan::DeviceId;
use std::fmt::Write;

#[test]
fn what_onnx_runtime_refuses_for_its_types_is_refused() {
    let (mut said, mut right) = (String::new(), 0);
    for line in include_str!("../fixtures/mistyped/models.tsv").lines() {
        let [name, verdict, model] = line.split('\t').collect::<Vec<_>>().try_into().unwrap();
        let model = bytes::Bytes::from(STANDARD.decode(model).unwrap());
        match (verdict, engine::load(model, DeviceId::Cpu)) {
            ("right", Ok(_)) => right += 1,
            ("right", Err(error)) => panic!("{name}: {error}"),
            (_, Ok(_)) => panic!("{name} is loaded"),
            (_, Err(LoadError::Unsupported(nodes))) => {
                let nodes: Vec<String> = nodes.iter().map(ToString::to_string).collect();
                writeln!(said, "{name}\n  {}", nodes.join("\n  ")).unwrap();
            }
            (_, Err(error)) => writeln!(said, "{name}\n  {error}").unwrap(),
        }
    }
    assert!(right > 25, "{right}");
    insta::assert_snapshot!(said);
}
