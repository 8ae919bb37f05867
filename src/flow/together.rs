//! Several pieces of one item's work, under way at once.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

/// Waits for all of them and gives their values in order. The error is that of the first in order which fails, so
/// that it does not depend on which of them was faster; those after it are then given up.
pub(super) async fn all<T, E, F: Future<Output = Result<T, E>>>(mut work: Vec<F>) -> Result<Vec<T>, E> {
    if work.len() < 2 {
        return match work.pop() {
            None => Ok(vec![]),
            Some(only) => Ok(vec![only.await?]),
        };
    }
    let mut work: Vec<Pin<Box<F>>> = work.into_iter().map(Box::pin).collect();
    let mut ended: Vec<Option<Result<T, E>>> = work.iter().map(|_| None).collect();
    poll_fn(|context| {
        for (work, ended) in work.iter_mut().zip(&mut ended) {
            if ended.is_none()
                && let Poll::Ready(result) = work.as_mut().poll(context)
            {
                *ended = Some(result);
            }
        }
        let first = ended.iter_mut().find(|ended| !matches!(ended, Some(Ok(_))));
        match first {
            None => Poll::Ready(ended.drain(..).flatten().collect()),
            Some(None) => Poll::Pending,
            Some(failed) => match failed.take() {
                Some(Err(error)) => Poll::Ready(Err(error)),
                _ => Poll::Pending,
            },
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::oneshot;

    #[tokio::test]
    async fn values_come_in_order_and_the_first_error_in_order_is_the_one() {
        let (senders, receivers): (Vec<_>, Vec<_>) = (0..3).map(|_| oneshot::channel()).unzip();
        let waits = receivers.into_iter().map(|receiver| async { receiver.await.unwrap() }).collect();
        // The last is done first.
        for (number, sender) in senders.into_iter().enumerate().rev() {
            sender.send(Ok::<_, usize>(number)).unwrap();
        }
        assert_eq!(all(waits).await, Ok(vec![0, 1, 2]));

        let (slow, slow_fails) = oneshot::channel();
        let (later, later_fails) = oneshot::channel();
        let wait = |receiver: oneshot::Receiver<Result<(), &'static str>>| async { receiver.await.unwrap() };
        later.send(Err("later")).unwrap();
        let both = tokio::spawn(all(vec![wait(slow_fails), wait(later_fails)]));
        tokio::task::yield_now().await;
        slow.send(Err("slow")).unwrap();
        assert_eq!(both.await.unwrap(), Err("slow"));
        assert_eq!(all(Vec::<std::future::Ready<Result<(), ()>>>::new()).await, Ok(vec![]));
    }
}
