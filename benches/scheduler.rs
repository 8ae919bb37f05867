//! What the scheduler adds to a request: a model that does nothing, asked by one client and by many.
//!
//! `cargo bench --bench scheduler` prints latencies at p50 and p99 and requests per second.

use rserve::plan::{BatchPolicy, Batching, DeviceId};
use rserve::scheduler::{
    Batch, Device, Instance, OwnThread, Policy, RunError, Runner, SharedPool, Terms, Value, Want,
};
use rserve::tensor::Tensor;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

struct Echo;

impl Runner for Echo {
    fn batching(&self) -> Batching {
        Batching::Dynamic
    }

    fn run(&self, batch: Batch) -> Result<Vec<Vec<Option<Value>>>, RunError> {
        Ok(batch.rows.into_iter().map(|row| row.into_iter().map(Some).collect()).collect())
    }
}

/// One request; how long it took.
async fn ask(instance: &Instance, input: &Value, wants: &Arc<[Want]>) -> Duration {
    let started = Instant::now();
    let deadline = started + Duration::from_secs(60);
    let ticket =
        instance.submit(vec![input.clone()], wants.clone(), Terms::until(deadline)).expect("there is room");
    ticket.await.expect("nothing can fail");
    started.elapsed()
}

fn measure(name: &str, device: &Device, clients: usize, time: Duration) {
    let policy =
        Policy { share: 1.0, batch: BatchPolicy::up_to(16), queue: clients.max(1), lanes: usize::MAX };
    let instance = Arc::new(device.instance("echo", Arc::new(Echo), policy));
    let input = Value::Host(Tensor::from_vec(vec![3, 64, 64], vec![0f32; 3 * 64 * 64]).expect("it fits"));
    let wants: Arc<[Want]> = Arc::new([Want::Host]);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let mut latencies: Vec<Duration> = runtime.block_on(async {
        let end = Instant::now() + time;
        let tasks: Vec<_> = (0..clients)
            .map(|_| {
                let (instance, input, wants) = (instance.clone(), input.clone(), wants.clone());
                tokio::spawn(async move {
                    let mut latencies = vec![];
                    while Instant::now() < end {
                        latencies.push(ask(&instance, &input, &wants).await);
                    }
                    latencies
                })
            })
            .collect();
        let mut all = vec![];
        for task in tasks {
            all.extend(task.await.expect("no panic"));
        }
        all
    });
    latencies.sort_unstable();
    let at = |part: f64| latencies[((latencies.len() - 1) as f64 * part) as usize].as_secs_f64() * 1e6;
    let counters = instance.counters();
    println!(
        "{name:<12} {clients:>4} clients  p50 {:>8.1} us  p99 {:>8.1} us  {:>9.0} requests/s  {:>5.2} rows a batch",
        at(0.5),
        at(0.99),
        latencies.len() as f64 / time.as_secs_f64(),
        counters.rows as f64 / counters.batches as f64,
    );
}

/// The same work handed to a task of the runtime: what the threads alone cost.
fn bare(clients: usize, time: Duration) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let asked = Arc::new(AtomicU64::new(0));
    runtime.block_on(async {
        let end = Instant::now() + time;
        let tasks: Vec<_> = (0..clients)
            .map(|_| {
                let asked = asked.clone();
                tokio::spawn(async move {
                    while Instant::now() < end {
                        tokio::spawn(async {}).await.expect("no panic");
                        asked.fetch_add(1, Relaxed);
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.expect("no panic");
        }
    });
    let per_second = asked.load(Relaxed) as f64 / time.as_secs_f64();
    println!("{:<12} {clients:>4} clients  {per_second:>9.0} tasks/s", "tokio alone");
}

fn main() {
    let time = Duration::from_secs(2);
    for clients in [1, 4, 32, 256] {
        bare(clients, time);
        measure("shared pool", &Device::new(DeviceId::Cpu, SharedPool), clients, time);
        let thread = OwnThread::start(DeviceId::Cpu).expect("a thread");
        measure("own thread", &Device::new(DeviceId::Cpu, thread), clients, time);
    }
}
