use super::*;
use crate::beads::dialect::{Help, Version};

const ATTEMPT: Uuid = Uuid::from_u128(0x0193_aaaa_0000_7000_8000_0000_0000_0001);

fn bd(version: Version, help: &Help<'_>) -> Words {
    let dialect = Dialect::new(Program::Bd, version, help).unwrap();
    Words { dialect, actor: "y/box/1".to_owned() }
}

fn bd_now() -> Words {
    bd(Version(1, 0, 5), &Help { close: "--reason-file", ..Help::default() })
}

fn bd_new() -> Words {
    let help = Help {
        update: "--if-assignee --if-status",
        close: "--reason-file",
        unclaim: "--if-assignee",
        heartbeat: "bd heartbeat",
    };
    bd(Version(1, 3, 1), &help)
}

fn mb() -> Words {
    let dialect = Dialect::new(Program::Mb, Version(0, 25, 0), &Help::default()).unwrap();
    Words { dialect, actor: "y/box/1".to_owned() }
}

fn id() -> BeadId {
    BeadId::parse("hl-1").unwrap()
}

fn line(words: &Words, call: &Call) -> String {
    let argv = words.argv(call).into_iter().map(|arg| arg.into_string().unwrap());
    argv.collect::<Vec<_>>().join(" ")
}

#[test]
fn the_question_for_ready_beads_is_one_query_for_all() {
    let (bd, mb) = (bd_now(), mb());

    assert_eq!(
        line(&bd, &bd.ready()),
        "ready --unassigned --exclude-type=epic --limit=0 --actor=y/box/1 --json"
    );
    assert_eq!(line(&mb, &mb.ready()), "list --limit=0 --mb-no-cmd-logging --json");
}

#[test]
fn a_claim_stamps_in_the_same_command() {
    let (bd, mb) = (bd_now(), mb());
    let stale = ["run:old".to_owned()];

    assert_eq!(
        line(&bd, &bd.claim(&id(), ATTEMPT, &[])),
        "update hl-1 --claim --set-metadata=ygg_attempt=0193aaaa-0000-7000-8000-000000000001 \
         --actor=y/box/1 --json"
    );
    assert_eq!(
        line(&mb, &mb.claim(&id(), ATTEMPT, &stale)),
        "update hl-1 --claim --as=y/box/1 \
         --add-label=run:0193aaaa-0000-7000-8000-000000000001 --remove-label=run:old \
         --mb-no-cmd-logging --json"
    );
}

#[test]
fn a_reason_goes_in_on_stdin_where_that_is_possible() {
    let new = bd_now();
    let old = bd(Version(1, 0, 3), &Help::default());
    let reason = "-rf is no flag\nline two";

    let (by_stdin, by_flag) = (new.close(&id(), reason), old.close(&id(), reason));

    assert_eq!(line(&new, &by_stdin), "close hl-1 --reason-file=- --actor=y/box/1 --json");
    assert_eq!(by_stdin.stdin(), reason.as_bytes());
    assert_eq!(
        line(&old, &by_flag),
        "close hl-1 --reason=-rf is no flag\nline two --actor=y/box/1 --json"
    );
    assert!(by_flag.stdin().is_empty());
}

#[test]
fn guards_are_used_where_they_exist() {
    let change = Change {
        status: Some(Status::Blocked),
        assignee: Some(""),
        add_label: Some("task-failed".to_owned()),
        note: Some("exit 1"),
        metadata: vec![("attempts".to_owned(), "2".to_owned())],
        guard: Some(Held::Running),
        ..Change::default()
    };
    let (now, new, mb) = (bd_now(), bd_new(), mb());

    let tail = "--status=blocked --assignee= --set-metadata=attempts=2 --add-label=task-failed \
                --append-notes=exit 1 --actor=y/box/1 --json";
    assert_eq!(line(&now, &now.update(&id(), &change)), format!("update hl-1 {tail}"));
    assert_eq!(
        line(&new, &new.update(&id(), &change)),
        format!("update hl-1 --if-assignee=y/box/1 --if-status=in_progress {tail}")
    );
    assert_eq!(
        line(&mb, &mb.update(&id(), &change)),
        "update hl-1 --status=blocked --assignee= --add-label=task-failed \
         --mb-no-cmd-logging --json"
    );
}

#[test]
fn a_release_is_an_unclaim_where_there_is_one() {
    let (now, new) = (bd_now(), bd_new());

    assert_eq!(
        line(&now, &now.release(&id(), Held::Running)),
        "update hl-1 --status=open --assignee= --actor=y/box/1 --json"
    );
    assert_eq!(
        line(&new, &new.release(&id(), Held::Running)),
        "unclaim hl-1 --if-assignee=y/box/1 --actor=y/box/1 --json"
    );
    assert_eq!(
        line(&new, &new.release(&id(), Held::Blocked)),
        "update hl-1 --if-status=blocked --status=open --assignee= --actor=y/box/1 --json"
    );
}

#[test]
fn a_time_is_written_in_whole_seconds_and_never_early() {
    let cases = [
        ("2026-11-21T10:05:00Z", "2026-11-21T10:05:00Z"),
        ("2026-11-21T10:05:00.000000001Z", "2026-11-21T10:05:01Z"),
        ("2026-11-21T12:05:00+02:00", "2026-11-21T10:05:00Z"),
    ];
    for (at, expected) in cases {
        assert_eq!(whole_second(at.parse().unwrap()), expected);
    }
}

#[test]
fn a_command_is_shown_without_its_texts() {
    let words = bd_now();

    assert_eq!(words.close(&id(), "secret").to_string(), "close hl-1");
    assert_eq!(words.ready().to_string(), "ready");
}

#[test]
fn text_is_asked_for_by_leaving_json_out() {
    let words = bd_now();
    let probe = words.probe(&id(), &Status::InProgress, Some("y/box/1"));

    assert_eq!(
        line(&words, &probe),
        "list --status=in_progress --assignee=y/box/1 --limit=0 --id=hl-1 --flat --actor=y/box/1"
    );
}
