//! What loads models: `app` hands in the engine.

use crate::diagnostic::shortened;
use crate::plan::{Declaration, DeviceId, VersionFacts};
use crate::scheduler::Runner;
use crate::store::{Format, Opaque, VersionFiles};
use std::sync::Arc;

/// Makes a model file into something that runs. `app` hands in the engine.
pub trait Loader: Send + Sync + 'static {
    /// Reads what the files declare, or says every reason why they cannot be run, one a line. Needs no device.
    /// The batch axes are decided with what the pipeline file declares of them.
    fn open(&self, files: VersionFiles, declaration: &Declaration) -> Result<Opened, OpenError>;

    /// How the files are read.
    fn format(&self) -> &dyn Format {
        &Opaque
    }
}

/// Why a model cannot be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenError {
    /// The reasons, one a line.
    pub reason: String,
    /// Whether it follows from the files alone, so that they will always be refused.
    pub lasting: bool,
}

impl OpenError {
    /// An error with these reasons; of many the first are kept.
    pub fn new(reasons: &str, lasting: bool) -> Self {
        Self { reason: shortened(reasons).into_owned(), lasting }
    }
}

impl From<String> for OpenError {
    /// A reason that may be another at another time.
    fn from(reason: String) -> Self {
        Self::new(&reason, false)
    }
}

/// Why a model cannot be put on a device: the reasons, one a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlaceError {
    /// There is no memory for it, as long as others have what they have.
    Memory(String),
    /// It cannot be run there.
    Failed(String),
}

impl From<String> for PlaceError {
    fn from(reason: String) -> Self {
        Self::Failed(reason)
    }
}

impl From<&str> for PlaceError {
    fn from(reason: &str) -> Self {
        Self::Failed(reason.to_owned())
    }
}

/// A model that was read and is on no device yet.
pub struct Opened {
    pub facts: VersionFacts,
    pub model: Box<dyn Loadable>,
}

/// The model itself. Its weights are in memory once, however many of it there are.
pub trait Loadable: Send {
    fn another(&self) -> Box<dyn Loadable>;

    /// Blocks until the model is on the device.
    fn load(self: Box<Self>, device: DeviceId) -> Result<Arc<dyn Runner>, PlaceError>;
}
