//! Watches the store and the pipeline files while they are served. A change in the store has the models
//! concerned looked at; an edited pipeline file is not applied to a running server, and the log says so.

use super::compile::Compiled;
use crate::lifecycle::Lifecycle;
use crate::plan::Plan;
use crate::watch::{Changes, Watcher};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::Receiver;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

/// Beneath the events there is a look at everything every so often, so that lost events and file systems
/// without events do not matter.
const RESCAN: Duration = Duration::from_secs(30);

pub struct Watching(JoinHandle<()>);

impl Drop for Watching {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Watching {
    /// `None` where the files ask for none.
    pub fn begin(compiled: &Compiled, lifecycle: Arc<Lifecycle>) -> Option<Self> {
        let plan = compiled.plan.clone();
        if !plan.watch.enabled {
            return None;
        }
        let stores: BTreeSet<PathBuf> = plan.models.iter().map(|m| m.store.clone()).collect();
        let files: BTreeSet<PathBuf> = compiled.files.iter().map(|f| absolute(f)).collect();
        let (watcher, changes) = match watcher(&plan, &stores, &files) {
            Ok((watcher, changes)) => (Some(watcher), Some(changes)),
            Err(error) => {
                tracing::warn!("{error}; the store is looked at every {} s instead", RESCAN.as_secs());
                (None, None)
            }
        };
        let looks = Looks { plan, stores, files, lifecycle };
        Some(Self(tokio::spawn(async move {
            looks.follow(changes).await;
            drop(watcher);
        })))
    }
}

fn watcher(
    plan: &Plan,
    stores: &BTreeSet<PathBuf>,
    files: &BTreeSet<PathBuf>,
) -> Result<(Watcher, Receiver<Changes>), crate::watch::WatchError> {
    let (mut watcher, changes) = Watcher::new(plan.watch.settle)?;
    for store in stores {
        watcher.watch(&absolute(store), true)?;
    }
    let folders: BTreeSet<&Path> = files.iter().filter_map(|f| f.parent()).collect();
    for folder in folders {
        watcher.watch(folder, false)?;
    }
    Ok((watcher, changes))
}

/// Events carry paths with links resolved.
fn absolute(path: &Path) -> PathBuf {
    std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

struct Looks {
    plan: Arc<Plan>,
    stores: BTreeSet<PathBuf>,
    files: BTreeSet<PathBuf>,
    lifecycle: Arc<Lifecycle>,
}

impl Looks {
    async fn follow(self, mut changes: Option<Receiver<Changes>>) {
        let mut rescan = interval(RESCAN);
        rescan.set_missed_tick_behavior(MissedTickBehavior::Delay);
        rescan.reset();
        loop {
            let models = tokio::select! {
                changed = next(&mut changes) => self.concerned(changed),
                _ = rescan.tick() => self.all(),
            };
            for model in models {
                self.look(model).await;
            }
        }
    }

    fn all(&self) -> BTreeSet<String> {
        self.plan.models.iter().map(|m| m.name.clone()).collect()
    }

    fn concerned(&self, changes: Changes) -> BTreeSet<String> {
        let Changes::Paths(paths) = changes else { return self.all() };
        for file in paths.iter().filter(|p| self.files.contains(*p)) {
            tracing::warn!(
                file = %file.display(),
                "a pipeline file was edited; it takes effect when rserve is started again",
            );
        }
        let known = self.all();
        let roots: Vec<PathBuf> = self.stores.iter().map(|s| absolute(s)).collect();
        let mut models = BTreeSet::new();
        for path in &paths {
            for below in roots.iter().filter_map(|root| path.strip_prefix(root).ok()) {
                match below.components().next() {
                    // The store itself: anything in it.
                    None => return known,
                    Some(model) => models.insert(model.as_os_str().to_string_lossy().into_owned()),
                };
            }
        }
        models.intersection(&known).cloned().collect()
    }

    async fn look(&self, model: String) {
        let lifecycle = self.lifecycle.clone();
        let name = model.clone();
        let looked = tokio::task::spawn_blocking(move || lifecycle.refresh(&name)).await;
        match looked {
            Ok(Ok(_)) => {}
            Ok(Err(unknown)) => tracing::warn!("{unknown}"),
            Err(broken) => tracing::error!(model, "looking at a model failed: {broken}"),
        }
    }
}

/// Never, where nothing is watched.
async fn next(changes: &mut Option<Receiver<Changes>>) -> Changes {
    match changes {
        Some(receiver) => match receiver.recv().await {
            Some(changed) => changed,
            None => {
                *changes = None;
                Changes::Lost
            }
        },
        None => std::future::pending().await,
    }
}
