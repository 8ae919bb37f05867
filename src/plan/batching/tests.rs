//! What is decided of many signatures, as exporters write them.

use super::Declaration;
use crate::plan::{Dim, Port, Signature};
use crate::tensor::DType;

/// "boxes[num,4]"; "?" is an axis without a name, "!" one that depends on data, `y` alone a tensor without a
/// declared rank. Behind "=" stands what the graph computes; a "~" before the name says that the output is
/// computed by way of operators whose results are as long as values make them.
fn port(text: &str) -> Port {
    let (declared, inferred) = text.split_once('=').map_or((text, None), |(a, b)| (a, Some(b)));
    let (name, declared) = declared.split_once('[').map_or((declared, None), |(a, b)| (a, Some(b)));
    let dims = |text: &str| {
        let each = text.trim_matches(['[', ']']).split(',').filter(|dim| !dim.is_empty());
        let dim = |dim: &str| match dim.parse() {
            Ok(n) => Dim::Fixed(n),
            Err(_) if dim == "?" => Dim::Unknown,
            Err(_) if dim == "!" => Dim::DataDependent,
            Err(_) => Dim::Named(dim.to_owned()),
        };
        each.map(dim).collect::<Vec<_>>()
    };
    let port = Port::tensor(name.trim_start_matches('~'), DType::F32, declared.map(dims));
    Port { inferred: inferred.map(dims), data_dependent: name.starts_with('~'), ..port }
}

/// "x[N,3] -> y[N,4]"
fn signature(text: &str) -> Signature {
    let ports = |text: &str| text.split_whitespace().map(port).collect();
    let (inputs, outputs) = text.split_once("->").unwrap();
    Signature::new(ports(inputs), ports(outputs))
}

/// "x 0, y - alone"
fn said(signature: &Signature) -> String {
    let axis = |port: &Port| port.batch.map_or("-".to_owned(), |axis| axis.to_string());
    let ports = signature.inputs.iter().chain(&signature.outputs);
    let ports: Vec<String> = ports.map(|port| format!("{} {}", port.name, axis(port))).collect();
    let joins = if signature.batching.joins() { "joins" } else { "alone" };
    format!("{}: {joins}", ports.join(", "))
}

#[test]
fn a_signature_decides_what_a_row_is() {
    #[rustfmt::skip]
    let table = [
        // The usual: one name, or none, in front of everything.
        ("x[N,3] -> y[N,4]", "x 0, y 0: joins"),
        ("x[batch,3] m[batch,3] -> y[batch,4] z[batch]", "x 0, m 0, y 0, z 0: joins"),
        ("x[?,3] -> y[?,4]", "x 0, y 0: joins"),
        ("x[?,3] -> y[k,4]", "x 0, y 0: joins"),
        ("x -> y", "x 0, y 0: joins"),
        // What exporters make up: PyTorch's older and newer, tf2onnx's and ONNX Runtime's, PaddlePaddle's.
        ("x[N,3] -> y[Gemmscores_dim_0,4]", "x 0, y 0: joins"),
        ("x[s77,3] -> y[s77,4]", "x 0, y 0: joins"),
        ("x[s0,3] -> y[s1,4]", "x 0, y 0: joins"),
        ("x[unk__17,3] -> y[unk__18,4]", "x 0, y 0: joins"),
        ("x[DynamicDimension.0,3] -> y[DynamicDimension.1,2]", "x 0, y 0: joins"),
        ("x[p2o.DynamicDimension.0,3,p2o.DynamicDimension.1] -> y[p2o.DynamicDimension.3,2]", "x 0, y 0: joins"),
        // Not made up: what PyTorch calls the length of what depends on data.
        ("x[s0,3] -> y[u0,4]", "x 0, y 0: joins"),
        ("x[N,3] -> y[u0,4]", "x 0, y -: alone"),
        // Detectors: the outputs begin with an axis of their own.
        ("image[N,3] -> boxes[found,4]", "image 0, boxes -: alone"),
        ("image[1,3,64,64] -> boxes[num,4] scores[num]", "image 0, boxes -, scores -: alone"),
        ("image[1,3,64,64] -> boxes[boxes_dim_0,4] scores[?]", "image 0, boxes -, scores -: alone"),
        ("x[1,6,5] -> boxes", "x 0, boxes -: alone"),
        ("x[6,5] -> boxes[num,4] scores[num]", "x -, boxes -, scores -: alone"),
        ("x[1,3] -> y[1,10] z[1]", "x 0, y 0, z 0: alone"),
        // The same whose axis is called as the batch is, or not at all.
        ("x[batch,6,5] -> ~rows[batch,6]", "x 0, rows -: alone"),
        ("x[batch,6,5] -> ~rows[unk__17,6]", "x 0, rows -: alone"),
        ("x[batch,6,5] -> ~rows[?,6]", "x 0, rows -: alone"),
        ("x[batch,6,5] -> rows[batch,6]=[!,6]", "x 0, rows -: alone"),
        // Where the graph shows it, it is the batch all the same.
        ("x[batch,6,5] -> ~rows[unk__17,6]=[batch,6]", "x 0, rows 0: joins"),
        // Two sides.
        ("text[text_batch,4] image[image_batch,4] -> s[image_batch,text_batch]", "text 0, image 0, s 0: alone"),
        ("ids[batch,7] pixels[batch,3,8,8] -> s[batch,batch]", "ids 0, pixels 0, s 0: alone"),
        // No batch at all: points, sound, pictures, graphs.
        ("x[num_points,3] -> y[3]", "x -, y -: alone"),
        ("x[h,w,3] -> y[3]", "x -, y -: alone"),
        ("x[samples] -> y[samples]", "x -, y -: alone"),
        ("x[N] -> y[N]", "x 0, y 0: joins"),
        ("x[?] m[?] -> y[?]", "x 0, m 0, y 0: joins"),
        ("x[num_nodes,2] edges[2,num_edges] -> y[num_edges,2]", "x -, edges -, y -: alone"),
        ("x[num_nodes,2] edges[2,num_edges] -> y[num_nodes,2]", "x -, edges -, y -: alone"),
        ("atoms[num_atoms] bonds[num_bonds,2] -> y[num_atoms,2]", "atoms -, bonds -, y -: alone"),
        ("x[nodes,2] adjacency[nodes,nodes] -> y[nodes,2]", "x -, adjacency -, y -: alone"),
        ("x[batch,3] boxes[num_boxes,4] -> y[num_boxes]", "x 0, boxes -, y -: alone"),
        // Sequence first.
        ("x[seq,batch,2] -> y[seq,batch,2]", "x 1, y 1: joins"),
        ("x[time,batch,2] h[2,batch,4] -> y[time,batch,4] hn[2,batch,4]", "x 1, h 1, y 1, hn 1: joins"),
        ("x[batch,time,2] h[2,batch,4] -> y[batch,time,4]", "x 0, h -, y 0: alone"),
        ("x[2,batch,4] -> y[2,batch,4]", "x -, y -: alone"),
        // A scalar or a state beside the batch.
        ("sample[batch,4] timestep[] -> out[batch,4]", "sample 0, timestep -, out 0: alone"),
        ("sample[batch,4] timestep[1] -> out[batch,4]", "sample 0, timestep 0, out 0: alone"),
        ("input[?,?] state[2,?,128] sr[] -> output[?,1] stateN[?,?,?]", "input 0, state -, sr -, output 0, stateN 0: alone"),
        // Declarations that the graph contradicts, and those that say little.
        ("x[?,8] -> label[1] p[?,3]", "x 0, label 0, p 0: joins"),
        ("x[N,8] -> label[1]=[N] p[?,3]=[N,3]", "x 0, label 0, p 0: joins"),
        ("x[N,8] -> y[1,8]=[1,8] z[N]", "x 0, y -, z 0: alone"),
        ("x[N,3,H,W] -> y[]", "x 0, y -: alone"),
        ("x[N,3,H,W] -> y[]=[N,?,?]", "x 0, y 0: joins"),
        ("x[N,3] -> y[N,4]=[12,4] z[N]", "x 0, y -, z 0: alone"),
        ("x[10,3,32,32] -> y[10,5]", "x -, y -: alone"),
        ("-> y[3]", "y -: alone"),
    ];
    for (text, wanted) in table {
        assert_eq!(said(&signature(text)), wanted, "{text}");
    }
}

#[test]
fn item_types_have_every_axis_but_the_batch() {
    #[rustfmt::skip]
    let table = [
        ("image[1,3,64,64] -> boxes[num,4]", "float32[3, 64, 64] float32[?, 4]"),
        ("x[N,8] -> label[1]", "float32[8] float32[]"),
        ("x[seq,batch,2] -> y[seq,batch,5]", "float32[?, 2] float32[?, 5]"),
        ("x[num_points,3] -> y[3]", "float32[?, 3] float32[3]"),
        ("x[N,3,H,W] -> y[]=[N,?,480]", "float32[3, ?, ?] float32[?, 480]"),
        ("x[6,5] -> y[num,4]=[!,4]", "float32[6, 5] float32[?, 4]"),
        ("x[N,6] -> y[N,7]=[N,9]", "float32[6] float32[9]"),
    ];
    for (text, wanted) in table {
        let signature = signature(text);
        let (input, output) = (signature.inputs[0].item_type(), signature.outputs[0].item_type());
        assert_eq!(format!("{input} {output}"), wanted, "{text}");
    }
}

#[test]
fn what_is_declared_stands() {
    let axis = |axis| Declaration { axis: Some(axis), ..Declaration::default() };
    let ports = |ports: &[(&str, Option<usize>)]| Declaration {
        axis: None,
        ports: ports.iter().map(|(port, axis)| ((*port).to_owned(), *axis)).collect(),
    };
    let mixed = Declaration { axis: Some(Some(0)), ..ports(&[("h", Some(1)), ("hn", Some(1))]) };
    #[rustfmt::skip]
    let table = [
        ("x[N,3] -> y[N,4]", Declaration::none(), "x -, y -: alone"),
        ("x[num_points,3] -> y[3]", axis(Some(0)), "x 0, y 0: joins"),
        ("x[10,3,32,32] -> y[10,5]", axis(Some(0)), "x 0, y 0: joins"),
        ("x[1,3] -> y[1,5]", axis(Some(0)), "x 0, y 0: joins"),
        ("x[time,?,3] -> y[time,?,4]", axis(Some(1)), "x 1, y 1: joins"),
        ("x[batch,time,2] h[2,batch,4] -> y[batch,time,4] hn[2,batch,4]", mixed, "x 0, h 1, y 0, hn 1: joins"),
        ("x[N,3] -> y[N,4] rows[N,6]", ports(&[("rows", None)]), "x 0, y 0, rows -: alone"),
        ("x[N,3] -> y[N,4]", axis(Some(5)), "x -, y -: alone"),
    ];
    for (text, declaration, wanted) in table {
        let declared = signature(text).declared(&declaration);
        assert_eq!(said(&declared), wanted, "{text}");
        // What was declared before leaves no trace.
        assert_eq!(declared.declared(&Declaration::default()), signature(text), "{text}");
    }
}

#[test]
fn an_axis_that_a_port_does_not_have_is_found() {
    let signature = signature("x[N,3] -> y[N]");
    let declaration = Declaration { axis: Some(Some(1)), ..Declaration::default() };
    let (port, axis, rank) = declaration.misfit(&signature).unwrap();
    assert_eq!((port.name.as_str(), axis, rank), ("y", 1, 1));
}

#[test]
fn rows_that_an_operator_mixes_are_never_joined() {
    let mut signature = signature("x[N,3] -> y[N,4]");
    signature.mixes.always = Some("DynamicQuantizeLinear \"q\" takes one range over the whole batch".into());
    let axis = Declaration { axis: Some(Some(0)), ..Declaration::default() };
    for declaration in [Declaration::default(), axis] {
        let alone = signature.clone().declared(&declaration).batching.alone.unwrap();
        assert!(alone.why.contains("DynamicQuantizeLinear"), "{}", alone.why);
    }
}
