//! Which replica of which model runs on which device, so that no device is promised more than once.

use super::id::LoadedId;
use super::models::Loaded;
use super::overcommitted::Attempt;
use super::whole::Whole;
use super::{Capacity, DeviceFacts, DeviceId, IdVec, ModelId};
use crate::diagnostic::{Diagnostic, Report};
use crate::spec::DeviceUse;

/// Devices to use, and for each model the device of each of its replicas.
pub struct Placement<'a> {
    pub devices: Vec<&'a DeviceFacts>,
    pub of: IdVec<LoadedId, Vec<DeviceId>>,
    pub held: Vec<Held>,
}

/// The share of a device that the replicas of a model hold together.
pub struct Held {
    pub device: DeviceId,
    pub model: LoadedId,
    pub share: f64,
}

/// Sums of shares such as 0.7 and 0.3 are not exact.
pub const TOLERANCE: f64 = 1e-9;

/// How many placements are tried before a set of shares counts as one that does not fit.
const TRIES: usize = 100_000;

/// One replica of a model.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Replica {
    pub model: LoadedId,
    pub share: f64,
}

/// What of each device is not yet held. Devices are told by their position in [`Placement::devices`].
#[derive(Clone, Debug)]
struct FreeShares {
    /// The share of each device that nobody holds.
    left: Vec<f64>,
    /// The models whose replicas are on each device.
    on: Vec<Vec<LoadedId>>,
}

/// `used` are the models that a pipeline calls.
pub fn place<'c>(
    whole: &Whole<'_>,
    models: &IdVec<LoadedId, Loaded<'_>>,
    used: &IdVec<ModelId, LoadedId>,
    capacity: &'c Capacity,
    report: &mut Report,
) -> Option<Placement<'c>> {
    let devices = devices(whole, capacity, report)?;
    let share = |m: LoadedId| models[m].spec.gpu.as_ref().map_or(0.0, |g| g.value);
    let count = |m: LoadedId| models[m].spec.replicas.as_ref().map_or(1, |r| r.value);
    // The most constrained first.
    let mut order: Vec<LoadedId> = used.iter().copied().filter(|m| share(*m) > 0.0).collect();
    order.sort_by(|a, b| share(*b).total_cmp(&share(*a)));
    let replicas: Vec<Replica> = order
        .iter()
        .flat_map(|m| std::iter::repeat_n(Replica { model: *m, share: share(*m) }, count(*m)))
        .collect();

    let mut tries = TRIES;
    let mut chosen = vec![];
    let mut free = FreeShares::new(devices.len());
    if free.hopeless(&replicas) || !free.search(&replicas, &mut chosen, &mut tries) {
        let mut free = FreeShares::new(devices.len());
        let greedy = free.greedy(&replicas);
        let attempt =
            Attempt { devices: &devices, models, replicas: &replicas, greedy: &greedy, left: &free.left };
        report.push(attempt.told());
        return None;
    }
    let mut of: IdVec<LoadedId, Vec<DeviceId>> = models.with(vec![]);
    for (replica, device) in replicas.iter().zip(&chosen) {
        of[replica.model].push(devices[*device].id);
    }
    // A model without a share goes where most is left.
    for model in used.iter().copied().filter(|m| share(*m) == 0.0) {
        for _ in 0..count(model) {
            let device = free.widest(model);
            free.take(device, Replica { model, share: 0.0 });
            of[model].push(devices[device].id);
        }
    }
    let mut held = vec![];
    for model in used {
        for device in &devices {
            let here = of[*model].iter().filter(|on| **on == device.id).count();
            if here > 0 {
                held.push(Held { device: device.id, model: *model, share: share(*model) * here as f64 });
            }
        }
    }
    Some(Placement { devices, of, held })
}

impl FreeShares {
    fn new(devices: usize) -> Self {
        Self { left: vec![1.0; devices], on: vec![vec![]; devices] }
    }

    fn take(&mut self, device: usize, replica: Replica) {
        self.left[device] -= replica.share;
        self.on[device].push(replica.model);
    }

    fn give_back(&mut self, device: usize, replica: Replica) {
        self.left[device] += replica.share;
        self.on[device].pop();
    }

    /// Whether the sum alone is too much, which needs no search.
    fn hopeless(&self, replicas: &[Replica]) -> bool {
        let wanted: f64 = replicas.iter().map(|replica| replica.share).sum();
        wanted > self.left.iter().sum::<f64>() + TOLERANCE * replicas.len() as f64
    }

    /// Best fit first, and every other placement if that leads nowhere.
    fn search(&mut self, replicas: &[Replica], chosen: &mut Vec<usize>, tries: &mut usize) -> bool {
        let Some(replica) = replicas.get(chosen.len()).copied() else { return true };
        let mut seen: Vec<(f64, usize)> = vec![];
        for device in self.by_fit(replica) {
            // Devices with as much left and as many of the model are alike.
            let looks = (self.left[device], self.others(device, replica.model));
            if seen.contains(&looks) {
                continue;
            }
            seen.push(looks);
            *tries = tries.saturating_sub(1);
            if *tries == 0 {
                return false;
            }
            self.take(device, replica);
            chosen.push(device);
            if self.search(replicas, chosen, tries) {
                return true;
            }
            chosen.pop();
            self.give_back(device, replica);
        }
        false
    }

    /// Devices that have room for the replica, the tightest first; but replicas of one model lie apart
    /// where they can, as two on one device are no faster than one.
    fn by_fit(&self, replica: Replica) -> Vec<usize> {
        let has_room = |d: &usize| self.left[*d] + TOLERANCE >= replica.share;
        let mut fit: Vec<usize> = (0..self.left.len()).filter(has_room).collect();
        fit.sort_by(|a, b| {
            let others = |d: &usize| self.others(*d, replica.model);
            others(a).cmp(&others(b)).then(self.left[*a].total_cmp(&self.left[*b]))
        });
        fit
    }

    /// The device with the fewest of the model, and of those the one with most left.
    fn widest(&self, model: LoadedId) -> usize {
        let better = |a: &usize, b: &usize| {
            self.others(*a, model).cmp(&self.others(*b, model)).then(self.left[*b].total_cmp(&self.left[*a]))
        };
        (0..self.left.len()).min_by(better).unwrap_or(0)
    }

    /// How many replicas of the model are on the device already.
    fn others(&self, device: usize, model: LoadedId) -> usize {
        self.on[device].iter().filter(|other| **other == model).count()
    }

    fn greedy(&mut self, replicas: &[Replica]) -> Vec<Option<usize>> {
        let place = |replica: &Replica| {
            let device = self.by_fit(*replica).first().copied();
            if let Some(device) = device {
                self.take(device, *replica);
            }
            device
        };
        replicas.iter().map(place).collect()
    }
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
