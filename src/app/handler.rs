//! One pipeline, as the ingress runs its requests: pinned, and handed to `flow`.

use crate::flow;
use crate::ingress::{BoxFuture, Handler, Versions};
use crate::lifecycle::NotReady;
use crate::plan::{Pipeline, Plan};
use std::sync::Arc;

/// A pipeline whose models are being loaded.
pub struct Loading(pub Arc<Pipeline>);

/// A pipeline that is served.
pub struct Served {
    flow: Arc<flow::Pipeline>,
    sticky: Vec<(String, String)>,
}

impl Served {
    pub fn new(flow: Arc<flow::Pipeline>, plan: &Plan) -> Self {
        let models = flow.plan().models.iter().filter_map(|index| plan.models.get(*index));
        let split = models.filter(|model| !model.rollout.traffic.is_empty());
        let sticky = split.map(|model| (model.name.clone(), model.rollout.sticky.clone())).collect();
        Self { flow, sticky }
    }

    fn pin(&self, versions: &Versions) -> Result<flow::Pinned, NotReady> {
        let Versions { pins, keys } = versions;
        let key = |model: &str| keys.iter().find(|(name, _)| name == model).map(|(_, key)| key.as_slice());
        self.flow.choose(pins, &key)
    }
}

impl Handler for Loading {
    fn pipeline(&self) -> &Arc<Pipeline> {
        &self.0
    }

    fn is_ready(&self) -> bool {
        false
    }

    fn sticky(&self) -> &[(String, String)] {
        &[]
    }

    fn models(&self) -> Option<Arc<str>> {
        None
    }

    fn run<'a>(
        &'a self,
        _: &'a Versions,
        _: flow::Request<'a>,
    ) -> BoxFuture<'a, Result<flow::Answer, flow::Error>> {
        Box::pin(async { Err(NotReady::Nothing { model: self.0.name.clone() }.into()) })
    }
}

impl Handler for Served {
    fn pipeline(&self) -> &Arc<Pipeline> {
        self.flow.plan()
    }

    fn is_ready(&self) -> bool {
        self.flow.is_ready()
    }

    fn sticky(&self) -> &[(String, String)] {
        &self.sticky
    }

    fn models(&self) -> Option<Arc<str>> {
        let pinned = self.flow.pin().ok()?;
        Some(pinned.models_of_entry(&pinned.plan().offline))
    }

    fn room(&self, versions: &Versions, request: &flow::Request<'_>) -> Result<(), flow::Error> {
        if self.flow.is_roomy() {
            return Ok(());
        }
        flow::room(&self.pin(versions)?, request)
    }

    fn run<'a>(
        &'a self,
        versions: &'a Versions,
        request: flow::Request<'a>,
    ) -> BoxFuture<'a, Result<flow::Answer, flow::Error>> {
        Box::pin(async move { flow::run(&self.pin(versions)?, request).await })
    }
}
