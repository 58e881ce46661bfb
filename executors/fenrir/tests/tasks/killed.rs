//! The program itself, killed in the middle of its work.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};
use std::{fs, os::unix::fs::PermissionsExt as _};

use executor_sdk::prelude::*;

use crate::stage::program;

#[test]
fn a_clone_whose_executor_was_killed_leaves_nothing() {
    let home = tempfile::tempdir().unwrap();
    let ssh = home.path().join("ssh");
    fs::write(&ssh, "#!/bin/sh\nexec sleep 600\n").unwrap();
    fs::set_permissions(&ssh, fs::Permissions::from_mode(0o755)).unwrap();
    let config = format!("[core]\n\tsshCommand = {}\n", ssh.display());
    fs::write(home.path().join("gitconfig"), config).unwrap();
    let place = home.path().join("a/b/clone");
    let work = home.path().join("a/b/.clone.yggdrasil-unfinished/work");
    let order = json!({
        "task_id": "killed-1",
        "type": "git-clone",
        "params": {"repo_url": "ssh://nowhere.invalid/repo", "dest_path": place},
    });

    let mut first = Program::start(home.path());
    let started = first.post("/execute", &order.to_string());
    let attempt = started.split_once("\"attempt\":\"").unwrap().1.split('"').next().unwrap();
    until("git has made its folder", || work.exists());
    first.child.kill().unwrap();
    first.child.wait().unwrap();
    let left = home.path().join("a").exists();
    let second = Program::start(home.path());

    assert!(left, "the kill came too late for the test");
    assert!(!home.path().join("a").exists());
    let attempt = second.get(&format!("/attempts/{attempt}"));
    assert!(attempt.contains("\"interrupted\""), "{attempt}");
}

/// A running `fenrir-executor`; it ends with this.
struct Program {
    child: Child,
    port: u16,
}

impl Program {
    /// Starts it, and waits until it listens.
    fn start(home: &Path) -> Self {
        // Somebody else may take the port between our asking and its listening.
        for _ in 0..10 {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let mut child = program(env!("CARGO_BIN_EXE_fenrir-executor"))
                .arg(format!("--port={port}"))
                .arg("--state-dir")
                .arg(home.join("state"))
                .arg("--log-file")
                .arg(home.join("log"))
                .env("GIT_CONFIG_GLOBAL", home.join("gitconfig"))
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
        panic!("the executor does not start");
    }

    fn get(&self, path: &str) -> String {
        self.send(&format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"))
    }

    fn post(&self, path: &str, body: &str) -> String {
        let length = body.len();
        let answer = self.send(&format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\nPrefer: respond-async\r\n\
             Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        ));
        assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
        answer
    }

    fn send(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn until(what: &str, condition: impl Fn() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < Duration::from_mins(1), "waited too long until {what}");
        std::thread::yield_now();
    }
}
