//! Orders of the admin listener: one at a time, on a thread of its own, and given up when their caller has gone.

use crate::ingress::CommandOutcome;
use crate::scheduler::panic_message;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;

/// How long an order waits for the one before it.
const WAIT: Duration = Duration::from_secs(5);

/// Whose turn it is to be carried out.
pub struct Orders {
    turn: Arc<Semaphore>,
    wait: Duration,
}

impl Default for Orders {
    fn default() -> Self {
        Self { turn: Arc::new(Semaphore::new(1)), wait: WAIT }
    }
}

impl Orders {
    /// Does `work` once it is its turn. It may ask whether its caller has gone, which is so once the future is dropped.
    pub async fn carry_out(
        &self,
        work: impl FnOnce(&dyn Fn() -> bool) -> CommandOutcome + Send + 'static,
    ) -> CommandOutcome {
        // The semaphore is never closed.
        let turn = timeout(self.wait, self.turn.clone().acquire_owned()).await;
        let Ok(Ok(turn)) = turn else { return CommandOutcome::Busy };
        let (done, outcome) = oneshot::channel();
        let work = move || {
            // It is the next one's turn when this is over, whether its caller waits for that or not.
            let _turn = turn;
            let gone = || done.is_closed();
            let came_to = catch_unwind(AssertUnwindSafe(|| work(&gone)))
                .unwrap_or_else(|panic| CommandOutcome::Failed(panic_message(&*panic)));
            let _ = done.send(came_to);
        };
        match std::thread::Builder::new().name("rserve-order".into()).spawn(work) {
            Ok(_) => outcome.await.unwrap_or_else(|error| CommandOutcome::Failed(error.to_string())),
            Err(error) => CommandOutcome::Failed(format!("cannot start a thread: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingress::documents::Reloaded;
    use std::sync::mpsc;

    fn fine() -> CommandOutcome {
        CommandOutcome::Fine(Reloaded::default())
    }

    #[tokio::test]
    async fn one_is_carried_out_at_a_time_and_the_next_one_waits_for_a_while() {
        let orders = Orders { wait: Duration::from_millis(50), ..Orders::default() };
        let (let_go, waits) = mpsc::sync_channel::<()>(0);
        let long = orders.carry_out(move |_| {
            let _ = waits.recv();
            fine()
        });
        let other = async {
            let busy = orders.carry_out(|_| fine()).await;
            drop(let_go);
            busy
        };
        let (long, other) = tokio::join!(long, other);
        assert!(matches!((long, other), (CommandOutcome::Fine(_), CommandOutcome::Busy)));
        assert!(matches!(orders.carry_out(|_| panic!("no")).await, CommandOutcome::Failed(_)));
        assert!(
            matches!(orders.carry_out(|_| fine()).await, CommandOutcome::Fine(_)),
            "the turn was given on"
        );
    }

    #[tokio::test]
    async fn an_order_learns_that_its_caller_has_gone() {
        let orders = Orders::default();
        let (begun, begins) = oneshot::channel();
        let (ended, ends) = oneshot::channel();
        let order = orders.carry_out(move |gone| {
            let _ = begun.send(());
            while !gone() {
                std::thread::yield_now();
            }
            let _ = ended.send(());
            fine()
        });
        tokio::select! {
            _ = order => panic!("it goes on until its caller has gone"),
            begun = begins => begun.unwrap(),
        }
        ends.await.unwrap();
    }
}
