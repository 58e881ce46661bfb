//! A small HTTP server that talks as Ollama does, and goes wrong where it is told to.
//!
//! The name of the model decides how an order is answered; see `script`.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;

use executor_sdk::prelude::*;

mod script;

/// A running stand-in. Its threads end with the test's process.
pub(crate) struct StandIn {
    pub(crate) url: Url,
    state: Arc<Mutex<State>>,
}

/// What it knows and has seen.
#[derive(Default)]
pub(crate) struct State {
    /// The names of the models on its disk.
    pub(crate) models: Vec<String>,
    /// The models in its memory.
    pub(crate) loaded: Vec<String>,
    /// How often one was loaded.
    pub(crate) loads: usize,
    /// How many of a model's 200 bytes are in VRAM after each load; the last counts from then on.
    pub(crate) vram: Vec<u64>,
    /// Every order that came: its path and its body.
    pub(crate) orders: Vec<(String, Value)>,
    /// How many clients of the model `hangs` have gone away.
    pub(crate) left: usize,
    /// Whether deleting and unloading only say that they did it.
    pub(crate) lies: bool,
}

impl StandIn {
    /// Starts with two models, of which one is loaded.
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let state = Arc::new(Mutex::new(State {
            models: vec!["tiny:latest".to_owned(), "other:7b".to_owned()],
            loaded: vec!["tiny:latest".to_owned()],
            vram: vec![150],
            ..State::default()
        }));
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let state = Arc::clone(&shared);
                thread::spawn(move || serve(&stream, &state));
            }
        });
        Self { url, state }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Returns the body of the last order to a path.
    pub(crate) fn last_body(&self, path: &str) -> Value {
        self.state().orders.iter().rev().find(|(to, _)| to == path).unwrap().1.clone()
    }
}

/// Serves one request and closes the connection.
fn serve(stream: &TcpStream, state: &Mutex<State>) {
    let mut reader = BufReader::new(stream);
    let mut request = String::new();
    if reader.read_line(&mut request).is_err() {
        return;
    }
    let mut length = 0;
    loop {
        let mut header = String::new();
        if reader.read_line(&mut header).is_err() || header.trim().is_empty() {
            break;
        }
        if let Some(value) = header.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let path = request.split(' ').nth(1).unwrap_or_default();
    let body = std::str::from_utf8(&body).unwrap().parse().unwrap_or(Value::Null);
    script::answer(stream, path, &body, state);
}

fn whole(stream: &TcpStream, status: u16, body: &str) {
    let length = body.len();
    send(
        stream,
        format!(
            "HTTP/1.1 {status} X\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        )
        .as_bytes(),
    );
}

fn chunks(stream: &TcpStream, pieces: &[String], with_end: bool) {
    head(stream);
    for piece in pieces {
        chunk(stream, piece.as_bytes());
    }
    if with_end {
        chunk(stream, b"");
    }
}

fn head(stream: &TcpStream) {
    send(
        stream,
        b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\
          Connection: close\r\n\r\n",
    );
}

fn chunk(stream: &TcpStream, piece: &[u8]) {
    send(stream, format!("{:x}\r\n", piece.len()).as_bytes());
    send(stream, piece);
    send(stream, b"\r\n");
}

/// Waits until the client goes away, and counts it.
fn hang(stream: &TcpStream, state: &Mutex<State>) {
    let mut stream = stream;
    drop(stream.read(&mut [0]));
    state.lock().unwrap().left += 1;
}

/// Sends what the client still wants to read.
fn send(mut stream: &TcpStream, bytes: &[u8]) {
    drop(stream.write_all(bytes).and_then(|()| stream.flush()));
}
