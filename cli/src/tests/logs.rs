//! What `logs` shows, and what it does when an answer breaks off.

use super::*;

const FROM_0: &str = "GET /api/attempts/01939f2e-0000-7000-8000-000000000001/log?offset=0";

fn log(offset: u64) -> String {
    format!("GET /api/attempts/{ATTEMPT}/log?offset={offset}")
}

fn follow(offset: u64) -> String {
    format!("{}&follow=true", log(offset))
}

fn the_bead(stage: &str) -> (&'static str, Answer) {
    ("GET /api/beads/hl-1", Answer::json(200, &bead(&[attempt(stage)])))
}

fn the_attempt(stage: &str) -> (&'static str, Answer) {
    let detail = json!({"summary": attempt(stage), "outcome": null});
    ("GET /api/attempts/01939f2e-0000-7000-8000-000000000001", Answer::json(200, &detail))
}

#[test]
fn a_pipe_gets_every_byte_as_it_was() {
    let bytes = b"one\x1b[31m\r\n\xff\x00two";
    let answer = Answer::log(0, bytes, 15, true);
    let server = Server::start([the_bead("settled"), (FROM_0, answer)]);
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let args = ["ygg", "--url", server.url(), "logs", "hl-1"].map(OsString::from);

    let code = crate::run(args, screen(), &mut out, &mut err);

    assert_eq!((code, out.as_slice(), err.as_slice()), (0, &bytes[..], &b""[..]));
}

#[test]
fn a_terminal_gets_a_harmless_log() {
    let answer = Answer::log(0, b"one\x1b[2J\r\n\xffbell\x07\n", 16, true);
    let server = Server::start([the_bead("settled"), (FROM_0, answer)]);

    let said = ygg_on(terminal(80), &["--url", server.url(), "logs", "hl-1"]);

    assert_eq!((said.code, said.out.as_str()), (0, "one\n\u{fffd}bell\u{fffd}\n"));
}

#[test]
fn an_attempt_can_be_named_and_read_from_the_middle() {
    let answer = Answer::log(4, b"two\n", 8, true);
    let server = Server::start([(log(4).as_str(), answer)]);

    let said = ygg(&server, &["logs", "--attempt", ATTEMPT, "--offset", "4"]);

    assert_eq!((said.code, said.out.as_str()), (0, "two\n"));
}

#[test]
fn a_dropped_middle_is_said_and_passed_over() {
    let head = Answer::log(0, b"head", 100, true).with(protocol::log::NEXT, "96");
    let tail = Answer::log(96, b"tail", 100, true);
    let dropped = |answer: Answer| answer.with(protocol::log::DROPPED, "4-96");
    let server = Server::start([
        the_bead("settled"),
        (FROM_0, dropped(head)),
        (log(96).as_str(), dropped(tail)),
    ]);

    let said = ygg(&server, &["logs", "hl-1"]);

    assert_eq!((said.code, said.out.as_str()), (0, "headtail"));
    assert_eq!(said.err, "ygg: bytes 4-96 were dropped by the cap of the log\n");
}

#[test]
fn following_goes_on_until_the_task_has_ended() {
    let server = Server::start([
        the_bead("running"),
        the_attempt("running"),
        (follow(0).as_str(), Answer::log(0, b"one\n", 0, false)),
        (follow(4).as_str(), Answer::log(4, b"two\n", 4, false)),
        (follow(8).as_str(), Answer::log(8, b"", 8, true)),
    ]);

    let said = ygg(&server, &["logs", "hl-1", "-f"]);

    assert_eq!((said.code, said.out.as_str(), said.err.as_str()), (0, "one\ntwo\n", ""));
}

#[test]
fn following_goes_on_after_a_broken_connection_without_repeating_a_byte() {
    let server = Server::start([
        the_bead("running"),
        the_attempt("running"),
        (follow(0).as_str(), Answer::log(0, b"one\n", 0, false).broken_off()),
        (follow(4).as_str(), Answer::log(4, b"two\n", 8, true)),
    ]);

    let said = ygg(&server, &["logs", "hl-1", "-f"]);

    assert_eq!((said.code, said.out.as_str()), (0, "one\ntwo\n"));
    assert!(said.err.contains("the log broke off; go on with --offset 4"), "{}", said.err);
}

#[test]
fn a_log_that_breaks_off_says_where_to_go_on() {
    let answer = Answer::log(0, b"one\n", 14, true).broken_off();
    let server = Server::start([the_bead("settled"), (FROM_0, answer)]);

    let said = ygg(&server, &["logs", "hl-1"]);

    assert_eq!((said.code, said.out.as_str()), (trouble::UNAVAILABLE, "one\n"));
    assert!(said.err.ends_with("hint: the log broke off; go on with --offset 4\n"), "{}", said.err);
}

#[test]
fn following_waits_until_an_executor_was_asked() {
    let server = Server::start([
        the_bead("recorded"),
        the_attempt("recorded"),
        the_attempt("claimed"),
        the_attempt("running"),
        (follow(0).as_str(), Answer::log(0, b"one\n", 4, true)),
    ]);

    let said = ygg(&server, &["logs", "hl-1", "--follow"]);

    assert_eq!((said.code, said.out.as_str()), (0, "one\n"));
}

#[test]
fn a_bead_that_never_started_has_no_log() {
    let server = Server::start([("GET /api/beads/hl-1", Answer::json(200, &bead(&[])))]);

    let said = ygg(&server, &["logs", "hl-1"]);

    assert_eq!((said.code, said.out.as_str()), (trouble::NOTHING, ""));
    assert_eq!(
        said.err,
        "ygg: nothing of `hl-1` has started: its task failed\n  hint: `ygg why hl-1` says more\n"
    );
}

#[test]
fn a_log_out_of_reach_is_told_in_the_coordinators_words() {
    let error = json!({"error": "fenrir does not answer", "hint": "the log is on fenrir"});
    let server = Server::start([the_bead("settled"), (FROM_0, Answer::json(502, &error))]);

    let said = ygg(&server, &["logs", "hl-1"]);

    assert_eq!(said.code, trouble::UNAVAILABLE);
    assert_eq!(said.err, "ygg: fenrir does not answer\n  hint: the log is on fenrir\n");
}

#[test]
fn as_json_a_log_is_one_object_or_one_for_each_piece() {
    let cut = "ä".as_bytes();
    let server = Server::start([
        the_bead("settled"),
        the_attempt("running"),
        (FROM_0, Answer::log(0, b"one\n\xff", 5, true)),
        (follow(0).as_str(), Answer::log(0, &cut[..1], 1, false)),
        (follow(1).as_str(), Answer::log(1, &cut[1..], 2, true)),
    ]);

    let whole: Value =
        serde_json::from_str(&ygg(&server, &["logs", "hl-1", "--json"]).out).unwrap();
    let pieces = ygg(&server, &["logs", "hl-1", "--json", "-f"]).out;

    assert_eq!(whole, json!({"attempt": ATTEMPT, "offset": 0, "size": 5, "text": "one\n\u{fffd}"}));
    let pieces: Vec<Value> =
        pieces.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(
        pieces,
        [
            json!({"attempt": ATTEMPT, "offset": 0, "text": ""}),
            json!({"attempt": ATTEMPT, "offset": 1, "text": "ä"}),
        ]
    );
}
