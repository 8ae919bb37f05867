//! The compiled graph, drawn.

use super::{ROAD, compile_on, on_cpu, plan};
use crate::fakes::id;
use insta::assert_snapshot;
use rserve::plan::{Plan, graph};
use std::sync::Arc;

/// Fans out, joins, has a decode of its own offline, and a model in idle time.
fn two_pipelines() -> Plan {
    let road = ROAD.replace(
        "[pipelines.road.offline]\n",
        "[pipelines.road.offline]\ndecode.photo = { format = \"image\", size = [64, 64], fit = \"cover\" }\n",
    );
    let spot = "[models.landing-safety]\n[models.landing-spot]\n[pipelines.spot]\n\
        decode.photo = { format = \"image\", size = [96, 96] }\n\
        encode.reply = { format = \"json\", fields.centre = \"spot.centre\", fields.radius = \"spot.radius\" }\n\
        [pipelines.spot.steps]\nsafety = { model = \"landing-safety\", inputs = { image = \"photo\" } }\n\
        spot = { model = \"landing-spot\", inputs = { safety = \"safety\" } }\n";
    compile_on(&on_cpu(), &[("road.toml", &road), ("spot.toml", spot)]).0.unwrap()
}

#[test]
fn text() {
    assert_snapshot!(graph::text(&two_pipelines()));
}

#[test]
fn mermaid() {
    assert_snapshot!(graph::mermaid(&two_pipelines()));
}

#[test]
fn dot() {
    assert_snapshot!(graph::dot(&two_pipelines()));
}

#[test]
fn svg() {
    assert_snapshot!(graph::svg(&two_pipelines()));
}

#[test]
fn names_from_a_model_file_are_escaped() {
    let mut plan = plan(ROAD);
    let odd = "a\"b<c>&\u{1b}\n";
    let pipeline = Arc::get_mut(&mut plan.pipelines[0]).unwrap();
    for entry in [&mut pipeline.online, &mut pipeline.offline] {
        let surface = &mut Arc::get_mut(entry).unwrap().steps[id(1)];
        surface.outputs[0].name = odd.into();
        surface.inputs[0].name = odd.into();
    }
    for text in [graph::svg(&plan), graph::dot(&plan), graph::mermaid(&plan), graph::text(&plan)] {
        assert!(!text.contains('\u{1b}'), "{text}");
    }
    assert!(graph::svg(&plan).contains("a&quot;b&lt;c&gt;&amp;"));
    assert!(graph::dot(&plan).contains("float32[5]"));
    assert!(graph::mermaid(&plan).contains("float32[5]"));
}
