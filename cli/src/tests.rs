//! The program against a coordinator of canned answers, over real HTTP.

mod answers;
mod logs;
mod server;

use std::ffi::OsString;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::screen::Screen;
use crate::trouble;
use server::{Answer, Server};

const NOW: &str = "2026-11-21T12:00:00Z";

fn screen() -> Screen {
    Screen {
        is_terminal: false,
        colour: false,
        width: None,
        now: NOW.parse::<Timestamp>().unwrap(),
    }
}

fn terminal(width: u16) -> Screen {
    Screen { is_terminal: true, colour: true, width: Some(width), ..screen() }
}

/// What the program said.
#[derive(Debug)]
struct Said {
    code: u8,
    out: String,
    err: String,
}

fn ygg_on(screen: Screen, args: &[&str]) -> Said {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let args = std::iter::once("ygg").chain(args.iter().copied()).map(OsString::from);
    let code = crate::run(args, screen, &mut out, &mut err);
    Said {
        code,
        out: String::from_utf8_lossy(&out).into_owned(),
        err: String::from_utf8_lossy(&err).into_owned(),
    }
}

fn ygg(server: &Server, args: &[&str]) -> Said {
    let mut all = vec!["--url", server.url()];
    all.extend(args);
    ygg_on(screen(), &all)
}

const ATTEMPT: &str = "01939f2e-0000-7000-8000-000000000001";

fn attempt(stage: &str) -> Value {
    json!({"attempt": ATTEMPT, "bead": "hl-1", "task_type": "git-clone", "executor": "fenrir",
        "stage": stage, "ending": "failed", "error": "the command failed with exit 128",
        "exit_code": 128, "duration_seconds": 192.4, "created": "2026-11-21T11:00:00Z",
        "started": "2026-11-21T11:59:50Z"})
}

fn bead(attempts: &[Value]) -> Value {
    json!({"bead": "hl-1", "title": "Clone the site", "status": "blocked", "task_type": "git-clone",
        "executor": "fenrir", "attempts": attempts,
        "reason": {"code": "failed", "text": "its task failed", "hint": "ygg logs hl-1"}})
}

#[test]
fn no_coordinator_is_said_in_one_line_with_a_hint() {
    // Bound and dropped: nobody listens there now.
    let url = Server::closed_url();

    let said = ygg_on(screen(), &["--url", &url, "status"]);

    assert_eq!((said.code, said.out.as_str()), (trouble::UNAVAILABLE, ""));
    assert_eq!(
        said.err,
        format!(
            "ygg: no coordinator at {url}: Connection refused (os error 111)\n  hint: is it running? \
             try `systemctl status yggdrasil-coordinator`, or name another with --url or \
             YGGDRASIL_URL\n"
        )
    );
}

#[test]
fn a_name_that_nobody_knows_is_no_coordinator() {
    let said = ygg_on(screen(), &["--url", "http://nowhere.invalid:3000", "plan"]);

    assert_eq!(said.code, trouble::UNAVAILABLE);
    assert!(
        said.err.starts_with("ygg: no coordinator at http://nowhere.invalid:3000: "),
        "{said:?}"
    );
}

#[test]
fn wrong_arguments_are_exit_64() {
    for args in [
        &["plain"][..],
        &["why"],
        &["why", ""],
        &["why", "a b"],
        &["why", ".."],
        &["logs"],
        &["plan", "--limit", "x"],
        &["plan", "--limit", "3", "--all"],
        &["--url", "ftp://x", "status"],
        &["--url", "http://", "status"],
        &["--key", "a\nb", "status"],
        &["--key-file", "/nowhere/at/all", "status"],
        &[],
    ] {
        let said = ygg_on(screen(), args);

        assert_eq!(said.code, trouble::USAGE, "{args:?}: {said:?}");
        assert!(!said.err.is_empty() && said.out.is_empty(), "{args:?}: {said:?}");
    }
}

#[test]
fn help_teaches_by_examples() {
    for args in [&["--help"][..], &["plan", "--help"], &["why", "--help"], &["logs", "--help"]] {
        let said = ygg_on(screen(), args);

        assert_eq!((said.code, said.err.as_str()), (0, ""));
        assert!(said.out.contains("Examples:\n  ygg "), "{}", said.out);
        assert!(!said.out.contains('\u{1b}'));
    }
    assert!(ygg_on(screen(), &["--version"]).out.starts_with("ygg 0."));
}

#[test]
fn the_key_is_sent_and_never_shown() {
    let folder = tempfile();
    let file = folder.join("key");
    std::fs::write(&file, "# the key of the coordinator\n\n  hush-2  \n").unwrap();
    let server = Server::start([("GET /health", Answer::json(401, &json!({"error": "no"})))]);
    let file = file.to_string_lossy().into_owned();

    let by_flag = ygg(&server, &["--key", "hush-1", "status"]);
    let by_file = ygg(&server, &["--key-file", &file, "status"]);
    let none = ygg(&server, &["status"]);

    for said in [&by_flag, &by_file, &none] {
        assert_eq!(said.code, trouble::KEY);
        assert!(!said.err.contains("hush"), "{}", said.err);
        assert!(
            said.err.contains("hint: give one of its API_KEYS with --key-file"),
            "{}",
            said.err
        );
    }
    let requests = server.requests();
    assert!(requests[0].contains("authorization: Bearer hush-1\r\n"), "{requests:?}");
    assert!(requests[1].contains("authorization: Bearer hush-2\r\n"), "{requests:?}");
    assert!(!requests[2].contains("authorization"), "{requests:?}");
    std::fs::remove_dir_all(folder).unwrap();
}

/// A folder of this test alone.
fn tempfile() -> std::path::PathBuf {
    let folder = std::env::temp_dir().join(format!("ygg-test-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}
