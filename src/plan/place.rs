//! Which model runs on which device, so that no device is promised more than once.

use super::models::Loaded;
use super::whole::Whole;
use super::{Capacity, Device, DeviceFacts, DeviceId};
use crate::diagnostic::{Diagnostic, Report};
use crate::spec::DeviceUse;

/// Devices to use, and for each model its device.
pub struct Placement {
    pub devices: Vec<Device>,
    pub of: Vec<usize>,
}

/// Sums of shares such as 0.7 and 0.3 are not exact.
const TOLERANCE: f64 = 1e-9;

/// How many placements are tried before a set of shares counts as one that does not fit.
const TRIES: usize = 100_000;

/// `used` are the indices of the models that a pipeline calls.
pub fn place(
    whole: &Whole<'_>,
    models: &[Loaded<'_>],
    used: &[usize],
    capacity: &Capacity,
    report: &mut Report,
) -> Option<Placement> {
    let devices = devices(whole, capacity, report)?;
    let share = |m: usize| models[m].spec.gpu.as_ref().map_or(0.0, |g| g.value);
    // The most constrained first.
    let mut order: Vec<usize> = used.iter().copied().filter(|m| share(*m) > 0.0).collect();
    order.sort_by(|a, b| share(*b).total_cmp(&share(*a)));
    let shares: Vec<f64> = order.iter().map(|m| share(*m)).collect();

    let mut tries = TRIES;
    let mut chosen = vec![];
    let mut left = vec![1.0; devices.len()];
    let fits = search(&shares, &mut left, &mut chosen, &mut tries);
    if !fits {
        left = vec![1.0; devices.len()];
        let greedy = greedy(&shares, &mut left);
        report.push(over(&devices, models, &order, &greedy, &left));
        return None;
    }
    let mut of = vec![0; models.len()];
    let mut devices: Vec<Device> =
        devices.iter().map(|facts| Device { id: facts.id, held: vec![] }).collect();
    for (model, device) in order.iter().zip(&chosen) {
        of[*model] = *device;
    }
    // A model without a share goes where most is left.
    let most = |left: &[f64]| (0..left.len()).rev().max_by(|a, b| left[*a].total_cmp(&left[*b])).unwrap_or(0);
    for model in used.iter().copied().filter(|m| share(*m) == 0.0) {
        of[model] = most(&left);
    }
    for model in used {
        devices[of[*model]].held.push((*model, share(*model)));
    }
    Some(Placement { devices, of })
}

/// Best fit first, and every other placement if that leads nowhere.
fn search(shares: &[f64], left: &mut [f64], chosen: &mut Vec<usize>, tries: &mut usize) -> bool {
    let Some(share) = shares.get(chosen.len()) else { return true };
    let mut seen: Vec<f64> = vec![];
    for device in by_fit(*share, left) {
        // Devices with as much left are alike.
        if seen.contains(&left[device]) {
            continue;
        }
        seen.push(left[device]);
        *tries = tries.saturating_sub(1);
        if *tries == 0 {
            return false;
        }
        left[device] -= share;
        chosen.push(device);
        if search(shares, left, chosen, tries) {
            return true;
        }
        chosen.pop();
        left[device] += share;
    }
    false
}

/// Devices that have room for the share, the tightest first.
fn by_fit(share: f64, left: &[f64]) -> Vec<usize> {
    let mut fit: Vec<usize> = (0..left.len()).filter(|d| left[*d] + TOLERANCE >= share).collect();
    fit.sort_by(|a, b| left[*a].total_cmp(&left[*b]));
    fit
}

fn greedy(shares: &[f64], left: &mut [f64]) -> Vec<Option<usize>> {
    let place = |share: &f64| {
        let device = by_fit(*share, left).first().copied();
        if let Some(device) = device {
            left[device] -= share;
        }
        device
    };
    shares.iter().map(place).collect()
}

fn over(
    devices: &[&DeviceFacts],
    models: &[Loaded<'_>],
    order: &[usize],
    greedy: &[Option<usize>],
    left: &[f64],
) -> Diagnostic {
    let placed = || order.iter().zip(greedy).map(|(m, d)| (&models[*m], *d));
    let sum: f64 = placed().filter_map(|(m, _)| m.spec.gpu.as_ref()).map(|g| g.value).sum();
    let d = Diagnostic::error(match devices {
        [one] => format!("the shares add up to {}, more than the one device `{}` has", share(sum), one.id),
        many => format!("the shares add up to {} and do not fit on {} devices", share(sum), many.len()),
    });
    let mut outside =
        placed().filter(|(_, device)| device.is_none()).filter_map(|(m, _)| Some((m, m.spec.gpu.as_ref()?)));
    let mut d = d;
    let largest = outside.next();
    if let Some((model, gpu)) = largest {
        d = d.at(&gpu.place, format!("no room for `{}`", model.name()));
    }
    for (model, gpu) in outside {
        d = d.at(&gpu.place, format!("nor for `{}`", model.name()));
    }
    for (model, device) in placed() {
        if let (Some(device), Some(gpu)) = (device, &model.spec.gpu) {
            d = d.at(&gpu.place, format!("`{}` on `{}`", model.name(), devices[device].id));
        }
    }
    for (index, device) in devices.iter().enumerate() {
        let takes: Vec<String> = placed()
            .filter(|(_, on)| *on == Some(index))
            .filter_map(|(m, _)| Some(format!("`{}` {}", m.name(), share(m.spec.gpu.as_ref()?.value))))
            .collect();
        let takes = if takes.is_empty() { "nobody".to_owned() } else { takes.join(", ") };
        d = d.note(format!("`{}` ({}): {takes}; {} left", device.id, device.name, share(left[index])));
    }
    let room = left.iter().copied().fold(0.0, f64::max);
    if let Some((model, _)) = largest
        && room > TOLERANCE
    {
        d = d.help(format!("`{}` would fit with `gpu = {}`", model.name(), share(room)));
    }
    d.help("a model without `gpu` has no share held for it and runs in what the others leave idle")
}

fn share(value: f64) -> String {
    let text = format!("{:.3}", value.max(0.0));
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn devices<'a>(
    whole: &Whole<'_>,
    capacity: &'a Capacity,
    report: &mut Report,
) -> Option<Vec<&'a DeviceFacts>> {
    let cuda = || capacity.devices.iter().filter(|d| matches!(d.id, DeviceId::Cuda(_)));
    let cpu = || capacity.devices.iter().filter(|d| d.id == DeviceId::Cpu);
    let uses = whole.device.map_or(&DeviceUse::Auto, |u| &u.value);
    let mut chosen: Vec<&DeviceFacts> = match uses {
        DeviceUse::Cpu => cpu().collect(),
        DeviceUse::Cuda => cuda().collect(),
        DeviceUse::Auto if cuda().next().is_some() => cuda().collect(),
        DeviceUse::Auto => cpu().collect(),
        DeviceUse::Listed(_) => vec![],
    };
    let place = whole.device.map(|u| &u.place);
    let absent = |what: String| {
        let there: Vec<String> =
            capacity.devices.iter().map(|d| format!("`{}` ({})", d.id, d.name)).collect();
        let mut d = Diagnostic::error(format!("this machine has no {what}"));
        if let Some(place) = place {
            d = d.at(place, "");
        }
        if let (None, Some(reason)) = (cuda().next(), &capacity.no_cuda) {
            d = d.note(reason);
        }
        d.note(format!("devices here: {}", there.join(", ")))
            .help("`use = \"auto\"` takes CUDA where it is, and the CPU elsewhere")
    };
    if let DeviceUse::Listed(indices) = uses {
        for index in indices {
            match capacity.devices.iter().find(|d| d.id == DeviceId::Cuda(*index)) {
                Some(device) => chosen.push(device),
                None => report.push(absent(format!("device `cuda:{index}`"))),
            }
        }
        return (chosen.len() == indices.len()).then_some(chosen);
    }
    if chosen.is_empty() {
        report.push(absent(if *uses == DeviceUse::Cuda { "CUDA device" } else { "device" }.to_owned()));
        return None;
    }
    Some(chosen)
}
