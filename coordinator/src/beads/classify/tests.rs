use super::*;
use crate::beads::error::BeadsTrouble;
use crate::beads::transcript::{Transcript, transcript, transcripts};

fn judge(case: &Transcript) -> Option<BeadsError> {
    let id = case.argv.get(2).and_then(|id| BeadId::parse(id).ok());
    trouble(Ended {
        program: "bd 1.0.5",
        command: &case.argv[1],
        bead: id.as_ref(),
        json: case.argv.iter().any(|arg| arg == "--json"),
        code: Some(case.exit),
        stdout: case.stdout.as_bytes(),
        stderr: &case.stderr,
    })
}

fn said(code: i32, stdout: &str, stderr: &str) -> Option<BeadsError> {
    judge(&Transcript {
        name: String::new(),
        argv: ["bd", "update", "hl-1", "--json"].map(str::to_owned).into(),
        exit: code,
        stdout: stdout.to_owned(),
        stderr: stderr.to_owned(),
    })
}

/// The name of the variant.
fn kind(error: &BeadsError) -> String {
    format!("{error:?}").split([' ', '{', '(']).next().unwrap_or_default().to_owned()
}

#[test]
fn every_recorded_failure_has_its_name() {
    let cases = [
        ("bd-1.0.5/claim-lost", "Claimed"),
        ("bd-1.0.5/claim-closed", "Claimed"),
        ("bd-1.0.5/claim-closed-same-actor", "Refused"),
        ("bd-1.0.5/claim-deferred", "Refused"),
        ("bd-1.0.5/claim-status-blocked", "Refused"),
        ("bd-1.0.5/claim-not-found", "NotFound"),
        ("bd-1.0.5/close-blocked", "Refused"),
        ("bd-1.0.5/close-epic-open-child", "Refused"),
        ("bd-1.0.5/close-not-found", "NotFound"),
        ("bd-1.0.5/show-not-found", "NotFound"),
        ("bd-1.0.5/envelope-error", "NotFound"),
        ("bd-1.0.5/poison-control-char-ready", "Poisoned"),
        ("bd-1.0.5/metadata-json-missing", "BrokenStore"),
        ("bd-1.0.5/database-damaged", "BrokenStore"),
        ("bd-1.0.5/disk-full", "BrokenStore"),
        ("bd-1.0.5/home-missing", "Home"),
        ("bd-1.0.5/no-workspace", "NoStore"),
        ("bd-1.0.5/readonly-write", "Permission"),
        ("bd-1.0.5/update-unknown-flag", "UnknownFlag"),
        ("bd-1.0.5/unknown-command", "UnknownFlag"),
        ("bd-1.0.5/update-bad-status", "Failed"),
        ("bd-1.0.5/update-not-utf8", "Failed"),
        ("bd-1.0.3/claim-lost", "Claimed"),
        ("bd-1.0.3/close-blocked", "Refused"),
        ("bd-1.0.3/show-not-found", "NotFound"),
        ("mb-0.25.0/claim-lost", "Claimed"),
        ("mb-0.25.0/claim-closed", "Refused"),
        ("mb-0.25.0/release-other", "Refused"),
        ("mb-0.25.0/show-not-found", "NotFound"),
        ("mb-0.25.0/empty-file-breaks-ready", "BrokenFile"),
        ("mb-0.25.0/no-workspace", "NoStore"),
        ("mb-0.25.0/ready-unknown-flag", "UnknownFlag"),
    ];
    for (name, expected) in cases {
        let error = judge(&transcript(name)).unwrap_or_else(|| panic!("{name} was no error"));

        assert_eq!(kind(&error), expected, "{name}: {error}");
    }
}

#[test]
fn every_recorded_failure_is_an_error_and_every_success_is_none() {
    // Exit 0 and a wrong empty answer, or none at all.
    const LIES: [&str; 2] = ["metadata-json-missing", "reopen-open"];
    for program in ["bd-1.0.5", "bd-1.0.3", "mb-0.25.0"] {
        for case in transcripts(program) {
            let failed = case.exit != 0 || LIES.contains(&case.name.as_str());

            let error = judge(&case);

            assert_eq!(error.is_some(), failed, "{program}/{}: {error:?}", case.name);
        }
    }
}

#[test]
fn whoever_has_it_is_named() {
    for name in ["bd-1.0.5/claim-lost", "bd-1.0.3/claim-lost", "mb-0.25.0/claim-lost"] {
        let error = judge(&transcript(name));

        let Some(BeadsError::Claimed { by, .. }) = error else { panic!("{name}: {error:?}") };
        assert_eq!(by, "coord/box/1");
    }
}

#[test]
fn what_could_not_be_recorded_has_its_name_too() {
    let cases = [
        (
            1,
            "",
            "Error claiming hl-1: dolt commit: Error 1213 (40001): serialization failure: x",
            "Locked",
        ),
        (1, "", "Error: database is locked", "Locked"),
        (1, "", "{\n  \"error\": \"cannot update manifest: database is read only\"\n}\n", "Locked"),
        (1, "", "dolt circuit breaker is open: server appears down, failing fast", "Locked"),
        (
            1,
            "",
            "{\"error\": \"failed to open database: open x: read-only file system\"}",
            "Permission",
        ),
        (1, "", "{\"error\": \"failed to open database: permission denied\"}", "Permission"),
        (1, "", "write /srv/x: no space left on device", "DiskFull"),
        (2, "", "panic: goroutine 1 [running]:\nno space left on device", "DiskFull"),
        (13, "{\"error\": \"x\", \"guard_mismatch\": true}", "", "Refused"),
        (9, "", "", "Refused"),
        (14, "", "migration freeze", "BrokenStore"),
        (0, "", "Error: unknown flag: --nope", "UnknownFlag"),
        (0, "", "something went wrong", "Failed"),
        (0, "[]", "warning: failed to load beads config: invalid character", "BrokenStore"),
        (
            0,
            "[{}]",
            "warning: auto-import: failed to check issue count: column \"depends_on_id\" could not be found",
            "NewerStore",
        ),
        (1, "", "Error updating hl-1: string 'x' is too large for column 'old_value'", "TooBig"),
        (1, "", "", "Failed"),
        (3, "words\n", "", "Failed"),
    ];
    for (code, stdout, stderr, expected) in cases {
        let error = said(code, stdout, stderr).unwrap_or_else(|| panic!("{stderr:?} was no error"));

        assert_eq!(kind(&error), expected, "{stderr:?}: {error}");
    }
}

#[test]
fn warnings_beside_an_answer_are_no_failure() {
    let role =
        "warning: beads.role not configured (GH#2950).\n  Fix: git config beads.role maintainer\n";
    for stderr in [role, "Showing 1 of 6 ready issues.", "Warning: /x has permissions 0755"] {
        assert!(said(0, "[]\n", stderr).is_none(), "{stderr}");
    }
}

#[test]
fn a_listing_in_text_may_be_empty_beside_a_warning() {
    let ended = |stderr| Ended {
        program: "bd 1.0.5",
        command: "bd list",
        bead: None,
        json: false,
        code: Some(0),
        stdout: b"",
        stderr,
    };

    let warned = trouble(ended("warning: beads.role not configured (GH#2950)."));
    let failed = trouble(ended("Error: unknown flag: --flat"));

    assert!(warned.is_none(), "{warned:?}");
    assert!(matches!(failed, Some(BeadsError::UnknownFlag { .. })), "{failed:?}");
}

#[test]
fn a_long_error_is_cut_and_carries_no_colours() {
    let stderr = format!("Error: \u{1b}[31m{}", "x".repeat(100_000));

    let text = said(1, "", &stderr).unwrap().to_string();

    assert!(text.len() < 1000 && !text.contains('\u{1b}'), "{}", text.len());
}

#[test]
fn every_error_that_needs_a_person_says_what_to_do() {
    for program in ["bd-1.0.5", "mb-0.25.0"] {
        for error in transcripts(program).iter().filter_map(judge) {
            if error.class() == BeadsTrouble::Setup {
                assert!(error.remedy().is_some(), "{error}");
            }
        }
    }
}
