//! Clients that mean no good, or cannot help it: each is refused in clear words or cut off, the
//! others are served meanwhile, and the memory stays flat.

use std::time::{Duration, Instant};

use e2e::world::COORDINATOR;
use futures::future::join_all;
use serde_json::json;

use super::api::{Api, KEY, SOON};
use super::raw::{Back, Raw};

/// What the process may grow by under attack: less than one of the huge bodies.
const FLAT: u64 = 16 * 1024 * 1024;

/// Returns how much memory the coordinator holds.
fn memory(api: &mut Api) -> u64 {
    let pid = api.world.daemon(COORDINATOR).pid().unwrap();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse().unwrap();
    kib * 1024
}

/// Lets the process reach the size that it has at work.
async fn warm(api: &mut Api) -> u64 {
    api.runner("r1").await;
    let request = async || api.get("/api/runners").await.status;
    for _ in 0..20 {
        join_all((0..10).map(|_| request())).await;
    }
    let big = json!({"runnerId": "r1", "updateLog": "x".repeat(500_000)});
    api.post("/runners/heartbeat", big).await;
    memory(api)
}

/// The others are served, and the memory is as it was.
async fn goes_on(api: &mut Api, before: u64) {
    assert_eq!(api.beat("r1").await.status, 200);
    assert_eq!(api.get("/metrics").await.status, 200);
    let after = memory(api);
    assert!(after < before + FLAT, "{} MiB became {} MiB", before >> 20, after >> 20);
}

fn post(path: &str, length: usize) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    )
}

#[tokio::test]
async fn malformed_requests_are_refused() {
    let Some(mut api) = Api::start("malformed_requests_are_refused").await else { return };
    let before = warm(&mut api).await;
    let heads = [
        "nonsense\r\n\r\n",
        "GET\r\n\r\n",
        "GET /health HTTP/9.9\r\n\r\n",
        "GET /health HTTP/1.1\r\nno colon\r\n\r\n",
        "GET /he alth HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /health HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
        "POST /poll HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        "POST /runners/register HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Type: application/json\r\n\r\nzz\r\n",
        "\u{0}\u{1}\u{2}\u{3}\r\n\r\n",
        // The first bytes of TLS, and of HTTP/2 without asking.
        "\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ];

    for _ in 0..20 {
        for head in heads {
            let mut raw = Raw::connect(api.address()).await;
            raw.send(head).await;
            match raw.read().await {
                Back::Closed => {}
                Back::Answer { status, body, .. } => {
                    assert!(
                        (400..500).contains(&status) || status == 505,
                        "{head:?}: {status} {body}"
                    );
                }
            }
        }
    }

    goes_on(&mut api, before).await;
}

#[tokio::test]
async fn malformed_json_is_refused_in_clear_words() {
    let Some(mut api) = Api::start("malformed_json_is_refused_in_clear_words").await else {
        return;
    };
    let before = warm(&mut api).await;
    let deep =
        |open: &str, close: &str| format!("{}{}", open.repeat(200_000), close.repeat(200_000));
    let bodies = [
        "{".to_owned(),
        "{\"runnerId\":\"r1\"".to_owned(),
        "{\"metadata\":{\"a\":\"\\ud800\"}}".to_owned(),
        "{'runnerId':'r1'}".to_owned(),
        "{\"runnerId\":\"r1\"} trailing".to_owned(),
        "{\"metadata\":{\"a\":1e999}}".to_owned(),
        deep("[", "]"),
        format!("{{\"metadata\":{}}}", deep("{\"a\":", "}").replace(":}", ":1}")),
        format!("{{\"metadata\":{{\"a\":{}}}}}", deep("[", "]")),
    ];

    for body in bodies {
        for (method, path) in [
            ("POST", "/runners/register"),
            ("POST", "/runners/r1/tasks"),
            ("POST", "/api/v1/sessions"),
            ("PATCH", "/runners/r1/tasks/t1"),
        ] {
            let answer = api.text(method, path, &body).await;
            let start = &body[..body.len().min(40)];
            assert!([400, 413].contains(&answer.status), "{method} {path} {start}: {answer:?}");
            let error = answer.json()["error"].as_str().unwrap().to_owned();
            assert!(error.len() < 300 && error.contains("body"), "{start}: {error}");
        }
    }
    let bytes = [&post("/runners/register", 6)[..], "{\"a\":"].concat().into_bytes();
    let mut raw = Raw::connect(api.address()).await;
    raw.send([&bytes[..], &[0xff]].concat()).await;
    assert_eq!(raw.read().await.status(), 400);

    goes_on(&mut api, before).await;
}

#[tokio::test]
async fn a_huge_body_is_refused_and_not_kept() {
    let Some(mut api) = Api::start("a_huge_body_is_refused_and_not_kept").await else { return };
    let before = warm(&mut api).await;
    let piece = vec![b'x'; 1024 * 1024];

    for (path, whole) in [
        ("/runners/register", 20_usize),
        ("/runners/heartbeat", 20),
        ("/api/v1/sessions", 20),
        ("/api/v1/realms/register", 20),
        // Far more than is ever read.
        ("/runners/register", 10_000),
    ] {
        let mut raw = Raw::connect(api.address()).await;
        raw.send(post(path, whole * piece.len())).await;
        raw.send("{\"name\":\"").await;
        let mut sent = 0;
        while sent < whole && raw.send(&piece).await {
            sent += 1;
        }
        // A client that sends on for ever may be cut off before it reads.
        match raw.read().await {
            Back::Closed => assert!(whole > 1000, "{path}: closed without a word"),
            answer @ Back::Answer { .. } => {
                assert_eq!(answer.status(), 413, "{path}");
                assert!(answer.body().starts_with("{\"error\":\""), "{path}");
            }
        }
        assert!(sent < 200, "{path}: {sent} MiB were read");
        goes_on(&mut api, before).await;
    }
}

#[tokio::test]
async fn a_refusal_reaches_who_sends_the_whole_body_first() {
    let Some(api) = Api::locked("a_refusal_reaches_who_sends_the_whole_body_first").await else {
        return;
    };
    let body = vec![b'x'; 4 * 1024 * 1024];

    for (path, key, status) in
        [("/runners/register", "wrong", 401), ("/agent/nobody/process", KEY, 404)]
    {
        let mut raw = Raw::connect(api.address()).await;
        let head = post(path, body.len()).replacen("Host: x", &format!("X-API-Key: {key}"), 1);
        raw.send(head.replacen("\r\n", "\r\nHost: x\r\n", 1)).await;
        assert!(raw.send(&body).await, "{path}: cut off while it sends");
        assert_eq!(raw.read().await.status(), status, "{path}");
    }
}

#[tokio::test]
async fn a_body_that_claims_to_be_huge_costs_nothing() {
    let Some(mut api) = Api::start("a_body_that_claims_to_be_huge_costs_nothing").await else {
        return;
    };
    let before = warm(&mut api).await;

    let mut open = Vec::new();
    for _ in 0..200 {
        let mut raw = Raw::connect(api.address()).await;
        raw.send(post("/runners/register", 4 * 1024 * 1024 * 1024)).await;
        raw.send("{").await;
        open.push(raw);
    }

    goes_on(&mut api, before).await;
    drop(open);
}

#[tokio::test]
async fn huge_heads_are_refused() {
    let Some(mut api) = Api::start("huge_heads_are_refused").await else { return };
    let before = warm(&mut api).await;
    let long = "x".repeat(1024 * 1024);
    let many = "X-Many: v\r\n".repeat(10_000);

    for head in [
        format!("GET /{long} HTTP/1.1\r\nHost: x\r\n\r\n"),
        format!("GET /health?{long} HTTP/1.1\r\nHost: x\r\n\r\n"),
        format!("GET /health HTTP/1.1\r\nHost: x\r\nX-Long: {long}\r\n\r\n"),
        format!("GET /health HTTP/1.1\r\nHost: x\r\n{many}\r\n"),
        format!("{long} /health HTTP/1.1\r\nHost: x\r\n\r\n"),
    ] {
        let mut raw = Raw::connect(api.address()).await;
        raw.send(&head).await;
        match raw.read().await {
            Back::Closed => {}
            Back::Answer { status, .. } => {
                assert!([400, 414, 431].contains(&status), "{}: {status}", &head[..30]);
            }
        }
    }

    goes_on(&mut api, before).await;
}

#[tokio::test]
async fn slow_clients_are_cut_off_and_hold_nobody_up() {
    let Some(mut api) = Api::start("slow_clients_are_cut_off_and_hold_nobody_up").await else {
        return;
    };
    let before = warm(&mut api).await;
    let mut slow = Vec::new();
    for number in 0..200 {
        let mut raw = Raw::connect(api.address()).await;
        // Half of them never end their head, the others never their body.
        if number % 2 == 0 {
            raw.send("GET /health HTTP/1.1\r\nHost: x\r\nX-Slow: ").await;
        } else {
            raw.send(post("/runners/register", 1000)).await;
        }
        slow.push(raw);
    }

    let start = Instant::now();
    let drip = async |raw: &mut Raw, byte: &str| -> Duration {
        // One byte at a time, for as long as somebody takes it.
        while start.elapsed() < Duration::from_mins(2) {
            if !raw.stays_open(Duration::from_secs(1)).await || !raw.send(byte).await {
                return start.elapsed();
            }
        }
        panic!("a slow client was never cut off");
    };
    let cut_off = join_all(
        slow.iter_mut()
            .enumerate()
            .map(|(number, raw)| drip(raw, if number % 2 == 0 { "x" } else { "{" })),
    );
    let served = async {
        let mut slowest = Duration::ZERO;
        for _ in 0..20 {
            let asked = Instant::now();
            assert_eq!(api.beat("r1").await.status, 200);
            slowest = slowest.max(asked.elapsed());
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        slowest
    };
    let (cut_off, slowest) = tokio::join!(cut_off, served);

    assert!(slowest < SOON / 6, "a heartbeat took {slowest:?} beside slow clients");
    let (heads, bodies): (Vec<_>, Vec<_>) =
        cut_off.iter().enumerate().partition(|(number, _)| number % 2 == 0);
    let last = |times: &[(usize, &Duration)]| times.iter().map(|(_, time)| **time).max().unwrap();
    // Ten seconds for a head and thirty for a body, and slack for a slow machine.
    assert!(last(&heads) < Duration::from_secs(30), "{:?}", last(&heads));
    assert!(last(&bodies) < Duration::from_mins(1), "{:?}", last(&bodies));
    goes_on(&mut api, before).await;
}

#[tokio::test]
async fn half_closed_and_broken_off_requests_leave_nothing() {
    let Some(mut api) = Api::start("half_closed_and_broken_off_requests_leave_nothing").await
    else {
        return;
    };
    let before = warm(&mut api).await;

    for _ in 0..100 {
        // A whole request, and then nothing more will come: it is answered all the same.
        let mut whole = Raw::connect(api.address()).await;
        whole.send("GET /health HTTP/1.1\r\nHost: x\r\n\r\n").await;
        whole.half_close().await;
        assert_eq!(whole.read().await.status(), 200);
        // A body that ends too early changes nothing.
        let mut half = Raw::connect(api.address()).await;
        half.send(post("/runners/register", 100)).await;
        half.send("{\"runnerId\":\"half\"").await;
        half.half_close().await;
        match half.read().await {
            Back::Closed => {}
            answer @ Back::Answer { .. } => assert_eq!(answer.status(), 400),
        }
        // And one that is gone altogether.
        let mut gone = Raw::connect(api.address()).await;
        gone.send(post("/runners/register", 100)).await;
        drop(gone);
        let mut head = Raw::connect(api.address()).await;
        head.send("GET /health HT").await;
        head.half_close().await;
        assert!(matches!(head.read().await, Back::Closed | Back::Answer { status: 400, .. }));
    }

    api.get("/api/runners/half").await.is(404, r#"{"error":"Runner not found"}"#);
    goes_on(&mut api, before).await;
}

#[tokio::test]
async fn many_requests_on_one_connection_are_answered_in_their_order() {
    let test = "many_requests_on_one_connection_are_answered_in_their_order";
    let Some(mut api) = Api::start(test).await else { return };
    let before = warm(&mut api).await;
    let mut raw = Raw::connect(api.address()).await;

    let requests: String = (0..200)
        .map(|number| format!("GET /api/runners/none-{number} HTTP/1.1\r\nHost: x\r\n\r\n"))
        .chain(["GET /api/runners/r1 HTTP/1.1\r\nHost: x\r\n\r\n".to_owned()])
        .collect();
    raw.send(requests).await;

    for _ in 0..200 {
        assert_eq!(raw.read().await.status(), 404);
    }
    assert_eq!(raw.read().await.status(), 200);
    goes_on(&mut api, before).await;
}
