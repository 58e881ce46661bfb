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

/// A TLS server whose certificate is of an authority that nobody knows.
struct Tls {
    _server: Ends,
    url: Url,
    authority: PathBuf,
    folder: tempfile::TempDir,
}

impl Tls {
    /// Starts one, or says why not. `-HTTP` serves the files of its folder as whole answers.
    fn start(test: &str, how: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let place = |name: &str| folder.path().join(name);
        let make = |name: &str, more: &[&str]| {
            command("openssl")
                .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"])
                .args(["-nodes", "-days", "10", "-subj", &format!("/CN={name}")])
                .args(more)
                .args(["-keyout".into(), place(&format!("{name}.key"))])
                .args(["-out".into(), place(&format!("{name}.pem"))])
                .current_dir(folder.path())
                .output()
        };
        let of_localhost = [
            "-CA",
            "authority.pem",
            "-CAkey",
            "authority.key",
            "-addext",
            "subjectAltName=DNS:localhost",
            "-addext",
            "basicConstraints=critical,CA:FALSE",
        ];
        for (name, more) in [("authority", &[][..]), ("localhost", &of_localhost)] {
            match make(name, more) {
                Ok(output) => assert!(output.status.success(), "{output:?}"),
                Err(error) => {
                    eprintln!("skipped: {test}: `openssl` cannot be run: {error}");
                    return None;
                }
            }
        }
        let mut server = Ends(
            command("openssl")
                .args(["s_server", how, "-accept", "127.0.0.1:0"])
                .args(["-key", "localhost.key", "-cert", "localhost.pem"])
                .current_dir(folder.path())
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
                .unwrap(),
        );
        let said = BufReader::new(server.0.stdout.take().unwrap()).lines().map_while(Result::ok);
        let mut ports =
            said.filter_map(|line| Some(line.strip_prefix("ACCEPT 127.0.0.1:")?.to_owned()));
        let url = format!("https://localhost:{}/", ports.next().unwrap()).parse().unwrap();
        let authority = place("authority.pem");
        Some(Self { _server: server, url, authority, folder })
    }

    fn answers(&self, path: &str, body: &Value) {
        let file = self.folder.path().join(path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        let head = "HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n";
        std::fs::write(file, format!("{head}{body}")).unwrap();
    }
}

#[tokio::test]
async fn a_certificate_that_expires_soon_is_not_well() {
    let test = "a_certificate_that_expires_soon_is_not_well";
    let Some(server) = Tls::start(test, "-www") else { return };
    let url = &server.url;
    let huginn = Harness::start(Huginn::default()).await;
    let known = Huginn { ca_file: Some(server.authority.clone()), ..Huginn::default() };
    let known = Harness::start(known).await;

    let unknown = huginn.execute("network-check", json!({"urls": [url]})).await.unwrap();
    let known = known.execute("network-check", json!({"urls": [url]})).await.unwrap();
    let any = json!({"urls": [url], "accept_any_certificate": true, "min_certificate_days": 9});
    let any = huginn.execute("network-check", any).await.unwrap();
    let soon = json!({"urls": [url], "accept_any_certificate": true, "min_certificate_days": 30});
    let soon = huginn.execute("network-check", soon).await.unwrap();

    assert!(failed(&unknown).contains("ertificate"), "{unknown:?}");
    completed(&known);
    let page = &completed(&any)["urls"][0];
    assert_eq!(page["status"], json!(200));
    // Ten days, less the moment since.
    let left = page["certificate_days_left"].as_i64().unwrap();
    assert!((9..=10).contains(&left), "{page}");
    assert!(failed(&soon).contains("days, less than 30"), "{soon:?}");
}

#[tokio::test]
async fn a_pihole_is_asked_over_tls_where_the_node_knows_its_authority() {
    let test = "a_pihole_is_asked_over_tls_where_the_node_knows_its_authority";
    let Some(server) = Tls::start(test, "-HTTP") else { return };
    server.answers("api/auth", &json!({"session": {"valid": true, "sid": null}}));
    server.answers("api/dns/blocking", &json!({"blocking": "enabled"}));
    server
        .answers("api/info/version", &json!({"version": {"ftl": {"local": {"version": "v6.3"}}}}));
    server.answers(
        "api/stats/summary",
        &json!({
            "queries": {"total": 4, "blocked": 1, "percent_blocked": 25.0},
            "clients": {"active": 1},
            "gravity": {"domains_being_blocked": 9, "last_update": 1_700_000_000},
        }),
    );
    let at = |ca_file: Option<PathBuf>| Huginn {
        pihole_url: Some(server.url.clone()),
        ca_file,
        ..Huginn::default()
    };
    let stranger = Harness::start(at(None)).await;
    let friend = Harness::start(at(Some(server.authority.clone()))).await;

    let unknown = stranger.execute("monitor-pihole", json!({})).await.unwrap();
    let known = friend.execute("monitor-pihole", json!({})).await.unwrap();

    assert!(failed(&unknown).contains("ertificate"), "{unknown:?}");
    assert_eq!(completed(&known)["pihole"]["blocked_percent"], json!(25.0));
}

#[tokio::test]
#[should_panic(expected = "cannot use the certificates of")]
async fn a_file_without_certificates_does_not_start() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let huginn = Huginn { ca_file: Some(file.path().to_owned()), ..Huginn::default() };
    Harness::start(huginn).await;
}
