//! What a person sees who looks around: the list of routes, and the curl line of each.

use super::Response;
use super::accept::prefers;
use super::outgoing::Outgoing;
use super::problem::Problem;
use super::routes::{METHODS, Routes};
use crate::plan::{DecodePlan, Example, Pipeline};
use bytes::Bytes;
use hyper::header::{CONTENT_TYPE, HOST, HeaderValue};
use hyper::{HeaderMap, StatusCode};
use serde::Serialize;
use serde_json::{Value, json};
use std::path::PathBuf;

/// A curl line that asks `pipeline` for an answer. `example` may know a file to send for a decode.
pub fn curl(pipeline: &Pipeline, origin: &str, example: &dyn Fn(&DecodePlan) -> Option<PathBuf>) -> String {
    let decodes = &pipeline.online.decodes;
    let examples: Vec<(&DecodePlan, Example)> = decodes
        .iter()
        .map(|decode| match (decode.decode.example(), decode.decode.json()) {
            (Example::File(file), None) => {
                let file = example(decode).map_or(file, |path| path.display().to_string());
                (decode, Example::File(file))
            }
            (usual, _) => (decode, usual),
        })
        .collect();
    let values: Option<Vec<String>> = examples
        .iter()
        .map(|(decode, example)| match example {
            Example::Json(value) => Some(format!("{}: {value}", Value::from(decode.name.as_str()))),
            Example::File(_) => None,
        })
        .collect();
    let body = match (values, examples.as_slice()) {
        (Some(values), _) => {
            let document = quoted(&format!("{{{}}}", values.join(", ")));
            format!("-H 'content-type: application/json' --data {document}")
        }
        (None, [(_, Example::File(file))]) => format!("--data-binary {}", quoted(&format!("@{file}"))),
        (None, examples) => {
            let part = |(decode, example): &(&DecodePlan, Example)| match example {
                Example::File(file) => format!("-F {}", quoted(&format!("{}=@{file}", decode.name))),
                Example::Json(value) => {
                    let part = format!("{}={value};type=application/json", decode.name);
                    format!("-F {}", quoted(&part))
                }
            };
            examples.iter().map(part).collect::<Vec<_>>().join(" ")
        }
    };
    format!("curl {body} {origin}{}", pipeline.route)
}

/// Quotes a word for a POSIX shell, where it needs to be.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-/=@".contains(c);
    if word.chars().all(plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

/// `http://HOST` as the client knows this server, for the lines that are shown to it.
pub fn origin(headers: &HeaderMap) -> String {
    let sane = |host: &str| {
        !host.is_empty()
            && host.len() < 256
            && host.bytes().all(|b| b.is_ascii_alphanumeric() || b".:-[]_".contains(&b))
    };
    let host = headers.get(HOST).and_then(|h| h.to_str().ok()).filter(|h| sane(h));
    format!("http://{}", host.unwrap_or("127.0.0.1:8080"))
}

/// `GET /`: as HTML for a browser, as text or JSON for a program.
pub fn index(headers: &HeaderMap, routes: &Routes) -> Response {
    let origin = origin(headers);
    let types = ["application/json", "text/html", "text/plain"];
    match prefers(headers, types) {
        Some(1) => page("text/html; charset=utf-8", html(&origin, routes)),
        Some(2) => page("text/plain; charset=utf-8", text(&origin, routes)),
        _ => {
            let list: Vec<Value> = routes.pipelines.iter().map(|r| described(&r.pipeline, &origin)).collect();
            json_page(
                StatusCode::OK,
                &json!({ "routes": list, "health": ["/healthz/live", "/healthz/ready"] }),
            )
        }
    }
}

fn described(pipeline: &Pipeline, origin: &str) -> Value {
    let decodes: Vec<Value> = pipeline
        .online
        .decodes
        .iter()
        .map(|d| json!({ "name": d.name, "format": d.decode.format() }))
        .collect();
    let encodes: Vec<Value> = pipeline
        .online
        .encodes
        .iter()
        .map(|e| json!({ "name": e.name, "format": e.encode.format(), "media_type": e.encode.media_type() }))
        .collect();
    json!({
        "pipeline": pipeline.name,
        "method": "POST",
        "route": pipeline.route,
        "decode": decodes,
        "encode": encodes,
        "curl": curl(pipeline, origin, &|_| None),
    })
}

fn text(origin: &str, routes: &Routes) -> String {
    let mut text = String::from("rserve serves these pipelines:\n");
    for route in &routes.pipelines {
        let line = curl(&route.pipeline, origin, &|_| None);
        text.push_str(&format!("\nPOST {}\n  {line}\n", route.pipeline.route));
        for encode in &route.pipeline.online.encodes {
            text.push_str(&format!("  ?encode={}  {}\n", encode.name, encode.encode.media_type()));
        }
    }
    text
}

fn html(origin: &str, routes: &Routes) -> String {
    let escaped = text(origin, routes).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    format!("<!doctype html><meta charset=\"utf-8\"><title>rserve</title><pre>{escaped}</pre>\n")
}

/// A path that leads nowhere.
pub fn not_found(path: &str, routes: &Routes) -> Problem {
    let shown: String = path.chars().take(256).collect();
    let hint = routes.nearest(path).map_or(String::new(), |n| format!("; did you mean `{n}`?"));
    let paths: Vec<&str> = routes.paths().collect();
    Problem::not_found(format!("there is no route `{shown}`{hint}")).with("routes", paths)
}

/// A predict route that was asked with another method than POST.
pub fn how_to_post(headers: &HeaderMap, pipeline: &Pipeline) -> Problem {
    let line = curl(pipeline, &origin(headers), &|_| None);
    Problem::method_not_allowed(METHODS, format!("send what is to be predicted from with POST: {line}"))
        .with("curl", line)
}

pub fn json_page(status: StatusCode, value: &impl Serialize) -> Response {
    let mut body = serde_json::to_string_pretty(value).unwrap_or_default();
    body.push('\n');
    let mut response = page("application/json", body);
    *response.status_mut() = status;
    response
}

pub fn page(media_type: &'static str, body: String) -> Response {
    let mut response = Response::new(Outgoing::from(Bytes::from(body)));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}
