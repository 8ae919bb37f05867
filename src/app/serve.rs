//! `run`: binds, loads, serves, drains.

use super::allocator::give_back_own;
use super::banner::Banner;
use super::compile::{Compiled, compile_with, whole_memory};
use super::handler::Loading;
use super::host::{HostOf, reload_all};
use super::listening::{AllLimits, Listeners, allow_open_files, answer_health};
use super::loader::EngineLoader;
use super::notify::{READY, STOPPING, notify};
use super::running::{Running, admin_hosts, client_rules};
use super::signals::{Signals, Stop, exit_at_once, hang_up};
use super::token::token;
use super::watching::Watching;
use super::{Overrides, StateFolder, Trouble, memory, watchdog};
use crate::diagnostic::Report;
use crate::ingress::{Admin, DynamicConfig, Handler, Limits, Metrics, Routes, Server};
use crate::lifecycle::{Lifecycle, Precautions};
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
        .thread_keep_alive(IDLE_THREAD)
        .build()
        .map_err(|e| Trouble::CouldNotRun(format!("cannot start threads: {e}")))?;
    let result = runtime.block_on(serving(paths, overrides, &precautions, show, announce));
    // A load that still runs is not waited for.
    precautions.notes.close();
    runtime.shutdown_background();
    result
}

/// How long a thread that blocks waits for more to do. What memory it has left goes back with it.
const IDLE_THREAD: Duration = Duration::from_secs(3);

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
    let compiling = {
        let (paths, precautions) = (paths.to_vec(), precautions.clone());
        move || compile_with(&paths, &precautions)
    };
    let Some(compiled) = until_told(&mut signals, compiling).await? else { return Ok(()) };
    show(&compiled.report);
    let plan = &compiled.plan.clone();
    // Bound before anything is loaded, so that a taken port is known at once.
    let limits = AllLimits::of(&plan.server, files);
    let listeners = Listeners::bind(overrides, plan, &limits).await?;
    let Wired { running, server, admin } = wire(paths, overrides, precautions, &compiled, limits.routes)?;
    let (listen, admin_listen) = (listeners.routes_at, listeners.admin_at);
    let health = plan.server.health.as_ref();
    let health = health.map(|at| answer_health(at, limits.health, server.clone())).transpose()?;
    let (stop, stopped) = watch::channel(false);
    // Admin shows how the drain goes, so it is not told to stop.
    let (_admin_stop, admin_stopped) = watch::channel(false);
    let serving = tokio::spawn(listeners.routes.serve(server.clone(), stopped));
    if let Some(listener) = listeners.admin {
        tokio::spawn(listener.serve(admin, admin_stopped));
    }
    tokio::spawn(memory::keep(running.memory.clone(), running.lifecycle.clone()));
    tracing::info!(%listen, models = plan.models.len(), "listening; loading models");

    let compiled = Arc::new(compiled);
    let loading = {
        let (running, compiled) = (running.clone(), compiled.clone());
        move || running.begin(&compiled)
    };
    let Some(()) = until_told(&mut signals, loading).await? else { return Ok(()) };
    let models = running.lifecycle.status();
    let took = begun.elapsed();
    let banner = Banner { compiled: &compiled, models: &models, listen, admin: admin_listen, health, took };
    announce(&banner.text());
    notify(READY);
    drop(compiled);
    let watching = Watching::begin(&running);
    let looking = tokio::spawn(look_when_told(running.clone(), hang_up()?));
    tokio::spawn(watchdog::keep(running.lifecycle.clone()));

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

/// Does work on a thread that may block; `None` where the process is told to stop before it is done.
async fn until_told<T: Send + 'static>(
    signals: &mut Signals,
    work: impl FnOnce() -> Result<T, Trouble> + Send + 'static,
) -> Result<Option<T>, Trouble> {
    tokio::select! {
        done = tokio::task::spawn_blocking(work) => {
            done.unwrap_or_else(|e| Err(Trouble::CouldNotRun(e.to_string()))).map(Some)
        }
        _ = signals.next() => Ok(None),
    }
}

/// What serves, wired together. Nothing is loaded yet.
struct Wired {
    running: Arc<Running>,
    server: Arc<Server>,
    admin: Arc<Admin>,
}

fn wire(
    paths: &[PathBuf],
    overrides: &Overrides,
    precautions: &Precautions,
    compiled: &Compiled,
    limits: Limits,
) -> Result<Wired, Trouble> {
    let plan = &compiled.plan;
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
    let running = Running::new(paths, overrides, compiled, &lifecycle, &metrics, &memory, &config);
    let host = Arc::new(HostOf::new(running.clone()));
    let server = Server::new(host.clone(), config.clone(), limits, metrics.clone(), running.threads.clone());
    Ok(Wired { running, server, admin: Admin::new(host, config, metrics) })
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
