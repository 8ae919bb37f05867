//! The laws of [`super::Shares`], in simulated time.

use super::*;
use proptest::prelude::*;

/// One account under simulation.
#[derive(Clone, Debug)]
struct Load {
    share: f64,
    /// Seconds that its batches take, over and over.
    costs: Vec<f64>,
    /// It has batches waiting in these spans of time.
    waits: Vec<(f64, f64)>,
}

impl Load {
    fn flooded(share: f64, costs: &[f64]) -> Self {
        Self { share, costs: costs.to_vec(), waits: vec![(0.0, f64::INFINITY)] }
    }

    fn waits_at(&self, time: f64) -> bool {
        self.waits.iter().any(|(from, to)| (*from..*to).contains(&time))
    }
}

/// A batch that was run: whose, when, how long.
#[derive(Clone, Copy, Debug)]
struct Ran {
    load: usize,
    start: f64,
    cost: f64,
}

/// Plays the loads on a device of so many lanes until `end`.
fn simulate(loads: &[Load], lanes: usize, end: f64) -> Vec<Ran> {
    let mut shares = Shares::default();
    let ids: Vec<AccountId> = loads.iter().map(|load| shares.open(load.share)).collect();
    let mut filled = vec![false; loads.len()];
    let mut turns = vec![0; loads.len()];
    let mut running: Vec<(f64, Charge, f64)> = vec![];
    let mut ran = vec![];
    let mut now = 0.0;
    while now < end {
        for (index, load) in loads.iter().enumerate() {
            let waits = load.waits_at(now);
            match (filled[index], waits) {
                (false, true) => shares.queue_filled(ids[index]),
                (true, false) => shares.queue_emptied(ids[index]),
                _ => {}
            }
            filled[index] = waits;
        }
        while running.len() < lanes {
            let waiting = (0..loads.len()).filter(|index| filled[*index]);
            let next = waiting.reduce(|best, index| {
                if shares.rank(ids[index]).before(shares.rank(ids[best])) { index } else { best }
            });
            let Some(load) = next else { break };
            let costs = &loads[load].costs;
            let cost = costs[turns[load] % costs.len()];
            turns[load] += 1;
            running.push((now + cost, shares.start(ids[load]), cost));
            ran.push(Ran { load, start: now, cost });
        }
        // On to the next end of a batch, or the next time that somebody begins or ends to wait.
        let ends = running.iter().map(|(end, ..)| *end);
        let turns = loads.iter().flat_map(|load| &load.waits).flat_map(|(from, to)| [*from, *to]);
        let next = ends.chain(turns.filter(|time| *time > now)).fold(end, f64::min);
        now = next;
        while let Some(at) = running.iter().position(|(end, ..)| *end <= now) {
            let (_, charge, cost) = running.swap_remove(at);
            shares.finish(charge, Duration::from_secs_f64(cost));
        }
    }
    ran
}

/// Device seconds of each load between two times, by the start of its batches.
fn got(ran: &[Ran], loads: usize, from: f64, to: f64) -> Vec<f64> {
    let mut got = vec![0.0; loads];
    for ran in ran.iter().filter(|ran| (from..to).contains(&ran.start)) {
        got[ran.load] += ran.cost;
    }
    got
}

fn fractions(got: &[f64]) -> Vec<f64> {
    let sum: f64 = got.iter().sum();
    got.iter().map(|got| got / sum).collect()
}

#[track_caller]
fn assert_near(found: &[f64], expected: &[f64], within: f64) {
    let near = found.iter().zip(expected).all(|(a, b)| (a - b).abs() <= within);
    assert!(near, "{found:?} is not {expected:?} within {within}");
}

#[test]
fn unequal_costs_do_not_change_the_shares() {
    let loads = [Load::flooded(0.7, &[0.001]), Load::flooded(0.3, &[0.013, 0.007, 0.04])];
    for lanes in [1, 2, 8] {
        let ran = simulate(&loads, lanes, 30.0);
        assert_near(&fractions(&got(&ran, 2, 0.0, 30.0)), &[0.7, 0.3], 0.01);
    }
}

#[test]
fn a_share_that_is_not_used_goes_to_the_others_in_proportion_and_comes_back() {
    let mut loads = [Load::flooded(0.5, &[0.004]), Load::flooded(0.3, &[0.01]), Load::flooded(0.2, &[0.002])];
    loads[0].waits = vec![(0.0, 10.0), (20.0, 30.0)];
    let ran = simulate(&loads, 1, 30.0);
    assert_near(&fractions(&got(&ran, 3, 0.0, 10.0)), &[0.5, 0.3, 0.2], 0.01);
    assert_near(&fractions(&got(&ran, 3, 10.0, 11.0)), &[0.0, 0.6, 0.4], 0.02);
    assert_near(&fractions(&got(&ran, 3, 20.0, 21.0)), &[0.5, 0.3, 0.2], 0.02);
}

#[test]
fn one_that_returns_from_idling_is_not_owed_the_time_it_did_not_ask_for() {
    let mut loads = [Load::flooded(0.5, &[0.01]), Load::flooded(0.5, &[0.01])];
    loads[1].waits = vec![(1000.0, f64::INFINITY)];
    let ran = simulate(&loads, 1, 1001.0);
    assert_near(&fractions(&got(&ran, 2, 0.0, 1000.0)), &[1.0, 0.0], 0.0);
    assert_near(&fractions(&got(&ran, 2, 1000.0, 1001.0)), &[0.5, 0.5], 0.02);
}

#[test]
fn a_quiet_one_waits_for_one_batch_of_the_flooded_one() {
    let mut loads = [Load::flooded(0.7, &[0.05]), Load::flooded(0.3, &[0.002])];
    // Asks for one batch at a time, now and then.
    let asks: Vec<f64> = (1..200).map(|n| n as f64 * 0.31).collect();
    loads[1].waits = asks.iter().map(|ask| (*ask, *ask + 0.0501)).collect();
    let ran = simulate(&loads, 1, 63.0);
    for ask in asks {
        let served = ran.iter().find(|ran| ran.load == 1 && ran.start >= ask).expect("it is served");
        assert!(served.start - ask <= 0.0501, "it waited {} s", served.start - ask);
    }
}

#[test]
fn best_effort_has_what_is_left_and_is_not_starved() {
    let mut loads = [Load::flooded(0.7, &[0.01]), Load::flooded(0.0, &[0.01])];
    loads[0].waits = vec![(0.0, 100.0), (110.0, 200.0)];
    let ran = simulate(&loads, 1, 200.0);
    let beside = got(&ran, 2, 0.0, 100.0)[1];
    assert!((0.01..0.5).contains(&beside), "beside a flood it had {beside} s of 100");
    assert_near(&fractions(&got(&ran, 2, 100.0, 110.0)), &[0.0, 1.0], 0.001);
    let after = got(&ran, 2, 110.0, 200.0)[1];
    assert!(after < 0.5, "after its time alone it had {after} s of 90");
}

#[test]
fn the_smallest_shares_are_told_apart() {
    let loads =
        [Load::flooded(0.0004, &[0.001]), Load::flooded(0.0001, &[0.001]), Load::flooded(0.0005, &[0.001])];
    let ran = simulate(&loads, 1, 20.0);
    assert_near(&fractions(&got(&ran, 3, 0.0, 20.0)), &[0.4, 0.1, 0.5], 0.01);
}

proptest! {
    /// Whatever the costs: any two that always wait differ in time per share by no more than the longest
    /// batches, one for each lane and one more. Nobody starves, and proportions hold in the long run.
    #[test]
    fn the_lag_is_bounded(
        loads in prop::collection::vec((1u32..=100, prop::collection::vec(0.001f64..0.1, 1..6)), 2..7),
        lanes in 1usize..5,
    ) {
        let loads: Vec<Load> =
            loads.into_iter().map(|(share, costs)| Load::flooded(f64::from(share) / 100.0, &costs)).collect();
        let ran = simulate(&loads, lanes, 20.0);
        let got = got(&ran, loads.len(), 0.0, 20.0);
        let longest = |load: &Load| load.costs.iter().copied().fold(0.0, f64::max) / load.share;
        for (a, got_a) in loads.iter().zip(&got) {
            for (b, got_b) in loads.iter().zip(&got) {
                let lag = got_b / b.share - got_a / a.share;
                let bound = (lanes + 1) as f64 * (longest(a) + longest(b));
                prop_assert!(lag <= bound, "{lag} > {bound}");
            }
        }
    }

    /// Whatever the arrivals: while somebody waits no lane is idle, and one that waits without a break has
    /// at least its share of the device, less the longest batches.
    #[test]
    fn others_that_come_and_go_do_not_take_what_is_not_theirs(
        others in prop::collection::vec(
            (1u32..=100, prop::collection::vec(0.001f64..0.05, 1..4), prop::collection::vec(0.01f64..1.0, 2..20)),
            1..6,
        ),
        share in 1u32..=100,
    ) {
        let mut loads = vec![Load::flooded(f64::from(share) / 100.0, &[0.01])];
        for (share, costs, pauses) in others {
            let mut waits = vec![];
            let mut time = 0.0;
            for pair in pauses.chunks_exact(2) {
                waits.push((time + pair[0], time + pair[0] + pair[1]));
                time += pair[0] + pair[1];
            }
            loads.push(Load { share: f64::from(share) / 100.0, costs, waits });
        }
        let end = 10.0;
        let ran = simulate(&loads, 1, end);
        let got = got(&ran, loads.len(), 0.0, end);
        let busy: f64 = got.iter().sum();
        prop_assert!(busy >= end - 1e-6, "the device was busy for {busy} s of {end}");
        let all: f64 = loads.iter().map(|load| load.share).sum();
        let returns: usize = loads.iter().map(|load| load.waits.len()).sum();
        let fair = end * loads[0].share / all;
        // Each return may cost one batch, as a batch on the way is not broken off.
        let slack = 0.06 * (returns + loads.len()) as f64;
        prop_assert!(got[0] >= fair - slack, "{} < {fair} - {slack}", got[0]);
    }
}
