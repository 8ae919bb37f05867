//! The states of a generation. Pure.

use serde::{Deserialize, Serialize};

/// The state of a generation.
///
/// ```text
/// new -> reserved -> loading -> warming -> ready -> draining -> unloaded
/// ```
///
/// It may fail from each of the first four. One that drains becomes ready again where a plan that was staged
/// meanwhile serves it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Seen in the store.
    New,
    /// There is memory for it on its devices.
    Reserved,
    /// It is being put on its devices.
    Loading,
    /// Its first batches run.
    Warming,
    /// It serves.
    Ready,
    /// No new request takes it; those that hold it go on.
    Draining,
    Unloaded,
    Failed(String),
}

impl State {
    pub fn name(&self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Reserved => "reserved",
            Self::Loading => "loading",
            Self::Warming => "warming",
            Self::Ready => "ready",
            Self::Draining => "draining",
            Self::Unloaded => "unloaded",
            Self::Failed(_) => "failed",
        }
    }

    pub(super) fn is_over(&self) -> bool {
        matches!(self, Self::Unloaded | Self::Failed(_))
    }

    /// Whether a generation in this state may go over into that one.
    pub(super) fn may_become(&self, next: &Self) -> bool {
        use State::{Draining, Failed, Loading, New, Ready, Reserved, Unloaded, Warming};
        matches!(
            (self, next),
            (New, Reserved)
                | (Reserved, Loading)
                | (Loading, Warming)
                | (Warming, Ready)
                | (Ready, Draining)
                | (Draining, Ready | Unloaded)
                | (New | Reserved | Loading | Warming, Failed(_))
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of transitions, in the order of [`State`]'s declaration, a row for where it stands and a column for
    /// where it goes.
    #[test]
    fn every_transition() {
        use State::{Draining, Failed, Loading, New, Ready, Reserved, Unloaded, Warming};
        let states = [New, Reserved, Loading, Warming, Ready, Draining, Unloaded, Failed("no".to_owned())];
        let table = [
            "-+-----+", // new
            "--+----+", // reserved
            "---+---+", // loading
            "----+--+", // warming
            "-----+--", // ready
            "----+-+-", // draining
            "--------", // unloaded
            "--------", // failed
        ];
        for (from, row) in states.iter().zip(table) {
            let found: String = states.iter().map(|to| if from.may_become(to) { '+' } else { '-' }).collect();
            assert_eq!(found, row, "from {from:?}");
        }
    }
}
