//! `[server]` of all files together: what is left out, and what does not go together. Pure.

use super::memory::Size;
use super::whole::{agree, beside};
use super::{Address, Capacity, DeviceId, Server};
use crate::diagnostic::{At, Diagnostic, Report};
use crate::spec::Spec;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

/// The settings of the server, defaults filled in.
pub fn server(specs: &[Spec], report: &mut Report) -> Server {
    let servers = || specs.iter().filter_map(|s| s.server.as_ref());
    let value = |at: Option<&At<Duration>>, default| at.map_or(default, |at| at.value);
    let listen = agree("listen", servers().map(|s| s.listen.as_ref()), report);
    let admin = agree("admin", servers().map(|s| s.admin.as_ref()), report);
    let max_body = agree("max_body", servers().map(|s| s.max_body.as_ref()), report);
    let drain = agree("drain", servers().map(|s| s.drain.as_ref()), report);
    let grace = agree("grace", servers().map(|s| s.grace.as_ref()), report);
    let keep_alive = agree("keep_alive", servers().map(|s| s.keep_alive.as_ref()), report);
    let memory = agree("memory", servers().map(|s| s.memory.as_ref()), report);
    let token_files: Vec<At<PathBuf>> = specs.iter().filter_map(token_file).collect();
    agree("token_file", token_files.iter().map(Some), report);
    Server {
        listen: listen.map_or_else(|| loopback(8080), |l| l.value.clone()),
        admin: admin.map_or_else(|| Some(loopback(8081)), |a| a.value.clone()),
        max_body: max_body.map_or(16 << 20, |m| usize::try_from(m.value).unwrap_or(usize::MAX)),
        drain: value(drain, Duration::from_secs(30)),
        grace: value(grace, Duration::from_secs(5)),
        keep_alive: value(keep_alive, Duration::from_secs(75)),
        token_file: token_files.first().map(|file| file.value.clone()),
        memory: memory.map(|memory| memory.value),
    }
}

/// Warns where the process may take more memory than there is.
pub fn memory(specs: &[Spec], capacity: &Capacity, report: &mut Report) {
    let given = specs.iter().find_map(|spec| spec.server.as_ref()?.memory.as_ref());
    let machine =
        capacity.devices.iter().find(|device| device.id == DeviceId::Cpu).and_then(|cpu| cpu.memory);
    if let (Some(given), Some(machine)) = (given, machine)
        && given.value > machine
    {
        let has = Size(machine);
        report.push(
            Diagnostic::warning(format!("`memory` is more than the {has} that this process may have"))
                .at(&given.place, "")
                .note("a process that takes more than it may have is killed by the system")
                .help("leave `memory` out to have most of it, or give less"),
        );
    }
}

fn loopback(port: u16) -> Address {
    Address { host: Ipv4Addr::LOCALHOST.to_string(), port }
}

/// Relative to the folder of the file that names it.
fn token_file(spec: &Spec) -> Option<At<PathBuf>> {
    let path = spec.server.as_ref()?.token_file.as_ref()?;
    Some(path.with(beside(spec, &path.value)))
}
