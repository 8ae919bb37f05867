//! `[server]` of all files together: what is left out, and what does not go together. Pure.

use super::memory::Size;
use super::whole::{agree, beside};
use super::{Capacity, DeviceId, Server};
use crate::diagnostic::{At, Diagnostic, Report};
use crate::spec::{self, Spec};
use std::path::PathBuf;

/// The settings of the server, defaults filled in.
pub fn server(specs: &[Spec], report: &mut Report) -> Server {
    let usual = Server::default();
    let token_files: Vec<At<PathBuf>> = specs.iter().filter_map(token_file).collect();
    let mut one = Settings { specs, report };
    let server = Server {
        listen: one.of("listen", |s| s.listen.as_ref()).unwrap_or(usual.listen),
        admin: one.of("admin", |s| s.admin.as_ref()).unwrap_or(usual.admin),
        max_body: one
            .of("max_body", |s| s.max_body.as_ref())
            .map_or(usual.max_body, |bytes| usize::try_from(bytes).unwrap_or(usize::MAX)),
        drain: one.of("drain", |s| s.drain.as_ref()).unwrap_or(usual.drain),
        grace: one.of("grace", |s| s.grace.as_ref()).unwrap_or(usual.grace),
        keep_alive: one.of("keep_alive", |s| s.keep_alive.as_ref()).unwrap_or(usual.keep_alive),
        memory: one.of("memory", |s| s.memory.as_ref()),
        health: one.of("health", |s| s.health.as_ref()),
        per_client: one.of("per_client", |s| s.per_client.as_ref()).unwrap_or(usual.per_client),
        proxies: one.of("proxies", |s| s.proxies.as_ref()).unwrap_or_default(),
        admin_hosts: one.of("admin_hosts", |s| s.admin_hosts.as_ref()).unwrap_or_default(),
        insecure: one.of("insecure", |s| s.insecure.as_ref()).unwrap_or_default(),
        token_file: agree("token_file", token_files.iter().map(Some), one.report)
            .map(|file| file.value.clone()),
    };
    admin_is_guarded(specs, &server, report);
    health_is_apart(specs, &server, report);
    server
}

/// Settings that all files must agree on.
struct Settings<'a, 'r> {
    specs: &'a [Spec],
    report: &'r mut Report,
}

impl Settings<'_, '_> {
    fn of<T: Clone + PartialEq>(
        &mut self,
        key: &str,
        setting: impl Fn(&spec::Server) -> Option<&At<T>>,
    ) -> Option<T> {
        let servers = self.specs.iter().filter_map(|spec| spec.server.as_ref());
        agree(key, servers.map(setting), self.report).map(|given| given.value.clone())
    }
}

/// Whoever reaches the admin listener can load and unload models.
fn admin_is_guarded(specs: &[Spec], server: &Server, report: &mut Report) {
    let Some(admin) = &server.admin else { return };
    let given = specs.iter().find_map(|spec| spec.server.as_ref()?.admin.as_ref());
    if let Some(given) = given
        && !admin.is_loopback()
        && server.token_file.is_none()
        && !server.insecure
    {
        report.push(
            Diagnostic::error("the admin listener can be reached from other machines, and asks for no token")
                .at(&given.place, "whoever reaches it can load and unload models")
                .help("write a long random token into a file, and name it: `token_file = \"admin.token\"`")
                .help("or keep it to this machine: `admin = \"127.0.0.1:8081\"`")
                .help("or say that this is what you want: `insecure = true`"),
        );
    }
}

fn health_is_apart(specs: &[Spec], server: &Server, report: &mut Report) {
    let given = specs.iter().find_map(|spec| spec.server.as_ref()?.health.as_ref());
    let Some(given) = given.filter(|health| health.value.port != 0) else { return };
    for (key, other) in [("listen", Some(&server.listen)), ("admin", server.admin.as_ref())] {
        if other == Some(&given.value) {
            report.push(
                Diagnostic::error(format!("`health` and `{key}` are the same address"))
                    .at(&given.place, "")
                    .help("give health another port, or leave it out: it is answered beside the routes too"),
            );
        }
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

/// What models may take where the process may take less than the machine has.
pub fn within_memory(server: &Server, capacity: &Capacity) -> Capacity {
    let mut capacity = capacity.clone();
    let cpu = capacity.devices.iter_mut().filter(|device| device.id == DeviceId::Cpu);
    for (device, given) in cpu.zip(server.memory) {
        device.memory = Some(device.memory.map_or(given, |all| all.min(given)));
    }
    capacity
}

/// Relative to the folder of the file that names it.
fn token_file(spec: &Spec) -> Option<At<PathBuf>> {
    let path = spec.server.as_ref()?.token_file.as_ref()?;
    Some(path.with(beside(spec, &path.value)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::DeviceFacts;

    #[test]
    fn models_share_what_the_process_may_take() {
        let facts = |id, memory| DeviceFacts { id, name: String::new(), memory };
        let devices = vec![facts(DeviceId::Cpu, Some(8)), facts(DeviceId::Cuda(0), Some(8))];
        let capacity = Capacity { devices, no_cuda: None };
        let within = |memory| {
            let within = within_memory(&Server { memory, ..Server::default() }, &capacity);
            within.devices.iter().map(|device| device.memory).collect::<Vec<_>>()
        };
        assert_eq!(within(Some(3)), [Some(3), Some(8)]);
        assert_eq!(within(Some(9)), [Some(8), Some(8)]);
        assert_eq!(within(None), [Some(8), Some(8)]);
    }
}
