//! Git servers for the tests, each on a port of its own: `git daemon`, and `git http-backend`
//! behind a small web server that asks for a password.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use crate::stage::program;

/// A running `git daemon`; it ends with this.
pub(crate) struct GitDaemon {
    child: Child,
    port: u16,
}

impl GitDaemon {
    /// Serves all repositories below a folder, for reading and writing.
    pub(crate) fn start(root: &Path) -> Self {
        let folder = program("git").arg("--exec-path").output().unwrap().stdout;
        let folder = String::from_utf8(folder).unwrap();
        // Not `git daemon`: that would be a child of git's, which outlives it.
        let daemon = format!("{}/git-daemon", folder.trim());
        // Somebody else may take the port between our asking and its listening.
        for _ in 0..10 {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let mut child = program(&daemon)
                .args(["--listen=127.0.0.1", &format!("--port={port}"), "--export-all"])
                .args(["--enable=receive-pack", "--reuseaddr"])
                .arg(format!("--base-path={}", root.display()))
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            while child.try_wait().unwrap().is_none() {
                if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                    return Self { child, port };
                }
                std::thread::yield_now();
            }
        }
        panic!("git daemon does not listen");
    }

    pub(crate) fn url(&self, repository: &str) -> String {
        format!("git://127.0.0.1:{}/{repository}", self.port)
    }
}

impl Drop for GitDaemon {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Serves all repositories below a folder over HTTP to who brings `Basic` these credentials, in
/// base64, and returns the server's host and port. Its threads end with the process.
pub(crate) fn serve_http(root: &Path, credentials: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let root = root.to_owned();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let root = root.clone();
            std::thread::spawn(move || answer(&stream, &root, credentials));
        }
    });
    address
}

/// Answers one request and closes the connection.
fn answer(stream: &TcpStream, root: &PathBuf, credentials: &str) {
    let mut reader = BufReader::new(stream);
    let mut first = String::new();
    reader.read_line(&mut first).unwrap_or_default();
    let mut words = first.split_whitespace();
    let (Some(method), Some(target)) = (words.next(), words.next()) else { return };
    let mut headers = Vec::new();
    for line in reader.by_ref().lines().map_while(Result::ok).take_while(|line| !line.is_empty()) {
        let (name, value) = line.split_once(':').unwrap();
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let header = |name: &str| {
        headers.iter().find(|header| header.0 == name).map_or("", |header| header.1.as_str())
    };
    let length: u64 = header("content-length").parse().unwrap_or(0);
    let mut body = Vec::new();
    reader.take(length).read_to_end(&mut body).unwrap_or_default();

    let mut stream = stream;
    if header("authorization") != format!("Basic {credentials}") {
        let refusal = "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"git\"\r\n\
                       Content-Length: 0\r\nConnection: close\r\n\r\n";
        return stream.write_all(refusal.as_bytes()).unwrap_or_default();
    }
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut backend = program("git")
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("PATH_INFO", path)
        .env("QUERY_STRING", query)
        .env("REQUEST_METHOD", method)
        .env("CONTENT_TYPE", header("content-type"))
        .env("CONTENT_LENGTH", body.len().to_string())
        .env("HTTP_CONTENT_ENCODING", header("content-encoding"))
        .env("GIT_PROTOCOL", header("git-protocol"))
        .env("REMOTE_USER", "me")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdin = backend.stdin.take().unwrap();
    let feeding = std::thread::spawn(move || stdin.write_all(&body).unwrap_or_default());
    let output = backend.wait_with_output().unwrap().stdout;
    feeding.join().unwrap();
    let status = output
        .split(|byte| *byte == b'\n')
        .take_while(|line| !line.iter().all(u8::is_ascii_whitespace))
        .find_map(|line| {
            Some(String::from_utf8_lossy(line.strip_prefix(b"Status: ")?).into_owned())
        })
        .unwrap_or_else(|| "200 OK".to_owned());
    let head = format!("HTTP/1.1 {}\r\nConnection: close\r\n", status.trim());
    drop(stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&output)));
}
