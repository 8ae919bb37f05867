//! What a person wants to know at the start: routes with a curl line that works, models, devices, admin.

use super::compile::Compiled;
use crate::ingress::curl;
use crate::lifecycle::{GenerationStatus, ModelStatus, State};
use crate::plan::{DecodePlan, DeviceId, Pipeline};
use std::ffi::OsStr;
use std::fmt::Write;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

pub struct Banner<'a> {
    pub compiled: &'a Compiled,
    pub models: &'a [ModelStatus],
    pub listen: SocketAddr,
    pub admin: Option<SocketAddr>,
    /// Where health is answered by itself.
    pub health: Option<SocketAddr>,
    pub took: Duration,
}

impl Banner<'_> {
    pub fn text(&self) -> String {
        let plan = &self.compiled.plan;
        let origin = format!("http://{}", reachable(self.listen));
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "rserve {} serves {} on {origin} (ready after {})",
            env!("CARGO_PKG_VERSION"),
            counted(plan.pipelines.len(), "pipeline"),
            seconds(self.took),
        );
        for pipeline in &plan.pipelines {
            let store = pipeline.models.first().and_then(|m| plan.models.get(*m)).map(|m| m.store.as_path());
            let line = curl(pipeline, &origin, &|decode| store.and_then(|s| example(s, pipeline, decode)));
            let _ = writeln!(text, "\n{}\n  {line}", pipeline.name);
            for encode in pipeline.online.encodes.iter().skip(1) {
                let _ =
                    writeln!(text, "  ?encode={} answers with {}", encode.name, encode.encode.media_type());
            }
        }
        text.push('\n');
        text.push_str(&table(&self.rows()));
        text.push('\n');
        for device in &plan.devices {
            let facts = self.compiled.capacity.devices.iter().find(|f| f.id == device.id);
            let name = facts.map_or("", |f| f.name.as_str());
            let _ = writeln!(text, "{}: {name}", device.id);
        }
        if let Some(why) = self.why_cpu() {
            let _ = writeln!(text, "no GPU is used: {why}");
        }
        if let Some(health) = self.health {
            let _ = writeln!(text, "health: http://{}/healthz/ready", reachable(health));
        }
        match self.admin {
            Some(admin) => {
                let _ = writeln!(text, "admin: http://{} (/status, /metrics, /reload)", reachable(admin));
            }
            None => text.push_str("admin: off\n"),
        }
        text
    }

    fn rows(&self) -> Vec<[String; 6]> {
        let head = ["model", "version", "share", "device", "batch", "load"].map(str::to_owned);
        let models = self.compiled.plan.models.iter().map(|model| {
            let status = self.models.iter().find(|s| s.name == model.name);
            let serving = status.map_or(&[][..], |s| s.serving.as_slice());
            let versions: Vec<String> = serving.iter().map(u64::to_string).collect();
            let ready = |g: &&GenerationStatus| g.state == State::Ready;
            let load: Duration = status
                .iter()
                .flat_map(|s| s.generations.iter().filter(ready))
                .map(|g| g.load + g.warm_up)
                .sum();
            let devices: Vec<String> = model.devices.iter().map(DeviceId::to_string).collect();
            [
                model.name.clone(),
                if versions.is_empty() { "none".to_owned() } else { versions.join(", ") },
                if model.share > 0.0 { format!("{:.2}", model.share) } else { "-".to_owned() },
                devices.join(", "),
                model.batch.max.to_string(),
                seconds(load),
            ]
        });
        std::iter::once(head).chain(models).collect()
    }

    /// Where the file leaves the choice to us and there is nothing better than the CPU.
    fn why_cpu(&self) -> Option<&str> {
        let all_cpu = self.compiled.plan.devices.iter().all(|d| d.id == DeviceId::Cpu);
        if all_cpu && self.compiled.device_is_auto { self.compiled.capacity.no_cuda.as_deref() } else { None }
    }
}

/// An address that a client on this machine can connect to.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

fn table(rows: &[[String; 6]]) -> String {
    let width = |column: usize| rows.iter().map(|r| r[column].len()).max().unwrap_or(0);
    let widths: [usize; 6] = std::array::from_fn(width);
    let mut text = String::new();
    for row in rows {
        let cells: Vec<String> = row.iter().zip(widths).map(|(cell, w)| format!("{cell:w$}")).collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

pub fn counted(n: usize, noun: &str) -> String {
    if n == 1 { format!("1 {noun}") } else { format!("{n} {noun}s") }
}

fn seconds(took: Duration) -> String {
    format!("{:.2} s", took.as_secs_f64())
}

/// A file that the decode takes, from the examples that are shipped beside a store: in
/// `<store>/../images/<folder>/`, where the pipeline is called after the folder.
fn example(store: &Path, pipeline: &Pipeline, decode: &DecodePlan) -> Option<PathBuf> {
    let images = store.parent()?.join("images");
    let folders = fs::read_dir(images).ok()?.filter_map(Result::ok).map(|entry| entry.path());
    let called_after = |folder: &PathBuf| {
        folder.file_name().and_then(OsStr::to_str).is_some_and(|name| pipeline.name.starts_with(name))
    };
    let folder = folders.filter(called_after).max_by_key(|f| f.as_os_str().len())?;
    let files = fs::read_dir(folder).ok()?.filter_map(Result::ok).map(|entry| entry.path());
    let taken = |file: &PathBuf| {
        let extension = file.extension().and_then(OsStr::to_str).unwrap_or("").to_ascii_lowercase();
        decode.decode.extensions().contains(&extension.as_str())
    };
    files.filter(taken).min()
}
