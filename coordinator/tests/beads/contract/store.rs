//! What holds of a whole store: listings, signals, many at once, and what breaks it.

use std::fs::{self, File};
use std::time::{Duration, SystemTime};

use futures::future::join_all;
use serde_json::json;
use uuid::Uuid;
use yggdrasil_coordinator::beads::{
    Adoption, Beads, BeadsError, BeadsSettings, BeadsTrouble, ClaimAnswer, Signal, Status,
};

use super::super::cli::{World, claim, found, ready};
use super::super::fake::until;
use super::{only, status};

pub(super) async fn a_poisoned_store_still_lists(world: World) {
    let beads = world.open().await;
    let good = world.create("good", &[]).await;
    let bad = world.create("bad", &[]).await;
    if world.is_bd() {
        let poison = "{\"x\":\"a\\u001bb\"}";
        world.person_may_fail(&["update", bad.as_str(), "--metadata", poison]).await;
    } else {
        let file = world.store().join("issues").join(format!("{bad}.md"));
        fs::write(&file, "").unwrap();
        let old = SystemTime::now() - Duration::from_mins(1);
        File::options().write(true).open(file).unwrap().set_modified(old).unwrap();
    }

    let listing = beads.ready(|bead| Some(bead.id)).await.unwrap();
    assert_eq!(listing.items, only(&good));
    assert_eq!(listing.poisoned.iter().map(|p| &p.id).collect::<Vec<_>>(), [&bad]);
    if world.is_bd() {
        let taken = beads.claim(&bad, Uuid::now_v7()).await.unwrap_err();
        assert!(matches!(taken, BeadsError::Poisoned { .. }), "{taken}");
        assert!(matches!(beads.adopt(&bad, Uuid::now_v7()).await, Ok(Adoption::NotOurs { .. })));
        beads.block_poisoned(&bad, &listing.poisoned[0].error).await.unwrap();
    }

    assert_eq!(ready(&beads).await, [good]);
    beads.check_store().await.unwrap();
}

pub(super) async fn the_signal_moves_on_writes_and_not_on_reads(world: World) {
    let beads = world.open().await;
    let first = world.create("first", &[]).await;
    let second = world.create("second", &[]).await;
    let signal = beads.signal();
    let start = signal.read().unwrap();

    ready(&beads).await;
    beads.show(&first).await.unwrap();
    beads.mine().await.unwrap();
    world.person(&["list"]).await;
    assert_eq!(signal.read().unwrap(), start, "reads");

    let mut last = start;
    let claimed = claim(&beads, &first).await;
    moved(&signal, &mut last, "claim").await;
    beads.close(claimed, "ok").await.unwrap();
    moved(&signal, &mut last, "close").await;
    world.person(&["update", second.as_str(), "--add-label", "ci"]).await;
    moved(&signal, &mut last, "label").await;
    world.create("third", &[]).await;
    moved(&signal, &mut last, "create").await;
}

async fn moved(signal: &Signal, last: &mut Vec<u8>, what: &str) {
    let is_new = |now: &Option<Vec<u8>>| now.as_ref().is_some_and(|now| now != last);
    let mut now = None;
    until(what, || {
        now = signal.read();
        is_new(&now)
    })
    .await;
    *last = now.unwrap();
}

pub(super) async fn one_of_many_claimers_wins(world: World) {
    // Two coordinators on one store are beyond what mb can do: there one queue is shared.
    let mut coordinators = Vec::new();
    for n in 0..4 {
        let beads = if world.is_bd() || coordinators.is_empty() {
            world.open_as(&format!("yggdrasil/box/{n}")).await
        } else {
            Beads::clone(&coordinators[0])
        };
        coordinators.push(beads);
    }
    for round in 0..3 {
        let bead = world.create(&format!("round {round}"), &[]).await;
        let attempts: Vec<_> = coordinators.iter().map(|beads| (beads, Uuid::now_v7())).collect();

        let answers = attempts.iter().map(|(beads, attempt)| beads.claim(&bead, *attempt));
        let answers = join_all(answers).await;

        let won =
            |answer: &Result<ClaimAnswer, BeadsError>| matches!(answer, Ok(ClaimAnswer::Won(..)));
        let winners: Vec<_> = answers.iter().filter(|answer| won(answer)).collect();
        assert_eq!(winners.len(), 1, "{answers:?}");
        let winner = answers.iter().position(won).unwrap();
        let shown = coordinators[0].show(&bead).await.unwrap().unwrap();
        assert_eq!(shown.attempt(), Some(attempts[winner].1));
    }
}

pub(super) async fn many_beads_go_through(world: World) {
    let count = if world.is_bd() { 20 } else { 100 };
    let beads = world.open().await;
    let mut ids = Vec::new();
    if world.is_bd() {
        let plan: Vec<_> = (0..count)
            .map(|n| json!({"key": format!("k{n}"), "title": format!("bead {n}")}))
            .collect();
        let file = world.folder.path().join("plan.json");
        fs::write(&file, json!({"nodes": plan}).to_string()).unwrap();
        world.person(&["create", "--graph", file.to_str().unwrap()]).await;
        ids.extend(ready(&beads).await);
    } else {
        for n in 0..count {
            ids.push(world.create(&format!("bead {n}"), &[]).await);
        }
    }
    assert_eq!(ids.len(), count);

    let beads_of_all = &beads;
    let lines = ids.iter().map(|id| async move {
        let beads = beads_of_all;
        let claim = claim(beads, id).await;
        beads.close(claim, &format!("ok: {id}")).await.unwrap();
    });
    join_all(lines).await;

    assert!(ready(&beads).await.is_empty());
    assert!(beads.mine().await.unwrap().is_empty());
    for id in ids.iter().step_by(10) {
        let shown = beads.show(id).await.unwrap().unwrap();
        assert_eq!(shown.status, Status::Closed);
        assert!((shown.close_reason + &shown.notes).contains(&format!("ok: {id}")));
    }
}

pub(super) async fn a_store_is_found_from_everywhere(world: World) {
    let bead = world.create("here", &[]).await;
    let mut settings = world.settings();
    settings.user_home = Some("/nonexistent".into());

    for given in [world.workspace(), world.store()] {
        settings.beads_dir = Some(given);
        let beads = Beads::open(settings.clone()).await.unwrap();
        assert_eq!(ready(&beads).await, only(&bead));
        assert_eq!(beads.store_folder(), world.store().canonicalize().unwrap());
    }

    settings.beads_dir = Some(world.folder.path().join("home"));
    let error = Beads::open(settings).await.unwrap_err();
    assert!(matches!(error, BeadsError::NoStore { .. }), "{error}");
    assert!(
        fs::read_dir(world.folder.path().join("home")).unwrap().count() <= 1,
        "nothing is made"
    );
}

pub(super) async fn a_broken_store_is_never_an_empty_one(world: World) {
    let beads = world.open().await;
    world.create("here", &[]).await;

    if world.is_bd() {
        let manifest = world.store().join("embeddeddolt/hl/.dolt/noms/manifest");
        fs::write(&manifest, "").unwrap();
        let damaged = beads.ready(Some).await.unwrap_err();
        assert!(matches!(damaged, BeadsError::BrokenStore { .. }), "{damaged}");
        fs::remove_file(world.store().join("metadata.json")).unwrap();
    } else {
        let (issues, away) = (world.store().join("issues"), world.folder.path().join("away"));
        fs::rename(issues, away).unwrap();
        fs::remove_file(world.store().join("config-minibeads.yaml")).unwrap();
    }
    let error = beads.ready(Some).await.unwrap_err();
    assert_eq!(error.class(), BeadsTrouble::Setup, "{error}");

    // mb must not touch a store of bd, whoever points it there.
    if let (true, Some(mb)) = (world.is_bd(), found("mb").pop()) {
        let settings = BeadsSettings { program: Some(mb.program), ..world.settings() };
        let error = Beads::open(settings).await.unwrap_err();
        assert!(error.to_string().contains("must not touch it"), "{error}");
        assert!(!world.store().join("issues").exists());
    }
}

pub(super) async fn a_command_that_is_ended_half_way_leaves_nothing_undecided(world: World) {
    let beads = world.open().await;
    for limit in [20, 60, 100, 140] {
        let bead = world.create(&format!("within {limit}"), &[]).await;
        let attempt = Uuid::now_v7();
        let mut hurried = world.settings();
        // Its own questions need the time as well, so it may not even open.
        hurried.limit = Duration::from_millis(limit);
        if let Ok(hurried) = Beads::open(hurried).await {
            drop(hurried.claim(&bead, attempt).await);
            hurried.idle().await;
        }

        let claimed = match beads.adopt(&bead, attempt).await.unwrap() {
            Adoption::Ours(claim, _) => claim,
            Adoption::NotOurs { .. } => match beads.claim(&bead, attempt).await.unwrap() {
                ClaimAnswer::Won(claim, _) => claim,
                ClaimAnswer::Lost { by } => panic!("lost to {by} within {limit} ms"),
            },
            Adoption::Gone => panic!("gone within {limit} ms"),
        };
        beads.close(claimed, "ok").await.unwrap();

        assert_eq!(status(&beads, &bead).await, Status::Closed);
    }
}
