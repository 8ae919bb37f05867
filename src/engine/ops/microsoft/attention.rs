//! Attention and MultiHeadAttention, through the standard's Attention.

use crate::engine::backend::Kernels;
use crate::engine::onnx::{Attribute, ValueId};
use crate::engine::ops::body::Body;
use crate::engine::ops::{BoxOp, Site, inner};

/// What queries, keys and values meet with.
struct Beside {
    mask: Option<ValueId>,
    bias: Option<ValueId>,
    past: Option<(ValueId, ValueId)>,
}

/// Gives y and the keys and values, those of before included.
fn attend<B: Kernels>(
    site: &Site<'_, B>,
    body: &mut Body<'_, '_, B>,
    [q, k, v]: [ValueId; 3],
    beside: &Beside,
) -> Result<Vec<ValueId>, String> {
    let attributes = &site.node.attributes;
    let heads = Attribute::Int(attributes.int("num_heads", 0)?);
    let filter = attributes.float("mask_filter_value", -10_000.0)?;
    let mut given = vec![
        ("q_num_heads", heads.clone()),
        ("kv_num_heads", heads),
        ("is_causal", Attribute::Int(attributes.int("unidirectional", 0)?)),
    ];
    let scale = attributes.float("scale", 0.0)?;
    if scale != 0.0 {
        given.push(("scale", Attribute::Float(scale)));
    }
    let mask = beside.mask.map(|m| {
        let inputs = vec![Some(m), Some(k), beside.past.map(|(key, _)| key)];
        body.of_domain(
            inner::DOMAIN,
            inner::ATTENTION_MASK,
            inputs,
            &[("filter", Attribute::Float(filter))],
            1,
        )[0]
    });
    let mask = match (mask, beside.bias) {
        (Some(mask), Some(bias)) => Some(body.node("Add", &[mask, bias])),
        (mask, bias) => mask.or(bias),
    };
    let (key, value) = beside.past.unzip();
    Ok(body.nodes("Attention", vec![Some(q), Some(k), Some(v), mask, key, value], &given, 3))
}

/// An error for each of these that is set.
fn refuse<B: Kernels>(
    site: &Site<'_, B>,
    attributes: &[&str],
    inputs: &[(usize, &str)],
) -> Result<(), String> {
    for name in attributes {
        if site.node.attributes.int(name, 0)? != 0 {
            return Err(format!("{name} is not supported"));
        }
    }
    match inputs.iter().find(|(place, _)| site.has_input(*place)) {
        Some((_, name)) => Err(format!("input {name} is not supported")),
        None => Ok(()),
    }
}

/// `Attention`. Inputs: x, weights, bias, mask, past (keys and values in one), attention bias. Outputs: y,
/// present.
pub fn packed<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    refuse(site, &["do_rotary", "past_present_share_buffer"], &[(6, "past_sequence_length")])?;
    let sizes = site.node.attributes.find_ints("qkv_hidden_sizes")?.cloned();
    let mut body = Body::new(site);
    let all = body.node("MatMul", &[body.input(0)?, body.input(1)?]);
    let all = body.plus(all, body.optional(2));
    let last = ("axis", Attribute::Int(-1));
    let parts = match sizes {
        Some(sizes) => {
            let sizes = body.ints(&sizes)?;
            body.nodes("Split", vec![Some(all), Some(sizes)], &[last], 3)
        }
        None => body.nodes("Split", vec![Some(all)], &[last, ("num_outputs", Attribute::Int(3))], 3),
    };
    let first = [("axis", Attribute::Int(0))];
    let past = match body.optional(4) {
        None => None,
        Some(past) => {
            let mut part = |index| -> Result<ValueId, String> {
                let index = body.ints(&[index])?;
                let part = body.node_with("Gather", &[past, index], &first);
                let axes = body.ints(&[0])?;
                Ok(body.node("Squeeze", &[part, axes]))
            };
            Some((part(0)?, part(1)?))
        }
    };
    let beside = Beside { mask: body.optional(3), bias: body.optional(5), past };
    let outputs = attend(site, &mut body, [parts[0], parts[1], parts[2]], &beside)?;
    let axes = body.ints(&[0])?;
    let key = body.node("Unsqueeze", &[outputs[1], axes]);
    let value = body.node("Unsqueeze", &[outputs[2], axes]);
    let present = body.node_with("Concat", &[key, value], &first);
    let given = if site.has_output(1) { vec![outputs[0], present] } else { vec![outputs[0]] };
    body.build(&given)
}

/// `MultiHeadAttention`. Inputs: q, k, v, bias, key padding mask, attention bias, past keys, past values.
/// Outputs: y, keys, values.
pub fn multi_head<B: Kernels>(site: &Site<'_, B>) -> Result<BoxOp<B>, String> {
    refuse(site, &[], &[(8, "past_sequence_length"), (9, "cache_indirection")])?;
    if site.has_output(3) {
        return Err("scores as an output are not supported".into());
    }
    let mut body = Body::new(site);
    let mut parts = if site.has_input(1) {
        [body.input(0)?, body.input(1)?, body.input(2)?]
    } else {
        // All in one: `[batch, length, heads, 3, size]`.
        let mut part = |index| -> Result<ValueId, String> {
            let packed = body.input(0)?;
            let index = body.ints(&[index])?;
            let part = body.node_with("Gather", &[packed, index], &[("axis", Attribute::Int(3))]);
            let shape = body.ints(&[0, 0, -1])?;
            Ok(body.node("Reshape", &[part, shape]))
        };
        [part(0)?, part(1)?, part(2)?]
    };
    if let Some(bias) = body.optional(3) {
        // One bias after the other; those of queries and keys are as wide as these.
        let width = body.node_with("Shape", &[parts[0]], &[("start", Attribute::Int(2))]);
        let two = body.ints(&[2])?;
        let twice = body.node("Mul", &[width, two]);
        let (start, end) = (body.ints(&[0])?, body.ints(&[i64::MAX])?);
        for (part, (from, to)) in parts.iter_mut().zip([(start, width), (width, twice), (twice, end)]) {
            let own = body.node("Slice", &[bias, from, to]);
            *part = body.node("Add", &[*part, own]);
        }
    }
    let past = body.optional(6).zip(body.optional(7));
    let beside = Beside { mask: body.optional(4), bias: body.optional(5), past };
    let outputs = attend(site, &mut body, parts, &beside)?;
    let wanted = (1..3).rev().find(|output| site.has_output(*output)).unwrap_or(0);
    body.build(&outputs[..=wanted])
}
