//! Stand-ins for the engine, so that scheduler, lifecycle and flow are tried without a model.

use rserve::plan::{Dim, Id, Port, Signature};
use rserve::scheduler::{Batch, Executor, Memory, Resident, RunError, Runner, StagedBatch, Value};
use rserve::tensor::{DType, Tensor};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

type Row = Vec<Option<Value>>;
type Compute = dyn Fn(&[Value]) -> Result<Row, RunError> + Send + Sync;

/// A position in a list of a plan.
pub fn id<I: Id>(index: usize) -> I {
    I::new(index)
}

/// Positions in a list of a plan.
pub fn ids<I: Id>(indices: &[usize]) -> Vec<I> {
    indices.iter().copied().map(I::new).collect()
}

/// A model that computes each row by a function, and remembers its batches.
pub struct Fake {
    pub joins: bool,
    compute: Box<Compute>,
    /// The rows of each batch that was run, by their first number.
    pub batches: Mutex<Vec<Vec<f32>>>,
    pub gate: Gate,
    pub memory: Memory,
    /// Whether its batches may be staged.
    pub stages: bool,
    /// As `batches`, of those that were staged.
    pub staged: Mutex<Vec<Vec<f32>>>,
}

/// A batch whose rows are where the fake wants them.
struct Staged(Arc<Fake>, Batch);

/// Holds back whoever comes, while it is closed.
#[derive(Debug, Default)]
pub struct Gate {
    state: Mutex<(bool, usize)>,
    changed: Condvar,
}

impl Gate {
    pub fn close(&self) {
        self.state.lock().unwrap().0 = true;
    }

    pub fn open(&self) {
        self.state.lock().unwrap().0 = false;
        self.changed.notify_all();
    }

    /// Waits until so many have come since the beginning, and panics after a minute of it.
    pub fn wait_for(&self, arrivals: usize) {
        let state = self.state.lock().unwrap();
        let minute = Duration::from_secs(60);
        let (state, waited) =
            self.changed.wait_timeout_while(state, minute, |state| state.1 < arrivals).unwrap();
        assert!(!waited.timed_out(), "{} of {arrivals} came", state.1);
    }

    /// How many have come since the beginning.
    pub fn arrivals(&self) -> usize {
        self.state.lock().unwrap().1
    }

    pub fn pass(&self) {
        let mut state = self.state.lock().unwrap();
        state.1 += 1;
        self.changed.notify_all();
        while state.0 {
            state = self.changed.wait(state).unwrap();
        }
    }
}

impl Fake {
    pub fn new(compute: impl Fn(&[Value]) -> Result<Row, RunError> + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            joins: true,
            compute: Box::new(compute),
            batches: Mutex::default(),
            gate: Gate::default(),
            memory: Memory::default(),
            stages: false,
            staged: Mutex::default(),
        })
    }

    /// As [`Fake::times`], its batches sent ahead. 777 cannot be sent.
    pub fn staging(factor: f32) -> Arc<Self> {
        let mut fake = Self::times(factor);
        Arc::get_mut(&mut fake).unwrap().stages = true;
        fake
    }

    /// Gives the sum of its inputs' first numbers, times `factor`. A negative number cannot be run, and 666
    /// is a panic.
    pub fn times(factor: f32) -> Arc<Self> {
        Self::new(move |inputs| {
            let sum: f32 = inputs.iter().map(first).sum();
            if sum < 0.0 {
                return Err(RunError::Input(format!("{sum} is negative")));
            }
            assert!(sum != 666.0, "the number of the beast");
            Ok(vec![Some(number(sum * factor))])
        })
    }

    pub fn sizes(&self) -> Vec<usize> {
        self.batches.lock().unwrap().iter().map(Vec::len).collect()
    }
}

impl Runner for Fake {
    fn joins(&self) -> bool {
        self.joins
    }

    fn memory(&self) -> Memory {
        self.memory
    }

    fn run(&self, batch: Batch) -> Result<Vec<Row>, RunError> {
        self.batches.lock().unwrap().push(batch.rows.iter().map(|row| first(&row[0])).collect());
        self.gate.pass();
        let alike = |row: &Vec<Value>| {
            row.iter().zip(&batch.rows[0]).all(|(a, b)| a.dtype() == b.dtype() && a.shape() == b.shape())
        };
        assert!(batch.rows.iter().all(alike), "rows of one batch are alike");
        batch.rows.iter().map(|row| (self.compute)(row)).collect()
    }

    fn stages(&self) -> bool {
        self.stages
    }

    fn stage(self: Arc<Self>, batch: Batch) -> Result<Box<dyn StagedBatch>, RunError> {
        let rows: Vec<f32> = batch.rows.iter().map(|row| first(&row[0])).collect();
        if rows.contains(&777.0) {
            return Err(RunError::Failed("777 stays".into()));
        }
        self.staged.lock().unwrap().push(rows);
        Ok(Box::new(Staged(self, batch)))
    }
}

impl StagedBatch for Staged {
    fn run(self: Box<Self>) -> Result<Vec<Row>, RunError> {
        let Self(fake, batch) = *self;
        fake.run(batch)
    }
}

/// Two lanes that no other test has a part in.
pub struct TwoLanes;

impl Executor for TwoLanes {
    fn lanes(&self) -> usize {
        2
    }

    fn spawn(&self, job: Box<dyn FnOnce() + Send>) {
        std::thread::spawn(job);
    }
}

/// A tensor of one number.
pub fn number(value: f32) -> Value {
    numbers(&[value])
}

pub fn numbers(values: &[f32]) -> Value {
    Value::Host(Tensor::from_vec(vec![values.len()], values.to_vec()).unwrap())
}

/// The first number of a value, wherever it is.
pub fn first(value: &Value) -> f32 {
    match value {
        Value::Host(tensor) => tensor.elements::<f32>().unwrap()[0],
        Value::Device(resident) => Resident::to_host(&**resident).unwrap().elements::<f32>().unwrap()[0],
    }
}

/// `float32[N, 1]` for each input and output.
pub fn signature(inputs: &[&str], outputs: &[&str]) -> Arc<Signature> {
    let dims = || Some(vec![Dim::Named("N".into()), Dim::Fixed(1)]);
    let port = |name: &&str| Port::tensor(*name, DType::F32, dims());
    Arc::new(Signature::new(inputs.iter().map(port).collect(), outputs.iter().map(port).collect()))
}
