//! What the scheduler adds to a request: a model that does nothing, behind nothing but hyper, beside the same
//! server without the scheduler, in turn, in one run.
//!
//! `cargo bench --bench scheduler` prints latencies at p50 and p99, requests per second, and both beside the
//! bare server's. Sought: under 60 us added at p50 for one client, at least 60 % of the requests per second
//! for many.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::service::service_fn;
use hyper::{Request, Response, body::Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use rserve::plan::{BatchPolicy, DeviceId};
use rserve::scheduler::{
    Batch, Device, Executor, Instance, OwnThreads, Policy, RunError, Runner, SharedPool, Terms, Value, Want,
};
use rserve::tensor::Tensor;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

/// The model that does nothing.
struct Nothing;

impl Runner for Nothing {
    fn joins(&self) -> bool {
        true
    }

    fn run(&self, batch: Batch) -> Result<Vec<Vec<Option<Value>>>, RunError> {
        Ok(batch.rows.into_iter().map(|row| row.into_iter().map(Some).collect()).collect())
    }
}

/// A model without work, what is sent to it, and what is wanted.
struct Asked {
    instance: Instance,
    input: Value,
    wants: Arc<[Want]>,
}

impl Asked {
    fn new(executor: impl Executor) -> Arc<Self> {
        let policy = Policy {
            share: 1.0,
            batch: BatchPolicy::up_to(16),
            queue: 10_000,
            lanes: usize::MAX,
            memory: None,
            max_run: Duration::from_secs(60),
        };
        let device = Device::new(DeviceId::Cpu, executor);
        let input = Tensor::from_vec(vec![3, 64, 64], vec![0f32; 3 * 64 * 64]).expect("it fits");
        Arc::new(Self {
            instance: device.instance("nothing", Arc::new(Nothing), policy),
            input: Value::Host(input),
            wants: Arc::new([Want::Host]),
        })
    }

    async fn ask(&self) {
        let terms = Terms::until(Instant::now() + Duration::from_secs(60));
        let ticket = self.instance.submit(vec![self.input.clone()], self.wants.clone(), terms);
        ticket.expect("there is room").await.expect("nothing can fail");
    }
}

/// Latencies of all requests, in microseconds, ascending; and how many there were a second.
struct Measured {
    latencies: Vec<f64>,
    per_second: f64,
}

impl Measured {
    fn new(mut latencies: Vec<f64>, time: Duration) -> Self {
        latencies.sort_unstable_by(f64::total_cmp);
        let per_second = latencies.len() as f64 / time.as_secs_f64();
        Self { latencies, per_second }
    }

    fn at(&self, part: f64) -> f64 {
        let at = (self.latencies.len().saturating_sub(1)) as f64 * part;
        self.latencies.get(at as usize).copied().unwrap_or(f64::NAN)
    }

    fn line(&self) -> String {
        format!(
            "p50 {:>8.1} us  p99 {:>8.1} us  {:>9.0} requests/s",
            self.at(0.5),
            self.at(0.99),
            self.per_second
        )
    }
}

fn runtime() -> Runtime {
    Runtime::new().expect("a runtime")
}

fn since(started: Instant) -> f64 {
    started.elapsed().as_secs_f64() * 1e6
}

/// Clients within the process, one request at a time each.
fn within(asked: &Arc<Asked>, clients: usize, time: Duration) -> Measured {
    let latencies = runtime().block_on(async {
        let end = Instant::now() + time;
        let client = || {
            let asked = asked.clone();
            tokio::spawn(async move {
                let mut latencies = vec![];
                while Instant::now() < end {
                    let started = Instant::now();
                    asked.ask().await;
                    latencies.push(since(started));
                }
                latencies
            })
        };
        gathered((0..clients).map(|_| client()).collect()).await
    });
    Measured::new(latencies, time)
}

async fn gathered(tasks: Vec<tokio::task::JoinHandle<Vec<f64>>>) -> Vec<f64> {
    let mut all = vec![];
    for task in tasks {
        all.extend(task.await.expect("no panic"));
    }
    all
}

/// Reads the body, asks the model if there is one, and answers with the length of the body.
async fn serve(listener: TcpListener, asked: Option<Arc<Asked>>) {
    while let Ok((stream, _)) = listener.accept().await {
        stream.set_nodelay(true).expect("a TCP socket");
        let asked = asked.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request: Request<Incoming>| {
                let asked = asked.clone();
                async move {
                    let body = request.into_body().collect().await?.to_bytes();
                    if let Some(asked) = asked {
                        asked.ask().await;
                    }
                    Ok::<_, hyper::Error>(Response::new(Full::new(Bytes::from(body.len().to_string()))))
                }
            });
            // A client that leaves ends its own connection and nothing else.
            let _ = Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

/// One request over a connection that is kept.
async fn post(stream: &mut TcpStream, request: &[u8], answer: &mut [u8]) {
    stream.write_all(request).await.expect("it is read");
    let mut got = 0;
    while !answer[..got].ends_with(b"\r\n\r\n3072") {
        got += stream.read(&mut answer[got..]).await.expect("it is answered");
    }
}

/// Clients over TCP, from threads of their own.
fn over_http(server: &Runtime, asked: Option<Arc<Asked>>, clients: usize, time: Duration) -> Measured {
    let listener = server.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port");
    let address: SocketAddr = listener.local_addr().expect("it is bound");
    let serving = server.spawn(serve(listener, asked));
    let mut request = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 3072\r\n\r\n".to_vec();
    request.extend([0; 3072]);
    let request: Arc<[u8]> = request.into();
    let latencies = runtime().block_on(async {
        let end = Instant::now() + time;
        let client = || {
            let request = request.clone();
            tokio::spawn(async move {
                let mut stream = TcpStream::connect(address).await.expect("it listens");
                stream.set_nodelay(true).expect("a TCP socket");
                let (mut latencies, mut answer) = (vec![], [0; 1024]);
                while Instant::now() < end {
                    let started = Instant::now();
                    post(&mut stream, &request, &mut answer).await;
                    latencies.push(since(started));
                }
                latencies
            })
        };
        gathered((0..clients).map(|_| client()).collect()).await
    });
    serving.abort();
    Measured::new(latencies, time)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn main() {
    let time = Duration::from_secs(1);
    println!("the scheduler within the process");
    for clients in [1, 32, 256] {
        println!(
            "  shared pool {clients:>4} clients  {}",
            within(&Asked::new(SharedPool::default()), clients, time).line()
        );
        let thread = OwnThreads::start(DeviceId::Cpu).expect("a thread");
        println!("  own thread  {clients:>4} clients  {}", within(&Asked::new(thread), clients, time).line());
    }
    println!("behind hyper, and a bare hyper server in turn (median of five rounds)");
    let server = runtime();
    for clients in [1, 32, 128] {
        let (mut parts, mut added, mut added_p99) = (vec![], vec![], vec![]);
        for _ in 0..5 {
            let bare = over_http(&server, None, clients, time);
            let with = over_http(&server, Some(Asked::new(SharedPool::default())), clients, time);
            println!("  bare        {clients:>4} clients  {}", bare.line());
            println!("  scheduler   {clients:>4} clients  {}", with.line());
            parts.push(with.per_second / bare.per_second);
            added.push(with.at(0.5) - bare.at(0.5));
            added_p99.push(with.at(0.99) - bare.at(0.99));
        }
        println!(
            "  {clients} clients: {:.0} % of the bare server's requests/s, {:.1} us added at p50, {:.1} us at p99",
            median(parts) * 100.0,
            median(added),
            median(added_p99),
        );
    }
}
