//! `run`: binds, loads, serves, drains.

use super::Trouble;
use super::banner::Banner;
use super::compile::Compiled;
use super::host::{Hosted, Shared};
use super::loader::EngineLoader;
use super::watching::Watching;
use crate::ingress::{Admin, Limits, Listener, Metrics, Routes, Server, bind};
use crate::lifecycle::{Failure, Lifecycle};
use crate::plan::Plan;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// What the command line says in the place of the file.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    pub listen: Option<SocketAddr>,
    /// `Some(None)` is "off".
    pub admin: Option<Option<SocketAddr>>,
}

/// Serves until SIGTERM or SIGINT. `announce` is told once what is served.
pub fn serve(compiled: Compiled, overrides: &Overrides, announce: impl FnOnce(&str)) -> Result<(), Trouble> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("rserve-http")
        .build()
        .map_err(|e| Trouble::CouldNotRun(format!("cannot start threads: {e}")))?;
    let result = runtime.block_on(serving(compiled, overrides, announce));
    // A load that still runs is not waited for.
    runtime.shutdown_background();
    result
}

async fn serving(
    compiled: Compiled,
    overrides: &Overrides,
    announce: impl FnOnce(&str),
) -> Result<(), Trouble> {
    let begun = Instant::now();
    allow_open_files();
    let mut signals = Signals::new()?;
    let plan = &compiled.plan;
    let limits = limits(plan);

    // Bound before anything is loaded, so that a taken port is known at once.
    let listener = listen(overrides.listen.unwrap_or(plan.server.listen), &limits, "--listen").await?;
    let admin_address = overrides.admin.unwrap_or(plan.server.admin);
    let admin_listener = match admin_address {
        Some(address) => Some(listen(address, &limits, "--admin").await?),
        None => None,
    };
    let address = |l: &Listener| l.address().map_err(|e| Trouble::CouldNotRun(e.to_string()));
    let listen = address(&listener)?;
    let admin = admin_listener.as_ref().map(address).transpose()?;

    let lifecycle = Arc::new(Lifecycle::new(Arc::new(EngineLoader)));
    let hosted = Hosted::new(plan.clone(), compiled.capacity.clone(), lifecycle.clone());
    let host = Arc::new(Shared(hosted.clone()));
    let metrics = Arc::new(Metrics::default());
    let routes = Routes::new(&plan.pipelines, &metrics).map_err(Trouble::Given)?;
    let server = Server::new(host.clone(), routes, limits, metrics.clone());
    let (stop, stopped) = watch::channel(false);
    // Admin shows how the drain goes, so it is not told to stop.
    let (_admin_stop, admin_stopped) = watch::channel(false);
    let serving = tokio::spawn(listener.serve(server.clone(), stopped.clone()));
    if let Some(admin) = admin_listener {
        tokio::spawn(admin.serve(Admin::new(host, metrics), admin_stopped));
    }
    tracing::info!(%listen, models = plan.models.len(), "listening; loading models");

    tokio::select! {
        loaded = load(lifecycle.clone(), plan.clone()) => loaded?,
        () = signals.next() => return Ok(()),
    }
    let cells = lifecycle.cells(plan).map_err(|e| Trouble::CouldNotRun(e.to_string()))?;
    hosted.begin(cells);
    let models = lifecycle.status();
    let banner = Banner { compiled: &compiled, models: &models, listen, admin, took: begun.elapsed() };
    announce(&banner.text());
    let watching = Watching::begin(&compiled, lifecycle);

    signals.next().await;
    drop(watching);
    server.drain();
    drain(serving, stop, plan, signals).await;
    Ok(())
}

/// As many as the system lets us: each connection is one, and what a shell sets (often 1024) is a caution
/// for programs of another age.
fn allow_open_files() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut files = getrlimit(Resource::Nofile);
    files.current = files.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, files) {
        tracing::debug!(%error, "the limit of open files stays as it is");
    }
}

fn limits(plan: &Plan) -> Limits {
    let usual = Limits::default();
    Limits {
        max_body: plan.server.max_body,
        // A few of the largest bodies must always find room.
        bodies: usual.bodies.max(plan.server.max_body.saturating_mul(4)),
        last_call: usual.last_call.min(plan.server.drain / 4),
        ..usual
    }
}

async fn listen(address: SocketAddr, limits: &Limits, flag: &str) -> Result<Listener, Trouble> {
    bind(address, limits).await.map_err(|error| {
        let hint = match error.kind() {
            std::io::ErrorKind::AddrInUse => {
                format!("; something listens there already, `{flag}` chooses another")
            }
            std::io::ErrorKind::PermissionDenied => format!("; `{flag}` chooses another port"),
            _ => String::new(),
        };
        Trouble::CouldNotRun(format!("cannot listen on {address}: {error}{hint}"))
    })
}

/// Brings every model up. A model of which nothing serves then keeps the server from starting.
async fn load(lifecycle: Arc<Lifecycle>, plan: Arc<Plan>) -> Result<(), Trouble> {
    tokio::task::spawn_blocking(move || bring_up(&lifecycle, &plan))
        .await
        .unwrap_or_else(|e| Err(Trouble::CouldNotRun(e.to_string())))
}

pub fn bring_up(lifecycle: &Lifecycle, plan: &Plan) -> Result<(), Trouble> {
    let failures =
        lifecycle.apply(plan).map_err(|e| Trouble::CouldNotRun(format!("cannot open a device: {e}")))?;
    let without: Vec<String> =
        lifecycle.status().into_iter().filter(|m| m.serving.is_empty()).map(|m| m.name).collect();
    if without.is_empty() {
        return Ok(());
    }
    let line = |failure: &Failure| {
        let version = failure.version.map_or(String::new(), |v| format!(", version {v}"));
        let reason = failure.reason.replace('\n', "\n    ");
        format!("\n  model `{}`{version}: {reason}", failure.model)
    };
    let lines: String = failures.iter().filter(|f| without.contains(&f.model)).map(line).collect();
    Err(Trouble::CouldNotRun(format!("cannot load every model{lines}")))
}

/// Lets what is in flight finish, for as long as the file allows. A second signal ends it at once.
async fn drain(serving: JoinHandle<()>, stop: watch::Sender<bool>, plan: &Plan, mut signals: Signals) {
    let allowed = plan.server.drain;
    tracing::info!(seconds = allowed.as_secs_f64(), "stopping; finishing the requests in flight");
    let _ = stop.send(true);
    tokio::select! {
        ended = timeout(allowed, serving) => match ended {
            Ok(_) => tracing::info!("stopped"),
            Err(_) => tracing::warn!("stopped; the requests that were not finished in time are cut off"),
        },
        () = signals.next() => exit_at_once(),
    }
}

#[expect(clippy::disallowed_methods, reason = "the second signal asks not to wait for what could be dropped")]
pub fn exit_at_once() {
    std::process::exit(130);
}

pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub fn new() -> Result<Self, Trouble> {
        let on =
            |kind| signal(kind).map_err(|e| Trouble::CouldNotRun(format!("cannot wait for signals: {e}")));
        Ok(Self { terminate: on(SignalKind::terminate())?, interrupt: on(SignalKind::interrupt())? })
    }

    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
