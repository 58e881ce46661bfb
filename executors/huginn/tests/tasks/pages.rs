//! Pages: their status, and a certificate that is about to expire on a real TLS server.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use executor_sdk::harness::Harness;
use executor_sdk::prelude::*;
use huginn_executor::Huginn;

use crate::stand_in::{Trouble, plex};
use crate::{Ends, command, completed, failed};

#[tokio::test]
async fn a_page_is_well_by_its_status() {
    let huginn = Harness::start(Huginn::default()).await;
    let (well, elsewhere) = (plex(Trouble::Empty).await, plex(Trouble::Redirect).await);
    let broken = plex(Trouble::Html).await;

    let good = huginn.execute("network-check", json!({"urls": [well, elsewhere]})).await.unwrap();
    let params = json!({"urls": [well, broken, "http://127.0.0.1:1/"], "timeout_seconds": 5});
    let bad = huginn.execute("network-check", params).await.unwrap();

    let pages = &completed(&good)["urls"];
    assert_eq!((&pages[0]["status"], &pages[1]["status"]), (&json!(200), &json!(302)));
    assert!(pages[0]["latency_ms"].is_f64() && pages[0]["certificate_until"].is_null());
    assert!(failed(&bad).starts_with("2 of 3 are not well"), "{bad:?}");
    assert!(failed(&bad).contains("it answers 502 Bad Gateway"), "{bad:?}");
}

#[tokio::test]
async fn a_certificate_that_expires_soon_is_not_well() {
    let folder = tempfile::tempdir().unwrap();
    let (key, certificate) = (folder.path().join("key"), folder.path().join("certificate"));
    let made = command("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
        ])
        .args(["-days", "10", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"])
        .args([&"-keyout".into(), &key, &"-out".into(), &certificate])
        .output();
    match made {
        Ok(output) => assert!(output.status.success(), "{output:?}"),
        Err(error) => {
            let test = "a_certificate_that_expires_soon_is_not_well";
            eprintln!("skipped: {test}: `openssl` cannot be run: {error}");
            return;
        }
    }
    let mut server = Ends(
        command("openssl")
            .args(["s_server", "-www", "-accept", "127.0.0.1:0", "-key"])
            .args([&key, &"-cert".into(), &certificate])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap(),
    );
    let mut said = BufReader::new(server.0.stdout.take().unwrap()).lines().map_while(Result::ok);
    let accept = said.find_map(|line| line.strip_prefix("ACCEPT 127.0.0.1:").map(str::to_owned));
    let url = format!("https://localhost:{}/", accept.unwrap());
    let huginn = Harness::start(Huginn::default()).await;

    let unknown = huginn.execute("network-check", json!({"urls": [url]})).await.unwrap();
    let any = json!({"urls": [url], "accept_any_certificate": true, "min_certificate_days": 9});
    let any = huginn.execute("network-check", any).await.unwrap();
    let soon = json!({"urls": [url], "accept_any_certificate": true, "min_certificate_days": 30});
    let soon = huginn.execute("network-check", soon).await.unwrap();

    assert!(failed(&unknown).contains("ertificate"), "{unknown:?}");
    let page = &completed(&any)["urls"][0];
    assert_eq!(page["status"], json!(200));
    // Ten days, less the moment since.
    let left = page["certificate_days_left"].as_i64().unwrap();
    assert!((9..=10).contains(&left), "{page}");
    assert!(failed(&soon).contains("days, less than 30"), "{soon:?}");
}
