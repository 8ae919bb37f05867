//! Graphs that mix rows, each with the operator that does, and graphs that look as if they did.

use super::*;
use crate::engine::onnx::infer::text::{Constants, Text};

/// What mixes the rows of a graph whose batch is the axis `N`.
fn mixed(inputs: &str, constants: Constants<'_>, nodes: &str) -> Option<String> {
    let text = Text::new(inputs, constants, nodes);
    let batch: HashSet<Symbol> = text.symbols.find("N").into_iter().collect();
    let search = Search { batch: &batch, depth: 0 };
    let follows: Vec<bool> = text.facts.iter().map(|fact| search.carries_any(fact, &text.symbols)).collect();
    search.graph(&text.graph, &text.facts, &follows, &text.symbols)
}

const ROWS: &str = "x: float32[N, 4]";
const TOKENS: &str = "x: float32[N, S, 8]; w: float32[8, 8]";

#[test]
fn what_mixes_rows_is_named() {
    let cases: &[(&str, Constants<'_>, &str, &str)] = &[
        (
            ROWS,
            &[("i", &[0]), ("a", &[0])],
            "l = SequenceConstruct(x); j = Squeeze(i); v = SequenceAt(l, j); y = CumSum(v, a)",
            "CumSum \"y\" works along the first axis of what is not known before it runs",
        ),
        (
            ROWS,
            &[("i", &[0])],
            "l = SequenceConstruct(x); j = Squeeze(i); v = SequenceAt(l, j); m = ReduceMax(v); y = Div(v, m)",
            "ReduceMax \"m\" works along the first axis of what is not known before it runs",
        ),
        (
            ROWS,
            &[],
            "m = ReduceMax(x) keepdims=0; y = Div(x, m)",
            "ReduceMax \"m\" makes one value of all rows",
        ),
        (ROWS, &[], "m = ReduceMax(x); y = Div(x, m)", "ReduceMax \"m\" makes one value of all rows"),
        (
            ROWS,
            &[("a", &[0])],
            "m = ReduceMean(x, a); y = Sub(x, m)",
            "ReduceMean \"m\" makes one value of all rows",
        ),
        (
            ROWS,
            &[("i", &[0])],
            "f = Gather(x, i) axis=0; y = Add(x, f)",
            "Gather \"f\" makes one value of all rows",
        ),
        (ROWS, &[("a", &[0])], "y = CumSum(x, a)", "CumSum \"y\" works along the batch"),
        (ROWS, &[], "y = Softmax(x) axis=0", "Softmax \"y\" works along the batch"),
        (
            ROWS,
            &[("b", &[1]), ("e", &[9]), ("a", &[0])],
            "y = Slice(x, b, e, a)",
            "Slice \"y\" works along the batch",
        ),
        (ROWS, &[("p", &[1, 0, 0, 0])], "y = Pad(x, p)", "Pad \"y\" works along the batch"),
        (
            ROWS,
            &[],
            "t = Transpose(x) perm=1,0; y = MatMul(x, t)",
            "MatMul \"y\" sets each row beside every other",
        ),
        (ROWS, &[], "t = Transpose(x) perm=1,0; y = MatMul(t, x)", "MatMul \"y\" works along the batch"),
        (
            ROWS,
            &[("i", &[0]), ("z", &[]), ("one", &[1])],
            "s = Shape(x); n = Gather(s, i); m = Squeeze(n); o = Squeeze(i); d = Squeeze(one); r = Range(o, m, d); y = Equal(r, m)",
            "Equal \"y\" goes by a row's place in the batch",
        ),
    ];
    for (inputs, constants, nodes, expected) in cases {
        assert_eq!(mixed(inputs, constants, nodes).as_deref(), Some(*expected), "{nodes}");
    }
}

#[test]
fn what_leaves_rows_alone_is_not_said_to_mix_them() {
    let cases: &[(&str, Constants<'_>, &str)] = &[
        (ROWS, &[("a", &[1])], "m = ReduceMax(x, a); y = Div(x, m)"),
        (ROWS, &[("a", &[1])], "y = CumSum(x, a)"),
        (ROWS, &[], "y = Softmax(x) axis=1"),
        (ROWS, &[("b", &[0]), ("e", &[i64::MAX]), ("a", &[0])], "y = Slice(x, b, e, a)"),
        (ROWS, &[("b", &[1]), ("e", &[3]), ("a", &[1])], "y = Slice(x, b, e, a)"),
        (ROWS, &[("p", &[0, 1, 0, 0])], "y = Pad(x, p)"),
        (ROWS, &[("s", &[-1, 2, 2])], "r = Reshape(x, s); y = Softmax(r) axis=2"),
        (ROWS, &[], "s = Shape(x); c = ConstantOfShape(s); y = Add(x, c)"),
        (
            TOKENS,
            &[],
            "q = MatMul(x, w); t = Transpose(x) perm=0,2,1; s = MatMul(q, t); p = Softmax(s); y = MatMul(p, x)",
        ),
        // The row's number is an index into its own rows, as in the pooling of a text encoder.
        (
            TOKENS,
            &[("i", &[0]), ("zero", &[0]), ("one", &[1]), ("last", &[-1])],
            "s = Shape(x); n = Gather(s, i); m = Squeeze(n); o = Squeeze(zero); d = Squeeze(one); r = Range(o, m, d); \
             u = Unsqueeze(r, last); y = GatherND(x, u)",
        ),
    ];
    for (inputs, constants, nodes) in cases {
        assert_eq!(mixed(inputs, constants, nodes), None, "{nodes}");
    }
}
