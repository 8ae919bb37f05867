//! Paths that changed, settled. Decides nothing and knows nobody.
//!
//! What is watched is looked at beneath whatever folders exist; a path that is not there is an error, and
//! the caller's to try again.

use notify_debouncer_full::notify::{RecommendedWatcher, RecursiveMode};
use notify_debouncer_full::{DebounceEventResult, Debouncer, RecommendedCache, new_debouncer};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// Sets of paths that wait to be looked at; where there is no room, [`Changes::Lost`] says so.
const WAITING: usize = 64;

/// Something changed, and has been still since.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changes {
    Paths(BTreeSet<PathBuf>),
    /// Events were lost: anything may have changed.
    Lost,
}

#[derive(Debug, thiserror::Error)]
#[error("cannot watch `{}`: {reason}", path.display())]
pub struct WatchError {
    pub path: PathBuf,
    pub reason: String,
}

/// Watches for as long as it lives.
pub struct Watcher {
    debouncer: Debouncer<RecommendedWatcher, RecommendedCache>,
}

impl Watcher {
    /// Changes are sent once they have been still for `settle`.
    pub fn new(settle: Duration) -> Result<(Self, Receiver<Changes>), WatchError> {
        let (sender, changes) = channel(WAITING);
        let debouncer = new_debouncer(settle, None, move |result| forward(result, &sender))
            .map_err(|e| WatchError { path: PathBuf::new(), reason: e.to_string() })?;
        Ok((Self { debouncer }, changes))
    }

    /// The entries of a folder, and not what is in them.
    pub fn watch(&mut self, path: &Path) -> Result<(), WatchError> {
        self.debouncer
            .watch(path, RecursiveMode::NonRecursive)
            .map_err(|e| WatchError { path: path.to_owned(), reason: e.to_string() })
    }
}

/// Runs on the debouncer's thread.
fn forward(result: DebounceEventResult, sender: &Sender<Changes>) {
    let changes = match result {
        Ok(events) => {
            let changed = events.iter().filter(|e| !e.kind.is_access());
            let paths: BTreeSet<PathBuf> = changed.flat_map(|e| e.paths.iter().cloned()).collect();
            if paths.is_empty() {
                return;
            }
            Changes::Paths(paths)
        }
        Err(_) => Changes::Lost,
    };
    // With no room the receiver is far behind, and looks at everything when it gets there.
    if sender.try_send(changes).is_err() {
        let _ = sender.try_send(Changes::Lost);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[tokio::test]
    async fn a_change_is_sent_once_it_is_still() {
        let folder = tempfile::tempdir().unwrap();
        let (mut watcher, mut changes) = Watcher::new(Duration::from_millis(200)).unwrap();
        watcher.watch(folder.path()).unwrap();
        let file = folder.path().join("model.onnx");
        fs::write(&file, "x").unwrap();
        let mut seen = BTreeSet::new();
        let all = async {
            while !seen.iter().any(|p: &PathBuf| p.ends_with("model.onnx")) {
                match changes.recv().await {
                    Some(Changes::Paths(paths)) => seen.extend(paths),
                    other => panic!("{other:?}"),
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(10), all).await.expect("no change was sent");
        assert!(watcher.watch(&folder.path().join("none")).is_err());
    }
}
