//! `run`: binds, loads, serves, drains.

use super::allocator::give_back_own;
use super::banner::Banner;
use super::compile::{compile_with, whole_memory};
use super::handler::Loading;
use super::host::{HostOf, reload_all};
use super::loader::EngineLoader;
use super::notify::{READY, STOPPING, notify};
use super::running::{Running, admin_hosts, client_rules};
use super::signals::{Signals, Stop, exit_at_once, hang_up};
use super::token::token;
use super::watching::Watching;
use super::{Listen, Overrides, StateFolder, Trouble, memory, watchdog};
use crate::diagnostic::Report;
use crate::ingress::{
    Admin, DynamicConfig, Handler, Health, Limits, Listener, Metrics, Routes, Server, bind,
};
use crate::lifecycle::{Lifecycle, Precautions};
use crate::plan::{self, Address, Plan};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::signal::unix::Signal;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Compiles the files at `paths` and serves them until SIGTERM or SIGINT. They are compiled again when they change.
///
/// `show` is told what is odd about them, `announce` once what is served.
pub fn serve(
    paths: &[PathBuf],
    overrides: &Overrides,
    state: &StateFolder,
    show: impl FnOnce(&Report),
    announce: impl FnOnce(&str),
) -> Result<(), Trouble> {
    let precautions = Precautions { notes: state.notes()?, ..Precautions::within(&whole_memory()) };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("rserve-http")
        .on_thread_park(give_back_own)
        .build()
        .map_err(|e| Trouble::CouldNotRun(format!("cannot start threads: {e}")))?;
    let result = runtime.block_on(serving(paths, overrides, &precautions, show, announce));
    // A load that still runs is not waited for.
    precautions.notes.close();
    runtime.shutdown_background();
    result
}

async fn serving(
    paths: &[PathBuf],
    overrides: &Overrides,
    precautions: &Precautions,
    show: impl FnOnce(&Report),
    announce: impl FnOnce(&str),
) -> Result<(), Trouble> {
    let begun = Instant::now();
    let files = allow_open_files();
    let mut signals = Signals::new()?;
    let compiled = {
        let (paths, precautions) = (paths.to_vec(), precautions.clone());
        tokio::task::spawn_blocking(move || compile_with(&paths, &precautions))
    };
    let compiled = tokio::select! {
        compiled = compiled => compiled.unwrap_or_else(|e| Err(Trouble::CouldNotRun(e.to_string())))?,
        _ = signals.next() => return Ok(()),
    };
    show(&compiled.report);
    let plan = &compiled.plan.clone();
    let AllLimits { routes: limits, admin: admin_limits, health: health_limits } =
        limits(&plan.server, files);

    // Bound before anything is loaded, so that a taken port is known at once.
    let listener =
        listen(overrides.listen.as_ref().unwrap_or(&plan.server.listen), &limits, "--listen").await?;
    guarded(overrides, plan)?;
    let admin_listener = match overrides.admin.or(plan.server.admin.as_ref()) {
        Some(address) => Some(listen(&address, &admin_limits, "--admin").await?),
        None => None,
    };
    let address = |l: &Listener| l.address().map_err(|e| Trouble::CouldNotRun(e.to_string()));
    let listen = address(&listener)?;
    let admin = admin_listener.as_ref().map(address).transpose()?;

    let memory = memory::budget(plan);
    let loader = EngineLoader { budget: memory.clone() };
    let lifecycle = Arc::new(
        Lifecycle::new(Arc::new(loader))
            .with_precautions(Precautions { memory: memory.clone(), ..precautions.clone() }),
    );
    let metrics = Arc::new(Metrics::default());
    let loading = plan.pipelines.iter().map(|p| Arc::new(Loading(p.clone())) as Arc<dyn Handler>);
    let routes = Routes::new(loading.collect(), &metrics).map_err(Trouble::Given)?;
    let config = DynamicConfig::new(routes, &limits, &memory);
    config.set_token(token(plan)?);
    config.set_admin_hosts(admin_hosts(plan, overrides));
    config.set_client_rules(client_rules(plan));
    let running = Running::new(paths, overrides, &compiled, &lifecycle, &metrics, &memory, &config);
    let host = Arc::new(HostOf::new(running.clone()));
    let server = Server::new(host.clone(), config.clone(), limits, metrics.clone(), running.threads.clone());
    let health = plan.server.health.as_ref();
    let health = health.map(|at| answer_health(at, health_limits, server.clone())).transpose()?;
    let (stop, stopped) = watch::channel(false);
    // Admin shows how the drain goes, so it is not told to stop.
    let (_admin_stop, admin_stopped) = watch::channel(false);
    let serving = tokio::spawn(listener.serve(server.clone(), stopped.clone()));
    if let Some(listener) = admin_listener {
        tokio::spawn(listener.serve(Admin::new(host, config, metrics), admin_stopped));
    }
    tokio::spawn(memory::keep(memory, lifecycle.clone()));
    tracing::info!(%listen, models = plan.models.len(), "listening; loading models");

    let compiled = Arc::new(compiled);
    let loaded = {
        let (running, compiled) = (running.clone(), compiled.clone());
        tokio::task::spawn_blocking(move || running.begin(&compiled))
    };
    tokio::select! {
        loaded = loaded => loaded.unwrap_or_else(|e| Err(Trouble::CouldNotRun(e.to_string())))?,
        _ = signals.next() => return Ok(()),
    }
    let models = lifecycle.status();
    let banner =
        Banner { compiled: &compiled, models: &models, listen, admin, health, took: begun.elapsed() };
    announce(&banner.text());
    notify(READY);
    drop(compiled);
    let watching = Watching::begin(&running);
    let looking = tokio::spawn(look_when_told(running.clone(), hang_up()?));
    tokio::spawn(watchdog::keep(lifecycle.clone()));

    let told = signals.next().await;
    notify(STOPPING);
    precautions.notes.close();
    looking.abort();
    drop(watching);
    server.drain();
    let current = running.current.load_full();
    if told == Stop::Terminate {
        last_requests(current.plan.server.grace, &mut signals).await;
    }
    drain(serving, stop, current.plan.server.drain, signals).await;
    Ok(())
}

/// SIGHUP forces a look at the files and at every model.
async fn look_when_told(running: Arc<Running>, mut hang_up: Signal) {
    while hang_up.recv().await.is_some() {
        tracing::info!("told by SIGHUP to look at everything");
        let running = running.clone();
        // What is wrong is in the log, and in the status.
        if let Err(broken) = tokio::task::spawn_blocking(move || drop(reload_all(&running, &|| false))).await
        {
            tracing::error!("looking at everything failed: {broken}");
        }
    }
}

/// As many as the system lets us: each connection is one, and what a shell sets (often 1024) is a caution
/// for programs of another age. How many that are; `None` for as many as there may be.
fn allow_open_files() -> Option<u64> {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut files = getrlimit(Resource::Nofile);
    files.current = files.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, files) {
        tracing::debug!(%error, "the limit of open files stays as it is");
    }
    getrlimit(Resource::Nofile).current
}

/// The limits of the listeners: of the routes, of admin, and of health.
struct AllLimits {
    routes: Limits,
    admin: Limits,
    health: Limits,
}

/// What clients of the routes may take leaves descriptors for admin, health, files and devices.
fn limits(server: &plan::Server, files: Option<u64>) -> AllLimits {
    let usual = Limits::default();
    let files = files.and_then(|files| usize::try_from(files).ok()).unwrap_or(usize::MAX);
    let aside = (files / 4).clamp(ASIDE_LEAST, ASIDE_MOST).min(files / 2);
    let routes = Limits {
        max_body: server.max_body,
        keep_alive: server.keep_alive,
        last_call: usual.last_call.min(server.drain / 4),
        connections: usual.connections.min(files - aside).max(1),
        ..usual
    };
    let few = |connections: usize| Limits { connections: connections.max(2), ..routes.clone() };
    AllLimits { admin: few(aside / 4), health: few(aside / 8), routes }
}

/// The descriptors that are set aside, where there are that many.
const ASIDE_LEAST: usize = 96;
const ASIDE_MOST: usize = 512;

/// Answers health on a thread of its own, until the process ends.
fn answer_health(address: &Address, limits: Limits, server: Arc<Server>) -> Result<SocketAddr, Trouble> {
    let cannot = |error: std::io::Error| {
        Trouble::CouldNotRun(format!("cannot listen on {address} for health: {error}"))
    };
    let socket = std::net::TcpListener::bind((address.host.as_str(), address.port)).map_err(cannot)?;
    let bound = socket.local_addr().map_err(cannot)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(cannot)?;
    let work = move || {
        runtime.block_on(async {
            // Nobody stops it: it says how the drain goes, and that the process is not ready.
            let (_stop, stopped) = watch::channel(false);
            match Listener::from_std(socket, &limits) {
                Ok(listener) => listener.serve(Health::new(server), stopped).await,
                Err(error) => tracing::error!(%error, "health is not answered on its own address"),
            }
        });
    };
    std::thread::Builder::new().name("rserve-health".into()).spawn(work).map_err(cannot)?;
    Ok(bound)
}

/// What the plan refuses where the file says it, is refused where the command line does.
fn guarded(overrides: &Overrides, plan: &Plan) -> Result<(), Trouble> {
    match &overrides.admin {
        Listen::At(address)
            if !address.is_loopback() && plan.server.token_file.is_none() && !plan.server.insecure =>
        {
            Err(Trouble::Given(format!(
                "`--admin {address}` can be reached from other machines, and asks for no token; name a file with a long \
                 random token as `token_file` in `[server]`, or write `insecure = true` there"
            )))
        }
        _ => Ok(()),
    }
}

async fn listen(address: &Address, limits: &Limits, flag: &str) -> Result<Listener, Trouble> {
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

/// Goes on taking requests for `grace`, while readiness says no: whoever balances the load learns only by and
/// by that this server is on its way out. A second signal ends it at once.
async fn last_requests(grace: Duration, signals: &mut Signals) {
    if grace.is_zero() {
        return;
    }
    tracing::info!(seconds = grace.as_secs_f64(), "told to stop; not ready, and still taking requests");
    tokio::select! {
        () = tokio::time::sleep(grace) => {}
        _ = signals.next() => exit_at_once(),
    }
}

/// Lets what is in flight finish, for as long as the file allows. A second signal ends it at once.
async fn drain(serving: JoinHandle<()>, stop: watch::Sender<bool>, allowed: Duration, mut signals: Signals) {
    tracing::info!(seconds = allowed.as_secs_f64(), "stopping; finishing the requests in flight");
    let _ = stop.send(true);
    tokio::select! {
        ended = timeout(allowed, serving) => match ended {
            Ok(_) => tracing::info!("stopped"),
            Err(_) => tracing::warn!("stopped; the requests that were not finished in time are cut off"),
        },
        _ = signals.next() => exit_at_once(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connections(files: u64) -> [usize; 3] {
        let AllLimits { routes, admin, health } = limits(&plan::Server::default(), Some(files));
        [routes.connections, admin.connections, health.connections]
    }

    /// Idle clients of the routes took all of them: nobody reached admin, and no file was read again.
    #[test]
    fn descriptors_are_set_aside() {
        for files in [64, 256, 1024, 4096, 1 << 20] {
            let [routes, admin, health] = connections(files);
            let left = files as usize - routes;
            assert!(left >= 32 && admin + health <= left / 2, "{files}: {routes}, {admin}, {health}");
        }
        assert_eq!(connections(256), [160, 24, 12]);
        assert_eq!(connections(1 << 20)[0], 10_000);
    }
}
