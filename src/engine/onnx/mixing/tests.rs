//! Graphs that mix rows, each with the operator that does, and graphs that look as if they did.

use super::*;
use crate::engine::onnx::infer::text::{Constants, Text};

/// What mixes the rows of a graph whose batch is the axis `N`.
fn mixed(inputs: &str, constants: Constants<'_>, nodes: &str) -> Option<String> {
    let mut text = Text::new(inputs, constants, nodes);
    text.graph.outputs.push(text.ids["y"]);
    let batch: HashSet<Symbol> = text.symbols.find("N").into_iter().collect();
    search(&text.graph, &text.facts, &batch, &text.symbols)
}

const ROWS: &str = "x: float32[N, 4]";
const TOKENS: &str = "x: float32[N, S, 8]; w: float32[8, 8]";

#[test]
fn what_mixes_rows_is_named() {
    const COUNT: &str = "goes by the number of rows, or by a number that all of them make";
    const FIRST: Constants<'_> = &[("i", &[0]), ("five", &[5]), ("o", &[1])];
    for (nodes, node) in [
        ("s = Shape(x); n = Gather(s, i); c = Greater(n, five); y = Where(c, x, o)", "Where"),
        ("n = Size(x); f = Cast(n) to=1; t = Tanh(f); y = Mul(x, t)", "Mul"),
        ("s = Shape(x); n = Gather(s, i); p = Slice(five, i, n, i); f = Cast(p) to=1; y = Add(x, f)", "Add"),
        ("s = Shape(x); n = Gather(s, i); v, y = TopK(x, n)", "TopK"),
        ("b = Greater(x, five); z = NonZero(b); s = Shape(z); k = Gather(s, o); y = Mul(x, k)", "Mul"),
    ] {
        let name = if node == "TopK" { "v" } else { "y" };
        assert_eq!(mixed(ROWS, FIRST, nodes), Some(format!("{node} {name:?} {COUNT}")), "{nodes}");
    }
    let cases: &[(&str, Constants<'_>, &str, &str)] = &[
        (
            ROWS,
            &[("i", &[0]), ("one", &[1]), ("t", &[1, 2, 3, 4, 5, 6, 7, 8])],
            "s = Shape(x); n = Gather(s, i); m = Squeeze(n); o = Squeeze(i); d = Squeeze(one); r = Range(o, m, d); \
             g = Gather(t, r); u = Unsqueeze(g, i); y = Add(x, u)",
            "output \"y\" goes by a row's place in the batch",
        ),
        (
            ROWS,
            &[("i", &[0])],
            "s = Shape(x); n = Gather(s, i); c = Concat(n, n) axis=0; z = ConstantOfShape(c); e = Trilu(z); \
             r = ReduceSum(e); y = Add(x, r)",
            "ReduceSum \"r\" goes by a row's place in the batch",
        ),
        (
            "b: float32[1, N, 4]; s: float32[1, 1, N]",
            &[],
            "y = NonMaxSuppression(b, s)",
            "NonMaxSuppression \"y\" works along the batch",
        ),
        (ROWS, &[], "u, v, y = Unique(x)", "Unique \"u\" takes all rows together"),
        (
            "x: string[N]",
            &[],
            "y = StringSplit(x)",
            "output \"y\" is as long as the longest of all rows makes it",
        ),
        (
            "x: float32[N, 1, 4]",
            &[],
            "v, y = MaxPool(x) kernel_shape=2,",
            "output \"y\" goes by a row's place in the batch",
        ),
        (
            "x: float32[N, 4]; k: int64[N]",
            &[],
            "y = Gather(x, k) axis=0",
            "Gather \"y\" picks rows of the batch by an index",
        ),
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
            "Gather \"f\" picks rows of the batch by an index",
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
        // What positions are told by is the same for every row.
        (
            "x: int64[N, S]; w: float32[8, 8]",
            &[("a", &[0]), ("b", &[1])],
            "s = Shape(x); l = Gather(s, b); m = Squeeze(l); o = Squeeze(a); d = Squeeze(b); r = Range(o, m, d); \
             p = Expand(r, s); e = Gather(w, p); t = Gather(w, x); y = Add(t, e)",
        ),
        (
            ROWS,
            &[("i", &[0]), ("two", &[2])],
            "s = Shape(x); n = Gather(s, i); c = Concat(n, two, two) axis=0; r = Reshape(x, c); y = Softmax(r) axis=2",
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

#[test]
fn words_that_fill_rows_up_are_not_counted_unless_they_are_in_the_vocabulary() {
    let nodes = "t = com.microsoft.Tokenizer(x) pad_value=#; f = Flatten(t); y = TfIdfVectorizer(f)";
    let mut text = Text::new("x: string[N, 1]", &[], nodes);
    let batch: HashSet<Symbol> = text.symbols.find("N").into_iter().collect();
    for (vocabulary, mixes) in [(["good", "bad"], false), (["good", "#"], true)] {
        let words = vocabulary.map(std::sync::Arc::from).to_vec();
        let vectorizer = text.graph.nodes.last_mut().unwrap();
        vectorizer.attributes.set("pool_strings", crate::engine::onnx::Attribute::Texts(words));
        assert_eq!(
            search(&text.graph, &text.facts, &batch, &text.symbols).is_some(),
            mixes,
            "{vocabulary:?}"
        );
    }
}

/// A loop in a loop, and so on, each of which hands its states on by one place a round.
fn nested(depth: usize, states: usize) -> Graph {
    let mut graph = Graph::default();
    let (round, go) = (graph.new_value("round"), graph.new_value("go"));
    let carried: Vec<ValueId> = (0..states).map(|at| graph.new_value(format!("s{at}"))).collect();
    graph.inputs = [round, go].into_iter().chain(carried.iter().copied()).collect();
    let mut gives = carried;
    if depth > 0 {
        let outputs: Vec<ValueId> = (0..states).map(|at| graph.new_value(format!("o{at}"))).collect();
        let mut attributes = crate::engine::onnx::Attributes::default();
        let body = crate::engine::onnx::Attribute::Graph(Box::new(nested(depth - 1, states)));
        attributes.set("body", body);
        graph.nodes.push(Node {
            name: format!("loop {depth}"),
            domain: String::new(),
            op: "Loop".to_owned(),
            version: 18,
            inputs: [None, None].into_iter().chain(gives.iter().copied().map(Some)).collect(),
            outputs: outputs.iter().copied().map(Some).collect(),
            attributes,
        });
        gives = outputs;
    }
    gives.rotate_right(1);
    graph.outputs = [go].into_iter().chain(gives).collect();
    graph
}

#[test]
fn loops_within_loops_are_looked_into_for_so_long() {
    let graph = nested(3, 5);
    let batch = HashSet::new();
    let given = vec![Fact::default(); graph.inputs.len()];
    let mut marks = vec![Marks::default(); graph.inputs.len()];
    marks[2].rows = true;
    let look = |left: usize| {
        let left = Cell::new(left);
        let search = Search { batch: &batch, depth: 0, left: &left };
        search.graph(&graph, &given, &marks, &Symbols::default())
    };
    // Each body is looked into until what its states hold grows no more.
    assert!(look(infer::size(&graph)).unwrap_err().contains("take too long"));
    assert!(look(infer::size(&graph) * MAX_LOOKS).unwrap()[1..].iter().all(|state| state.rows));
}

#[test]
fn a_loop_that_need_not_run_gives_what_it_was_given() {
    let mut body = nested(0, 1);
    let constant = body.new_value("constant");
    body.outputs[1] = constant;
    body.constants.insert(constant, crate::tensor::Tensor::from_vec(vec![1], vec![1_f32]).unwrap());
    let mut text = Text::new("x: float32[N, 4]", &[], "s = Loop(-, -, x); m = ReduceMax(s); y = Div(x, m)");
    text.graph.outputs.push(text.ids["y"]);
    text.graph.nodes[0].attributes.set("body", crate::engine::onnx::Attribute::Graph(Box::new(body)));
    let batch: HashSet<Symbol> = text.symbols.find("N").into_iter().collect();
    assert!(search(&text.graph, &text.facts, &batch, &text.symbols).is_some());
}
