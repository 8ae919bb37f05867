//! `rserve status`

use super::Exit;
use super::admin::{Admin, numbers, table, text};
use super::output::print;
use serde_json::Value;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

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
    let answer = match arguments.admin.get("/status") {
        Ok(answer) => answer,
        Err(exit) => return exit,
    };
    let status = &answer.document;
    let shown = if arguments.admin.json { format!("{status:#}\n") } else { shown(status, SystemTime::now()) };
    let fine = status["ready"] == true && status["plan"]["refused"].is_null();
    match print(&shown) {
        Exit::Fine if !fine => Exit::Wrong,
        exit => exit,
    }
}

fn each(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn row<const N: usize>(cells: [String; N]) -> Vec<String> {
    cells.into()
}

fn head(cells: &[&str]) -> Vec<String> {
    cells.iter().map(|cell| (*cell).to_owned()).collect()
}

fn shown(status: &Value, now: SystemTime) -> String {
    let uptime = Duration::from_secs(status["uptime_seconds"].as_u64().unwrap_or(0));
    let ready = if status["ready"] == true { "ready" } else { "not ready" };
    let plan = &status["plan"];
    let mut shown = format!(
        "rserve {}, {ready}, up {}, plan {} since {}\n\n",
        text(&status["version"]),
        span(uptime),
        plan["generation"],
        ago(&plan["since"], now),
    );
    let mut pipelines = vec![head(&["pipeline", "route", "models"])];
    for pipeline in each(&status["pipelines"]) {
        let models: Vec<&str> = each(&pipeline["models"]).filter_map(Value::as_str).collect();
        pipelines.push(row([text(&pipeline["name"]), text(&pipeline["route"]), models.join(", ")]));
    }
    let mut models = vec![head(&["model", "wanted", "serving", "share", "device"])];
    let mut generations = vec![head(&["generation", "digest", "state", "since", "load", "warm-up"])];
    let mut remarks = String::new();
    for model in each(&status["models"]) {
        let name = text(&model["name"]);
        let devices: Vec<String> = each(&model["places"]).map(|place| text(&place["device"])).collect();
        let share = model["share"].as_f64().unwrap_or(0.0);
        let share = if share > 0.0 { format!("{share:.2}") } else { "-".to_owned() };
        let wanted = text(&model["wanted"]);
        models.push(row([name.clone(), wanted, numbers(&model["serving"]), share, devices.join(", ")]));
        for generation in each(&model["generations"]) {
            let seconds = |key: &str| format!("{:.2} s", generation[key].as_f64().unwrap_or(0.0));
            let tag = format!("{name}@{}", generation["version"]);
            let (state, reason) = state(&generation["state"]);
            if let Some(reason) = reason {
                remarks.push_str(&format!("\n{tag} failed: {}\n", reason.replace('\n', "\n  ")));
            }
            generations.push(row([
                tag,
                text(&generation["digest"]),
                state,
                ago(&generation["since"], now),
                seconds("load"),
                seconds("warm_up"),
            ]));
        }
        if let Some(warning) = model["warning"].as_str() {
            remarks.push_str(&format!("\n{name}: {warning}\n"));
        }
        remarks.push_str(&compared(&name, &model["shadow"]));
    }
    let mut devices = vec![head(&["device", "name", "held"])];
    for device in each(&status["devices"]) {
        let held = device["held"].as_object().into_iter().flatten();
        let held: Vec<String> = held.map(|(model, share)| format!("{model} {share}")).collect();
        devices.push(row([text(&device["id"]), text(&device["name"]), held.join(", ")]));
    }
    for rows in [pipelines, models, generations, devices] {
        shown.push_str(&table(&rows));
        shown.push('\n');
    }
    if let Some(refused) = plan["refused"]["diagnostics"].as_str() {
        let at = ago(&plan["refused"]["at"], now);
        remarks.push_str(&format!("\nthe pipeline files could not be applied, {at}:\n{refused}\n"));
    }
    shown.push_str(remarks.trim_start());
    format!("{}\n", shown.trim_end())
}

/// What a generation's state is called, and why it failed.
fn state(state: &Value) -> (String, Option<&str>) {
    match (state.as_str(), state["failed"].as_str()) {
        (Some(name), _) => (name.to_owned(), None),
        (None, reason) => ("failed".to_owned(), reason),
    }
}

fn compared(model: &str, shadow: &Value) -> String {
    if shadow.is_null() {
        return String::new();
    }
    let equal =
        shadow["equal_share"].as_f64().map_or("-".to_owned(), |share| format!("{:.2} %", share * 100.0));
    format!(
        "\n{model}: shadow {}: {} compared, {equal} equal, largest difference {}, {} dropped, {} failed\n",
        shadow["version"],
        shadow["compared"],
        shadow["largest_difference"],
        shadow["dropped"],
        shadow["failed"],
    )
}

fn ago(unix_seconds: &Value, now: SystemTime) -> String {
    let then = Duration::try_from_secs_f64(unix_seconds.as_f64().unwrap_or(0.0)).unwrap_or_default();
    let passed = now.duration_since(UNIX_EPOCH + then).unwrap_or_default();
    format!("{} ago", span(passed))
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
    use serde_json::json;

    #[test]
    fn everything_that_somebody_should_look_at_is_said() {
        let status = json!({
            "version": "1.0.0", "uptime_seconds": 130, "ready": true,
            "plan": { "generation": 2, "since": 1000.0,
                      "refused": { "at": 1040.0, "diagnostics": "error: steps wait for each other" } },
            "pipelines": [{ "name": "road", "route": "/road", "models": ["mask"] }],
            "models": [{
                "name": "mask", "wanted": "latest", "serving": [2], "share": 0.7,
                "places": [{ "device": "cpu" }],
                "generations": [
                    { "version": 2, "digest": "abc", "state": "ready", "since": 1000.0, "load": 0.5, "warm_up": 0.25 },
                    { "version": 3, "digest": "def", "state": { "failed": "not a model" }, "since": 1055.0,
                      "load": 0.0, "warm_up": 0.0 },
                ],
                "warning": null,
                "shadow": { "version": 4, "compared": 200, "equal": 150, "equal_share": 0.75,
                            "largest_difference": 0.5, "dropped": 3, "failed": 1 },
            }],
            "devices": [{ "id": "cpu", "name": "a machine", "held": { "mask": 0.7 } }],
        });
        let expected = "\
rserve 1.0.0, ready, up 2 min, plan 2 since 60 s ago

pipeline  route  models
road      /road  mask

model  wanted  serving  share  device
mask   latest  2        0.70   cpu

generation  digest  state   since     load    warm-up
mask@2      abc     ready   60 s ago  0.50 s  0.25 s
mask@3      def     failed  5 s ago   0.00 s  0.00 s

device  name       held
cpu     a machine  mask 0.7

mask@3 failed: not a model

mask: shadow 4: 200 compared, 75.00 % equal, largest difference 0.5, 3 dropped, 1 failed

the pipeline files could not be applied, 20 s ago:
error: steps wait for each other
";
        assert_eq!(shown(&status, UNIX_EPOCH + Duration::from_secs(1060)), expected);
    }
}
