//! What clients can take of the server's memory: bodies that do not end, and answers that are not taken.

use super::client::{Client, send};
use super::connections::{POST, eventually};
use super::pretend::{Rig, short, start_with};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rserve::ingress::Limits;
use rserve::memory::{Budget, Use};
use std::time::Duration;
use tokio::net::TcpStream;

/// Of which bodies and answers may take a quarter each.
async fn with_memory(bytes: u64) -> Rig {
    let limits =
        Limits { write_stall: Duration::from_millis(400), body_idle: Duration::from_secs(5), ..short() };
    start_with(limits, Budget::new(bytes)).await
}

fn held(rig: &Rig, purpose: Use) -> u64 {
    rig.memory.usage().by_use().find(|(of, _)| *of == purpose).unwrap().1
}

/// A connection of HTTP/2 whose streams may be sent so many bytes before their client reads them.
async fn http2(rig: &Rig, window: u32) -> SendRequest<Full<Bytes>> {
    let io = TokioIo::new(TcpStream::connect(rig.address).await.unwrap());
    let mut builder = Builder::new(TokioExecutor::new());
    let (sender, connection) = builder.initial_stream_window_size(window).handshake(io).await.unwrap();
    tokio::spawn(connection);
    sender
}

async fn post(sender: &SendRequest<Full<Bytes>>, rig: &Rig, body: &str) -> hyper::Response<Incoming> {
    let uri = format!("http://{}/one/predict", rig.address);
    let request = hyper::Request::post(uri).body(Full::new(Bytes::from(body.to_owned()))).unwrap();
    sender.clone().send_request(request).await.unwrap()
}

#[tokio::test]
async fn bodies_share_a_part_of_the_memory() {
    let rig = with_memory(2_000_000).await;
    let large = "q".repeat(90_000);
    let begun = format!("{POST}content-length: 90000\r\n\r\n{}", &large[1..]);
    let mut held_back = vec![];
    for _ in 0..4 {
        let mut client = Client::connect(rig.address).await;
        client.write(&begun).await;
        held_back.push(client);
    }
    eventually("four bodies are held", || held(&rig, Use::Bodies) > 360_000).await;
    let reply = send(rig.address, "POST /one/predict HTTP/1.1", &large).await;
    assert_eq!((reply.status, reply.header("retry-after")), (503, "1"), "{}", reply.text());
    assert_eq!(send(rig.address, "POST /one/predict HTTP/1.1", &large[..20_000]).await.status, 200);
    for client in &mut held_back {
        client.write("q").await;
        assert_eq!(client.reply().await.status, 200);
    }
    assert_eq!(send(rig.address, "POST /one/predict HTTP/1.1", &large).await.status, 200);
    drop(held_back);
    eventually("all is given back", || rig.memory.usage().reserved() == 0).await;
}

/// Up to 64 KiB of each were free: of a hundred streams on each of many connections, too.
#[tokio::test]
async fn small_bodies_count_too() {
    let rig = with_memory(4_000_000).await;
    let mut clients = vec![];
    for _ in 0..40 {
        let mut client = Client::connect(rig.address).await;
        client.write(format!("{POST}content-length: 60000\r\n\r\n{}", "q".repeat(59_999))).await;
        clients.push(client);
    }
    let mut refused = 0;
    for client in &mut clients {
        let turned_away = tokio::time::timeout(Duration::from_millis(50), client.reply()).await;
        refused += turned_away.is_ok_and(|reply| reply.status == 503) as usize;
    }
    assert!((20..30).contains(&refused), "{refused} of 40");
    assert!(held(&rig, Use::Bodies) <= 1_000_000);
}

#[tokio::test]
async fn a_body_that_never_fits_is_too_large() {
    let rig = with_memory(200_000).await;
    let reply = send(rig.address, "POST /one/predict HTTP/1.1", "q".repeat(90_000)).await;
    assert_eq!(reply.status, 413, "{}", reply.text());
    assert!(reply.text().contains("`memory` in `[server]`"), "{}", reply.text());
}

#[tokio::test]
async fn an_answer_counts_until_it_is_taken() {
    let rig = with_memory(64 << 20).await;
    let mut client = Client::connect(rig.address).await;
    client.write(format!("{POST}content-length: 14\r\n\r\nbytes 12000000")).await;
    eventually("it is held", || held(&rig, Use::Answers) == 12_000_000).await;
    let reply = send(rig.address, "POST /one/predict HTTP/1.1", "bytes 12000000").await;
    assert_eq!((reply.status, reply.header("retry-after")), (503, "1"), "{}", reply.text());
    assert_eq!(send(rig.address, "POST /one/predict HTTP/1.1", "bytes 60000").await.body.len(), 60_000);
    // Given back at once where the client breaks off.
    drop(client);
    eventually("it is given back", || held(&rig, Use::Answers) == 0).await;
    assert_eq!(
        send(rig.address, "POST /one/predict HTTP/1.1", "bytes 12000000").await.body.len(),
        12_000_000
    );
}

#[tokio::test]
async fn who_takes_nothing_is_cut_off() {
    let rig = with_memory(64 << 20).await;
    let mut client = Client::connect(rig.address).await;
    client.write(format!("{POST}content-length: 14\r\n\r\nbytes 12000000")).await;
    eventually("it is held", || held(&rig, Use::Answers) > 0).await;
    eventually("it is cut off", || held(&rig, Use::Answers) == 0).await;
}

/// Their answers were held for as long as their clients answered pings.
#[tokio::test]
async fn a_stream_that_takes_nothing_is_reset_and_the_others_go_on() {
    let rig = with_memory(64 << 20).await;
    let sender = http2(&rig, 0).await;
    let stuck = post(&sender, &rig, "bytes 3000000").await;
    assert_eq!(held(&rig, Use::Answers), 3_000_000);
    eventually("its answer is given back", || held(&rig, Use::Answers) == 0).await;
    let broken = stuck.into_body().collect().await;
    assert!(broken.is_err());
    assert_eq!(post(&sender, &rig, "x").await.status(), 200, "the connection goes on");
}

/// A window of one byte had the whole of a piece handed on, and its stream forgotten.
#[tokio::test]
async fn answers_that_the_connection_keeps_are_given_up_with_it() {
    let rig = with_memory(64 << 20).await;
    let sender = http2(&rig, 1).await;
    let _stuck = post(&sender, &rig, "bytes 30000").await;
    assert_eq!(held(&rig, Use::Answers), 30_000);
    eventually("its answer is given back", || held(&rig, Use::Answers) == 0).await;
}
