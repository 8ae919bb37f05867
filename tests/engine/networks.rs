//! Whole networks beyond classifiers, files that ONNX Runtime's optimiser saved and its quantiser made, held
//! to ONNX Runtime's outputs for several batches and shapes (`tests/fixtures/networks/make.py` makes them).

use super::{Loaded, file, npy, relative_error};
use rserve::plan::DeviceId;
use rserve::tensor::Tensor;
use std::path::Path;

/// Runs every case of every folder that is wanted, and compares every output.
fn compared(
    device: DeviceId,
    wanted: impl Fn(&str) -> bool,
    wrong: impl Fn(&[Tensor], &Tensor) -> Option<String>,
) -> usize {
    let mut tried = 0;
    let mut errors = Vec::new();
    for folder in std::fs::read_dir(file("tests/fixtures/networks")).unwrap() {
        let folder = folder.unwrap().path();
        let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
        if !folder.is_dir() || !wanted(&name) {
            continue;
        }
        let loaded = match Loaded::on(&folder.join("model.onnx"), device) {
            Ok(loaded) => loaded,
            Err(error) => {
                errors.push(format!("{name}: {error}"));
                continue;
            }
        };
        for case in 0.. {
            let Some(inputs) = inputs(&loaded, &folder, case) else { break };
            match loaded.run(&inputs) {
                Err(error) => errors.push(format!("{name}, case {case}: {error}")),
                Ok(rows) => {
                    for (index, port) in loaded.signature.outputs.iter().enumerate() {
                        let got: Vec<Tensor> = rows.iter().map(|row| row[index].clone()).collect();
                        let reference = npy::read(&folder.join(format!("{case}.output.{}.npy", port.name)));
                        let why = wrong(&got, &reference);
                        errors.extend(why.map(|why| format!("{name}, case {case}, {}: {why}", port.name)));
                    }
                }
            }
            tried += 1;
        }
    }
    assert!(errors.is_empty(), "{}", errors.join("\n"));
    tried
}

fn inputs(loaded: &Loaded, folder: &Path, case: usize) -> Option<Vec<Tensor>> {
    let path = |name: &str| folder.join(format!("{case}.input.{name}.npy"));
    let ports = &loaded.signature.inputs;
    ports.iter().map(|p| path(&p.name).exists().then(|| npy::read(&path(&p.name)))).collect()
}

/// Compares the networks of floats; gives how many cases there were.
pub fn floats(device: DeviceId) -> usize {
    compared(
        device,
        |name| !name.ends_with(".int8"),
        |got, reference| {
            let error = relative_error(got, reference);
            (error >= 1e-4).then(|| format!("{error:.1e}"))
        },
    )
}

#[test]
fn networks_give_the_reference_outputs() {
    let tried = floats(DeviceId::Cpu);
    assert!(tried >= 40, "only {tried} cases were compared");
}

/// A rounding that falls the other way is a step of eight bits, and may become a few of them further on.
#[test]
fn networks_of_eight_bits_agree_on_the_greatest_score() {
    let tried = compared(
        DeviceId::Cpu,
        |name| name.ends_with(".int8"),
        |got, reference| {
            let classes = reference.shape().last().copied().unwrap_or(1).max(1);
            let got_all: Vec<f64> = got.iter().flat_map(Tensor::to_f64).collect();
            let greatest =
                |row: &[f64]| row.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).map(|(i, _)| i);
            let other = |(a, b): &(&[f64], &[f64])| {
                // Where two scores are equal to a step, either may be the greatest.
                let (own, wanted) = (greatest(a).unwrap_or(0), greatest(b).unwrap_or(0));
                let scale = b.iter().fold(0.0f64, |m, v| m.max(v.abs()));
                own != wanted && b[wanted] - b[own] > 0.02 * scale
            };
            let wanted = reference.to_f64();
            let wrong = got_all.chunks(classes).zip(wanted.chunks(classes)).filter(other).count();
            let error = relative_error(got, reference);
            (wrong > 0 || error > 0.1).then(|| format!("{wrong} rows differ, by {error:.1e} of the greatest"))
        },
    );
    assert!(tried >= 20, "only {tried} cases were compared");
}
