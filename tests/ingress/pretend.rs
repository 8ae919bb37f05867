//! A server whose pipelines echo what they were given.

use rserve::flow::{Answer, CodecThreads, Error, Request, Timings};
use rserve::ingress::documents::{PlanStatus, Reloaded, Status, Stored};
use rserve::ingress::{
    Admin, AdminCommand, BoxFuture, CommandOutcome, DynamicConfig, Handler, Host, Limits, Metrics, Routes,
    Sample, SampleKind, Server, Versions, bind,
};
use rserve::lifecycle::NotReady;
use rserve::memory::Budget;
use rserve::plan::{
    Decode, DecodeError, DecodePlan, Decoded, Encode, EncodeError, EncodePlan, Entry, Example, IdVec, Input,
    JsonValues, Origin, Payload, Pipeline, TensorType,
};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

#[derive(Debug)]
struct Format(&'static str);

impl Decode for Format {
    fn format(&self) -> &'static str {
        self.0
    }
    fn produces(&self) -> TensorType {
        TensorType::default()
    }
    fn field(&self) -> Option<&str> {
        (self.0 == "json").then_some("metadata")
    }
    fn json(&self) -> Option<&dyn JsonValues> {
        (self.0 == "json").then_some(self)
    }
    fn extensions(&self) -> &'static [&'static str] {
        &[]
    }
    fn options(&self) -> serde_json::Value {
        serde_json::Value::Null
    }
    fn example(&self) -> Example {
        Example::File("photo.jpg".into())
    }
    fn decode(&self, _: &Payload, _: bool) -> Result<Decoded, DecodeError> {
        Err(DecodeError::Invalid("nothing here decodes".into()))
    }
}

/// Text stays as it is, but that of an "abacus" is no number, and of "who?" it is the thread that reads it.
impl JsonValues for Format {
    fn field(&self, text: bytes::Bytes) -> Result<Payload, DecodeError> {
        match text.as_ref() {
            b"abacus" => Err(DecodeError::Invalid("`abacus` is not a number".into())),
            text if text.starts_with(b"who?") => {
                Ok(Payload::Bytes(format!("{:?}", std::thread::current().id()).into()))
            }
            _ => Ok(Payload::Bytes(text)),
        }
    }
    fn cell(&self, _: &str) -> Result<Payload, DecodeError> {
        Err(DecodeError::Invalid("no table is read here".into()))
    }
    fn element(&self, _: &str, _: &mut String) -> Result<(), String> {
        Err("no table is read here".into())
    }
}

impl Encode for Format {
    fn about(&self) -> rserve::plan::Format {
        let media_type = match self.0 {
            "png" => "image/png",
            _ => "application/json",
        };
        rserve::plan::Format { name: self.0, media_type, extension: self.0 }
    }
    fn options(&self) -> serde_json::Value {
        serde_json::Value::Null
    }
    fn encode(&self, _: &[Input], _: Option<&Origin>) -> Result<Vec<u8>, EncodeError> {
        Err(EncodeError::Unforeseen("nothing here encodes".into()))
    }
}

/// A pipeline whose route is `/NAME/predict`.
pub fn pipeline(name: &str, decodes: &[(&str, &'static str)]) -> Pipeline {
    let encode = |name: &str, format| EncodePlan {
        name: name.into(),
        encode: Arc::new(Format(format)),
        sources: vec![],
        sizes: vec![],
        origin: None,
        needs: vec![],
    };
    let entry = Arc::new(Entry {
        decodes: decodes
            .iter()
            .map(|(name, format)| DecodePlan {
                name: (*name).into(),
                decode: Arc::new(Format(format)),
                keep_origin: false,
            })
            .collect(),
        steps: IdVec::default(),
        encodes: vec![encode("reply", "json"), encode("overlay", "png")].into(),
        slots: vec![None; decodes.len()].into(),
        ..Entry::default()
    });
    Pipeline {
        name: name.into(),
        timeout: Duration::from_secs(5),
        priority: Default::default(),
        models: IdVec::default(),
        route: format!("/{name}/predict"),
        online: entry.clone(),
        offline: entry,
    }
}

/// Answers with the payloads, each in brackets; a payload that is the name of a failure fails so.
#[derive(Default)]
pub struct Echo {
    pub loading: AtomicBool,
    /// Its queue takes nobody in.
    pub full: AtomicBool,
    pub running: AtomicUsize,
    pub given_up: AtomicUsize,
}

struct Running<'a>(&'a Echo, bool);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
        if !self.1 {
            self.0.given_up.fetch_add(1, Ordering::SeqCst);
        }
    }
}

/// One pipeline of an [`Echo`]. Its model `mask` serves the versions 3 and 4, and its traffic is split by
/// `x-user`.
struct Echoing(Arc<Pipeline>, Arc<Echo>, Vec<(String, String)>);

impl Handler for Echoing {
    fn pipeline(&self) -> &Arc<Pipeline> {
        &self.0
    }

    fn is_ready(&self) -> bool {
        !self.1.loading.load(Ordering::SeqCst)
    }

    fn sticky(&self) -> &[(String, String)] {
        &self.2
    }

    fn models(&self) -> Option<Arc<str>> {
        Some("mask@3, surface@2".into())
    }

    fn room(&self, _: &Versions, _: &Request<'_>) -> Result<(), Error> {
        match self.1.full.load(Ordering::SeqCst) {
            true => Err(queue_full()),
            false => Ok(()),
        }
    }

    fn run<'a>(
        &'a self,
        versions: &'a Versions,
        request: Request<'a>,
    ) -> BoxFuture<'a, Result<Answer, Error>> {
        self.1.run(&self.0, versions, request)
    }
}

fn queue_full() -> Error {
    Error::Full { model: "mask".into(), retry_after: Duration::from_millis(2500) }
}

impl Echo {
    fn run<'a>(
        &'a self,
        pipeline: &'a Arc<Pipeline>,
        versions: &'a Versions,
        request: Request<'a>,
    ) -> BoxFuture<'a, Result<Answer, Error>> {
        Box::pin(async move {
            let pin = versions.pins.first();
            if let Some((model, version)) = pin.filter(|(_, version)| !(3..=4).contains(version)) {
                let (model, version) = (model.clone(), *version);
                return Err(NotReady::Version { model, version, served: vec![3, 4] }.into());
            }
            self.running.fetch_add(1, Ordering::SeqCst);
            let mut running = Running(self, false);
            let encode = request.encodes[0];
            let mut body = pipeline.online.encodes[encode].name.clone().into_bytes();
            for payload in &request.payloads {
                body.push(b'[');
                body.extend_from_slice(match payload {
                    Payload::Bytes(bytes) => bytes,
                    Payload::Json(text) => text.get().as_bytes(),
                });
                body.push(b']');
            }
            let said = match request.payloads.first() {
                Some(Payload::Bytes(bytes)) => String::from_utf8_lossy(bytes).into_owned(),
                _ => String::new(),
            };
            if let Some(length) = said.strip_prefix("bytes ").and_then(|length| length.parse().ok()) {
                body = vec![b'z'; length];
            }
            let decode = |error| Error::Decode { decode: "photo".into(), error };
            let result = match said.as_str() {
                "malformed" => Err(decode(DecodeError::Malformed(said))),
                "too-large" => Err(decode(DecodeError::TooLarge(said))),
                "wrong-type" => Err(decode(DecodeError::WrongType(said))),
                "invalid" => Err(decode(DecodeError::Invalid(said))),
                "queue-full" => Err(queue_full()),
                "failed" => Err(Error::Request("the secret cause".into())),
                "panic" => panic!("the secret panic"),
                "forever" => std::future::pending().await,
                "slow" => {
                    tokio::time::sleep(Duration::from_millis(300)).await;
                    Ok(())
                }
                _ => Ok(()),
            };
            running.1 = true;
            result.map(|()| Answer {
                encoded: vec![(encode, body)],
                models: match (pin, versions.keys.first()) {
                    (Some((model, version)), _) => format!("{model}@{version}").into(),
                    (None, Some((model, key))) if key == b"ada" => format!("{model}@4").into(),
                    _ => "mask@3".into(),
                },
                timings: Timings { decodes: vec![Duration::from_millis(1)].into(), ..Timings::default() },
            })
        })
    }
}

impl Host for Echo {
    fn not_ready(&self) -> Vec<(String, String)> {
        match self.loading.load(Ordering::SeqCst) {
            true => vec![("mask".into(), "loading".into())],
            false => vec![],
        }
    }

    fn status(&self) -> Status {
        Status {
            version: "1.0.0".into(),
            uptime_seconds: 0,
            ready: true,
            plan: PlanStatus {
                generation: 1,
                since: std::time::UNIX_EPOCH,
                files: vec!["road.toml".into()],
                refused: None,
            },
            pipelines: vec![],
            models: vec![],
            devices: vec![],
            memory: Default::default(),
        }
    }

    fn samples(&self) -> Vec<Sample> {
        vec![Sample {
            name: "batches",
            help: "Batches run",
            kind: SampleKind::Counter,
            labels: vec![("model", "mask".into())],
            value: 7.0,
        }]
    }

    fn models(&self) -> BoxFuture<'_, Result<Stored, String>> {
        Box::pin(async { Ok(Stored { models: vec![], ignored: vec![] }) })
    }

    fn order(&self, order: AdminCommand) -> BoxFuture<'_, CommandOutcome> {
        Box::pin(async move {
            let told = Reloaded { error: Some(format!("told: {order:?}")), ..Reloaded::default() };
            match order {
                AdminCommand::Reload => CommandOutcome::Fine(told),
                AdminCommand::ReloadModel(model)
                | AdminCommand::Load(model, _)
                | AdminCommand::Unload(model, _)
                    if model != "mask" =>
                {
                    CommandOutcome::UnknownModel { known: vec!["mask".into()] }
                }
                AdminCommand::Unload(_, 4) => CommandOutcome::Refused(told),
                _ => CommandOutcome::Fine(told),
            }
        })
    }
}

pub struct Rig {
    pub address: SocketAddr,
    pub admin: SocketAddr,
    pub memory: Budget,
    pub config: Arc<DynamicConfig>,
    pub echo: Arc<Echo>,
    pub server: Arc<Server>,
    pub stop: watch::Sender<bool>,
    pub serving: JoinHandle<()>,
}

/// Times short enough to be waited for.
pub fn short() -> Limits {
    Limits {
        max_body: 100_000,
        head: Duration::from_millis(400),
        keep_alive: Duration::from_millis(900),
        body_idle: Duration::from_millis(300),
        ..Limits::default()
    }
}

/// Pipelines `one` (a photo) and `two` (a photo and a `meta` of JSON), `json` (one JSON decode), `brief`
/// (300 ms).
pub async fn start(limits: Limits) -> Rig {
    start_with(limits, Budget::unlimited()).await
}

/// As [`start`], with so much memory.
pub async fn start_with(limits: Limits, memory: Budget) -> Rig {
    let mut brief = pipeline("brief", &[("photo", "image")]);
    brief.timeout = Duration::from_millis(300);
    let pipelines: Vec<Arc<Pipeline>> = [
        pipeline("one", &[("photo", "image")]),
        pipeline("two", &[("photo", "image"), ("meta", "json")]),
        pipeline("json", &[("values", "json")]),
        brief,
    ]
    .map(Arc::new)
    .into();
    let metrics = Arc::new(Metrics::default());
    let echo = Arc::new(Echo::default());
    let sticky = vec![("mask".to_owned(), "x-user".to_owned())];
    let handler = |p: Arc<Pipeline>| Arc::new(Echoing(p, echo.clone(), sticky.clone())) as Arc<dyn Handler>;
    let routes = Routes::new(pipelines.into_iter().map(handler).collect(), &metrics).unwrap();
    let (stop, stopped) = watch::channel(false);
    let listener = bind(&"127.0.0.1:0".parse().unwrap(), &limits).await.unwrap();
    let address = listener.address().unwrap();
    let config = DynamicConfig::new(routes, &limits, &memory);
    let server = Server::new(
        echo.clone(),
        config.clone(),
        limits.clone(),
        metrics.clone(),
        CodecThreads::new(1, &memory),
    );
    let serving = tokio::spawn(listener.serve(server.clone(), stopped.clone()));
    let listener = bind(&"127.0.0.1:0".parse().unwrap(), &limits).await.unwrap();
    let admin = listener.address().unwrap();
    let orders = Admin::new(echo.clone(), config.clone(), metrics);
    tokio::spawn(listener.serve(orders, stopped));
    Rig { address, admin, memory, config, echo, server, stop, serving }
}
