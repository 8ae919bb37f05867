//! One request to a pipeline: choose the encode, read the body, run the item, answer.

use super::body::Inbound;
use super::body_memory::BodyMemory;
use super::clients::RequestMemory;
use super::coding::Coding;
use super::outgoing::Outgoing;
use super::problem::Problem;
use super::reading::{Arrived, BodyReader};
use super::routes::{METHODS, Route};
use super::{Response, Versions, accept, answer, form, pages, pins, timeout, via_protocol};
use crate::flow::{self, Side};
use hyper::header::{ALLOW, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};
use std::time::Instant;
use tokio::time::timeout_at;

pub async fn predict(
    bodies: &BodyReader,
    route: &Route,
    head: &Parts,
    body: &mut Inbound,
    memory: &RequestMemory,
    begun: Instant,
) -> Result<Response, Problem> {
    match head.method {
        // What a guide of another server says with `curl -T` is a PUT of the same body.
        Method::POST | Method::PUT => {}
        Method::OPTIONS => {
            let mut response = Response::new(Outgoing::default());
            *response.status_mut() = StatusCode::NO_CONTENT;
            let headers = response.headers_mut();
            headers.insert(ALLOW, HeaderValue::from_static(METHODS));
            // What `rserve batch --via` asks before it begins.
            let told = [
                (via_protocol::PLAN, Some(route.offline.clone())),
                (answer::MODELS, route.handler.models().map(|models| models.to_string())),
            ];
            for (name, value) in told {
                if let Some(value) = value.and_then(|value| HeaderValue::try_from(value).ok()) {
                    headers.insert(name, value);
                }
            }
            return Ok(response);
        }
        _ => return Err(pages::how_to_post(&head.headers, &route.pipeline)),
    }
    let in_flight = InFlight::begin(route);
    let result = answered(bodies, route, head, body, memory, begun).await;
    in_flight.end(&result, begun);
    result
}

async fn answered(
    bodies: &BodyReader,
    route: &Route,
    head: &Parts,
    body: &mut Inbound,
    memory: &RequestMemory,
    begun: Instant,
) -> Result<Response, Problem> {
    let pipeline = &route.pipeline;
    let item = via_protocol::item(&head.headers, route)?;
    let side = if item.is_some() { Side::Offline } else { Side::Online };
    let entry = pipeline.entry(side);
    let (encodes, media_type) = match side {
        Side::Offline => (entry.encodes.ids().collect(), HeaderValue::from_static(via_protocol::PARTS)),
        Side::Online => {
            let encode = accept::choose(head.uri.query(), &head.headers, &entry.encodes)?;
            let any = HeaderValue::from_static("application/octet-stream");
            (vec![encode], route.media_types.get(encode).cloned().unwrap_or(any))
        }
    };
    let handler = &route.handler;
    let versions =
        Versions { pins: pins::pins(&head.headers)?, keys: pins::keys(&head.headers, handler.sticky()) };
    if !handler.is_ready() {
        return Err(Problem::not_ready(format!("the models of `{}` are not ready yet", pipeline.name)));
    }
    let allowed = timeout::allowed(&head.headers, pipeline.timeout)?;
    let deadline = begun + allowed;
    let mut request = flow::Request {
        side,
        payloads: vec![],
        encodes: &encodes,
        row: item.as_deref(),
        priority: Some(via_protocol::priority(&head.headers, pipeline.priority)?),
        deadline,
        sender: memory.sender(),
    };
    if let Err(full) = handler.room(&versions, &request) {
        body.discard(&head.headers).await;
        return Err(Problem::from(full));
    }
    let coding = Coding::of(&head.headers)?;
    // Given back with the answer: a body is held for as long as its item.
    let mut reserved = BodyMemory::new(memory, head)?;
    let mut body_is_whole = false;
    let work = async {
        let max_body = bodies.max_body();
        let bytes = body.collect(&head.headers, max_body, &mut reserved, bodies.idle).await?;
        body_is_whole = true;
        let arrived = Arrived::new(&head.headers, coding, bytes, max_body);
        let read = arrived.read(&bodies.threads, route, side, deadline, memory, &mut reserved).await?;
        request.payloads = read.payloads;
        let answer = handler.run(&versions, request).await;
        answer.map_err(|error| match read.has_lost_line_ends {
            true => Problem::from(form::explained(&entry.decodes, error)),
            false => Problem::from(error),
        })
    };
    let seconds = allowed.as_secs_f32();
    match timeout_at(deadline.into(), work).await {
        Ok(answer) => answer::ok(
            answer.inspect(|answer| route.metrics.ran(entry, &answer.timings.steps))?,
            entry,
            side,
            media_type,
            begun.elapsed(),
            memory,
        ),
        Err(_) if !body_is_whole => Err(Problem::slow_body(format!(
            "the body had not come whole when the {seconds} s allowed were over"
        ))),
        Err(_) => Err(Problem::deadline(format!("the {seconds} s allowed were over"))),
    }
}

/// Counts a request for as long as it is being answered; one that is dropped, because its client has
/// gone, is counted as that.
struct InFlight<'a> {
    route: &'a Route,
    ended: bool,
}

impl<'a> InFlight<'a> {
    fn begin(route: &'a Route) -> Self {
        route.metrics.in_flight.inc();
        Self { route, ended: false }
    }

    fn end(mut self, result: &Result<Response, Problem>, begun: Instant) {
        self.ended = true;
        let status = match result {
            Ok(response) => response.status(),
            Err(problem) => problem.status(),
        };
        self.route.metrics.answered(status, begun.elapsed());
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.route.metrics.in_flight.dec();
        if !self.ended && !std::thread::panicking() {
            self.route.metrics.client_gone();
        }
    }
}
