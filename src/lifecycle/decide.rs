//! What to do next for one model, so that what serves comes to be what is wanted. Pure.
//!
//! [`decide`] is asked again after each thing done, until it says [`Next::Serve`]. Every answer either
//! learns something of a version or settles it, so this ends.

use crate::store::Digest;
use std::collections::{BTreeMap, BTreeSet};

/// The versions of a model that are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Versions {
    /// The newest that can be served is among them.
    pub latest: bool,
    pub listed: BTreeSet<u64>,
    /// Asked for by hand, beside the plan.
    pub more: BTreeSet<u64>,
    /// The versions that are not wanted, by hand, whatever the plan says.
    pub less: BTreeSet<u64>,
    /// It is compared with the others and answers nobody, unless it is listed too.
    pub shadow: Option<u64>,
}

/// The result of a look at a version's files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Snapshot {
    Is(Digest),
    Unreadable,
    /// They change, or have changed too lately.
    Unsettled,
}

/// All that is known when it is decided what to do with a model.
#[derive(Clone, Debug)]
pub struct Situation<'a> {
    pub wanted: &'a Versions,
    /// The versions in the store, ascending; `None` where the store cannot be read.
    pub in_store: Option<&'a [u64]>,
    /// The snapshots of the versions looked at so far.
    pub snapshots: &'a BTreeMap<u64, Snapshot>,
    /// Generations that serve or could at once.
    pub loaded: &'a [(u64, Digest)],
    /// Generations that failed, and will again.
    pub refused: &'a BTreeSet<(u64, Digest)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Read the version's files and see.
    Scan(u64),
    /// Load the version as it was looked at.
    Load(u64),
    /// Swap to these loaded generations, ascending; drop every other.
    Serve { generations: Vec<(u64, Digest)>, kept: Option<KeepReason> },
}

/// Why something serves on that the store no longer gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeepReason {
    StoreUnreadable,
    /// None of the wanted versions is in the store, or none can be served.
    NothingElse,
}

/// What becomes of one version.
enum Choice {
    Do(Next),
    Serve(Digest),
    /// Not there, or it cannot be served.
    Without,
}

impl Versions {
    /// Whether a version answers requests where it is loaded.
    pub fn answers(&self, version: u64) -> bool {
        self.shadow != Some(version) || self.listed.contains(&version) || self.more.contains(&version)
    }

    /// The versions that are wanted by number, ascending.
    fn numbers(&self) -> BTreeSet<u64> {
        let by_plan = self.listed.iter().chain(&self.shadow).filter(|version| !self.less.contains(version));
        by_plan.chain(&self.more).copied().collect()
    }
}

pub fn decide(situation: &Situation<'_>) -> Next {
    let Situation { wanted, .. } = situation;
    let Some(in_store) = situation.in_store else {
        return keep(situation, KeepReason::StoreUnreadable);
    };
    let mut serve = BTreeSet::new();
    if wanted.latest {
        for version in in_store.iter().rev().filter(|version| !wanted.less.contains(version)) {
            match choose(situation, *version) {
                Choice::Do(next) => return next,
                Choice::Serve(digest) => {
                    serve.insert((*version, digest));
                    break;
                }
                Choice::Without => {}
            }
        }
    }
    for version in wanted.numbers().iter().filter(|version| in_store.contains(version)) {
        match choose(situation, *version) {
            Choice::Do(next) => return next,
            Choice::Serve(digest) => {
                serve.insert((*version, digest));
            }
            Choice::Without => {}
        }
    }
    if !serve.iter().any(|(version, _)| wanted.answers(*version)) {
        return keep(situation, KeepReason::NothingElse);
    }
    Next::Serve { generations: serve.into_iter().collect(), kept: None }
}

/// Chooses what to do with a version that is in the store.
fn choose(situation: &Situation<'_>, version: u64) -> Choice {
    let serving = || situation.loaded.iter().rfind(|(loaded, _)| *loaded == version);
    let stay = || serving().map_or(Choice::Without, |(_, digest)| Choice::Serve(*digest));
    match situation.snapshots.get(&version) {
        None => Choice::Do(Next::Scan(version)),
        Some(Snapshot::Unreadable | Snapshot::Unsettled) => stay(),
        Some(Snapshot::Is(digest)) if situation.loaded.contains(&(version, *digest)) => {
            Choice::Serve(*digest)
        }
        Some(Snapshot::Is(digest)) if situation.refused.contains(&(version, *digest)) => stay(),
        Some(Snapshot::Is(_)) => Choice::Do(Next::Load(version)),
    }
}

/// Whatever serves goes on serving.
fn keep(situation: &Situation<'_>, why: KeepReason) -> Next {
    let mut generations = situation.loaded.to_vec();
    generations.sort_unstable();
    let kept = (!generations.is_empty()).then_some(why);
    Next::Serve { generations, kept }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(n: u8) -> Digest {
        Digest([n; 32])
    }

    /// Versions are numbers, contents are letters: `2a` is version 2 with content a.
    fn generation(text: &str) -> (u64, Digest) {
        let (version, content) = text.split_at(text.len() - 1);
        (version.parse().unwrap(), digest(content.as_bytes()[0]))
    }

    fn generations(text: &str) -> Vec<(u64, Digest)> {
        text.split_whitespace().map(generation).collect()
    }

    /// `wanted`: "latest" and numbers; `+3` and `-3` by hand, `~3` as a shadow. `looks`: as generations, with
    /// the content `!` for what cannot be read, `?` for what is not settled.
    fn next(wanted: &str, in_store: &str, looks: &str, loaded: &str, refused: &str) -> String {
        let mut asked = Versions::default();
        for word in wanted.split_whitespace() {
            let number = |text: &str| text.parse().unwrap();
            match word.split_at(1) {
                _ if word == "latest" => asked.latest = true,
                ("+", version) => _ = asked.more.insert(number(version)),
                ("-", version) => _ = asked.less.insert(number(version)),
                ("~", version) => asked.shadow = Some(number(version)),
                _ => _ = asked.listed.insert(number(word)),
            }
        }
        let in_store: Option<Vec<u64>> = (in_store != "unreadable")
            .then(|| in_store.split_whitespace().map(|v| v.parse().unwrap()).collect());
        let looks = generations(looks)
            .into_iter()
            .map(|(v, d)| match d.0[0] {
                b'!' => (v, Snapshot::Unreadable),
                b'?' => (v, Snapshot::Unsettled),
                _ => (v, Snapshot::Is(d)),
            })
            .collect();
        let (loaded, refused) = (generations(loaded), generations(refused).into_iter().collect());
        let situation = Situation {
            wanted: &asked,
            in_store: in_store.as_deref(),
            snapshots: &looks,
            loaded: &loaded,
            refused: &refused,
        };
        match decide(&situation) {
            Next::Scan(version) => format!("look {version}"),
            Next::Load(version) => format!("load {version}"),
            Next::Serve { generations, kept } => {
                let list: Vec<String> =
                    generations.iter().map(|(v, d)| format!("{v}{}", d.0[0] as char)).collect();
                let kept = kept.map_or(String::new(), |why| format!(" ({why:?})"));
                format!("serve {}{kept}", list.join(" "))
            }
        }
    }

    #[test]
    fn every_case() {
        #[rustfmt::skip]
        let table = [
            // wanted, in the store, looked at, loaded, refused -> next
            // From nothing.
            ("latest", "1 2", "", "", "", "look 2"),
            ("latest", "1 2", "2a", "", "", "load 2"),
            ("latest", "1 2", "2a", "2a", "", "serve 2a"),
            ("2", "1 2 3", "", "", "", "look 2"),
            ("2", "1 2 3", "2a", "", "", "load 2"),
            ("2 3", "1 2 3", "2a", "2a", "", "look 3"),
            ("2 3", "1 2 3", "2a 3b", "2a 3b", "", "serve 2a 3b"),
            // Nothing changed.
            ("latest", "1 2", "", "2a", "", "look 2"),
            ("latest", "1 2", "2a", "2a", "", "serve 2a"),
            // A newer version; while it fails, and after.
            ("latest", "1 2 3", "", "2a", "", "look 3"),
            ("latest", "1 2 3", "3b", "2a", "", "load 3"),
            ("latest", "1 2 3", "3b", "2a 3b", "", "serve 3b"),
            ("latest", "1 2 3", "3b", "2a", "3b", "look 2"),
            ("latest", "1 2 3", "3b 2a", "2a", "3b", "serve 2a"),
            ("latest", "1 2 3", "3!", "2a", "", "look 2"),
            // It is mended: other content, no longer refused.
            ("latest", "1 2 3", "3c", "2a", "3b", "load 3"),
            // New content under the same number; the old one stays where the new one fails.
            ("2", "2", "2b", "2a", "", "load 2"),
            ("2", "2", "2b", "2a 2b", "", "serve 2b"),
            ("2", "2", "2b", "2a", "2b", "serve 2a"),
            ("2", "2", "2!", "2a", "", "serve 2a"),
            // A roll back by content.
            ("2", "2", "2a", "2b", "", "load 2"),
            // A served version is deleted: the newest left; the last of all stays.
            ("latest", "1", "1a", "2a", "", "load 1"),
            ("latest", "1", "1a", "1a 2a", "", "serve 1a"),
            ("latest", "", "", "2a", "", "serve 2a (NothingElse)"),
            ("2 3", "2", "2a", "2a 3b", "", "serve 2a"),
            ("2", "1", "", "2a", "", "serve 2a (NothingElse)"),
            ("latest", "1", "1a", "2a", "1a", "serve 2a (NothingElse)"),
            // The store disappears.
            ("latest", "unreadable", "", "2a", "", "serve 2a (StoreUnreadable)"),
            // It is still being copied, or written again.
            ("latest", "1 2 3", "3?", "2a", "", "look 2"),
            ("latest", "1 2 3", "3? 2a", "2a", "", "serve 2a"),
            ("2", "2", "2?", "2a", "", "serve 2a"),
            ("2", "2", "2?", "", "", "serve "),
            // By hand: another one beside, the newest left out.
            ("latest +1", "1 2", "2a", "2a", "", "look 1"),
            ("latest +1", "1 2", "1a 2a", "1a 2a", "", "serve 1a 2a"),
            ("latest -2", "1 2", "1a", "2a", "", "load 1"),
            ("2 3 -3", "2 3", "2a", "2a 3a", "", "serve 2a"),
            // A shadow is loaded, and never the last that answers.
            ("2 ~3", "2 3", "2a", "2a", "", "look 3"),
            ("2 ~3", "2 3", "2a 3a", "2a 3a", "", "serve 2a 3a"),
            ("2 ~3", "2 3", "2a 3a", "2a", "3a", "serve 2a"),
            ("2 ~3", "3", "3a", "2a 3a", "", "serve 2a 3a (NothingElse)"),
            // Nothing to serve, and nothing that serves.
            ("latest", "", "", "", "", "serve "),
            ("7", "1 2", "", "", "", "serve "),
            ("latest", "1", "1!", "", "", "serve "),
        ];
        for (wanted, in_store, looks, loaded, refused, expected) in table {
            let found = next(wanted, in_store, looks, loaded, refused);
            assert_eq!(found, expected, "{:?}", (wanted, in_store, looks, loaded, refused));
        }
    }
}
