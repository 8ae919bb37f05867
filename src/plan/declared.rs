//! What pipeline files declare of the batch axes of models, laid over what the models' files say.

use super::models::Loaded;
use super::whole::Whole;
use super::{Declaration, Facts, Port};
use crate::diagnostic::{Diagnostic, Report, shown};
use crate::spec;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What is declared of one model.
pub fn of(model: &spec::Model) -> Declaration {
    let Some(batch) = &model.batch else { return Declaration::default() };
    Declaration {
        axis: batch.axis.as_ref().map(|axis| axis.value),
        ports: batch.axes.iter().map(|(port, axis)| (port.value.clone(), *axis)).collect(),
    }
}

/// The facts with the signature of every version as its model's declaration makes it.
pub fn applied(whole: &Whole<'_>, facts: &Facts) -> Facts {
    let declarations: BTreeMap<&str, Declaration> =
        whole.models.iter().map(|model| (model.name.value.as_str(), of(model))).collect();
    let mut facts = facts.clone();
    for (name, model) in facts.stores.values_mut().flatten().flatten() {
        let declaration = declarations.get(name.as_str()).cloned().unwrap_or_default();
        for version in model.versions.values_mut().flatten() {
            let declared = (*version.signature).clone().declared(&declaration);
            version.signature = Arc::new(declared);
        }
    }
    facts
}

/// Checks that every port that is named is there, and has the axis.
pub fn check(loaded: &Loaded<'_>, report: &mut Report) {
    let (Some(batch), Some(signature)) = (&loaded.spec.batch, loaded.signature()) else { return };
    let ports: Vec<&Port> = signature.inputs.iter().chain(&signature.outputs).collect();
    let names = || ports.iter().map(|port| port.name.as_str());
    let mut known = true;
    for (name, _) in batch.axes.iter().filter(|(name, _)| names().all(|port| port != name.value)) {
        known = false;
        let d =
            Diagnostic::error(format!("model `{}` has no input or output `{}`", loaded.name(), name.value))
                .at(&name.place, "")
                .nearest(name, names());
        report.push(super::scope::note(d, loaded.describe()));
    }
    let declaration = of(loaded.spec);
    if let Some((port, axis, rank)) = declaration.misfit(signature).filter(|_| known) {
        let named = batch.axes.iter().find(|(name, _)| name.value == port.name);
        let place = named.map(|(name, _)| &name.place).or(batch.axis.as_ref().map(|axis| &axis.place));
        let axes = if rank == 1 { "one axis".to_owned() } else { format!("{rank} axes") };
        let d = Diagnostic::error(format!(
            "axis {axis} cannot be the batch of `{}` of model `{}`, which has {axes}",
            port.name,
            loaded.name()
        ))
        .at(place.unwrap_or(&batch.place), "axes are counted from 0")
        .help(format!(
            "`axes = {{ \"{}\" = false }}` in `batch` declares that it has none",
            shown(&port.name)
        ));
        report.push(super::scope::note(d, loaded.describe()));
    }
}
