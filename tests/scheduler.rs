//! The scheduler with stand-ins for models: what is batched, who is answered what, and what costs nothing.

use crate::fakes::{Fake, Gate, TwoLanes, first, number, numbers};
use rserve::plan::{BatchPolicy, DeviceId};
use rserve::scheduler::{
    Batch, Device, Instance, ItemError, Memory, OwnThreads, Patience, Policy, Rejected, Replicas, RunError,
    Runner, Sender, SharedPool, Stopped, Terms, Ticket, Value, Want,
};
use std::sync::Arc;
use std::time::{Duration, Instant};

const FAR: Duration = Duration::from_secs(3600);

fn policy(max: usize, queue: usize) -> Policy {
    Policy {
        share: 1.0,
        batch: BatchPolicy::up_to(max),
        queue,
        lanes: usize::MAX,
        memory: None,
        max_run: Duration::from_secs(60),
    }
}

/// A device that runs one batch at a time.
fn one_lane() -> Device {
    Device::new(DeviceId::Cpu, OwnThreads::start(DeviceId::Cpu).unwrap())
}

fn submit(instance: &Instance, value: Value) -> Result<Ticket, Rejected> {
    instance.submit(vec![value], Arc::new([Want::Host]), Terms::until(Instant::now() + FAR))
}

#[track_caller]
fn take(instance: &Instance, value: f32) -> Ticket {
    submit(instance, number(value)).unwrap()
}

fn answer(ticket: Ticket) -> Result<f32, ItemError> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(ticket).map(|done| first(done.outputs[0].as_ref().unwrap()))
}

/// Waits until what was said to the device has been done.
fn settle(instance: &Instance) {
    assert_eq!(answer(take(instance, 0.0)).unwrap(), 0.0);
}

#[test]
fn what_waits_for_a_busy_device_runs_together_and_goes_back_to_its_own() {
    let (device, fake) = (one_lane(), Fake::times(10.0));
    let instance = device.instance("model", fake.clone(), policy(4, 64));
    fake.gate.close();
    let tickets: Vec<Ticket> = (1..=10).map(|n| take(&instance, n as f32)).collect();
    fake.gate.wait_for(1);
    fake.gate.open();
    let answers: Vec<f32> = tickets.into_iter().map(|ticket| answer(ticket).unwrap()).collect();
    assert_eq!(answers, [10., 20., 30., 40., 50., 60., 70., 80., 90., 100.]);
    assert_eq!(
        *fake.batches.lock().unwrap(),
        [vec![1.], vec![2., 3., 4., 5.], vec![6., 7., 8., 9.], vec![10.]]
    );
    settle(&instance);
    let counters = instance.counters();
    assert_eq!((counters.submitted, counters.rows, counters.batches, counters.queue), (11, 11, 5, 0));
    assert_eq!(counters.batch_sizes[..4], [3, 0, 2, 0]);
}

#[test]
fn a_model_without_a_batch_axis_runs_one_at_a_time() {
    let device = one_lane();
    let mut fake = Fake::times(1.0);
    Arc::get_mut(&mut fake).unwrap().joins = false;
    let instance = device.instance("model", fake.clone(), policy(4, 64));
    fake.gate.close();
    let tickets: Vec<Ticket> = (0..4).map(|n| take(&instance, n as f32)).collect();
    fake.gate.open();
    for ticket in tickets {
        answer(ticket).unwrap();
    }
    assert_eq!(fake.sizes(), [1, 1, 1, 1]);
}

#[test]
fn shapes_are_not_mixed_in_a_batch() {
    let (device, fake) = (one_lane(), Fake::times(1.0));
    let instance = device.instance("model", fake.clone(), policy(8, 64));
    fake.gate.close();
    let held = take(&instance, 0.0);
    fake.gate.wait_for(1);
    let values = [numbers(&[1.]), numbers(&[2., 2.]), numbers(&[3.]), numbers(&[4., 4.]), numbers(&[5.])];
    let tickets: Vec<Ticket> = values.map(|value| submit(&instance, value).unwrap()).into();
    fake.gate.open();
    let answers: Vec<f32> = tickets.into_iter().map(|ticket| answer(ticket).unwrap()).collect();
    assert_eq!(answers, [1., 2., 3., 4., 5.]);
    assert_eq!(*fake.batches.lock().unwrap(), [vec![0.], vec![1., 3., 5.], vec![2., 4.]]);
    answer(held).unwrap();
}

#[test]
fn a_bad_item_fails_alone() {
    let (device, fake) = (one_lane(), Fake::times(1.0));
    let instance = device.instance("model", fake.clone(), policy(8, 64));
    fake.gate.close();
    let held = take(&instance, 0.0);
    fake.gate.wait_for(1);
    let tickets: Vec<Ticket> = [1., -2., 3.].map(|n| take(&instance, n)).into();
    fake.gate.open();
    let answers: Vec<Result<f32, ItemError>> = tickets.into_iter().map(answer).collect();
    assert!(matches!(answers[0], Ok(1.)));
    assert!(
        matches!(&answers[1], Err(ItemError::Run(RunError::Input(reason))) if reason == "-2 is negative"),
        "{:?}",
        answers[1]
    );
    assert!(matches!(answers[2], Ok(3.)));
    assert_eq!(fake.sizes(), [1, 3, 2, 1, 1, 1]);
    answer(held).unwrap();
    settle(&instance);
    assert_eq!(instance.counters().failed, 1);
}

/// Sixteen rows with a bad one were run seventeen times.
#[test]
fn a_bad_item_is_found_by_halves() {
    let (device, fake) = (one_lane(), Fake::times(1.0));
    let instance = device.instance("model", fake.clone(), policy(16, 64));
    fake.gate.close();
    let held = take(&instance, 0.0);
    fake.gate.wait_for(1);
    let tickets: Vec<Ticket> =
        (0..16).map(|n| take(&instance, if n == 5 { -1. } else { n as f32 })).collect();
    fake.gate.open();
    let answers: Vec<Result<f32, ItemError>> = tickets.into_iter().map(answer).collect();
    for (n, answer) in answers.iter().enumerate() {
        match answer {
            Ok(value) => assert_eq!(*value, n as f32),
            Err(error) => assert!(n == 5, "{n}: {error}"),
        }
    }
    assert_eq!(fake.sizes(), [1, 16, 8, 4, 4, 2, 1, 1, 2, 8]);
    answer(held).unwrap();
}

/// One client's bad rows had everybody's batches run again and again.
#[test]
fn who_makes_batches_fail_again_and_again_runs_alone() {
    let (device, fake) = (one_lane(), Fake::times(1.0));
    let instance = device.instance("model", fake.clone(), policy(8, 64));
    let send = |value: f32, who: &str| {
        let terms = Terms { sender: Some(Sender::of(who)), ..Terms::until(Instant::now() + FAR) };
        instance.submit(vec![number(value)], Arc::new([Want::Host]), terms).unwrap()
    };
    let together = || {
        fake.gate.close();
        let before = fake.sizes().len();
        let held = take(&instance, 0.0);
        fake.gate.wait_for(before + 1);
        let tickets = [send(1.0, "good"), send(-1.0, "bad"), send(2.0, "good"), send(-2.0, "bad")].map(Some);
        fake.gate.open();
        answer(held).unwrap();
        let answers = tickets.map(|ticket| answer(ticket.unwrap()).is_ok());
        assert_eq!(answers, [true, false, true, false]);
        settle(&instance);
        let sizes = fake.sizes().split_off(before + 1);
        sizes[..sizes.len() - 1].to_vec()
    };
    assert_eq!(together(), [4, 2, 1, 1, 2, 1, 1]);
    assert_eq!(together(), [4, 2, 1, 1, 2, 1, 1]);
    assert_eq!(together(), [2, 1, 1], "the good ones share a batch, the bad ones do not");
}

#[test]
fn a_panic_fails_its_batch_and_the_next_is_served() {
    for device in [one_lane(), Device::new(DeviceId::Cpu, SharedPool::default())] {
        let fake = Fake::times(1.0);
        let instance = device.instance("model", fake.clone(), policy(8, 64));
        let error = answer(take(&instance, 666.0)).unwrap_err();
        assert!(error.to_string().contains("the number of the beast"), "{error}");
        assert_eq!(answer(take(&instance, 7.0)).unwrap(), 7.0);
    }
}

#[test]
fn a_passed_deadline_and_a_client_that_left_cost_no_device_time() {
    let (device, fake) = (one_lane(), Fake::times(1.0));
    let instance = device.instance("model", fake.clone(), policy(8, 64));
    fake.gate.close();
    let held = take(&instance, 0.0);
    fake.gate.wait_for(1);
    let late =
        instance.submit(vec![number(1.0)], Arc::new([Want::Host]), Terms::until(Instant::now())).unwrap();
    drop(take(&instance, 2.0));
    let kept = take(&instance, 3.0);
    fake.gate.open();
    assert!(matches!(answer(late), Err(ItemError::Deadline)));
    assert_eq!(answer(kept).unwrap(), 3.0);
    assert_eq!(*fake.batches.lock().unwrap(), [vec![0.], vec![3.]]);
    let counters = instance.counters();
    assert_eq!((counters.expired, counters.gone, counters.queue), (1, 1, 0));
    answer(held).unwrap();
}

/// A model that runs until it is told to end, and then says so.
#[derive(Default)]
struct Endless {
    begun: Gate,
}

impl Runner for Endless {
    fn joins(&self) -> bool {
        true
    }

    fn run(&self, batch: Batch) -> Result<Vec<Vec<Option<Value>>>, RunError> {
        self.begun.pass();
        loop {
            if let Some(why) = batch.stop.reason() {
                return Err(RunError::Stopped(why));
            }
            std::thread::park_timeout(Duration::from_millis(1));
        }
    }
}

/// Clients got their 504 in time, and the device went on for a minute without anybody to answer.
#[test]
fn a_batch_ends_once_nobody_waits_for_any_of_its_rows() {
    let (device, endless, fake) = (one_lane(), Arc::new(Endless::default()), Fake::times(1.0));
    let other = device.instance("other", fake.clone(), policy(4, 64));
    let instance = device.instance("model", endless.clone(), policy(2, 64));
    fake.gate.close();
    let held = take(&other, 1.0);
    fake.gate.wait_for(1);
    let soon = Terms::until(Instant::now() + Duration::from_millis(200));
    let late = instance.submit(vec![number(1.0)], Arc::new([Want::Host]), soon).unwrap();
    let left = take(&instance, 2.0);
    fake.gate.open();
    endless.begun.wait_for(1);
    let waits = take(&other, 3.0);
    drop(left);
    assert!(matches!(answer(late), Err(ItemError::Deadline)));
    assert_eq!((answer(held).unwrap(), answer(waits).unwrap()), (1.0, 3.0));
    let counters = instance.counters();
    assert_eq!((counters.expired, counters.gone, counters.failed), (1, 1, 0));
    assert_eq!((counters.stopped_abandoned, counters.stopped_too_long), (1, 0));
}

#[test]
fn a_batch_ends_once_it_has_run_for_longer_than_it_may() {
    let (device, endless) = (one_lane(), Arc::new(Endless::default()));
    let max_run = Duration::from_millis(100);
    let instance = device.instance("model", endless, Policy { max_run, ..policy(2, 64) });
    let error = answer(take(&instance, 1.0)).unwrap_err();
    assert!(matches!(error, ItemError::Run(RunError::Stopped(Stopped::TooLong))), "{error}");
    let counters = instance.counters();
    assert_eq!((counters.stopped_abandoned, counters.stopped_too_long, counters.failed), (0, 1, 1));
}

/// Every thread of the pool ran a batch of one model, and nobody else's was run until one ended.
#[test]
fn a_model_that_keeps_every_lane_of_the_pool_keeps_no_other_waiting() {
    let (device, endless, fake) =
        (Device::new(DeviceId::Cpu, SharedPool::default()), Arc::new(Endless::default()), Fake::times(2.0));
    let hog = device.instance("hog", endless.clone(), Policy { share: 0.5, ..policy(1, 64) });
    let other = device.instance("other", fake, Policy { share: 0.5, ..policy(1, 64) });
    let held: Vec<Ticket> = (0..=device.lanes()).map(|n| take(&hog, n as f32)).collect();
    endless.begun.wait_for(device.lanes());
    for n in 0..4 {
        assert_eq!(answer(take(&other, n as f32)).unwrap(), n as f32 * 2.0);
    }
    assert_eq!(hog.counters().running, device.lanes() as u64, "it does not run beside its own");
    drop(held);
    endless.begun.wait_for(device.lanes());
    settle(&other);
    assert_eq!(hog.counters().failed, 0);
}

/// A model that never comes back, and says what it is at.
struct Deaf {
    begun: Gate,
    ends: Gate,
}

impl Runner for Deaf {
    fn joins(&self) -> bool {
        true
    }

    fn run(&self, _: Batch) -> Result<Vec<Vec<Option<Value>>>, RunError> {
        self.begun.pass();
        self.ends.pass();
        Err(RunError::Failed("at last".into()))
    }

    fn running(&self) -> Option<String> {
        Some("node 7 (Loop)".into())
    }
}

#[test]
fn a_batch_that_does_not_come_back_makes_its_device_sick_until_it_does() {
    let patience = Patience { stuck: Duration::from_millis(50), lost: Duration::from_secs(3600) };
    let threads = OwnThreads::start(DeviceId::Cpu).unwrap();
    let device = Device::with_patience(DeviceId::Cpu, threads, patience);
    let deaf = Arc::new(Deaf { begun: Gate::default(), ends: Gate::default() });
    deaf.ends.close();
    let max_run = Duration::from_millis(50);
    let instance = device.instance("model", deaf.clone(), Policy { max_run, ..policy(2, 64) });
    let ticket = take(&instance, 1.0);
    deaf.begun.wait_for(1);
    let stuck = loop {
        match device.stuck().pop() {
            Some(stuck) => break stuck,
            None => std::thread::park_timeout(Duration::from_millis(5)),
        }
    };
    assert_eq!((&*stuck.model, stuck.node.as_deref(), stuck.lost), ("model", Some("node 7 (Loop)"), false));
    assert!(stuck.ran >= max_run + patience.stuck);
    deaf.ends.open();
    let error = answer(ticket).unwrap_err();
    assert!(matches!(error, ItemError::Run(RunError::Stopped(Stopped::TooLong))), "{error}");
    while !device.stuck().is_empty() {
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// The time of a batch was put to its model's account when it ended, so that a device that was taken for a minute
/// passed for idle.
#[test]
fn a_device_whose_batches_have_not_ended_is_busy() {
    let (device, fake) = (one_lane(), Fake::times(1.0));
    let instance = device.instance("model", fake.clone(), policy(4, 64));
    fake.gate.close();
    let held = take(&instance, 1.0);
    fake.gate.wait_for(1);
    std::thread::park_timeout(Duration::from_millis(50));
    let usage = device.usage();
    assert!(usage.busy[0] > 0.5, "{usage:?}");
    assert_eq!(usage.models[0].got, [1.0, 1.0]);
    fake.gate.open();
    answer(held).unwrap();
}

#[test]
fn a_thousand_clients_that_leave_while_they_wait_cost_nothing() {
    let (device, fake) = (one_lane(), Fake::times(1.0));
    let instance = device.instance("model", fake.clone(), policy(16, 1000));
    fake.gate.close();
    let held = take(&instance, 0.0);
    fake.gate.wait_for(1);
    let waiting: Vec<Ticket> = (0..1000).map(|n| take(&instance, n as f32)).collect();
    assert_eq!(instance.counters().queue, 1000);
    drop(waiting);
    // Their places are free for others at once.
    let after = take(&instance, 7.0);
    fake.gate.open();
    assert_eq!((answer(held).unwrap(), answer(after).unwrap()), (0.0, 7.0));
    settle(&instance);
    let counters = instance.counters();
    assert_eq!((counters.gone, counters.queue), (1000, 0));
    assert_eq!((counters.rows, fake.sizes()), (3, vec![1, 1, 1]));
}

#[test]
fn a_full_queue_says_when_to_come_again_and_does_not_count_those_who_left() {
    let (device, fake) = (one_lane(), Fake::times(1.0));
    let instance = device.instance("model", fake.clone(), policy(8, 3));
    settle(&instance);
    fake.gate.close();
    let held = take(&instance, 0.0);
    fake.gate.wait_for(2);
    let mut waiting: Vec<Ticket> = (1..=3).map(|n| take(&instance, n as f32)).collect();
    match submit(&instance, number(4.0)) {
        Err(Rejected::Full { retry_after }) => assert!(retry_after > Duration::ZERO),
        other => panic!("{other:?}"),
    }
    assert_eq!(instance.counters().rejected, 1);
    assert_eq!(instance.counters().queue, 3);
    drop(waiting.remove(1));
    waiting.push(take(&instance, 5.0));
    assert!(submit(&instance, number(6.0)).is_err());
    fake.gate.open();
    let answers: Vec<f32> = waiting.into_iter().map(|ticket| answer(ticket).unwrap()).collect();
    assert_eq!(answers, [1., 3., 5.]);
    answer(held).unwrap();
}

#[test]
fn a_batch_that_waits_for_more_goes_when_it_is_full_or_has_waited() {
    let (device, fake) = (one_lane(), Fake::times(1.0));
    let with = |wait| Policy { batch: BatchPolicy { wait, ..BatchPolicy::up_to(3) }, ..policy(3, 64) };
    let instance = device.instance("model", fake.clone(), with(FAR));
    // Were it not for the third, they would wait for an hour.
    let tickets: Vec<Ticket> = (1..=3).map(|n| take(&instance, n as f32)).collect();
    for ticket in tickets {
        answer(ticket).unwrap();
    }
    assert_eq!(fake.sizes(), [3]);
    // The policy changes while one waits.
    let waiting = take(&instance, 1.0);
    instance.set_policy(with(Duration::from_millis(5)));
    answer(waiting).unwrap();
    let tickets: Vec<Ticket> = (1..=2).map(|n| take(&instance, n as f32)).collect();
    for ticket in tickets {
        answer(ticket).unwrap();
    }
    assert_eq!(fake.sizes().iter().sum::<usize>(), 6);
    // No more will come.
    instance.set_policy(with(FAR));
    let last = take(&instance, 7.0);
    instance.wait_at_most(Duration::from_millis(1));
    answer(last).unwrap();
}

/// Nobody told the clock when a full queue became one that waits for more, so that a folder's last items
/// could wait for ever.
#[test]
fn what_a_full_queue_leaves_behind_goes_when_it_has_waited() {
    let (device, fake) = (one_lane(), Fake::times(1.0));
    let wait = Duration::from_millis(200);
    let batch = BatchPolicy { wait, ..BatchPolicy::up_to(3) };
    let instance = device.instance("model", fake.clone(), Policy { batch, ..policy(3, 64) });
    fake.gate.close();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let mut tickets: Vec<Ticket> = (1..=6).map(|n| take(&instance, n as f32)).collect();
    fake.gate.wait_for(1);
    // The clock wakes for the first, finds a full queue that waits for a lane, and sleeps.
    runtime.block_on(async { tokio::time::sleep(wait * 2).await });
    tickets.push(take(&instance, 7.0));
    fake.gate.open();
    for ticket in tickets {
        let answered = async { tokio::time::timeout(Duration::from_secs(20), ticket).await };
        runtime.block_on(answered).expect("it goes in the end").unwrap();
    }
    assert_eq!(fake.sizes(), [3, 3, 1]);
}

#[test]
fn an_instance_out_of_service_ends_what_waits_and_the_others_go_on() {
    let (device, fake, other) = (one_lane(), Fake::times(1.0), Fake::times(2.0));
    let instance = device.instance("model", fake.clone(), policy(1, 64));
    let beside = device.instance("other", other.clone(), policy(1, 64));
    fake.gate.close();
    let running = take(&instance, 1.0);
    fake.gate.wait_for(1);
    let waiting = take(&instance, 2.0);
    let also = take(&beside, 3.0);
    drop(instance);
    assert!(matches!(answer(waiting), Err(ItemError::Closed)));
    fake.gate.open();
    assert_eq!(answer(running).unwrap(), 1.0, "a batch on its way ends first");
    assert_eq!(answer(also).unwrap(), 6.0);
    settle(&beside);
    assert_eq!(Arc::strong_count(&fake), 1, "the model is freed");
}

#[test]
fn batches_are_padded_to_the_listed_sizes_and_nobody_sees_it() {
    let (device, fake) = (one_lane(), Fake::times(10.0));
    let batch = BatchPolicy { sizes: [2, 8].into(), ..BatchPolicy::up_to(8) };
    let instance = device.instance("model", fake.clone(), Policy { batch, ..policy(8, 64) });
    fake.gate.close();
    let tickets: Vec<Ticket> = (1..=4).map(|n| take(&instance, n as f32)).collect();
    fake.gate.open();
    let answers: Vec<f32> = tickets.into_iter().map(|ticket| answer(ticket).unwrap()).collect();
    assert_eq!(answers, [10., 20., 30., 40.]);
    assert_eq!(*fake.batches.lock().unwrap(), [vec![1., 1.], vec![2., 3., 4., 4., 4., 4., 4., 4.]]);
    settle(&instance);
    let counters = instance.counters();
    assert_eq!((counters.rows, counters.padding), (5, 1 + 5 + 1));
}

#[test]
fn an_item_goes_to_the_replica_that_has_the_least_to_do() {
    let fakes = [Fake::times(1.0), Fake::times(1.0)];
    let instance = |fake: &Arc<Fake>| one_lane().instance("model", fake.clone(), policy(1, 2));
    let replicas = Replicas::new(fakes.iter().map(instance).collect());
    fakes.iter().for_each(|fake| fake.gate.close());
    let terms = Terms::until(Instant::now() + FAR);
    let submit = |n: f32| replicas.submit(vec![number(n)], Arc::new([Want::Host]), terms);
    let mut tickets: Vec<Ticket> = (1..=2).map(|n| submit(n as f32).unwrap()).collect();
    fakes.iter().for_each(|fake| fake.gate.wait_for(1));
    tickets.extend((3..=6).map(|n| submit(n as f32).unwrap()));
    assert!(matches!(replicas.room(terms), Err(Rejected::Full { .. })));
    assert!(submit(7.0).is_err(), "both are full");
    fakes.iter().for_each(|fake| fake.gate.open());
    for ticket in tickets {
        answer(ticket).unwrap();
    }
    assert_eq!(fakes.each_ref().map(|fake| fake.sizes().len()), [3, 3]);
}

#[test]
fn one_model_takes_no_more_lanes_than_it_has_memory_for() {
    let device = Device::new(DeviceId::Cpu, TwoLanes);
    let (large, small) = (Fake::times(1.0), Fake::times(1.0));
    let one = Policy { lanes: 1, ..policy(1, 64) };
    let instance = device.instance("large", large.clone(), one);
    let beside = device.instance("small", small.clone(), policy(1, 64));
    large.gate.close();
    let first = take(&instance, 1.0);
    large.gate.wait_for(1);
    let second = take(&instance, 2.0);
    // The lane that the large one leaves alone is there for the other.
    assert_eq!(answer(take(&beside, 3.0)).unwrap(), 3.0);
    assert_eq!(large.sizes(), [1]);
    large.gate.open();
    assert_eq!((answer(first).unwrap(), answer(second).unwrap()), (1.0, 2.0));
}

#[test]
fn batches_of_two_generations_share_the_memory_of_their_model() {
    let device = Device::new(DeviceId::Cpu, TwoLanes);
    let taking = |batch| {
        let mut fake = Fake::times(1.0);
        Arc::get_mut(&mut fake).unwrap().memory = Memory { weights: 100, batch };
        fake
    };
    let (old, new) = (taking(300), taking(301));
    let of_800 = || Policy { memory: Some(800), ..policy(1, 64) };
    let before = device.instance("model", old.clone(), of_800());
    old.gate.close();
    let first = take(&before, 1.0);
    old.gate.wait_for(1);
    let after = device.instance("model", new.clone(), of_800());
    let second = take(&after, 2.0);
    let other = device.instance("other", Fake::times(1.0), policy(1, 64));
    assert_eq!(answer(take(&other, 3.0)).unwrap(), 3.0, "a lane is free");
    assert_eq!(new.sizes(), [0; 0], "200 of weights, 300 that run, and 301 are too much");
    // The old one is gone once its batch has ended.
    drop(before);
    old.gate.open();
    assert_eq!((answer(first).unwrap(), answer(second).unwrap()), (1.0, 2.0));
}

#[test]
fn many_threads_and_many_lanes_lose_and_mix_nothing() {
    let device = Device::new(DeviceId::Cpu, SharedPool::default());
    let models = [2.0, 3.0].map(|factor| (factor, Fake::times(factor)));
    let instances = models
        .map(|(factor, fake)| (factor, device.instance(&format!("x{factor}"), fake, policy(8, 10_000))));
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let instances = &instances;
            scope.spawn(move || {
                let tickets: Vec<(f32, Ticket)> = (0..500)
                    .map(|n| {
                        let (factor, instance) = &instances[n % 2];
                        let value = (thread * 1000 + n) as f32 + 0.5;
                        (value * factor, submit(instance, number(value)).unwrap())
                    })
                    .collect();
                for (expected, ticket) in tickets {
                    assert_eq!(answer(ticket).unwrap(), expected);
                }
            });
        }
    });
    for (_, instance) in &instances {
        assert_eq!(instance.counters().submitted, 1000);
    }
}

/// Waits for what comes of itself, and panics after a minute of it.
#[track_caller]
fn wait_until(what: &str, holds: impl Fn() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < Duration::from_secs(60), "waited for: {what}");
        std::thread::yield_now();
    }
}

/// Waits until so many batches have been staged.
#[track_caller]
fn wait_for_staged(fake: &Fake, batches: usize) {
    wait_until("batches are staged", || fake.staged.lock().unwrap().len() >= batches);
}

/// A device that is held back in a batch of 1, the numbers from 2 on waiting in batches of two, the first of which was
/// sent ahead.
fn sent_ahead(last: usize) -> (Arc<Fake>, Instance, Vec<Ticket>) {
    let (device, fake) = (one_lane(), Fake::staging(10.0));
    let instance = device.instance("model", fake.clone(), policy(2, 64));
    fake.gate.close();
    let tickets = (1..=last).map(|n| take(&instance, n as f32)).collect();
    fake.gate.wait_for(1);
    wait_for_staged(&fake, 1);
    (fake, instance, tickets)
}

#[test]
fn the_next_whole_batch_is_sent_while_one_runs() {
    let (fake, instance, tickets) = sent_ahead(7);
    assert_eq!(*fake.batches.lock().unwrap(), [vec![1.]], "it runs when it is its turn");
    assert_eq!(instance.counters().queue, 4, "one batch at a time is sent ahead");
    fake.gate.open();
    let answers: Vec<f32> = tickets.into_iter().map(|ticket| answer(ticket).unwrap()).collect();
    assert_eq!(answers, [10., 20., 30., 40., 50., 60., 70.]);
    assert_eq!(fake.staged.lock().unwrap()[0], [2., 3.]);
    settle(&instance);
    let counters = instance.counters();
    assert_eq!((counters.rows, counters.batches, counters.queue), (8, 5, 0));
    wait_until("nothing runs", || instance.counters().running == 0);
}

#[test]
fn a_batch_that_may_still_grow_is_not_sent_ahead() {
    let (device, fake) = (one_lane(), Fake::staging(1.0));
    let instance = device.instance("model", fake.clone(), policy(4, 64));
    fake.gate.close();
    let tickets: Vec<Ticket> = (1..=4).map(|n| take(&instance, n as f32)).collect();
    fake.gate.wait_for(1);
    let more = take(&instance, 5.0);
    wait_for_staged(&fake, 1);
    fake.gate.open();
    for ticket in tickets.into_iter().chain([more]) {
        answer(ticket).unwrap();
    }
    assert_eq!(*fake.batches.lock().unwrap(), [vec![1.], vec![2., 3., 4., 5.]]);
    assert_eq!(*fake.staged.lock().unwrap(), [[2., 3., 4., 5.]]);
}

#[test]
fn another_model_whose_turn_comes_first_overtakes_what_was_sent_ahead() {
    let device = one_lane();
    let flooded = Fake::staging(1.0);
    let quiet = {
        let flooded = flooded.clone();
        let before = move || flooded.batches.lock().unwrap().len() as f32;
        Fake::new(move |_| Ok(vec![Some(number(before()))]))
    };
    let shared = |share: f64| Policy { share, ..policy(2, 64) };
    let flood = device.instance("flooded", flooded.clone(), shared(0.7));
    let rare = device.instance("quiet", quiet.clone(), shared(0.3));
    flooded.gate.close();
    let tickets: Vec<Ticket> = (1..=9).map(|n| take(&flood, n as f32)).collect();
    flooded.gate.wait_for(1);
    wait_for_staged(&flooded, 1);
    let one = take(&rare, 42.0);
    flooded.gate.open();
    assert_eq!(answer(one).unwrap(), 1.0, "the batch that ran is all that went before it");
    for ticket in tickets {
        answer(ticket).unwrap();
    }
}

#[test]
fn what_dies_while_it_is_sent_ahead_costs_nothing() {
    let (fake, instance, mut tickets) = sent_ahead(5);
    // Of the batch that was sent one leaves; of the one after it, both.
    let (five, four, two) = (tickets.remove(4), tickets.remove(3), tickets.remove(1));
    drop((five, four, two));
    fake.gate.open();
    for ticket in tickets {
        answer(ticket).unwrap();
    }
    settle(&instance);
    assert_eq!(*fake.batches.lock().unwrap(), [[1.], [3.], [0.]]);
    let counters = instance.counters();
    assert_eq!((counters.gone, counters.rows, counters.queue), (3, 3, 0));
    wait_until("nothing runs", || instance.counters().running == 0);
}

#[test]
fn a_batch_that_cannot_be_sent_ahead_is_run_all_the_same() {
    let (device, fake) = (one_lane(), Fake::staging(1.0));
    let instance = device.instance("model", fake.clone(), policy(2, 64));
    fake.gate.close();
    let tickets: Vec<Ticket> = [1., 777., 3., 4., -5.].map(|n| take(&instance, n)).into();
    fake.gate.wait_for(1);
    fake.gate.open();
    let answers: Vec<Result<f32, ItemError>> = tickets.into_iter().map(answer).collect();
    assert!(matches!(answers[..4], [Ok(1.), Ok(777.), Ok(3.), Ok(4.)]), "{answers:?}");
    assert!(matches!(answers[4], Err(ItemError::Run(RunError::Input(_)))), "{:?}", answers[4]);
    wait_until("nothing runs", || instance.counters().running == 0);
}

#[test]
fn an_instance_that_goes_while_its_batch_waits_on_the_device_answers_it() {
    let (fake, instance, mut tickets) = sent_ahead(5);
    drop(instance);
    fake.gate.open();
    for waiting in tickets.split_off(3) {
        assert!(matches!(answer(waiting), Err(ItemError::Closed)));
    }
    for sent in tickets {
        answer(sent).unwrap();
    }
}
