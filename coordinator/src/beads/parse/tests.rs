use serde_json::json;

use super::*;
use crate::beads::transcript::{transcript, transcripts};

fn beads(stdout: &str) -> Vec<Bead> {
    let rows = rows(stdout).unwrap_or_else(|| panic!("no rows in {stdout:?}"));
    rows.into_iter().map(|raw| bead(raw).unwrap_or_else(|| panic!("no bead: {raw}"))).collect()
}

fn ids(beads: &[Bead]) -> Vec<&str> {
    beads.iter().map(|bead| bead.id.as_str()).collect()
}

#[test]
fn every_recorded_answer_about_beads_is_read() {
    const VERBS: [&str; 6] = ["ready", "list", "show", "update", "close", "reopen"];
    for program in ["bd-1.0.5", "bd-1.0.3", "mb-0.25.0"] {
        let answers = transcripts(program).into_iter().filter(|case| {
            let json = case.argv.iter().any(|arg| arg == "--json");
            let about_beads = VERBS.contains(&case.argv[1].as_str());
            json && about_beads && case.exit == 0 && case.stdout.starts_with(['[', '{'])
        });
        for case in answers {
            let found = beads(&case.stdout);

            let printed = case.stdout.matches("\"title\"").count();
            assert!(found.len() <= printed, "{program}/{}", case.name);
            assert_eq!(found.is_empty(), printed == 0, "{program}/{}", case.name);
        }
    }
}

#[test]
fn a_ready_bead_has_all_that_an_order_needs() {
    let found = beads(&transcript("bd-1.0.5/ready-two").stdout);

    let [child, tests] = found.as_slice() else { panic!("{:?}", ids(&found)) };
    assert_eq!(tests.id.as_str(), "hl-150");
    assert_eq!(tests.title, "Run the tests");
    assert_eq!(tests.status, Status::Open);
    assert_eq!(tests.priority, 2);
    assert_eq!(tests.issue_type, "task");
    assert_eq!(tests.assignee, None);
    assert_eq!(tests.labels, ["ci", "nightly"]);
    assert_eq!(tests.metadata["params"], json!({"repo": "core", "n": 1}));
    assert_eq!(tests.created_at, Some("2026-11-21T09:37:10Z".parse().unwrap()));
    assert_eq!((tests.dependency_count, tests.dependent_count), (Some(0), Some(0)));
    let parent = &child.dependencies[0];
    assert_eq!((parent.id.as_str(), parent.kind.as_str()), ("hl-b34", "parent-child"));
    assert!(!parent.blocks());
}

#[test]
fn show_tells_the_status_of_a_blocker() {
    for program in ["bd-1.0.5", "bd-1.0.3"] {
        let found = beads(&transcript(&format!("{program}/show-with-dependency")).stdout);

        let blocker = &found[0].dependencies[0];
        assert_eq!(blocker.kind, "blocks");
        assert_eq!(blocker.status, Some(Status::Open));
        assert!(blocker.blocks());
    }
}

#[test]
fn the_envelope_and_the_other_wrappers_are_taken_off() {
    let enveloped = beads(&transcript("bd-1.0.5/envelope-ready").stdout);
    let suggested = beads(&transcript("bd-1.0.5/close-suggest-next").stdout);
    let noted = beads(&transcript("bd-1.0.5/note-stdin").stdout);

    assert!(ids(&enveloped).contains(&"hl-z0f"));
    assert_eq!(ids(&suggested), ["hl-5wl"]);
    assert_eq!(ids(&noted), ["hl-150"]);
}

#[test]
fn text_before_and_after_the_json_is_skipped() {
    let plain = transcript("bd-1.0.5/ready-two").stdout;
    let wrapped = format!("warning: two bd in PATH\n[note] look out\n{plain}Showing 2 of 4.\n");

    assert_eq!(beads(&wrapped), beads(&plain));
}

#[test]
fn an_answer_without_beads_is_told_from_an_empty_one() {
    assert_eq!(rows("[]\n").map(|rows| rows.len()), Some(0));
    assert_eq!(rows("null").map(|rows| rows.len()), Some(0));
    assert_eq!(rows("{\"schema_version\":1,\"data\":null}").map(|rows| rows.len()), Some(0));
    for garbage in [
        "",
        "No updates specified\n",
        "[{\"id\": \"hl-1\"",
        "{\"error\": \"x\"}",
        "{\"schema_version\":1,\"data\":{\"error\":\"x\"}}",
        "{\"count\": 3}",
        "42",
        "<html></html>",
    ] {
        assert!(rows(garbage).is_none(), "{garbage:?}");
    }
}

#[test]
fn one_bad_element_costs_itself_alone() {
    let answer = r#"[{"id":"hl-1"},{"id":5},{"id":""},"x",null,{"id":"--json"},
        {"id":"hl-2","dependencies":[{"id":"a b","type":"blocks"}]},
        {"id":"hl-3","title":7,"labels":"x","priority":"high","metadata":[1],"created_at":"soon"}]"#;

    let elements = rows(answer).unwrap();
    let found: Vec<_> = elements.iter().filter_map(|raw| bead(raw)).collect();

    assert_eq!(elements.len(), 8);
    assert_eq!(ids(&found), ["hl-1", "hl-3"]);
    let odd = &found[1];
    assert_eq!((odd.title.as_str(), odd.priority, odd.labels.len()), ("7", 2, 0));
    assert_eq!((odd.metadata.len(), odd.created_at), (0, None));
}

#[test]
fn absent_null_and_empty_mean_the_same() {
    let absent = r#"{"id":"hl-1","title":"t","status":"open","priority":2,"issue_type":"task"}"#;
    let null = r#"{"id":"hl-1","title":"t","status":"open","priority":2,"issue_type":"task",
        "description":null,"assignee":null,"labels":null,"metadata":null,"dependencies":null,
        "notes":null,"due_at":null,"close_reason":null,"dependency_count":null}"#;
    let empty = r#"{"id":"hl-1","title":"t","status":"open","priority":2,"issue_type":"task",
        "description":"","assignee":"","labels":[],"metadata":{},"dependencies":[],
        "notes":"","due_at":"","close_reason":"","defer_until":"0001-01-01T00:00:00Z"}"#;

    let read = |text| Bead { size: 0, ..beads(text).remove(0) };
    assert_eq!(read(absent), read(null));
    assert_eq!(read(absent), read(empty));
}

#[test]
fn metadata_may_be_a_text_that_holds_an_object() {
    let found = beads(r#"[{"id":"hl-1","metadata":"{\"task_type\":\"x\"}"}]"#);

    assert_eq!(found[0].metadata["task_type"], "x");
}

#[test]
fn a_bead_of_minibeads_is_a_bead() {
    let shown = beads(&transcript("mb-0.25.0/show").stdout);
    let waiting = beads(&transcript("mb-0.25.0/create-dep").stdout);

    assert_eq!(shown[0].assignee.as_deref(), Some("coord/box/1"));
    assert_eq!(shown[0].dependent_count, Some(1));
    assert_eq!(shown[0].closed_at, None);
    assert_eq!(waiting[0].assignee, None);
    assert_eq!(waiting[0].dependencies[0].id.as_str(), "hl-1");
    assert_eq!(waiting[0].dependencies[0].status, None);
    assert!(waiting[0].dependencies[0].blocks());
}

#[test]
fn an_edge_that_starts_elsewhere_is_not_ours() {
    let found = beads(
        r#"[{"id":"hl-1","dependencies":[
            {"issue_id":"hl-9","depends_on_id":"hl-1","type":"blocks"},
            {"issue_id":"hl-1","depends_on_id":"hl-2","type":"waits-for"}]}]"#,
    );

    let edges: Vec<_> = found[0].dependencies.iter().map(|edge| edge.id.as_str()).collect();
    assert_eq!(edges, ["hl-2"]);
}

#[test]
fn the_size_of_a_bead_is_its_own() {
    let alone = beads(r#"[{"id":"hl-1","description":"aaaaaaaaaa"}]"#);
    let crowded = beads(
        r#"[{"id":"hl-1","description":"aaaaaaaaaa","comments":[{"id":"1","text":"long long long"}],
            "dependencies":[{"id":"hl-2","type":"blocks","description":"long long long long"}]}]"#,
    );

    assert!(alone[0].size >= 10);
    assert!(crowded[0].size < alone[0].size + 60, "{} {}", crowded[0].size, alone[0].size);
}
