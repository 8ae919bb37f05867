//! Clients that are slow, greedy, gone or in another version of HTTP, and the server's end.

use super::client::{Client, Reply, get, send};
use super::pretend::{short, start};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rserve::ingress::Limits;
use std::io::{Read, Write};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub const POST: &str = "POST /one/predict HTTP/1.1\r\nhost: x\r\n";

pub async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < Duration::from_secs(10), "never: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_connection_serves_many_requests() {
    let rig = start(short()).await;
    let mut client = Client::connect(rig.address).await;
    for i in 0..10 {
        let body = "z".repeat(i * 1000);
        client.write(format!("{POST}content-length: {}\r\n\r\n{body}", body.len())).await;
        assert_eq!(client.reply().await.text(), format!("reply[{body}]"));
    }
    // Two at once, answered in order.
    client.write(format!("{POST}content-length: 4\r\n\r\nslow{POST}content-length: 1\r\n\r\nb")).await;
    assert_eq!(client.reply().await.text(), "reply[slow]");
    assert_eq!(client.reply().await.text(), "reply[b]");
}

#[tokio::test]
async fn bodies_over_the_limit_are_not_read_on() {
    let rig = start(short()).await;
    // Announced: refused without a byte of it.
    let mut client = Client::connect(rig.address).await;
    client.write(format!("{POST}content-length: 100001\r\n\r\n")).await;
    let reply = client.reply().await;
    assert_eq!((reply.status, reply.header("connection")), (413, "close"));
    assert_eq!(reply.json()["max_body"], 100_000);
    client.closed().await;

    // Chunked: refused once it is over, and the answer arrives although the client goes on sending.
    let mut client = Client::connect(rig.address).await;
    client.write(format!("{POST}transfer-encoding: chunked\r\n\r\n")).await;
    let chunk = format!("{:x}\r\n{}\r\n", 50_000, "q".repeat(50_000));
    for _ in 0..40 {
        client.write(&chunk).await;
    }
    assert_eq!(client.reply().await.status, 413);

    let whole = format!("{POST}transfer-encoding: chunked\r\n\r\n{chunk}{chunk}0\r\n\r\n");
    let mut client = Client::connect(rig.address).await;
    client.write(whole).await;
    assert_eq!(client.reply().await.body.len(), 100_007);
}

#[tokio::test]
async fn expect_100_continue_is_answered_before_the_body() {
    let rig = start(short()).await;
    let mut client = Client::connect(rig.address).await;
    client.write(format!("{POST}content-length: 5\r\nexpect: 100-continue\r\n\r\n")).await;
    assert_eq!(client.reply().await.status, 100);
    client.write("hello").await;
    assert_eq!(client.reply().await.text(), "reply[hello]");
    // Too much is refused before any of it is sent.
    client.write(format!("{POST}content-length: 100001\r\nexpect: 100-continue\r\n\r\n")).await;
    assert_eq!(client.reply().await.status, 413);
}

/// What cannot be taken in is turned away by its head: nothing of it is run, and a connection is of use
/// afterwards, unless what is left on it is long.
#[tokio::test]
async fn a_full_queue_turns_a_request_away_before_its_body_is_wanted() {
    let rig = start(Limits { max_body: 8 << 20, ..short() }).await;
    rig.echo.full.store(true, Ordering::SeqCst);
    let mut client = Client::connect(rig.address).await;
    for body in ["", "short", &"z".repeat(700_000)] {
        client.write(format!("{POST}content-length: {}\r\n\r\n{body}", body.len())).await;
        let reply = client.reply().await;
        assert_eq!((reply.status, reply.header("retry-after"), reply.header("connection")), (429, "3", ""));
    }
    // It has not been sent, and is not asked for.
    let mut polite = Client::connect(rig.address).await;
    polite.write(format!("{POST}content-length: 5\r\nexpect: 100-continue\r\n\r\n")).await;
    assert_eq!(polite.reply().await.status, 429);
    // Long, or slow to come: the answer does not wait for it.
    for head in ["content-length: 7000000", "content-length: 5", "transfer-encoding: chunked"] {
        let mut other = Client::connect(rig.address).await;
        other.write(format!("{POST}{head}\r\n\r\n")).await;
        let reply = other.reply().await;
        assert_eq!((reply.status, reply.header("connection")), (429, "close"), "{head}");
    }
    rig.echo.full.store(false, Ordering::SeqCst);
    client.write(format!("{POST}content-length: 1\r\n\r\nb")).await;
    assert_eq!(client.reply().await.text(), "reply[b]");
    assert_eq!(rig.echo.given_up.load(Ordering::SeqCst), 0);
}

/// They ended the connection, as if something of them were left unread.
#[tokio::test]
async fn a_body_in_chunks_leaves_the_connection_open() {
    let rig = start(short()).await;
    let mut client = Client::connect(rig.address).await;
    for _ in 0..3 {
        client
            .write(format!("{POST}transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"))
            .await;
        let reply = client.reply().await;
        assert_eq!((reply.text().as_str(), reply.header("connection")), ("reply[abcde]", ""));
    }
}

/// A load balancer's connection was closed while it rested, after as long as a head may take.
#[tokio::test]
async fn a_connection_may_rest_longer_than_a_head_may_take() {
    let rig = start(short()).await;
    let mut client = Client::connect(rig.address).await;
    // One that was opened ahead of its first request rests too.
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(600)).await;
        client.write(format!("{POST}content-length: 1\r\n\r\nb\r\n")).await;
        assert_eq!(client.reply().await.text(), "reply[b]");
    }
    let since = Instant::now();
    client.closed().await;
    let rested = since.elapsed();
    assert!((800..1500).contains(&rested.as_millis()), "closed after {rested:?}");

    // The setting may change while connections rest.
    let mut client = Client::connect(rig.address).await;
    rig.config.set_keep_alive(Duration::from_secs(60));
    tokio::time::sleep(Duration::from_millis(1200)).await;
    client.write(format!("{POST}content-length: 1\r\n\r\nb")).await;
    assert_eq!(client.reply().await.text(), "reply[b]");
}

/// A request that takes longer than a connection may rest is none that rests.
#[tokio::test]
async fn a_long_request_does_not_count_as_rest() {
    let rig = start(Limits { keep_alive: Duration::from_millis(100), ..short() }).await;
    let mut client = Client::connect(rig.address).await;
    client.write(format!("{POST}content-length: 4\r\n\r\nslow")).await;
    assert_eq!(client.reply().await.text(), "reply[slow]");
    client.write(format!("{POST}content-length: 1\r\n\r\nb")).await;
    assert_eq!(client.reply().await.text(), "reply[b]");
}

/// By RFC 9112. Others took them, and two servers in a row may not agree on what they ask.
#[tokio::test]
async fn heads_that_can_be_read_in_two_ways_are_refused() {
    let rig = start(short()).await;
    let chunks = "0\r\n\r\n";
    for address in [rig.address, rig.admin] {
        for request in [
            "GET /healthz/live HTTP/1.1\r\n\r\n".to_owned(),
            "GET /healthz/live HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n".to_owned(),
            "GET /healthz/live HTTP/1.1\r\nhost: a b\r\n\r\n".to_owned(),
            format!(
                "GET /healthz/live HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked, chunked\r\n\r\n{chunks}"
            ),
            format!(
                "GET /healthz/live HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip, chunked\r\n\r\n{chunks}"
            ),
        ] {
            let mut client = Client::connect(address).await;
            client.write(&request).await;
            let reply = client.reply().await;
            assert_eq!((reply.status, reply.header("connection")), (400, "close"), "{request}");
            client.closed().await;
        }
        let mut old = Client::connect(address).await;
        old.write("GET /healthz/live HTTP/1.0\r\n\r\n").await;
        assert_eq!(old.reply().await.status, 200);
    }
}

#[tokio::test]
async fn slow_heads_are_cut_off() {
    let rig = start(short()).await;
    for begun in ["P", "PRI * HTTP/2.0\r\n", "POST /one/predict HTTP/1.1\r\nhost: x\r\n"] {
        let mut client = Client::connect(rig.address).await;
        client.write(begun).await;
        let since = Instant::now();
        client.closed().await;
        let passed = since.elapsed().as_millis();
        assert!((200..850).contains(&passed), "closed after {passed} ms: {begun:?}");
    }
    // The second of a connection too, and one that comes in drops.
    let mut client = Client::connect(rig.address).await;
    client.write(format!("{POST}content-length: 1\r\n\r\nb")).await;
    assert_eq!(client.reply().await.text(), "reply[b]");
    let since = Instant::now();
    let drops = async {
        for byte in POST.bytes() {
            if client.stream.try_write(&[byte]).is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        client.closed().await
    };
    drops.await;
    assert!(since.elapsed() < Duration::from_millis(2500), "{:?}", since.elapsed());
    assert_eq!(get(rig.address, "/healthz/live").await.status, 200);
}

#[tokio::test]
async fn slow_bodies_are_a_408() {
    let rig = start(short()).await;
    let mut client = Client::connect(rig.address).await;
    client.write(format!("{POST}content-length: 10\r\n\r\nabc")).await;
    let reply = client.reply().await;
    assert_eq!((reply.status, reply.header("connection")), (408, "close"));
    client.closed().await;

    // One that trickles is held to the time of the whole request.
    let mut client = Client::connect(rig.address).await;
    client.write("POST /brief/predict HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n").await;
    let trickle = async {
        loop {
            tokio::time::sleep(Duration::from_millis(50)).await;
            client.write("a").await;
            let mut peeked = [0];
            let answer =
                tokio::time::timeout(Duration::from_millis(1), client.stream.peek(&mut peeked)).await;
            if answer.is_ok() {
                return client.reply().await;
            }
        }
    };
    let reply: Reply = tokio::time::timeout(Duration::from_secs(5), trickle).await.unwrap();
    assert_eq!(reply.status, 408);
}

#[tokio::test]
async fn broken_requests_are_a_4xx() {
    let rig = start(short()).await;
    let long_header = format!("GET / HTTP/1.1\r\nhost: x\r\nx-long: {}\r\n\r\n", "h".repeat(1 << 17));
    let many_headers = format!("GET / HTTP/1.1\r\nhost: x\r\n{}\r\n", "a: b\r\n".repeat(200));
    for (request, status) in [
        ("GARBAGE\r\n\r\n", 400),
        ("POST /one/predict HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n", 400),
        ("POST /one/predict HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", 400),
        (long_header.as_str(), 431),
        (many_headers.as_str(), 431),
    ] {
        let mut client = Client::connect(rig.address).await;
        client.write(request).await;
        let shown = &request[..request.len().min(60)];
        assert_eq!(client.reply().await.status, status, "{shown}");
    }
}

#[tokio::test]
async fn an_item_whose_client_has_gone_is_given_up() {
    let rig = start(short()).await;
    let mut client = Client::connect(rig.address).await;
    client.write(format!("{POST}content-length: 7\r\n\r\nforever")).await;
    eventually("it runs", || rig.echo.running.load(Ordering::SeqCst) == 1).await;
    drop(client);
    eventually("it is given up", || rig.echo.given_up.load(Ordering::SeqCst) == 1).await;
    let metrics = get(rig.admin, "/metrics").await.text();
    assert!(metrics.contains("rserve_requests_total{pipeline=\"one\",status=\"499\"} 1\n"), "{metrics}");
    assert!(metrics.contains("rserve_requests_in_flight{pipeline=\"one\"} 0\n"), "{metrics}");
}

#[tokio::test]
async fn http2_is_spoken_with_prior_knowledge() {
    let rig = start(short()).await;
    let io = TokioIo::new(TcpStream::connect(rig.address).await.unwrap());
    let (sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
    tokio::spawn(connection);
    let post = |body: Bytes| {
        let mut sender = sender.clone();
        let uri = format!("http://{}/one/predict", rig.address);
        async move {
            let request = hyper::Request::post(uri).body(Full::new(body)).unwrap();
            let response = sender.send_request(request).await.unwrap();
            let status = response.status().as_u16();
            (status, response.into_body().collect().await.unwrap().to_bytes())
        }
    };
    let (slow, quick) = tokio::join!(post("slow".into()), post("x".into()));
    assert_eq!(slow, (200, Bytes::from("reply[slow]")));
    assert_eq!(quick, (200, Bytes::from("reply[x]")));
    let (status, _) = post(vec![b'y'; 100_001].into()).await;
    assert_eq!(status, 413);
    assert_eq!(post("again".into()).await.0, 200);
    // It is closed once it has rested, however many pings it answers.
    let mut sender = sender;
    let since = Instant::now();
    while sender.ready().await.is_ok() && !sender.is_closed() {
        assert!(since.elapsed() < Duration::from_secs(5), "it is never closed");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(since.elapsed() > Duration::from_millis(700), "closed after {:?}", since.elapsed());
}

/// Many clients read an answer only once they have sent all: they waited for ever, or took the reset of the
/// stream for the loss of its answer.
#[tokio::test]
async fn a_body_that_is_too_large_for_http2_is_taken_in_behind_its_answer() {
    let rig = start(short()).await;
    let io = TokioIo::new(TcpStream::connect(rig.address).await.unwrap());
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
    tokio::spawn(connection);
    let sent = Arc::new(AtomicUsize::new(0));
    let body = Pieces { left: 320, sent: sent.clone() };
    let uri = format!("http://{}/one/predict", rig.address);
    let response = sender.send_request(hyper::Request::post(uri).body(body).unwrap()).await.unwrap();
    assert_eq!(response.status().as_u16(), 413);
    let problem = response.into_body().collect().await.unwrap().to_bytes();
    assert!(problem.starts_with(b"{"), "{problem:?}");
    eventually("all of it is sent", || sent.load(Ordering::SeqCst) == 320).await;
}

/// A body of so many pieces of 64 KiB, which counts those that were asked for.
struct Pieces {
    left: usize,
    sent: Arc<AtomicUsize>,
}

impl hyper::body::Body for Pieces {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<hyper::body::Frame<Bytes>, Self::Error>>> {
        let Some(left) = self.left.checked_sub(1) else { return Poll::Ready(None) };
        self.left = left;
        self.sent.fetch_add(1, Ordering::SeqCst);
        Poll::Ready(Some(Ok(hyper::body::Frame::data(Bytes::from(vec![b'z'; 64 << 10])))))
    }
}

#[tokio::test]
async fn a_stop_finishes_what_is_in_flight() {
    let rig = start(short()).await;
    let mut busy = Client::connect(rig.address).await;
    let mut idle = Client::connect(rig.address).await;
    idle.write("GET /healthz/live HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert_eq!(idle.reply().await.status, 200);
    busy.write(format!("{POST}content-length: 4\r\n\r\nslow")).await;
    eventually("it runs", || rig.echo.running.load(Ordering::SeqCst) == 1).await;
    rig.stop.send(true).unwrap();
    assert_eq!(idle.closed().await, b"");
    assert_eq!(busy.reply().await.text(), "reply[slow]");
    assert_eq!(busy.closed().await, b"");
    tokio::time::timeout(Duration::from_secs(5), rig.serving).await.unwrap().unwrap();
    assert!(TcpStream::connect(rig.address).await.is_err());
}

#[tokio::test]
async fn a_stop_leaves_time_for_a_request_that_is_on_its_way() {
    let limits = Limits { last_call: Duration::from_millis(400), ..short() };
    let rig = start(limits).await;
    let mut kept = Client::connect(rig.address).await;
    kept.write("GET /healthz/live HTTP/1.1\r\nhost: x\r\n\r\n").await;
    kept.reply().await;
    rig.stop.send(true).unwrap();
    eventually("nobody is taken in", || std::net::TcpStream::connect(rig.address).is_err()).await;
    kept.write(format!("{POST}content-length: 1\r\n\r\na{POST}content-length: 1\r\n\r\nb")).await;
    let last = kept.reply().await;
    assert_eq!((last.status, last.header("connection")), (200, "close"));
    assert_eq!(kept.closed().await, b"");
    tokio::time::timeout(Duration::from_secs(5), rig.serving).await.unwrap().unwrap();
}

/// Clients that had connected, but were not accepted yet, were reset.
#[test]
fn a_stop_answers_who_has_connected() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let rig = runtime.block_on(start(short()));
    // Nothing is accepted while the runtime does not run.
    let clients: Vec<std::net::TcpStream> = (0..20)
        .map(|_| {
            let mut stream = std::net::TcpStream::connect(rig.address).unwrap();
            write!(stream, "{POST}content-length: 1\r\n\r\nx").unwrap();
            stream
        })
        .collect();
    rig.stop.send(true).unwrap();
    runtime.block_on(rig.serving).unwrap();
    for mut client in clients {
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    }
}

#[tokio::test]
async fn the_next_request_is_served_after_any_of_these() {
    let rig = start(short()).await;
    for body in ["panic", "failed", "malformed"] {
        send(rig.address, "POST /one/predict HTTP/1.1", body).await;
        assert_eq!(send(rig.address, "POST /one/predict HTTP/1.1", "x").await.status, 200);
    }
}

/// Each cost the server an answer, without a bound.
#[tokio::test]
async fn a_flood_of_pings_ends_its_connection() {
    let rig = start(short()).await;
    let mut client = Client::connect(rig.address).await;
    let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    client.write([&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &settings].concat()).await;
    let ping = [0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];
    for _ in 0..50 {
        if client.stream.write_all(&ping.repeat(100)).await.is_err() {
            break;
        }
    }
    let mut rest = vec![];
    let ended = client.stream.read_to_end(&mut rest);
    let _ = tokio::time::timeout(Duration::from_secs(10), ended).await.expect("it goes on");
    assert!(rest.len() < 5000 * ping.len(), "most of them were answered: {}", rest.len());
    assert_eq!(get(rig.address, "/healthz/live").await.status, 200);
}
