//! Runs that are cut off, gone on with, shared out and joined, over a flow that computes nothing.

use super::*;
use crate::plan::{
    Decode, DecodeError, DecodePlan, Decoded, Encode, EncodeError, EncodePlan, Entry, Example, Format, IdVec,
    Input, Origin, Payload, RowContext, Rows, TensorType,
};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::fs;
use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::Notify;

#[derive(Debug)]
struct Text;

impl Decode for Text {
    fn format(&self) -> &'static str {
        "text"
    }
    fn produces(&self) -> TensorType {
        TensorType::default()
    }
    fn extensions(&self) -> &'static [&'static str] {
        &["txt"]
    }
    fn options(&self) -> serde_json::Value {
        serde_json::Value::Null
    }
    fn example(&self) -> Example {
        Example::File(String::new())
    }
    fn decode(&self, _: &Payload, _: bool) -> Result<Decoded, DecodeError> {
        Err(DecodeError::Invalid("the flow of these tests does not decode".into()))
    }
}

/// A table in CSV, or where it has no rows, a file an item.
#[derive(Debug)]
struct Written {
    rows: bool,
}

impl Encode for Written {
    fn about(&self) -> Format {
        let extension = if self.rows { "csv" } else { "up" };
        Format { name: "written", media_type: "text/plain", extension }
    }
    fn options(&self) -> serde_json::Value {
        serde_json::Value::Null
    }
    fn encode(&self, _: &[Input], _: Option<&Origin>) -> Result<Vec<u8>, EncodeError> {
        Err(EncodeError::Unforeseen("the flow of these tests does not encode".into()))
    }
    fn rows(&self) -> Option<&dyn Rows> {
        self.rows.then_some(self)
    }
}

impl Rows for Written {
    fn header(&self) -> Result<Vec<u8>, EncodeError> {
        Ok(b"item,text\n".to_vec())
    }
    fn of_item(&self, _: &RowContext<'_>, _: &[Input]) -> Result<Vec<u8>, EncodeError> {
        Err(EncodeError::Unforeseen("the flow of these tests does not encode".into()))
    }
}

fn entry() -> Arc<Entry> {
    let encode = |name: &str, rows| EncodePlan {
        name: name.into(),
        encode: Arc::new(Written { rows }),
        sources: vec![],
        sizes: vec![],
        origin: None,
        needs: vec![],
    };
    Arc::new(Entry {
        decodes: vec![DecodePlan { name: "text".into(), decode: Arc::new(Text), keep_origin: false }].into(),
        steps: IdVec::default(),
        encodes: vec![encode("rows", true), encode("files", false)].into(),
        slots: vec![None; 1].into(),
        ..Entry::default()
    })
}

/// Gives the text in capitals. Text with "bad" in it is refused; at the item `stuck` it waits for ever,
/// and says so.
#[derive(Default)]
struct Capitals {
    stuck: Option<&'static str>,
    reached: Notify,
    ran: AtomicUsize,
    /// How many had run when the last was begun.
    ended: OnceLock<usize>,
}

impl Flow for Capitals {
    fn run<'a>(
        &'a self,
        item: &'a str,
        payloads: Vec<Payload>,
    ) -> Pin<Box<dyn Future<Output = Ended> + Send + 'a>> {
        Box::pin(async move {
            if self.stuck == Some(item) {
                self.reached.notify_one();
                pending::<()>().await;
            }
            self.ran.fetch_add(1, Ordering::Relaxed);
            let Payload::Bytes(bytes) = &payloads[0] else { panic!("files are bytes") };
            let text = String::from_utf8_lossy(bytes).to_uppercase();
            if text.contains("BAD") {
                return Refused { step: "capitals".into(), reason: "it is bad".into() }.into();
            }
            let encoded = vec![Bytes::from(format!("{item},{text}\n")), Bytes::from(text)];
            Ended::Answered(Answer { encoded, spent: TimeSpent::default() })
        })
    }

    fn ends(&self) {
        self.ended.set(self.ran.load(Ordering::Relaxed)).expect("there is one end");
    }
}

/// 60 files in two folders, every seventh of them bad, and a folder that is called like a file.
fn input() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for i in 0..60 {
        let path = folder.path().join(format!("{}/{i:02}.txt", if i % 2 == 0 { "a" } else { "b" }));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, if i % 7 == 3 { format!("bad {i}") } else { format!("text {i}") }).unwrap();
    }
    fs::create_dir(folder.path().join("a/folder.txt")).unwrap();
    folder
}

struct Trial {
    csv_safe: bool,
    input: PathBuf,
    output: PathBuf,
    begin: Begin,
    shard: Option<Shard>,
    limit: Option<u64>,
    max_errors: Option<u64>,
    plan: &'static str,
}

impl Trial {
    fn new(input: &Path, output: PathBuf) -> Self {
        let (input, begin) = (input.to_owned(), Begin::Resume);
        Self {
            csv_safe: false,
            input,
            output,
            begin,
            shard: None,
            limit: None,
            max_errors: None,
            plan: "one",
        }
    }

    fn job(&self) -> RunSpec {
        let entry = entry();
        let inputs = Inputs { paths: vec![self.input.clone()], glob: None, delimiter: None };
        let wanted =
            Selection { shard: self.shard, limit: self.limit, extensions: vec!["up"], written: vec![] };
        let list = find(&inputs, &self.output, &entry.decodes, &wanted, &mut "".as_bytes()).unwrap();
        let identity = Identity {
            csv_safe: self.csv_safe,
            rserve: "1".into(),
            pipeline: "capitals".into(),
            plan: self.plan.into(),
            models: vec![("upper@1".into(), "digest".into())],
            list: String::new(),
            items: 0,
            shard: None,
            tables: vec!["rows.csv".into()],
            folders: vec!["files".into()],
        };
        RunSpec {
            identity: identity.with_list(&list, self.shard),
            entry,
            list,
            output: self.output.clone(),
            begin: self.begin,
            in_flight: 4,
            max_errors: self.max_errors,
            checkpoint_every: Duration::ZERO,
        }
    }

    fn run(&self) -> (Summary, Result<(), Stopped>) {
        self.run_with(Arc::new(Capitals::default()))
    }

    fn run_with(&self, flow: Arc<Capitals>) -> (Summary, Result<(), Stopped>) {
        alone(run(self.job(), flow, pending()))
    }

    /// Runs until the item is reached, and drops everything there, as a kill does.
    fn cut_off_at(&self, item: &'static str) {
        let flow = Arc::new(Capitals { stuck: Some(item), ..Capitals::default() });
        let reached = flow.clone();
        alone(async {
            tokio::select! {
                biased;
                _ = run(self.job(), flow, pending()) => panic!("it went past {item}"),
                () = reached.reached.notified() => {}
            }
        });
    }
}

/// Runs in a runtime that ends with it, so that nothing is written behind the back of what comes next.
fn alone<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// Every file under the folder, with its bytes.
fn tree(folder: &Path) -> BTreeMap<PathBuf, String> {
    walkdir::WalkDir::new(folder)
        .into_iter()
        .map(Result::unwrap)
        .filter(|entry| entry.file_type().is_file())
        .map(|entry| {
            let name = entry.path().strip_prefix(folder).unwrap().to_owned();
            (name, String::from_utf8_lossy(&fs::read(entry.path()).unwrap()).into_owned())
        })
        .collect()
}

fn journal(output: &Path) -> PathBuf {
    output.join(".rserve/journal")
}

/// The flow is told that no more items come, so that batches do not wait for them.
#[test]
fn the_flow_is_told_when_nothing_follows() {
    let (input, output) = (input(), tempfile::tempdir().unwrap());
    let flow = Arc::new(Capitals::default());
    let (summary, ended) = Trial::new(input.path(), output.path().join("o")).run_with(flow.clone());
    ended.unwrap();
    let (ran, in_flight) = (summary.counts.done as usize, 4);
    let when = *flow.ended.get().unwrap();
    assert!((ran - in_flight..=60).contains(&when), "{when} of {ran}");
}

#[test]
fn every_item_has_a_row_and_a_file_or_an_error() {
    let (input, output) = (input(), tempfile::tempdir().unwrap());
    let trial = Trial::new(input.path(), output.path().to_owned());
    let (summary, ended) = trial.run();
    ended.unwrap();
    assert_eq!((summary.counts.done, summary.counts.failed), (51, 10));
    let tree = tree(output.path());
    let rows: Vec<&str> = tree[Path::new("rows.csv")].lines().collect();
    assert_eq!(rows[..3], ["item,text", "a/00.txt,TEXT 0", "a/02.txt,TEXT 2"]);
    assert_eq!(rows.len(), 52);
    assert!(rows[1..].is_sorted());
    assert_eq!(tree[Path::new("files/b/01.up")], "TEXT 1");
    let errors: Vec<&str> = tree[Path::new("errors.jsonl")].lines().collect();
    assert_eq!(errors[0], r#"{"path":"a/10.txt","step":"capitals","reason":"it is bad"}"#);
    assert!(errors.contains(&r#"{"path":"a/folder.txt","step":"read","reason":"a folder, not a file"}"#));
    assert_eq!(tree.keys().filter(|path| path.starts_with(".rserve")).count(), 3, "{tree:?}");

    // Again there is nothing to do, and nothing is done.
    let flow = Arc::new(Capitals::default());
    let (again, ended) = trial.run_with(flow.clone());
    ended.unwrap();
    assert_eq!((again.counts, again.before), (summary.counts, 61));
    assert_eq!(flow.ran.load(Ordering::Relaxed), 0);
}

#[test]
fn a_run_that_was_cut_off_ends_with_the_same_bytes() {
    let (input, whole, cut) = (input(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    Trial::new(input.path(), whole.path().to_owned()).run().1.unwrap();
    let trial = Trial::new(input.path(), cut.path().to_owned());
    for item in ["a/00.txt", "a/24.txt", "b/01.txt", "b/01.txt", "b/59.txt"] {
        trial.cut_off_at(item);
        assert!(!cut.path().join("rows.csv").exists(), "nothing is visible before it is whole");
        // What a power cut may leave: half a line of the journal, and rows that no line knows of.
        for (file, rest) in [("journal", "{\"committed\":99,"), ("rows.csv", "b/77.txt,HA"), ("done", "x")] {
            let path = cut.path().join(".rserve").join(file);
            let mut bytes = fs::read(&path).unwrap();
            bytes.extend(rest.as_bytes());
            fs::write(&path, bytes).unwrap();
        }
    }
    let (summary, ended) = trial.run();
    ended.unwrap();
    assert!(summary.before > 30, "{summary:?}");
    assert_eq!(tree(cut.path()), tree(whole.path()));
}

#[test]
fn a_signal_finishes_what_is_in_flight() {
    let (input, whole, cut) = (input(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    Trial::new(input.path(), whole.path().to_owned()).run().1.unwrap();
    let trial = Trial::new(input.path(), cut.path().to_owned());
    let flow = Arc::new(Capitals::default());
    let seen = flow.clone();
    let interrupted = async move {
        while seen.ran.load(Ordering::Relaxed) < 20 {
            tokio::task::yield_now().await;
        }
    };
    let (summary, ended) = alone(run(trial.job(), flow.clone(), interrupted));
    assert!(matches!(ended, Err(Stopped::Interrupted)), "{ended:?}");
    let ended = summary.counts.done + summary.counts.failed;
    assert!((20..61).contains(&ended), "{summary:?}");
    let (rest, ended_too) = trial.run();
    ended_too.unwrap();
    assert_eq!(rest.before, ended, "nothing is lost and nothing is done twice");
    assert_eq!(tree(cut.path()), tree(whole.path()));
}

/// It said that nothing was kept where it could not even begin, and that all was kept that it had run.
#[test]
fn what_is_kept_is_what_the_next_run_finds() {
    let (input, output) = (input(), tempfile::tempdir().unwrap());
    let trial = Trial::new(input.path(), output.path().to_owned());
    trial.cut_off_at("b/31.txt");
    let committed = earlier(output.path()).unwrap().unwrap().counts;
    assert!(committed.done > 30 && committed.failed > 0, "{committed:?}");
    // In the place of what is written first: nothing can be begun.
    let blocked = journal(output.path()).with_extension("new");
    fs::create_dir(&blocked).unwrap();
    let (summary, ended) = trial.run();
    assert!(matches!(ended, Err(Stopped::Output { .. })), "{ended:?}");
    assert_eq!(summary.counts, committed);
    fs::remove_dir(&blocked).unwrap();
    let (summary, ended) = trial.run();
    ended.unwrap();
    assert_eq!(summary.before, committed.done + committed.failed);
}

#[test]
fn what_has_changed_is_said_and_asked_about() {
    let (input, output) = (input(), tempfile::tempdir().unwrap());
    let mut trial = Trial::new(input.path(), output.path().to_owned());
    trial.cut_off_at("b/31.txt");
    trial.plan = "another";
    fs::write(input.path().join("a/01.txt"), "new").unwrap();
    let (_, ended) = trial.run();
    let said = ended.unwrap_err().to_string();
    assert!(said.contains("`capitals` is not declared as it was"), "{said}");
    assert!(said.contains("the list of 61 items has changed; it has 62 now"), "{said}");

    trial.begin = Begin::ResumeAnyway;
    let (summary, ended) = trial.run();
    ended.unwrap();
    assert_eq!((summary.counts.done, summary.counts.failed), (52, 10));
    let rows = fs::read_to_string(output.path().join("rows.csv")).unwrap();
    assert_eq!(rows.matches("a/01.txt,NEW").count(), 1);
    assert_eq!(rows.lines().count(), 53);

    // More files, once it has finished: these alone are run.
    fs::write(input.path().join("a/03.txt"), "newer").unwrap();
    fs::write(input.path().join("a/05.txt"), "bad").unwrap();
    let flow = Arc::new(Capitals::default());
    let (summary, ended) = trial.run_with(flow.clone());
    ended.unwrap();
    assert_eq!((summary.counts.done, summary.counts.failed), (53, 11));
    assert_eq!(flow.ran.load(Ordering::Relaxed), 2);
    assert!(fs::read_to_string(output.path().join("rows.csv")).unwrap().ends_with("a/03.txt,NEWER\n"));

    trial.begin = Begin::Restart;
    trial.run().1.unwrap();
    let anew = tempfile::tempdir().unwrap();
    let fresh = Trial { plan: "another", ..Trial::new(input.path(), anew.path().to_owned()) };
    fresh.run().1.unwrap();
    assert_eq!(tree(output.path()), tree(anew.path()));
}

/// `--restart` once left the files of items that are gone.
#[test]
fn what_begins_anew_removes_the_files_of_earlier_runs_and_no_others() {
    let (input, output) = (input(), tempfile::tempdir().unwrap());
    let mut trial = Trial::new(input.path(), output.path().to_owned());
    trial.run().1.unwrap();
    let own = output.path().join("files/a/own.up");
    fs::write(&own, "not of rserve").unwrap();
    fs::remove_dir_all(input.path().join("b")).unwrap();
    fs::remove_file(input.path().join("a/00.txt")).unwrap();
    trial.begin = Begin::Restart;
    // Files that a run had written which was cut off count too.
    trial.cut_off_at("a/24.txt");
    fs::remove_file(input.path().join("a/02.txt")).unwrap();
    trial.run().1.unwrap();

    let anew = tempfile::tempdir().unwrap();
    Trial::new(input.path(), anew.path().to_owned()).run().1.unwrap();
    assert_eq!(fs::read_to_string(&own).unwrap(), "not of rserve");
    assert!(!output.path().join("files/b").exists());
    fs::remove_file(&own).unwrap();
    assert_eq!(tree(output.path()), tree(anew.path()));
}

#[test]
fn what_failed_is_run_again_when_asked() {
    let (input, output) = (input(), tempfile::tempdir().unwrap());
    let mut trial = Trial::new(input.path(), output.path().to_owned());
    trial.run().1.unwrap();
    fs::remove_dir(input.path().join("a/folder.txt")).unwrap();
    for name in ["a/folder.txt", "a/10.txt", "b/03.txt"] {
        fs::write(input.path().join(name), format!("mended {name}")).unwrap();
    }
    trial.begin = Begin::RetryFailed;
    trial.cut_off_at("a/24.txt");
    trial.cut_off_at("a/folder.txt");
    let flow = Arc::new(Capitals::default());
    let (summary, ended) = trial.run_with(flow.clone());
    ended.unwrap();
    assert_eq!((summary.counts.done, summary.counts.failed), (54, 7));
    assert!(flow.ran.load(Ordering::Relaxed) <= 10, "what is done is not done again");
    let rows = fs::read_to_string(output.path().join("rows.csv")).unwrap();
    let mut lines: Vec<&str> = rows.lines().collect();
    assert_eq!(lines.len(), 55);
    assert_eq!(lines[1], "a/00.txt,TEXT 0", "what was done stays where it stood");
    lines.sort_unstable();
    lines.dedup();
    assert_eq!(lines.len(), 55);
    assert_eq!(fs::read_to_string(output.path().join("errors.jsonl")).unwrap().lines().count(), 7);

    for (index, name) in ["a/24.txt", "a/38.txt", "a/52.txt"].into_iter().enumerate() {
        fs::write(input.path().join(name), format!("{index}")).unwrap();
    }
    for name in ["b/17.txt", "b/31.txt", "b/45.txt", "b/59.txt"] {
        fs::write(input.path().join(name), "mended").unwrap();
    }
    trial.run().1.unwrap();
    assert!(!output.path().join("errors.jsonl").exists());
    // Nothing failed, so that there is nothing to do.
    let flow = Arc::new(Capitals::default());
    trial.run_with(flow.clone()).1.unwrap();
    assert_eq!(flow.ran.load(Ordering::Relaxed), 0);
    trial.plan = "another";
    let said = trial.run().1.unwrap_err().to_string();
    assert!(said.contains("is not declared as it was"), "{said}");
}

#[test]
fn too_many_errors_end_it_and_what_is_done_is_kept() {
    let (input, output) = (input(), tempfile::tempdir().unwrap());
    let mut trial = Trial::new(input.path(), output.path().to_owned());
    trial.max_errors = Some(3);
    let (summary, ended) = trial.run();
    assert!(matches!(ended, Err(Stopped::TooManyErrors { failed: 4, most: 3 })), "{ended:?}");
    assert_eq!(summary.counts.failed, 4);
    assert_eq!(summary.errors.len(), 3);
    trial.max_errors = Some(10);
    let (rest, ended) = trial.run();
    ended.unwrap();
    assert_eq!(rest.before, summary.counts.done + summary.counts.failed);
}

#[test]
fn shards_are_joined_to_what_one_run_writes() {
    let (input, whole, parts) = (input(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    Trial::new(input.path(), whole.path().to_owned()).run().1.unwrap();
    let of = |index| parts.path().join(format!("{index}"));
    for index in 0..3 {
        let shard = Some(Shard { index, of: 3 });
        Trial { shard, ..Trial::new(input.path(), of(index)) }.run().1.unwrap();
    }
    let merged = parts.path().join("merged");
    let said = merge(&[of(0), of(1)], &merged).unwrap_err().to_string();
    assert_eq!(said, "these shards are missing: 2/3");
    assert!(!merged.exists());
    let joined = merge(&[of(2), of(0), of(1)], &merged).unwrap();
    assert_eq!((joined.counts.done, joined.counts.failed, joined.files), (51, 10, 51));
    assert_eq!(tree(&merged), tree(whole.path()));

    let said = merge(&[of(0), of(1), of(1)], &merged).unwrap_err().to_string();
    assert!(said.contains("is shard 1/3, which is there already"), "{said}");
    let said = merge(&[whole.path().to_owned()], &merged).unwrap_err().to_string();
    assert!(said.contains("is no shard"), "{said}");
    let other =
        Trial { plan: "another", shard: Some(Shard { index: 2, of: 3 }), ..Trial::new(input.path(), of(9)) };
    other.run().1.unwrap();
    let said = merge(&[of(0), of(1), of(9)], &merged).unwrap_err().to_string();
    assert!(said.contains("does not belong to the others"), "{said}");
}

#[test]
fn one_run_an_output() {
    let (input, output) = (input(), tempfile::tempdir().unwrap());
    let trial = Trial::new(input.path(), output.path().to_owned());
    let flow = Arc::new(Capitals { stuck: Some("b/01.txt"), ..Capitals::default() });
    alone(async {
        tokio::select! {
            biased;
            _ = run(trial.job(), flow.clone(), pending()) => panic!("it went past b/01.txt"),
            () = async {
                flow.reached.notified().await;
                let second = run(trial.job(), Arc::new(Capitals::default()), pending());
                let (_, ended) = second.await;
                assert!(matches!(ended, Err(Stopped::Busy(_))), "{ended:?}");
            } => {}
        }
    });
    assert!(journal(output.path()).exists());
}

#[test]
fn the_first_few_are_run_alone() {
    let (input, output) = (input(), tempfile::tempdir().unwrap());
    let trial = Trial { limit: Some(5), ..Trial::new(input.path(), output.path().to_owned()) };
    let (summary, ended) = trial.run();
    ended.unwrap();
    assert_eq!(summary.counts.done, 5);
}

/// Links in the output of somebody who may write there: what they lead to is neither written nor read.
#[test]
fn links_in_an_output_are_not_followed() {
    let (input, outside) = (input(), tempfile::tempdir().unwrap());
    let victim = outside.path().join("victim");
    for link in [".rserve", ".rserve/lock", "files", "files/a", ".rserve/rows.csv", ".rserve/run.json"] {
        let output = tempfile::tempdir().unwrap();
        fs::write(&victim, "precious").unwrap();
        let place = output.path().join(link);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        let target = if link.contains('.') && link != ".rserve" { &victim } else { outside.path() };
        std::os::unix::fs::symlink(target, &place).unwrap();
        let trial = Trial::new(input.path(), output.path().to_owned());
        let error = trial.run().1.unwrap_err().to_string();
        assert!(error.contains("link"), "{link}: {error}");
        assert_eq!(fs::read_to_string(&victim).unwrap(), "precious", "{link}");
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1, "{link}");
    }
}

/// A shard comes from another machine, and its record from whoever wrote it.
#[test]
fn a_shard_reaches_no_further_than_itself() {
    let (input, parts) = (input(), tempfile::tempdir().unwrap());
    let shard = parts.path().join("shard");
    let run = || {
        let _ = fs::remove_dir_all(&shard);
        let whole = Some(Shard { index: 0, of: 1 });
        Trial { shard: whole, ..Trial::new(input.path(), shard.clone()) }.run().1.unwrap();
    };
    let merged = parts.path().join("merged");
    let evil = parts.path().join("evil");
    fs::create_dir(&evil).unwrap();
    fs::write(evil.join("file"), "secret").unwrap();
    for (was, is) in [
        ("\"files\"", "\"../evil\""),
        ("rows.csv", "../rows.csv"),
        ("\"files\"", "\"/tmp\""),
        ("rows.csv", "rows.csv\\n"),
        ("rows.csv", "errors.jsonl"),
        ("rows.csv", "Rows.csv"),
    ] {
        run();
        let record = shard.join(".rserve/run.json");
        let text = fs::read_to_string(&record).unwrap();
        assert!(text.contains(was));
        fs::write(&record, text.replace(was, is)).unwrap();
        let error = merge(std::slice::from_ref(&shard), &merged).unwrap_err().to_string();
        assert!(error.contains("run.json names what no run writes"), "{error}");
    }
    for link in ["files/a/00.up", "files/a", "files", "rows.csv", ".rserve/run.json"] {
        run();
        let place = shard.join(link);
        if place.is_dir() {
            fs::remove_dir_all(&place).unwrap()
        } else {
            fs::remove_file(&place).unwrap()
        }
        let target = if link.contains('.') { evil.join("file") } else { evil.clone() };
        std::os::unix::fs::symlink(target, &place).unwrap();
        let error = merge(std::slice::from_ref(&shard), &merged).unwrap_err().to_string();
        assert!(error.contains("link"), "{link}: {error}");
        assert!(!tree(&merged).values().any(|text| text.contains("secret")), "{link}");
    }
    assert_eq!(fs::read_dir(parts.path()).unwrap().count(), 3, "nothing was written beside the output");
}

#[test]
fn names_that_are_formulas_are_marked_in_a_table_and_stand_where_they_stood() {
    let input = tempfile::tempdir().unwrap();
    for name in ["=1+1.txt", "+a.txt", "'q.txt", "b.txt", "-2.txt"] {
        fs::write(input.path().join(name), "text").unwrap();
    }
    let (whole, parts) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let trial = |output: PathBuf| Trial { csv_safe: true, ..Trial::new(input.path(), output) };
    trial(whole.path().to_owned()).run().1.unwrap();
    let rows = fs::read_to_string(whole.path().join("rows.csv")).unwrap();
    let items: Vec<&str> = rows.lines().skip(1).map(|row| row.split(',').next().unwrap()).collect();
    assert_eq!(items, ["''q.txt", "'+a.txt", "'-2.txt", "'=1+1.txt", "b.txt"]);
    let of = |index| parts.path().join(format!("{index}"));
    for index in 0..3 {
        Trial { shard: Some(Shard { index, of: 3 }), ..trial(of(index)) }.run().1.unwrap();
    }
    let merged = parts.path().join("merged");
    merge(&[of(2), of(0), of(1)], &merged).unwrap();
    assert_eq!(tree(&merged), tree(whole.path()));
    // Another choice is another run.
    let other = Trial { csv_safe: false, ..trial(whole.path().to_owned()) };
    assert!(matches!(other.run_with(Arc::new(Capitals::default())).1, Err(Stopped::Changed { .. })));
}
