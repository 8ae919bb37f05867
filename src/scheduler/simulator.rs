//! Plays traffic on devices in simulated time, with the very code that decides while rserve serves: queues,
//! batches, shares, turns. Only the models and the clock are made up.
//!
//! It answers what no test on a clock can: what a thousand models get of eight devices over a million
//! batches. `cargo bench --bench simulator` does that.

use super::formed::{Formed, Next, Turn, Work};
use super::item::{Dropped, Item};
use super::lanes::Patience;
use super::queue::Terms;
use super::run::Ended;
use super::runner::StagedBatch;
use super::state::State;
use super::ticket::Outcome;
use super::{Batch, Counters, Policy, RunError, Runner, Usage, Value};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Seconds between two looks at what runs.
const LOOKS: f64 = 0.025;

/// One model on the device, and what is asked of it. Times are in seconds since the beginning.
#[derive(Clone, Debug)]
pub struct Load {
    pub policy: Policy,
    /// What a batch takes, and each row of it on top.
    pub cost: (f64, f64),
    /// The part by which a batch may take more or less.
    pub jitter: f64,
    pub demand: Demand,
    /// How long an item may take.
    pub timeout: f64,
}

#[derive(Clone, Debug)]
pub enum Demand {
    /// The queue is kept full in these spans.
    Flood(Vec<(f64, f64)>),
    /// So many items are in flight at all times, as of lists whose elements wait for room.
    Lists(usize),
    /// One item at a time; the next comes so long after the answer.
    Quiet(f64),
    /// Items come at random, that many a second, whatever becomes of them.
    Rate(f64),
}

/// The results of one load.
#[derive(Clone, Debug, Default)]
pub struct Outcomes {
    pub batches: u64,
    pub rows: u64,
    pub device_seconds: f64,
    pub rejected: u64,
    pub expired: u64,
    /// The time of each row that was run, from its arrival to the end of its batch, in seconds.
    pub latencies: Vec<f32>,
    /// The most items that waited at once.
    pub longest_queue: usize,
}

/// A device under simulation.
pub struct Simulator {
    state: State,
    zero: Instant,
    now: f64,
    seed: u64,
    /// Events so far.
    made: u64,
    loads: Vec<Playing>,
    events: BinaryHeap<Reverse<Event>>,
    running: Vec<Option<Turn>>,
    /// Whether batches run beside the lanes.
    relieves: bool,
    free: Vec<usize>,
    /// The batch that is being staged.
    staging: Option<Next>,
    /// Seconds that a row's way to the device takes, where batches are staged.
    upload: Option<f64>,
    dead: Dropped,
    keeps_latencies: bool,
}

struct Playing {
    load: Load,
    id: u64,
    counters: Arc<Counters>,
    outcomes: Outcomes,
    /// Whoever waits, in order, so that nobody counts as gone.
    waiting: VecDeque<oneshot::Receiver<Outcome>>,
}

/// An event, in the order of time; among equals, in the order in which they were made.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Event {
    at: f64,
    number: u64,
    what: What,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum What {
    Arrival(usize),
    /// The end of the batch at this place in `running`.
    End(usize, f64),
    /// The batch that was being staged is on the device.
    Staged,
    /// A flood begins.
    Begin(usize),
}

/// Never run: the simulator says what a batch takes.
struct Nothing {
    stages: bool,
}

impl Runner for Nothing {
    fn joins(&self) -> bool {
        true
    }

    fn stages(&self) -> bool {
        self.stages
    }

    fn run(&self, _: Batch) -> Result<Vec<Vec<Option<Value>>>, RunError> {
        Err(RunError::Failed("a simulated model does not run".into()))
    }
}

/// Rows that are on the device.
struct Sent;

impl StagedBatch for Sent {
    fn run(self: Box<Self>) -> Result<Vec<Vec<Option<Value>>>, RunError> {
        Err(RunError::Failed("a simulated model does not run".into()))
    }
}

// === impl Simulator ===

impl Simulator {
    pub fn new(lanes: usize, loads: Vec<Load>, seed: u64) -> Self {
        Self::build(lanes, 0, loads, seed, None)
    }

    /// A device with as many places beside its lanes, for models that others keep from all of them for long.
    pub fn relieved(lanes: usize, loads: Vec<Load>, seed: u64) -> Self {
        Self::build(lanes, lanes, loads, seed, None)
    }

    /// A device to which a row takes `upload` seconds, on top of what its batch costs; one batch's rows may be
    /// on their way while another batch runs.
    pub fn staging(lanes: usize, loads: Vec<Load>, seed: u64, upload: f64) -> Self {
        Self::build(lanes, 0, loads, seed, Some(upload))
    }

    fn build(lanes: usize, relief: usize, loads: Vec<Load>, seed: u64, upload: Option<f64>) -> Self {
        let mut simulator = Self {
            state: State::new(lanes, usize::from(upload.is_some()), relief),
            zero: Instant::now(),
            now: 0.0,
            seed: seed | 1,
            made: 0,
            loads: vec![],
            events: BinaryHeap::new(),
            running: vec![],
            relieves: relief > 0,
            free: vec![],
            staging: None,
            upload,
            dead: vec![],
            keeps_latencies: true,
        };
        for (index, load) in loads.into_iter().enumerate() {
            let counters = Arc::new(Counters::default());
            let name = format!("model-{index}");
            let policy = load.policy.clone();
            let runner = Arc::new(Nothing { stages: upload.is_some() });
            let id = simulator.state.add(&name, runner, policy, counters.clone());
            match &load.demand {
                Demand::Flood(spans) => {
                    for (from, _) in spans.clone() {
                        simulator.at(from, What::Begin(index));
                    }
                }
                Demand::Lists(elements) => {
                    (0..*elements).for_each(|_| simulator.at(0.0, What::Arrival(index)));
                }
                Demand::Quiet(_) => simulator.at(0.0, What::Arrival(index)),
                Demand::Rate(_) => simulator.at(0.0, What::Arrival(index)),
            }
            let (outcomes, waiting) = (Outcomes::default(), VecDeque::new());
            simulator.loads.push(Playing { load, id, counters, outcomes, waiting });
        }
        simulator
    }

    /// Latencies of millions of rows are not kept.
    pub fn without_latencies(mut self) -> Self {
        self.keeps_latencies = false;
        self
    }

    /// Plays until `end`, or until so many batches have ended. May be called again to go on.
    pub fn play(&mut self, end: f64, batches: u64) {
        let mut ended = 0;
        while ended < batches {
            self.start_ready();
            let due = self.state.next_due(self.instant(self.now));
            let due = due.map(|due| due.saturating_duration_since(self.zero).as_secs_f64());
            // The thread that looks after what runs.
            let look = (self.relieves && self.is_running()).then_some(self.now + LOOKS);
            let due = due.into_iter().chain(look).reduce(f64::min);
            let next = self.events.peek().map(|Reverse(event)| event.at);
            let at = match (next, due) {
                (Some(next), Some(due)) if due < next => due.max(self.now),
                (Some(next), _) => next,
                (None, Some(due)) => due,
                (None, None) => return,
            };
            if at > end {
                self.now = end;
                return;
            }
            // A nanosecond on, so that what is due at this time is.
            self.now = if next == Some(at) { at } else { at + 1e-9 };
            if self.relieves {
                let _ = self.state.look(Patience::default(), self.instant(self.now));
            }
            if next == Some(at)
                && let Some(Reverse(event)) = self.events.pop()
            {
                ended += u64::from(matches!(event.what, What::End(..)));
                self.happens(event.what);
            }
        }
    }

    /// The outcomes in the order of the loads.
    pub fn outcomes(&self) -> impl Iterator<Item = &Outcomes> {
        self.loads.iter().map(|playing| &playing.outcomes)
    }

    /// The usage of the device, as the status shows it. `model-0` is the first load.
    pub fn usage(&self) -> Usage {
        self.state.usage(self.instant(self.now))
    }

    /// Items that wait for a load now, as its gauge shows it.
    pub fn queue(&self, load: usize) -> u64 {
        self.loads.get(load).map_or(0, |playing| playing.counters.snapshot().queue)
    }

    /// Instances are numbered as the loads are.
    fn index(&self, instance: u64) -> Option<usize> {
        usize::try_from(instance)
            .ok()
            .filter(|index| self.loads.get(*index).is_some_and(|p| p.id == instance))
    }

    fn instant(&self, seconds: f64) -> Instant {
        self.zero + Duration::from_secs_f64(seconds)
    }

    fn at(&mut self, at: f64, what: What) {
        self.made += 1;
        self.events.push(Reverse(Event { at, number: self.made, what }));
    }

    fn happens(&mut self, what: What) {
        match what {
            What::Begin(load) => self.flood(load),
            What::Arrival(load) => {
                self.arrive(load);
                if let Demand::Rate(rate) = self.loads[load].load.demand {
                    let pause = -(1.0 - self.random()).ln() / rate;
                    self.at(self.now + pause, What::Arrival(load));
                }
            }
            What::End(place, took) => {
                let Some(turn) = self.running[place].take() else { return };
                self.free.push(place);
                self.ended(turn, took);
            }
            What::Staged => {
                if let Some(mut next) = self.staging.take() {
                    next.formed.staged = Some(Box::new(Sent));
                    self.state.staged(next);
                }
            }
        }
    }

    fn is_running(&self) -> bool {
        self.running.iter().any(Option::is_some)
    }

    fn ended(&mut self, turn: Turn, took: f64) {
        let Turn { id, formed: Formed { instance, items, counters, .. }, .. } = turn;
        let now = self.instant(self.now);
        counters.ends(items.len());
        let ended = Ended { took: Duration::from_secs_f64(took), bad: vec![] };
        self.state.finish(id, items.len(), &ended, now);
        let Some(index) = self.index(instance) else { return };
        let playing = &mut self.loads[index];
        playing.outcomes.batches += 1;
        playing.outcomes.rows += items.len() as u64;
        playing.outcomes.device_seconds += took;
        if self.keeps_latencies {
            let latency = |item: &Item| now.saturating_duration_since(item.queued).as_secs_f32();
            playing.outcomes.latencies.extend(items.iter().map(latency));
        }
        match playing.load.demand {
            Demand::Quiet(pause) => self.at(self.now + pause, What::Arrival(index)),
            Demand::Lists(_) => items.iter().for_each(|_| self.at(self.now, What::Arrival(index))),
            Demand::Flood(_) | Demand::Rate(_) => {}
        }
    }

    fn start_ready(&mut self) {
        let now = self.instant(self.now);
        while let Some(work) = self.state.next(now, &mut self.dead) {
            match work {
                Work::Run(turn) => self.start(turn),
                Work::Stage(next) => self.send(next),
            }
        }
        self.dead.clear();
    }

    /// Its rows are on the way to the device.
    fn send(&mut self, next: Next) {
        let Some(index) = self.index(next.formed.instance) else { return };
        let rows = next.formed.items.len();
        self.taken(index, rows);
        self.staging = Some(next);
        self.at(self.now + self.upload.unwrap_or_default() * rows as f64, What::Staged);
        self.flood(index);
    }

    fn start(&mut self, turn: Turn) {
        let Some(index) = self.index(turn.formed.instance) else { return };
        let rows = turn.formed.items.len();
        let mut upload = 0.0;
        if turn.formed.staged.is_none() {
            self.taken(index, rows);
            upload = self.upload.unwrap_or_default() * rows as f64;
        }
        let (base, per_row) = self.loads[index].load.cost;
        let jitter = 1.0 + self.loads[index].load.jitter * (2.0 * self.random() - 1.0);
        let took = (base + per_row * rows as f64) * jitter + upload;
        let place = self.free.pop().unwrap_or(self.running.len());
        if place == self.running.len() {
            self.running.push(None);
        }
        self.running[place] = Some(turn);
        self.at(self.now + took, What::End(place, took));
        self.flood(index);
    }

    /// Notes that rows have left the queue of a load, and those before them that were dropped.
    fn taken(&mut self, load: usize, rows: usize) {
        self.loads[load].waiting.drain(..rows);
        self.count_dropped(load);
    }

    /// Counts the rows whose time was over: they did not wait in vain, as they were answered.
    fn count_dropped(&mut self, load: usize) {
        let gone = self.dead.len();
        self.loads[load].outcomes.expired += gone as u64;
        let waiting = &mut self.loads[load].waiting;
        waiting.drain(..gone.min(waiting.len()));
        self.dead.clear();
    }

    /// Fills the queue, where that is what is asked for now.
    fn flood(&mut self, load: usize) {
        let playing = &self.loads[load];
        let Demand::Flood(spans) = &playing.load.demand else { return };
        if spans.iter().any(|(from, to)| (*from..*to).contains(&self.now)) {
            let room = playing.load.policy.queue - playing.waiting.len().min(playing.load.policy.queue);
            (0..room).for_each(|_| self.arrive(load));
        }
    }

    fn arrive(&mut self, load: usize) {
        let now = self.instant(self.now);
        let playing = &mut self.loads[load];
        let (reply, receiver) = oneshot::channel();
        let terms = Terms::until(now + Duration::from_secs_f64(playing.load.timeout));
        let span = tracing::Span::none();
        let item =
            Item { inputs: vec![], wants: Arc::default(), terms, queued: now, alone: false, span, reply };
        match self.state.push(playing.id, item, now, &mut self.dead) {
            Ok(()) => playing.waiting.push_back(receiver),
            Err(_) => playing.outcomes.rejected += 1,
        }
        playing.outcomes.longest_queue = playing.outcomes.longest_queue.max(playing.waiting.len());
        self.count_dropped(load);
    }

    /// The next number in [0, 1), by xorshift, so that a seed plays the same again.
    fn random(&mut self) -> f64 {
        let mut x = self.seed;
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        self.seed = x | 1;
        (x >> 11) as f64 / (1u64 << 53) as f64
    }
}

impl Outcomes {
    /// The latency that so many of the rows did not exceed, in seconds.
    pub fn latency(&self, part: f64) -> f64 {
        let mut sorted = self.latencies.clone();
        sorted.sort_by(f32::total_cmp);
        let at = (sorted.len().saturating_sub(1)) as f64 * part.clamp(0.0, 1.0);
        sorted.get(at as usize).copied().map_or(0.0, f64::from)
    }
}

// === impl Event ===

impl Eq for Event {}

impl PartialOrd for Event {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Event {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.at.total_cmp(&other.at).then(self.number.cmp(&other.number))
    }
}

#[cfg(test)]
mod tests;
