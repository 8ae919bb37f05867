//! One client among others: what it may take at most, and what it leaves.

use super::client::{Client, Reply, send};
use super::connections::{POST, eventually};
use super::pretend::{Rig, short, start_with};
use rserve::ingress::{ClientRules, Limits};
use rserve::memory::{Budget, Use};
use rserve::plan::PerClient;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpSocket, TcpStream};

const GREEDY: &str = "127.0.0.2";

async fn connect_from(rig: &Rig, source: &str) -> Client {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::new(source.parse().unwrap(), 0)).unwrap();
    let stream: TcpStream = socket.connect(rig.address).await.unwrap();
    Client { stream }
}

async fn rig(connections: Option<usize>, memory: Option<u64>, proxies: &[&str]) -> Rig {
    let limits = Limits {
        body_idle: Duration::from_secs(5),
        keep_alive: Duration::from_secs(5),
        connections: 10,
        ..short()
    };
    let rig = start_with(limits, Budget::new(4_000_000)).await;
    rig.config.set_client_rules(ClientRules {
        per_client: Some(PerClient { connections, memory }),
        proxies: proxies.iter().map(|network| network.parse().unwrap()).collect(),
    });
    rig
}

/// A body of so many bytes of which the last is held back.
async fn begun(client: &mut Client, bytes: usize, header: &str) {
    client.write(format!("{POST}{header}content-length: {bytes}\r\n\r\n{}", "q".repeat(bytes - 1))).await;
}

async fn ended(client: &mut Client) -> Reply {
    client.write("q").await;
    client.reply().await
}

/// Half of all connections are one client's at most: idle ones of one address took all of them.
#[tokio::test]
async fn one_client_cannot_take_all_connections() {
    let rig = rig(None, None, &[]).await;
    let mut idle = vec![];
    for _ in 0..5 {
        idle.push(connect_from(&rig, GREEDY).await);
    }
    let mut sixth = connect_from(&rig, GREEDY).await;
    let reply = sixth.reply().await;
    assert_eq!((reply.status, reply.header("retry-after")), (429, "1"), "{}", reply.text());
    assert!(reply.text().contains("may have 5 connections"), "{}", reply.text());
    sixth.closed().await;
    assert_eq!(send(rig.address, "POST /one/predict HTTP/1.1", "x").await.status, 200);
    // One that is closed makes room for another.
    drop(idle.pop());
    let mut next = connect_from(&rig, GREEDY).await;
    let mut first = [0];
    while tokio::time::timeout(Duration::from_millis(50), next.stream.read_exact(&mut first)).await.is_ok() {
        next = connect_from(&rig, GREEDY).await;
    }
    next.write(format!("{POST}content-length: 1\r\n\r\nx")).await;
    assert_eq!(next.reply().await.status, 200);
}

#[tokio::test]
async fn one_client_cannot_take_the_memory_for_all_bodies() {
    let rig = rig(Some(10), Some(285_000), &[]).await;
    let mut greedy = [connect_from(&rig, GREEDY).await, connect_from(&rig, GREEDY).await];
    for client in &mut greedy {
        begun(client, 90_000, "").await;
    }
    eventually("both are held", || rig.memory.usage().reserved() > 180_000).await;
    let mut third = connect_from(&rig, GREEDY).await;
    begun(&mut third, 90_000, "").await;
    let reply = third.reply().await;
    assert_eq!((reply.status, reply.header("retry-after")), (429, "1"), "{}", reply.text());
    assert!(reply.text().contains("urn:rserve:problem:client-full"), "{}", reply.text());
    assert_eq!(send(rig.address, "POST /one/predict HTTP/1.1", "q".repeat(90_000)).await.status, 200);
    for client in &mut greedy {
        assert_eq!(ended(client).await.status, 200);
    }
    // Answers count beside them.
    let mut slow = connect_from(&rig, GREEDY).await;
    slow.write(format!("{POST}content-length: 12\r\n\r\nbytes 300000")).await;
    assert_eq!(slow.reply().await.status, 413);
    assert_eq!(rig.memory.usage().by_use().find(|(of, _)| *of == Use::Answers).unwrap().1, 0);
}

#[tokio::test]
async fn behind_a_proxy_each_client_has_its_own_part() {
    let rig = rig(Some(1), Some(190_000), &["127.0.0.2/32"]).await;
    let forwarded = |client: &str| format!("x-forwarded-for: {client}\r\n");
    let mut held = connect_from(&rig, GREEDY).await;
    begun(&mut held, 90_000, &forwarded("6.6.6.6, 192.0.2.1")).await;
    eventually("it is held", || rig.memory.usage().reserved() > 90_000).await;
    // The proxy has as many connections as it wants.
    let mut other = connect_from(&rig, GREEDY).await;
    begun(&mut other, 90_000, &forwarded("192.0.2.1")).await;
    assert_eq!(other.reply().await.status, 429);
    let mut other = connect_from(&rig, GREEDY).await;
    begun(&mut other, 90_000, &forwarded("192.0.2.2")).await;
    assert_eq!(ended(&mut other).await.status, 200);
    // Others are not taken at their word.
    let mut client = connect_from(&rig, "127.0.0.3").await;
    begun(&mut client, 90_000, &forwarded("192.0.2.1")).await;
    assert_eq!(ended(&mut client).await.status, 200);
    assert_eq!(ended(&mut held).await.status, 200);
}
