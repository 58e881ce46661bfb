//! A small HTTP server that talks as Ollama does, and goes wrong where it is told to.
//!
//! The name of the model decides how `/api/generate` answers.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use executor_sdk::prelude::*;

/// A running stand-in. Its threads end with the test's process.
pub(crate) struct StandIn {
    pub(crate) url: Url,
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    bodies: Mutex<Vec<Value>>,
    // How many clients of the model `hangs` have gone away.
    left: AtomicUsize,
}

impl StandIn {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let seen = Arc::new(Seen::default());
        let shared = Arc::clone(&seen);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let seen = Arc::clone(&shared);
                thread::spawn(move || serve(&stream, &seen));
            }
        });
        Self { url, seen }
    }

    /// Returns the body of the last order to generate.
    pub(crate) fn last_body(&self) -> Value {
        self.seen.bodies.lock().unwrap().last().unwrap().clone()
    }

    /// Returns how many clients of the model `hangs` have gone away.
    pub(crate) fn left(&self) -> usize {
        self.seen.left.load(Ordering::SeqCst)
    }
}

/// Serves one request and closes the connection.
fn serve(stream: &TcpStream, seen: &Seen) {
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
    match request.split(' ').nth(1) {
        Some("/api/version") => whole(stream, 200, r#"{"version":"0.9.6"}"#),
        Some("/api/tags") => whole(stream, 200, TAGS),
        Some("/api/ps") => whole(stream, 200, PS),
        Some("/api/generate") => {
            let body: Value = std::str::from_utf8(&body).unwrap().parse().unwrap();
            let model = body["model"].as_str().unwrap_or_default().to_owned();
            seen.bodies.lock().unwrap().push(body);
            generate(stream, &model, seen);
        }
        _ => whole(stream, 404, "404 page not found"),
    }
}

const TAGS: &str = r#"{"models":[
    {"name":"tiny:latest","model":"tiny:latest","size":130000,"digest":"abc","modified_at":"2026-01-01T00:00:00Z",
     "details":{"family":"llama","parameter_size":"32K","quantization_level":"F32"}},
    {"name":"other:7b","size":4000000000,"digest":"def","details":{}}]}"#;

const PS: &str = r#"{"models":[{"name":"tiny:latest","size":200,"size_vram":150,"context_length":4096,
    "expires_at":"2026-01-01T00:05:00Z"}]}"#;

const END: &str = r#"{"model":"tiny","response":"","done":true,"done_reason":"stop",
    "total_duration":3000000000,"load_duration":500000000,"prompt_eval_count":5,
    "prompt_eval_duration":1000000000,"eval_count":2,"eval_duration":500000000}"#;

fn generate(stream: &TcpStream, model: &str, seen: &Seen) {
    let end = format!("{}\n", END.replace('\n', ""));
    let end = end.as_str();
    let hello = "{\"response\":\"Hel\",\"done\":false}\n";
    let world = "{\"response\":\"lo\",\"done\":false}\n";
    match model {
        "tiny" => chunks(stream, &[hello, world, end], true),
        "thinks" => {
            let thought = "{\"response\":\"\",\"thinking\":\"hm\",\"done\":false}\n";
            chunks(stream, &[thought, hello, end], true);
        }
        "json" => chunks(stream, &["{\"response\":\"{\\\"a\\\":1}\",\"done\":false}\n", end], true),
        "empty" => chunks(stream, &[end], true),
        "breaks" => {
            chunks(stream, &[hello, "{\"error\":\"CUDA error: out of memory\"}\n"], true);
        }
        "ends early" => chunks(stream, &[hello, world], true),
        "is cut off" => chunks(stream, &[hello], false),
        "no newline" => chunks(stream, &[hello, end.trim_end()], true),
        "in pieces" => {
            let line = "{\"response\":\"Grüße\",\"done\":false}\n".as_bytes();
            let at = line.iter().position(|byte| *byte == 0xc3).unwrap() + 1;
            head(stream);
            for piece in [&line[..5], &line[5..at], &line[at..], end.as_bytes()] {
                chunk(stream, piece);
            }
            chunk(stream, b"");
        }
        "hangs" => {
            head(stream);
            chunk(stream, hello.as_bytes());
            // Returns when the client goes away.
            drop((&*stream).read(&mut [0]));
            seen.left.fetch_add(1, Ordering::SeqCst);
        }
        "busy" => whole(stream, 503, r#"{"error":"server busy, please try again"}"#),
        "a proxy" => whole(stream, 502, "<html><body>Bad\n Gateway</body></html>"),
        "talks nonsense" => chunks(stream, &["<html>\n"], true),
        _ => {
            whole(stream, 404, &json!({"error": format!("model '{model}' not found")}).to_string());
        }
    }
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

fn chunks(stream: &TcpStream, pieces: &[&str], with_end: bool) {
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

/// Sends what the client still wants to read.
fn send(mut stream: &TcpStream, bytes: &[u8]) {
    drop(stream.write_all(bytes).and_then(|()| stream.flush()));
}
