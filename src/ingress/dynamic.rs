//! What of the server's configuration may change while it serves. Both listeners read it; whoever applies a plan
//! writes it.

use super::clients::{ClientRules, PerAddress, RequestMemory};
use super::{Limits, Routes, Token};
use crate::memory::Budget;
use arc_swap::{ArcSwap, ArcSwapOption, Guard};
use hyper::HeaderMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

/// The routes, and the settings that need no listener to be bound again.
pub struct DynamicConfig {
    routes: ArcSwap<Routes>,
    token: ArcSwapOption<Token>,
    admin_hosts: ArcSwap<Vec<String>>,
    client_rules: ArcSwap<ClientRules>,
    /// The bytes of bodies and answers by client.
    clients: PerAddress,
    max_body: AtomicUsize,
    /// How long a connection may rest, in milliseconds.
    keep_alive: AtomicU64,
    /// The memory of the process.
    memory: Budget,
}

impl DynamicConfig {
    pub fn new(routes: Routes, limits: &Limits, memory: &Budget) -> Arc<Self> {
        Arc::new(Self {
            routes: ArcSwap::from_pointee(routes),
            token: ArcSwapOption::empty(),
            admin_hosts: ArcSwap::default(),
            client_rules: ArcSwap::default(),
            clients: PerAddress::default(),
            max_body: AtomicUsize::new(limits.max_body),
            keep_alive: AtomicU64::new(millis(limits.keep_alive)),
            memory: memory.clone(),
        })
    }

    /// Puts other routes in the place of all. A request that was already routed ends on the old ones.
    pub fn set_routes(&self, routes: Routes) {
        self.routes.store(Arc::new(routes));
    }

    /// The admin listener asks for this token from here on; for none where it is `None`.
    pub fn set_token(&self, token: Option<Token>) {
        self.token.store(token.map(Arc::new));
    }

    /// The admin listener may be reached under these names from here on, beside addresses and `localhost`.
    pub fn set_admin_hosts(&self, names: Vec<String>) {
        self.admin_hosts.store(Arc::new(names));
    }

    /// Clients are held to these bounds from here on.
    pub fn set_client_rules(&self, rules: ClientRules) {
        self.client_rules.store(Arc::new(rules));
    }

    /// A body may have this number of bytes from here on.
    pub fn set_max_body(&self, bytes: usize) {
        self.max_body.store(bytes, Ordering::Relaxed);
    }

    /// A connection may rest this long between two requests from here on.
    pub fn set_keep_alive(&self, rest: Duration) {
        self.keep_alive.store(millis(rest), Ordering::Relaxed);
    }

    pub(super) fn routes(&self) -> Arc<Routes> {
        self.routes.load_full()
    }

    pub(super) fn token(&self) -> Guard<Option<Arc<Token>>> {
        self.token.load()
    }

    pub(super) fn admin_hosts(&self) -> Guard<Arc<Vec<String>>> {
        self.admin_hosts.load()
    }

    pub(super) fn client_rules(&self) -> Arc<ClientRules> {
        self.client_rules.load_full()
    }

    /// The memory that a request with this head may take, which `peer` has sent.
    pub(super) fn memory_of(&self, headers: &HeaderMap, peer: Option<IpAddr>) -> RequestMemory {
        RequestMemory::new(&self.memory, &self.client_rules.load(), &self.clients, headers, peer)
    }

    pub(super) fn max_body(&self) -> usize {
        self.max_body.load(Ordering::Relaxed)
    }

    pub(super) fn keep_alive(&self) -> Duration {
        Duration::from_millis(self.keep_alive.load(Ordering::Relaxed))
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
