//! What is promised of shares, priorities and overload, in simulated time.

use super::*;
use crate::plan::BatchPolicy;
use proptest::prelude::*;

const EVER: f64 = f64::INFINITY;

fn load(share: f64, cost: (f64, f64), demand: Demand) -> Load {
    let policy = Policy {
        share,
        batch: BatchPolicy::up_to(4),
        queue: 16,
        lanes: usize::MAX,
        memory: None,
        max_run: Duration::MAX,
    };
    Load { policy, cost, jitter: 0.2, demand, timeout: 1000.0 }
}

fn flooded(share: f64, cost: (f64, f64)) -> Load {
    load(share, cost, Demand::Flood(vec![(0.0, EVER)]))
}

fn seconds(simulator: &Simulator) -> Vec<f64> {
    simulator.outcomes().map(|outcomes| outcomes.device_seconds).collect()
}

/// Device time of each load from now until `end`, as parts of all.
fn parts_until(simulator: &mut Simulator, end: f64) -> Vec<f64> {
    let before = seconds(simulator);
    simulator.play(end, u64::MAX);
    let got: Vec<f64> = seconds(simulator).iter().zip(before).map(|(after, before)| after - before).collect();
    let all: f64 = got.iter().sum();
    got.iter().map(|got| got / all).collect()
}

#[track_caller]
fn assert_near(found: &[f64], expected: &[f64], within: f64) {
    let near = found.iter().zip(expected).all(|(a, b)| (a - b).abs() <= within);
    assert!(near, "{found:?} is not {expected:?} within {within}");
}

#[test]
fn two_flooded_models_of_unequal_cost_hold_70_to_30_for_30_seconds() {
    for lanes in [1, 2, 8] {
        let loads = vec![flooded(0.7, (0.001, 0.0005)), flooded(0.3, (0.02, 0.01))];
        let mut simulator = Simulator::new(lanes, loads, 7);
        assert_near(&parts_until(&mut simulator, 30.0), &[0.7, 0.3], 0.02);
        let usage = simulator.usage();
        assert!(usage.busy.iter().all(|busy| *busy > 0.99), "{usage:?}");
        for (got, share) in usage.models.iter().map(|model| model.got).zip([0.7, 0.3]) {
            assert_near(&got, &[share; 2], 0.02);
        }
    }
}

/// Two lists of a hundred, of each of which two batches are in flight, keep a model as busy as a flood does: no share
/// is lost between an element and the next, and none is taken from others.
#[test]
fn a_model_that_is_called_for_lists_holds_its_share_beside_a_flood() {
    for (own, others) in [(0.7, 0.3), (0.3, 0.7)] {
        let lists = load(own, (0.001, 0.0005), Demand::Lists(2 * 2 * 4));
        let mut simulator = Simulator::new(2, vec![lists, flooded(others, (0.02, 0.01))], 19);
        assert_near(&parts_until(&mut simulator, 30.0), &[own, others], 0.02);
        let lists = simulator.outcomes().next().unwrap();
        assert_eq!(lists.rejected, 0, "elements wait, and are not turned away");
    }
}

#[test]
fn of_three_one_stops_and_its_share_is_the_others_within_a_second_and_then_it_returns() {
    for lanes in [1, 2] {
        let spans = Demand::Flood(vec![(0.0, 30.0), (40.0, EVER)]);
        let loads = vec![
            load(0.5, (0.004, 0.001), spans),
            flooded(0.3, (0.01, 0.002)),
            flooded(0.2, (0.002, 0.0005)),
        ];
        let mut simulator = Simulator::new(lanes, loads, 11);
        assert_near(&parts_until(&mut simulator, 30.0), &[0.5, 0.3, 0.2], 0.02);
        // What it had waiting is run first.
        simulator.play(30.5, u64::MAX);
        assert_near(&parts_until(&mut simulator, 31.0), &[0.0, 0.6, 0.4], 0.04);
        assert_near(&parts_until(&mut simulator, 40.0), &[0.0, 0.6, 0.4], 0.02);
        assert_near(&parts_until(&mut simulator, 41.0), &[0.5, 0.3, 0.2], 0.04);
        assert_near(&parts_until(&mut simulator, 70.0), &[0.5, 0.3, 0.2], 0.02);
    }
}

#[test]
fn a_quiet_model_beside_a_flooded_one_waits_for_one_batch() {
    let other = (0.010, 0.005);
    let loads = vec![load(0.3, (0.004, 0.001), Demand::Quiet(0.003)), flooded(0.7, other)];
    let mut simulator = Simulator::new(1, loads, 13);
    simulator.play(60.0, u64::MAX);
    let quiet = simulator.outcomes().next().unwrap();
    let (solo, batch) = (0.005 * 1.2, (other.0 + 4.0 * other.1) * 1.2);
    let p99 = quiet.latency(0.99);
    assert!(quiet.rows > 1000 && p99 <= (solo + batch) * 1.5, "{} rows, p99 {p99}", quiet.rows);
}

#[test]
fn at_ten_times_what_can_be_done_as_much_is_done_and_the_wait_is_bounded() {
    let (cost, queue, seconds) = ((0.004, 0.001), 64, 60.0);
    let capacity = 16.0 / (cost.0 + 16.0 * cost.1);
    let run = |rate: f64| {
        let mut load = load(1.0, cost, Demand::Rate(rate));
        load.policy = Policy { batch: BatchPolicy::up_to(16), queue, ..load.policy };
        let mut simulator = Simulator::new(1, vec![load], 17);
        simulator.play(seconds, u64::MAX);
        simulator.outcomes().next().unwrap().clone()
    };
    let (peak, over) = (run(capacity * 1.2), run(capacity * 10.0));
    assert!(over.rows as f64 >= 0.9 * peak.rows as f64, "{} of {}", over.rows, peak.rows);
    assert!(over.rejected > 8 * over.rows, "{} rejected", over.rejected);
    assert!(over.longest_queue <= queue, "{} waited", over.longest_queue);
    // Those before it in the queue, its own batch, and the one that was running.
    let bound = (queue as f64 / 16.0 + 2.0) * (cost.0 + 16.0 * cost.1) * 1.2;
    assert!(over.latency(0.99) <= bound, "p99 {} of {bound}", over.latency(0.99));
}

#[test]
fn many_instances_on_one_device_hold_their_shares() {
    let shares: Vec<f64> = (1..=50).map(|n| f64::from(n) / 1275.0).collect();
    let costs = [(0.001, 0.0), (0.004, 0.001), (0.02, 0.002)];
    let loads = shares.iter().enumerate().map(|(i, share)| flooded(*share, costs[i % 3])).collect();
    let mut simulator = Simulator::new(2, loads, 23).without_latencies();
    simulator.play(EVER, 40_000);
    let got = seconds(&simulator);
    let all: f64 = got.iter().sum();
    let worst = got.iter().zip(&shares).map(|(got, share)| (got / all - share).abs()).fold(0.0, f64::max);
    assert!(worst < 0.002, "worst error {worst}");
}

/// Two batches that took a minute each held both lanes, and until they ended nobody else was served.
#[test]
fn a_model_that_keeps_every_lane_does_not_keep_others_waiting() {
    let loads = vec![
        flooded(0.5, (60.0, 0.0)),
        load(0.3, (0.004, 0.001), Demand::Quiet(0.003)),
        flooded(0.0, (0.004, 0.0)),
    ];
    let mut simulator = Simulator::relieved(2, loads, 13);
    simulator.play(50.0, u64::MAX);
    let outcomes: Vec<&Outcomes> = simulator.outcomes().collect();
    let (quiet, idle) = (outcomes[1], outcomes[2]);
    // The hold on the lanes is waited for once, and a batch of the other that runs beside them.
    let p99 = quiet.latency(0.99);
    assert!(quiet.rows > 3000 && p99 <= 0.015, "{} rows, p99 {p99}", quiet.rows);
    assert!(quiet.latency(1.0) < 0.1, "{}", quiet.latency(1.0));
    assert!(idle.rows > 10, "{} rows in what is left idle", idle.rows);
    let usage = simulator.usage();
    assert_eq!(usage.busy, [1.0, 1.0], "{usage:?}");
    assert!(usage.models[0].got[0] > 0.7, "{usage:?}");
}

#[test]
fn what_runs_beside_the_lanes_is_held_to_its_share() {
    let loads = vec![flooded(0.7, (0.2, 0.0)), flooded(0.3, (0.2, 0.0)), flooded(0.0, (0.01, 0.0))];
    let mut simulator = Simulator::relieved(2, loads, 7);
    assert_near(&parts_until(&mut simulator, 60.0), &[0.7, 0.3, 0.0], 0.02);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever the arrivals and costs: a device with something to do is busy, all that came was answered
    /// one way or another, nobody with a backlog got less than the share less a few batches.
    #[test]
    fn any_traffic_keeps_the_device_busy_and_starves_nobody(
        others in prop::collection::vec(
            (1u32..=100, 0.0005f64..0.03, 0.0f64..0.005, 0.0f64..400.0, 0u64..3), 1..6,
        ),
        share in 5u32..=100,
        lanes in 1usize..4,
        seed in 1u64..1_000_000,
    ) {
        let end = 8.0;
        let steady = flooded(f64::from(share) / 100.0, (0.005, 0.001));
        let mut loads = vec![steady];
        for (share, base, per_row, rate, kind) in others {
            let demand = match kind {
                0 => Demand::Rate(rate + 0.1),
                1 => Demand::Quiet(rate / 4000.0),
                _ => Demand::Flood(vec![(rate / 100.0, rate / 50.0 + 0.5)]),
            };
            loads.push(load(f64::from(share) / 100.0, (base, per_row), demand));
        }
        let shares: f64 = loads.iter().map(|load| load.policy.share).sum();
        let longest = loads.iter().map(|l| (l.cost.0 + 4.0 * l.cost.1) * 1.2).fold(0.0, f64::max);
        let mut simulator = Simulator::new(lanes, loads, seed);
        simulator.play(end, u64::MAX);
        let got = seconds(&simulator);
        let all: f64 = got.iter().sum();
        // What is on the way at the end is not counted.
        let possible = (end - longest) * lanes as f64;
        prop_assert!(all >= possible, "busy for {all} of {possible}");
        let fair = all * f64::from(share) / 100.0 / shares;
        // Each time that another returns it may be a batch ahead.
        let returns: u64 = simulator.outcomes().skip(1).map(|o| o.batches.min(8)).sum();
        let slack = longest * (lanes as f64 + 2.0) * (returns as f64 + 2.0);
        prop_assert!(got[0] >= fair - slack, "{} of {fair} less {slack}", got[0]);
    }
}

/// The time to send a row: as much again as it costs.
const UPLOAD: f64 = 0.001;

#[test]
fn shares_hold_where_batches_are_sent_ahead() {
    let loads = vec![flooded(0.7, (0.001, 0.002)), flooded(0.3, (0.02, 0.01))];
    let mut simulator = Simulator::staging(1, loads, 7, UPLOAD);
    assert_near(&parts_until(&mut simulator, 30.0), &[0.7, 0.3], 0.02);
}

#[test]
fn sending_batches_ahead_takes_the_way_to_the_device_out_of_its_time() {
    let rows = |mut simulator: Simulator| {
        simulator.play(30.0, u64::MAX);
        simulator.outcomes().map(|outcomes| outcomes.rows).sum::<u64>() as f64
    };
    let loads = || vec![flooded(1.0, (0.001, 0.001))];
    let ahead = rows(Simulator::staging(1, loads(), 5, UPLOAD));
    // 1 ms a batch and 1 ms a row, of four rows: 5 ms, and 4 ms more for each batch that is not sent ahead.
    let bound = rows(Simulator::new(1, loads(), 5));
    assert!(ahead > bound * 0.98, "{ahead} rows, {bound} where the way costs nothing");
}

#[test]
fn a_quiet_model_waits_for_one_batch_of_another_whose_next_was_sent_ahead() {
    let other = (0.010, 0.005);
    let loads = vec![load(0.3, (0.004, 0.001), Demand::Quiet(0.003)), flooded(0.7, other)];
    let mut simulator = Simulator::staging(1, loads, 13, UPLOAD);
    simulator.play(60.0, u64::MAX);
    let quiet = simulator.outcomes().next().unwrap();
    let (solo, batch) = (0.005 * 1.2 + UPLOAD, (other.0 + 4.0 * other.1) * 1.2);
    let p99 = quiet.latency(0.99);
    assert!(quiet.rows > 1000 && p99 <= (solo + batch) * 1.5, "{} rows, p99 {p99}", quiet.rows);
}
