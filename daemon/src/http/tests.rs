use std::net::Ipv4Addr;

use axum::body::Bytes;
use axum::routing::post;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

use super::*;

const LIMITS: Limits =
    Limits { connections: 8, header: Duration::from_mins(1), body: Duration::from_mins(1) };

async fn start(limits: Limits) -> (SocketAddr, JoinSet<()>) {
    let listener = bind((Ipv4Addr::LOCALHOST, 0).into()).await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().route("/", post(async |body: Bytes| format!("<{}>", body.len())));
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        serve_with(&limits, listener, router, CancellationToken::new(), Duration::ZERO).await;
    });
    (address, serving)
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
    assert!(!silent.contains("200 OK") && !slow.contains("200 OK"), "{silent}{slow}");
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
