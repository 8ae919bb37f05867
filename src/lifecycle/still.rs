//! When a version's files have been still for long enough to be taken. Pure: the time is an argument.
//!
//! Files that the file system says have not changed for a while are taken at once. Others are read twice,
//! half of `settle` apart, and taken where both times give the same digest: what writes without a trace in
//! the times of the file is seen by that.

use crate::store::{COARSEST, Digest, Stamp};
use std::time::{Duration, Instant};

/// The observations of a version that are remembered between two looks.
#[derive(Clone, Debug)]
pub struct Observation {
    pub stamp: Stamp,
    /// Since when the stamp is that one, as far as is known.
    pub since: Instant,
    /// What was read meanwhile.
    pub digest: Option<(Digest, Instant)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadStep {
    /// It may be taken as it is read now.
    Take,
    /// To be read, and remembered.
    Peek,
    /// To be read; it may be taken where the digest is this one.
    Confirm(Digest),
    /// Not to be read yet.
    Wait(Duration),
}

/// `observation` is of the same stamp, else `None`. `age` is how long ago the files were last changed, by their
/// own account.
pub fn step(
    observation: Option<&Observation>,
    age: Option<Duration>,
    settle: Duration,
    now: Instant,
) -> ReadStep {
    let seen =
        observation.map_or(Duration::ZERO, |observation| now.saturating_duration_since(observation.since));
    let quiet = age.unwrap_or_default().max(seen);
    if settle.is_zero() || age.is_some_and(|age| age >= settle.max(COARSEST)) {
        return ReadStep::Take;
    }
    let half = settle / 2;
    let rest = |whole: Duration, gone: Duration| ReadStep::Wait(whole.saturating_sub(gone));
    match observation.and_then(|observation| observation.digest) {
        None if quiet >= half => ReadStep::Peek,
        None => rest(half, quiet),
        Some((digest, at)) => {
            let since_read = now.saturating_duration_since(at);
            if quiet < settle {
                rest(settle, quiet)
            } else if since_read < half {
                rest(half, since_read)
            } else {
                ReadStep::Confirm(digest)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn stamp() -> Stamp {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("m/1")).unwrap();
        fs::write(root.path().join("m/1/model.onnx"), "x").unwrap();
        crate::store::stamp(root.path(), "m", 1, &Default::default()).unwrap()
    }

    #[test]
    fn every_case() {
        let ms = Duration::from_millis;
        let (stamp, begun) = (stamp(), Instant::now());
        let digest = Digest([7; 32]);
        // Age by the files; seen for; digest read how long after it was first seen -> what to do. The
        // settling time is 500 ms.
        let table = [
            (Some(10_000), None, None, ReadStep::Take),
            (Some(2_000), None, None, ReadStep::Peek),
            (Some(0), None, None, ReadStep::Wait(ms(250))),
            (Some(100), None, None, ReadStep::Wait(ms(150))),
            (Some(300), Some(0), None, ReadStep::Peek),
            (Some(300), Some(0), Some(0), ReadStep::Wait(ms(200))),
            (Some(500), Some(200), Some(0), ReadStep::Wait(ms(50))),
            (Some(550), Some(250), Some(0), ReadStep::Confirm(digest)),
            // A server whose clock is ahead: only what was seen counts.
            (None, Some(0), None, ReadStep::Wait(ms(250))),
            (None, Some(250), None, ReadStep::Peek),
            (None, Some(400), Some(250), ReadStep::Wait(ms(100))),
            (None, Some(500), Some(250), ReadStep::Confirm(digest)),
        ];
        for (age, seen, read, expected) in table {
            let observation = seen.map(|_| Observation {
                stamp: stamp.clone(),
                since: begun,
                digest: read.map(|at| (digest, begun + ms(at))),
            });
            let now = begun + ms(seen.unwrap_or(0));
            let found = step(observation.as_ref(), age.map(ms), ms(500), now);
            assert_eq!(found, expected, "{:?}", (age, seen, read));
        }
        assert_eq!(step(None, None, Duration::ZERO, begun), ReadStep::Take);
    }
}
