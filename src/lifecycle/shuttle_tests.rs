//! Swaps, pins and waits on one model's cell, in orders that a machine rarely shows: `cargo test --features shuttle
//! --lib shuttle_`. Whoever waits for a generation that goes unnoticed is a deadlock there, which shuttle reports.

use super::cell::{Answering, Cell, Served};
use super::generation::Generation;
use super::memory::LoadedGenerations;
use super::records::Records;
use super::state::State;
use crate::plan::{Signature, VersionFacts};
use crate::scheduler::Replicas;
use crate::store::Digest;
use crate::sync::{Mutex, lock};
use shuttle::{check_random, thread};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};
use std::time::Duration;

const RUNS: usize = 5000;

/// A generation that was loaded and warmed up, and runs nowhere.
fn generation(version: u64, records: &Records, loaded: &LoadedGenerations) -> Arc<Generation> {
    let digest = Digest([version as u8; 32]);
    let track = records.track(version, Some(digest));
    for state in [State::Reserved, State::Loading, State::Warming] {
        assert!(track.to(state));
    }
    let signature = Arc::new(Signature::new(vec![], vec![]));
    let facts = VersionFacts {
        signature,
        labels: BTreeMap::new(),
        texts: BTreeSet::new(),
        arrays: BTreeMap::new(),
        weights: 0,
    };
    Arc::new_cyclic(|weak: &Weak<Generation>| Generation {
        version,
        digest,
        tag: format!("model@{version}"),
        facts,
        shadow: false,
        declaration: Default::default(),
        joined: true,
        load: Duration::ZERO,
        warm_up: Duration::ZERO,
        replicas: Replicas::new(vec![]),
        track,
        presence: loaded.enter(weak.clone(), version, false, vec![]),
    })
}

fn served(generation: &Arc<Generation>) -> Served {
    let answering = vec![Answering { generation: generation.clone(), align: None }];
    Served { answering, ..Served::default() }
}

fn state_of(records: &Records, version: u64) -> State {
    let all = records.all();
    all.iter().find(|status| status.version == version).unwrap().state.clone()
}

#[test]
fn shuttle_what_is_swapped_out_drains_and_goes_and_whoever_waits_is_told() {
    check_random(
        || {
            let (records, loaded) = (Records::default(), LoadedGenerations::default());
            let cell = Cell::new("model", records.clone());
            let first = generation(1, &records, &loaded);
            let id = first.presence.id();
            cell.serve(served(&first));
            drop(first);
            let requests: Vec<_> = (0..2)
                .map(|_| {
                    let cell = cell.clone();
                    thread::spawn(move || {
                        let pinned = cell.pin().unwrap();
                        thread::yield_now();
                        // What is pinned is held, whatever serves by now.
                        let state = pinned.track.state().unwrap();
                        assert!(matches!(state, State::Ready | State::Draining), "{state:?}");
                        pinned.version
                    })
                })
                .collect();
            let second = generation(2, &records, &loaded);
            cell.serve(served(&second));
            drop(second);
            loaded.wait_until(Duration::from_secs(3600), || loaded.is_gone(id));
            assert_eq!(state_of(&records, 1), State::Unloaded);
            for request in requests {
                assert!([1, 2].contains(&request.join().unwrap()));
            }
            assert_eq!(state_of(&records, 2), State::Ready);
            cell.retire();
            assert_eq!(state_of(&records, 2), State::Draining);
            drop(cell);
            assert_eq!(state_of(&records, 2), State::Unloaded);
        },
        RUNS,
    );
}

#[test]
fn shuttle_what_two_plans_serve_drains_when_both_have_let_go() {
    check_random(
        || {
            let (records, loaded) = (Records::default(), LoadedGenerations::default());
            let running = Cell::new("model", records.clone());
            let staged = Cell::new("model", records.clone());
            let shared = generation(1, &records, &loaded);
            running.serve(served(&shared));
            let other = {
                let (running, records, loaded) = (running.clone(), records.clone(), loaded.clone());
                thread::spawn(move || running.serve(served(&generation(2, &records, &loaded))))
            };
            staged.serve(served(&shared));
            other.join().unwrap();
            // The running plan has let go of it, before or after the staged one took it up.
            assert_eq!(state_of(&records, 1), State::Ready);
            running.retire();
            staged.retire();
            let states = [1, 2].map(|version| state_of(&records, version));
            assert_eq!(states, [State::Draining, State::Draining]);
        },
        RUNS,
    );
}

/// Two writers do as the pass and the commit of a model do: each reads what serves and writes it changed, under one
/// lock.
#[test]
fn shuttle_of_two_writers_neither_undoes_the_other() {
    check_random(
        || {
            let (records, loaded) = (Records::default(), LoadedGenerations::default());
            let cell = Cell::new("model", records.clone());
            cell.serve(served(&generation(1, &records, &loaded)));
            let writer = Arc::new(Mutex::new(()));
            let commit = {
                let (cell, writer) = (cell.clone(), writer.clone());
                thread::spawn(move || {
                    let _alone = lock(&writer);
                    cell.serve(Served { traffic: vec![(1, 100.0)], ..(*cell.served()).clone() });
                })
            };
            {
                let new = generation(2, &records, &loaded);
                let _alone = lock(&writer);
                let traffic = cell.served().traffic.clone();
                cell.serve(Served { traffic, ..served(&new) });
            }
            commit.join().unwrap();
            let now = cell.served();
            assert_eq!((now.versions(), now.traffic.clone()), (vec![2], vec![(1, 100.0)]));
        },
        RUNS,
    );
}
