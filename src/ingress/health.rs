//! A listener for health alone. What else the server does takes neither its connections nor its thread.

use super::listener::Respond;
use super::server::Server;
use super::socket::ConnectionState;
use super::{ClientRules, Response, framing};
use crate::ingress::problem::Problem;
use crate::ingress::routes::{Builtin, Found};
use hyper::body::Incoming;
use hyper::{Method, Request};
use std::sync::Arc;
use std::time::Duration;

/// Answers `/healthz/live` and `/healthz/ready` as the server beside it does.
pub struct Health(Arc<Server>);

impl Health {
    pub fn new(server: Arc<Server>) -> Arc<Self> {
        Arc::new(Self(server))
    }
}

impl Respond for Health {
    async fn respond(&self, request: Request<Incoming>, connection: &ConnectionState) -> Response {
        let (head, incoming) = request.into_parts();
        let body = super::body::Inbound::new(incoming);
        let result = framing::check(&head).and_then(|()| {
            let builtin = match self.0.config.routes().find(head.uri.path()) {
                Some(Found::Builtin(builtin @ (Builtin::Live | Builtin::Ready))) => builtin,
                _ => return Err(Problem::not_found("here are `/healthz/live` and `/healthz/ready` alone")),
            };
            match head.method {
                Method::GET | Method::HEAD => Ok(self.0.health(builtin)),
                _ => Err(Problem::method_not_allowed("GET, HEAD", "this is to be read with GET")),
            }
        });
        super::server::finished(result, &head, body, connection)
    }

    fn count_connection(&self, _: i64) {}

    fn keep_alive(&self) -> Duration {
        self.0.config.keep_alive()
    }

    fn client_rules(&self) -> Arc<ClientRules> {
        Arc::default()
    }
}
