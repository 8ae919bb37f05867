//! `batch --via`: items go through a running server instead of models of our own.

use super::Trouble;
use crate::ingress::{ViaClient, ViaError};
use crate::offline::{Answer, Ended, Flow, Refused, Stopped, TimeSpent};
use crate::plan::{Payload, Pipeline};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A server that does not answer for so long is taken for gone.
const ABSENT: Duration = Duration::from_secs(10);
/// A server that is loading is waited for.
const LOADING: Duration = Duration::from_secs(120);

pub struct Via {
    client: ViaClient,
    /// What served at the beginning, and has to serve to the end.
    models: String,
}

impl Via {
    /// Asks the server whether it runs this pipeline, and with which models.
    pub async fn new(at: &str, pipeline: Arc<Pipeline>) -> Result<Self, Trouble> {
        let client = ViaClient::new(at, pipeline).map_err(Trouble::Given)?;
        let begun = Instant::now();
        loop {
            match client.models().await {
                Ok(models) => return Ok(Self { client, models }),
                Err(ViaError::Later(pause)) if begun.elapsed() < LOADING => tokio::time::sleep(pause).await,
                Err(ViaError::Later(_)) => {
                    return Err(Trouble::CouldNotRun(format!("the server at {at} is not ready")));
                }
                Err(ViaError::Gone(why)) => return Err(Trouble::CouldNotRun(why)),
                Err(ViaError::Otherwise(why) | ViaError::Refused { reason: why, .. }) => {
                    return Err(Trouble::Given(format!("the server at {at}: {why}")));
                }
            }
        }
    }

    pub fn models(&self) -> &str {
        &self.models
    }

    /// Whether those that served an item are of the models that served at the beginning. Some may have had nothing to do.
    fn has_served(&self, models: &str) -> bool {
        let known = |tag: &str| self.models.split(", ").any(|known| known == tag);
        models.is_empty() || models.split(", ").all(known)
    }
}

impl Flow for Via {
    fn run<'a>(
        &'a self,
        item: &'a str,
        payloads: Vec<Payload>,
    ) -> Pin<Box<dyn Future<Output = Ended> + Send + 'a>> {
        Box::pin(async move {
            let begun = Instant::now();
            let mut heard = begun;
            loop {
                match self.client.run(item, &payloads).await {
                    Ok(answered) if !self.has_served(&answered.models) => {
                        return Stopped::Server(format!(
                            "the server has gone over from {} to {}; `--resume-anyway` goes on with these",
                            self.models, answered.models
                        ))
                        .into();
                    }
                    Ok(answered) => {
                        let spent = TimeSpent { models: begun.elapsed(), ..TimeSpent::default() };
                        return Ended::Answered(Answer { encoded: answered.parts, spent });
                    }
                    Err(ViaError::Refused { step, reason }) => return Refused { step, reason }.into(),
                    Err(ViaError::Otherwise(why)) => return Stopped::Server(why).into(),
                    Err(ViaError::Gone(why)) if heard.elapsed() > ABSENT => {
                        return Stopped::Server(why).into();
                    }
                    Err(ViaError::Gone(_)) => tokio::time::sleep(Duration::from_millis(200)).await,
                    Err(ViaError::Later(pause)) => {
                        heard = Instant::now();
                        tokio::time::sleep(pause).await;
                    }
                }
            }
        })
    }
}
