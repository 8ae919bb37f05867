//! One model, run as often as it is told: what `cpu.py` times beside other runtimes.
//!
//! `infer MODEL.onnx` reads lines: `input NAME DTYPE 1,3,224,224 FILE` (raw elements), `clear`, `run N` (answers
//! with the microseconds of each), `allocations` (of one run, and their bytes), `output INDEX FILE` (writes the elements
//! of an output), `profile N` (answers with the time of each step, until `end`), `roofline` (what this machine computes
//! and copies in a second).

use mimalloc::MiMalloc;
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;
use rserve::engine;
use rserve::memory::Budget;
use rserve::plan::{DeviceId, Signature};
use rserve::scheduler::{Batch, Runner, Value, Want};
use rserve::store;
use rserve::tensor::{DType, Tensor};
use std::alloc::{GlobalAlloc, Layout};
use std::collections::BTreeMap;
use std::hint::black_box;
use std::io::{BufRead, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Instant;
use tracing::field::{Field, Visit};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

type Error = Box<dyn std::error::Error>;

/// As the server has it, and counted.
#[global_allocator]
static ALLOCATOR: Counted = Counted;

struct Counted;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
static ALLOCATED: AtomicU64 = AtomicU64::new(0);

fn count(size: usize) {
    ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
    ALLOCATED.fetch_add(size as u64, Ordering::Relaxed);
}

// SAFETY: everything is done by the allocator that it counts for.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller's.
        unsafe { MiMalloc.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller's.
        unsafe { MiMalloc.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, old: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size);
        // SAFETY: the caller's.
        unsafe { MiMalloc.realloc(old, layout, size) }
    }

    unsafe fn dealloc(&self, old: *mut u8, layout: Layout) {
        // SAFETY: the caller's.
        unsafe { MiMalloc.dealloc(old, layout) }
    }
}

fn main() -> Result<(), Error> {
    let path = std::env::args().nth(1).ok_or("name a model.onnx")?;
    let mut model = Model::load(Path::new(&path))?;
    println!("ready");
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["input", name, dtype, dims, file] => model.give(name, dtype, dims, file)?,
            ["clear"] => model.inputs.clear(),
            ["run", count] => {
                let times = (0..count.parse()?).map(|_| model.time()).collect::<Result<Vec<_>, _>>()?;
                println!("{}", times.iter().map(|t| format!("{t:.1}")).collect::<Vec<_>>().join(" "));
            }
            ["output", index, file] => model.write(index.parse()?, file)?,
            ["profile", count] => model.profile(count.parse()?)?,
            ["allocations"] => {
                let (count, bytes) = model.allocations()?;
                println!("{count} {bytes}");
            }
            ["roofline"] => println!("{:.1} {:.2}", gigaflops(), gigabytes()),
            _ => return Err(format!("{line:?} is not known").into()),
        }
        std::io::stdout().flush()?;
    }
    Ok(())
}

struct Model {
    runner: Arc<dyn Runner>,
    signature: Signature,
    /// Whole, with the batch axis where there is one.
    inputs: BTreeMap<String, Tensor>,
}

impl Model {
    fn load(path: &Path) -> Result<Self, Error> {
        let model = engine::open(store::model(path, &engine::Onnx, &Budget::unlimited())?)?;
        let signature = model.inspect()?.signature;
        Ok(Self {
            runner: model.load(DeviceId::Cpu, &Budget::unlimited())?,
            signature,
            inputs: BTreeMap::new(),
        })
    }

    fn give(&mut self, name: &str, dtype: &str, dims: &str, file: &str) -> Result<(), Error> {
        let dtype = DType::from_name(dtype).ok_or_else(|| format!("{dtype:?} is no type"))?;
        let shape = dims.split(',').map(str::parse).collect::<Result<Vec<usize>, _>>()?;
        let tensor = Tensor::from_bytes(dtype, shape, std::fs::read(file)?.into())?;
        self.inputs.insert(name.to_owned(), tensor);
        Ok(())
    }

    fn batch(&self) -> Result<Batch, Error> {
        let mut rows: Vec<Vec<Value>> = Vec::new();
        for port in &self.signature.inputs {
            let whole = self.inputs.get(&port.name).ok_or_else(|| format!("no input {:?}", port.name))?;
            let split = port.batch == Some(0);
            let count = if split { whole.shape()[0] } else { 1 };
            rows.resize_with(count.max(rows.len()), Vec::new);
            for (index, row) in rows.iter_mut().enumerate() {
                let item = if split { whole.row(index).ok_or("batches differ")? } else { whole.clone() };
                row.push(Value::Host(item));
            }
        }
        Ok(Batch::new(rows, vec![Want::Host; self.signature.outputs.len()]))
    }

    /// Microseconds of one run.
    fn time(&self) -> Result<f64, Error> {
        let batch = self.batch()?;
        let began = Instant::now();
        black_box(self.runner.run(batch)?);
        Ok(began.elapsed().as_secs_f64() * 1e6)
    }

    /// Allocations of one run and the bytes of them, once the model has run before.
    fn allocations(&self) -> Result<(u64, u64), Error> {
        for _ in 0..5 {
            self.time()?;
        }
        let batch = self.batch()?;
        let before = (ALLOCATIONS.load(Ordering::Relaxed), ALLOCATED.load(Ordering::Relaxed));
        black_box(self.runner.run(batch)?);
        Ok((ALLOCATIONS.load(Ordering::Relaxed) - before.0, ALLOCATED.load(Ordering::Relaxed) - before.1))
    }

    fn write(&self, index: usize, file: &str) -> Result<(), Error> {
        let mut elements = Vec::new();
        for row in self.runner.run(self.batch()?)? {
            if let Some(Some(Value::Host(tensor))) = row.get(index) {
                elements.extend_from_slice(tensor.bytes());
            }
        }
        std::fs::write(file, elements)?;
        println!("written");
        Ok(())
    }

    /// `NANOSECONDS OPERATOR "NAME" SHAPES`, of every step of the model, in its order. Runs are slower afterwards.
    fn profile(&self, count: usize) -> Result<(), Error> {
        static STEPS: OnceLock<Collected> = OnceLock::new();
        let steps = STEPS.get_or_init(|| {
            let steps = Collected::default();
            // Nothing else sets it.
            let _ = tracing::subscriber::set_global_default(
                tracing_subscriber::registry().with(Steps(steps.clone())),
            );
            steps
        });
        let mut all: Vec<(String, Vec<u64>)> = Vec::new();
        for _ in 0..count {
            self.runner.run(self.batch()?)?;
            let run = std::mem::take(&mut *steps.lock().map_err(|e| e.to_string())?);
            all.resize_with(run.len().max(all.len()), Default::default);
            for ((name, times), (step, nanos)) in all.iter_mut().zip(run) {
                *name = step;
                times.push(nanos);
            }
        }
        for (name, mut times) in all {
            times.sort_unstable();
            println!("{} {name}", times[times.len() / 2]);
        }
        println!("end");
        Ok(())
    }
}

type Collected = Arc<Mutex<Vec<(String, u64)>>>;

/// Gathers the events that a run leaves for each step of the outermost graph.
struct Steps(Collected);

impl<S: tracing::Subscriber> Layer<S> for Steps {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let mut step = Step::default();
        event.record(&mut step);
        if step.depth == 1
            && let Ok(mut steps) = self.0.lock()
        {
            steps.push((format!("{} {}", step.name, step.shapes), step.nanos));
        }
    }
}

#[derive(Default)]
struct Step {
    name: String,
    shapes: String,
    nanos: u64,
    depth: u64,
}

impl Visit for Step {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        match field.name() {
            "step" => self.name = format!("{value:?}"),
            "shapes" => self.shapes = format!("{value:?}"),
            _ => {}
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        match field.name() {
            "nanos" => self.nanos = value,
            "depth" => self.depth = value,
            _ => {}
        }
    }
}

/// Multiply-adds that do not wait for each other, on every thread; the best of several.
fn gigaflops() -> f64 {
    struct Sums(u64);
    impl WithSimd for Sums {
        type Output = f64;

        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) -> f64 {
            const CHAINS: usize = 12;
            let (scale, add) = (simd.splat_f32s(black_box(0.999)), simd.splat_f32s(black_box(0.001)));
            // Different ones, or they would be computed once.
            let mut sums: [S::f32s; CHAINS] = std::array::from_fn(|i| simd.splat_f32s(black_box(i as f32)));
            for _ in 0..self.0 {
                for sum in &mut sums {
                    *sum = simd.mul_add_f32s(*sum, scale, add);
                }
            }
            let mut total = simd.splat_f32s(0.0);
            for sum in sums {
                total = simd.add_f32s(total, sum);
            }
            black_box(simd.reduce_sum_f32s(total));
            (self.0 as usize * CHAINS * S::F32_LANES * 2) as f64
        }
    }
    let arch = Arch::new();
    let run = || {
        let began = Instant::now();
        let done: f64 =
            (0..rayon::current_num_threads()).into_par_iter().map(|_| arch.dispatch(Sums(2_000_000))).sum();
        done / began.elapsed().as_secs_f64() / 1e9
    };
    (0..20).map(|_| run()).fold(0.0, f64::max)
}

/// Bytes read and written by a copy that no cache of a core holds, on every thread; the best of several.
fn gigabytes() -> f64 {
    const PART: usize = 4 << 20;
    let from = vec![1f32; 16 * PART];
    let mut to = vec![0f32; 16 * PART];
    let mut run = || {
        let began = Instant::now();
        to.par_chunks_mut(PART).zip(from.par_chunks(PART)).for_each(|(to, from)| to.copy_from_slice(from));
        black_box(&mut to);
        (2 * size_of_val(&from[..])) as f64 / began.elapsed().as_secs_f64() / 1e9
    };
    (0..5).map(|_| run()).fold(0.0, f64::max)
}
