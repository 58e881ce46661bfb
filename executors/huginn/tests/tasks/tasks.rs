use std::net::{TcpListener, UdpSocket};

use executor_sdk::harness::{Ending, Harness, RefusalCode};
use executor_sdk::prelude::*;
use huginn_executor::Huginn;

use crate::{completed, failed};

const MAC: &str = "02:00:5e:10:20:30";

#[tokio::test]
async fn three_magic_packets_arrive() {
    let huginn = Harness::start(Huginn::default()).await;
    let listener = UdpSocket::bind("127.0.0.1:0").unwrap();
    listener.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let port = listener.local_addr().unwrap().port();

    let params = json!({"mac_address": MAC, "broadcast": "127.0.0.1", "port": port});
    let outcome = huginn.execute("power-wake", params).await.unwrap();

    let data = completed(&outcome);
    assert_eq!(data["packets"], json!(3));
    assert_eq!(data["sent"][0]["to"], json!(format!("127.0.0.1:{port}")));
    assert_eq!(data["sent"][0]["from"], json!("127.0.0.1"));
    let expected = [vec![0xff; 6], [0x02, 0, 0x5e, 0x10, 0x20, 0x30].repeat(16)].concat();
    for _ in 0..3 {
        let mut packet = [0; 200];
        let length = listener.recv(&mut packet).unwrap();
        assert_eq!(packet[..length], expected);
        assert_eq!(length, 102);
    }
    assert!(outcome.output.contains("whether it woke is not known"), "{}", outcome.output);
}

#[tokio::test]
async fn without_a_broadcast_each_network_gets_its_own() {
    let huginn = Harness::start(Huginn::default()).await;

    let outcome = huginn.execute("power-wake", json!({"mac_address": MAC})).await.unwrap();

    // A machine without a network cannot send; it says so.
    let sent = outcome.data["sent"].as_array().unwrap();
    assert!(!sent.is_empty());
    let packets: u64 = sent.iter().filter_map(|place| place["packets"].as_u64()).sum();
    assert_eq!(outcome.data["packets"], json!(packets));
    assert_eq!(outcome.status == Ending::Completed, packets > 0, "{outcome:?}");
}

#[tokio::test]
async fn what_answers_is_told_with_its_latency() {
    let huginn = Harness::start(Huginn::default()).await;
    let (one, first) = listener();
    let (_other, second) = listener();

    let params = json!({
        "hosts": ["127.0.0.1", format!("localhost:{second}"), {"host": "127.0.0.1", "port": second}],
        "ports": [first],
        "dns": ["localhost"],
    });
    let outcome = huginn.execute("network-check", params).await.unwrap();

    let data = completed(&outcome);
    let hosts = data["hosts"].as_array().unwrap();
    let ports: Vec<_> = hosts.iter().map(|host| host["port"].clone()).collect();
    assert_eq!(ports, [json!(first), json!(second), json!(second)]);
    assert!(hosts.iter().all(|host| host["reachable"] == true && host["latency_ms"].is_f64()));
    assert_eq!(data["dns"][0]["resolved"], json!(true));
    assert!(one.accept().is_ok());
}

#[tokio::test]
async fn what_does_not_answer_is_named() {
    let huginn = Harness::start(Huginn::default()).await;
    let (_open, open) = listener();
    let closed = listener().1;

    let params = json!({
        "hosts": [format!("127.0.0.1:{open}"), format!("127.0.0.1:{closed}")],
        "dns": ["no-such-host.invalid"],
        "timeout_seconds": 2,
    });
    let outcome = huginn.execute("network-check", params).await.unwrap();

    let error = failed(&outcome);
    assert!(error.starts_with("2 of 3 are not well"), "{error}");
    assert!(error.contains(&format!("127.0.0.1:{closed}")), "{error}");
    assert!(error.contains("no-such-host.invalid"), "{error}");
    assert!(!error.contains(&format!(":{open} ")), "{error}");
    assert_eq!(outcome.data["hosts"][0]["reachable"], json!(true));
    assert_eq!(outcome.data["hosts"][1]["reachable"], json!(false));
    assert_eq!(outcome.data["dns"][0]["resolved"], json!(false));
}

#[tokio::test]
async fn a_check_that_asks_nothing_is_no_success() {
    let huginn = Harness::start(Huginn::default()).await;

    for (params, why) in [
        (json!({}), "nothing is asked"),
        (json!({"ports": [22]}), "without `hosts`"),
        (json!({"hosts": ["nas"], "count": 0}), "`count`"),
        (json!({"hosts": ["nas"], "max_loss_percent": 100}), "below 100"),
        (json!({"urls": ["file:///etc/passwd"]}), "`urls[0]`"),
        (json!({"urls": ["http://a:b@nas/"]}), "no password"),
        (json!({"dns": ["x"], "timeout_seconds": 0}), "`timeout_seconds`"),
        (json!({"hosts": vec!["x"; 40], "ports": (1..40).collect::<Vec<_>>()}), "1024"),
    ] {
        let outcome = huginn.execute("network-check", params).await.unwrap();
        assert!(failed(&outcome).contains(why), "{outcome:?}");
    }
}

#[tokio::test]
async fn params_that_do_not_fit_are_refused_with_their_path() {
    let huginn = Harness::start(Huginn::default()).await;

    for (task, params, path) in [
        ("network-check", json!({"hosts": ["a:1", {"host": "b", "prot": 1}]}), "hosts[1]"),
        ("network-check", json!({"hosts": ["-x"]}), "hosts[0]"),
        ("network-check", json!({"ports": [70_000]}), "ports[0]"),
        ("power-wake", json!({"mac_address": MAC, "broadcast": "nas"}), "broadcast"),
        ("ops-health-check", json!({"max_load": 1}), "max_load"),
    ] {
        let refusal = huginn.execute(task, params).await.unwrap_err();
        assert_eq!(refusal.code, RefusalCode::InvalidParams, "{refusal:?}");
        assert!(refusal.error.contains(path), "{refusal:?}");
    }
}

#[tokio::test]
async fn the_health_of_this_machine_is_told() {
    let huginn = Harness::start(Huginn::default()).await;

    let outcome = huginn.execute("ops-health-check", json!({})).await.unwrap();

    let data = completed(&outcome);
    assert_eq!(data["breaches"], json!([]));
    assert!(data["memory_available_percent"].as_f64().is_some_and(|percent| percent > 0.0));
    assert!(data["disks"].as_array().is_some_and(|disks| !disks.is_empty()));
    assert!(data["failed_units"].is_array() || data["units_unknown"].is_string(), "{data}");
}

#[tokio::test]
async fn a_crossed_threshold_is_a_failure_that_names_it() {
    let huginn = Harness::start(Huginn::default()).await;

    let disk = huginn.execute("ops-health-check", json!({"min_disk_free_percent": 100})).await;
    let memory =
        huginn.execute("ops-health-check", json!({"min_memory_available_percent": 100})).await;
    let kept = json!({"min_disk_free_percent": 0, "min_memory_available_percent": 0});
    let kept = huginn.execute("ops-health-check", kept).await;
    let wrong = huginn.execute("ops-health-check", json!({"min_disk_free_percent": 101})).await;

    let disk = disk.unwrap();
    assert!(failed(&disk).contains("% free, less than 100"), "{disk:?}");
    assert!(disk.data["breaches"].as_array().is_some_and(|lines| !lines.is_empty()));
    assert!(failed(&memory.unwrap()).contains("of the memory is available"));
    completed(&kept.unwrap());
    assert!(failed(&wrong.unwrap()).contains("between 0 and 100"));
}

#[tokio::test]
async fn what_cannot_be_looked_at_is_not_well() {
    let blind = Harness::with(Huginn::default()).program("df", "echo 'no such device'; exit 1");
    let huginn = blind.start().await;
    let disks = huginn.execute("ops-health-check", json!({})).await.unwrap();

    assert_eq!(failed(&disks), "`df` lists no disk: no such device");
    // Where systemd runs, it is the test beside a systemd that tells.
    if std::path::Path::new("/run/systemd/system").exists() {
        return;
    }
    let huginn = Harness::start(Huginn::default()).await;
    let units = huginn.execute("ops-health-check", json!({"max_failed_units": 9})).await.unwrap();
    let why = "it is not known which units failed: systemd does not run here";
    assert!(failed(&units).contains(why), "{units:?}");
}

#[tokio::test]
async fn each_task_has_a_description_and_true_flags() {
    let huginn = Harness::start(Huginn::default()).await;

    let status = huginn.status().await;

    for (task, idempotent, retryable) in [
        ("ops-health-check", true, false),
        ("network-check", true, false),
        ("power-wake", true, true),
        ("power-status", true, false),
        ("power-suspend", false, false),
        ("power-off", false, false),
        ("service-restart", true, false),
        ("monitor-pihole", true, false),
        ("monitor-plex", true, false),
        ("dns-check", true, false),
        ("dns-record", true, true),
    ] {
        let spec = status.tasks.iter().find(|spec| spec.task_type == task).unwrap();
        assert!(spec.description.len() > 20, "{task}: {}", spec.description);
        assert_eq!((spec.idempotent, spec.retryable), (idempotent, retryable), "{task}");
        assert_eq!(spec.params_schema["additionalProperties"], json!(false), "{task}");
        let params = spec.params_schema["properties"].as_object().unwrap();
        for (name, param) in params {
            assert!(param["description"].is_string(), "{task}: `{name}` is not described");
        }
    }
}

/// Returns a listener and its port. Dropped, the port is one that nobody listens on.
fn listener() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}
