//! Notes of loads that outlive the process: what took it down, or did not come back, is not tried again by itself.
//!
//! A load is noted in a file, named by the digest of the model's content, before it begins; the file is gone once the
//! load has come back. The file is locked for that long, so that a note that nobody holds is of a process that is no
//! more. Where that process had one such note, the load took it down. Where it had several, each of those loads is
//! suspect: it is tried once more, with no other load beside it.
//!
//! Refusals that follow from the content alone are noted too, and hold for as long as rserve is the same.

use super::fault::Cause;
use crate::store::Digest;
use crate::sync::{Condvar, Mutex, MutexGuard, lock};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant, SystemTime};

/// Bytes that a note has at most.
const LIMIT: u64 = 1 << 16;

/// The number of notes that are kept; the oldest refusals go first.
const MOST: usize = 4096;

/// The time that a suspect load waits for others to end, and others for it.
const PATIENCE: Duration = Duration::from_secs(60);

/// The notes in one folder. A clone shares them; the default keeps none.
#[derive(Clone, Default)]
pub struct LoadNotes(Option<Arc<Notes>>);

struct Notes {
    folder: PathBuf,
    /// Tells this process from every other one.
    process: String,
    build: String,
    shared: Mutex<Shared>,
    /// Told when a load has come back.
    back: Condvar,
}

#[derive(Default)]
struct Shared {
    /// The loads that are going on, by digest: how many, and the file that is locked for them.
    going: BTreeMap<Digest, (usize, Option<File>)>,
    /// Loads that are tried alone.
    suspects: BTreeSet<Digest>,
    /// A suspect is being tried.
    alone: bool,
    /// The process is ending, so that nothing is noted any more.
    closed: bool,
}

/// A note, as it is in its file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Note {
    model: String,
    version: u64,
    state: NoteState,
    /// Why it was refused.
    #[serde(default)]
    reason: String,
    process: String,
    build: String,
    /// The time since which it is so, in seconds since 1970.
    since: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum NoteState {
    /// The load goes on, where the file is locked.
    Loading,
    /// It may have taken the process down.
    Suspect,
    /// It took the process down.
    Died,
    /// It did not come back in time.
    Overdue,
    /// What it is was refused.
    Refused,
}

/// The reason why content that is about to be loaded failed before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remembered {
    pub cause: Cause,
    pub reason: String,
}

/// Stands for a load that is going on. It has come back once this is dropped.
pub struct LoadNote {
    notes: Option<Arc<Notes>>,
    model: String,
    version: u64,
    digest: Digest,
    alone: bool,
    /// What it came to, where that is to be kept.
    outcome: Mutex<Option<String>>,
}

impl LoadNotes {
    /// The notes in a folder, which is made where there is none. Notes of loads that did not come back are settled.
    pub fn open(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let notes = Notes {
            folder: folder.to_owned(),
            process: format!("{}-{}", std::process::id(), now.as_nanos()),
            build: build(),
            shared: Mutex::default(),
            back: Condvar::new(),
        };
        // Whether notes can be written is known at once.
        tempfile::NamedTempFile::new_in(folder)?;
        notes.settle()?;
        Ok(Self(Some(Arc::new(notes))))
    }

    /// Why content is not to be loaded unless somebody orders it.
    pub fn known(&self, digest: Digest) -> Option<Remembered> {
        let notes = self.0.as_ref()?;
        let note = notes.read(digest)?;
        let path = notes.path(digest);
        let clear = || {
            format!(
                "it is not tried again by itself; new content is, `rserve reload {}` has it tried, and so does removing `{}`",
                note.model,
                path.display()
            )
        };
        match note.state {
            NoteState::Refused if note.build == notes.build => {
                Some(Remembered { cause: Cause::Invalid, reason: note.reason })
            }
            NoteState::Died => {
                let reason = format!("rserve went down while it was loaded; {}", clear());
                Some(Remembered { cause: Cause::Fatal, reason })
            }
            NoteState::Overdue => {
                let reason = format!("its last load did not come back in time; {}", clear());
                Some(Remembered { cause: Cause::Fatal, reason })
            }
            NoteState::Refused | NoteState::Loading | NoteState::Suspect => None,
        }
    }

    /// Notes that a load begins. Where a suspect one is tried, it is waited for.
    pub fn begin(&self, model: &str, version: u64, digest: Digest) -> LoadNote {
        let mut note = LoadNote {
            notes: self.0.clone(),
            model: model.to_owned(),
            version,
            digest,
            alone: false,
            outcome: Mutex::new(None),
        };
        if let Some(notes) = &self.0 {
            let mut shared = notes.turn(digest);
            note.alone = shared.suspects.contains(&digest);
            shared.alone |= note.alone;
            let closed = shared.closed;
            let (count, file) = shared.going.entry(digest).or_default();
            *count += 1;
            if *count == 1 && !closed {
                *file = notes.write(digest, &note.in_state(notes, NoteState::Loading, String::new()));
            }
        }
        note
    }

    /// The process ends, and what is being loaded is not to blame for it.
    pub fn close(&self) {
        let Some(notes) = &self.0 else { return };
        let mut shared = lock(&notes.shared);
        shared.closed = true;
        for (digest, (_, file)) in &mut shared.going {
            // One that is overdue stays noted as such.
            if file.take().is_some() && notes.read(*digest).is_some_and(|n| n.state == NoteState::Loading) {
                notes.remove(*digest);
            }
        }
    }
}

impl LoadNote {
    /// The content was refused, for a reason that holds as long as rserve is the same.
    pub fn refused(&self, reason: &str) {
        *lock(&self.outcome) = Some(reason.to_owned());
    }

    /// The load is not waited for any more. It goes on until this is dropped.
    pub fn overdue(&self) {
        if let Some(notes) = &self.notes {
            let mut shared = lock(&notes.shared);
            if let Some((_, file)) = shared.going.get_mut(&self.digest) {
                *file = notes.write(self.digest, &self.in_state(notes, NoteState::Overdue, String::new()));
            }
        }
    }

    fn in_state(&self, notes: &Notes, state: NoteState, reason: String) -> Note {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Note {
            model: self.model.clone(),
            version: self.version,
            state,
            reason,
            process: notes.process.clone(),
            build: notes.build.clone(),
            since: now.as_secs(),
        }
    }
}

impl Drop for LoadNote {
    fn drop(&mut self) {
        let Some(notes) = &self.notes else { return };
        let mut shared = lock(&notes.shared);
        shared.alone &= !self.alone;
        let last = shared.going.get_mut(&self.digest).is_some_and(|(count, _)| {
            *count -= 1;
            *count == 0
        });
        if last {
            shared.going.remove(&self.digest);
            match lock(&self.outcome).take() {
                _ if shared.closed => {}
                Some(reason) => {
                    drop(notes.write(self.digest, &self.in_state(notes, NoteState::Refused, reason)));
                }
                None => notes.remove(self.digest),
            }
        }
        drop(shared);
        notes.back.notify_all();
    }
}

impl Notes {
    fn path(&self, digest: Digest) -> PathBuf {
        self.folder.join(format!("{digest}.json"))
    }

    /// Waits until a load may begin: a suspect one beside no other, and no other beside a suspect one.
    fn turn(&self, digest: Digest) -> MutexGuard<'_, Shared> {
        let until = Instant::now() + PATIENCE;
        let mut shared = lock(&self.shared);
        loop {
            let others = shared.going.keys().any(|going| *going != digest);
            let blocked = shared.alone || (others && shared.suspects.contains(&digest));
            let left = until.saturating_duration_since(Instant::now());
            if !blocked || left.is_zero() {
                return shared;
            }
            shared = self.back.wait_timeout(shared, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The note of some content; `None` where there is none that can be read.
    fn read(&self, digest: Digest) -> Option<Note> {
        Some(read(&self.path(digest))?.1)
    }

    /// Puts a note in its place, whole; the file that is locked for it. A note that cannot be written is done without.
    fn write(&self, digest: Digest, note: &Note) -> Option<File> {
        let write = || -> io::Result<File> {
            let mut draft = tempfile::NamedTempFile::new_in(&self.folder)?;
            serde_json::to_writer(&mut draft, note)?;
            draft.flush()?;
            draft.as_file().sync_data()?;
            // Some file systems know no locks.
            let _ = draft.as_file().try_lock();
            draft.persist(self.path(digest)).map_err(|error| error.error)
        };
        let written = write().inspect_err(|error| {
            tracing::warn!(folder = %self.folder.display(), %error, "a load cannot be noted");
        });
        written.ok()
    }

    fn remove(&self, digest: Digest) {
        if let Err(error) = fs::remove_file(self.path(digest))
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(path = %self.path(digest).display(), %error, "a note of a load cannot be removed");
        }
    }

    /// Says of each load that went down with its process whether it is to blame, and forgets what is of no use.
    fn settle(&self) -> io::Result<()> {
        let mut found = vec![];
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let Some(digest) = name.strip_suffix(".json").and_then(|hex| hex.parse::<Digest>().ok()) else {
                continue;
            };
            if let Some((file, note)) = read(&path) {
                found.push((digest, file, note));
            }
        }
        let dead = |file: &File, note: &Note| {
            note.state == NoteState::Loading && !matches!(file.try_lock(), Err(TryLockError::WouldBlock))
        };
        let mut by_process: BTreeMap<String, Vec<(Digest, Note)>> = BTreeMap::new();
        for (digest, file, note) in &found {
            if dead(file, note) {
                by_process.entry(note.process.clone()).or_default().push((*digest, note.clone()));
            } else if note.state == NoteState::Suspect {
                lock(&self.shared).suspects.insert(*digest);
            } else if note.state == NoteState::Refused && note.build != self.build {
                self.remove(*digest);
            }
        }
        for loads in by_process.into_values() {
            let state = if loads.len() == 1 { NoteState::Died } else { NoteState::Suspect };
            for (digest, note) in loads {
                if state == NoteState::Suspect {
                    lock(&self.shared).suspects.insert(digest);
                }
                drop(self.write(digest, &Note { state, ..note }));
            }
        }
        let mut refused: Vec<_> =
            found.iter().filter(|(.., note)| note.state == NoteState::Refused).collect();
        refused.sort_by_key(|(.., note)| note.since);
        let surplus = refused.len().saturating_sub(MOST);
        refused.iter().take(surplus).for_each(|(digest, ..)| self.remove(*digest));
        Ok(())
    }
}

fn read(path: &Path) -> Option<(File, Note)> {
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let file = File::options().read(true).custom_flags(flags.bits() as i32).open(path).ok()?;
    let mut text = vec![];
    (&file).take(LIMIT).read_to_end(&mut text).ok()?;
    Some((file, serde_json::from_slice(&text).ok()?))
}

/// What tells this rserve from another one: its version, and the file that it runs from.
fn build() -> String {
    let exe = std::env::current_exe().and_then(fs::metadata);
    let written = exe.map(|exe| (exe.len(), exe.modified().ok()));
    let (bytes, modified) = written.unwrap_or_default();
    let since = modified.and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok()).unwrap_or_default();
    format!("{} {bytes} {}", env!("CARGO_PKG_VERSION"), since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(n: u8) -> Digest {
        Digest([n; 32])
    }

    /// What a process leaves that is killed: it drops nothing, and its locks are gone.
    fn killed(notes: &LoadNotes, loads: impl IntoIterator<Item = LoadNote>) {
        let going = std::mem::take(&mut lock(&notes.0.as_ref().unwrap().shared).going);
        loads.into_iter().for_each(std::mem::forget);
        drop(going);
    }

    #[test]
    fn a_load_that_took_the_process_down_is_not_tried_again() {
        let folder = tempfile::tempdir().unwrap();
        let open = || LoadNotes::open(folder.path()).unwrap();
        let notes = open();
        drop(notes.begin("ok", 1, digest(1)));
        let fatal = notes.begin("ok", 2, digest(2));
        assert_eq!(open().known(digest(2)), None, "it goes on in another process");
        killed(&notes, [fatal]);
        let next = open();
        let Remembered { cause, reason } = next.known(digest(2)).unwrap();
        assert_eq!(cause, Cause::Fatal);
        assert!(reason.contains("rserve reload ok") && reason.contains(".json"), "{reason}");
        assert_eq!((next.known(digest(1)), next.known(digest(3))), (None, None));
        assert!(open().known(digest(2)).is_some(), "for as long as nobody orders it");
        drop(next.begin("ok", 2, digest(2)));
        assert_eq!(open().known(digest(2)), None, "it came back");
    }

    #[test]
    fn of_several_loads_each_is_tried_once_more_alone() {
        let folder = tempfile::tempdir().unwrap();
        let open = || LoadNotes::open(folder.path()).unwrap();
        let notes = open();
        let both = [notes.begin("good", 1, digest(1)), notes.begin("bad", 1, digest(2))];
        killed(&notes, both);
        let next = open();
        assert_eq!((next.known(digest(1)), next.known(digest(2))), (None, None));
        let good = next.begin("good", 1, digest(1));
        let (sender, begun) = std::sync::mpsc::sync_channel(1);
        {
            let next = next.clone();
            std::thread::spawn(move || sender.send(next.begin("bad", 1, digest(2))).is_ok());
        }
        assert!(begun.recv_timeout(Duration::from_millis(20)).is_err(), "it waits until it is alone");
        drop(good);
        let bad = begun.recv().unwrap();
        killed(&next, [bad]);
        let last = open();
        assert_eq!(
            (last.known(digest(1)), last.known(digest(2)).map(|r| r.cause)),
            (None, Some(Cause::Fatal))
        );
    }

    #[test]
    fn a_process_that_ends_in_order_blames_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let open = || LoadNotes::open(folder.path()).unwrap();
        let notes = open();
        let (going, hung, refused) =
            (notes.begin("a", 1, digest(1)), notes.begin("b", 1, digest(2)), notes.begin("c", 1, digest(3)));
        hung.overdue();
        refused.refused("not supported: Foo");
        drop(refused);
        notes.close();
        drop(notes.begin("d", 1, digest(4)));
        killed(&notes, [going, hung]);
        let next = open();
        assert_eq!((next.known(digest(1)), next.known(digest(4))), (None, None));
        assert_eq!(next.known(digest(2)).map(|r| r.cause), Some(Cause::Fatal), "it never came back");
        let known = Remembered { cause: Cause::Invalid, reason: "not supported: Foo".to_owned() };
        assert_eq!(next.known(digest(3)), Some(known));
        // Another rserve tries it again.
        let path = next.0.as_ref().unwrap().path(digest(3));
        let text = fs::read_to_string(&path).unwrap().replace(env!("CARGO_PKG_VERSION"), "0.0.0");
        fs::write(&path, text).unwrap();
        assert_eq!((next.known(digest(3)), open().known(digest(3))), (None, None));
        assert!(!path.exists());
    }

    #[test]
    fn notes_that_are_no_notes_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(format!("{}.json", digest(1)));
        fs::write(&file, "no note").unwrap();
        fs::write(folder.path().join("other"), "").unwrap();
        assert_eq!(LoadNotes::open(folder.path()).unwrap().known(digest(1)), None);
        assert!(LoadNotes::open(&file).is_err());
        assert_eq!(LoadNotes::default().known(digest(1)), None);
        drop(LoadNotes::default().begin("a", 1, digest(1)));
    }
}
