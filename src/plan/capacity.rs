//! What the machine has, as the plan is told.

use std::fmt;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DeviceId {
    Cpu,
    Cuda(usize),
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(index) => write!(f, "cuda:{index}"),
        }
    }
}

#[derive(Clone, Debug)]
pub struct DeviceFacts {
    pub id: DeviceId,
    /// "AMD EPYC, 2 threads" or the GPU's name.
    pub name: String,
    /// Bytes of memory that models may take, where it is known.
    pub memory: Option<u64>,
}

/// Every device of the machine: the CPU first, then those of CUDA.
#[derive(Clone, Debug)]
pub struct Capacity {
    pub devices: Vec<DeviceFacts>,
    /// Why there is no CUDA device, where there is none: "this rserve was built without the `cuda` feature".
    pub no_cuda: Option<String>,
}
