//! The admin listener's routes: status, metrics, reload. Bound to loopback unless the file says otherwise.

use super::body::Inbound;
use super::listener::Respond;
use super::problem::Problem;
use super::server::{contained, finished};
use super::socket::Signals;
use super::{Host, Metrics, Reload, Response, pages};
use hyper::body::Incoming;
use hyper::header::ORIGIN;
use hyper::http::request::Parts;
use hyper::{Method, Request, StatusCode};
use serde_json::json;
use std::sync::Arc;

pub struct Admin {
    host: Arc<dyn Host>,
    metrics: Arc<Metrics>,
}

impl Admin {
    pub fn new(host: Arc<dyn Host>, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self { host, metrics })
    }

    fn route(&self, head: &Parts) -> Result<Response, Problem> {
        let path: Vec<&str> = head.uri.path().split('/').skip(1).collect();
        match path.as_slice() {
            [""] => read(head, || {
                let routes = ["GET /status", "GET /metrics", "POST /reload", "POST /models/NAME/reload"];
                pages::json_page(StatusCode::OK, &json!({ "routes": routes }))
            }),
            ["status"] => read(head, || pages::json_page(StatusCode::OK, &self.host.status())),
            ["metrics"] => read(head, || {
                let text = self.metrics.text(self.host.samples());
                pages::page("application/openmetrics-text; version=1.0.0; charset=utf-8", text)
            }),
            ["reload"] => self.reload(head, None),
            ["models", model, "reload"] => self.reload(head, Some(model)),
            _ => Err(Problem::not_found("the admin listener has /status, /metrics and /reload")),
        }
    }

    fn reload(&self, head: &Parts, model: Option<&str>) -> Result<Response, Problem> {
        if head.method != Method::POST {
            return Err(Problem::method_not_allowed("POST", "reload with POST"));
        }
        // A page in the browser of someone on this machine can reach loopback too.
        if head.headers.contains_key(ORIGIN) {
            return Err(Problem::forbidden("requests that a web page sends are not taken here"));
        }
        match self.host.reload(model) {
            Reload::Begun(models) => {
                Ok(pages::json_page(StatusCode::ACCEPTED, &json!({ "status": "looking", "models": models })))
            }
            Reload::UnknownModel { known } => {
                let name: String = model.unwrap_or_default().chars().take(64).collect();
                Err(Problem::not_found(format!("there is no model `{name}`")).with("models", known))
            }
            Reload::Failed(reason) => Err(Problem::internal(reason)),
        }
    }
}

fn read(head: &Parts, page: impl FnOnce() -> Response) -> Result<Response, Problem> {
    match head.method {
        Method::GET | Method::HEAD => Ok(page()),
        _ => Err(Problem::method_not_allowed("GET, HEAD", "this is to be read with GET")),
    }
}

impl Respond for Admin {
    async fn respond(&self, request: Request<Incoming>, signals: &Signals) -> Response {
        let (head, incoming) = request.into_parts();
        let body = Inbound::new(incoming);
        let result = contained(async { self.route(&head) }).await;
        finished(result, &head, &body, signals)
    }

    fn count_connection(&self, _: i64) {}
}
