//! `batch`: one pipeline over folders, through the same flow as HTTP.

use super::Trouble;
use super::compile::Compiled;
use super::loader::EngineLoader;
use super::serve::bring_up;
use crate::diagnostic::nearest;
use crate::flow::{self, CodecThreads, Pinned, Side};
use crate::lifecycle::Lifecycle;
use crate::offline::{self, Answer, Flow, Job, Refused, Stopped, Summary};
use crate::plan::{Device, Payload, Pipeline, Plan};
use bytes::Bytes;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What to run over what.
#[derive(Clone, Debug)]
pub struct Batch {
    pub pipeline: String,
    pub inputs: Vec<PathBuf>,
    /// `<pipeline>-output` where it is left out.
    pub output: Option<PathBuf>,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Done {
    pub summary: Summary,
    pub output: PathBuf,
    pub models: String,
    /// Files of other kinds, which were left alone.
    pub others: usize,
}

/// An item may take so long; it has no client who waits.
const PATIENCE: Duration = Duration::from_secs(3600);

pub fn batch(compiled: &Compiled, batch: &Batch) -> Result<Done, Trouble> {
    let pipeline = pipeline(&compiled.plan, &batch.pipeline)?;
    let output = batch.output.clone().unwrap_or_else(|| format!("{}-output", pipeline.name).into());
    let found = offline::find(&batch.inputs, &output, &pipeline.offline.decodes).map_err(Trouble::Given)?;
    if found.items.is_empty() && found.misfits.is_empty() {
        return Err(Trouble::Given(nothing_to_do(batch, &pipeline)));
    }
    let others = found.others;
    let plan = only(&compiled.plan, &pipeline);
    let lifecycle = Lifecycle::new(Arc::new(EngineLoader));
    bring_up(&lifecycle, &plan)?;
    let cells = lifecycle.cells(&plan).map_err(|e| Trouble::CouldNotRun(e.to_string()))?;
    let Some(pipeline) = plan.pipelines.first() else {
        return Err(Trouble::CouldNotRun("the plan lost its pipeline".into()));
    };
    let pinned = flow::Pipeline::new(pipeline.clone(), &cells, CodecThreads::default())
        .pin()
        .map_err(|e| Trouble::CouldNotRun(e.to_string()))?;
    let models = pinned.models().to_string();
    let encodes = (0..pipeline.offline.encodes.len()).collect();
    let job =
        Job { entry: pipeline.offline.clone(), found, output: output.clone(), in_flight: in_flight(&plan) };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("rserve-batch")
        .build()
        .map_err(|e| Trouble::CouldNotRun(format!("cannot start threads: {e}")))?;
    let summary = runtime.block_on(async {
        let interrupted = async {
            // Without a handler the signal ends the process, which is what it is for.
            if tokio::signal::ctrl_c().await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        offline::run(job, Arc::new(Offline { pinned, encodes }), interrupted).await
    });
    runtime.shutdown_background();
    let summary = summary.map_err(|stopped: Stopped| Trouble::CouldNotRun(stopped.to_string()))?;
    Ok(Done { summary, output, models, others })
}

fn pipeline(plan: &Plan, name: &str) -> Result<Arc<Pipeline>, Trouble> {
    let names = || plan.pipelines.iter().map(|p| p.name.as_str());
    plan.pipelines.iter().find(|p| p.name == name).cloned().ok_or_else(|| {
        let hint = nearest(name, names()).map_or(String::new(), |n| format!("; did you mean `{n}`?"));
        let list: Vec<String> = names().map(|n| format!("`{n}`")).collect();
        Trouble::Given(format!("there is no pipeline `{name}`{hint}\n  there are: {}", list.join(", ")))
    })
}

fn nothing_to_do(batch: &Batch, pipeline: &Pipeline) -> String {
    let inputs: Vec<String> = batch.inputs.iter().map(|p| format!("`{}`", p.display())).collect();
    let takes: Vec<String> = pipeline
        .offline
        .decodes
        .iter()
        .map(|d| format!("decode `{}` takes .{}", d.name, d.decode.extensions().join(", .")))
        .collect();
    format!("nothing to do in {}: {}", inputs.join(", "), takes.join("; "))
}

/// The plan of one pipeline alone, with no model but its own.
pub fn only(plan: &Plan, pipeline: &Pipeline) -> Plan {
    let index = |model: &usize| pipeline.models.iter().position(|m| m == model);
    let pipeline_alone = Pipeline { models: (0..pipeline.models.len()).collect(), ..pipeline.clone() };
    Plan {
        server: plan.server.clone(),
        watch: plan.watch.clone(),
        devices: plan
            .devices
            .iter()
            .map(|device| Device {
                id: device.id,
                memory: device.memory,
                held: device.held.iter().filter_map(|(m, share)| Some((index(m)?, *share))).collect(),
            })
            .collect(),
        models: pipeline.models.iter().filter_map(|m| plan.models.get(*m).cloned()).collect(),
        pipelines: vec![Arc::new(pipeline_alone)],
    }
}

/// Enough to fill every model's next batch while one runs and others are decoded; never more than a queue
/// takes.
fn in_flight(plan: &Plan) -> usize {
    let fullest = plan.models.iter().map(|m| m.batch.max).max().unwrap_or(1);
    let shortest = plan.models.iter().map(|m| m.queue).min().unwrap_or(1);
    (4 * fullest).clamp(16, 256).min(shortest.max(1))
}

struct Offline {
    pinned: Pinned,
    /// All of them.
    encodes: Vec<usize>,
}

impl Flow for Offline {
    fn run<'a>(
        &'a self,
        item: &'a str,
        payloads: Vec<Payload>,
    ) -> Pin<Box<dyn Future<Output = Result<Answer, Refused>> + Send + 'a>> {
        Box::pin(async move {
            let deadline = Instant::now() + PATIENCE;
            loop {
                let request = flow::Request {
                    side: Side::Offline,
                    payloads: payloads.clone(),
                    encodes: &self.encodes,
                    row: Some(item),
                    deadline,
                };
                match flow::run(&self.pinned, request).await {
                    Ok(answer) => {
                        return Ok(answer.encoded.into_iter().map(|(_, bytes)| Bytes::from(bytes)).collect());
                    }
                    Err(flow::Error::Full { retry_after, .. }) if Instant::now() < deadline => {
                        tokio::time::sleep(retry_after.max(Duration::from_millis(1))).await;
                    }
                    Err(error) => return Err(refused(error)),
                }
            }
        })
    }
}

fn refused(error: flow::Error) -> Refused {
    use flow::Error;
    let (step, reason) = match error {
        Error::Decode { decode, error } => (decode, error.to_string()),
        Error::Input { step, reason, .. } | Error::Step { step, reason, .. } => (step, reason),
        Error::Encode { encode, error } => (encode, error.to_string()),
        Error::Full { ref model, .. } | Error::Closed { ref model } => (model.clone(), error.to_string()),
        Error::NotReady(ref not_ready) => (not_ready.model.clone(), error.to_string()),
        Error::Deadline { at } => (at, "it took longer than an hour".to_owned()),
        Error::Panic { at, message } => (at, format!("panicked: {message}")),
        Error::Request(reason) => ("flow".to_owned(), reason),
    };
    Refused { step, reason }
}
