//! How much memory this process may take.

/// The bytes of memory that this process may take: the machine's, or what its control group allows. `None` where the
/// system does not say.
pub fn process_limit() -> Option<u64> {
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
