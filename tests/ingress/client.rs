//! A client that sends bytes as they are given, so that it can misbehave.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    /// By lower-case name.
    pub headers: HashMap<String, String>,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.text()))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

pub struct Client {
    pub stream: TcpStream,
}

impl Client {
    pub async fn connect(address: SocketAddr) -> Self {
        Self { stream: TcpStream::connect(address).await.unwrap() }
    }

    pub async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
    }

    /// One answer, read by its content-length.
    pub async fn reply(&mut self) -> Reply {
        timeout(Duration::from_secs(10), self.read(false)).await.expect("no answer in ten seconds")
    }

    async fn read(&mut self, head_only: bool) -> Reply {
        let mut head = vec![];
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.stream.read_u8().await.expect("the connection was closed before an answer"));
        }
        let text = String::from_utf8(head).unwrap();
        let mut lines = text.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers: HashMap<String, String> = lines
            .filter_map(|l| l.split_once(": "))
            .map(|(k, v)| (k.to_ascii_lowercase(), v.to_owned()))
            .collect();
        let length = headers.get("content-length").map_or(0, |l| l.parse().unwrap());
        let mut body = vec![0; if head_only || status == 100 { 0 } else { length }];
        self.stream.read_exact(&mut body).await.unwrap();
        Reply { status, headers, body }
    }

    pub async fn head_reply(&mut self) -> Reply {
        self.read(true).await
    }

    /// Waits until the server closes; what still came.
    pub async fn closed(&mut self) -> Vec<u8> {
        let mut rest = vec![];
        let read = timeout(Duration::from_secs(10), self.stream.read_to_end(&mut rest)).await;
        let _ = read.expect("not closed within ten seconds");
        rest
    }
}

/// One request on a connection of its own.
pub async fn send(address: SocketAddr, head: &str, body: impl AsRef<[u8]>) -> Reply {
    let body = body.as_ref();
    let mut client = Client::connect(address).await;
    client.write(format!("{head}\r\nhost: {address}\r\ncontent-length: {}\r\n\r\n", body.len())).await;
    client.write(body).await;
    client.reply().await
}

pub async fn get(address: SocketAddr, path: &str) -> Reply {
    let mut client = Client::connect(address).await;
    client.write(format!("GET {path} HTTP/1.1\r\nhost: {address}\r\n\r\n")).await;
    client.reply().await
}
