//! The plan of a batch: one pipeline, which has the device to itself and wants its batches full.

use crate::plan::{Device, Id, ModelId, Pipeline, Plan};
use std::sync::Arc;
use std::time::Duration;

/// A batch that is not full waits so long for more: nobody waits for a single item, and the models are
/// not asked twice for what they could have done at once.
const FILLING: Duration = Duration::from_millis(20);

/// The plan of one pipeline alone, with no model but its own.
pub fn only(plan: &Plan, pipeline: &Pipeline) -> Plan {
    // The models that the pipeline calls are all that there are.
    let renumbered = |model: &ModelId| Some(ModelId::new(pipeline.models.iter().position(|m| m == model)?));
    let models = pipeline.models.iter().filter_map(renumbered).collect();
    let pipeline_alone = Pipeline { models, ..pipeline.clone() };
    Plan {
        server: plan.server.clone(),
        watch: plan.watch.clone(),
        devices: plan
            .devices
            .iter()
            .map(|device| Device {
                id: device.id,
                memory: device.memory,
                held: device.held.iter().filter_map(|(m, share)| Some((renumbered(m)?, *share))).collect(),
            })
            .collect(),
        models: pipeline.models.iter().filter_map(|m| plan.models.get(*m).cloned()).collect(),
        pipelines: vec![Arc::new(pipeline_alone)],
    }
}

/// Lets so many items wait, and batches wait until they are full.
pub fn fill_batches(plan: &mut Plan, in_flight: usize) {
    for model in &mut plan.models {
        model.queue = model.queue.max(in_flight);
        if in_flight >= 2 * model.batch.max {
            model.batch.wait = model.batch.wait.max(FILLING);
        }
        if model.batch.sizes.is_empty() && model.batch.max > 1 {
            model.batch.sizes = sizes(model.batch.max);
        }
    }
}

/// Two, four, eight and so on, up to `max`. A product of one row is summed in another order than one of
/// several, so that its last digit may be another: the rows of a run must not depend on how its batches
/// happened to form.
fn sizes(max: usize) -> Arc<[usize]> {
    std::iter::successors(Some(2), |size| Some(size * 2))
        .take_while(|size| *size < max)
        .chain([max])
        .collect()
}

/// Enough to fill every model's next batch while one runs and others are decoded.
pub fn in_flight(plan: &Plan) -> usize {
    let fullest = plan.models.iter().map(|m| m.batch.max).max().unwrap_or(1);
    (4 * fullest).clamp(16, 256)
}
