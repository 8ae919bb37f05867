//! Which versions of a model are asked for, and how they share its traffic.

use super::{Rollout, VersionsWanted};
use crate::diagnostic::{Diagnostic, Report, Span};
use crate::spec::{Model, Reload, Version};
use std::collections::BTreeSet;

/// The versions that answer.
pub enum Asked<'a> {
    /// The newest that can be served.
    Latest,
    /// These, and where they are written; a shadow is beside them.
    Listed(&'a Span, Vec<u64>),
}

/// What `version`, `traffic` and `shadow` say together. Where `version` is left out, the versions that have
/// traffic are served.
pub fn asked<'a>(model: &'a Model, report: &mut Report) -> Asked<'a> {
    let (place, versions) = match (&model.version, &model.traffic) {
        (Some(version), _) => match &version.value {
            Version::Latest => {
                contradiction(model, report);
                return Asked::Latest;
            }
            Version::One(version_) => (&version.place, vec![*version_]),
            Version::Several(versions) => (&version.place, versions.clone()),
        },
        (None, Some(traffic)) => {
            (&traffic.place, traffic.value.iter().map(|(version, _)| *version).collect())
        }
        (None, None) => {
            contradiction(model, report);
            return Asked::Latest;
        }
    };
    let served: BTreeSet<u64> = versions.iter().copied().collect();
    if let Some(traffic) = &model.traffic {
        for (version, _) in traffic.value.iter().filter(|(version, _)| !served.contains(version)) {
            report.push(
                Diagnostic::error(format!(
                    "`traffic` of model `{}` names version {version}, which is not served",
                    model.name.value
                ))
                .at(&traffic.place, "")
                .at(place, "these versions are served")
                .help("add it to `version`, or leave `version` out: those with traffic are then served"),
            );
        }
    }
    if let Some(shadow) = &model.shadow
        && served.contains(&shadow.value)
    {
        let title = match served.len() {
            1 => format!(
                "version {} of model `{}` cannot be the shadow of itself",
                shadow.value, model.name.value
            ),
            _ => format!(
                "version {} of model `{}` answers, and so cannot be the shadow",
                shadow.value, model.name.value
            ),
        };
        report.push(
            Diagnostic::error(title)
                .at(&shadow.place, "")
                .at(place, "this is what answers")
                .help("a shadow is a version beside those that answer, to be compared with them"),
        );
    }
    if let (Some(sticky), None) = (&model.sticky, &model.traffic) {
        report.push(
            Diagnostic::error(format!("`sticky` of model `{}` has no effect", model.name.value))
                .at(&sticky.place, "")
                .help("it is for `traffic`, such as `traffic = { 2 = 95, 3 = 5 }`; or take it out"),
        );
    }
    Asked::Listed(place, versions)
}

/// "latest" names no version that traffic could be measured out to, or a shadow be compared with.
fn contradiction(model: &Model, report: &mut Report) {
    let name = &model.name.value;
    let mut push = |key: &str, place: &Span, help: &str| {
        report.push(
            Diagnostic::error(format!("`{key}` of model `{name}` needs versions that are named"))
                .at(place, "")
                .help(help),
        );
    };
    if let Some(traffic) = &model.traffic {
        push(
            "traffic",
            &traffic.place,
            "leave `version = \"latest\"` out: those with traffic are then served",
        );
    }
    if let Some(shadow) = &model.shadow {
        push("shadow", &shadow.place, "say which version answers, such as `version = 2`");
    }
    if let (Some(sticky), None) = (&model.sticky, &model.traffic) {
        push("sticky", &sticky.place, "it is for `traffic`, such as `traffic = { 2 = 95, 3 = 5 }`");
    }
}

/// Adds the versions that a model asks for.
pub fn want(model: &Model, wanted: &mut VersionsWanted) {
    wanted.load_timeout = of(model).load_timeout;
    wanted.latest |= follows_latest(model);
    match model.version.as_ref().map(|version| &version.value) {
        Some(Version::One(version)) => wanted.listed.extend([*version]),
        Some(Version::Several(versions)) => wanted.listed.extend(versions),
        Some(Version::Latest) | None => {}
    }
    wanted.listed.extend(model.traffic.iter().flat_map(|t| t.value.iter().map(|(version, _)| *version)));
    wanted.listed.extend(model.shadow.as_ref().map(|shadow| shadow.value));
}

pub fn follows_latest(model: &Model) -> bool {
    match &model.version {
        Some(version) => version.value == Version::Latest,
        None => model.traffic.is_none(),
    }
}

/// The versions that answer: without the shadow, unless it is asked for as one that answers too.
pub fn answering(model: &Model, versions: impl Iterator<Item = u64>) -> Vec<u64> {
    let asked = |version: &u64| match (&model.version, &model.traffic) {
        (Some(asked), _) => match &asked.value {
            Version::Latest => true,
            Version::One(one) => one == version,
            Version::Several(several) => several.contains(version),
        },
        (None, Some(traffic)) => traffic.value.iter().any(|(weighed, _)| weighed == version),
        (None, None) => true,
    };
    versions.filter(asked).collect()
}

pub fn of(model: &Model) -> Rollout {
    let usual = Rollout::default();
    Rollout {
        traffic: model.traffic.as_ref().map_or(usual.traffic, |t| t.value.clone()),
        sticky: model.sticky.as_ref().map_or(usual.sticky, |s| s.value.clone()),
        shadow: model.shadow.as_ref().map(|s| s.value),
        stop_first: model.reload.as_ref().is_some_and(|r| r.value == Reload::StopFirst),
        load_timeout: model.load_timeout.as_ref().map_or(usual.load_timeout, |t| t.value),
    }
}
