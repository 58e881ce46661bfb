//! Waking by name, and what the host table says.

use std::net::{TcpListener, UdpSocket};

use executor_sdk::harness::{Harness, RefusalCode};
use executor_sdk::prelude::*;
use huginn_executor::Huginn;

use crate::{completed, failed};

const MAC: &str = "02:00:5e:10:20:30";

async fn with_table(text: &str) -> (Harness, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let table = folder.path().join("hosts.yaml");
    std::fs::write(&table, text).unwrap();
    let huginn = Huginn { hosts: Some(table), ..Huginn::default() };
    let setup = Harness::with(huginn).secret("card", "1.2.3.4").secret("odd", "hunter2");
    (setup.start().await, folder)
}

#[tokio::test]
async fn a_host_of_the_table_is_woken_at_its_broadcast_with_its_password() {
    let listener = UdpSocket::bind("127.0.0.1:0").unwrap();
    listener.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let port = listener.local_addr().unwrap().port();
    let table = format!("hosts: {{thor: {{mac: {MAC}, broadcast: 127.0.0.1}}}}");
    let (huginn, _folder) = with_table(&table).await;

    let params = json!({"host": "thor", "port": port, "secure_on": "secret:card"});
    let outcome = huginn.execute("power-wake", params).await.unwrap();

    assert_eq!(completed(&outcome)["mac_address"], json!(MAC));
    let mut packet = [0; 200];
    let length = listener.recv(&mut packet).unwrap();
    assert_eq!(length, 106);
    assert_eq!(packet[102..106], [1, 2, 3, 4]);
}

#[tokio::test]
async fn a_host_that_is_up_already_is_told_as_such() {
    let up = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = up.local_addr().unwrap().port();
    let table =
        format!("hosts: {{thor: {{mac: {MAC}, address: 127.0.0.1, broadcast: 127.0.0.1}}}}");
    let (huginn, _folder) = with_table(&table).await;

    let params = json!({"host": "thor", "wait": 5, "check_port": port});
    let outcome = huginn.execute("power-wake", params).await.unwrap();

    let data = completed(&outcome);
    assert_eq!(data["was_up"], json!(true));
    assert_eq!(data["how"], json!(format!("port {port} is open")));
}

#[tokio::test]
async fn a_port_that_stays_closed_is_no_proof() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (huginn, _folder) = with_table("").await;

    let params = json!({"mac_address": MAC, "broadcast": "127.0.0.1", "wait": 0.5,
        "address": "127.0.0.1", "check_port": closed});
    let outcome = huginn.execute("power-wake", params).await.unwrap();

    assert!(failed(&outcome).contains("did not come up within 0.5 s"), "{outcome:?}");
    assert!(failed(&outcome).contains("is refused by the host"), "{outcome:?}");
}

#[tokio::test]
async fn what_cannot_be_meant_is_refused_in_words() {
    let table = format!("hosts: {{thor: {{mac: {MAC}}}, nas: {{address: nas}}}}");
    let (huginn, _folder) = with_table(&table).await;

    for (params, why) in [
        (json!({}), "give `host` or `mac_address`"),
        (json!({"host": "thor", "mac_address": MAC}), "not both"),
        (json!({"host": "loki"}), "it has nas, thor"),
        (json!({"host": "nas"}), "no `mac` for `nas`"),
        (json!({"mac_address": MAC, "wait": 1}), "`wait` needs the `address`"),
        (json!({"mac_address": MAC, "wait": 0}), "between 0.1 and 3600"),
        (json!({"mac_address": MAC, "address": "x"}), "without `wait`"),
        (json!({"mac_address": MAC, "wait": 1, "address": "x y"}), "neither a host name"),
        (json!({"mac_address": MAC, "port": 0}), "`port` 0"),
        (json!({"host": "thor", "secure_on": "secret:absent"}), "has no `secret:absent`"),
        (json!({"host": "thor", "secure_on": "secret:odd"}), "is no password"),
    ] {
        let outcome = huginn.execute("power-wake", params).await.unwrap();
        assert!(failed(&outcome).contains(why), "{why}: {outcome:?}");
        assert!(!format!("{outcome:?}").contains("hunter2"));
    }
    let refusal = huginn.execute("power-wake", json!({"mac_address": "ff:ff:ff:ff:ff:ff"})).await;
    assert_eq!(refusal.unwrap_err().code, RefusalCode::InvalidParams);
    let nobody = huginn.execute("power-status", json!({"hosts": []})).await.unwrap();
    assert!(failed(&nobody).contains("nobody is asked for"));
}

#[tokio::test]
#[should_panic(expected = "`thor` is there twice")]
async fn a_crooked_table_does_not_start() {
    with_table("hosts:\n  thor: {}\n  thor: {}\n").await;
}
