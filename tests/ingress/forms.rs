//! The forms that a body may take.

use super::client::{Reply, send};
use super::pretend::{Rig, short, start};
use serde_json::json;

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
    assert_eq!(unknown.status, 400);
    assert!(unknown.text().contains("did you mean `photo`?"), "{}", unknown.text());
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

    for (body, part) in [
        (r#"{"photo": 1}"#, "missing field `meta`"),
        (r#"{"photo": 1, "photo": 2, "meta": 3}"#, "twice"),
        (r#"{"photo": 1, "met": 3}"#, "did you mean `meta`?"),
        ("[1]", "one object with `photo` (image), `meta` (json)"),
        (r#"{"photo": "#, "not JSON"),
        ("", "not JSON"),
    ] {
        let reply = post(&rig, "two", json, body).await;
        assert_eq!(reply.status, 400, "{body}");
        assert!(reply.text().contains(part), "{body}: {}", reply.text());
    }
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

#[tokio::test]
async fn a_compressed_body_is_refused_by_name() {
    let rig = start(short()).await;
    let reply = send(rig.address, "POST /one/predict HTTP/1.1\r\ncontent-encoding: gzip", "x").await;
    assert_eq!(reply.status, 415);
    assert!(reply.text().contains("Content-Encoding: gzip"), "{}", reply.text());
}
