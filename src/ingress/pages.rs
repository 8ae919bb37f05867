//! What a person sees who looks around: the list of routes, and the curl line of each.

use super::Response;
use super::accept::prefers;
use super::predict::METHODS;
use super::problem::Problem;
use super::routes::Routes;
use crate::plan::{DecodePlan, Pipeline};
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HOST, HeaderValue};
use hyper::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use std::path::PathBuf;

/// A curl line that asks `pipeline` for an answer. `example` may know a file to send for a decode.
pub fn curl(pipeline: &Pipeline, origin: &str, example: &dyn Fn(&DecodePlan) -> Option<PathBuf>) -> String {
    let decodes = &pipeline.online.decodes;
    let body: Vec<String> = decodes
        .iter()
        .map(|d| {
            let usual = d.decode.curl_example();
            let several = decodes.len() > 1;
            match (usual.split_once('@'), usual.split_once("--data ")) {
                (Some((_, file)), _) => {
                    let file = example(d).map_or(file.to_owned(), |p| p.display().to_string());
                    let file = quoted(&file);
                    if several { format!("-F {}=@{file}", d.name) } else { format!("--data-binary @{file}") }
                }
                (None, Some((_, document))) if several => format!("-F {}={document}", d.name),
                _ => usual,
            }
        })
        .collect();
    format!("curl {} {origin}{}", body.join(" "), pipeline.route)
}

/// For a POSIX shell, only where it needs to be.
fn quoted(file: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
    if file.chars().all(plain) { file.to_owned() } else { format!("'{}'", file.replace('\'', r"'\''")) }
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

pub fn json_page(status: StatusCode, value: &Value) -> Response {
    let mut body = serde_json::to_string_pretty(value).unwrap_or_default();
    body.push('\n');
    let mut response = page("application/json", body);
    *response.status_mut() = status;
    response
}

pub fn page(media_type: &'static str, body: String) -> Response {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}
