//! All models: starts, stops and looks at them.
//!
//! Everything here blocks and belongs on a thread of its own (`spawn_blocking`). Models do not wait for
//! each other: each is looked at under a lock of its own, which no request takes.

use super::cell::Cell;
use super::load::{Loader, rounded};
use super::model::{Config, Failure, Model, Reload, lock};
use super::state::{DeviceStatus, ModelStatus};
use crate::plan::{DeviceId, Plan};
use crate::scheduler::Device;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Every model that is served, and how it came to be.
pub struct Lifecycle {
    loader: Arc<dyn Loader>,
    devices: Mutex<BTreeMap<DeviceId, Device>>,
    models: Mutex<BTreeMap<String, Arc<Model>>>,
}

/// No model of that name is served.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no model is called `{0}` here")]
pub struct Unknown(pub String);

// === impl Lifecycle ===

impl Lifecycle {
    /// Opens the devices that a plan names.
    pub fn new(loader: Arc<dyn Loader>) -> Self {
        Self::with_devices(loader, [])
    }

    /// With these devices opened already.
    pub fn with_devices(loader: Arc<dyn Loader>, devices: impl IntoIterator<Item = Device>) -> Self {
        let devices = devices.into_iter().map(|device| (device.id(), device)).collect();
        Self { loader, devices: Mutex::new(devices), models: Mutex::default() }
    }

    /// Makes what runs into what the plan says: starts what is new, stops what is gone, and looks at the
    /// store for the rest. What fails is returned and leaves what served before.
    pub fn apply(&self, plan: &Plan) -> std::io::Result<Vec<Failure>> {
        let mut wanted = BTreeMap::new();
        for (index, model) in plan.models.iter().enumerate() {
            let ids = model.distinct_devices().into_iter().filter_map(|d| Some(plan.devices.get(d)?.id));
            let devices = ids.map(|id| self.device(id)).collect::<std::io::Result<Vec<_>>>()?;
            wanted.insert(model.name.clone(), Config::new(plan, index, devices));
        }
        let (models, gone) = {
            let mut running = lock(&self.models);
            let gone: Vec<_> = running.extract_if(.., |name, _| !wanted.contains_key(name)).collect();
            for (name, config) in wanted {
                match running.get(&name) {
                    Some(model) => model.set_config(config),
                    None => {
                        let model = Arc::new(Model::new(&name, config));
                        running.insert(name, model);
                    }
                }
            }
            (running.values().cloned().collect::<Vec<_>>(), gone)
        };
        for (_, model) in gone {
            model.stop();
        }
        Ok(self.look_at_all(&models))
    }

    /// The cell of each model of the plan, in its order, once [`Lifecycle::apply`] has had it.
    pub fn cells(&self, plan: &Plan) -> Result<Vec<Arc<Cell>>, Unknown> {
        plan.models.iter().map(|model| self.model(&model.name).map(|model| model.cell.clone())).collect()
    }

    /// Looks at a model's versions in the store, and moves to what is new. Content that failed before is
    /// not tried again.
    pub fn refresh(&self, model: &str) -> Result<Reload, Unknown> {
        Ok(self.model(model)?.look(&*self.loader, false))
    }

    /// The same because somebody asks for it: what failed before is tried again.
    pub fn reload(&self, model: &str) -> Result<Reload, Unknown> {
        Ok(self.model(model)?.look(&*self.loader, true))
    }

    /// By name.
    pub fn status(&self) -> Vec<ModelStatus> {
        let models: Vec<_> = lock(&self.models).values().cloned().collect();
        models.iter().map(|model| model.status()).collect()
    }

    /// The devices that are open.
    pub fn devices(&self) -> Vec<DeviceStatus> {
        let devices: Vec<Device> = lock(&self.devices).values().cloned().collect();
        let status = |device: &Device| {
            let [busy_10s, busy_60s] = device.usage().busy.map(rounded);
            DeviceStatus { id: device.id(), lanes: device.lanes(), busy_10s, busy_60s }
        };
        devices.iter().map(status).collect()
    }

    fn model(&self, name: &str) -> Result<Arc<Model>, Unknown> {
        lock(&self.models).get(name).cloned().ok_or_else(|| Unknown(name.to_owned()))
    }

    fn device(&self, id: DeviceId) -> std::io::Result<Device> {
        let mut devices = lock(&self.devices);
        if let Some(device) = devices.get(&id) {
            return Ok(device.clone());
        }
        let device = Device::open(id)?;
        devices.insert(id, device.clone());
        Ok(device)
    }

    /// Several at a time: loading waits for the disk and works on one core mostly.
    fn look_at_all(&self, models: &[Arc<Model>]) -> Vec<Failure> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from).min(models.len());
        let queue = Mutex::new(models.iter());
        let failures = Mutex::new(vec![]);
        let work = || {
            while let Some(model) = { lock(&queue).next() } {
                let found = model.look(&*self.loader, true).failures;
                lock(&failures).extend(found);
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..threads {
                scope.spawn(work);
            }
            work();
        });
        let mut failures = failures.into_inner().unwrap_or_else(PoisonError::into_inner);
        failures.sort_by(|a, b| (&a.model, a.version).cmp(&(&b.model, b.version)));
        failures
    }
}
