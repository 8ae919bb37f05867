//! What the inference says of values, by tables and against what comes out.

use super::text::{Constants, Text};
use super::*;
use crate::engine::onnx::ValueType;
use crate::tensor::DType;

#[test]
fn lengths_follow_from_the_inputs() {
    let image = "x: float32[N, 3, H, W]; w: float32[8, 3, 3, 3]";
    let tokens = "x: float32[N, S, 64]; w: float32[64, 96]; m: float32[N, 1, 1, S]";
    let cases: &[(&str, Constants<'_>, &str, &str)] = &[
        (image, &[], "y = Conv(x, w) pads=1,1,1,1", "float32[N, 8, H, W]"),
        (image, &[], "y = Conv(x, w) strides=2,2 pads=1,1,1,1", "float32[N, 8, ?, ?]"),
        (image, &[], "a = Conv(x, w); b = Conv(x, w); y = Add(a, b)", "float32[N, 8, ?, ?]"),
        (image, &[], "a = Relu(x); y = GlobalAveragePool(a)", "float32[N, 3, 1, 1]"),
        (image, &[], "y = Flatten(x)", "float32[N, 3·H·W]"),
        ("x: float32[2, 3, 9, 9]", &[], "y = MaxPool(x) kernel_shape=3,3 strides=2,2", "float32[2, 3, 4, 4]"),
        (image, &[], "y = ConvTranspose(x, v)", "float32[..]"),
        (tokens, &[], "y = MatMul(x, w)", "float32[N, S, 96]"),
        (
            tokens,
            &[("s", &[0, -1, 8, 8])],
            "a = Reshape(x, s); y = Transpose(a) perm=0,2,1,3",
            "float32[N, 8, S, 8]",
        ),
        (
            tokens,
            &[("zero", &[0]), ("rest", &[-1, 64])],
            "a = Shape(x); b = Gather(a, zero); s = Concat(b, rest) axis=0; y = Reshape(x, s)",
            "float32[N, S, 64]",
        ),
        (tokens, &[("a", &[1])], "y = ReduceMean(x, a) keepdims=0", "float32[N, 64]"),
        (tokens, &[("a", &[2])], "y = Unsqueeze(x, a)", "float32[N, S, 1, 64]"),
        (
            tokens,
            &[("b", &[0]), ("e", &[9223372036854775807]), ("a", &[1])],
            "y = Slice(x, b, e, a)",
            "float32[N, S, 64]",
        ),
        (tokens, &[("b", &[1]), ("e", &[3]), ("a", &[2])], "y = Slice(x, b, e, a)", "float32[N, S, 2]"),
        (tokens, &[("k", &[5])], "y, i = TopK(x, k)", "float32[N, S, 5]"),
        (tokens, &[], "y = Concat(x, x) axis=0", "float32[2·N, S, 64]"),
        (tokens, &[], "y, z = Split(x) axis=2", "float32[N, S, 32]"),
        (tokens, &[], "y = ArgMax(x) axis=2 keepdims=0", "int64[N, S]"),
        (tokens, &[], "y = Cast(x) to=7", "int64[N, S, 64]"),
        (tokens, &[], "n = NonZero(x); y = Transpose(n)", "int64[?, 3]"),
        (tokens, &[], "y = NonMaxSuppression(x, x)", "int64[?, 3]"),
        (
            "x: float32[S, N, 4]; w: float32[2, 64, 4]; r: float32[2, 64, 16]",
            &[],
            "y, h = LSTM(x, w, r) hidden_size=16 direction=bidirectional",
            "float32[S, 2, N, 16]",
        ),
        (
            "x: float32[N, 4]",
            &[],
            "l, y = ai.onnx.ml.LinearClassifier(x) classlabels_ints=0,1,2",
            "float32[N, 3]",
        ),
        (
            "x: float32[N, 4]",
            &[],
            "y, s = ai.onnx.ml.TreeEnsembleClassifier(x) classlabels_int64s=0,1,2",
            "int64[N]",
        ),
        ("x: float32[N, 4]", &[], "y = Nobody(x)", "?[..]"),
        ("a: float32[A, 64]; b: float32[B, 64]", &[], "c = Transpose(b); y = MatMul(a, c)", "float32[A, B]"),
        ("q: float32[N, 4]; p: float32[N, 4]", &[], "y = Einsum(q, p) equation=nc,nc->n", "float32[N]"),
        (
            "q: float32[N, H, S, 4]; p: float32[H, T, 4]",
            &[],
            "y = Einsum(q, p) equation=...sc,...tc->...st",
            "float32[N, H, S, T]",
        ),
        (
            "q: float32[N, S, 4]; p: float32[4, 8]",
            &[],
            "y = Einsum(q, p) equation=...b,ba",
            "float32[N, S, 8]",
        ),
        ("q: float32[N, N]", &[], "y = Einsum(q) equation=ii->i", "float32[N]"),
    ];
    for (inputs, constants, nodes, wanted) in cases {
        assert_eq!(Text::new(inputs, constants, nodes).show("y"), *wanted, "{nodes}");
    }
}

#[test]
fn a_length_that_values_decide_is_told_from_one_that_lengths_decide() {
    let text =
        Text::new("x: float32[N, 4]", &[], "n = NonZero(x); y = Transpose(n); z = Concat(x, x) axis=0");
    let found = text.inference();
    let first = |name: &str| found.facts[text.ids[name]].dims.as_ref().unwrap()[0].clone();
    assert!(found.symbols.depends_on_data(&first("y")));
    assert!(!found.symbols.depends_on_data(&first("z")));
    let batch = first("x").as_symbol().unwrap();
    assert!(found.symbols.base(&first("z")).contains(&batch));
    assert_eq!(first("z").as_symbol(), None);
}

#[test]
fn every_node_of_mixed_types_is_named() {
    let text = Text::new(
        "a: float16[N, 4]; b: float32[N, 4]; i: float32[N]; h: bfloat16[1, 3, 8, 8]; w: float32[3, 3, 3, 3]",
        &[],
        "s = Sub(a, b); c = Conv(h, w); g = Gather(b, i); t = Add(b, b); l = And(b, b)",
    );
    let found = text.inference();
    let shown: Vec<String> = found.mistyped.iter().map(ToString::to_string).collect();
    assert_eq!(
        shown,
        [
            "Sub \"s\": input 0 is float16 and input 1 is float32, where both must be of one type",
            "Conv \"c\": input 0 is bfloat16 and input 1 is float32, where both must be of one type",
            "Gather \"g\": input 1 is float32, which it does not take",
            "And \"l\": input 0 is float32, and it takes bool",
        ]
    );
}

#[test]
fn lengths_that_cannot_go_together_are_told() {
    for (inputs, node) in [
        ("a: float32[N, 4]; b: float32[N, 5]", "y = Add(a, b)"),
        ("a: float32[N, 4]; b: float32[5, 2]", "y = MatMul(a, b)"),
        ("a: float32[N, 4, 8, 8]; b: float32[2, 3, 3, 3]", "y = Conv(a, b)"),
        ("a: float32[N, 4]; b: float32[N, 5]", "y = Concat(a, b) axis=0"),
    ] {
        assert_eq!(Text::new(inputs, &[], node).inference().misshapen.len(), 1, "{node}");
    }
}

/// The models of the tests and examples run, so nothing may be found wrong with them.
#[test]
fn nothing_is_said_against_a_model_that_runs() {
    let mut folders: Vec<_> = ["tests/fixtures", "examples/models"].map(std::path::PathBuf::from).into();
    let mut seen = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "onnx") {
                let Ok(files) =
                    crate::store::model(&path, &crate::engine::Onnx, &crate::memory::Budget::unlimited())
                else {
                    continue;
                };
                let Ok(model) = crate::engine::onnx::read(files.onnx, &files.data) else { continue };
                let found = of_model(&model);
                assert_eq!(found.mistyped, [], "{}", path.display());
                assert_eq!(found.misshapen, [], "{}", path.display());
                seen += 1;
            }
        }
    }
    assert!(seen > 20, "{seen}");
}

#[test]
fn a_node_that_gives_another_type_than_is_declared_is_named() {
    let mut text = Text::new("x: float32[N, 4]", &[], "y = ArgMax(x) axis=1");
    let output = text.ids["y"];
    text.graph.outputs.push(output);
    for (declared, named) in [(DType::I64, 0), (DType::F32, 1)] {
        text.graph.declared.insert(output, ValueType::Tensor(declared));
        let mistyped = text.inference().mistyped;
        assert_eq!(mistyped.len(), named, "{mistyped:?}");
        assert!(mistyped.iter().all(|node| node.why.contains("is declared float32")), "{mistyped:?}");
    }
}
