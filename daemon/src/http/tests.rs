use std::net::Ipv4Addr;

use axum::body::Bytes;
use axum::routing::post;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

use super::*;

const LIMITS: Limits = Limits {
    connections: 8,
    header: Duration::from_mins(1),
    idle: Duration::from_mins(1),
    body: Duration::from_mins(1),
};

async fn start(limits: Limits) -> (SocketAddr, JoinSet<()>) {
    let listener = bind((Ipv4Addr::LOCALHOST, 0).into()).await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new()
        .route("/", post(async |body: Bytes| format!("<{}>", body.len())))
        .route("/slow", post(slow));
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        serve_with(&limits, listener, router, CancellationToken::new(), Duration::ZERO).await;
    });
    (address, serving)
}

async fn slow(body: Bytes) -> String {
    tokio::time::sleep(Duration::from_millis(300)).await;
    format!("<{}>", body.len())
}

async fn send(stream: &mut TcpStream, length: usize, body: &str) {
    let head = format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n{body}");
    stream.write_all(head.as_bytes()).await.unwrap();
}

async fn answer(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b">") && stream.read_buf(&mut bytes).await.unwrap_or(0) > 0 {}
    String::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn a_connection_beyond_the_cap_waits_for_room() {
    let (address, _serving) = start(Limits { connections: 1, ..LIMITS }).await;
    let mut first = TcpStream::connect(address).await.unwrap();
    send(&mut first, 2, "ab").await;
    assert!(answer(&mut first).await.ends_with("<2>"));
    let mut second = TcpStream::connect(address).await.unwrap();
    send(&mut second, 1, "a").await;

    let waited = timeout(Duration::from_millis(100), answer(&mut second)).await;
    drop(first);

    assert!(waited.is_err(), "{waited:?}");
    assert!(answer(&mut second).await.ends_with("<1>"));
}

#[tokio::test]
async fn a_client_that_never_ends_its_head_is_cut_off() {
    let (address, _serving) = start(Limits { header: Duration::from_millis(300), ..LIMITS }).await;
    let mut silent = TcpStream::connect(address).await.unwrap();
    let mut slow = TcpStream::connect(address).await.unwrap();
    slow.write_all(b"POST / HTTP/1.1\r\nHost: x\r\nX-Slow: ").await.unwrap();

    let mut quick = TcpStream::connect(address).await.unwrap();
    send(&mut quick, 1, "a").await;
    assert!(answer(&mut quick).await.ends_with("<1>"));
    let cut_off = async { tokio::join!(answer(&mut silent), answer(&mut slow)) };

    let (silent, slow) = timeout(Duration::from_secs(20), cut_off).await.unwrap();
    assert_eq!(silent, "");
    let (head, body) = slow.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 408 Request Timeout\r\n"), "{slow}");
    assert!(head.contains(&format!("content-length: {}", body.len())), "{slow}");
}

#[tokio::test]
async fn a_connection_is_kept_for_longer_than_a_head_may_take() {
    let short = Duration::from_millis(200);
    let limits = Limits { header: short, idle: Duration::from_millis(800), ..LIMITS };
    let (address, _serving) = start(limits).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    for _ in 0..2 {
        send(&mut stream, 2, "ab").await;
        assert!(answer(&mut stream).await.ends_with("<2>"));
        tokio::time::sleep(short * 2).await;
    }

    // The next head, once begun, has its own time; without one the connection ends in its time.
    stream.write_all(b"POST / HT").await.unwrap();
    let cut_off = timeout(Duration::from_secs(20), answer(&mut stream)).await.unwrap();
    assert!(cut_off.starts_with("HTTP/1.1 408"), "{cut_off}");

    let mut idle = TcpStream::connect(address).await.unwrap();
    send(&mut idle, 2, "ab").await;
    assert!(answer(&mut idle).await.ends_with("<2>"));
    let closed = timeout(Duration::from_secs(20), answer(&mut idle)).await.unwrap();
    assert_eq!(closed, "");
}

#[tokio::test]
async fn idle_connections_make_room_when_it_gets_scarce() {
    let limits = Limits { connections: 8, header: Duration::from_millis(300), ..LIMITS };
    let (address, _serving) = start(limits).await;
    let mut idle = Vec::new();
    for _ in 0..8 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        send(&mut stream, 1, "a").await;
        assert!(answer(&mut stream).await.ends_with("<1>"));
        idle.push(stream);
    }

    let mut next = TcpStream::connect(address).await.unwrap();
    send(&mut next, 1, "a").await;

    let answered = timeout(Duration::from_secs(40), answer(&mut next)).await.unwrap();
    assert!(answered.ends_with("<1>"), "{answered}");
}

#[tokio::test]
async fn a_client_that_has_said_everything_is_answered() {
    let (address, _serving) = start(LIMITS).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = "POST /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab";
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();

    let answered = timeout(Duration::from_secs(20), answer(&mut stream)).await.unwrap();

    assert!(answered.ends_with("<2>"), "{answered}");
    assert_eq!(answer(&mut stream).await, "", "the connection is closed then");
}

#[tokio::test]
async fn a_request_that_is_cut_in_the_middle_is_refused() {
    let (address, _serving) = start(LIMITS).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    send(&mut stream, 10, "ab").await;
    stream.shutdown().await.unwrap();

    let answered = timeout(Duration::from_secs(40), answer(&mut stream)).await.unwrap();

    assert!(answered.starts_with("HTTP/1.1 400"), "{answered}");
}

#[tokio::test]
async fn a_huge_head_is_refused() {
    let (address, _serving) = start(LIMITS).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let (mut reading, mut writing) = stream.split();
    let mut answered = Vec::new();
    let flood = async {
        drop(writing.write_all(b"POST / HTTP/1.1\r\nHost: x\r\n").await);
        while writing
            .write_all(format!("X-Long: {}\r\n", "a".repeat(8000)).as_bytes())
            .await
            .is_ok()
        {}
    };
    let read = async { while reading.read_buf(&mut answered).await.unwrap_or(0) > 0 {} };

    timeout(Duration::from_secs(40), async { tokio::join!(flood, read) }).await.unwrap();

    let answered = String::from_utf8(answered).unwrap();
    assert!(answered.starts_with("HTTP/1.1 431"), "{answered}");
}

#[tokio::test]
async fn a_body_that_trickles_is_given_up() {
    let (address, _serving) = start(Limits { body: Duration::from_millis(200), ..LIMITS }).await;
    let mut slow = TcpStream::connect(address).await.unwrap();
    send(&mut slow, 100_000, "a").await;

    let trickle = async {
        let (mut reading, mut writing) = slow.split();
        let mut bytes = Vec::new();
        let mut tick = tokio::time::interval(Duration::from_millis(20));
        loop {
            tokio::select! {
                read = reading.read_buf(&mut bytes) => {
                    if read.unwrap_or(0) == 0 || bytes.len() > 12 {
                        return String::from_utf8(bytes).unwrap();
                    }
                }
                _ = tick.tick() => drop(writing.write_all(b"a").await),
            }
        }
    };

    let answer = timeout(Duration::from_secs(20), trickle).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
}
