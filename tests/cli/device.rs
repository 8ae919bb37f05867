//! `rserve run` on a device with memory and streams of its own: Vulkan, in the place of CUDA.

use super::house::images;
use super::run::{Server, json, post, start, start_by, status_page};
use std::fs;
use std::process::Command;

const ROAD: &str = "/road-classification/predict";

fn on_device(arguments: &[&str]) -> Server {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rserve"));
    command.env("RSERVE_VULKAN", "1");
    start_by(command, arguments)
}

/// What was found, and how sure of it the model is, and how much of the picture is road.
fn answer(server: &Server, photo: &[u8]) -> (String, f64, f64) {
    let (status, _, body) = post(server, ROAD, photo);
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
    let reply = json(&body);
    let first = &reply["surface"][0];
    let number = |value: &serde_json::Value| value.as_f64().unwrap_or_else(|| panic!("{reply}"));
    (first["label"].as_str().unwrap().to_owned(), number(&first["score"]), number(&reply["road"]))
}

#[test]
fn a_pipeline_answers_on_the_device_as_on_the_cpu() {
    let (cpu, device) = (start(&["pipelines/road.toml"]), on_device(&["pipelines/road.toml"]));
    let photos: Vec<Vec<u8>> = images("road").iter().take(6).map(|file| fs::read(file).unwrap()).collect();
    let wanted: Vec<_> = photos.iter().map(|photo| answer(&cpu, photo)).collect();
    // Enough at once for whole batches to be sent ahead.
    std::thread::scope(|scope| {
        for _ in 0..40 {
            scope.spawn(|| {
                for (photo, wanted) in photos.iter().zip(&wanted) {
                    let got = answer(&device, photo);
                    assert_eq!(got.0, wanted.0);
                    assert!(
                        (got.1 - wanted.1).abs() < 2e-3 && (got.2 - wanted.2).abs() < 2e-3,
                        "{got:?} {wanted:?}"
                    );
                }
            });
        }
    });
    let status = status_page(&device);
    assert_eq!(status["devices"][0]["id"], "cuda:0", "{status}");
    assert!(status["devices"][0]["busy_60s"].as_f64().unwrap() > 0.0, "{status}");
}
