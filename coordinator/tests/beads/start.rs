//! What is found out before the first bead is read, and what stops it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use serde_json::json;
use yggdrasil_coordinator::beads::{BeadsError, BeadsTrouble};

use super::fake::{Fake, ME, Reply, is_alive, until};

#[tokio::test]
async fn versions_that_lie_are_refused_before_they_touch_a_store() {
    for (version, why) in [("1.0.2", "older than 1.0.3"), ("1.0.4", "reverts closes")] {
        let Some(fake) = Fake::bd(version, &[]) else { return };

        let error = fake.try_open().await.unwrap_err();

        assert_eq!(error.class(), BeadsTrouble::Setup);
        assert!(error.to_string().contains(why), "{error}");
        assert!(error.remedy().is_some());
        assert!(fake.started().is_empty());
    }
}

#[tokio::test]
async fn what_a_program_can_do_is_asked_of_it() {
    let (Some(old), Some(now), Some(new)) = (Fake::old(), Fake::now(), Fake::new_with_guards())
    else {
        return;
    };

    let (old, now, new) = (old.open().await, now.open().await, new.open().await);

    assert_eq!(old.dialect().to_string(), "bd 1.0.3");
    assert!(!old.dialect().reason_file && !old.dialect().claim_checks_status);
    assert!(old.dialect().size_limit.is_some());
    assert!(now.dialect().reason_file && now.dialect().claim_checks_status);
    assert!(!now.dialect().guards && now.dialect().size_limit.is_none());
    assert!(new.dialect().guards && new.dialect().unclaim);
}

#[tokio::test]
async fn a_program_that_prints_garbage_is_not_taken_for_beads() {
    for reply in [
        Reply::text("GNU bash, version 5.2.15\n"),
        Reply::text(""),
        Reply::error(1, "bd: command not supported"),
        Reply::text("{\"version\": \"dev\"}"),
    ] {
        let Some(mut fake) = Fake::mb() else { return };
        fake.replace(&["version"], reply);

        let error = fake.try_open().await.unwrap_err();

        assert!(matches!(error, BeadsError::NotBeads { .. }), "{error}");
        assert_eq!(error.class(), BeadsTrouble::Setup);
        assert!(error.remedy().unwrap().contains("--bd"));
    }
}

#[tokio::test]
async fn a_program_that_hangs_when_asked_is_ended_with_its_group() {
    let Some(mut fake) = Fake::mb() else { return };
    fake.replace(&["version"], Reply::hang());
    fake.settings.limit = Duration::from_millis(1500);

    let error = fake.try_open().await.unwrap_err();

    assert!(matches!(error, BeadsError::TimedOut { ended: true, .. }), "{error}");
    let hung = fake.journal().into_iter().find(|entry| entry.event == "hang").unwrap();
    until("the child to be gone", || !is_alive(hung.child) && !is_alive(hung.pid)).await;
}

#[tokio::test]
async fn a_program_that_cannot_run_is_said_plainly() {
    let Some(mut fake) = Fake::now() else { return };
    let plain = fake.folder.path().join("bin/plain");
    fs::write(&plain, "no program").unwrap();
    fs::set_permissions(&plain, fs::Permissions::from_mode(0o644)).unwrap();
    for program in [plain, fake.folder.path().join("bin/none")] {
        fake.settings.program = Some(program.clone());

        let error = fake.try_open().await.unwrap_err();

        assert_eq!(error.class(), BeadsTrouble::Setup, "{error}");
        assert!(error.to_string().contains(&program.display().to_string()), "{error}");
    }
}

#[tokio::test]
async fn the_environment_is_ours_and_the_store_is_named() {
    let Some(mut fake) = Fake::now() else { return };
    fake.on(&["ready"], Reply::text("[]\n"));
    fake.settings.user_home = Some("/nonexistent/home".into());
    fake.settings.passthrough =
        [("BEADS_DOLT_SERVER_HOST", "db"), ("BEADS_ACTOR", "mallory"), ("BD_JSON_ENVELOPE", "1")]
            .map(|(name, value)| (name.into(), value.into()))
            .into();
    let beads = fake.open().await;

    beads.ready(Some).await.unwrap();

    let started = fake.started();
    let entry = &started[0];
    let home = fake.folder.path().join("state/bd-home");
    assert_eq!(entry.env["HOME"], home.to_str().unwrap());
    assert!(home.is_dir());
    assert_eq!(entry.env["TZ"], "UTC");
    assert_eq!(entry.env["NO_COLOR"], "1");
    assert_eq!(entry.env["BD_NON_INTERACTIVE"], "1");
    assert_eq!(entry.env["BEADS_DOLT_SERVER_HOST"], "db");
    let store = fake.store().canonicalize().unwrap();
    assert_eq!(entry.env["BEADS_DIR"], store.to_str().unwrap());
    assert_eq!(entry.cwd, store.parent().unwrap());
    for name in ["BEADS_ACTOR", "BD_JSON_ENVELOPE", "CARGO_MANIFEST_DIR"] {
        assert!(!entry.env.contains_key(name), "{name}");
    }
    assert!(entry.line().contains(&format!("--actor={ME}")));
}

#[tokio::test]
async fn a_store_that_breaks_while_we_run_is_an_error_and_never_an_empty_list() {
    let Some(mut fake) = Fake::now() else { return };
    fake.on(&["ready"], Reply::text("[]\n"));
    let beads = fake.open().await;
    beads.ready(Some).await.unwrap();

    fs::remove_file(fake.store().join("metadata.json")).unwrap();
    let missing = beads.ready(Some).await.unwrap_err();
    fs::write(fake.store().join("metadata.json"), "{broken").unwrap();
    let broken = beads.check_store().await.unwrap_err();

    for error in [&missing, &broken] {
        assert!(matches!(error, BeadsError::BrokenStore { .. }), "{error}");
        assert!(error.remedy().is_some());
    }
    assert_eq!(fake.lines().len(), 1, "nothing runs on a broken store: {:?}", fake.lines());
}

#[tokio::test]
async fn warnings_that_mean_a_wrong_answer_are_errors() {
    let Some(mut fake) = Fake::now() else { return };
    fake.on(&["ready"], Reply::recorded("bd-1.0.5/metadata-json-missing").times(1));
    let newer =
        "warning: auto-import: failed to check issue count: column \"x\" could not be found";
    fake.on(&["ready"], Reply::json(&json!([])).stderr(newer));
    let beads = fake.open().await;

    let broken = beads.ready(Some).await.unwrap_err();
    let newer = beads.ready(Some).await.unwrap_err();

    assert!(matches!(broken, BeadsError::BrokenStore { .. }), "{broken}");
    assert!(matches!(newer, BeadsError::NewerStore { .. }), "{newer}");
    assert!(newer.remedy().unwrap().contains("newest bd"));
}

#[tokio::test]
async fn the_signal_is_the_content_of_the_manifest() {
    let Some(fake) = Fake::now() else { return };
    let beads = fake.open().await;
    let signal = beads.signal();
    let manifest = fake.store().join("embeddeddolt/hl/.dolt/noms/manifest");

    let before = signal.read();
    fs::write(&manifest, "5:__DOLT__:two").unwrap();
    let after = signal.read();
    fs::remove_file(&manifest).unwrap();
    let gone = signal.read();

    assert_eq!(before.as_deref(), Some(&b"5:__DOLT__:one"[..]));
    assert_ne!(before, after);
    assert_eq!(gone, None);
}
