//! A coordinator of canned answers: a few lines of HTTP on a loopback port.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::Value;

/// One canned answer.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Vec<u8>,
    /// Promise more bytes than come, as a connection that breaks does.
    pub(super) breaks_off: bool,
}

impl Answer {
    pub(super) fn json(status: u16, body: &Value) -> Self {
        let body = body.to_string().into_bytes();
        Self { status, headers: Vec::new(), body, breaks_off: false }
    }

    /// A piece of a log: `body` lies at `from` of `size` bytes.
    pub(super) fn log(from: u64, body: &[u8], size: u64, ended: bool) -> Self {
        let next = from + u64::try_from(body.len()).unwrap();
        let headers = vec![
            (protocol::log::OFFSET, from.to_string()),
            (protocol::log::NEXT, next.to_string()),
            (protocol::log::SIZE, size.to_string()),
            (protocol::log::ENDED, ended.to_string()),
        ];
        Self { status: 200, headers, body: body.to_vec(), breaks_off: false }
    }

    pub(super) fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.retain(|(known, _)| *known != name);
        self.headers.push((name, value.to_owned()));
        self
    }

    pub(super) fn broken_off(mut self) -> Self {
        self.breaks_off = true;
        self
    }

    fn write(&self, mut to: &TcpStream) {
        let length = self.body.len() + if self.breaks_off { 10 } else { 0 };
        let mut head = format!("HTTP/1.1 {} X\r\nContent-Length: {length}\r\n", self.status);
        for (name, value) in &self.headers {
            head.extend([name, ": ", value, "\r\n"]);
        }
        head += "Connection: close\r\n\r\n";
        // The program may have gone; that is for its test to judge.
        drop(to.write_all(head.as_bytes()).and_then(|()| to.write_all(&self.body)));
    }
}

/// Answers by `METHOD /path?query`; several answers to one question are given in turn, the last one
/// again and again.
#[derive(Debug)]
pub(super) struct Server {
    url: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    pub(super) fn start<const N: usize>(answers: [(&str, Answer); N]) -> Self {
        let mut canned: HashMap<String, Vec<Answer>> = HashMap::new();
        for (question, answer) in answers {
            canned.entry(question.to_owned()).or_default().push(answer);
        }
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests: Arc<Mutex<Vec<String>>> = Arc::default();
        let heard = Arc::clone(&requests);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                serve(&stream, &mut canned, &heard);
            }
        });
        Self { url, requests }
    }

    /// A URL at which nobody listens.
    pub(super) fn closed_url() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// The heads of the requests so far.
    pub(super) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    /// The first lines of the requests so far, without the version of HTTP.
    pub(super) fn questions(&self) -> Vec<String> {
        let question = |head: &String| head.split(" HTTP/").next().unwrap().to_owned();
        self.requests().iter().map(question).collect()
    }
}

fn serve(
    stream: &TcpStream,
    canned: &mut HashMap<String, Vec<Answer>>,
    requests: &Mutex<Vec<String>>,
) {
    let mut reader = BufReader::new(stream);
    let mut request = String::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 || line == "\r\n" {
            break;
        }
        request += &line;
    }
    let length = request.lines().find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    reader.read_exact(&mut body).unwrap();
    let question = request.split(" HTTP/").next().unwrap_or_default().to_owned();
    requests.lock().unwrap().push(request);
    match canned.get_mut(&question) {
        Some(answers) if answers.len() > 1 => answers.remove(0).write(stream),
        Some(answers) => answers[0].write(stream),
        None => {
            let error = serde_json::json!({"error": format!("nothing canned for {question}")});
            Answer::json(500, &error).write(stream);
        }
    }
}
