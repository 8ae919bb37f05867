//! Each pipeline's route, and that no two are the same.

use crate::diagnostic::{Diagnostic, Report, Span};
use crate::spec;

/// The route as it is written, or "/PIPELINE/predict".
pub fn route(pipeline: &spec::Pipeline) -> String {
    match written(pipeline) {
        Some((route, _)) => route.to_owned(),
        None => format!("/{}/predict", pipeline.name.value),
    }
}

fn written(pipeline: &spec::Pipeline) -> Option<(&str, &Span)> {
    let route = pipeline.online.as_ref()?.route.as_ref()?;
    Some((&route.value, &route.place))
}

pub fn check(pipelines: &[&spec::Pipeline], report: &mut Report) {
    let place = |p: &spec::Pipeline| written(p).map_or_else(|| p.name.place.clone(), |(_, at)| at.clone());
    for (index, second) in pipelines.iter().enumerate() {
        let same = |first: &&&spec::Pipeline| route(first) == route(second);
        let Some(first) = pipelines[..index].iter().find(same) else { continue };
        let label = |p: &spec::Pipeline| match written(p) {
            Some(_) => format!("of pipeline `{}`", p.name.value),
            None => format!("pipeline `{}` has it by default", p.name.value),
        };
        report.push(
            Diagnostic::error(format!("two pipelines have the route `{}`", route(second)))
                .at(&place(second), label(second))
                .at(&place(first), label(first))
                .help("give one of them another `route` under `online`"),
        );
    }
}
