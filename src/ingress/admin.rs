//! The admin listener's routes: status, metrics, reload. Bound to loopback unless the file says otherwise.

use super::body::Inbound;
use super::host::{Done, Order};
use super::listener::Respond;
use super::problem::Problem;
use super::routes::normalised;
use super::server::{contained, finished};
use super::socket::Signals;
use super::{DynamicConfig, Host, Metrics, Response, accept, framing, metrics, pages};
use hyper::body::Incoming;
use hyper::header::ORIGIN;
use hyper::http::request::Parts;
use hyper::{Method, Request, StatusCode};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

pub struct Admin {
    host: Arc<dyn Host>,
    config: Arc<DynamicConfig>,
    metrics: Arc<Metrics>,
}

const ROUTES: [&str; 8] = [
    "GET /status",
    "GET /models",
    "GET /metrics",
    "GET /healthz/live",
    "POST /reload",
    "POST /models/NAME/reload",
    "POST /models/NAME/versions/N/load",
    "POST /models/NAME/versions/N/unload",
];

impl Admin {
    pub fn new(host: Arc<dyn Host>, config: Arc<DynamicConfig>, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self { host, config, metrics })
    }

    async fn route(&self, head: &Parts) -> Result<Response, Problem> {
        let path = normalised(head.uri.path());
        let path: Vec<&str> = path.split('/').skip(1).collect();
        if path == ["healthz", "live"] {
            return read(head, || pages::json_page(StatusCode::OK, &json!({ "status": "live" })));
        }
        if let Some(token) = &*self.config.token()
            && !token.is_in(&head.headers)
        {
            return Err(Problem::unauthorized(
                "send the token of `token_file` as `authorization: Bearer TOKEN`",
            ));
        }
        match path.as_slice() {
            [""] => read(head, || pages::json_page(StatusCode::OK, &json!({ "routes": ROUTES }))),
            ["status"] => read(head, || pages::json_page(StatusCode::OK, &self.host.status())),
            ["models"] => {
                let models = self.host.models().await;
                read(head, || pages::json_page(StatusCode::OK, &models))
            }
            ["metrics"] => read(head, || {
                let text = self.metrics.text(self.host.samples());
                // A scraper asks for OpenMetrics; others read the text format that came before it.
                match accept::prefers(&head.headers, [metrics::PLAIN, metrics::OPEN]) {
                    Some(1) => pages::page(metrics::OPEN, text),
                    _ => pages::page(metrics::PLAIN, metrics::plain(&text)),
                }
            }),
            ["reload"] => self.order(head, Order::Reload).await,
            ["models", model, "reload"] => self.order(head, Order::ReloadModel((*model).to_owned())).await,
            ["models", model, "versions", version, what @ ("load" | "unload")] => {
                let version = version
                    .parse()
                    .map_err(|_| Problem::malformed("a version is an unsigned integer, such as 3"))?;
                let model = (*model).to_owned();
                let order =
                    if *what == "load" { Order::Load(model, version) } else { Order::Unload(model, version) };
                self.order(head, order).await
            }
            _ => Err(Problem::not_found("the admin listener has no such route").with("routes", &ROUTES[..])),
        }
    }

    async fn order(&self, head: &Parts, order: Order) -> Result<Response, Problem> {
        if head.method != Method::POST {
            return Err(Problem::method_not_allowed("POST", "this is to be asked for with POST"));
        }
        // A page in the browser of someone on this machine can reach loopback too.
        if head.headers.contains_key(ORIGIN) {
            return Err(Problem::forbidden("requests that a web page sends are not taken here"));
        }
        let model = match &order {
            Order::Reload => "",
            Order::ReloadModel(model) | Order::Load(model, _) | Order::Unload(model, _) => model,
        };
        let name: String = model.chars().take(64).collect();
        match self.host.order(order).await {
            Done::Fine(outcome) => Ok(pages::json_page(StatusCode::OK, &outcome)),
            Done::Refused(outcome) => Ok(pages::json_page(StatusCode::CONFLICT, &outcome)),
            Done::UnknownModel { known } => {
                Err(Problem::not_found(format!("there is no model `{name}`")).with("models", known))
            }
            Done::Failed(reason) => Err(Problem::internal(reason)),
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
        let result = match framing::check(&head) {
            Ok(()) => contained(self.route(&head)).await,
            Err(problem) => Err(problem),
        };
        finished(result, &head, body, signals)
    }

    fn count_connection(&self, _: i64) {}

    fn keep_alive(&self) -> Duration {
        self.config.keep_alive()
    }
}
