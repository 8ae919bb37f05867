//! The forms that a body may take.

use super::client::{Client, Reply, send};
use super::pretend::{Rig, short, start};
use serde_json::json;
use std::io::Write;

async fn post(rig: &Rig, route: &str, kind: &str, body: impl AsRef<[u8]>) -> Reply {
    let kind = if kind.is_empty() { String::new() } else { format!("\r\ncontent-type: {kind}") };
    send(rig.address, &format!("POST /{route}/predict HTTP/1.1{kind}"), body).await
}

const FORM: &str = "multipart/form-data; boundary=XX";

fn form(parts: &[(&str, &str)]) -> String {
    let part = |(name, value): &(&str, &str)| {
        format!("--XX\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    };
    parts.iter().map(part).collect::<String>() + "--XX--\r\n"
}

#[tokio::test]
async fn a_raw_body_goes_to_the_only_decode() {
    let rig = start(short()).await;
    for kind in ["", "image/jpeg", "application/x-www-form-urlencoded", "application/octet-stream"] {
        assert_eq!(post(&rig, "one", kind, "a=b").await.text(), "reply[a=b]", "{kind}");
    }
    let long = "y".repeat(90_000);
    assert_eq!(post(&rig, "one", "", &long).await.body.len(), long.len() + 7);
    let two = post(&rig, "two", "image/jpeg", "x").await;
    assert_eq!((two.status, two.json()["decodes"].clone()), (415, json!(["photo", "meta"])));
}

#[tokio::test]
async fn multipart_fields_go_to_the_decodes_of_their_names() {
    let rig = start(short()).await;
    assert_eq!(post(&rig, "one", FORM, form(&[("photo", "P")])).await.text(), "reply[P]");
    let both = form(&[("meta", "{}"), ("photo", "P")]);
    assert_eq!(post(&rig, "two", FORM, both).await.text(), "reply[P][{}]");

    let missing = post(&rig, "two", FORM, form(&[("photo", "P")])).await;
    assert_eq!((missing.status, missing.json()["missing"].clone()), (400, json!(["meta"])));
    let unknown = post(&rig, "one", FORM, form(&[("phot", "P")])).await;
    assert_eq!((unknown.status, unknown.json()["others"].clone()), (400, json!(["phot"])));
    assert!(unknown.text().contains("did you mean `photo`?"), "{}", unknown.text());
    // A browser's form has more: a button with a name, a hidden field.
    for route in ["one", "two"] {
        let more = form(&[
            ("_charset_", "utf-8"),
            ("meta", "{}"),
            ("photo", "P"),
            ("send", "Send"),
            ("send", "Send"),
        ]);
        let expected = if route == "one" { "reply[P]" } else { "reply[P][{}]" };
        assert_eq!(post(&rig, route, FORM, more).await.text(), expected);
    }
    let others = post(&rig, "one", FORM, form(&[("file", "P"), ("send", "Send")])).await;
    assert!(others.text().contains("missing field `photo`; there is `file`, `send`"), "{}", others.text());
    // Text that the decode cannot take is the client's to mend.
    let abacus = post(&rig, "two", FORM, form(&[("meta", "abacus"), ("photo", "P")])).await;
    assert_eq!(abacus.status, 422, "{}", abacus.text());
    assert!(abacus.text().contains("`abacus` is not a number"), "{}", abacus.text());
    let json = form(&[("photo", "P"), ("meta", "abacus")])
        .replace("name=\"meta\"\r\n", "name=\"meta\"\r\nContent-Type: application/json\r\n");
    assert_eq!(post(&rig, "two", FORM, json).await.text(), "reply[P][abacus]");
    let twice = post(&rig, "one", FORM, form(&[("photo", "P"), ("photo", "Q")])).await;
    assert_eq!(twice.status, 400);
}

#[tokio::test]
async fn hostile_multipart_bodies_are_refused() {
    let limits = rserve::ingress::Limits { max_body: 16 << 20, ..short() };
    let rig = start(limits).await;
    let unterminated = form(&[("photo", "P")]).replace("--XX--\r\n", "");
    let elsewhere = "multipart/form-data; boundary=YY";
    for (kind, body, said) in [
        (FORM, unterminated, "before its last boundary, `--XX--`"),
        (elsewhere, form(&[("photo", "P")]), "before its last boundary, `--YY--`"),
        ("multipart/form-data", form(&[("photo", "P")]), "names no boundary"),
    ] {
        let reply = post(&rig, "one", kind, body).await;
        assert_eq!(reply.status, 400);
        assert!(reply.text().contains(said), "{}", reply.text());
    }
    assert_eq!(post(&rig, "one", "multipart/mixed; boundary=XX", form(&[("photo", "P")])).await.status, 415);
    assert_eq!(post(&rig, "one", FORM, "").await.status, 400);
    assert_eq!(post(&rig, "one", FORM, "no boundary anywhere").await.status, 400);
    let many: Vec<(&str, &str)> = vec![("x", ""); 100_000];
    let reply = post(&rig, "one", FORM, form(&many)).await;
    assert_eq!(reply.status, 400);
    assert!(reply.text().contains("more than 65 parts"), "{}", reply.text());
    let endless_header = format!("--XX\r\nContent-Disposition: {}", "x".repeat(1 << 20));
    assert_eq!(post(&rig, "one", FORM, endless_header).await.status, 400);
    assert_eq!(post(&rig, "one", FORM, form(&[("photo", "P")])).await.status, 200);
}

#[tokio::test]
async fn json_fields_go_to_the_decodes_of_their_names() {
    let rig = start(short()).await;
    let json = "application/json";
    let both = r#"{"meta": {"a": [1, 2.0]}, "photo": "aGk="}"#;
    assert_eq!(post(&rig, "two", json, both).await.text(), r#"reply["aGk="][{"a": [1, 2.0]}]"#);
    let by_its_field = r#"{"metadata": [2], "photo": "aGk="}"#;
    assert_eq!(post(&rig, "two", json, by_its_field).await.text(), r#"reply["aGk="][[2]]"#);
    let twice = post(&rig, "two", json, r#"{"metadata": 1, "meta": 2, "photo": ""}"#).await;
    assert!(twice.text().contains("`meta` is there twice"), "{}", twice.text());
    assert_eq!(post(&rig, "one", json, r#"{"photo": "aGk="}"#).await.text(), r#"reply["aGk="]"#);

    let more = r#"{"id": 7, "photo": "aGk=", "meta": [2], "id": 8}"#;
    assert_eq!(post(&rig, "two", json, more).await.text(), r#"reply["aGk="][[2]]"#);
    assert_eq!(post(&rig, "one", json, more).await.text(), r#"reply["aGk="]"#);

    for (body, part) in [
        (r#"{"photo": 1}"#, "missing field `meta`"),
        (r#"{"photo": 1, "photo": 2, "meta": 3}"#, "twice"),
        (r#"{"photo": 1, "met": 3}"#, "there is `met`, did you mean `meta`?"),
        (r#"{"photo": 1, "meta": 2, "metadata": 3}"#, "twice"),
        ("[1]", "one object with `photo` (image), `meta` (json)"),
        (r#"{"photo": "#, "not JSON"),
        ("", "not JSON"),
    ] {
        let reply = post(&rig, "two", json, body).await;
        assert_eq!(reply.status, 400, "{body}");
        assert!(reply.text().contains(part), "{body}: {}", reply.text());
    }
    let more = r#"{"photo": 1, "meta": 2, "id": "a-7"}"#;
    assert_eq!(post(&rig, "two", json, more).await.text(), "reply[1][2]", "other fields are passed over");
    let python = "\u{feff}{\"photo\": NaN, \"meta\": [-Infinity]}";
    assert_eq!(post(&rig, "two", json, python).await.text(), r#"reply[null][["-Infinity"]]"#);
    let curl = "application/x-www-form-urlencoded";
    assert_eq!(post(&rig, "two", curl, more).await.text(), "reply[1][2]", "as `curl -d` sends it");
    let utf_16: Vec<u8> = more.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let reply = post(&rig, "two", json, utf_16).await;
    assert!(reply.status == 400 && reply.text().contains("UTF-16"), "{}", reply.text());
    let deep = format!("{{\"photo\": {}}}", "[".repeat(50_000));
    assert_eq!(post(&rig, "one", json, deep).await.status, 400);
}

#[tokio::test]
async fn a_json_decode_takes_the_whole_body_whatever_it_is_called() {
    let rig = start(short()).await;
    for kind in ["application/json", "application/x-www-form-urlencoded", ""] {
        for body in ["[1, 2]", r#"{"values": [3], "more": 1}"#] {
            assert_eq!(post(&rig, "json", kind, body).await.text(), format!("reply[{body}]"));
        }
    }
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(vec![], flate2::Compression::default());
    packer.write_all(text).unwrap();
    packer.finish().unwrap()
}

#[tokio::test]
async fn a_packed_body_is_unpacked_within_the_size_of_a_body() {
    let rig = start(short()).await;
    let head = "POST /one/predict HTTP/1.1\r\ncontent-encoding: ";
    let packed = async |coding: &str, body: &[u8]| send(rig.address, &format!("{head}{coding}"), body).await;
    let long = "y".repeat(100_000);
    assert_eq!(packed("gzip", &gzip(b"hello")).await.text(), "reply[hello]");
    assert_eq!(packed("gzip", &gzip(long.as_bytes())).await.body.len(), long.len() + 7);
    let bomb = packed("gzip", &gzip(&vec![0; 50 << 20])).await;
    assert_eq!((bomb.status, bomb.json()["max_body"].clone()), (413, json!(100_000)));
    assert_eq!(packed("gzip", b"hello").await.status, 400);
    assert_eq!(packed("gzip", &gzip(long.as_bytes())[..60]).await.status, 400);
    let other = packed("br", b"hello").await;
    assert_eq!((other.status, other.header("accept-encoding")), (415, "gzip, deflate"));
    assert!(other.text().contains("packed with gzip or deflate"), "{}", other.text());
    // A form too, and the connection goes on.
    let mut client = Client::connect(rig.address).await;
    for _ in 0..2 {
        let body = gzip(form(&[("photo", "P")]).as_bytes());
        let head = format!("{head}gzip\r\nhost: x\r\ncontent-type: {FORM}\r\ncontent-length: {}", body.len());
        client.write(format!("{head}\r\n\r\n")).await;
        client.write(body).await;
        assert_eq!(client.reply().await.text(), "reply[P]");
    }
}

/// A document of 15 MB kept a thread that serves connections, health among them, for more than a second.
#[tokio::test]
async fn long_bodies_are_read_where_they_hold_up_nobody() {
    let rig = start(rserve::ingress::Limits { max_body: 16 << 20, ..short() }).await;
    // All connections are served on this thread.
    let here = format!("reply[{:?}]", std::thread::current().id());
    let short = "who?".to_owned();
    let long = "who?".repeat(100_000);
    for (kind, of) in [("text/plain", None), (FORM, Some("values"))] {
        let body = |text: &str| of.map_or(text.to_owned(), |name| form(&[(name, text)]));
        assert_eq!(post(&rig, "json", kind, body(&short)).await.text(), here, "{kind}");
        let reply = post(&rig, "json", kind, body(&long)).await;
        assert!(reply.status == 200 && reply.text() != here, "{kind}: {}", reply.text());
    }
    let mut packed = flate2::write::GzEncoder::new(vec![], flate2::Compression::default());
    packed.write_all(short.as_bytes()).unwrap();
    let packed = packed.finish().unwrap();
    let reply = post(&rig, "json", "text/plain\r\ncontent-encoding: gzip", packed).await;
    assert!(reply.status == 200 && reply.text() != here, "{}", reply.text());
}
