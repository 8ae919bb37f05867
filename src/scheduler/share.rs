//! Who runs next on a device: every account holds a share of its time. Pure; knows no clock.
//!
//! Start-time fair queueing (Goyal, Vin, Cheng 1996), with device time in the place of packet length.
//! An account's *due* advances by the device time it took, divided by its share; the backlogged account
//! with the smallest due runs next. The device's virtual time is the due at which the latest batch
//! started; an account that returns from idling is moved up to it, so that it is owed nothing for the
//! time it did not ask for. What a batch takes is known only once it has run, so an estimate is charged
//! when it starts and corrected when it ends; several batches may therefore be on the way at once.
//!
//! Clients that wait for their answers leave a queue dry for as long as answers and next requests are on
//! their way. Taken for idling (deceptive idleness: Iyer, Druschel 2001), such gaps would cost a model its
//! turn after each batch, and cheap batches would lose to dear ones whatever the shares. So the device is
//! *kept* for an account that is behind, for at most [`PATIENCE`] after it ran dry and for no longer, all in
//! all, than the device ran for it; and one that comes back in that time has lost no more of its claim than
//! it could not have used.
//!
//! From this follow: long-run proportion among those that wait or come back at once, no starvation, a lag of
//! at most the longest batches, whatever the arrivals; and a device that idles while somebody waits only
//! while it is kept.

use std::collections::HashMap;
use std::time::Duration;

/// The weight of an account whose share is 0: it runs in what the others leave idle, and yet is never
/// starved for good.
pub const BEST_EFFORT: f64 = 0.001;

/// Smaller shares count as this one.
const LEAST: f64 = 1e-6;

/// How much a new measurement moves the estimate of a batch's cost.
const ESTIMATE_GAIN: f64 = 0.25;

/// How long an account that ran dry may take to come back and keep its claim: more than answers and next
/// requests take, also where the cores are busy, and no more than is hardly felt. For one whose gaps are by
/// experience longer than what it may have kept, nothing is kept.
pub const PATIENCE: f64 = 0.03;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccountId(u64);

/// The accounts of one device.
#[derive(Debug, Default)]
pub struct Shares {
    accounts: HashMap<AccountId, Account>,
    next_id: u64,
    /// The due at which the latest batch started.
    virtual_time: f64,
    /// The greatest due there has been.
    latest_due: f64,
    /// Accounts that wait or run.
    active: usize,
    /// Counts the batches started.
    turn: u64,
    /// For whom the device is kept, and since when.
    kept: Option<(AccountId, f64)>,
}

#[derive(Debug)]
struct Account {
    weight: f64,
    /// Seconds of device time divided by the weight.
    due: f64,
    /// Seconds that a batch takes, by experience.
    estimate: f64,
    /// Queues that have something waiting.
    backlogged: usize,
    /// Batches on the way.
    running: usize,
    last_turn: u64,
    /// When its last queue became empty or its last batch since then ended.
    dry_since: f64,
    /// Seconds for which the device may be kept for it.
    allowance: f64,
    /// Seconds that it takes to come back, by experience.
    gap: f64,
}

/// What was charged when a batch started, to be settled by [`Shares::finish`].
#[derive(Debug)]
#[must_use = "a charge is settled when the batch ends"]
pub struct Charge {
    account: AccountId,
    seconds: f64,
}

impl Shares {
    /// `share` is in [0, 1]; 0 is best effort.
    pub fn open(&mut self, share: f64) -> AccountId {
        let id = AccountId(self.next_id);
        self.next_id += 1;
        let account = Account {
            weight: weight(share),
            due: self.virtual_time,
            estimate: 0.0,
            backlogged: 0,
            running: 0,
            last_turn: self.turn,
            dry_since: f64::NEG_INFINITY,
            allowance: 0.0,
            gap: 0.0,
        };
        self.accounts.insert(id, account);
        id
    }

    pub fn set_share(&mut self, id: AccountId, share: f64) {
        if let Some(account) = self.accounts.get_mut(&id) {
            account.weight = weight(share);
        }
    }

    /// Closes an account. Charges that are still out are settled as nothing.
    pub fn close(&mut self, id: AccountId) {
        if self.accounts.remove(&id).is_some_and(|account| account.is_active()) {
            self.leave();
        }
    }

    /// One of the account's queues, empty until now, has something waiting. Times are in seconds, from any
    /// beginning.
    pub fn queue_filled(&mut self, id: AccountId, now: f64) {
        if let Some(account) = self.accounts.get_mut(&id) {
            if !account.is_active() {
                let claim = if account.is_expected(now) { PATIENCE / account.weight } else { 0.0 };
                account.due = account.due.max(self.virtual_time - claim);
                self.active += 1;
            }
            if account.backlogged == 0 && account.dry_since.is_finite() {
                // What stayed away says nothing of one that comes and goes.
                let gap = (now - account.dry_since).clamp(0.0, 2.0 * PATIENCE);
                account.gap += ESTIMATE_GAIN * (gap - account.gap);
            }
            account.backlogged += 1;
        }
    }

    /// One of the account's queues has become empty.
    pub fn queue_emptied(&mut self, id: AccountId, now: f64) {
        if let Some(account) = self.accounts.get_mut(&id) {
            account.backlogged = account.backlogged.saturating_sub(1);
            account.dry_since = now;
            if !account.is_active() {
                self.leave();
            }
        }
    }

    /// Sorts the accounts by who runs next: the smallest first. Among equals, the one served longest ago.
    pub fn rank(&self, id: AccountId) -> Rank {
        match self.accounts.get(&id) {
            Some(account) => Rank { due: account.due, last_turn: account.last_turn },
            None => Rank { due: f64::INFINITY, last_turn: u64::MAX },
        }
    }

    /// Whether the device is kept for another account although this one, whose turn it is, has something
    /// waiting: until when, unless the other comes back before.
    pub fn kept_from(&mut self, id: AccountId, now: f64) -> Option<f64> {
        if let Some((kept, since)) = self.kept.take()
            && let Some(account) = self.accounts.get_mut(&kept)
        {
            account.allowance = (account.allowance - (now - since)).max(0.0);
        }
        let due = self.accounts.get(&id)?.due;
        let expected = |account: &Account| {
            let next = account.due + account.estimate / account.weight;
            let comes_back = account.allowance > 0.0 && account.gap <= PATIENCE.min(2.0 * account.allowance);
            account.backlogged == 0 && comes_back && next < due && account.is_expected(now)
        };
        let behind = self.accounts.iter().filter(|(other, account)| **other != id && expected(account));
        let (other, account) = behind.min_by(|(_, a), (_, b)| a.due.total_cmp(&b.due))?;
        self.kept = Some((*other, now));
        let back = if account.running > 0 { f64::INFINITY } else { account.dry_since + PATIENCE };
        Some(back.min(now + account.allowance))
    }

    /// A batch of the account starts.
    pub fn start(&mut self, id: AccountId) -> Charge {
        self.turn += 1;
        let Some(account) = self.accounts.get_mut(&id) else {
            return Charge { account: id, seconds: 0.0 };
        };
        if !account.is_active() {
            self.active += 1;
        }
        account.running += 1;
        account.last_turn = self.turn;
        self.virtual_time = self.virtual_time.max(account.due);
        account.due += account.estimate / account.weight;
        self.latest_due = self.latest_due.max(account.due);
        Charge { account: id, seconds: account.estimate }
    }

    /// The batch has ended, having taken so much of the device's time.
    pub fn finish(&mut self, charge: Charge, took: Duration, now: f64) {
        let Some(account) = self.accounts.get_mut(&charge.account) else { return };
        let seconds = took.as_secs_f64();
        account.due += (seconds - charge.seconds) / account.weight;
        self.latest_due = self.latest_due.max(account.due);
        let gain = if account.estimate == 0.0 { 1.0 } else { ESTIMATE_GAIN };
        account.estimate += gain * (seconds - account.estimate);
        account.running = account.running.saturating_sub(1);
        account.allowance = (account.allowance + seconds).min(PATIENCE);
        account.dry_since = now;
        if !account.is_active() {
            self.leave();
        }
    }

    /// An account has gone idle. When it was the last, all debts are forgiven.
    fn leave(&mut self) {
        self.active = self.active.saturating_sub(1);
        if self.active == 0 {
            self.virtual_time = self.virtual_time.max(self.latest_due);
        }
    }
}

impl Account {
    fn is_active(&self) -> bool {
        self.backlogged > 0 || self.running > 0
    }

    /// Whether it may come back at any moment: its clients have their answers, or are about to.
    fn is_expected(&self, now: f64) -> bool {
        self.running > 0 || now - self.dry_since < PATIENCE
    }
}

impl Charge {
    pub fn account(&self) -> AccountId {
        self.account
    }
}

/// See [`Shares::rank`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rank {
    due: f64,
    last_turn: u64,
}

impl Rank {
    pub fn before(self, other: Rank) -> bool {
        (self.due, self.last_turn) < (other.due, other.last_turn)
    }
}

fn weight(share: f64) -> f64 {
    if share > 0.0 { share.max(LEAST) } else { BEST_EFFORT }
}

#[cfg(test)]
mod tests;
