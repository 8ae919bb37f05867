//! What each request is answered with.

use super::client::{Client, get, send};
use super::pretend::{short, start};
use serde_json::json;
use std::sync::atomic::Ordering;

#[tokio::test]
async fn an_answer_says_what_served_it() {
    let rig = start(short()).await;
    let reply = send(rig.address, "POST /one/predict HTTP/1.1\r\nx-request-id: abc-1", "hello").await;
    assert_eq!((reply.status, reply.text().as_str()), (200, "reply[hello]"));
    assert_eq!(reply.header("content-type"), "application/json");
    assert_eq!(reply.header("x-rserve-models"), "mask@3");
    assert_eq!(reply.header("x-request-id"), "abc-1");
    assert!(reply.header("server-timing").starts_with("photo;dur=1.000, total;dur="), "{reply:?}");
}

/// Guides of other servers upload with `curl -T`, which is a PUT.
#[tokio::test]
async fn a_put_is_answered_as_a_post() {
    let rig = start(short()).await;
    let reply = send(rig.address, "PUT /one/predict?encode=overlay HTTP/1.1", "hello").await;
    assert_eq!((reply.status, reply.text().as_str()), (200, "overlay[hello]"));
}

#[tokio::test]
async fn a_path_is_the_same_however_its_letters_are_encoded() {
    let rig = start(short()).await;
    assert_eq!(send(rig.address, "POST /%6Fne/%70redict HTTP/1.1", "x").await.text(), "reply[x]");
    assert_eq!(send(rig.address, "POST /one%2Fpredict HTTP/1.1", "x").await.status, 404);
    assert_eq!(get(rig.admin, "/%73tatus").await.status, 200);
}

#[tokio::test]
async fn the_encode_is_chosen_by_name_or_accept() {
    let rig = start(short()).await;
    let post = |query: &str, accept: &str| {
        let accept = if accept.is_empty() { String::new() } else { format!("\r\naccept: {accept}") };
        let head = format!("POST /one/predict{query} HTTP/1.1{accept}");
        async move { send(rig.address, &head, "x").await }
    };
    assert_eq!(post("", "").await.text(), "reply[x]");
    assert_eq!(post("", "*/*").await.text(), "reply[x]");
    let png = post("", "image/*, application/json;q=0.5").await;
    assert_eq!((png.text().as_str(), png.header("content-type")), ("overlay[x]", "image/png"));
    assert_eq!(post("?a=b&encode=overlay", "application/json").await.text(), "overlay[x]");

    let none = post("", "text/html").await;
    assert_eq!(none.status, 406);
    assert_eq!(none.json()["encodes"], json!(["reply", "overlay"]));
    let unknown = post("?encode=overlai", "").await;
    assert_eq!(unknown.status, 400);
    assert_eq!(unknown.json()["encodes"], json!(["reply", "overlay"]));
    assert!(unknown.text().contains("did you mean `overlay`?"), "{}", unknown.text());
    // It is not sent back at length.
    assert!(post(&format!("?encode={}", "a".repeat(30_000)), "").await.body.len() < 1000);
}

#[tokio::test]
async fn each_failure_is_a_problem_document() {
    let rig = start(short()).await;
    let table = [
        ("malformed", 400, "malformed"),
        ("too-large", 413, "too-large"),
        ("wrong-type", 415, "wrong-type"),
        ("invalid", 422, "unprocessable"),
        ("queue-full", 429, "queue-full"),
        ("failed", 500, "internal"),
        ("panic", 500, "internal"),
    ];
    for (body, status, kind) in table {
        let reply = send(rig.address, "POST /one/predict HTTP/1.1\r\nx-request-id: r7", body).await;
        assert_eq!(reply.status, status, "{body}");
        assert_eq!(reply.header("content-type"), "application/problem+json");
        let document = reply.json();
        assert_eq!(document["type"], format!("urn:rserve:problem:{kind}"));
        assert_eq!(document["status"], status);
        assert_eq!(document["request_id"], "r7");
        assert_eq!(reply.header("retry-after"), if status == 429 { "3" } else { "" });
        assert!(!reply.text().contains("secret"), "{}", reply.text());
        if matches!(status, 413 | 415 | 422) {
            assert_eq!(document["decode"], "photo");
        }
    }
    // And the server is none the worse.
    assert_eq!(send(rig.address, "POST /one/predict HTTP/1.1", "x").await.status, 200);
}

#[tokio::test]
async fn a_deadline_is_a_504_and_gives_the_item_up() {
    let rig = start(short()).await;
    let reply = send(rig.address, "POST /brief/predict HTTP/1.1", "forever").await;
    assert_eq!(reply.status, 504);
    assert_eq!(rig.echo.running.load(Ordering::SeqCst), 0);
    assert_eq!(rig.echo.given_up.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn who_is_lost_is_shown_the_way() {
    let rig = start(short()).await;
    let reply = get(rig.address, "/on/predict").await;
    assert_eq!(reply.status, 404);
    assert!(reply.text().contains("did you mean `/one/predict`?"), "{}", reply.text());
    assert_eq!(reply.json()["routes"].as_array().unwrap().len(), 4);

    let reply = get(rig.address, "/one/predict").await;
    assert_eq!((reply.status, reply.header("allow")), (405, "POST, PUT, OPTIONS"));
    let line = format!("curl --data-binary @photo.jpg http://{}/one/predict", rig.address);
    assert_eq!(reply.json()["curl"], line);

    let index = get(rig.address, "/").await;
    assert_eq!(index.json()["routes"][0]["curl"], line);
    let two = format!("curl -F photo=@photo.jpg -F meta=@photo.jpg http://{}/two/predict", rig.address);
    assert_eq!(index.json()["routes"][1]["curl"], two);

    let mut client = Client::connect(rig.address).await;
    client.write("GET / HTTP/1.1\r\nhost: x\r\naccept: text/html,*/*;q=0.8\r\n\r\n").await;
    assert!(client.reply().await.text().starts_with("<!doctype html>"));
    client.write("OPTIONS /one/predict HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let options = client.reply().await;
    assert_eq!((options.status, options.header("allow")), (204, "POST, PUT, OPTIONS"));
    client.write("HEAD /healthz/live HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let head = client.head_reply().await;
    assert_eq!((head.status, head.header("content-length")), (200, "23"));
    // The connection is where it should be: no body followed the answer to HEAD.
    client.write("POST / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert_eq!(client.reply().await.status, 405);
}

#[tokio::test]
async fn readiness_follows_the_models_and_the_drain() {
    let rig = start(short()).await;
    assert_eq!(get(rig.address, "/healthz/ready").await.status, 200);
    rig.echo.loading.store(true, Ordering::SeqCst);
    let reply = get(rig.address, "/healthz/ready").await;
    assert_eq!((reply.status, reply.json()["models"]["mask"].clone()), (503, json!("loading")));
    assert_eq!(get(rig.address, "/healthz/live").await.status, 200);
    let reply = send(rig.address, "POST /one/predict HTTP/1.1", "x").await;
    assert_eq!((reply.status, reply.header("retry-after")), (503, "1"));
    rig.echo.loading.store(false, Ordering::SeqCst);
    rig.server.drain();
    assert_eq!(get(rig.address, "/healthz/ready").await.json()["status"], "draining");
}

#[tokio::test]
async fn admin_shows_and_reloads() {
    let rig = start(short()).await;
    let mut held = Client::connect(rig.address).await;
    held.write("GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    held.reply().await;
    send(rig.address, "POST /one/predict HTTP/1.1", "x").await;
    assert_eq!(get(rig.admin, "/status").await.json()["plan"]["files"], json!(["road.toml"]));
    let openly = async || {
        let mut scraper = Client::connect(rig.admin).await;
        let accept =
            "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        scraper.write(format!("GET /metrics HTTP/1.1\r\nhost: localhost\r\naccept: {accept}\r\n\r\n")).await;
        scraper.reply().await
    };
    let plain = get(rig.admin, "/metrics").await;
    assert_eq!(plain.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    assert!(plain.text().contains("# TYPE rserve_requests_total counter\n"), "{}", plain.text());
    assert!(!plain.text().contains("# EOF"), "{}", plain.text());
    let metrics = openly().await;
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert_eq!(metrics.header("content-type"), kind);
    let metrics = metrics.text();
    assert!(metrics.contains("rserve_requests_total{pipeline=\"one\",status=\"200\"} 1\n"), "{metrics}");
    assert!(metrics.contains("rserve_batches_total{model=\"mask\"} 7\n"), "{metrics}");
    let open = metrics.lines().find_map(|l| l.strip_prefix("rserve_connections ")).unwrap();
    assert!(open.parse::<i64>().unwrap() >= 1, "one is held open: {metrics}");
    assert!(metrics.ends_with("# EOF\n"));
    assert_eq!(send(rig.admin, "POST /models/mask/reload HTTP/1.1", "").await.status, 200);
    assert_eq!(send(rig.admin, "POST /models/other/reload HTTP/1.1", "").await.status, 404);
    let told = send(rig.admin, "POST /models/mask/versions/3/load HTTP/1.1", "").await.json();
    assert_eq!(told["error"], "told: Load(\"mask\", 3)");
    assert_eq!(send(rig.admin, "POST /models/mask/versions/4/unload HTTP/1.1", "").await.status, 409);
    for wrong in ["x", "03", "+3", "-1", "99999999999999999999", ""] {
        let path = format!("POST /models/mask/versions/{wrong}/load HTTP/1.1");
        assert_eq!(send(rig.admin, &path, "").await.status, 400, "{wrong}");
    }
    for listed in get(rig.admin, "/").await.json()["routes"].as_array().unwrap() {
        let (method, path) = listed.as_str().unwrap().split_once(' ').unwrap();
        let path = path.replace("NAME", "mask").replace("/N/", "/3/");
        assert_eq!(send(rig.admin, &format!("{method} {path} HTTP/1.1"), "").await.status, 200, "{listed}");
    }
    let foreign = "POST /reload HTTP/1.1\r\norigin: http://evil.example";
    assert_eq!(send(rig.admin, foreign, "").await.status, 403);
    for page in ["sec-fetch-site: cross-site", "sec-fetch-site: same-site", "origin: http://evil.example"] {
        for request in ["POST /reload", "GET /status", "GET /metrics"] {
            let head = format!("{request} HTTP/1.1\r\n{page}");
            assert_eq!(send(rig.admin, &head, "").await.status, 403, "{head}");
        }
    }
    assert_eq!(get(rig.admin, "/reload").await.status, 405);
    assert_eq!(get(rig.admin, "/one/predict").await.status, 404);
}

/// A page whose own name was made to mean this machine read everything, and gave orders.
#[tokio::test]
async fn admin_is_reached_by_its_address_or_a_name_that_is_listed() {
    let rig = start(short()).await;
    let status = async |host: &str| {
        let mut client = Client::connect(rig.admin).await;
        client.write(format!("POST /reload HTTP/1.1\r\nhost: {host}\r\ncontent-length: 0\r\n\r\n")).await;
        let reply = client.reply().await;
        (reply.status, reply.text())
    };
    let (refused, why) = status("rserve.internal:8081").await;
    assert_eq!(refused, 403);
    assert!(why.contains("admin_hosts = [\\\"rserve.internal\\\"]"), "{why}");
    rig.config.set_admin_hosts(vec!["rserve.internal".into()]);
    assert_eq!(status("rserve.internal:8081").await.0, 200);
    assert_eq!(status("evil.example").await.0, 403);
    assert_eq!(status("localhost:1").await.0, 200);
}

#[tokio::test]
async fn a_request_may_ask_for_a_version_and_a_split_is_decided_by_its_header() {
    let rig = start(short()).await;
    let served = async |header: &str| {
        let head = format!("POST /one/predict HTTP/1.1{header}");
        let reply = send(rig.address, &head, "x").await;
        (reply.status, reply.headers.get("x-rserve-models").cloned().unwrap_or_default())
    };
    assert_eq!(served("").await, (200, "mask@3".to_owned()));
    assert_eq!(served("\r\nx-user: ada").await, (200, "mask@4".to_owned()));
    assert_eq!(served("\r\nx-request-id: ada").await, (200, "mask@4".to_owned()));
    assert_eq!(served("\r\nx-user: ada\r\nx-rserve-version: mask=3").await, (200, "mask@3".to_owned()));
    assert_eq!(served("\r\nx-rserve-version: 3").await.0, 400);
    let reply = send(rig.address, "POST /one/predict HTTP/1.1\r\nx-rserve-version: mask=9", "x").await;
    assert_eq!((reply.status, reply.json()["served"].clone()), (400, json!([3, 4])));
}

#[tokio::test]
async fn admin_asks_for_its_token() {
    let rig = start(short()).await;
    rig.config.set_token(Some(rserve::ingress::Token::new(b"secret")));
    let status = async |head: &str| send(rig.admin, head, "").await.status;
    for path in ["GET /status", "GET /metrics", "POST /reload", "GET /none"] {
        assert_eq!(status(&format!("{path} HTTP/1.1")).await, 401, "{path}");
        let wrong = format!("{path} HTTP/1.1\r\nauthorization: Bearer wrong");
        assert_eq!(status(&wrong).await, 401, "{path}");
    }
    assert_eq!(status("GET /status HTTP/1.1\r\nauthorization: Bearer secret").await, 200);
    assert_eq!(status("POST /reload HTTP/1.1\r\nauthorization: Bearer secret").await, 200);
    assert_eq!(status("GET /healthz/live HTTP/1.1").await, 200);
    rig.config.set_token(None);
    assert_eq!(status("GET /status HTTP/1.1").await, 200);
}

#[tokio::test]
async fn health_has_a_listener_of_its_own() {
    let rig = start(short()).await;
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let (_stop, stopped) = tokio::sync::watch::channel(false);
    let listener = rserve::ingress::Listener::from_std(socket, &short()).unwrap();
    tokio::spawn(listener.serve(rserve::ingress::Health::new(rig.server.clone()), stopped));
    assert_eq!(get(address, "/healthz/live").await.json()["status"], "live");
    assert_eq!(get(address, "/healthz/ready").await.status, 200);
    assert_eq!(get(address, "/").await.status, 404);
    assert_eq!(send(address, "POST /one/predict HTTP/1.1", "x").await.status, 404);
    assert_eq!(send(address, "POST /healthz/live HTTP/1.1", "").await.status, 405);
    rig.server.drain();
    assert_eq!(get(address, "/healthz/ready").await.json()["status"], "draining");
}
