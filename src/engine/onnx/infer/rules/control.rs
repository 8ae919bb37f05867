//! Nodes that hold graphs.

use super::{Call, Ruled};
use crate::engine::onnx::Graph;
use crate::engine::onnx::infer::dim::Dim;
use crate::engine::onnx::infer::fact::Fact;

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
    let facts = call.walk.graph(graph, inputs.iter().chain(captured));
    graph.outputs.iter().map(|id| facts[*id].clone()).collect()
}

pub fn branch(call: &mut Call<'_, '_>) -> Ruled {
    let (Some((then, of_then)), Some((other, of_other))) =
        (inner(call, "then_branch"), inner(call, "else_branch"))
    else {
        return Ok(vec![]);
    };
    // Each branch is looked into, whichever is taken.
    let then = outputs(call, then, vec![], &of_then);
    let other = outputs(call, other, vec![], &of_other);
    Ok(match call.fact(0).integers().as_deref() {
        Some([0]) => other,
        Some([_]) => then,
        _ => then.iter().zip(&other).map(|(a, b)| a.either(b)).collect(),
    })
}

pub fn repeat(call: &mut Call<'_, '_>) -> Ruled {
    let Some((body, captured)) = inner(call, "body") else { return Ok(vec![]) };
    let carried = body.inputs.len().saturating_sub(2);
    let fixed = vec![Fact::of_dims(vec![]), Fact::of_dims(vec![])];
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
    if call.node.version < 9 {
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
