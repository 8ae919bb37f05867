//! A generation's first batches: no request pays for what the first run sets up, and it is shown whether items may
//! share a batch.
//!
//! Rows are only joined where that was seen to change nothing: samples are run alone and together, and every row
//! must be what the item gives alone. A sample that cannot be run says nothing against the model, which was not
//! made for it; a panic and a want of memory do.

use super::given::another;
use super::proof::{Row, Tolerance, differ, difference, on_host};
use super::samples::{Character, Feeds, LENGTHS, sample, shapes_are_known};
use crate::plan::{Basis, BatchPolicy, DeviceId, Port, Signature};
use crate::scheduler::{Batch, RunError, Runner, StopFlag, Value, Want, panic_message};
use crate::tensor::Tensor;
use serde::{Deserialize, Serialize};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Bytes that the inputs of a warm-up batch may take.
const LIMIT: usize = 1 << 30;

/// Whether the items of a generation share batches, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Joining {
    pub joined: bool,
    pub why: String,
    /// What would let items share batches, where they do not and something would.
    pub help: Option<String>,
}

/// The findings of the first batches of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Warmed {
    pub joining: Joining,
    /// Outputs that were taken to have a batch axis and do not, with their rank.
    pub whole: Vec<(usize, usize)>,
    /// Why samples could not be run, where none could.
    pub failed: Option<String>,
}

/// A model to be tried.
pub(super) struct WarmUp<'a> {
    pub runner: &'a dyn Runner,
    pub device: DeviceId,
    pub signature: &'a Signature,
    pub policy: &'a BatchPolicy,
    pub feeds: &'a Feeds,
    /// Items that lie beside the model, where there are any: what it is tried with then.
    pub given: &'a [Vec<Tensor>],
    /// Ends the batch that runs: nobody waits for the model any more.
    pub stop: &'a StopFlag,
}

/// A sample and what it gives alone.
struct Tried {
    item: Vec<Tensor>,
    row: Row,
}

/// What a run on samples came to.
enum Outcome {
    Rows(Vec<Row>),
    /// An output has no row for each item.
    Undivided {
        output: usize,
        rank: usize,
        why: String,
    },
    Failed(String),
    /// It asks for a tensor that is larger than one may be.
    TooLarge(String),
}

/// Why samples could not be run.
#[derive(Debug, Default)]
struct Failures {
    first: Option<String>,
    /// Whether any failed for another reason than that it asks for a tensor that is too large.
    other: bool,
}

impl Failures {
    fn note(&mut self, why: String, too_large: bool) {
        self.first.get_or_insert(why);
        self.other |= !too_large;
    }
}

impl Joining {
    /// The outcome for a model that is not run before it serves: what is declared is believed, and nothing else.
    pub(super) fn untried(signature: &Signature, policy: &BatchPolicy) -> Self {
        let declared = signature.batching.basis == Basis::Declared;
        match &signature.batching.alone {
            Some(alone) => Self { joined: false, why: alone.why.clone(), help: alone.help.clone() },
            None if policy.max == 1 => Self::of_one(),
            None if declared => Self::joined("`batch` declares it; it was not tried, as `warm = false`"),
            None => Self::unproven("it was not tried whether items can share batches, as `warm = false`"),
        }
    }

    fn joined(why: impl Into<String>) -> Self {
        Self { joined: true, why: why.into(), help: None }
    }

    fn of_one() -> Self {
        Self { joined: false, why: "`batch.max` is 1".to_owned(), help: None }
    }

    fn unproven(why: impl Into<String>) -> Self {
        let help = "`batch = { axis = 0 }` declares that each row is computed as if it were alone";
        Self { joined: false, why: why.into(), help: Some(help.to_owned()) }
    }

    /// Joins the outcomes of replicas that were tried apart, for the status: joined where all are.
    pub(super) fn and(self, other: Self) -> Self {
        if self.joined { other } else { self }
    }
}

impl WarmUp<'_> {
    /// Runs the first batches. The error says why the model cannot serve.
    pub(super) fn run(&self) -> Result<Warmed, String> {
        let mut whole = vec![];
        let mut failures = Failures::default();
        let tried = match self.given {
            [] => self.try_alone(&mut whole, &mut failures)?,
            given => self.try_given(given, &mut whole)?,
        };
        // Items of every length and kind: no other would be run either.
        if let (true, Failures { first: Some(why), other: false }) = (tried.is_empty(), &failures) {
            return Err(format!("none of the samples that were tried fits: {why}"));
        }
        let failed = failures.first;
        let joining = self.joining(&tried, failed.as_deref())?;
        let shapes_are_known = !self.given.is_empty() || shapes_are_known(self.signature, self.feeds);
        if joining.joined
            && shapes_are_known
            && let Some(why) = tried.first().map(|one| self.run_full(one)).transpose()?.flatten()
        {
            return Ok(Warmed { joining: self.refuted(why)?, whole, failed: None });
        }
        let failed = failed.filter(|_| tried.is_empty());
        Ok(Warmed { joining, whole, failed })
    }

    /// Runs samples one by one, until there are enough of one size.
    fn try_alone(
        &self,
        whole: &mut Vec<(usize, usize)>,
        failures: &mut Failures,
    ) -> Result<Vec<Tried>, String> {
        let known = shapes_are_known(self.signature, self.feeds);
        let lengths = if known { &LENGTHS[..1] } else { &LENGTHS[..] };
        let mut best: Vec<Tried> = vec![];
        for length in lengths {
            let mut tried: Vec<Tried> = vec![];
            for character in Character::ALL {
                let wanted = if self.may_join() { 3 } else { 1 };
                let told_apart = wanted == 1 || tried.windows(2).any(|two| differ(&two[0].row, &two[1].row));
                if tried.len() >= wanted && told_apart {
                    break;
                }
                let Some(item) = sample(self.signature, self.feeds, *length, character) else {
                    failures.note("no sample can be made of its inputs".to_owned(), false);
                    return Ok(best);
                };
                if let Some(row) = self.alone(&item, whole, failures)? {
                    tried.push(Tried { item, row });
                }
            }
            if tried.len() > best.len() {
                best = tried;
            }
            if best.len() >= 2 || (!best.is_empty() && !self.may_join()) {
                break;
            }
        }
        Ok(best)
    }

    /// Runs the items that lie beside the model; that one of them cannot be run is an error. One alone is set
    /// against another that is made of it.
    fn try_given(
        &self,
        given: &[Vec<Tensor>],
        whole: &mut Vec<(usize, usize)>,
    ) -> Result<Vec<Tried>, String> {
        let mut tried: Vec<Tried> = vec![];
        for item in given {
            let mut failures = Failures::default();
            match self.alone(item, whole, &mut failures)? {
                Some(row) => tried.push(Tried { item: item.clone(), row }),
                None => {
                    let why = failures.first.unwrap_or_default();
                    return Err(format!("the model cannot run what its `warm-up` files hold: {why}"));
                }
            }
        }
        if let ([one], true) = (given, self.may_join())
            && let Some(item) = another(one)
            && let Some(row) = self.alone(&item, whole, &mut Failures::default())?
        {
            tried.push(Tried { item, row });
        }
        // Items of other shapes are not joined, whatever the model.
        let shapes = |item: &[Tensor]| item.iter().map(|tensor| tensor.shape().to_vec()).collect::<Vec<_>>();
        let first = given.first().map(|item| shapes(item));
        tried.retain(|one| Some(shapes(&one.item)) == first);
        Ok(tried)
    }

    fn may_join(&self) -> bool {
        self.runner.joins() && self.policy.max > 1
    }

    /// Runs one item. An output that turns out to have no batch axis is given whole from here on.
    fn alone(
        &self,
        item: &[Tensor],
        whole: &mut Vec<(usize, usize)>,
        failures: &mut Failures,
    ) -> Result<Option<Row>, String> {
        for _ in 0..=self.signature.outputs.len() {
            match self.together(&[item])? {
                Outcome::Rows(mut rows) => return Ok(rows.pop()),
                Outcome::Failed(why) => {
                    failures.note(why, false);
                    return Ok(None);
                }
                Outcome::TooLarge(why) => {
                    failures.note(why, true);
                    return Ok(None);
                }
                Outcome::Undivided { output, rank, why } => {
                    if whole.iter().any(|(known, _)| *known == output) {
                        failures.note(why, false);
                        return Ok(None);
                    }
                    self.runner.give_whole(output);
                    whole.push((output, rank));
                }
            }
        }
        Ok(None)
    }

    /// Whether items may share batches, by the samples that could be run alone.
    fn joining(&self, tried: &[Tried], failed: Option<&str>) -> Result<Joining, String> {
        if let Some(alone) = &self.signature.batching.alone {
            return Ok(Joining { joined: false, why: alone.why.clone(), help: alone.help.clone() });
        }
        if self.policy.max == 1 {
            return Ok(Joining::of_one());
        }
        if !self.runner.joins() {
            return Ok(Joining { joined: false, why: "an output has no batch axis".to_owned(), help: None });
        }
        let declared = self.signature.batching.basis == Basis::Declared;
        let [first, second, rest @ ..] = tried else {
            let why = failed.unwrap_or("too few samples could be run");
            return Ok(match declared {
                true => Joining::joined(format!("`batch` declares it; it could not be tried: {why}")),
                false => Joining::unproven(format!("it could not be tried: {why}")),
            });
        };
        let all: Vec<&Tried> = tried.iter().collect();
        let told_apart = all.windows(2).any(|two| differ(&two[0].row, &two[1].row));
        let third = rest.first().unwrap_or(first);
        let mut orders = vec![vec![second, first], vec![first, third, second]];
        // What else was tried to tell rows apart is set against the first.
        orders.extend(rest.iter().skip(1).map(|more| vec![more, first]));
        for order in orders.into_iter().filter(|order| order.len() <= self.policy.max) {
            let items: Vec<&[Tensor]> = order.iter().map(|one| &*one.item).collect();
            let rows = match self.together(&items)? {
                Outcome::Rows(rows) => rows,
                Outcome::Failed(why) | Outcome::TooLarge(why) | Outcome::Undivided { why, .. } => {
                    return self.refuted(format!("{} items together fail: {why}", order.len()));
                }
            };
            let tolerance = Tolerance(if self.device == DeviceId::Cpu { 1e-5 } else { 1e-3 });
            for (one, row) in order.iter().zip(&rows) {
                if let Some(why) = difference(&self.signature.outputs, &one.row, row, tolerance) {
                    return self.refuted(format!("a row depends on the others in its batch: {why}"));
                }
            }
        }
        if told_apart || declared || self.signature.batching.basis == Basis::Graph {
            let samples = tried.len();
            return Ok(Joining::joined(format!("{samples} samples gave the same in a batch as alone")));
        }
        Ok(Joining::unproven("all samples gave the same, so that rows could not be told apart"))
    }

    /// Items were seen not to share batches well. Where it is declared that they do, that is an error.
    fn refuted(&self, why: String) -> Result<Joining, String> {
        if self.signature.batching.basis == Basis::Declared {
            return Err(format!("`batch` declares that items can be joined, and they cannot: {why}"));
        }
        Ok(Joining { joined: false, why, help: None })
    }

    /// Runs a batch of every size that comes to be run, for its memory and for what it sets up. Says why it cannot
    /// be run, where that is so.
    fn run_full(&self, one: &Tried) -> Result<Option<String>, String> {
        let bytes: usize = one.item.iter().map(|tensor| tensor.bytes().len()).sum();
        let most = [self.policy.max.max(1)];
        let sizes = if self.policy.sizes.is_empty() { &most[..] } else { &self.policy.sizes };
        for rows in sizes.iter().copied().filter(|rows| *rows > 1) {
            if bytes.checked_mul(rows).is_none_or(|bytes| bytes > LIMIT) {
                continue;
            }
            match self.together(&vec![&*one.item; rows])? {
                Outcome::Rows(_) => {}
                Outcome::Failed(why) | Outcome::TooLarge(why) | Outcome::Undivided { why, .. } => {
                    return Ok(Some(format!("{rows} items together fail: {why}")));
                }
            }
        }
        Ok(None)
    }

    fn together(&self, items: &[&[Tensor]]) -> Result<Outcome, String> {
        let row = |item: &&[Tensor]| item.iter().cloned().map(Value::Host).collect();
        // What is no tensor (a sequence) cannot be brought to the host.
        let want = |port: &Port| if port.dtype.is_some() { Want::Host } else { Want::Drop };
        let wants = self.signature.outputs.iter().map(want).collect();
        let stop = self.stop.clone();
        let batch = Batch { rows: items.iter().map(row).collect(), wants, stop };
        let ran = catch_unwind(AssertUnwindSafe(|| self.runner.run(batch).and_then(on_host)))
            .map_err(|payload| format!("it panicked: {}", panic_message(&*payload)))?;
        Ok(match ran {
            Ok(rows) if rows.len() == items.len() => Outcome::Rows(rows),
            Ok(rows) => Outcome::Failed(format!("it gave {} rows for {}", rows.len(), items.len())),
            Err(RunError::Memory { reason, .. }) => return Err(reason),
            Err(RunError::TooLarge(why)) => Outcome::TooLarge(why),
            Err(error @ RunError::Stopped(_)) => return Err(error.to_string()),
            Err(error @ RunError::Rows { .. }) => {
                let why = error.to_string();
                let RunError::Rows { output, shape, .. } = error else { return Ok(Outcome::Failed(why)) };
                Outcome::Undivided { output, rank: shape.len(), why }
            }
            Err(error) => Outcome::Failed(error.to_string()),
        })
    }
}
