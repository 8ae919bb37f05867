//! A thousand models on eight devices, a million batches, in simulated time: how far the device time that
//! each got is from its share.
//!
//! `cargo bench --bench simulator`

use rserve::plan::BatchPolicy;
use rserve::scheduler::Policy;
use rserve::scheduler::simulator::{Demand, Load, Simulator};
use std::time::{Duration, Instant};

const DEVICES: u64 = 8;
const MODELS: usize = 1000;
const BATCHES: u64 = 1_000_000;

/// The models of one device, whose shares are unequal and add up to 1. Their batches take from half a
/// millisecond to some forty, more or less by a fifth.
fn loads(models: usize, device: u64) -> Vec<Load> {
    let weight = |model: usize| 1.0 + ((model as u64 * 7919 + device * 104_729) % 97) as f64;
    let all: f64 = (0..models).map(weight).sum();
    let load = |model: usize| {
        let cost = 0.0005 * (1.0 + (model * 31 % 41) as f64);
        let batch = BatchPolicy::up_to(1 << (model % 4));
        Load {
            policy: Policy {
                share: weight(model) / all,
                batch,
                queue: 16,
                lanes: usize::MAX,
                memory: None,
                max_run: Duration::MAX,
            },
            cost: (cost, cost / 8.0),
            jitter: 0.2,
            demand: Demand::Flood(vec![(0.0, f64::INFINITY)]),
            timeout: f64::from(u32::MAX),
        }
    };
    (0..models).map(load).collect()
}

fn main() {
    for lanes in [1, 4] {
        let started = Instant::now();
        let (mut absolute, mut relative, mut batches, mut simulated) = (0f64, 0f64, 0, 0f64);
        for device in 0..DEVICES {
            let loads = loads(MODELS / DEVICES as usize, device);
            let shares: Vec<f64> = loads.iter().map(|load| load.policy.share).collect();
            let mut simulator = Simulator::new(lanes, loads, device + 1).without_latencies();
            simulator.play(f64::INFINITY, BATCHES / DEVICES);
            let got: Vec<f64> = simulator.outcomes().map(|outcomes| outcomes.device_seconds).collect();
            batches += simulator.outcomes().map(|outcomes| outcomes.batches).sum::<u64>();
            let all: f64 = got.iter().sum();
            simulated += all / lanes as f64;
            for (got, share) in got.iter().zip(&shares) {
                absolute = absolute.max((got / all - share).abs());
                relative = relative.max((got / all / share - 1.0).abs());
            }
        }
        println!(
            "{MODELS} models, {DEVICES} devices of {lanes} lanes, {batches} batches, {:.0} s of device time each: \
             {:.1} s; worst error of a share {:.5} of the device, {:.2} % of the share",
            simulated / DEVICES as f64,
            started.elapsed().as_secs_f64(),
            absolute,
            relative * 100.0,
        );
    }
}
