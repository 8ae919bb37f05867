//! Watches the stores and the pipeline files while they are served. A change in a store has the models
//! concerned looked at, an edited file has the plan compiled and applied.
//!
//! Beneath the events there is a look at everything every so often, so that lost events and file systems
//! without events do not matter: a look that finds nothing changed reads no model file.

use super::allocator::give_back_own;
use super::running::Running;
use crate::scheduler::panic_message;
use crate::sync::{Mutex, lock};
use crate::watch::{Changes, Watcher};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::Receiver;
use tokio::task::{JoinError, JoinHandle};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until, timeout};
use walkdir::{DirEntry as WalkDirEntry, WalkDir};

/// Between two looks at everything.
const RESCAN: Duration = Duration::from_secs(2);

/// For so long is waited for what is to be watched.
const PATIENCE: Duration = Duration::from_secs(1);

/// Events of one write are gathered for so long; how long files must have been still is for the looks to
/// say.
const GATHER: Duration = Duration::from_millis(50);

pub struct Watching(JoinHandle<()>);

impl Drop for Watching {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Watching {
    pub fn begin(running: &Arc<Running>) -> Self {
        Self(tokio::spawn(follow(running.clone(), Arc::new(ModelRefresher::new(running.clone())))))
    }
}

/// What is to be watched, as it is on the disk now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct WatchedPaths {
    enabled: bool,
    /// Stores as they are written and with links resolved, with what tells one folder from another at the
    /// same path.
    stores: BTreeMap<PathBuf, Option<(PathBuf, u64)>>,
    /// Folders of pipeline files.
    folders: BTreeSet<PathBuf>,
}

impl WatchedPaths {
    fn of(running: &Running) -> Self {
        let current = running.current.load();
        let stores: BTreeSet<&Path> = current.plan.models.iter().map(|m| m.store.as_path()).collect();
        let found = |store: &Path| {
            let real = fs::canonicalize(store).ok()?;
            let number = number(&real)?;
            Some((real, number))
        };
        let folder = |path: &PathBuf| {
            let path = fs::canonicalize(path).unwrap_or_else(|_| path.clone());
            if path.is_dir() { Some(path) } else { path.parent().map(Path::to_owned) }
        };
        // The files as they are named, too: a link among them is flipped where it lies.
        let named = |path: &PathBuf| {
            let parent = if path.is_dir() { Some(path.as_path()) } else { path.parent() };
            parent.and_then(|parent| {
                fs::canonicalize(if parent == Path::new("") { Path::new(".") } else { parent }).ok()
            })
        };
        let files = || running.paths.iter().chain(&current.files);
        Self {
            enabled: current.plan.watch.enabled,
            stores: stores.into_iter().map(|store| (store.to_owned(), found(store))).collect(),
            folders: files().filter_map(folder).chain(files().filter_map(named)).collect(),
        }
    }

    fn watcher(&self) -> Option<(Watcher, Receiver<Changes>)> {
        let (mut watcher, changes) = match Watcher::new(GATHER) {
            Ok(begun) => begun,
            Err(error) => {
                tracing::warn!("{error}; files are looked at every {} s instead", RESCAN.as_secs());
                return None;
            }
        };
        let mut watch = |path: &Path| {
            if let Err(error) = watcher.watch(path) {
                tracing::warn!("{error}; it is looked at every {} s instead", RESCAN.as_secs());
            }
        };
        for (store, found) in &self.stores {
            if let Some((real, _)) = found {
                folders_beneath(real, DEPTH).iter().for_each(|folder| watch(folder));
            }
            // Where the store itself, or a link to it, comes and goes.
            let parent = store.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."));
            if let Ok(parent) = fs::canonicalize(parent)
                && !self.folders.contains(&parent)
            {
                watch(&parent);
            }
        }
        for folder in &self.folders {
            watch(folder);
        }
        Some((watcher, changes))
    }

    /// The folders among `changes` that models and versions may have come with, which are watched too from here on.
    fn new_folders(&self, changes: &Changes) -> Vec<PathBuf> {
        let Changes::Paths(paths) = changes else { return vec![] };
        let roots = || self.stores.values().flatten().map(|(real, _)| real);
        let beneath = |path: &PathBuf| {
            let depth = roots().find_map(|root| Some(path.strip_prefix(root).ok()?.components().count()))?;
            Some(folders_beneath(path, DEPTH.checked_sub(depth)?))
        };
        paths.iter().filter_map(beneath).flatten().collect()
    }

    /// The models that a change concerns, of those that there are; and whether the files may have changed.
    fn concerned(&self, changes: &Changes, all: &BTreeSet<String>) -> (BTreeSet<String>, bool) {
        let Changes::Paths(paths) = changes else { return (all.clone(), true) };
        let roots = || self.stores.values().flatten().map(|(real, _)| real);
        let mut models = BTreeSet::new();
        let mut files = false;
        for path in paths {
            files |= path.parent().is_some_and(|parent| self.folders.contains(parent))
                || self.folders.contains(path);
            let below = roots().find_map(|root| path.strip_prefix(root).ok());
            let first = below.and_then(|below| below.components().next());
            let model = first.map(|first| first.as_os_str().to_string_lossy().into_owned());
            match model.filter(|model| all.contains(model)) {
                Some(model) => _ = models.insert(model),
                // The store itself, a link that models lie behind, a folder around it.
                None => models.extend(all.iter().cloned()),
            }
        }
        (models, files)
    }
}

/// The folders of models and of versions lie so deep in a store.
const DEPTH: usize = 2;

/// More folders of a store are looked at every so often, as without events.
const MOST_WATCHED: usize = 4096;

/// The folder itself and those in it, so many levels deep. A link is not followed: where it leads is looked at every so
/// often.
fn folders_beneath(root: &Path, depth: usize) -> Vec<PathBuf> {
    let entries =
        WalkDir::new(root).max_depth(depth).follow_links(false).follow_root_links(false).into_iter();
    let folders = entries.filter_map(Result::ok).filter(|entry| entry.file_type().is_dir());
    folders.take(MOST_WATCHED).map(WalkDirEntry::into_path).collect()
}

/// Tells a folder from another one at the same path.
fn number(path: &Path) -> Option<u64> {
    Some(fs::metadata(path).ok()?.ino())
}

/// Looks at what is to be watched, which may take long where a file system does not answer: one look at a time, on a
/// thread of its own, which is not waited for for long.
#[derive(Default)]
struct PathLook(Option<JoinHandle<WatchedPaths>>);

impl PathLook {
    /// What is to be watched, where that is known by now.
    async fn look(&mut self, running: &Arc<Running>) -> Option<WatchedPaths> {
        let running = running.clone();
        let look = || tokio::task::spawn_blocking(move || WatchedPaths::of(&running));
        let mut looking = self.0.take().unwrap_or_else(look);
        match timeout(PATIENCE, &mut looking).await {
            Ok(looked) => looked.ok(),
            Err(_) => {
                self.0 = Some(looking);
                None
            }
        }
    }
}

async fn follow(running: Arc<Running>, refresher: Arc<ModelRefresher>) {
    let mut look = PathLook::default();
    let mut paths = look.look(&running).await.unwrap_or_default();
    let mut watched = watch(&paths).await;
    let mut rescan = interval(RESCAN);
    rescan.set_missed_tick_behavior(MissedTickBehavior::Delay);
    rescan.reset();
    let mut files_due: Option<Instant> = None;
    loop {
        let applied = running.applied.notified();
        tokio::select! {
            changes = next(&mut watched) => {
                let all: BTreeSet<String> =
                    running.current.load().plan.models.iter().map(|m| m.name.clone()).collect();
                if let Some((watcher, _)) = &mut watched {
                    // One that cannot be watched is looked at every so often.
                    paths.new_folders(&changes).iter().for_each(|folder| drop(watcher.watch(folder)));
                }
                let (models, files) = paths.concerned(&changes, &all);
                for model in models {
                    refresher.look(&model);
                }
                if files {
                    let settle = running.current.load().plan.watch.settle;
                    files_due = Some(Instant::now() + settle.min(Duration::from_millis(500)));
                }
            }
            () = due(files_due) => {
                files_due = None;
                refresher.look_at_files().await;
            }
            _ = rescan.tick() => {
                if running.current.load().plan.watch.enabled {
                    tokio::spawn(refresher.clone().look_at_all_in_turn());
                    if files_due.is_none() {
                        refresher.look_at_files().await;
                    }
                }
            }
            () = applied => {}
        }
        if let Some(now) = look.look(&running).await.filter(|now| *now != paths) {
            paths = now;
            watched = watch(&paths).await;
            // Whatever happened before it was watched.
            if paths.enabled {
                refresher.look_at_all();
            }
        }
    }
}

/// Begins to watch, where no request waits for it.
async fn watch(paths: &WatchedPaths) -> Option<(Watcher, Receiver<Changes>)> {
    if !paths.enabled {
        return None;
    }
    let paths = paths.clone();
    tokio::task::spawn_blocking(move || paths.watcher()).await.ok().flatten()
}

async fn due(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Never, where nothing is watched.
async fn next(watched: &mut Option<(Watcher, Receiver<Changes>)>) -> Changes {
    match watched {
        Some((_, changes)) => match changes.recv().await {
            Some(changed) => changed,
            None => {
                *watched = None;
                Changes::Lost
            }
        },
        None => std::future::pending().await,
    }
}

/// Looks at models, each by itself: one that takes long holds up no other.
struct ModelRefresher {
    running: Arc<Running>,
    /// Models that are being looked at, and whether they are to be looked at once more after that.
    under_way: Mutex<BTreeMap<String, bool>>,
}

impl ModelRefresher {
    fn new(running: Arc<Running>) -> Self {
        Self { running, under_way: Mutex::default() }
    }

    fn look_at_all(self: &Arc<Self>) {
        let plan = self.running.current.load().plan.clone();
        plan.models.iter().for_each(|model| self.look(&model.name));
    }

    /// Looks at all models that are not being looked at, one after the other on one thread; at those that are left by
    /// themselves, where one takes long. A thread for each would leave memory to each.
    async fn look_at_all_in_turn(self: Arc<Self>) {
        let plan = self.running.current.load().plan.clone();
        let left: VecDeque<String> = plan.models.iter().map(|model| model.name.clone()).collect();
        let left = Arc::new(Mutex::new(left));
        let next = |left: &Mutex<VecDeque<String>>| lock(left).pop_front();
        let in_turn = {
            let (refresher, left) = (self.clone(), left.clone());
            move || {
                while let Some(model) = next(&left) {
                    refresher.look_here(&model);
                }
            }
        };
        if timeout(PATIENCE, on_a_thread(in_turn)).await.is_err() {
            while let Some(model) = next(&left) {
                self.look(&model);
            }
        }
    }

    /// Looks at a model on this thread, unless it is being looked at. REQUIRES a thread of the runtime that may block.
    fn look_here(self: &Arc<Self>, model: &str) {
        match lock(&self.under_way).entry(model.to_owned()) {
            Entry::Occupied(_) => return,
            Entry::Vacant(place) => place.insert(false),
        };
        let looked = catch_unwind(AssertUnwindSafe(|| self.running.lifecycle.refresh(model)));
        let again = lock(&self.under_way).remove(model) == Some(true);
        match looked {
            Ok(looked) if again || looked.as_ref().is_ok_and(|reload| reload.again_in.is_some()) => {
                self.look(model);
            }
            Ok(_) => {}
            Err(panic) => tracing::error!(model, "looking at a model failed: {}", panic_message(&*panic)),
        }
    }

    fn look(self: &Arc<Self>, model: &str) {
        {
            let mut under_way = lock(&self.under_way);
            if let Some(again) = under_way.get_mut(model) {
                *again = true;
                return;
            }
            under_way.insert(model.to_owned(), false);
        }
        tokio::spawn(self.clone().look_until_done(model.to_owned()));
    }

    async fn look_until_done(self: Arc<Self>, model: String) {
        loop {
            let (running, name) = (self.running.clone(), model.clone());
            let looked = on_a_thread(move || running.lifecycle.refresh(&name)).await;
            let again_in = match looked {
                Ok(Ok(reload)) => reload.again_in,
                // It was taken out of the plan meanwhile.
                Ok(Err(_)) => None,
                Err(broken) => {
                    tracing::error!(model, "looking at a model failed: {broken}");
                    None
                }
            };
            if let Some(pause) = again_in {
                sleep(pause).await;
                continue;
            }
            let mut under_way = lock(&self.under_way);
            if under_way.get(&model) == Some(&true) {
                under_way.insert(model.clone(), false);
                continue;
            }
            under_way.remove(&model);
            return;
        }
    }

    async fn look_at_files(&self) {
        let running = self.running.clone();
        // What is wrong is in the log, and in the status.
        if let Err(broken) = on_a_thread(move || running.look_at_files(false).is_ok()).await {
            tracing::error!("looking at the pipeline files failed: {broken}");
        }
    }
}

/// Does work that blocks on a thread of the runtime. As these looks come again and again and the threads take turns, it is
/// them that have each of those threads give back the memory that a peak left to it.
async fn on_a_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, JoinError> {
    let work = || {
        let done = work();
        give_back_own();
        done
    };
    tokio::task::spawn_blocking(work).await
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A link to /usr took fifteen thousand watches.
    #[test]
    fn no_more_of_a_store_is_watched_than_models_and_versions() {
        let store = tempfile::tempdir().unwrap();
        let root = store.path();
        fs::create_dir_all(root.join("mask/2/weights/deep")).unwrap();
        fs::write(root.join("mask/2/model.onnx"), "x").unwrap();
        std::os::unix::fs::symlink("/usr", root.join("zz-link")).unwrap();
        std::os::unix::fs::symlink("/usr", root.join("mask/3")).unwrap();
        let mut found = folders_beneath(root, DEPTH);
        found.sort();
        assert_eq!(found, [root.to_owned(), root.join("mask"), root.join("mask/2")]);
        let paths = WatchedPaths {
            enabled: true,
            stores: [(root.to_owned(), Some((root.to_owned(), 1)))].into(),
            folders: BTreeSet::new(),
        };
        let new = |path: &str| paths.new_folders(&Changes::Paths([root.join(path)].into()));
        assert_eq!(new("mask"), [root.join("mask"), root.join("mask/2")]);
        assert_eq!(new("mask/2"), [root.join("mask/2")]);
        assert!(new("mask/2/weights").is_empty() && new("zz-link").is_empty());
        assert!(new("mask/2/model.onnx").is_empty());
    }
}
