//! The trait between the scheduler and an engine, and the values that pass through it.

use super::stop::{StopFlag, Stopped};
use crate::plan::DeviceId;
use crate::tensor::{DType, Tensor};
use std::any::Any;
use std::sync::Arc;

/// One item's tensor between two steps: on the host, or where a device left it. Never with a batch axis.
#[derive(Clone)]
pub enum Value {
    Host(Tensor),
    Device(Arc<dyn Resident>),
}

/// A tensor that stayed on its device.
pub trait Resident: Any + Send + Sync {
    fn device(&self) -> DeviceId;
    fn dtype(&self) -> DType;
    /// The shape of the item, without a batch axis.
    fn shape(&self) -> &[usize];
    /// Brings it down. Waits for the device.
    fn to_host(&self) -> Result<Tensor, RunError>;
}

impl Value {
    pub fn dtype(&self) -> DType {
        match self {
            Self::Host(t) => t.dtype(),
            Self::Device(r) => r.dtype(),
        }
    }

    /// The bytes that it takes of the memory of the process.
    pub fn host_bytes(&self) -> u64 {
        let elements = match self {
            Self::Host(tensor) => return tensor.bytes().len() as u64,
            Self::Device(resident) if resident.device() == DeviceId::Cpu => resident.shape(),
            Self::Device(_) => return 0,
        };
        let bytes = self.dtype().size() as u64;
        elements.iter().fold(bytes, |bytes, length| bytes.saturating_mul(*length as u64))
    }

    pub fn shape(&self) -> &[usize] {
        match self {
            Self::Host(t) => t.shape(),
            Self::Device(r) => r.shape(),
        }
    }
}

/// The use that is made of an output of the model. Ordered: the greatest that any row of a batch wants is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Want {
    /// Nobody reads it.
    Drop,
    /// A model on the same device reads it.
    Device,
    /// It is read on the host: brought down once for the whole batch.
    Host,
}

/// Rows that run together. Those of one batch agree in the dtype and shape of every input.
pub struct Batch {
    /// `rows[r][i]` is input `i` (in the order of the signature) of row `r`.
    pub rows: Vec<Vec<Value>>,
    /// The use that is made of each output, in the order of the signature.
    pub wants: Vec<Want>,
    /// Set once the batch need not go on.
    pub stop: StopFlag,
}

impl Batch {
    /// A batch that nobody stops.
    pub fn new(rows: Vec<Vec<Value>>, wants: Vec<Want>) -> Self {
        Self { rows, wants, stop: StopFlag::default() }
    }
}

/// Bytes on the device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    pub weights: u64,
    /// The most that the values of one batch took at once, of all batches so far.
    pub batch: u64,
}

/// One loaded generation of a model on one device.
pub trait Runner: Send + Sync + 'static {
    /// Whether a batch may have more than one row, as far as the axes of the model's tensors allow it. That
    /// rows are computed as if each were alone is for whoever forms batches to know.
    fn joins(&self) -> bool;

    /// Gives an output whole from here on, as it was seen to have no batch axis; items are no longer joined.
    ///
    /// REQUIRES: the runner does not serve yet, so that an answer's shape never changes between two requests.
    fn give_whole(&self, _output: usize) {}

    /// What it takes of its device's memory, as far as it is known.
    fn memory(&self) -> Memory {
        Memory::default()
    }

    /// Has a batch fail from here on whose values take more at once, with an error that says so.
    fn limit_batch_memory(&self, _bytes: u64) {}

    /// Runs a batch and waits until the device is done, so that the time it takes is the device's.
    ///
    /// The answer has a row for each row, and in it a value for each output that is wanted (`None` for
    /// [`Want::Drop`]). An error is the whole batch's. Implementations may panic; the caller contains it.
    fn run(&self, batch: Batch) -> Result<Vec<Vec<Option<Value>>>, RunError>;

    /// The part of the model that a batch runs at this moment, in words for people: a node and its operator. `None`
    /// where no batch runs, or where it is not known. Another thread asks; it never waits for the batch.
    fn running(&self) -> Option<String> {
        None
    }

    /// Whether there is anything to gain by [`Runner::stage`].
    fn stages(&self) -> bool {
        false
    }

    /// Sends a batch's rows to the device, while other batches run there. As [`Runner::run`] it may fail or
    /// panic; then the batch is run as if it had never been staged.
    fn stage(self: Arc<Self>, _batch: Batch) -> Result<Box<dyn StagedBatch>, RunError> {
        Err(RunError::Failed("the model takes its batches as they run".into()))
    }
}

/// A batch whose rows are on the device. Dropping it frees them.
pub trait StagedBatch: Send {
    /// Runs the batch as [`Runner::run`] does.
    fn run(self: Box<Self>) -> Result<Vec<Vec<Option<Value>>>, RunError>;
}

/// A batch failed while it ran.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RunError {
    /// The rows cannot be run by this model (dtype, shape or values), which is the fault of what was sent.
    #[error("{0}")]
    Input(String),
    /// What was sent asks for a tensor that is larger than one may be.
    #[error("{0}")]
    TooLarge(String),
    /// There is no memory for what the batch would take.
    #[error("{reason}")]
    Memory {
        reason: String,
        /// It is more than the model may ever take, and not only more than is free now.
        for_good: bool,
    },
    /// An output does not have a row for each of the items that were run together (or it has not the one of an
    /// item that was run alone), so that it is not known which item has what.
    #[error(
        "output {name:?} has shape {shape:?} for {rows} rows: it has no batch axis there; \
         `batch = {{ axes = {{ {name:?} = false }} }}` of the model declares that"
    )]
    Rows { output: usize, name: String, shape: Vec<usize>, rows: usize },
    /// The batch was told to end before it was done.
    #[error("the run was given up: {0}")]
    Stopped(Stopped),
    /// The model or the device failed: node, operator, shapes.
    #[error("{0}")]
    Failed(String),
}
