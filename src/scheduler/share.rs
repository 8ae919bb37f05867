//! Who runs next on a device: every account holds a share of its time. Pure; knows no clock.
//!
//! Start-time fair queueing (Goyal, Vin, Cheng 1996), with device time in the place of packet length.
//! An account's *due* advances by the device time it took, divided by its share; the backlogged account
//! with the smallest due runs next. The device's virtual time is the due at which the latest batch
//! started; an account that returns from idling is moved up to it, so that it is owed nothing for the
//! time it did not ask for. What a batch takes is known only once it has run, so an estimate is charged
//! when it starts and corrected when it ends; several batches may therefore be on the way at once.
//!
//! From this follow: long-run proportion among the backlogged, no starvation, a device that never idles
//! while somebody waits, and a lag of at most the longest batches, whatever the arrivals.

use std::collections::HashMap;
use std::time::Duration;

/// The weight of an account whose share is 0: it runs in what the others leave idle, and yet is never
/// starved for good.
pub const BEST_EFFORT: f64 = 0.001;

/// Smaller shares count as this one.
const LEAST: f64 = 1e-6;

/// How much a new measurement moves the estimate of a batch's cost.
const ESTIMATE_GAIN: f64 = 0.25;

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
}

/// The charge of a batch that started, to be settled by [`Shares::finish`].
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

    /// One of the account's queues, empty until now, has something waiting.
    pub fn queue_filled(&mut self, id: AccountId) {
        if let Some(account) = self.accounts.get_mut(&id) {
            if !account.is_active() {
                account.due = account.due.max(self.virtual_time);
                self.active += 1;
            }
            account.backlogged += 1;
        }
    }

    /// One of the account's queues has become empty.
    pub fn queue_emptied(&mut self, id: AccountId) {
        if let Some(account) = self.accounts.get_mut(&id) {
            account.backlogged = account.backlogged.saturating_sub(1);
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

    /// The batch has run for so long and goes on: what that is more than was charged, is charged now.
    pub fn accrue(&mut self, charge: &mut Charge, ran: Duration) {
        let Some(account) = self.accounts.get_mut(&charge.account) else { return };
        let more = ran.as_secs_f64() - charge.seconds;
        if more > 0.0 {
            charge.seconds += more;
            account.due += more / account.weight;
            self.latest_due = self.latest_due.max(account.due);
        }
    }

    /// The batch has ended, having taken so much of the device's time.
    pub fn finish(&mut self, charge: Charge, took: Duration) {
        let Some(account) = self.accounts.get_mut(&charge.account) else { return };
        let seconds = took.as_secs_f64();
        account.due += (seconds - charge.seconds) / account.weight;
        self.latest_due = self.latest_due.max(account.due);
        let gain = if account.estimate == 0.0 { 1.0 } else { ESTIMATE_GAIN };
        account.estimate += gain * (seconds - account.estimate);
        account.running = account.running.saturating_sub(1);
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
