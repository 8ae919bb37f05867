//! Looks at what may never answer, such as a store on a network file system whose server is gone: each on a thread of
//! its own, which is waited for no longer than is allowed.
//!
//! A look that is overdue is left behind. Until it comes back, nobody waits for another look at the same place, so that
//! threads do not pile up.

use super::aside::{Aside, aside, aside_again};
use crate::scheduler::StopFlag;
use crate::sync::{Mutex, lock};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// The time that a look may take which reads no file.
pub const BRIEF: Duration = Duration::from_secs(10);

/// The looks of this process that have not come back. A clone shares them.
#[derive(Clone, Default)]
pub struct Looks(Arc<Mutex<Out>>);

#[derive(Default)]
struct Out {
    next_id: u64,
    /// The place that each look is at, by its number, and whether the look is overdue.
    looks: BTreeMap<u64, (PathBuf, bool)>,
}

/// Why a look has no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LookError {
    #[error(
        "`{}` did not answer within {} s; it is looked at again once it has",
        place.display(),
        limit.as_secs_f64()
    )]
    Overdue { place: PathBuf, limit: Duration },
    #[error("reading `{}` panicked: {said}", place.display())]
    Panicked { place: PathBuf, said: String },
    #[error("no thread to read `{}` with: {said}", place.display())]
    NoThread { place: PathBuf, said: String },
}

/// Takes a look out of the list as it ends, however it does.
struct Back {
    looks: Looks,
    id: u64,
}

impl Drop for Back {
    fn drop(&mut self) {
        lock(&self.looks.0).looks.remove(&self.id);
    }
}

impl Looks {
    /// Does `work`, which looks at `place`, and waits for it, `limit` at most. Where an earlier look at the place is
    /// overdue and has not come back, so is this one. `background` work gives way to what serves.
    pub fn look<T: Send + 'static>(
        &self,
        place: &Path,
        limit: Duration,
        background: bool,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, LookError> {
        let place = place.to_owned();
        let mut out = lock(&self.0);
        if out.looks.values().any(|(at, overdue)| *overdue && *at == place) {
            return Err(LookError::Overdue { place, limit });
        }
        let id = out.next_id;
        out.next_id += 1;
        out.looks.insert(id, (place.clone(), false));
        drop(out);
        let back = Back { looks: self.clone(), id };
        let work = move |_: &StopFlag| {
            let _back = back;
            work()
        };
        let looked = if background { aside(limit, true, work) } else { aside_again(limit, work) };
        looked.map_err(|why| match why {
            Aside::Overdue => {
                if let Some((_, overdue)) = lock(&self.0).looks.get_mut(&id) {
                    *overdue = true;
                }
                LookError::Overdue { place, limit }
            }
            Aside::Panicked(said) => LookError::Panicked { place, said },
            Aside::NoThread(said) => LookError::NoThread { place, said },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn a_look_that_does_not_come_back_keeps_its_place_until_it_does() {
        let (looks, minute) = (Looks::default(), Duration::from_secs(60));
        let (release, held) = mpsc::sync_channel::<()>(1);
        let (dead, well) = (Path::new("dead"), Path::new("well"));
        let overdue = looks.look(dead, Duration::from_millis(20), false, move || held.recv().is_ok());
        assert!(matches!(overdue, Err(LookError::Overdue { .. })), "{overdue:?}");
        assert!(looks.look(dead, minute, false, || 1).is_err(), "nobody waits for it twice");
        assert_eq!(looks.look(well, minute, false, || 1), Ok(1), "other places are looked at");
        release.send(()).unwrap();
        while !lock(&looks.0).looks.is_empty() {
            std::thread::yield_now();
        }
        assert_eq!(looks.look(dead, minute, true, || 2), Ok(2));
        assert!(looks.look(well, minute, false, || -> u8 { panic!("no") }).is_err());
        assert_eq!(looks.look(well, minute, false, || 3), Ok(3), "a panic lets go of it too");
    }
}
