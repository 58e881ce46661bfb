//! Two network namespaces with a veth pair between them: `near`, where Huginn runs, and `far`, where
//! the other machines are.
//!
//! What runs inside is a test of this same program, started again by `ip netns exec`; it is ignored
//! when nobody started it there.

use std::io::{BufRead as _, BufReader};
use std::net::{TcpListener, UdpSocket};
use std::process::{Child, Output, Stdio};

use executor_sdk::harness::{Ending, Harness};
use executor_sdk::prelude::*;
use huginn_executor::Huginn;

use crate::{Ends, command, completed, failed};

/// Says to a test inside that it is inside.
const INSIDE: &str = "HUGINN_TEST_INSIDE";

const MAC: &str = "02:00:5e:10:20:30";
const PASSWORD: &str = "0a:0b:0c:0d:0e:0f";

/// Two namespaces; they are gone when this is.
struct Net {
    near: String,
    far: String,
}

impl Net {
    /// Makes them, or says why that cannot be done here.
    fn make(test: &str) -> Option<Self> {
        let id = std::process::id();
        let net = Self { near: format!("ygg-near-{id}"), far: format!("ygg-far-{id}") };
        let (near, far) = (net.near.as_str(), net.far.as_str());
        // The names of the devices are the namespaces' own.
        let steps = [
            format!("netns add {near}"),
            format!("netns add {far}"),
            format!("-n {near} link add veth0 type veth peer name veth0 netns {far}"),
            format!("-n {near} addr add 10.231.0.1/24 broadcast 10.231.0.255 dev veth0"),
            format!("-n {far} addr add 10.231.0.9/24 broadcast 10.231.0.255 dev veth0"),
            // 10.231.0.4 hears everything, and what it says is dropped.
            format!("-n {far} addr add 10.231.0.4/24 dev veth0"),
            format!("-n {far} rule add from 10.231.0.4 to 10.231.0.1 blackhole pref 1"),
            format!("-n {near} link set lo up"),
            format!("-n {far} link set lo up"),
            format!("-n {near} link set veth0 up"),
            format!("-n {far} link set veth0 up"),
        ];
        for step in &steps {
            let made = ip(step);
            let why = match &made {
                Ok(output) if output.status.success() => continue,
                Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
                Err(error) => error.to_string(),
            };
            eprintln!("skipped: {test}: `ip {step}` fails: {why}");
            return None;
        }
        Some(net)
    }

    /// Starts one test of this program in a namespace.
    fn start(namespace: &str, test: &str) -> Child {
        let program = std::env::current_exe().unwrap();
        command("ip")
            .args(["netns", "exec", namespace])
            .arg(program)
            .args(["--exact", test, "--ignored", "--nocapture", "--test-threads=1"])
            .env(INSIDE, "yes")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap()
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        for namespace in [&self.near, &self.far] {
            drop(ip(&format!("netns del {namespace}")));
        }
    }
}

fn ip(words: &str) -> std::io::Result<Output> {
    command("ip").args(words.split(' ')).output()
}

fn is_inside(test: &str) -> bool {
    let is_inside = std::env::var_os(INSIDE).is_some();
    if !is_inside {
        eprintln!("skipped: {test}: it is started in a namespace by another test");
    }
    is_inside
}

#[test]
fn a_machine_is_woken_and_seen_in_each_state() {
    let Some(net) = Net::make("a_machine_is_woken_and_seen_in_each_state") else { return };
    let mut sleeper = Ends(Net::start(&net.far, "namespaces::inside_a_sleeper"));
    let mut said = BufReader::new(sleeper.0.stdout.take().unwrap()).lines();
    assert!(said.any(|line| line.unwrap().contains("asleep now")), "the sleeper does not start");

    let huginn = Net::start(&net.near, "namespaces::inside_huginn").wait_with_output().unwrap();

    let told = String::from_utf8_lossy(&huginn.stdout);
    assert!(huginn.status.success(), "{told}");
    assert!(told.contains("1 passed"), "{told}");
}

/// A card that hears its magic packet, and then gives its machine an address and a port.
#[test]
#[ignore = "another test starts it in a namespace"]
fn inside_a_sleeper() {
    if !is_inside("inside_a_sleeper") {
        return;
    }
    let card = UdpSocket::bind("0.0.0.0:9").unwrap();
    println!("asleep now");
    let mac = [0x02, 0, 0x5e, 0x10, 0x20, 0x30].repeat(16);
    let expected = [vec![0xff; 6], mac, vec![10, 11, 12, 13, 14, 15]].concat();
    let mut packet = [0; 200];
    loop {
        let length = card.recv(&mut packet).unwrap();
        if packet[..length] == expected {
            break;
        }
    }
    let port = TcpListener::bind("0.0.0.0:4022").unwrap();
    assert!(ip("addr add 10.231.0.2/24 dev veth0").unwrap().status.success());
    for stream in port.incoming() {
        drop(stream);
    }
}

#[test]
#[ignore = "another test starts it in a namespace"]
fn inside_huginn() {
    if !is_inside("inside_huginn") {
        return;
    }
    let runtime = executor_sdk::harness::tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(wake());
}

async fn wake() {
    let folder = tempfile::tempdir().unwrap();
    let table = folder.path().join("hosts.yaml");
    let text = format!(
        "hosts:\n  thor: {{address: 10.231.0.2, mac: {MAC}, port: 4022}}\n  hidden: {{address: 10.231.0.4}}\n  \
         gone: {{address: 10.231.0.77, mac: {MAC}}}\n  far: {{address: 10.231.0.9}}\n  \
         away: {{address: 192.0.2.1}}\n"
    );
    std::fs::write(&table, text).unwrap();
    let huginn = Huginn { hosts: Some(table), ..Huginn::default() };
    let huginn = Harness::with(huginn).secret("thor-card", PASSWORD).start().await;

    let before = huginn.execute("power-status", json!({"timeout_seconds": 1})).await.unwrap();
    let states = |data: &Value| -> Vec<(String, String)> {
        let hosts = data["hosts"].as_array().unwrap();
        let text = |host: &Value, member: &str| host[member].as_str().unwrap().to_owned();
        hosts.iter().map(|host| (text(host, "name"), text(host, "state"))).collect()
    };
    let expected = [
        ("away", "unreachable"),
        ("far", "up"),
        ("gone", "asleep"),
        ("hidden", "unreachable"),
        ("thor", "asleep"),
    ];
    let expected = expected.map(|(name, state)| (name.to_owned(), state.to_owned()));
    assert_eq!(states(completed(&before)), expected, "{before:?}");
    assert!(before.output.contains("far: up (it answers ping)"), "{}", before.output);
    assert!(before.output.contains("something drops packets"), "{}", before.output);

    // Without the password the card stays asleep, and nothing is called done.
    let without = json!({"host": "thor", "wait": 1.5});
    let without = huginn.execute("power-wake", without).await.unwrap();
    let error = failed(&without);
    assert!(error.starts_with("10.231.0.2 did not come up within 1.5 s"), "{error}");
    assert_eq!(without.data["packets"], json!(3));
    assert_eq!(without.data["up"], json!(false));

    let with = json!({"host": "thor", "wait": 20, "secure_on": "secret:thor-card"});
    let woken = huginn.execute("power-wake", with.clone()).await.unwrap();
    let data = completed(&woken);
    assert_eq!((&data["up"], &data["was_up"]), (&json!(true), &json!(false)), "{woken:?}");
    assert_eq!(data["how"], json!("port 4022 is open"));
    assert_eq!(data["sent"][0]["interface"], json!("veth0"));
    assert_eq!(data["sent"][0]["to"], json!("10.231.0.255:9"));
    assert!(data["seconds"].as_f64().is_some_and(|seconds| seconds > 0.0 && seconds < 20.0));

    let again = huginn.execute("power-wake", with).await.unwrap();
    assert_eq!(completed(&again)["was_up"], json!(true), "{again:?}");
    let after = json!({"hosts": ["thor"], "expect": "up"});
    let after = huginn.execute("power-status", after).await.unwrap();
    assert_eq!(completed(&after)["hosts"][0]["how"], json!("port 4022 is open"));
    let wrong = json!({"hosts": ["thor", "gone"], "expect": "asleep", "timeout_seconds": 1});
    let wrong = huginn.execute("power-status", wrong).await.unwrap();
    assert!(failed(&wrong).contains("not as expected: thor: up"), "{wrong:?}");

    // Loss and latency, by port and by ping; nobody answers for what drops and what is not there.
    let reach = json!({"hosts": ["thor", "far", "10.231.0.2:4022"], "count": 3});
    let reach = huginn.execute("network-check", reach).await.unwrap();
    for host in completed(&reach)["hosts"].as_array().unwrap() {
        assert_eq!((&host["sent"], &host["answered"]), (&json!(3), &json!(3)), "{host}");
        assert_eq!(host["loss_percent"], json!(0.0));
    }
    assert_eq!(reach.data["hosts"][1]["how"], json!("icmp"));
    let dark = json!({"hosts": ["hidden", "hidden:4022", "gone"], "timeout_seconds": 0.5});
    let dark = huginn.execute("network-check", dark).await.unwrap();
    assert!(failed(&dark).starts_with("3 of 3 are not well"), "{dark:?}");
    assert!(failed(&dark).contains("hidden:4022 (no answer within 0.5 s)"), "{dark:?}");
    assert!(failed(&dark).contains("hidden (no echo)"), "{dark:?}");
    assert_eq!(dark.data["hosts"][0]["loss_percent"], json!(100.0));

    // An echo proves it as well.
    let far = json!({"mac_address": MAC, "address": "far", "wait": 5});
    let far = huginn.execute("power-wake", far).await.unwrap();
    assert_eq!(completed(&far)["how"], json!("it answers ping"));

    // Waiting ends with the task's limit, and when somebody cancels.
    let wait = json!({"host": "gone", "wait": 60});
    let mut order = Harness::new_order("power-wake", wait.clone());
    order.timeout_seconds = Some(1.0);
    assert_eq!(huginn.order(&order).await.unwrap().status, Ending::TimedOut);
    let started = huginn.execute_async("power-wake", wait).await.unwrap();
    huginn.log_contains(started.attempt, "3 packets to").await;
    huginn.cancel(started.attempt).await.unwrap();
    assert_eq!(huginn.outcome(started.attempt).await.status, Ending::Cancelled);
    dropped(&huginn).await;
    huginn.stop().await;
}

/// What somebody in between drops is waited for no longer than the order says.
async fn dropped(huginn: &Harness) {
    let resolvers = json!(["10.231.0.4"]);
    for (task, params) in [
        ("network-check", json!({"hosts": ["hidden:4022"], "timeout_seconds": 60})),
        ("power-status", json!({"hosts": ["hidden:4022"], "timeout_seconds": 60})),
        ("dns-check", json!({"names": ["a.b"], "resolvers": resolvers, "timeout_seconds": 60})),
    ] {
        let mut order = Harness::new_order(task, params.clone());
        order.timeout_seconds = Some(0.5);
        let limited = huginn.order(&order).await.unwrap();
        assert_eq!(limited.status, Ending::TimedOut, "{task}: {limited:?}");
        let started = huginn.execute_async(task, params).await.unwrap();
        huginn.cancel(started.attempt).await.unwrap();
        assert_eq!(huginn.outcome(started.attempt).await.status, Ending::Cancelled, "{task}");
    }
    let up = json!({"hosts": ["hidden"], "expect": "up", "timeout_seconds": 0.5});
    let up = huginn.execute("power-status", up).await.unwrap();
    assert!(failed(&up).contains("not as expected: hidden: unreachable"), "{up:?}");
    let names = json!({"names": ["a.b"], "resolvers": resolvers, "timeout_seconds": 0.5});
    let names = huginn.execute("dns-check", names).await.unwrap();
    assert!(failed(&names).contains("no answer within 0.5 s"), "{names:?}");
}
