//! What all routes have in common.

use std::io::Read as _;
use std::time::Duration;

use serde_json::json;

use super::api::{Api, KEY};
use super::raw::{Raw, header};

const FIXED: [(&str, &str); 11] = [
    ("Access-Control-Allow-Origin", "*"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Origin-Agent-Cluster", "?1"),
    ("Referrer-Policy", "no-referrer"),
    ("Strict-Transport-Security", "max-age=31536000; includeSubDomains"),
    ("X-Content-Type-Options", "nosniff"),
    ("X-DNS-Prefetch-Control", "off"),
    ("X-Download-Options", "noopen"),
    ("X-Permitted-Cross-Domain-Policies", "none"),
    ("X-XSS-Protection", "0"),
];

#[tokio::test]
async fn every_answer_has_the_fixed_headers() {
    let Some(api) = Api::locked("every_answer_has_the_fixed_headers").await else { return };
    let key = [("X-API-Key", KEY)];

    let answers = [
        api.get("/health").await,
        api.get("/metrics").await,
        api.get("/api/runners").await,
        api.send("GET", "/api/runners", &key, None).await,
        api.send("GET", "/nothing/here", &key, None).await,
        api.send("DELETE", "/api/runners", &key, None).await,
        api.send("OPTIONS", "/api/runners", &[], None).await,
    ];

    for answer in answers {
        for (name, value) in FIXED {
            assert_eq!(answer.header(name), value, "{name}: {answer:?}");
        }
        assert_eq!(answer.header("X-Frame-Options"), "");
    }
}

#[tokio::test]
async fn paths_are_found_in_any_case_with_and_without_a_slash() {
    let Some(api) = Api::start("paths_are_found_in_any_case_with_and_without_a_slash").await else {
        return;
    };
    api.runner("Mixed-Case").await;
    api.realm("m1", "Mixed-Case").await;

    for path in [
        "/HEALTH",
        "/health/",
        "/API/Runners/",
        "/api/runners/Mixed-Case/",
        "/RUNNERS/Mixed-Case/TASKS",
        "/Api/V1/Sessions/",
        "/api/v1/REALMS/m1/",
        "/Admission",
    ] {
        assert_eq!(api.get(path).await.status, 200, "{path}");
    }
    let beat = api.post("/Runners/HEARTBEAT/", json!({"runnerId": "Mixed-Case"})).await;
    beat.is(200, r#"{"status":"ok"}"#);
    // Ids are not words of a path: their case counts.
    api.get("/api/runners/mixed-case").await.is(404, r#"{"error":"Runner not found"}"#);
}

#[tokio::test]
async fn ids_are_percent_decoded() {
    let Some(api) = Api::start("ids_are_percent_decoded").await else { return };
    api.runner("a b/c").await;
    api.runner("ünï").await;

    let shown = api.get("/api/runners/a%20b%2Fc").await;
    let created = api.post("/runners/a%20b%2fc/tasks", json!({"taskId": "t/1 %"})).await;
    let patched = api.patch("/runners/a%20b%2Fc/tasks/t%2F1%20%25", json!({"status": "x"})).await;
    let accents = api.get("/api/runners/%C3%BCn%C3%AF").await;

    assert_eq!(shown.json()["runnerId"], "a b/c");
    assert_eq!((created.status, patched.status), (201, 200));
    assert_eq!(accents.json()["runnerId"], "ünï");
    for bad in ["/api/runners/%FF", "/api/v1/realms/%c3%28", "/runners/%ff/tasks"] {
        let refused = api.get(bad).await;
        assert_eq!(refused.status, 400, "{bad}: {refused:?}");
        assert!(refused.json()["error"].is_string(), "{refused:?}");
    }
}

#[tokio::test]
async fn head_tells_what_get_would() {
    let Some(api) = Api::start("head_tells_what_get_would").await else { return };
    api.runner("r1").await;
    api.realm("m1", "r1").await;
    let mut raw = Raw::connect(api.address()).await;

    for path in [
        "/api/runners/r1",
        "/runners/r1/tasks",
        "/api/v1/sessions",
        "/api/v1/realms/m1",
        "/nothing",
    ] {
        let get = api.get(path).await;
        let head = api.send("HEAD", path, &[], None).await;
        assert_eq!((head.status, &*head.text), (get.status, ""), "{path}");
        for name in ["content-type", "content-length", "etag"] {
            assert_eq!(head.header(name), get.header(name), "{path}: {name}");
        }
    }
    // Nothing of a body is on the wire: the next answer begins where it should.
    raw.send("HEAD /health HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n").await;
    assert!(raw.read_head().await.starts_with("HTTP/1.1 200"));
    raw.send("GET /api/runners HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert_eq!(raw.read().await.status(), 200);
}

#[tokio::test]
async fn a_page_may_ask_before_it_sends() {
    let Some(api) = Api::locked("a_page_may_ask_before_it_sends").await else { return };

    for path in ["/api/runners", "/runners/register", "/api/admin/runners", "/nothing/here"] {
        let headers = [
            ("Origin", "http://panel.lan"),
            ("Access-Control-Request-Method", "POST"),
            ("Access-Control-Request-Headers", "content-type,x-admin-api-key"),
        ];
        let answer = api.send("OPTIONS", path, &headers, None).await;
        assert_eq!((answer.status, &*answer.text), (204, ""), "{path}: {answer:?}");
        assert_eq!(answer.header("Access-Control-Allow-Origin"), "*");
        let methods = answer.header("Access-Control-Allow-Methods");
        assert_eq!(methods, "GET,HEAD,PUT,PATCH,POST,DELETE");
        let allowed = answer.header("Access-Control-Allow-Headers");
        assert_eq!(allowed, "content-type,x-admin-api-key");
    }
}

#[tokio::test]
async fn who_has_the_answer_is_not_sent_it_again() {
    let Some(api) = Api::start("who_has_the_answer_is_not_sent_it_again").await else { return };
    api.runner("r1").await;

    for path in ["/api/runners", "/api/runners/r1", "/runners/r1/tasks", "/api/v1/realms"] {
        let first = api.get(path).await;
        let mark = first.header("ETag").to_owned();
        assert!(mark.starts_with("W/\"") && mark.ends_with('"'), "{path}: {mark}");
        let again = api.send("GET", path, &[("If-None-Match", &mark)], None).await;
        assert_eq!((again.status, &*again.text), (304, ""), "{path}");
        assert_eq!(again.header("ETag"), mark);
    }
    let mark = api.get("/api/runners").await.header("ETag").to_owned();
    api.post("/runners/r1/tasks", json!({"taskId": "t1"})).await;
    let changed = api.send("GET", "/api/runners", &[("If-None-Match", &mark)], None).await;
    assert_eq!(changed.status, 200);
    assert_ne!(changed.header("ETag"), mark);
}

#[tokio::test]
async fn long_answers_are_compressed_for_those_who_ask() {
    let Some(api) = Api::start("long_answers_are_compressed_for_those_who_ask").await else {
        return;
    };
    let small = api.send("GET", "/api/runners", &[("Accept-Encoding", "gzip")], None).await;
    for number in 0..20 {
        api.runner(&format!("runner-number-{number}")).await;
    }
    let plain = api.get("/api/runners").await;
    let url = format!("http://{}/api/runners", api.address());

    // What axios sends.
    let request =
        api.world.client().get(&url).header("Accept-Encoding", "gzip, compress, deflate, br");
    let packed = request.send().await.unwrap();

    assert_eq!(small.header("Content-Encoding"), "");
    assert_eq!(plain.header("Content-Encoding"), "");
    assert_eq!(plain.header("Vary").to_ascii_lowercase(), "accept-encoding");
    let encoding = packed.headers()["content-encoding"].to_str().unwrap().to_owned();
    assert!(!packed.headers().contains_key("content-length"));
    assert!(["gzip", "deflate"].contains(&&*encoding), "{encoding}");
    let bytes = packed.bytes().await.unwrap();
    let mut text = String::new();
    match &*encoding {
        "gzip" => flate2::read::GzDecoder::new(&bytes[..]).read_to_string(&mut text),
        _ => flate2::read::ZlibDecoder::new(&bytes[..]).read_to_string(&mut text),
    }
    .unwrap();
    assert_eq!(text, plain.text);
    assert!(bytes.len() < plain.text.len() / 2);
}

#[tokio::test]
async fn answers_are_compact_json_with_a_charset() {
    let Some(api) = Api::start("answers_are_compact_json_with_a_charset").await else { return };
    api.runner("r1").await;

    for path in ["/health", "/api/runners", "/api/runners/r1", "/api/runners/none", "/nowhere"] {
        let answer = api.get(path).await;
        assert_eq!(answer.header("Content-Type"), "application/json; charset=utf-8", "{path}");
        assert!(!answer.text.contains('\n') && !answer.text.contains("\": "), "{answer:?}");
    }
}

#[tokio::test]
async fn only_json_bodies_are_read_and_only_objects_count() {
    let Some(api) = Api::start("only_json_bodies_are_read_and_only_objects_count").await else {
        return;
    };
    api.runner("r1").await;
    let beat = r#"{"runnerId":"r1"}"#;
    let with = async |kind: &str, body: &str| {
        let headers = [("Content-Type", kind)];
        api.send("POST", "/runners/heartbeat", &headers, Some(body.to_owned())).await.status
    };

    assert_eq!(with("application/json", beat).await, 200);
    assert_eq!(with("Application/JSON; charset=UTF-8", beat).await, 200);
    for kind in ["text/plain", "application/x-www-form-urlencoded", "application/jsonp"] {
        assert_eq!(with(kind, beat).await, 404, "{kind} is read as an empty object");
    }
    assert_eq!(with("application/json", "").await, 404);
    assert_eq!(with("application/json", "[1,2]").await, 404);
    for body in ["\"text\"", "5", "null", "true", "{", "{\"runnerId\":}", "nonsense", "{}{}"] {
        assert_eq!(with("application/json", body).await, 400, "{body}");
    }
}

#[tokio::test]
async fn a_connection_that_rests_is_kept_for_minutes() {
    let Some(api) = Api::start("a_connection_that_rests_is_kept_for_minutes").await else { return };
    let mut raw = Raw::connect(api.address()).await;
    let request = "GET /health HTTP/1.1\r\nHost: x\r\n\r\n";

    raw.send(request).await;
    let first = raw.read().await;
    // A Ratatoskr whose task blocks it for more than five seconds comes back on the same one. The
    // coordinator's other patience, for slow heads, is ten seconds.
    let is_open = raw.stays_open(Duration::from_secs(15)).await;
    raw.send(request).await;
    let second = raw.read().await;

    assert_eq!(first.status(), 200);
    assert!(is_open, "the connection was closed while it rested");
    assert_eq!(second.status(), 200);
}

#[tokio::test]
async fn a_connection_is_closed_for_who_asks_for_it() {
    let Some(api) = Api::start("a_connection_is_closed_for_who_asks_for_it").await else { return };
    let mut raw = Raw::connect(api.address()).await;

    raw.send("GET /api/runners HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    let answer = raw.read().await;

    let super::raw::Back::Answer { head, .. } = &answer else { panic!("{answer:?}") };
    assert_eq!(header(head, "connection"), Some("close"));
    assert_eq!(raw.read().await, super::raw::Back::Closed);
}
