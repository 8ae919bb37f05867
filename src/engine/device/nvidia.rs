//! The CUDA devices, found without CUDA: asking its library would panic where there is no driver, and take
//! memory on every device where there is one.

use crate::plan::{DeviceFacts, DeviceId};
use std::path::Path;
use std::process::Command;

#[cfg_attr(not(feature = "cuda"), expect(dead_code, reason = "without CUDA only what reads text is tried"))]
/// The devices that this process may see, or why there is none.
pub fn devices() -> (Vec<DeviceFacts>, Option<String>) {
    let mut names = names(Path::new("/proc/driver/nvidia/gpus"));
    if names.is_empty() {
        // In some containers the driver's folder is hidden, and its devices are there all the same.
        names = vec!["NVIDIA GPU".to_owned(); nodes(Path::new("/dev"))];
    }
    if names.is_empty() {
        return (Vec::new(), Some("no NVIDIA driver, or no GPU behind it".to_owned()));
    }
    let memory = memory();
    let all = names.into_iter().enumerate().map(|(i, name)| (name, memory.get(i).copied().flatten()));
    let all: Vec<(String, Option<u64>)> = all.collect();
    let visible = std::env::var("CUDA_VISIBLE_DEVICES").ok();
    let devices: Vec<DeviceFacts> = visible_indices(visible.as_deref(), all.len())
        .into_iter()
        .filter_map(|i| all.get(i).cloned())
        .enumerate()
        .map(|(index, (name, memory))| DeviceFacts { id: DeviceId::Cuda(index), name, memory })
        .collect();
    let none = devices.is_empty().then(|| "CUDA_VISIBLE_DEVICES hides every GPU".to_owned());
    (devices, none)
}

/// The names of devices by bus address, as the driver's folder lists them.
fn names(folder: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut folders: Vec<_> = entries.flatten().map(|e| e.path()).collect();
    folders.sort();
    let name = |folder: &std::path::PathBuf| {
        let information = std::fs::read_to_string(folder.join("information")).unwrap_or_default();
        let model = information.lines().find_map(|line| line.strip_prefix("Model:"));
        model.map_or_else(|| "NVIDIA GPU".to_owned(), |model| model.trim().to_owned())
    };
    folders.iter().map(name).collect()
}

/// How many GPUs have a device file: `nvidia0`, `nvidia1` and so on.
fn nodes(folder: &Path) -> usize {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    names.filter_map(|name| name.strip_prefix("nvidia")?.parse::<u32>().ok()).count()
}

/// Bytes of each, where the driver's own tool is there to tell.
fn memory() -> Vec<Option<u64>> {
    let query = ["--query-gpu=memory.total", "--format=csv,noheader,nounits"];
    match Command::new("nvidia-smi").args(query).output() {
        Ok(output) if output.status.success() => mebibytes(&String::from_utf8_lossy(&output.stdout)),
        _ => Vec::new(),
    }
}

fn mebibytes(lines: &str) -> Vec<Option<u64>> {
    lines.lines().map(|line| line.trim().parse::<u64>().ok().map(|n| n << 20)).collect()
}

/// The variable lists indices; it ends at the first that is none, and devices named by UUID are taken in
/// their order.
fn visible_indices(variable: Option<&str>, count: usize) -> Vec<usize> {
    let Some(list) = variable else { return (0..count).collect() };
    let named = list.split(',').map(str::trim).enumerate();
    named
        .map_while(|(place, name)| {
            let index = if name.starts_with("GPU-") { Some(place) } else { name.parse().ok() };
            index.filter(|i| *i < count)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_hides_and_orders() {
        assert_eq!(visible_indices(None, 2), [0, 1]);
        assert_eq!(visible_indices(Some("1,0"), 2), [1, 0]);
        assert_eq!(visible_indices(Some("0,-1,1"), 2), [0]);
        assert_eq!(visible_indices(Some(""), 2), [0usize; 0]);
        assert_eq!(visible_indices(Some("GPU-4f, GPU-51"), 2), [0, 1]);
        assert_eq!(visible_indices(Some("7"), 2), [0usize; 0]);
    }

    #[test]
    fn device_files_are_counted_where_the_drivers_folder_is_hidden() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm", "nvidia-caps", "null"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        assert_eq!(nodes(folder.path()), 2);
        assert_eq!(nodes(&folder.path().join("absent")), 0);
        assert!(names(&folder.path().join("absent")).is_empty());
    }

    #[test]
    fn memory_is_read_in_mebibytes() {
        assert_eq!(mebibytes("143771\n[N/A]\n"), [Some(143_771 << 20), None]);
    }
}
