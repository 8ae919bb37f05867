//! The routes of a plan: a path to a pipeline. Replaced as one when the plan is.

use super::host::Handler;
use super::metrics::{Metrics, RouteMetrics};
use crate::diagnostic::nearest;
use crate::plan::{EncodeId, EncodePlan, IdVec, Pipeline};
use hyper::header::HeaderValue;
use std::borrow::Cow;
use std::sync::Arc;

/// The methods of a pipeline's route.
pub const METHODS: &str = "POST, PUT, OPTIONS";

/// A path that every server answers beside its pipelines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Builtin {
    Index,
    Live,
    Ready,
}

const BUILTINS: [(&str, Builtin); 3] =
    [("/", Builtin::Index), ("/healthz/live", Builtin::Live), ("/healthz/ready", Builtin::Ready)];

pub struct Routes {
    router: matchit::Router<Target>,
    pub pipelines: Vec<Route>,
}

#[derive(Clone, Copy, Debug)]
enum Target {
    Builtin(Builtin),
    Pipeline(usize),
}

pub struct Route {
    pub pipeline: Arc<Pipeline>,
    /// The pipeline's name, as those who wait for a thread are told apart.
    pub name: Arc<str>,
    pub handler: Arc<dyn Handler>,
    pub metrics: RouteMetrics,
    /// The media type of each encode of the online entry.
    pub media_types: IdVec<EncodeId, HeaderValue>,
    /// The digest of the offline entry.
    pub offline: String,
}

/// The pipeline or page that a path leads to.
pub enum Found<'a> {
    Builtin(Builtin),
    Pipeline(&'a Route),
}

impl Routes {
    /// The plan has already refused routes that collide; an error here says what it let through.
    pub fn new(handlers: Vec<Arc<dyn Handler>>, metrics: &Metrics) -> Result<Self, String> {
        let mut router = matchit::Router::new();
        let mut add = |path: &str, target| {
            // Braces are the router's own syntax; a route of ours is taken as it is written.
            let literal = path.replace('{', "{{").replace('}', "}}");
            router.insert(literal, target).map_err(|e| format!("route {path}: {e}"))
        };
        for (path, builtin) in BUILTINS {
            add(path, Target::Builtin(builtin))?;
        }
        for (index, handler) in handlers.iter().enumerate() {
            add(&handler.pipeline().route, Target::Pipeline(index))?;
        }
        let media_type = |encode: &EncodePlan| {
            HeaderValue::from_str(encode.encode.media_type())
                .unwrap_or(HeaderValue::from_static("application/octet-stream"))
        };
        let route = |handler: Arc<dyn Handler>| {
            let pipeline = handler.pipeline().clone();
            Route {
                metrics: metrics.route(&pipeline),
                name: pipeline.name.as_str().into(),
                offline: pipeline.offline.digest(),
                media_types: pipeline.online.encodes.iter().map(media_type).collect(),
                pipeline,
                handler,
            }
        };
        Ok(Self { router, pipelines: handlers.into_iter().map(route).collect() })
    }

    pub fn find(&self, path: &str) -> Option<Found<'_>> {
        match *self.router.at(&normalised(path)).ok()?.value {
            Target::Builtin(builtin) => Some(Found::Builtin(builtin)),
            Target::Pipeline(index) => self.pipelines.get(index).map(Found::Pipeline),
        }
    }

    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.pipelines.iter().map(|r| r.pipeline.route.as_str())
    }

    /// The route that was probably meant by a path that leads nowhere.
    pub fn nearest(&self, path: &str) -> Option<&str> {
        let path = path.trim_end_matches('/');
        if path.len() > 256 {
            return None;
        }
        nearest(path, self.paths())
    }
}

/// A path whose percent-encoded letters, digits, `-`, `.`, `_` and `~` stand as themselves: by RFC 3986, 6.2.2.2
/// the two are one path. A route consists of nothing else.
pub fn normalised(path: &str) -> Cow<'_, str> {
    if !path.contains('%') {
        return Cow::Borrowed(path);
    }
    let mut out = String::with_capacity(path.len());
    let mut rest = path;
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        let byte = after.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match byte.filter(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(byte)) {
            Some(byte) => {
                out.push(byte.into());
                rest = &after[2..];
            }
            None => {
                out.push('%');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::normalised;

    #[test]
    fn characters_that_need_no_encoding_are_those_that_they_stand_for() {
        for (path, same) in [
            ("/road/predict", "/road/predict"),
            ("/%72oad%2Dmask/%70redict", "/road-mask/predict"),
            ("/a%7eb%5Fc%2ed", "/a~b_c.d"),
            // Others stand for themselves alone: an encoded slash does not part a path.
            ("/road%2Fpredict", "/road%2Fpredict"),
            ("/caf%C3%A9", "/caf%C3%A9"),
            ("/%", "/%"),
            ("/%4", "/%4"),
            ("/%+1", "/%+1"),
            ("/%é", "/%é"),
            ("/%2572", "/%2572"),
        ] {
            assert_eq!(normalised(path), same);
        }
    }
}
