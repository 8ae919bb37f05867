//! `rserve status`

use super::Exit;
use super::admin::{Admin, numbers, table};
use super::output::print;
use crate::ingress::documents::{DeviceUse, MemoryUse, PipelineStatus, Status};
use crate::lifecycle::{Comparison, Joining, ModelStatus, State};
use crate::plan::memory::Size;
use std::time::{Duration, SystemTime};

/// Say how a running rserve stands: pipelines, models, generations, devices
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  rserve status
  rserve status --admin 127.0.0.1:9081 --token-file admin.token
  rserve status --json | jq '.models[].serving'

Exits 1 where a model serves nothing or the pipeline files could not be applied.")]
pub struct Arguments {
    #[command(flatten)]
    admin: Admin,
}

pub fn run(arguments: &Arguments) -> Exit {
    let answer = match arguments.admin.get::<Status>("/status") {
        Ok(answer) => answer,
        Err(exit) => return exit,
    };
    let status = &answer.document;
    let text = if arguments.admin.json {
        format!("{:#}\n", answer.json)
    } else {
        as_text(status, SystemTime::now())
    };
    let fine = status.ready && status.plan.refused.is_none();
    match print(&text) {
        Exit::Fine if !fine => Exit::Wrong,
        exit => exit,
    }
}

fn head(cells: &[&str]) -> Vec<String> {
    cells.iter().map(|cell| (*cell).to_owned()).collect()
}

fn as_text(status: &Status, now: SystemTime) -> String {
    let ready = if status.ready { "ready" } else { "not ready" };
    let plan = &status.plan;
    let mut text = format!(
        "rserve {}, {ready}, up {}, plan {} since {}\n\n",
        status.version,
        span(Duration::from_secs(status.uptime_seconds)),
        plan.generation,
        ago(plan.since, now),
    );
    let mut remarks = String::new();
    let tables = [
        pipelines(&status.pipelines),
        steps(&status.pipelines),
        models(&status.models),
        generations(&status.models, now, &mut remarks),
        devices(&status.devices, &mut remarks),
        memory(&status.memory),
    ];
    // Of pipelines whose steps all run once there is nothing to tell.
    for rows in tables.into_iter().filter(|rows| rows.len() > 1 || rows[0][0] != "step") {
        text.push_str(&table(&rows));
        text.push('\n');
    }
    if let Some(refused) = &plan.refused {
        let (at, diagnostics) = (ago(refused.at, now), &refused.diagnostics);
        remarks.push_str(&format!("\nthe pipeline files could not be applied, {at}:\n{diagnostics}\n"));
    }
    text.push_str(remarks.trim_start());
    format!("{}\n", text.trim_end())
}

/// The rows of a table, its head first.
type Rows = Vec<Vec<String>>;

fn pipelines(pipelines: &[PipelineStatus]) -> Rows {
    let row = |of: &PipelineStatus| vec![of.name.clone(), of.route.clone(), of.models.join(", ")];
    std::iter::once(head(&["pipeline", "route", "models"])).chain(pipelines.iter().map(row)).collect()
}

/// The steps that may run several times for a request, or not at all.
fn steps(pipelines: &[PipelineStatus]) -> Rows {
    let mut rows = vec![head(&["step", "elements", "skipped", "late"])];
    for pipeline in pipelines {
        rows.extend(pipeline.steps.iter().map(|step| {
            let counts = [step.elements, step.skipped, step.late].map(|count| count.to_string());
            [format!("{}/{}", pipeline.name, step.name)].into_iter().chain(counts).collect()
        }));
    }
    rows
}

fn models(models: &[ModelStatus]) -> Rows {
    let mut rows = vec![head(&["model", "wanted", "serving", "share", "device"])];
    for model in models {
        let devices: Vec<String> = model.places.iter().map(|place| place.device.to_string()).collect();
        let share = if model.share > 0.0 { format!("{:.2}", model.share) } else { "-".to_owned() };
        let (wanted, serving) = (model.wanted.clone(), numbers(&model.serving));
        rows.push(vec![model.name.clone(), wanted, serving, share, devices.join(", ")]);
    }
    rows
}

/// The generations of all models; what is to be said of one is added to the remarks.
fn generations(models: &[ModelStatus], now: SystemTime, remarks: &mut String) -> Rows {
    let mut rows = vec![head(&["generation", "digest", "state", "since", "load", "warm-up"])];
    for model in models {
        let name = &model.name;
        for generation in &model.generations {
            let seconds = |took: Duration| format!("{:.2} s", took.as_secs_f64());
            let tag = format!("{name}@{}", generation.version);
            if let State::Failed(reason) = &generation.state {
                remarks.push_str(&format!("\n{tag} failed: {}\n", reason.replace('\n', "\n  ")));
            }
            remarks.push_str(&generation.batching.as_ref().map_or(String::new(), |how| batching(&tag, how)));
            rows.push(vec![
                tag,
                generation.digest.map_or(String::new(), |digest| format!("{digest:.12}")),
                generation.state.name().to_owned(),
                ago(generation.since, now),
                seconds(generation.load),
                seconds(generation.warm_up),
            ]);
        }
        if let Some(warning) = &model.warning {
            remarks.push_str(&format!("\n{name}: {warning}\n"));
        }
        remarks.push_str(&model.shadow.as_ref().map_or(String::new(), |shadow| compared(name, shadow)));
    }
    rows
}

/// The devices; batches that are stuck on one are added to the remarks.
fn devices(devices: &[DeviceUse], remarks: &mut String) -> Rows {
    let mut rows = vec![head(&["device", "name", "held"])];
    for device in devices {
        let held = device.held.iter().map(|(model, share)| match share {
            // As `rserve check` says it.
            0.0 => format!("{model} idle time"),
            share => format!("{model} {share}"),
        });
        for stuck in &device.stuck {
            let node = stuck.node.as_ref().map_or(String::new(), |node| format!(" at {node}"));
            let (id, model) = (&device.id, &stuck.model);
            remarks.push_str(&format!(
                "\n{id} is stuck: a batch of {model} was told to end and still runs{node}, for {} s\n",
                stuck.seconds
            ));
        }
        let name = device.name.clone().unwrap_or_default();
        rows.push(vec![device.id.to_string(), name, held.collect::<Vec<_>>().join(", ")]);
    }
    rows
}

fn memory(memory: &MemoryUse) -> Rows {
    let size = |bytes: u64| Size(bytes).to_string();
    let mut rows = vec![head(&["memory", "bytes"])];
    rows.extend(memory.reserved_bytes.iter().map(|(purpose, bytes)| vec![purpose.clone(), size(*bytes)]));
    rows.push(vec!["other".to_owned(), size(memory.other_bytes)]);
    rows.push(vec!["limit".to_owned(), memory.limit_bytes.map_or("none".to_owned(), size)]);
    rows
}

/// Why a generation takes one item at a time, and what would change that.
fn batching(tag: &str, batching: &Joining) -> String {
    if batching.joined {
        return String::new();
    }
    let help = batching.help.iter().map(|help| format!("  {help}\n")).collect::<String>();
    format!("\n{tag} takes one item at a time: {}\n{help}", batching.why)
}

fn compared(model: &str, shadow: &Comparison) -> String {
    let equal = shadow.equal_share.map_or("-".to_owned(), |share| format!("{:.2} %", share * 100.0));
    format!(
        "\n{model}: shadow {}: {} compared, {equal} equal, largest difference {}, {} dropped, {} failed\n",
        shadow.version, shadow.compared, shadow.largest_difference, shadow.dropped, shadow.failed,
    )
}

fn ago(then: SystemTime, now: SystemTime) -> String {
    format!("{} ago", span(now.duration_since(then).unwrap_or_default()))
}

fn span(duration: Duration) -> String {
    match duration.as_secs() {
        seconds @ 0..=119 => format!("{seconds} s"),
        seconds @ 120..=7199 => format!("{} min", seconds / 60),
        seconds @ 7200..=172_799 => format!("{} h", seconds / 3600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingress::documents::{PlanRefusal, PlanStatus, StepCounts, StuckBatch};
    use crate::lifecycle::{GenerationStatus, Loads, PlaceStatus};
    use crate::plan::DeviceId;
    use crate::store::Digest;
    use std::time::UNIX_EPOCH;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn generation(version: u64, state: State, since: u64, load: f64) -> GenerationStatus {
        GenerationStatus {
            version,
            digest: Some(Digest([0xab; 32])),
            state,
            cause: None,
            since: at(since),
            load: Duration::from_secs_f64(load),
            warm_up: Duration::from_secs_f64(load / 2.0),
            batching: (load > 0.0).then(|| Joining {
                joined: false,
                why: "how long output `rows` is depends on what is in the input".into(),
                help: Some("`batch` may declare it".into()),
            }),
        }
    }

    fn status() -> Status {
        let place = PlaceStatus {
            device: DeviceId::Cpu,
            replicas: 1,
            share: 0.7,
            memory_allowed: None,
            share_got_10s: 0.0,
            share_got_60s: 0.0,
        };
        let shadow = Comparison {
            version: 4,
            compared: 200,
            equal: 150,
            equal_share: Some(0.75),
            largest_difference: 0.5,
            dropped: 3,
            failed: 1,
            ..Comparison::default()
        };
        let model = ModelStatus {
            name: "mask".into(),
            share: 0.7,
            places: vec![place],
            wanted: "latest".into(),
            serving: vec![2],
            traffic: [(2, 1.0)].into(),
            shadow: Some(shadow),
            generations: vec![
                generation(2, State::Ready, 1000, 0.5),
                generation(3, State::Failed("not a model".into()), 1055, 0.0),
            ],
            warning: None,
            loads: Loads::default(),
            instances: vec![],
        };
        let refused = PlanRefusal { at: at(1040), diagnostics: "error: steps wait for each other".into() };
        Status {
            version: "1.0.0".into(),
            uptime_seconds: 130,
            ready: true,
            plan: PlanStatus { generation: 2, since: at(1000), files: vec![], refused: Some(refused) },
            pipelines: vec![PipelineStatus {
                name: "road".into(),
                route: "/road".into(),
                timeout_seconds: 2.0,
                priority: Default::default(),
                models: vec!["mask".into()],
                steps: vec![StepCounts { name: "read".into(), elements: 31, skipped: 4, late: 0 }],
            }],
            models: vec![model],
            devices: vec![DeviceUse {
                id: DeviceId::Cpu,
                name: Some("a machine".into()),
                memory_bytes: None,
                held: [("mask".into(), 0.7), ("rest".into(), 0.0)].into(),
                lanes: None,
                busy_10s: None,
                busy_60s: None,
                stuck: vec![StuckBatch {
                    model: "mask".into(),
                    node: Some("node 7 (Loop)".into()),
                    seconds: 75.0,
                }],
            }],
            memory: MemoryUse {
                limit_bytes: Some(7 << 30),
                reserved_bytes: [("bodies".into(), 3 << 20), ("weights".into(), 1 << 30)].into(),
                other_bytes: 200 << 20,
                resident_bytes: None,
            },
        }
    }

    /// What the admin listener writes, the command line reads.
    #[test]
    fn a_status_is_read_as_it_was_written() {
        let written = serde_json::to_value(status()).unwrap();
        assert_eq!(written["models"][0]["generations"][0]["load_seconds"], 0.5);
        let read: Status = serde_json::from_value(written.clone()).unwrap();
        assert_eq!(serde_json::to_value(read).unwrap(), written);
    }

    #[test]
    fn everything_that_somebody_should_look_at_is_said() {
        let expected = "\
rserve 1.0.0, ready, up 2 min, plan 2 since 60 s ago

pipeline  route  models
road      /road  mask

step       elements  skipped  late
road/read  31        4        0

model  wanted  serving  share  device
mask   latest  2        0.70   cpu

generation  digest        state   since     load    warm-up
mask@2      abababababab  ready   60 s ago  0.50 s  0.25 s
mask@3      abababababab  failed  5 s ago   0.00 s  0.00 s

device  name       held
cpu     a machine  mask 0.7, rest idle time

memory   bytes
bodies   3.0 MiB
weights  1.0 GiB
other    200 MiB
limit    7.0 GiB

mask@2 takes one item at a time: how long output `rows` is depends on what is in the input
  `batch` may declare it

mask@3 failed: not a model

mask: shadow 4: 200 compared, 75.00 % equal, largest difference 0.5, 3 dropped, 1 failed

cpu is stuck: a batch of mask was told to end and still runs at node 7 (Loop), for 75 s

the pipeline files could not be applied, 20 s ago:
error: steps wait for each other
";
        assert_eq!(as_text(&status(), at(1060)), expected);
    }
}
