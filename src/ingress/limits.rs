//! What a client may take of a server.

use std::time::Duration;

#[derive(Clone, Debug)]
pub struct Limits {
    /// The bytes that a body may have.
    pub max_body: usize,
    /// The bytes that a request's head may have.
    pub max_head: usize,
    pub max_headers: usize,
    /// The time from the first byte of a head to its last.
    pub head: Duration,
    /// The time that a connection may rest between two requests. It is longer than a load balancer keeps its own,
    /// which is 60 s with many: a connection that both close at once costs a request.
    pub keep_alive: Duration,
    /// The time between two pieces of a body.
    pub body_idle: Duration,
    /// The time that a client may take nothing, or too little, of its answer.
    pub write_stall: Duration,
    /// The time that a connection without a request is kept open after a stop, for one that is on its way.
    pub last_call: Duration,
    /// The number of connections that are open at once. More wait to be accepted.
    pub connections: usize,
    /// The number of requests that one connection of HTTP/2 may have in flight.
    pub streams: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_body: 16 << 20,
            max_head: 64 << 10,
            max_headers: 100,
            head: Duration::from_secs(20),
            keep_alive: Duration::from_secs(75),
            body_idle: Duration::from_secs(10),
            write_stall: Duration::from_secs(30),
            last_call: Duration::from_millis(250),
            connections: 10_000,
            streams: 64,
        }
    }
}
