//! A version that is sent a copy of what another one answered: what it gives is compared and thrown away.
//!
//! It never costs a caller anything but the copy of a few pointers: what it is behind with is dropped, and
//! on the CPU it runs on a thread that gives way to those that serve.

use super::align::Align;
use super::generation::Generation;
use super::status::Comparison;
use crate::plan::Priority;
use crate::scheduler::{Terms, Value, Want};
use crate::sync::{Mutex, lock};
use crate::tensor::Tensor;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Copies that wait; one more is dropped.
const WAITING: usize = 32;

/// How long the shadow may take for one.
const PATIENCE: Duration = Duration::from_secs(10);

/// The inputs and outputs of one step, in the order of the plan.
pub struct Copied {
    pub inputs: Vec<Value>,
    /// `None` where nobody reads the output.
    pub outputs: Vec<Option<Value>>,
}

/// Two numbers are equal that differ by no more than this, or by this part of the greater one.
const TOLERANCE: f64 = 1e-5;

pub struct Shadow {
    pub generation: Arc<Generation>,
    pub(super) align: Option<Arc<Align>>,
    state: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    copies: VecDeque<Copied>,
    /// A task carries them out.
    running: bool,
    comparison: Comparison,
}

/// Outputs that differ, or why they cannot be compared.
enum Compared {
    By(f64, bool),
    Not(String),
}

// === impl Shadow ===

impl Shadow {
    pub(super) fn new(generation: Arc<Generation>, align: Option<Arc<Align>>) -> Arc<Self> {
        let comparison = Comparison { version: generation.version, ..Comparison::default() };
        Arc::new(Self { generation, align, state: Mutex::new(Waiting { comparison, ..Waiting::default() }) })
    }

    pub fn comparison(&self) -> Comparison {
        let mut comparison = lock(&self.state).comparison.clone();
        comparison.equal_share =
            (comparison.compared > 0).then(|| comparison.equal as f64 / comparison.compared as f64);
        comparison
    }

    /// Has the shadow answer a copy, some time. Never waits.
    ///
    /// REQUIRES a tokio runtime.
    pub fn offer(self: &Arc<Self>, copied: Copied) {
        let starts = {
            let mut state = lock(&self.state);
            if state.copies.len() >= WAITING {
                state.comparison.dropped += 1;
                return;
            }
            state.copies.push_back(copied);
            !std::mem::replace(&mut state.running, true)
        };
        if starts {
            tokio::spawn(self.clone().catch_up());
        }
    }

    /// Runs copies one after the other, until none waits.
    async fn catch_up(self: Arc<Self>) {
        loop {
            let copied = {
                let mut state = lock(&self.state);
                let next = state.copies.pop_front();
                state.running = next.is_some();
                next
            };
            let Some(copied) = copied else { return };
            let (compared, took) = self.answer(copied).await;
            let mut state = lock(&self.state);
            let comparison = &mut state.comparison;
            comparison.seconds += took.as_secs_f64();
            match compared {
                Compared::By(difference, equal) => {
                    comparison.compared += 1;
                    comparison.equal += u64::from(equal);
                    comparison.largest_difference = comparison.largest_difference.max(difference);
                }
                Compared::Not(reason) => {
                    comparison.failed += 1;
                    comparison.last_failure = Some(reason);
                }
            }
        }
    }

    async fn answer(&self, copied: Copied) -> (Compared, Duration) {
        let wants: Vec<Want> = copied
            .outputs
            .iter()
            .map(|output| if output.is_some() { Want::Host } else { Want::Drop })
            .collect();
        let (inputs, wants) = match &self.align {
            Some(align) => (align.inputs(&copied.inputs), align.wants(&wants, &Want::Drop)),
            None => (copied.inputs, wants),
        };
        let deadline = Instant::now() + PATIENCE;
        let terms = Terms { deadline, priority: Priority::Low, begun: false, sender: None };
        let ticket = match self.generation.replicas.submit(inputs, wants.into(), terms) {
            Ok(ticket) => ticket,
            Err(rejected) => return (Compared::Not(rejected.to_string()), Duration::ZERO),
        };
        let done = match ticket.await {
            Ok(done) => done,
            Err(error) => return (Compared::Not(error.to_string()), Duration::ZERO),
        };
        let outputs = match &self.align {
            Some(align) => align.outputs(done.outputs),
            None => done.outputs,
        };
        let took = done.timing.device;
        // To bring an output down may wait for a device.
        let compared = tokio::task::spawn_blocking(move || compare(copied.outputs, outputs)).await;
        (compared.unwrap_or_else(|error| Compared::Not(error.to_string())), took)
    }
}

fn compare(answered: Vec<Option<Value>>, shadowed: Vec<Option<Value>>) -> Compared {
    let mut difference: f64 = 0.0;
    let mut equal = true;
    for (index, (a, b)) in answered.into_iter().zip(shadowed).enumerate() {
        let Some(a) = a else { continue };
        let Some(b) = b else { return Compared::Not(format!("it gave no output {index}")) };
        let (a, b) = match (host(a), host(b)) {
            (Ok(a), Ok(b)) => (a, b),
            (Err(error), _) | (_, Err(error)) => return Compared::Not(error),
        };
        if a.shape() != b.shape() {
            let (a, b) = (a.shape(), b.shape());
            return Compared::Not(format!("output {index} has the shape {b:?}, not {a:?}"));
        }
        for (a, b) in a.to_f64().into_iter().zip(b.to_f64()) {
            let apart = match (a.is_nan(), b.is_nan()) {
                (true, true) => 0.0,
                (false, false) if a == b => 0.0,
                (false, false) => (a - b).abs(),
                _ => f64::INFINITY,
            };
            difference = difference.max(apart);
            equal &= apart <= TOLERANCE * a.abs().max(b.abs()).max(1.0);
        }
    }
    Compared::By(if difference.is_finite() { difference } else { f64::MAX }, equal)
}

fn host(value: Value) -> Result<Tensor, String> {
    match value {
        Value::Host(tensor) => Ok(tensor),
        Value::Device(resident) => resident.to_host().map_err(|error| error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(numbers: &[f32]) -> Option<Value> {
        Tensor::from_vec(vec![numbers.len()], numbers.to_vec()).ok().map(Value::Host)
    }

    fn compared(a: Option<Value>, b: Option<Value>) -> Result<(f64, bool), String> {
        match compare(vec![a], vec![b]) {
            Compared::By(difference, equal) => Ok((difference, equal)),
            Compared::Not(reason) => Err(reason),
        }
    }

    #[test]
    fn outputs_are_compared_number_by_number() {
        assert_eq!(compared(values(&[1.0, 2.0]), values(&[1.0, 2.0])), Ok((0.0, true)));
        assert_eq!(compared(values(&[1.0, 2.0]), values(&[1.5, 2.25])), Ok((0.5, false)));
        assert_eq!(compared(None, values(&[1.0])), Ok((0.0, true)), "nobody reads it");
        assert_eq!(compared(values(&[f32::NAN]), values(&[f32::NAN])), Ok((0.0, true)));
        assert_eq!(compared(values(&[1.0]), values(&[f32::NAN])), Ok((f64::MAX, false)));
        assert!(
            compared(values(&[1e6]), values(&[1e6 + 1.0])).is_ok_and(|(apart, equal)| apart == 1.0 && equal)
        );
        assert_eq!(
            compared(values(&[1.0]), values(&[1.0, 2.0])),
            Err("output 0 has the shape [2], not [1]".into())
        );
    }
}
