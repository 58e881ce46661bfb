//! Serving over real sockets.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::routing::get;
use daemon::http::{bind, serve};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

struct Server {
    address: SocketAddr,
    stop: CancellationToken,
    serving: JoinSet<()>,
}

async fn start(router: Router, drain: Duration) -> Server {
    let listener = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
    let mut serving = JoinSet::new();
    serving.spawn(serve(listener, router, stop.clone(), drain));
    Server { address, stop, serving }
}

fn hello() -> Router {
    Router::new().route("/", get(|| async { "hello" })).route(
        "/peer",
        get(|ConnectInfo(peer): ConnectInfo<SocketAddr>| async move { peer.ip().to_string() }),
    )
}

async fn ask(stream: &mut TcpStream, path: &str) -> String {
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.windows(4).any(|end| end == b"\r\n\r\n") {
        assert_ne!(stream.read_buf(&mut answer).await.unwrap(), 0, "closed in the head");
    }
    let head = String::from_utf8_lossy(&answer).to_lowercase();
    let length = head.split("content-length: ").nth(1).unwrap().lines().next().unwrap();
    let whole = head.find("\r\n\r\n").unwrap() + 4 + length.parse::<usize>().unwrap();
    while answer.len() < whole {
        assert_ne!(stream.read_buf(&mut answer).await.unwrap(), 0, "closed in the body");
    }
    String::from_utf8(answer).unwrap()
}

// Reads until the server closes the connection.
async fn closed(stream: &mut TcpStream) -> Vec<u8> {
    let mut rest = Vec::new();
    drop(stream.read_to_end(&mut rest).await);
    rest
}

#[tokio::test]
async fn a_connection_is_kept_for_the_next_request() {
    let server = start(hello(), Duration::from_secs(1)).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();

    assert!(ask(&mut stream, "/").await.ends_with("hello"));
    assert!(ask(&mut stream, "/").await.ends_with("hello"));
    assert!(ask(&mut stream, "/peer").await.ends_with("127.0.0.1"));
}

#[tokio::test]
async fn a_stop_lets_a_running_request_finish_and_closes_idle_connections() {
    let (entered, mut was_entered) = mpsc::unbounded_channel();
    let release = CancellationToken::new();
    let router = {
        let release = release.clone();
        hello().route(
            "/slow",
            get(move || async move {
                entered.send(()).unwrap();
                release.cancelled().await;
                "done"
            }),
        )
    };
    let mut server = start(router, Duration::from_mins(1)).await;
    let mut idle = TcpStream::connect(server.address).await.unwrap();
    ask(&mut idle, "/").await;
    let mut busy = TcpStream::connect(server.address).await.unwrap();
    let answer = async {
        let answer = ask(&mut busy, "/slow").await;
        closed(&mut busy).await;
        answer
    };
    let stopping = async {
        was_entered.recv().await.unwrap();
        server.stop.cancel();
        assert!(closed(&mut idle).await.is_empty());
        assert!(TcpStream::connect(server.address).await.is_err());
        release.cancel();
    };

    let (answer, ()) = tokio::join!(answer, stopping);

    assert!(answer.ends_with("done"), "{answer}");
    server.serving.join_next().await.unwrap().unwrap();
}

#[tokio::test]
async fn what_outlasts_the_drain_is_dropped() {
    let (entered, mut was_entered) = mpsc::unbounded_channel();
    let router = hello().route(
        "/stuck",
        get(move || async move {
            entered.send(()).unwrap();
            std::future::pending::<()>().await;
        }),
    );
    let mut server = start(router, Duration::from_millis(50)).await;
    let mut stuck = TcpStream::connect(server.address).await.unwrap();
    stuck.write_all(b"GET /stuck HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    was_entered.recv().await.unwrap();

    server.stop.cancel();
    server.serving.join_next().await.unwrap().unwrap();

    assert!(closed(&mut stuck).await.is_empty());
}

#[tokio::test]
async fn a_taken_port_is_named_with_the_way_out() {
    let listener = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = listener.local_addr().unwrap();

    let exit = bind(address).await.unwrap_err();

    assert_eq!(exit.code, 69);
    assert_eq!(exit.error, format!("port {} on 127.0.0.1 is taken", address.port()));
    assert!(exit.hint.unwrap().contains("--port"));
}

#[tokio::test]
async fn an_address_of_somebody_else_is_refused() {
    let exit = bind("192.0.2.1:5000".parse().unwrap()).await.unwrap_err();

    assert_eq!(exit.code, 69);
    assert!(exit.error.contains("192.0.2.1"), "{}", exit.error);
}
