//! What `status`, `plan`, `why` and `poll` say.

use super::*;

fn health() -> Value {
    json!({"status": "degraded", "timestamp": NOW, "version": "0.1.0", "uptime": 11_520.0,
        "runners": {"total": 2, "online": 1, "offline": 1}, "beads": "bd 1.0.5",
        "reasons": ["surtr is away: start it"], "news": [1],
        "executors": {
            "fenrir": {"state": "up", "url": "http://127.0.0.1:5000/", "since":
                "2026-11-21T11:56:48Z", "version": "0.1.0", "running": 1, "limit": 4},
            "surtr": {"state": "away", "url": "http://127.0.0.1:5001/", "since":
                "2026-11-19T09:00:00Z", "error": "connection refused\u{1b}[2J", "running": 0}}})
}

fn plan() -> Value {
    let bead = |number: u32, decision: &str| {
        json!({"bead": format!("hl-{number}"), "title": "Ask \u{1b}]0;me\u{7}\nagain", "priority": 2,
            "task_type": "llm-inference", "decision": decision,
            "reason": {"code": "limit_type", "text": "1 of 1 llm-inference runs"}})
    };
    let mut beads = vec![
        json!({"bead": "hl-0", "title": "Clone", "task_type": "git-clone", "priority": 0,
            "decision": "start", "executor": "fenrir"}),
        json!({"bead": "hl-9", "title": "Odd", "task_type": null, "priority": 1,
            "decision": "block", "reason": {"code": "broken", "text": "two task types"}}),
    ];
    beads.extend((10..70).map(|number| bead(number, "wait")));
    json!({"timestamp": NOW, "listed": "2026-11-21T11:59:57Z", "without_task_type": 40,
        "beads": beads, "attempts": [attempt("running")]})
}

#[test]
fn status_shows_what_is_up_and_what_is_not() {
    let server = Server::start([("GET /health", Answer::json(200, &health()))]);

    let said = ygg(&server, &["status"]);

    assert_eq!((said.code, said.err.as_str()), (0, ""));
    let url = server.url();
    let expected = format!(
        "coordinator 0.1.0 at {url}: degraded, up 3h12m, bd 1.0.5\n  ! surtr is away: start it\n
EXECUTOR  STATE  SINCE      TASKS   VERSION  URL
fenrir    up     3m12s ago  1 of 4  0.1.0    http://127.0.0.1:5000/
surtr     away   2d03h ago  0       -        http://127.0.0.1:5001/
! surtr: connection refused
"
    );
    assert_eq!(said.out, expected);
}

#[test]
fn status_without_executors_says_so() {
    let mut health = health();
    health["executors"] = json!({});
    health["beads"] = Value::Null;
    health["reasons"] = json!([]);
    health["runners"] = json!({"total": 0, "online": 0, "offline": 0});
    let server = Server::start([("GET /health", Answer::json(200, &health))]);

    let said = ygg(&server, &["status"]);

    assert!(said.out.contains("no Beads CLI\n"), "{}", said.out);
    assert!(said.out.ends_with("no executors: routing.yaml names none\n"), "{}", said.out);
}

#[test]
fn status_tells_of_runners_beside_the_executors() {
    let mut health = health();
    health["runners"] = json!({"total": 3, "online": 2, "offline": 1});
    let server = Server::start([("GET /health", Answer::json(200, &health))]);

    let said = ygg(&server, &["status"]);

    assert!(said.out.ends_with("\n3 runners in all, 2 online: ygg runners\n"), "{}", said.out);
}

#[test]
fn runners_are_shown_with_what_they_can_do() {
    let many: Vec<String> = (0..9).map(|number| format!("task-{number}")).collect();
    let list = json!({"count": 2, "runners": [
        {"runnerId": "attic-1", "name": "attic\u{1b}[2J", "endpoint": "unknown", "version": "0.3.8",
            "capabilities": ["exec", "http"], "realmTemplates": [], "labels": {"room": "attic"},
            "lastHeartbeat": "2026-11-21T11:59:55Z", "status": "online",
            "tasks": [{"taskId": "t", "status": "running", "startedAt": 1},
                {"taskId": "u", "status": "failed", "startedAt": 1}]},
        {"runnerId": "old", "name": "old", "endpoint": "unknown", "version": "0.3.8",
            "capabilities": many, "realmTemplates": [], "labels": {},
            "lastHeartbeat": "2026-11-21T10:00:00Z", "status": "offline", "tasks": []}]});
    let server = Server::start([("GET /api/runners", Answer::json(200, &list))]);

    let said = ygg(&server, &["runners"]);

    let expected = "\
RUNNER   NAME   STATE    HEARD      TASKS  VERSION  CAN                                                         LABELS
attic-1  attic  online   5.0s ago   1      0.3.8    exec, http                                                  room=attic
old      old    offline  2h00m ago  0      0.3.8    task-0, task-1, task-2, task-3, task-4, task-5, and 3 more  -
";
    assert_eq!((said.code, said.out.as_str()), (0, expected));
    assert_eq!(server.questions(), ["GET /api/runners"]);
}

#[test]
fn without_runners_it_says_how_one_registers() {
    let none = json!({"count": 0, "runners": []});
    let server = Server::start([("GET /api/runners", Answer::json(200, &none))]);

    let said = ygg(&server, &["runners"]);

    assert_eq!(said.out, "nobody has registered (POST /runners/register)\n");
}

#[test]
fn plan_counts_and_explains() {
    let server = Server::start([("GET /api/plan", Answer::json(200, &plan()))]);

    let said = ygg(&server, &["plan"]);

    let lines: Vec<&str> = said.out.lines().collect();
    assert_eq!(
        lines[0],
        "1 under way; 1 to start, 60 waiting, 1 to block; 40 without a task type; beads listed 3.0s \
         ago"
    );
    assert!(lines[3].starts_with("hl-1  git-clone  fenrir    running  10s"), "{}", lines[3]);
    assert!(lines[3].ends_with(ATTEMPT), "{}", lines[3]);
    assert!(said.out.contains("two task types"), "{}", said.out);
    assert!(said.out.contains("Ask  again\n"), "{}", said.out);
    assert!(said.out.contains("hl-69"), "a pipe gets every bead");
    assert!(!said.out.contains('\u{1b}'));
}

#[test]
fn a_terminal_gets_the_first_fifty_beads_unless_told() {
    let server = Server::start([("GET /api/plan", Answer::json(200, &plan()))]);
    let on = |args: &[&str]| {
        let mut all = vec!["--url", server.url(), "plan"];
        all.extend(args);
        ygg_on(terminal(120), &all).out
    };

    assert!(on(&[]).ends_with("… and 12 more: ygg plan --all\n"));
    assert!(on(&["--limit", "2"]).ends_with("… and 60 more: ygg plan --all\n"));
    assert!(on(&["--all"]).contains("hl-69"));
}

#[test]
fn every_width_of_a_terminal_is_survived() {
    let server = Server::start([
        ("GET /api/plan", Answer::json(200, &plan())),
        ("GET /health", Answer::json(200, &health())),
        ("GET /api/beads/hl-1", Answer::json(200, &bead(&[attempt("settled")]))),
    ]);
    for width in [1, 2, 10, 20, 33, 60, 80, 200] {
        for args in [&["plan"][..], &["status"], &["why", "hl-1"]] {
            let mut all = vec!["--url", server.url()];
            all.extend(args);

            let said = ygg_on(terminal(width), &all);

            assert_eq!((said.code, said.err.as_str()), (0, ""), "{args:?} at {width}");
            assert!(!said.out.is_empty());
        }
    }
}

#[test]
fn a_narrow_terminal_keeps_ids_in_one_piece() {
    let answer = Answer::json(200, &bead(&[attempt("settled")]));
    let server = Server::start([("GET /api/beads/hl-1", answer)]);

    let said = ygg_on(terminal(80).without_colour(), &["--url", server.url(), "why", "hl-1"]);

    assert!(said.out.contains(&format!("\n{ATTEMPT}  failed  fenrir    128   3m12s  1h00m ago\n")));
}

#[test]
fn colours_are_for_terminals_and_only_where_wanted() {
    let server = Server::start([("GET /health", Answer::json(200, &health()))]);
    let args = ["--url", server.url(), "status"];

    let coloured = ygg_on(terminal(100), &args);
    let plain = ygg_on(terminal(100), &[&["--no-color", "1"], &args[..]].concat());

    assert!(coloured.out.contains("\u{1b}[31mdegraded\u{1b}[0m"), "{}", coloured.out);
    assert!(!coloured.out.contains("\u{1b}[2J"), "the title of others does not clear the screen");
    assert!(!plain.out.contains('\u{1b}'), "{}", plain.out);
}

#[test]
fn why_says_reason_remedy_and_attempts() {
    let answer = Answer::json(200, &bead(&[attempt("settled")]));
    let server = Server::start([("GET /api/beads/hl-1", answer)]);

    let said = ygg(&server, &["why", "hl-1"]);

    assert_eq!((said.code, said.err.as_str()), (0, ""));
    assert!(
        said.out.starts_with(
            "hl-1  Clone the site\n  status    blocked\n  task      git-clone\n  executor  fenrir\n  \
             why       its task failed (failed)\n  do        ygg logs hl-1\n\n"
        ),
        "{}",
        said.out
    );
    let table: Vec<&str> = said.out.lines().skip(7).collect();
    assert_eq!(
        table,
        [
            "ATTEMPT                               STAGE    ENDING  EXECUTOR  EXIT  TOOK   WHEN",
            &format!("{ATTEMPT}  settled  failed  fenrir    128   3m12s  1h00m ago"),
            &format!("! {ATTEMPT}: the command failed with exit 128"),
        ]
    );
}

#[test]
fn an_unknown_bead_is_exit_1_with_the_coordinators_own_words() {
    let error = json!({"error": "there is no bead `hl-7`", "hint": "bd list"});
    let server = Server::start([("GET /api/beads/hl-7", Answer::json(404, &error))]);

    for args in [["why", "hl-7"], ["logs", "hl-7"]] {
        let said = ygg(&server, &args);

        assert_eq!(said.code, trouble::NOTHING);
        assert_eq!(said.err, "ygg: there is no bead `hl-7`\n  hint: bd list\n");
    }
}

#[test]
fn an_id_is_one_segment_of_the_path_whatever_is_in_it() {
    let server = Server::start([]);

    ygg(&server, &["why", "../api/admin?x#y/%2e"]);

    assert_eq!(server.questions(), ["GET /api/beads/..%2Fapi%2Fadmin%3Fx%23y%2F%252e"]);
}

#[test]
fn what_is_no_coordinator_is_not_believed() {
    let html = Answer { body: b"<html>".to_vec(), ..Answer::json(200, &json!(0)) };
    let page = Answer { body: b"<html>".to_vec(), ..Answer::json(404, &json!(0)) };
    let executor = Answer::json(200, &json!({"status": "healthy", "executor": "surtr-executor"}));
    for answer in [html, page, executor] {
        let server = Server::start([("GET /health", answer)]);

        let said = ygg(&server, &["status"]);

        assert_eq!(said.code, trouble::FOREIGN, "{said:?}");
        assert!(said.err.contains("is no coordinator: "), "{}", said.err);
        assert!(said.err.contains("hint: is the port right?"), "{}", said.err);
        assert_eq!(said.out, "");
    }
}

#[test]
fn trouble_of_the_coordinator_is_told_as_it_is() {
    let error = json!({"error": "the Beads CLI did not answer\nin time"});
    let server = Server::start([("GET /api/beads/hl-1", Answer::json(503, &error))]);

    let said = ygg(&server, &["why", "hl-1"]);

    assert_eq!(said.code, trouble::UNAVAILABLE);
    assert_eq!(said.err, "ygg: the Beads CLI did not answer in time\n");
}

#[test]
fn json_is_what_the_coordinator_said() {
    let server = Server::start([
        ("GET /health", Answer::json(200, &health())),
        ("GET /api/plan", Answer::json(200, &plan())),
        ("GET /api/beads/hl-1", Answer::json(200, &bead(&[]))),
        ("POST /poll", Answer::json(202, &json!({"status": "polling"}))),
    ]);
    let json = |args: &[&str]| -> Value {
        let said = ygg(&server, args);
        assert_eq!((said.code, said.err.as_str()), (0, ""));
        serde_json::from_str(&said.out).unwrap()
    };

    assert_eq!(json(&["status", "--json"]), health());
    assert_eq!(json(&["--json", "plan"]), plan());
    assert_eq!(json(&["why", "hl-1", "--json"]), bead(&[]));
    assert_eq!(json(&["poll", "--json"]), json!({"status": "polling"}));
}

#[test]
fn poll_nudges_the_coordinator() {
    let server = Server::start([("POST /poll", Answer::json(202, &json!({"status": "polling"})))]);

    let said = ygg(&server, &["poll"]);

    assert_eq!(said.code, 0);
    assert!(said.out.starts_with("the coordinator looks at the beads now"));
}

#[test]
fn a_url_needs_no_scheme_and_may_have_a_folder() {
    let server = Server::start([("GET /ygg/health", Answer::json(200, &health()))]);
    let url = format!("{}/ygg/", server.url().trim_start_matches("http://"));

    assert_eq!(ygg_on(screen(), &["--url", &url, "status"]).code, 0);
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    struct Closed;
    impl std::io::Write for Closed {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let server = Server::start([("GET /health", Answer::json(200, &health()))]);
    let args = ["ygg", "--url", server.url(), "status"].map(OsString::from);
    let mut err = Vec::new();

    let code = crate::run(args, screen(), &mut Closed, &mut err);

    assert_eq!((code, err), (0, Vec::new()));
}
