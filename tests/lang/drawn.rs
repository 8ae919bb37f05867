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

/// A list, what runs for each of its elements, a condition and alternatives.
fn lists() -> Plan {
    let text = "[store]\npath = \"store\"\n[models.landing-safety]\n[models.gray]\n[pipelines.plates]\n\
        decode.photo = { format = \"image\", size = [96, 96] }\n\
        [pipelines.plates.steps]\n\
        safety = { model = \"landing-safety\", inputs = { image = \"photo\" } }\n\
        tile = { op = \"tiles\", on = \"photo\", size = [28, 28], color = \"gray\", top = 16 }\n\
        read = { model = \"gray\", each = \"tile\", inputs = { image = \"tile.image\" }, within = \"50ms\" }\n\
        sure = { op = \"max\", each = \"tile\", from = \"read\" }\n\
        again = { model = \"gray\", each = \"tile\", inputs = { image = \"tile.image\" }, when = \"sure < 0.85\" }\n\
        best = { op = \"mean\", each = \"tile\", from = [\"again\", \"read\"], least = 1 }\n\
        all = { op = \"stack\", from = \"best\" }\n\
        n = { op = \"count\", from = \"tile\" }\n\
        [pipelines.plates.online]\n\
        refuse = [{ when = \"n == 0\", say = \"there is nothing\" }]\n\
        encode.reply = { format = \"json\", fields.all = \"all\", fields.n = \"n\", fields.safety = \"safety\" }\n\
        [pipelines.plates.offline]\n\
        encode.rows = { format = \"csv\", fields.n = \"n\" }\n";
    let (plan, said) = compile_on(&on_cpu(), &[("plates.toml", text)]);
    plan.unwrap_or_else(|| panic!("{}", rserve::diagnostic::render(&said, false)))
}

#[test]
fn lists_in_all_formats() {
    let plan = lists();
    assert_snapshot!("lists_text", graph::text(&plan));
    assert_snapshot!("lists_mermaid", graph::mermaid(&plan));
    assert_snapshot!("lists_dot", graph::dot(&plan));
    assert_snapshot!("lists_svg", graph::svg(&plan));
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
