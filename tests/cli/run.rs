//! `rserve run` with the shipped pipelines, asked over a socket as `curl` asks.

use super::house::{images, root};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A running server; killed where a test ends early.
pub struct Server {
    child: Child,
    /// As printed: "http://127.0.0.1:40321" without the scheme.
    pub address: String,
    admin: String,
    banner: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn start(arguments: &[&str]) -> Server {
    start_by(Command::new(env!("CARGO_BIN_EXE_rserve")), arguments)
}

/// `command` is to run rserve with what is added to it.
pub fn start_by(mut command: Command, arguments: &[&str]) -> Server {
    if !command.get_envs().any(|(name, _)| name == "RSERVE_STATE") {
        command.env("RSERVE_STATE", "off");
    }
    let mut child = command
        .current_dir(root())
        .args(["run", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut banner = String::new();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    while !banner.contains("\nadmin: ") {
        assert!(lines.read_line(&mut banner).unwrap() > 0, "it ended instead of serving: {banner}");
    }
    let after = |mark: &str| {
        let rest = &banner[banner.find(mark).unwrap() + mark.len()..];
        rest.split([' ', '\n']).next().unwrap().to_owned()
    };
    Server { address: after("on http://"), admin: after("admin: http://"), child, banner }
}

/// Status, head and body.
pub fn ask(address: &str, head: &str, body: &[u8]) -> (u16, String, Vec<u8>) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let head =
        format!("{head}\r\nhost: {address}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
    stream.write_all(&[head.as_bytes(), body].concat()).unwrap();
    let mut reply = vec![];
    stream.read_to_end(&mut reply).unwrap();
    let end = reply.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
    let head = String::from_utf8(reply[..end].to_vec()).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head, reply[end..].to_vec())
}

pub fn json(body: &[u8]) -> serde_json::Value {
    serde_json::from_slice(body).unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(body)))
}

pub fn post(server: &Server, path: &str, body: &[u8]) -> (u16, String, Vec<u8>) {
    ask(&server.address, &format!("POST {path} HTTP/1.1"), body)
}

pub fn post_json(server: &Server, path: &str, body: &serde_json::Value) -> (u16, serde_json::Value) {
    let head = format!("POST {path} HTTP/1.1\r\ncontent-type: application/json");
    let (status, _, answer) = ask(&server.address, &head, body.to_string().as_bytes());
    (status, json(&answer))
}

/// Status and body.
pub fn get(server: &Server, path: &str) -> (u16, Vec<u8>) {
    let (status, _, body) = ask(&server.address, &format!("GET {path} HTTP/1.1"), b"");
    (status, body)
}

impl Server {
    /// All that was printed before it was asked anything.
    pub fn banner(&self) -> &str {
        &self.banner
    }
}

pub fn status_page(server: &Server) -> serde_json::Value {
    json(&ask(&server.admin, "GET /status HTTP/1.1", b"").2)
}

#[cfg(unix)]
fn signal(server: &Server, name: &str) {
    let killed = Command::new("kill").args([name, &server.child.id().to_string()]).status().unwrap();
    assert!(killed.success());
}

#[cfg(unix)]
#[test]
fn the_two_use_cases_are_served_and_a_signal_ends_it() {
    let mut server = start(&[]);
    let road = "/road-classification/predict";
    // The banner's curl lines name files that are there.
    let curl = server.banner.lines().find(|l| l.contains("curl") && l.contains(road)).unwrap();
    let file = curl.split('@').nth(1).unwrap().split(' ').next().unwrap();
    let (status, head, body) = post(&server, road, &fs::read(root().join(file)).unwrap());
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
    assert!(head.contains("x-rserve-models: road-mask@2, surface@2\r\n"), "{head}");
    for part in ["photo;dur=", "mask;dur=", "surface;dur=", "reply;dur=", "total;dur="] {
        assert!(head.contains(part), "{part}: {head}");
    }
    // An encode is named with the models that ran for it.
    let photo = fs::read(root().join(file)).unwrap();
    let (_, head, _) = post(&server, &format!("{road}?encode=overlay"), &photo);
    assert!(head.contains("x-rserve-models: road-mask@2\r\n"), "{head}");
    let first = json(&body);
    assert!(first["surface"].is_array(), "{first}");

    for image in images("road").iter().take(8) {
        let photo = fs::read(image).unwrap();
        let (status, _, raw) = post(&server, road, &photo);
        assert_eq!(status, 200, "{}: {}", image.display(), String::from_utf8_lossy(&raw));
        let mut form =
            b"--B\r\nContent-Disposition: form-data; name=\"photo\"; filename=\"p\"\r\n\r\n".to_vec();
        form.extend_from_slice(&photo);
        form.extend_from_slice(b"\r\n--B--\r\n");
        let head = format!("POST {road} HTTP/1.1\r\ncontent-type: multipart/form-data; boundary=B");
        let (status, _, multipart) = ask(&server.address, &head, &form);
        assert_eq!((status, json(&multipart)), (200, json(&raw)));
    }
    let photo = fs::read(&images("landing-spot")[0]).unwrap();
    let (status, head, png) = post(&server, "/landing-spot/predict?encode=map", &photo);
    assert_eq!(status, 200);
    assert!(head.contains("content-type: image/png\r\n"), "{head}");
    assert!(png.starts_with(b"\x89PNG"));

    hostile_bodies(&server, road, &photo);

    let (status, _, status_page) = ask(&server.admin, "GET /status HTTP/1.1", b"");
    assert_eq!((status, &json(&status_page)["ready"]), (200, &serde_json::json!(true)));
    let (_, _, metrics) = ask(&server.admin, "GET /metrics HTTP/1.1", b"");
    let metrics = String::from_utf8(metrics).unwrap();
    for line in [
        "rserve_batches_total{model=\"surface\",version=\"2\",device=\"cpu\"} ",
        "rserve_queue_seconds_bucket{model=\"surface\",version=\"2\",device=\"cpu\",le=\"+Inf\"} ",
        "rserve_batch_size_count{model=\"surface\",version=\"2\",device=\"cpu\"} ",
        "rserve_items_rejected_total{model=\"surface\",version=\"2\",device=\"cpu\",reason=\"deadline\"} 0",
        "rserve_model_share{model=\"surface\",device=\"cpu\"} 0.3",
        "rserve_model_share_got{model=\"surface\",device=\"cpu\",window=\"10s\"} 0.",
        "rserve_device_busy{device=\"cpu\",window=\"60s\"} ",
    ] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
    let (status, _, _) = ask(&server.address, "GET /healthz/ready HTTP/1.1", b"");
    assert_eq!(status, 200);

    // Whoever balances the load is told at once, and sends on for a while.
    signal(&server, "-TERM");
    let told = std::time::Instant::now();
    while ask(&server.address, "GET /healthz/ready HTTP/1.1", b"").0 != 503 {
        assert!(told.elapsed() < Duration::from_secs(3), "it stays ready");
    }
    assert_eq!(post(&server, road, &photo_of("road")).0, 200);
    assert_eq!(server.child.wait().unwrap().code(), Some(0));
    let took = told.elapsed();
    assert!(took > Duration::from_secs(4) && took < Duration::from_secs(20), "{took:?}");
}

#[cfg(unix)]
fn photo_of(folder: &str) -> Vec<u8> {
    fs::read(&images(folder)[0]).unwrap()
}

/// Whatever is logged of a request says which: from its head to the operators that ran for it.
#[cfg(unix)]
#[test]
fn lines_of_the_log_name_their_request() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let mut shell = Command::new("sh");
    let script = format!(r#"exec "$0" "$@" 2>'{}'"#, log.display());
    shell.args(["-c", &script, env!("CARGO_BIN_EXE_rserve")]);
    let levels = "rserve::ingress=debug,rserve::steps=trace";
    let server = start_by(shell, &["pipelines/road.toml", "--log", levels, "--log-format", "json"]);
    let road = "/road-classification/predict";
    let head = format!("POST {road} HTTP/1.1\r\nx-request-id: traced-7");
    assert_eq!(ask(&server.address, &head, &photo_of("road")).0, 200);
    drop(server);
    let log = fs::read_to_string(log).unwrap();
    let of_request = |line: &serde_json::Value| {
        let spans = line["spans"].as_array().into_iter().flatten();
        spans
            .into_iter()
            .any(|span| span["request_id"] == "traced-7" && span["pipeline"] == "road-classification")
    };
    let lines: Vec<serde_json::Value> = log.lines().map(|line| json(line.as_bytes())).collect();
    let named: Vec<&serde_json::Value> = lines.iter().filter(|line| of_request(line)).collect();
    assert!(named.iter().any(|line| line["message"] == "answered" && line["status"] == 200), "{log}");
    assert!(named.iter().any(|line| line["target"] == "rserve::steps"), "{log}");
}

/// Somebody at a terminal is not kept waiting, and a second signal does not wait either.
#[cfg(unix)]
#[test]
fn an_interrupt_has_no_grace_and_a_second_signal_ends_it_at_once() {
    let mut server = start(&["pipelines/road.toml"]);
    let told = std::time::Instant::now();
    signal(&server, "-INT");
    assert_eq!(server.child.wait().unwrap().code(), Some(0));
    assert!(told.elapsed() < Duration::from_secs(4), "{:?}", told.elapsed());

    let mut server = start(&["pipelines/road.toml"]);
    signal(&server, "-TERM");
    while ask(&server.address, "GET /healthz/ready HTTP/1.1", b"").0 != 503 {}
    signal(&server, "-TERM");
    assert_eq!(server.child.wait().unwrap().code(), Some(130));
}

/// Each is refused with its status, says which decode, and the next request is served.
fn hostile_bodies(server: &Server, route: &str, photo: &[u8]) {
    let huge_png = {
        let mut png = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR".to_vec();
        png.extend_from_slice(&50_000u32.to_be_bytes());
        png.extend_from_slice(&50_000u32.to_be_bytes());
        png.extend_from_slice(&[8, 2, 0, 0, 0, 0, 0, 0, 0]);
        png
    };
    for (body, statuses) in [
        (&b""[..], &[400][..]),
        (b"this is text", &[415]),
        (&photo[..photo.len() / 2], &[422]),
        (&huge_png, &[413, 422]),
    ] {
        let (status, head, answer) = post(server, route, body);
        assert!(statuses.contains(&status), "{status}: {}", String::from_utf8_lossy(&answer));
        assert!(head.contains("content-type: application/problem+json\r\n"), "{head}");
        assert_eq!(json(&answer)["decode"], "photo");
        assert_eq!(post(server, route, photo).0, 200);
    }
}

#[cfg(unix)]
#[test]
fn a_new_version_is_taken_up_while_it_serves() {
    let folder = tempfile::tempdir().unwrap();
    let models = folder.path().join("models");
    for model in ["road-mask", "surface"] {
        copy_version(model, "1", &models);
    }
    let text = fs::read_to_string(root().join("pipelines/road.toml")).unwrap();
    let file = folder.path().join("road.toml");
    fs::write(&file, text.replace("../examples/models", "models")).unwrap();
    let server = start(&[file.to_str().unwrap()]);
    let photo = fs::read(&images("road")[0]).unwrap();
    let served = || {
        let (status, head, body) = post(&server, "/road-classification/predict", &photo);
        assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
        head.lines().find_map(|l| l.strip_prefix("x-rserve-models: ")).unwrap().to_owned()
    };
    assert_eq!(served(), "road-mask@1, surface@1");
    copy_version("surface", "2", &models);
    let begun = std::time::Instant::now();
    while served() != "road-mask@1, surface@2" {
        assert!(begun.elapsed() < Duration::from_secs(60), "the new version was not taken up");
    }
}

#[cfg(unix)]
#[test]
fn edited_files_are_applied_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let models = folder.path().join("models");
    for model in ["road-mask", "surface"] {
        copy_version(model, "1", &models);
    }
    fs::create_dir_all(models.join("surface/02")).unwrap();
    let text = fs::read_to_string(root().join("pipelines/road.toml")).unwrap();
    let text = text.replace("../examples/models", "models");
    let file = folder.path().join("road.toml");
    fs::write(&file, &text).unwrap();
    let server = start(&[file.to_str().unwrap()]);
    let photo = fs::read(&images("road")[0]).unwrap();
    let admin = |command: &[&str]| super::house::say(&[command, &["--admin", &server.admin]].concat());
    assert_eq!(post(&server, "/road-classification/predict", &photo).0, 200);

    // Nothing of a file with an error is applied, and the edge is named.
    let cycle = text.replace(r#"inputs = { image = "photo" } }"#, r#"inputs = { image = "surface" } }"#);
    assert_ne!(cycle, text);
    fs::write(&file, cycle).unwrap();
    let said = admin(&["reload"]);
    assert_eq!(said.code, 1);
    assert!(said.err.contains("wait for each other"), "{}", said.err);
    assert_eq!(post(&server, "/road-classification/predict", &photo).0, 200);
    let said = admin(&["status"]);
    assert_eq!(said.code, 1);
    assert!(said.out.contains("the pipeline files could not be applied"), "{}", said.out);

    // Taken back, nothing has changed.
    fs::write(&file, &text).unwrap();
    assert_eq!(admin(&["reload"]).code, 0);
    let status: serde_json::Value = json(admin(&["status", "--json"]).out.as_bytes());
    assert!(status["plan"]["refused"].is_null());
    assert_eq!(status["plan"]["generation"], 1);

    // What is right is, in one step.
    let moved = text.replace("\"/road-classification/predict\"", "\"/road\"");
    assert_ne!(moved, text);
    fs::write(&file, moved).unwrap();
    assert_eq!(admin(&["reload"]).code, 0);
    assert_eq!(post(&server, "/road-classification/predict", &photo).0, 404);
    assert_eq!(post(&server, "/road", &photo).0, 200);
    let status: serde_json::Value = json(admin(&["status", "--json"]).out.as_bytes());
    assert!(status["plan"]["refused"].is_null() && status["plan"]["generation"].as_u64() >= Some(2));

    let said = admin(&["models"]);
    assert!(said.out.contains("a version has no leading zeros"), "{}", said.out);
    assert_eq!(admin(&["reload", "nothing"]).code, 1);
    let pinned = "POST /road HTTP/1.1\r\nx-rserve-version: surface=1";
    assert_eq!(ask(&server.address, pinned, &photo).0, 200);
    let other = "POST /road HTTP/1.1\r\nx-rserve-version: surface=9";
    assert_eq!(ask(&server.address, other, &photo).0, 400);
}

#[cfg(unix)]
#[test]
fn without_memory_for_two_versions_the_old_one_serves_until_stop_first_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let models = folder.path().join("models");
    for model in ["road-mask", "surface"] {
        copy_version(model, "1", &models);
    }
    let file = folder.path().join("road.toml");
    let text = fs::read_to_string(root().join("pipelines/road.toml")).unwrap();
    let write = |share: f64, more: &str| {
        let text = text.replace("../examples/models", "models").replace("gpu     = 0.7", "gpu = 0.1");
        fs::write(&file, text.replace("gpu = 0.3", &format!("gpu = {share:.12}\n{more}"))).unwrap();
    };
    write(0.3, "");
    let status = |server: &Server| {
        let said = super::house::say(&["status", "--json", "--admin", &server.admin]);
        let mut status = json(said.out.as_bytes());
        (status["models"].as_array_mut().unwrap().remove(1), status["devices"][0]["memory_bytes"].clone())
    };
    // What one version takes, and a share that holds one and a half of it.
    let share = {
        let server = start(&[file.to_str().unwrap()]);
        let (model, memory) = status(&server);
        let of = |part: &str| model["instances"][0][part].as_f64().unwrap();
        1.5 * (of("memory_weights_bytes") + of("memory_batch_bytes")) / memory.as_f64().unwrap()
    };
    write(share, "");
    let server = start(&[file.to_str().unwrap()]);
    let wait_for = |what: &str, done: &dyn Fn(&serde_json::Value) -> bool| {
        let begun = std::time::Instant::now();
        loop {
            let (model, _) = status(&server);
            if done(&model) {
                return model;
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "{what}: {model}");
        }
    };
    let generation = |model: &serde_json::Value, version: u64| {
        let all = model["generations"].as_array().unwrap();
        all.iter().rfind(|one| one["version"] == version).cloned().unwrap_or_default()
    };
    copy_version("surface", "2", &models);
    let model = wait_for("refused", &|model| generation(model, 2)["cause"] == "memory");
    assert_eq!(model["serving"], serde_json::json!([1]));
    let reason = generation(&model, 2)["state"]["failed"].as_str().unwrap().to_owned();
    for part in ["version 1 beside it", "its share of the device's memory is", "stop-first"] {
        assert!(reason.contains(part), "{reason}");
    }
    let (_, _, metrics) = ask(&server.admin, "GET /metrics HTTP/1.1", b"");
    let metrics = String::from_utf8(metrics).unwrap();
    let counted = |line: &&str| line.contains("model=\"surface\"") && line.contains("memory");
    assert!(metrics.lines().any(|line| counted(&line) && line.ends_with(" 1")), "{metrics}");
    write(share, "reload = \"stop-first\"");
    wait_for("served after a gap", &|model| model["serving"] == serde_json::json!([2]));
    let photo = fs::read(&images("road")[0]).unwrap();
    assert_eq!(post(&server, "/road-classification/predict", &photo).0, 200);
}

/// Where a shell allows few open files but the system more, few connections were served.
#[test]
fn more_connections_are_served_than_a_shell_allows_files() {
    let mut shell = Command::new("sh");
    shell.args(["-c", r#"ulimit -S -n 64 && exec "$0" "$@""#, env!("CARGO_BIN_EXE_rserve")]);
    let server = start_by(shell, &["pipelines/road.toml"]);
    let mut idle: Vec<TcpStream> = (0..100).map(|_| TcpStream::connect(&server.address).unwrap()).collect();
    let last = idle.last_mut().unwrap();
    last.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    last.write_all(b"GET /healthz/live HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    let mut status = [0; 15];
    last.read_exact(&mut status).unwrap();
    assert_eq!(&status, b"HTTP/1.1 200 OK");
}

/// Processors differ in the last digits.
#[test]
fn the_answer_that_the_readme_shows_is_the_answer() {
    let server = start(&["pipelines/road.toml"]);
    let photo = fs::read(root().join("examples/images/road/gravel-128.jpg")).unwrap();
    let (status, _, body) = ask(&server.address, "POST /road-classification/predict HTTP/1.1", &photo);
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let shown = readme.lines().find(|line| line.starts_with("{\"surface\"")).unwrap();
    let numbers = |answer: &serde_json::Value| {
        let scores = answer["surface"].as_array().unwrap().iter().map(|class| &class["score"]);
        scores.chain([&answer["road"]]).map(|number| number.as_f64().unwrap()).collect::<Vec<_>>()
    };
    let (given, shown) = (json(&body), json(shown.as_bytes()));
    assert_eq!((status, &given["surface"][0]["label"]), (200, &shown["surface"][0]["label"]));
    let (given, shown) = (numbers(&given), numbers(&shown));
    assert!(
        given.iter().zip(&shown).all(|(a, b)| (a - b).abs() < 5e-4),
        "{given:?} where README has {shown:?}"
    );
}

fn copy_version(model: &str, version: &str, to: &Path) {
    let from = root().join("examples/models").join(model).join(version);
    let to = to.join(model).join(version);
    fs::create_dir_all(&to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
}

/// What a process leaves that was killed while it loaded a model: the note that the load began, and no lock on it.
#[cfg(unix)]
#[test]
fn a_model_that_took_the_process_down_is_not_loaded_at_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let (store, state) = (folder.path().join("store"), folder.path().join("state"));
    let store = store.as_path();
    ["1", "2"].into_iter().for_each(|version| copy_version("road-mask", version, store));
    let file = folder.path().join("road-mask.toml");
    let text = format!(
        "[store]\npath = {store:?}\n[device]\nuse = \"cpu\"\n[models.road-mask]\n[pipelines.road-mask]\n\
         decode.photo = {{ format = \"image\", size = [64, 64] }}\n[pipelines.road-mask.steps]\n\
         s = {{ model = \"road-mask\", inputs = {{ image = \"photo\" }} }}\n\
         [pipelines.road-mask.online]\nencode.reply = {{ format = \"npy\", from = \"s\" }}\n"
    );
    fs::write(&file, text).unwrap();
    let start = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rserve"));
        command.env("RSERVE_STATE", &state);
        start_by(command, &[file.to_str().unwrap()])
    };
    let stop = |mut server: Server| {
        signal(&server, "-INT");
        assert_eq!(server.child.wait().unwrap().code(), Some(0));
    };
    let notes = || fs::read_dir(state.join("loads")).unwrap().map(|e| e.unwrap().path()).collect::<Vec<_>>();
    let server = start();
    let generations = status_page(&server)["models"][0]["generations"].clone();
    let digest = generations[0]["digest"].as_str().unwrap().to_owned();
    assert_eq!((&generations[0]["version"], notes().len()), (&serde_json::json!(2), 0), "{generations}");
    stop(server);
    let note = serde_json::json!({
        "model": "road-mask", "version": 2, "state": "loading", "process": "gone", "build": "", "since": 0
    });
    fs::write(state.join("loads").join(format!("{digest}.json")), note.to_string()).unwrap();
    // It is started as often as one likes.
    for _ in 0..2 {
        let server = start();
        let model = status_page(&server)["models"][0].clone();
        assert_eq!(model["serving"], serde_json::json!([1]), "{model}");
        let refused = model["generations"].as_array().unwrap().iter().find(|g| g["version"] == 2).unwrap();
        assert_eq!(refused["cause"], "fatal", "{model}");
        let why = refused["state"]["failed"].as_str().unwrap();
        assert!(why.contains("went down") && why.contains("rserve reload road-mask"), "{why}");
        stop(server);
    }
    let server = start();
    let (status, _, body) = ask(&server.admin, "POST /models/road-mask/reload HTTP/1.1", b"");
    assert_eq!(
        (status, &json(&body)["models"][0]["serving"]),
        (200, &serde_json::json!([2])),
        "{}",
        json(&body)
    );
    assert_eq!(notes(), Vec::<std::path::PathBuf>::new(), "it came back");
    stop(server);
    stop(start());
}

/// As systemd asks to be told, of a service with `Type=notify`.
#[cfg(unix)]
#[test]
fn who_started_it_is_told_when_it_is_ready_and_when_it_stops() {
    let folder = tempfile::tempdir().unwrap();
    let socket = std::os::unix::net::UnixDatagram::bind(folder.path().join("notify")).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_rserve"));
    command.env("NOTIFY_SOCKET", folder.path().join("notify"));
    let mut server = start_by(command, &[]);
    let mut said = [0; 64];
    let length = socket.recv(&mut said).unwrap();
    assert_eq!(&said[..length], b"READY=1");
    signal(&server, "-INT");
    let length = socket.recv(&mut said).unwrap();
    assert_eq!(&said[..length], b"STOPPING=1");
    assert_eq!(server.child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_taken_port_is_3() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = Command::new(env!("CARGO_BIN_EXE_rserve"))
        .current_dir(root())
        .args(["run", "--admin", "off", "--listen", &address])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(3));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains(&format!("cannot listen on {address}")), "{said}");
}

/// Whoever reached it could load and unload models.
#[test]
fn an_admin_listener_that_others_reach_asks_for_a_token() {
    let says = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_rserve")).current_dir(root()).args(arguments).output();
        let output = output.unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, text) =
        says(&["run", "--listen", "127.0.0.1:0", "--admin", "0.0.0.0:0", "pipelines/road.toml"]);
    assert!(code != Some(0) && text.contains("asks for no token"), "{code:?}: {text}");
}
