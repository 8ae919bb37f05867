//! Several files in one process.

use super::{ROAD, compile_on, on_cpu, road};
use insta::assert_snapshot;
use rserve::diagnostic::{Report, SourceText, render};
use rserve::spec;
use std::path::PathBuf;

const SPOT: &str = r#"[models.landing-safety]
[models.landing-spot]

[pipelines.spot]
decode.photo = { format = "image", size = [96, 96] }
encode.reply = { format = "json", fields.centre = "spot.centre" }

[pipelines.spot.steps]
safety = { model = "landing-safety", inputs = { image = "photo" } }
spot = { model = "landing-spot", inputs = { safety = "safety" } }
"#;

fn errors(second: &str) -> String {
    let (plan, report) = compile_on(&on_cpu(), &[("road.toml", ROAD), ("second.toml", second)]);
    assert!(plan.is_none());
    render(&report, false)
}

#[test]
fn pipelines_of_two_files_run_in_one_process() {
    let (plan, report) = compile_on(&on_cpu(), &[("road.toml", ROAD), ("spot.toml", SPOT)]);
    let plan = plan.unwrap_or_else(|| panic!("{}", render(&report, false)));
    let names: Vec<&str> = plan.pipelines.iter().map(|p| p.name.as_str()).collect();
    assert_eq!(names, ["road", "spot"]);
    // Without `gpu`, a model lives in what the others leave idle.
    assert_eq!(plan.models.iter().map(|m| m.share).collect::<Vec<_>>(), [0.7, 0.3, 0.0, 0.0]);
    assert_eq!(plan.devices.len(), 1);
}

#[test]
fn a_model_declared_alike_in_both_is_one_model() {
    let second = format!("[models.surface]\nversion = 2\ngpu = 0.3\n{SPOT}");
    let (plan, report) = compile_on(&on_cpu(), &[("road.toml", ROAD), ("spot.toml", &second)]);
    assert_eq!(plan.unwrap_or_else(|| panic!("{}", render(&report, false))).models.len(), 4);
}

#[test]
fn a_model_declared_otherwise() {
    assert_snapshot!(errors(&format!("[models.surface]\nversion = 1\ngpu = 0.3\nqueue = 9\n{SPOT}")));
}

#[test]
fn settings_that_disagree() {
    let first = road(&[(
        "[store]",
        "[server]\nlisten = \"127.0.0.1:1\"\ndrain = \"1s\"\n[device]\nuse = \"cpu\"\n[store]",
    )]);
    let second = format!(
        "[server]\nlisten = \"127.0.0.1:2\"\n[device]\nuse = \"auto\"\n[store]\npath = \"other\"\n{SPOT}"
    );
    let (_, report) = compile_on(&on_cpu(), &[("road.toml", &first), ("spot.toml", &second)]);
    assert_snapshot!(render(&report, false));
}

#[test]
fn stores_that_are_the_same_folder_agree() {
    let first = road(&[("\"store\"", "\"../store\"")]);
    let second = format!("[store]\npath = \"../../store/.\"\n{SPOT}");
    let (plan, report) = compile_on(&on_cpu(), &[("a/road.toml", &first), ("b/c/spot.toml", &second)]);
    assert!(plan.is_some(), "{}", render(&report, false));
}

#[test]
fn two_pipelines_of_one_name_and_one_route() {
    assert_snapshot!(errors(&SPOT.replace("pipelines.spot", "pipelines.road")));
}

#[test]
fn two_pipelines_of_one_route() {
    assert_snapshot!(errors(&format!("{SPOT}\n[pipelines.spot.online]\nroute = \"/road\"\n")));
}

#[test]
fn a_route_that_another_has_by_default() {
    let first = road(&[("\"/road\"", "\"/spot/predict\"")]);
    let (_, report) = compile_on(&on_cpu(), &[("road.toml", &first), ("spot.toml", SPOT)]);
    assert_snapshot!(render(&report, false));
}

#[test]
fn files_without_pipelines() {
    let (plan, report) = compile_on(&on_cpu(), &[("store.toml", "[store]\npath = \"store\"\n")]);
    assert!(plan.is_none());
    assert_snapshot!(render(&report, false));
}

#[test]
fn the_store_is_beside_the_file() {
    let read = |path: &str, text: &str| {
        let mut report = Report::default();
        let needs = rserve::plan::needs(&[spec::read(&SourceText::new(path, text), &mut report)]);
        assert!(!report.has_errors());
        needs
            .into_iter()
            .map(|(root, models)| (root.path, models.into_keys().collect()))
            .collect::<Vec<(PathBuf, Vec<String>)>>()
    };
    let models = vec!["landing-safety".to_owned(), "landing-spot".to_owned()];
    assert_eq!(read("pipelines/spot.toml", SPOT), [(PathBuf::from("pipelines/models"), models.clone())]);
    let text = format!("[store]\npath = \"../examples/models\"\n{SPOT}");
    assert_eq!(read("pipelines/spot.toml", &text), [(PathBuf::from("examples/models"), models.clone())]);
    let text = format!("[store]\npath = \"/srv/models\"\n{SPOT}");
    assert_eq!(read("pipelines/spot.toml", &text), [(PathBuf::from("/srv/models"), models)]);
}
