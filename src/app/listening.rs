//! The addresses that `run` listens on, and what clients may take of each.

use super::{Listen, Overrides, Trouble};
use crate::ingress::{Health, Limits, Listener, Server, bind};
use crate::plan::{self, Address, Plan};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::sync::watch;

/// As many as the system lets us: each connection is one, and what a shell sets (often 1024) is a caution
/// for programs of another age. How many that are; `None` for as many as there may be.
pub fn allow_open_files() -> Option<u64> {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut files = getrlimit(Resource::Nofile);
    files.current = files.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, files) {
        tracing::debug!(%error, "the limit of open files stays as it is");
    }
    getrlimit(Resource::Nofile).current
}

/// The limits of the listeners: of the routes, of admin, and of health.
pub struct AllLimits {
    pub routes: Limits,
    pub admin: Limits,
    pub health: Limits,
}

impl AllLimits {
    /// The limits of a process that may open so many files. Clients of the routes leave descriptors for admin, health,
    /// files and devices.
    pub fn of(server: &plan::Server, files: Option<u64>) -> Self {
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
        Self { admin: few(aside / 4), health: few(aside / 8), routes }
    }
}

/// The descriptors that are set aside, where there are that many.
const ASIDE_LEAST: usize = 96;
const ASIDE_MOST: usize = 512;

/// The sockets of the routes and of admin, bound, and where they are.
pub struct Listeners {
    pub routes: Listener,
    pub routes_at: SocketAddr,
    pub admin: Option<Listener>,
    pub admin_at: Option<SocketAddr>,
}

impl Listeners {
    pub async fn bind(overrides: &Overrides, plan: &Plan, limits: &AllLimits) -> Result<Self, Trouble> {
        let at = overrides.listen.as_ref().unwrap_or(&plan.server.listen);
        let routes = listen(at, &limits.routes, "--listen").await?;
        guarded(overrides, plan)?;
        let admin = match overrides.admin.or(plan.server.admin.as_ref()) {
            Some(address) => Some(listen(&address, &limits.admin, "--admin").await?),
            None => None,
        };
        let address = |l: &Listener| l.address().map_err(|e| Trouble::CouldNotRun(e.to_string()));
        let (routes_at, admin_at) = (address(&routes)?, admin.as_ref().map(address).transpose()?);
        Ok(Self { routes, routes_at, admin, admin_at })
    }
}

/// Answers health on a thread of its own, until the process ends.
pub fn answer_health(address: &Address, limits: Limits, server: Arc<Server>) -> Result<SocketAddr, Trouble> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn connections(files: u64) -> [usize; 3] {
        let AllLimits { routes, admin, health } = AllLimits::of(&plan::Server::default(), Some(files));
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
