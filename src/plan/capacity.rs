//! What the machine has, as the plan is told.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;
use std::str::FromStr;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DeviceId {
    Cpu,
    Cuda(usize),
}

/// A text that is the name of no device.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no device")]
pub struct NotADevice(String);

impl FromStr for DeviceId {
    type Err = NotADevice;

    fn from_str(text: &str) -> Result<Self, NotADevice> {
        let index = || text.strip_prefix("cuda:")?.parse().ok();
        match text {
            "cpu" => Ok(Self::Cpu),
            _ => index().map(Self::Cuda).ok_or_else(|| NotADevice(text.to_owned())),
        }
    }
}

impl Serialize for DeviceId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for DeviceId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
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
