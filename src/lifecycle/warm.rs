//! A generation's first batches, so that no request pays for what the first run sets up.

use crate::plan::{BatchPolicy, Port, Signature};
use crate::scheduler::{Batch, RunError, Runner, Value, Want, panic_message};
use crate::tensor::{Tensor, byte_len};
use bytes::Bytes;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Bytes that the inputs of a warm-up batch may take.
const LIMIT: usize = 1 << 30;

/// Runs zeros: one row, then as many as a batch may have, or every size that batches are padded to. Does nothing where a shape is not declared.
pub(super) fn warm_up(
    runner: &dyn Runner,
    signature: &Signature,
    policy: &BatchPolicy,
) -> Result<(), RunError> {
    let Some(row) = zeros(signature) else { return Ok(()) };
    let bytes: usize = row.iter().map(|tensor| tensor.bytes().len()).sum();
    let fits = |rows: usize| bytes.checked_mul(rows).is_some_and(|bytes| bytes <= LIMIT);
    let usual = [1, policy.max.max(1)];
    let sizes = if policy.sizes.is_empty() { &usual[..] } else { &policy.sizes };
    for (index, rows) in sizes.iter().copied().enumerate() {
        if index > 0 && rows == sizes[index - 1] {
            continue;
        }
        // What the first row brought to light counts for the second batch.
        if !fits(rows) || (rows > 1 && !runner.joins()) {
            continue;
        }
        let row: Vec<Value> = row.iter().cloned().map(Value::Host).collect();
        // What is no tensor (a sequence) cannot be brought to the host.
        let want = |port: &Port| if port.dtype.is_some() { Want::Host } else { Want::Drop };
        let wants = signature.outputs.iter().map(want).collect();
        let batch = Batch { rows: vec![row; rows], wants };
        let given = catch_unwind(AssertUnwindSafe(|| runner.run(batch)))
            .map_err(|payload| RunError::Failed(format!("it panicked: {}", panic_message(&*payload))))?;
        let given = match given {
            // Zeros are not among what it takes: an encoder of categories, say.
            Err(RunError::Input(why)) => {
                tracing::debug!(why, "not warmed up");
                return Ok(());
            }
            given => given?,
        };
        if given.len() != rows {
            return Err(RunError::Failed(format!("it gave {} rows for {rows}", given.len())));
        }
    }
    Ok(())
}

/// One row of zeros; `None` where a dtype or a dimension is not known.
fn zeros(signature: &Signature) -> Option<Vec<Tensor>> {
    signature
        .inputs
        .iter()
        .map(|port| {
            let ty = port.item_type();
            let (dtype, dims) = (ty.dtype?, ty.dims?);
            let shape: Vec<usize> = dims.into_iter().collect::<Option<_>>()?;
            let bytes = byte_len(dtype, &shape).filter(|bytes| *bytes <= LIMIT)?;
            Tensor::from_bytes(dtype, shape, Bytes::from(vec![0; bytes])).ok()
        })
        .collect()
}
