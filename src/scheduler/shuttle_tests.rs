//! What a device's threads share, in orders that a machine rarely shows: `cargo test --features shuttle --lib
//! shuttle_`. An item that nobody answers, or a lane that is never freed, is a deadlock there, which shuttle reports.

use super::{Batch, Device, Executor, Instance, ItemError, Policy, RunError, Runner, StagedBatch};
use super::{Terms, Ticket, Value, Want};
use crate::plan::{BatchPolicy, DeviceId};
use crate::tensor::Tensor;
use shuttle::{check_random, future, thread};
use std::sync::Arc;
use std::time::{Duration, Instant};

const RUNS: usize = 300;

/// Twice what it is given. 13 fails.
struct Doubles {
    stages: bool,
}

struct Sent(Batch);

fn double(batch: &Batch) -> Result<Vec<Vec<Option<Value>>>, RunError> {
    thread::yield_now();
    let row = |row: &Vec<Value>| match number(&row[0]) {
        13.0 => Err(RunError::Failed("thirteen".into())),
        number => Ok(vec![Some(value(number * 2.0))]),
    };
    batch.rows.iter().map(row).collect()
}

impl Runner for Doubles {
    fn joins(&self) -> bool {
        true
    }

    fn run(&self, batch: Batch) -> Result<Vec<Vec<Option<Value>>>, RunError> {
        double(&batch)
    }

    fn stages(&self) -> bool {
        self.stages
    }

    fn stage(self: Arc<Self>, batch: Batch) -> Result<Box<dyn StagedBatch>, RunError> {
        thread::yield_now();
        Ok(Box::new(Sent(batch)))
    }
}

impl StagedBatch for Sent {
    fn run(self: Box<Self>) -> Result<Vec<Vec<Option<Value>>>, RunError> {
        double(&self.0)
    }
}

/// A thread a job.
struct Threads {
    lanes: usize,
    stages: usize,
}

impl Executor for Threads {
    fn lanes(&self) -> usize {
        self.lanes
    }

    fn stages(&self) -> usize {
        self.stages
    }

    fn spawn(&self, task: Box<dyn FnOnce() + Send>) {
        thread::spawn(task);
    }

    /// Shuttle has no clock.
    fn is_watched(&self) -> bool {
        false
    }
}

fn value(number: f32) -> Value {
    Value::Host(Tensor::from_vec(vec![1], vec![number]).unwrap())
}

fn number(value: &Value) -> f32 {
    let Value::Host(tensor) = value else { panic!("it is on the host") };
    tensor.elements::<f32>().unwrap()[0]
}

fn submit(instance: &Instance, number: f32) -> Ticket {
    let terms = Terms::until(Instant::now() + Duration::from_secs(3600));
    instance.submit(vec![value(number)], Arc::new([Want::Host]), terms).unwrap()
}

/// The outcome of an item that was given a number.
fn settle(number_: f32, ticket: Ticket) -> Result<(), ItemError> {
    let done = future::block_on(ticket)?;
    assert_eq!(number(done.outputs[0].as_ref().unwrap()), number_ * 2.0, "its own answer");
    Ok(())
}

fn policy(share: f64, batch: usize) -> Policy {
    Policy {
        share,
        batch: BatchPolicy::up_to(batch),
        queue: 64,
        lanes: usize::MAX,
        memory: None,
        max_run: Duration::from_secs(60),
    }
}

fn instance(device: &Device, model: &str, stages: bool) -> Arc<Instance> {
    Arc::new(device.instance(model, Arc::new(Doubles { stages }), policy(0.5, 2)))
}

#[test]
fn shuttle_every_item_has_its_own_answer_once() {
    for (lanes, stages) in [(1, 0), (2, 0), (1, 1)] {
        check_random(
            move || {
                let device = Device::new(DeviceId::Cpu, Threads { lanes, stages });
                let models = ["a", "b"].map(|model| instance(&device, model, stages > 0));
                let clients: Vec<_> = (0..4)
                    .map(|client| {
                        let instance = models[client % 2].clone();
                        thread::spawn(move || {
                            let numbers = [client as f32, 10.0 + client as f32];
                            let tickets = numbers.map(|number| submit(&instance, number));
                            for (number, ticket) in numbers.into_iter().zip(tickets) {
                                match settle(number, ticket) {
                                    Ok(()) => assert!(number != 13.0),
                                    Err(ItemError::Run(_)) => assert!(number == 13.0),
                                    Err(error) => panic!("{error}"),
                                }
                            }
                        })
                    })
                    .collect();
                clients.into_iter().for_each(|client| client.join().unwrap());
                for instance in models {
                    let counters = instance.counters();
                    assert_eq!(
                        (counters.submitted, counters.queue, counters.failed),
                        (4, 0, counters.failed)
                    );
                }
            },
            RUNS,
        );
    }
}

#[test]
fn shuttle_an_instance_that_goes_leaves_nobody_waiting() {
    check_random(
        || {
            let device = Device::new(DeviceId::Cpu, Threads { lanes: 1, stages: 0 });
            let going = instance(&device, "a", false);
            let stays = instance(&device, "b", false);
            let clients: Vec<_> = (0..2)
                .map(|client| {
                    let going = going.clone();
                    thread::spawn(move || {
                        let tickets = [1.0, 2.0].map(|number| (number, submit(&going, number)));
                        if client == 0 {
                            // Given up while it waits or runs.
                            drop(submit(&going, 3.0));
                        }
                        drop(going);
                        for (number, ticket) in tickets {
                            assert!(matches!(settle(number, ticket), Ok(()) | Err(ItemError::Closed)));
                        }
                    })
                })
                .collect();
            drop(going);
            // Whatever becomes of the other, the lane is free for this one.
            settle(7.0, submit(&stays, 7.0)).unwrap();
            clients.into_iter().for_each(|client| client.join().unwrap());
            settle(8.0, submit(&stays, 8.0)).unwrap();
        },
        RUNS,
    );
}

#[test]
fn shuttle_a_policy_may_change_beside_what_runs() {
    check_random(
        || {
            let device = Device::new(DeviceId::Cpu, Threads { lanes: 2, stages: 0 });
            let instance = instance(&device, "a", false);
            let other = instance.clone();
            let changes = thread::spawn(move || {
                for (share, batch) in [(0.1, 1), (0.9, 4)] {
                    other.set_policy(policy(share, batch));
                }
            });
            let tickets = [1.0, 2.0, 3.0].map(|number| (number, submit(&instance, number)));
            tickets.into_iter().for_each(|(number, ticket)| settle(number, ticket).unwrap());
            changes.join().unwrap();
            assert_eq!(device.usage().models[0].share, 0.9);
        },
        RUNS,
    );
}
