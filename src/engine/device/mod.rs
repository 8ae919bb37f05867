//! Which devices there are, and the Burn device behind each.

#[cfg(any(feature = "cuda", feature = "vulkan"))]
mod gpu;
#[cfg(any(test, feature = "cuda"))]
mod nvidia;

#[cfg(any(feature = "cuda", feature = "vulkan"))]
pub(super) use gpu::{Gpu, gpu};

use crate::plan::{Capacity, DeviceFacts, DeviceId};

/// The devices of this machine, as the plan is told. Looking does not take memory on a device.
pub fn capacity() -> Capacity {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let name = cpu_name().unwrap_or_else(|| "CPU".to_owned());
    let plural = if threads == 1 { "" } else { "s" };
    let cpu = DeviceFacts {
        id: DeviceId::Cpu,
        name: format!("{name}, {threads} thread{plural}"),
        memory: memory(),
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

/// Bytes of memory that this process may take: the machine's, or what its control group allows.
fn memory() -> Option<u64> {
    let info = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = info.lines().find(|line| line.starts_with("MemTotal:"))?;
    let kilobytes: u64 = line.split_ascii_whitespace().nth(1)?.parse().ok()?;
    let machine = kilobytes * 1024;
    let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let limit = |file: String| std::fs::read_to_string(file).ok()?.trim().parse::<u64>().ok();
    Some(limit_files(&groups).into_iter().filter_map(limit).fold(machine, u64::min))
}

/// The files that may hold a limit of this process's control group, or of one that it lies in. `groups` is
/// what `/proc/self/cgroup` says: lines of `hierarchy:controllers:path`.
fn limit_files(groups: &str) -> Vec<String> {
    let mut files = vec![];
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let (root, name) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max"),
            list if list.split(',').any(|c| c == "memory") => {
                ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
            }
            _ => continue,
        };
        let mut path = path.trim_end_matches('/');
        loop {
            files.push(format!("{root}{path}/{name}"));
            let Some(end) = path.rfind('/') else { break };
            path = &path[..end];
        }
    }
    files
}

/// Bytes that one tensor of a running model may take: a quarter of the memory, so that a model whose shapes
/// explode fails alone.
pub(super) fn max_tensor_bytes(id: DeviceId) -> usize {
    let total = match id {
        DeviceId::Cpu => memory(),
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
    (vec![DeviceFacts { id: DeviceId::Cuda(0), name, memory: memory() }], None)
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

#[cfg(test)]
mod tests {
    use super::limit_files;

    #[test]
    fn limits_of_all_groups_around_are_looked_for() {
        let v2 = limit_files("0::/user.slice/run-1.scope\n");
        assert_eq!(
            v2,
            [
                "/sys/fs/cgroup/user.slice/run-1.scope/memory.max",
                "/sys/fs/cgroup/user.slice/memory.max",
                "/sys/fs/cgroup/memory.max",
            ]
        );
        let v1 = limit_files("5:cpu,cpuacct:/a\n4:memory:/docker/f00\nnonsense\n");
        assert_eq!(v1[0], "/sys/fs/cgroup/memory/docker/f00/memory.limit_in_bytes");
        assert_eq!(limit_files("0::/\n"), ["/sys/fs/cgroup/memory.max"]);
    }
}
