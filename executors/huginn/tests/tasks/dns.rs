//! Names, on real dnsmasq servers: one that is right, one that is wrong on purpose.

use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::Stdio;

use executor_sdk::harness::{Harness, tokio};
use executor_sdk::prelude::*;
use huginn_executor::Huginn;

use crate::stand_in::{PASSWORD, PiHole, Trouble};
use crate::{Ends, command, completed, failed};

/// A name server of this test's own.
struct Dnsmasq {
    process: Ends,
    address: String,
}

impl Dnsmasq {
    /// Starts one, or says why not.
    async fn start(test: &str, args: &[&str]) -> Option<Self> {
        for _ in 0..20 {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            if UdpSocket::bind(("127.0.0.1", port)).is_err() {
                continue;
            }
            let started = command("/usr/sbin/dnsmasq")
                .args(["--no-daemon", "--conf-file=/dev/null", "--no-resolv", "--no-hosts"])
                .args(["--listen-address=127.0.0.1", "--bind-interfaces", "--no-poll"])
                .arg(format!("--port={port}"))
                .args(args)
                .stdin(Stdio::null())
                .stderr(Stdio::null())
                .spawn();
            let mut process = match started {
                Ok(process) => Ends(process),
                Err(error) => {
                    eprintln!("skipped: {test}: `/usr/sbin/dnsmasq` cannot be run: {error}");
                    return None;
                }
            };
            let address = SocketAddr::from(([127, 0, 0, 1], port));
            // Somebody else may have taken the port: then it ends, and the next one is tried.
            while process.0.try_wait().unwrap().is_none() {
                if TcpStream::connect(address).is_ok() {
                    return Some(Self { process, address: address.to_string() });
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        panic!("dnsmasq does not start");
    }
}

#[tokio::test]
async fn name_servers_are_asked_directly_and_compared() {
    let test = "name_servers_are_asked_directly_and_compared";
    let big = format!("--txt-record=big.home,{}", vec!["x".repeat(200); 12].join(","));
    let right = [
        "--local=/home/",
        "--host-record=nas.home,10.0.0.5,fd00::5",
        "--ptr-record=5.0.0.10.in-addr.arpa,nas.home",
        "--host-record=same.home,10.0.0.7",
        "--txt-record=note.home,hello",
        big.as_str(),
    ];
    let wrong =
        ["--local=/home/", "--host-record=nas.home,10.0.0.66", "--host-record=same.home,10.0.0.7"];
    let Some(right) = Dnsmasq::start(test, &right).await else { return };
    let Some(wrong) = Dnsmasq::start(test, &wrong).await else { return };
    let (right, wrong) = (&right.address, &wrong.address);
    let huginn = Harness::start(Huginn::default()).await;
    let check = async |params: Value| huginn.execute("dns-check", params).await.unwrap();

    let same = check(json!({"names": ["same.home"], "resolvers": [right, wrong]})).await;
    let answers = completed(&same)["answers"].as_array().unwrap();
    let ways: Vec<_> = answers.iter().map(|said| said["transport"].as_str().unwrap()).collect();
    assert_eq!(ways, ["udp", "tcp", "udp", "tcp"]);
    for said in answers {
        assert_eq!(said["answer"]["records"], json!(["10.0.0.7"]));
        assert_eq!(said["answer"]["code"], json!("NOERROR"));
    }

    let differ =
        check(json!({"names": ["same.home", "nas.home"], "resolvers": [right, wrong]})).await;
    let error = failed(&differ);
    assert!(error.starts_with("they disagree on nas.home: "), "{error}");
    assert!(error.contains(&format!("{wrong} (tcp) says 10.0.0.66")), "{error}");
    assert_eq!(differ.data["disagree"], json!(["nas.home"]));
    let expected =
        json!({"names": ["nas.home"], "resolvers": [right, wrong], "expect": ["10.0.0.5"]});
    let expected = check(expected).await;
    assert!(
        failed(&expected).contains(&format!("{wrong} (udp) says 10.0.0.66, expected 10.0.0.5"))
    );
    assert!(!failed(&expected).contains(right), "{expected:?}");

    for (params, records) in [
        (json!({"names": ["nas.home"], "record": "AAAA"}), json!(["fd00::5"])),
        (
            json!({"names": ["10.0.0.5"], "record": "PTR", "expect": ["NAS.home"]}),
            json!(["nas.home."]),
        ),
        (json!({"names": ["note.home"], "record": "TXT", "expect": ["hello"]}), json!(["hello"])),
        (json!({"names": ["gone.home"], "expect": []}), json!([])),
    ] {
        let mut params = params;
        params["resolvers"] = json!([right]);
        let outcome = check(params).await;
        assert_eq!(completed(&outcome)["answers"][0]["answer"]["records"], records, "{outcome:?}");
    }

    // What does not fit into a datagram is told over TCP, and is no disagreement.
    let big = check(json!({"names": ["big.home"], "record": "TXT", "resolvers": [right]})).await;
    let answers = &completed(&big)["answers"];
    assert_eq!(answers[0]["answer"]["truncated"], json!(true));
    assert_eq!(answers[1]["answer"]["truncated"], json!(false));
    assert!(answers[1]["answer"]["records"][0].as_str().unwrap().len() >= 2400);
}

#[tokio::test]
async fn who_does_not_answer_or_does_not_know_is_named() {
    let test = "who_does_not_answer_or_does_not_know_is_named";
    let Some(server) = Dnsmasq::start(test, &["--local=/home/"]).await else { return };
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let silent = silent.local_addr().unwrap().to_string();
    let huginn = Harness::start(Huginn::default()).await;
    let server = &server.address;

    for (params, why) in [
        (json!({"names": ["gone.home"], "resolvers": [server]}), "says NXDOMAIN"),
        // Nobody stands behind it.
        (json!({"names": ["example.org"], "resolvers": [server]}), "says REFUSED"),
        (json!({"names": ["example.org"], "resolvers": [server], "expect": []}), "says REFUSED"),
        (
            json!({"names": ["a.home"], "resolvers": [silent], "transports": ["udp"], "timeout_seconds": 0.3}),
            "says no answer within 0.3 s",
        ),
        (
            json!({"names": ["a.home"], "resolvers": [silent], "transports": ["tcp"], "timeout_seconds": 2}),
            "refused",
        ),
        (json!({"names": [], "resolvers": [server]}), "nothing is asked"),
        (json!({"names": ["a b"], "resolvers": [server]}), "`names[0]`"),
    ] {
        let outcome = huginn.execute("dns-check", params).await.unwrap();
        assert!(failed(&outcome).contains(why), "{why}: {outcome:?}");
    }
}

/// A Pi-hole whose records a real name server reads.
async fn pihole(
    folder: &Path,
    test: &str,
    trouble: Trouble,
    records: &[&str],
) -> Option<(Harness, String, Dnsmasq)> {
    let file = folder.join("records");
    std::fs::write(&file, format!("{}\n", records.join("\n"))).unwrap();
    let hosts = format!("--addn-hosts={}", file.display());
    let dnsmasq = Dnsmasq::start(test, &["--local=/home/", &hosts]).await?;
    let process = dnsmasq.process.0.id().to_string();
    let stand_in = PiHole {
        trouble,
        hosts: records.iter().map(|record| (*record).to_owned()).collect::<Vec<_>>().into(),
        changed: Some(Box::new(move |records| {
            std::fs::write(&file, format!("{}\n", records.join("\n"))).unwrap();
            assert!(command("kill").args(["-HUP", &process]).status().unwrap().success());
        })),
        ..PiHole::default()
    };
    let (url, _) = stand_in.start().await;
    let huginn = Huginn { pihole_url: Some(url), ..Huginn::default() };
    let huginn = Harness::with(huginn).secret("pihole-password", PASSWORD).start().await;
    Some((huginn, dnsmasq.address.clone(), dnsmasq))
}

#[tokio::test]
async fn a_record_is_added_changed_and_removed_and_each_time_asked_for() {
    let test = "a_record_is_added_changed_and_removed_and_each_time_asked_for";
    let folder = tempfile::tempdir().unwrap();
    let started = pihole(folder.path(), test, Trouble::None, &["10.0.0.1 old.home"]).await;
    let Some((huginn, server, _dnsmasq)) = started else { return };
    let order = async |mut params: Value| {
        params["domain"] = json!("nas.home");
        params["resolver"] = json!(server);
        huginn.execute("dns-record", params).await.unwrap()
    };

    let added = order(json!({"address": "10.0.0.5"})).await;
    assert_eq!(completed(&added)["added"], json!("10.0.0.5 nas.home"));
    let again = order(json!({"address": "10.0.0.5"})).await;
    assert_eq!(completed(&again)["changed"], json!(false));
    let taken = order(json!({"address": "10.0.0.6"})).await;
    assert!(failed(&taken).contains("is 10.0.0.5 already; set `replace`"), "{taken:?}");
    let changed = order(json!({"address": "10.0.0.6", "replace": true})).await;
    assert_eq!(completed(&changed)["removed"], json!(["10.0.0.5 nas.home"]));
    let check = json!({"names": ["nas.home"], "resolvers": [server], "expect": ["10.0.0.6"]});
    completed(&huginn.execute("dns-check", check).await.unwrap());
    let removed = order(json!({"state": "absent"})).await;
    assert_eq!(completed(&removed)["removed"], json!(["10.0.0.6 nas.home"]));
    let gone = json!({"names": ["nas.home"], "resolvers": [server], "expect": []});
    completed(&huginn.execute("dns-check", gone).await.unwrap());
    let other = json!({"names": ["old.home"], "resolvers": [server], "expect": ["10.0.0.1"]});
    completed(&huginn.execute("dns-check", other).await.unwrap());
}

#[tokio::test]
async fn a_record_that_the_name_server_does_not_know_is_not_done() {
    let test = "a_record_that_the_name_server_does_not_know_is_not_done";
    let folder = tempfile::tempdir().unwrap();
    let Some((huginn, server, _dnsmasq)) = pihole(folder.path(), test, Trouble::Forgets, &[]).await
    else {
        return;
    };

    let params = json!({"domain": "nas.home", "address": "10.0.0.5", "resolver": server,
        "settle_seconds": 0.5});
    let outcome = huginn.execute("dns-record", params).await.unwrap();

    assert!(failed(&outcome).contains("still says of `nas.home`: NXDOMAIN"), "{outcome:?}");
    for (params, why) in [
        (json!({"domain": "nas.home"}), "`address` is missing"),
        (json!({"domain": "a b", "address": "10.0.0.5"}), "`domain`"),
        (json!({"domain": "nas.home", "address": "10.0.0.5", "settle_seconds": -1}), "`settle"),
        (
            json!({"domain": "a.home", "address": "10.0.0.5", "url": "http://127.0.0.1:1"}),
            "no secret",
        ),
    ] {
        let outcome = huginn.execute("dns-record", params).await.unwrap();
        assert!(failed(&outcome).contains(why), "{why}: {outcome:?}");
    }
}
