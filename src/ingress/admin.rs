//! The admin listener's routes: status, metrics, reload. Bound to loopback unless the file says otherwise.

use super::body::Inbound;
use super::documents::Reloaded;
use super::host::{AdminCommand, BoxFuture, CommandOutcome};
use super::listener::Respond;
use super::problem::Problem;
use super::routes::normalised;
use super::server::{contained, finished};
use super::socket::ConnectionState;
use super::{ClientRules, DynamicConfig, Host, Metrics, Response, accept, framing, guard, metrics, pages};
use crate::plan::PerClient;
use hyper::body::Incoming;
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

/// One route: what is listed is what is matched.
struct Route {
    method: Method,
    /// Segments in capitals are parameters: `NAME` is a model, `N` a version.
    path: &'static str,
    /// Whether it is answered without the token.
    open: bool,
    answer: Answer,
}

type Answer = for<'a> fn(&'a Admin, &'a Parts, Parameters) -> BoxFuture<'a, Result<Response, Problem>>;

/// What the parameters of a path stand for.
#[derive(Default)]
struct Parameters {
    model: String,
    version: u64,
}

const fn get(path: &'static str, answer: Answer) -> Route {
    Route { method: Method::GET, path, open: false, answer }
}

const fn post(path: &'static str, answer: Answer) -> Route {
    Route { method: Method::POST, path, open: false, answer }
}

static ROUTES: [Route; 9] = [
    get("/", index),
    get("/status", status),
    get("/models", models),
    get("/metrics", metrics_text),
    Route { method: Method::GET, path: "/healthz/live", open: true, answer: live },
    post("/reload", |admin, head, _| admin.order(head, AdminCommand::Reload)),
    post("/models/NAME/reload", |admin, head, of| admin.order(head, AdminCommand::ReloadModel(of.model))),
    post("/models/NAME/versions/N/load", |admin, head, of| {
        admin.order(head, AdminCommand::Load(of.model, of.version))
    }),
    post("/models/NAME/versions/N/unload", |admin, head, of| {
        admin.order(head, AdminCommand::Unload(of.model, of.version))
    }),
];

impl Route {
    /// The parameters of a path that is this route's; `None` of any other.
    fn parameters(&self, path: &str) -> Option<Result<Parameters, Problem>> {
        if path.split('/').count() != self.path.split('/').count() {
            return None;
        }
        let mut found = Ok(Parameters::default());
        for (pattern, segment) in self.path.split('/').zip(path.split('/')) {
            match (pattern, &mut found) {
                ("NAME", Ok(parameters)) => segment.clone_into(&mut parameters.model),
                ("N", Ok(parameters)) => match version(segment) {
                    Some(version) => parameters.version = version,
                    None => {
                        let detail = "a version is an unsigned integer, such as 3";
                        found = Err(Problem::malformed(detail));
                    }
                },
                ("NAME" | "N", Err(_)) => {}
                (pattern, _) if pattern == segment => {}
                _ => return None,
            }
        }
        Some(found)
    }

    fn takes(&self, method: &Method) -> bool {
        *method == self.method || (*method == Method::HEAD && self.method == Method::GET)
    }
}

/// A version as the store writes it, and in no other way.
fn version(text: &str) -> Option<u64> {
    text.parse::<u64>().ok().filter(|version| version.to_string() == text)
}

fn index<'a>(_: &'a Admin, _: &'a Parts, _: Parameters) -> BoxFuture<'a, Result<Response, Problem>> {
    Box::pin(async { Ok(pages::json_page(StatusCode::OK, &json!({ "routes": listed() }))) })
}

fn live<'a>(_: &'a Admin, _: &'a Parts, _: Parameters) -> BoxFuture<'a, Result<Response, Problem>> {
    Box::pin(async { Ok(pages::json_page(StatusCode::OK, &json!({ "status": "live" }))) })
}

fn status<'a>(admin: &'a Admin, _: &'a Parts, _: Parameters) -> BoxFuture<'a, Result<Response, Problem>> {
    Box::pin(async { Ok(pages::json_page(StatusCode::OK, &admin.host.status())) })
}

fn models<'a>(admin: &'a Admin, _: &'a Parts, _: Parameters) -> BoxFuture<'a, Result<Response, Problem>> {
    Box::pin(async {
        let stored = admin.host.models().await.map_err(Problem::internal)?;
        Ok(pages::json_page(StatusCode::OK, &stored))
    })
}

/// A scraper asks for OpenMetrics; others read the text format that came before it.
fn metrics_text<'a>(
    admin: &'a Admin,
    head: &'a Parts,
    _: Parameters,
) -> BoxFuture<'a, Result<Response, Problem>> {
    Box::pin(async {
        let text = admin.metrics.text(admin.host.samples());
        Ok(match accept::prefers(&head.headers, [metrics::PLAIN, metrics::OPEN]) {
            Some(1) => pages::page(metrics::OPEN, text),
            _ => pages::page(metrics::PLAIN, metrics::plain(&text)),
        })
    })
}

/// "GET /status"
fn listed() -> Vec<String> {
    let routes = ROUTES.iter().filter(|route| route.path != "/");
    routes.map(|route| format!("{} {}", route.method, route.path)).collect()
}

impl Admin {
    pub fn new(host: Arc<dyn Host>, config: Arc<DynamicConfig>, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self { host, config, metrics })
    }

    async fn route(&self, head: &Parts) -> Result<Response, Problem> {
        guard::check(head, &self.config.admin_hosts())?;
        let path = normalised(head.uri.path());
        let route = ROUTES.iter().find_map(|route| Some((route, route.parameters(&path)?)));
        if !route.as_ref().is_some_and(|(route, _)| route.open)
            && let Some(token) = &*self.config.token()
            && !token.is_in(&head.headers)
        {
            return Err(Problem::unauthorized(
                "send the token of `token_file` as `authorization: Bearer TOKEN`",
            ));
        }
        let Some((route, parameters)) = route else {
            return Err(Problem::not_found("the admin listener has no such route").with("routes", listed()));
        };
        if !route.takes(&head.method) {
            return Err(match route.method {
                Method::POST => Problem::method_not_allowed("POST", "this is to be asked for with POST"),
                _ => Problem::method_not_allowed("GET, HEAD", "this is to be read with GET"),
            });
        }
        (route.answer)(self, head, parameters?).await
    }

    fn order<'a>(&'a self, head: &'a Parts, order: AdminCommand) -> BoxFuture<'a, Result<Response, Problem>> {
        Box::pin(self.carry_out(head, order))
    }

    async fn carry_out(&self, head: &Parts, order: AdminCommand) -> Result<Response, Problem> {
        guard::check_order(&head.headers)?;
        let model = match &order {
            AdminCommand::Reload => "",
            AdminCommand::ReloadModel(model)
            | AdminCommand::Load(model, _)
            | AdminCommand::Unload(model, _) => model,
        };
        let name: String = model.chars().take(64).collect();
        match self.host.order(order).await {
            CommandOutcome::Fine(outcome) => Ok(pages::json_page(StatusCode::OK, &outcome)),
            CommandOutcome::Busy => {
                let busy =
                    "another order is being carried out; give this one again when it is done".to_owned();
                let outcome = Reloaded { error: Some(busy), ..Reloaded::default() };
                Ok(pages::json_page(StatusCode::CONFLICT, &outcome))
            }
            CommandOutcome::Refused(outcome) => Ok(pages::json_page(StatusCode::CONFLICT, &outcome)),
            CommandOutcome::Overdue(outcome) => Ok(pages::json_page(StatusCode::GATEWAY_TIMEOUT, &outcome)),
            CommandOutcome::UnknownModel { known } => {
                Err(Problem::not_found(format!("there is no model `{name}`")).with("models", known))
            }
            CommandOutcome::Failed(reason) => Err(Problem::internal(reason)),
        }
    }
}

impl Respond for Admin {
    async fn respond(&self, request: Request<Incoming>, connection: &ConnectionState) -> Response {
        let (head, incoming) = request.into_parts();
        let body = Inbound::new(incoming);
        let result = match framing::check(&head) {
            Ok(()) => contained(self.route(&head)).await,
            Err(problem) => Err(problem),
        };
        finished(result, &head, body, connection)
    }

    fn count_connection(&self, _: i64) {}

    fn keep_alive(&self) -> Duration {
        self.config.keep_alive()
    }

    fn client_rules(&self) -> Arc<ClientRules> {
        // Its connections are few, and nobody is to take all of them.
        Arc::new(ClientRules { per_client: Some(PerClient::default()), proxies: vec![] })
    }
}
