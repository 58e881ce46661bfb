//! Every task is ended in the middle of its work, by its time limit and by a cancellation.
//!
//! Those that take the machine away are in `logind`; packets that are really dropped are in
//! `namespaces`, a unit that really hangs is in `systemd`.

use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::{Arc, Mutex};

use executor_sdk::harness::{Ending, Harness, tokio, until};
use executor_sdk::prelude::*;
use huginn_executor::Huginn;

/// A server that takes connections and says nothing.
struct Silent {
    url: Url,
    taken: Arc<Mutex<Vec<TcpStream>>>,
}

impl Silent {
    /// Its thread ends with the test's process.
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let taken = Arc::new(Mutex::new(Vec::new()));
        let all = Arc::clone(&taken);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                all.lock().unwrap().push(stream);
            }
        });
        Self { url, taken }
    }
}

/// Returns a port that neither takes a connection nor refuses it: its queue is full.
async fn full() -> (tokio::net::TcpListener, Vec<tokio::net::TcpStream>, SocketAddr) {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let mut waiting = Vec::new();
    let connect = || tokio::net::TcpStream::connect(address);
    while let Ok(one) = tokio::time::timeout(Duration::from_millis(300), connect()).await {
        waiting.push(one.unwrap());
        assert!(waiting.len() < 100, "the queue does not fill");
    }
    (listener, waiting, address)
}

#[tokio::test]
async fn every_task_ends_at_its_limit_and_when_it_is_cancelled() {
    let home = tempfile::tempdir().unwrap();
    let mark = home.path().join("mark");
    let hangs = format!("touch {}; exec sleep 600", mark.display());
    let silent = Silent::start();
    let dns = UdpSocket::bind("127.0.0.1:0").unwrap();
    let card = UdpSocket::bind("127.0.0.1:0").unwrap();
    dns.set_nonblocking(true).unwrap();
    card.set_nonblocking(true).unwrap();
    let (_listener, _waiting, full) = full().await;
    let huginn = Huginn {
        pihole_url: Some(silent.url.clone()),
        plex_url: Some(silent.url.clone()),
        ..Huginn::default()
    };
    let huginn = Harness::with(huginn)
        .program("df", hangs.clone())
        .program("systemctl", hangs)
        .secret("pihole-password", "x")
        .start()
        .await;
    let heard = |socket: &UdpSocket| {
        let mut count = 0;
        while socket.recv(&mut [0; 2000]).is_ok() {
            count += 1;
        }
        count > 0
    };
    let connected = || !std::mem::take(&mut *silent.taken.lock().unwrap()).is_empty();
    let marked = || std::fs::remove_file(&mark).is_ok();
    let card_port = card.local_addr().unwrap().port();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let wake = json!({"mac_address": "02:00:5e:10:20:30", "broadcast": "127.0.0.1",
        "port": card_port, "wait": 600, "address": "127.0.0.1", "check_port": closed});
    let ask = json!({"names": ["a.home"], "resolvers": [dns.local_addr().unwrap()],
        "transports": ["udp"], "timeout_seconds": 60});
    let record = json!({"domain": "a.home", "address": "10.0.0.5", "timeout_seconds": 60});
    let patient = json!({"timeout_seconds": 60});

    // Each with what shows that it is in the middle of its work.
    let cases: [(&str, Value, &dyn Fn() -> bool); 9] = [
        ("ops-health-check", json!({}), &marked),
        ("network-check", json!({"urls": [silent.url], "timeout_seconds": 60}), &connected),
        ("power-wake", wake, &|| heard(&card)),
        ("power-status", json!({"hosts": [full], "timeout_seconds": 60}), &|| true),
        ("monitor-pihole", patient.clone(), &connected),
        ("monitor-plex", patient, &connected),
        ("dns-check", ask, &|| heard(&dns)),
        ("dns-record", record, &connected),
        ("service-restart", json!({"unit": "plex"}), &marked),
    ];
    for (task, params, begun) in cases {
        let mut order = Harness::new_order(task, params.clone());
        order.timeout_seconds = Some(1.0);
        let limited = huginn.order(&order).await.unwrap();
        assert_eq!(limited.status, Ending::TimedOut, "{task}: {limited:?}");
        assert!(begun(), "{task} had not begun");

        let started = huginn.execute_async(task, params).await.unwrap();
        until(&format!("{task} has begun"), async || begun()).await;
        huginn.cancel(started.attempt).await.unwrap();
        let cancelled = huginn.outcome(started.attempt).await;
        assert_eq!(cancelled.status, Ending::Cancelled, "{task}: {cancelled:?}");
    }
}
