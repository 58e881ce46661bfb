//! Beads and settings that cannot work: each gets one clear line, and the loop goes on.
#![expect(clippy::unwrap_used, reason = "the name of a test says what failed")]

use e2e::cli::{Bead, Kind};
use e2e::world::{COORDINATOR, LONG};
use e2e::{NewBead, World, until};
use protocol::executor::Health;
use serde_json::json;

e2e::on_every_beads_cli!(
    bad_params_block_the_bead_and_name_the_field,
    a_type_that_the_executor_lacks_blocks_the_bead,
    json_that_is_no_json_blocks_the_bead,
    two_types_in_one_bead_block_it,
    a_forbidden_task_blocks_the_bead_and_names_the_rule,
    a_huge_description_is_no_error,
    control_characters_are_not_written_back,
    a_bead_that_breaks_the_listing_stops_nothing,
    a_bad_routing_yaml_names_every_problem_and_starts_nothing,
    a_missing_workspace_is_said_with_the_remedy,
);

async fn homelab(mut world: World) -> World {
    world.executor("one", "test-executor", &[]).await.unwrap();
    world.routing.default_to("one");
    world.coordinator(&[]).await.unwrap();
    world
}

fn echo(text: &str) -> NewBead {
    NewBead::task("echo", json!({"text": text}))
}

/// The bead is blocked for good, nobody has it, and the note says it.
fn assert_blocked(bead: &Bead, part: &str) {
    assert_eq!((bead.status.as_str(), bead.assignee.as_str()), ("blocked", ""), "{bead:?}");
    assert!(bead.has("task-failed"), "{:?}", bead.labels);
    assert!(bead.notes.contains(part), "`{part}` is missing in: {}", bead.notes);
}

async fn goes_on(world: &World) {
    let id = world.create(echo("still here")).await;
    assert_eq!(world.settled(&id).await.status, "closed");
}

async fn bad_params_block_the_bead_and_name_the_field(world: World) {
    let world = homelab(world).await;

    let wrong = world.create(NewBead::task("echo", json!({"text": 5}))).await;
    let unknown = world.create(NewBead::task("echo", json!({"text": "a", "txet": "b"}))).await;

    assert_blocked(&world.settled(&wrong).await, "text");
    assert_blocked(&world.settled(&unknown).await, "txet");
    goes_on(&world).await;
}

async fn a_type_that_the_executor_lacks_blocks_the_bead(world: World) {
    let world = homelab(world).await;

    let id = world.create(NewBead::task("ecko", json!({}))).await;

    assert_blocked(&world.settled(&id).await, "ecko");
    goes_on(&world).await;
}

async fn json_that_is_no_json_blocks_the_bead(world: World) {
    let world = homelab(world).await;

    let broken = "please\n\n```json\n{\"text\": \"hi\"\n```\n";
    let id = world.create(NewBead::titled("say hi").label("task:echo").description(broken)).await;

    let bead = world.blocked(&id, "task-failed").await;
    assert_blocked(&bead, "JSON");
    goes_on(&world).await;
}

async fn two_types_in_one_bead_block_it(world: World) {
    let world = homelab(world).await;

    let bead = NewBead::titled("what now").label("task:echo").label("task:fail");
    let id = world.create(bead).await;

    let bead = world.blocked(&id, "task-failed").await;
    assert!(bead.has("task-failed"), "{:?}", bead.labels);
    assert!(bead.notes.contains("echo") && bead.notes.contains("fail"), "{}", bead.notes);
    goes_on(&world).await;
}

async fn a_forbidden_task_blocks_the_bead_and_names_the_rule(world: World) {
    let world = homelab(world).await;

    let order = json!({"program": "true"});
    let id = world.create(NewBead::task("run-command", order)).await;

    assert_blocked(&world.settled(&id).await, "allow.commands");
    goes_on(&world).await;
}

async fn a_huge_description_is_no_error(world: World) {
    let world = homelab(world).await;
    let tale = "It was a dark and stormy night.\n".repeat(1500);
    let text = format!("```json\n{{\"text\": \"short\"}}\n```\n{tale}");

    let id = world.create(NewBead::titled("a tale").label("task:echo").description(text)).await;

    assert_eq!(world.settled(&id).await.status, "closed");
}

async fn control_characters_are_not_written_back(world: World) {
    let world = homelab(world).await;

    let order = json!({"text": r"\033[31mred\033[0m \007bell"});
    let id = world.create(NewBead::task("fail", order)).await;
    let bead = world.settled(&id).await;

    assert_blocked(&bead, "red");
    assert!(!bead.notes.contains(['\u{1b}', '\u{7}']), "{:?}", bead.notes);
    assert!(!bead.metadata.to_string().contains("\\u00"), "{}", bead.metadata);
}

async fn a_bead_that_breaks_the_listing_stops_nothing(world: World) {
    let world = homelab(world).await;
    let good = world.create(echo("before")).await;
    world.settled(&good).await;

    let ygg = world.ygg();
    let poison = async {
        match world.beads.cli.kind {
            // One control character in the metadata, and bd cannot print any listing any more.
            Kind::Bd => poison_metadata(&world).await,
            // A file without its head does the same to mb.
            Kind::Mb => poison_file(&world),
        }
    };
    let named = until("health names a bead", LONG, async || {
        let health = ygg.health().await.ok()?;
        (health.status == Health::Degraded).then(|| health.reasons.join("\n"))
    });
    let (poison, named) = tokio::join!(poison, named);

    assert!(named.contains(&poison), "`{poison}` is missing in: {named}");
    goes_on(&world).await;
    if world.beads.cli.kind == Kind::Bd {
        let blocked = world.beads.run(&["list", "--status", "blocked"]).await.unwrap();
        assert!(blocked.stdout.contains(&poison), "{}", blocked.stdout);
    }
}

async fn poison_metadata(world: &World) -> String {
    let metadata = r#"{"task_type": "echo", "params": {"text": "\u001b[31m"}}"#;
    let answer = world.beads.run(&["create", "poisoned", "--metadata", metadata]).await.unwrap();
    let listed = world.beads.run(&["ready", "--limit", "0"]).await.unwrap().stdout;
    let line = listed.lines().find(|line| line.contains("poisoned"));
    let line = line.unwrap_or_else(|| panic!("not listed: {listed}; create: {answer:?}"));
    let id = line.split_whitespace().map(|word| word.trim_matches([':', '[', ']']));
    id.filter(|word| word.starts_with("hl-")).map(str::to_owned).next().unwrap()
}

fn poison_file(world: &World) -> String {
    let file = world.beads.folder.join(".minibeads/issues/hl-900.md");
    std::fs::write(&file, "").unwrap();
    // As old as one that a killed mb left: a young one may be about to be written.
    let old = std::time::SystemTime::now() - std::time::Duration::from_mins(1);
    let opened = std::fs::File::options().write(true).open(&file).unwrap();
    opened.set_modified(old).unwrap();
    "hl-900".to_owned()
}

async fn a_bad_routing_yaml_names_every_problem_and_starts_nothing(mut world: World) {
    world.routing.text(
        "executors:\n  one: http://127.0.0.1:5999\nroutes:\n  echo: oen\n  git-*: one\n  git-*: one\nlimitz: {}\nretry: { attempts: many }\n",
    );
    world.prepare_coordinator(&[]).unwrap();

    let daemon = world.daemon(COORDINATOR);
    daemon.spawn().unwrap();
    let status = daemon.ends(LONG).await;
    let said = daemon.output();

    assert_eq!(status.code(), Some(78), "{said}");
    for part in ["routing.yaml", "oen", "limitz", "git-*", "attempts"] {
        assert!(said.contains(part), "`{part}` is missing in: {said}");
    }
    assert!(!world.path("state/coordinator").join("ledger.sqlite").exists());
}

async fn a_missing_workspace_is_said_with_the_remedy(mut world: World) {
    world.executor("one", "test-executor", &[]).await.unwrap();
    world.routing.default_to("one");
    let elsewhere = world.beads.folder.with_extension("gone");
    std::fs::rename(&world.beads.folder, &elsewhere).unwrap();
    world.coordinator(&[]).await.unwrap();

    let reasons = until("health is degraded", LONG, async || {
        let health = world.ygg().health().await.ok()?;
        (health.status == Health::Degraded).then_some(health.reasons)
    })
    .await;
    assert!(reasons.iter().any(|reason| reason.contains("beads")), "{reasons:?}");

    std::fs::rename(&elsewhere, &world.beads.folder).unwrap();
    goes_on(&world).await;
}
