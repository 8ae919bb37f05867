//! Which devices there are, and the Burn device behind each.

#[cfg(any(feature = "cuda", feature = "vulkan"))]
mod gpu;
#[cfg(any(test, feature = "cuda"))]
mod nvidia;

#[cfg(any(feature = "cuda", feature = "vulkan"))]
pub(super) use gpu::{Gpu, gpu};

use crate::memory::process_limit;
use crate::plan::{Capacity, DeviceFacts, DeviceId};

/// The devices of this machine, as the plan is told. Looking does not take memory on a device.
pub fn capacity() -> Capacity {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let name = cpu_name().unwrap_or_else(|| "CPU".to_owned());
    let plural = if threads == 1 { "" } else { "s" };
    let cpu = DeviceFacts {
        id: DeviceId::Cpu,
        name: format!("{name}, {threads} thread{plural}"),
        memory: process_limit(),
    };
    let (cuda, no_cuda) = cuda_devices();
    Capacity { devices: std::iter::once(cpu).chain(cuda).collect(), no_cuda }
}

/// The CPU's name, where the system tells it.
fn cpu_name() -> Option<String> {
    let info = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = info.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// Bytes that one tensor of a running model may take: a quarter of the memory, so that a model whose shapes
/// explode fails alone.
pub(super) fn max_tensor_bytes(id: DeviceId) -> usize {
    let total = match id {
        DeviceId::Cpu => process_limit(),
        DeviceId::Cuda(_) => capacity().devices.into_iter().find(|d| d.id == id).and_then(|d| d.memory),
    };
    usize::try_from(total.unwrap_or(8 << 30) / 4).unwrap_or(usize::MAX)
}

#[cfg(not(any(feature = "cuda", feature = "vulkan")))]
fn cuda_devices() -> (Vec<DeviceFacts>, Option<String>) {
    (Vec::new(), Some("this rserve was built without the `cuda` feature".to_owned()))
}

/// Vulkan stands in for CUDA where tests ask for it.
#[cfg(all(feature = "vulkan", not(feature = "cuda")))]
fn cuda_devices() -> (Vec<DeviceFacts>, Option<String>) {
    if std::env::var_os("RSERVE_VULKAN").is_none() {
        return (Vec::new(), Some("RSERVE_VULKAN is not set".to_owned()));
    }
    let name = "Vulkan in the place of CUDA".to_owned();
    (vec![DeviceFacts { id: DeviceId::Cuda(0), name, memory: process_limit() }], None)
}

#[cfg(feature = "cuda")]
fn cuda_devices() -> (Vec<DeviceFacts>, Option<String>) {
    let (devices, none) = nvidia::devices();
    if devices.is_empty() || cubecl::cuda::install::cuda_path().is_some() {
        return (devices, none);
    }
    let why =
        "there is a GPU, but no CUDA toolkit to compile kernels with; set CUDA_PATH to where it is installed";
    (Vec::new(), Some(why.to_owned()))
}
