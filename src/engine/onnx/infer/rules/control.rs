//! Nodes that hold graphs.

use super::{Call, Ruled};
use crate::engine::onnx::infer::dim::Dim;
use crate::engine::onnx::infer::fact::Fact;
use crate::engine::onnx::{Graph, ValueType};
use crate::tensor::DType;

/// The graph of that name, with what is known of the values that it captures: the last inputs of the node, graph
/// after graph.
fn inner<'a>(call: &Call<'a, '_>, name: &str) -> Option<(&'a Graph, Vec<Fact>)> {
    let graphs = call.node.attributes.graphs();
    let total: usize = graphs.iter().map(|(_, graph)| graph.captures.len()).sum();
    let mut start = call.inputs.len().checked_sub(total)?;
    for (other, graph) in graphs {
        let end = start + graph.captures.len();
        if other == name {
            return Some((graph, call.inputs.get(start..end)?.to_vec()));
        }
        start = end;
    }
    None
}

/// What is known of the outputs of a graph, given that of its inputs.
fn outputs(call: &mut Call<'_, '_>, graph: &Graph, inputs: Vec<Fact>, captured: &[Fact]) -> Vec<Fact> {
    for (at, (id, fact)) in graph.inputs.iter().zip(&inputs).enumerate() {
        if let (Some(declared), Some(given)) = (graph.declared.get(id), fact.value_type())
            && given.differs(*declared)
        {
            let name = &graph.values[*id];
            call.mistyped(format!(
                "its graph is given {given} as input {at}, which it declares {declared} ({name:?})"
            ));
        }
    }
    let facts = call.walk.graph(graph, inputs.iter().chain(captured));
    graph.outputs.iter().map(|id| facts[*id].clone()).collect()
}

/// Whether the graph inside takes and gives as many values as the node around it has.
fn counted(call: &mut Call<'_, '_>, name: &str, graph: &Graph, inputs: usize, hidden: usize) -> bool {
    let wanted = call.node.outputs.len() + hidden;
    let (takes, gives) = (graph.inputs.len(), graph.outputs.len());
    if takes != inputs {
        call.mistyped(format!(
            "{name} takes another number of values than it is given, {takes} and not {inputs}"
        ));
    } else if gives < wanted {
        call.mistyped(format!("{name} gives fewer values than are read, {gives} and not {wanted}"));
    }
    takes == inputs && gives >= wanted
}

/// Names what two values that must be of one type are, where they are not.
fn alike(call: &mut Call<'_, '_>, a: &Fact, b: &Fact, told: impl Fn(ValueType, ValueType) -> String) {
    if let (Some(x), Some(y)) = (a.value_type(), b.value_type())
        && x.differs(y)
    {
        call.mistyped(told(x, y));
    }
}

pub fn branch(call: &mut Call<'_, '_>) -> Ruled {
    let (Some((then, of_then)), Some((other, of_other))) =
        (inner(call, "then_branch"), inner(call, "else_branch"))
    else {
        return Ok(vec![]);
    };
    if then.outputs.len() != other.outputs.len() {
        let (a, b) = (then.outputs.len(), other.outputs.len());
        call.mistyped(format!("then_branch and else_branch give different numbers of values, {a} and {b}"));
    } else if !counted(call, "then_branch", then, 0, 0) || !counted(call, "else_branch", other, 0, 0) {
        return Ok(vec![]);
    }
    // Each branch is looked into, whichever is taken.
    let then = outputs(call, then, vec![], &of_then);
    let other = outputs(call, other, vec![], &of_other);
    for (at, (a, b)) in then.iter().zip(&other).enumerate() {
        alike(call, a, b, |a, b| format!("output {at} is {a} of then_branch and {b} of else_branch"));
    }
    Ok(match call.fact(0).integers().as_deref() {
        Some([0]) => other,
        Some([_]) => then,
        _ => then.iter().zip(&other).map(|(a, b)| a.either(b)).collect(),
    })
}

pub fn repeat(call: &mut Call<'_, '_>) -> Ruled {
    let Some((body, captured)) = inner(call, "body") else { return Ok(vec![]) };
    let carried = body.inputs.len().saturating_sub(2);
    if !counted(call, "body", body, own_inputs(call).max(2), 1) {
        return Ok(vec![]);
    }
    // The number of the round, and whether it is run.
    let fixed = vec![Fact::new(DType::I64, vec![]), Fact::new(DType::Bool, vec![])];
    let initial: Vec<Fact> = (0..carried).map(|at| state(&call.fact(at + 2))).collect();
    let all = settled(call, body, fixed, initial, vec![], &captured, 1);
    let Some(mut all) = all else { return Ok(vec![]) };
    let trips = Dim::Unknown;
    for scan in all.iter_mut().skip(carried) {
        if let Some(dims) = &mut scan.dims {
            dims.insert(0, trips.clone());
        }
        scan.elements = None;
    }
    Ok(all)
}

/// How many inputs a node has beside those that its graphs capture.
fn own_inputs(call: &Call<'_, '_>) -> usize {
    let captures: usize = call.node.attributes.graphs().iter().map(|(_, graph)| graph.captures.len()).sum();
    call.inputs.len().saturating_sub(captures)
}

/// What is known of a value that each round replaces, but for its elements.
fn state(fact: &Fact) -> Fact {
    Fact { elements: None, ..fact.clone() }
}

/// What is known of the outputs of a body, but for the first `skip`: of what it carries, what holds for every round.
fn settled(
    call: &mut Call<'_, '_>,
    body: &Graph,
    before: Vec<Fact>,
    mut carried: Vec<Fact>,
    after: Vec<Fact>,
    captured: &[Fact],
    skip: usize,
) -> Option<Vec<Fact>> {
    // Each round of looking can only forget what is known, so a few are enough, and then all is forgotten.
    for round in 0..3 {
        let given = [&before[..], &carried, &after].concat();
        let mut all = outputs(call, body, given, captured);
        all = all.get(skip..)?.to_vec();
        for (at, (a, b)) in carried.iter().zip(&all).enumerate() {
            alike(call, a, b, |a, b| format!("state {at} of its body comes as {a} and goes on as {b}"));
        }
        let kept: Vec<Fact> = carried.iter().zip(&all).map(|(a, b)| a.either(b)).collect();
        if kept == carried || carried.is_empty() {
            return Some(all);
        }
        carried = match round {
            0 => kept,
            _ => kept.into_iter().map(|fact| Fact { dims: None, ..fact }).collect(),
        };
    }
    None
}

pub fn scan(call: &mut Call<'_, '_>) -> Ruled {
    let Some((body, captured)) = inner(call, "body") else { return Ok(vec![]) };
    let scanned = usize::try_from(call.int("num_scan_inputs", 0)).unwrap_or(0);
    let Some(states) = body.inputs.len().checked_sub(scanned) else { return Ok(vec![]) };
    if call.node.version < 9 || !counted(call, "body", body, own_inputs(call), 0) {
        return Ok(vec![]);
    }
    let axes = call.ints("scan_input_axes").unwrap_or_else(|| vec![0; scanned]);
    let mut steps = Dim::Unknown;
    let slices: Vec<Fact> = (0..scanned)
        .map(|at| {
            let mut fact = state(&call.fact(states + at));
            if let Some(dims) = &mut fact.dims {
                match axes.get(at).and_then(|axis| super::index(*axis, dims.len())) {
                    Some(axis) => steps = dims.remove(axis),
                    None => fact.dims = None,
                }
            }
            fact
        })
        .collect();
    let initial: Vec<Fact> = (0..states).map(|at| state(&call.fact(at))).collect();
    let Some(mut all) = settled(call, body, vec![], initial, slices, &captured, 0) else {
        return Ok(vec![]);
    };
    let out = call.ints("scan_output_axes");
    for (at, fact) in all.iter_mut().skip(states).enumerate() {
        let axis = out.as_ref().and_then(|axes| axes.get(at).copied()).unwrap_or(0);
        if let Some(dims) = &mut fact.dims {
            match super::index(axis, dims.len() + 1) {
                Some(axis) => dims.insert(axis, steps.clone()),
                None => fact.dims = None,
            }
        }
        fact.elements = None;
    }
    Ok(all)
}
