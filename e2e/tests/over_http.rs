//! What people and programs ask over HTTP, on every Beads CLI.
#![expect(clippy::unwrap_used, reason = "the name of a test says what failed")]

use e2e::world::LONG;
use e2e::{NewBead, World, until};
use reqwest::StatusCode;
use serde_json::{Value, json};

e2e::on_every_beads_cli!(
    a_log_is_read_by_offset_while_and_after_it_is_written,
    a_key_closes_every_route_but_health,
    a_nudge_finds_what_was_written,
    health_and_plan_say_what_is_there,
    unknown_things_are_told_in_json,
);

async fn homelab(mut world: World, args: &[&str]) -> World {
    world.executor("one", "test-executor", &[]).await.unwrap();
    world.routing.default_to("one");
    world.coordinator(args).await.unwrap();
    world
}

async fn a_log_is_read_by_offset_while_and_after_it_is_written(world: World) {
    let world = homelab(world, &[]).await;
    let order = json!({"started": world.text_path("started"), "until": world.text_path("go")});
    let id = world.create(NewBead::task("hold", order)).await;
    world.file("started").await;
    let attempt = world.running(&id).await.attempt;
    let ygg = world.ygg();

    let path = format!("/api/attempts/{attempt}/log?offset=0&follow=true");
    let follow = ygg.get(&path);
    let release = async { world.write("go", "") };
    let (followed, ()) = tokio::join!(follow, release);
    let followed = followed.unwrap().text().await.unwrap();
    world.settled(&id).await;
    let whole = ygg.get(&format!("/api/attempts/{attempt}/log")).await.unwrap();
    let headers = whole.headers().clone();
    let part = ygg.get(&format!("/api/attempts/{attempt}/log?offset=4")).await.unwrap();

    assert_eq!(followed, "let go\n");
    assert_eq!(whole.text().await.unwrap(), "let go\n");
    assert_eq!(part.text().await.unwrap(), "go\n");
    assert_eq!(headers[protocol::log::SIZE], "7");
    assert_eq!(headers[protocol::log::ENDED], "true");
}

async fn a_key_closes_every_route_but_health(mut world: World) {
    world.executor("one", "test-executor", &[]).await.unwrap();
    world.routing.default_to("one");
    world.prepare_coordinator(&[]).unwrap();
    let daemon = world.daemon(e2e::world::COORDINATOR);
    daemon.spec_mut().env.insert("API_KEYS".into(), "first, second".into());
    world.start(e2e::world::COORDINATOR).await.unwrap();
    let ygg = world.ygg();

    for path in ["/api/plan", "/api/beads/hl-1", "/api/attempts/x", "/nothing"] {
        let status = ygg.get(path).await.unwrap().status();
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{path}");
    }
    for (name, value) in [("X-API-Key", "second"), ("Authorization", "Bearer first")] {
        let (status, body) = ygg.post_with("/poll", &Value::Null, &[(name, value)]).await.unwrap();
        assert!(status.is_success(), "{name}: {status} {body}");
    }
    let (status, _) =
        ygg.post_with("/poll", &Value::Null, &[("X-API-Key", "third")]).await.unwrap();
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert_eq!(ygg.get("/health").await.unwrap().status(), StatusCode::OK);
}

async fn a_nudge_finds_what_was_written(world: World) {
    let world = homelab(world, &["--poll-interval", "1h"]).await;

    let id = world.create(NewBead::task("echo", json!({"text": "found"}))).await;
    world.ygg().nudge().await.unwrap();

    assert_eq!(world.settled(&id).await.status, "closed");
}

async fn health_and_plan_say_what_is_there(world: World) {
    let world = homelab(world, &[]).await;
    let plants = world.create(NewBead::titled("water the plants")).await;
    let order = json!({"started": world.text_path("started"), "until": world.text_path("go")});
    let id = world.create(NewBead::task("hold", order)).await;
    world.running(&id).await;

    let health = world.ygg().health().await.unwrap();
    let plan = world.ygg().plan().await.unwrap();

    let beads = health.beads.unwrap_or_default();
    assert!(beads.starts_with(&world.beads.cli.name), "{beads}");
    assert_eq!((health.runners.total, health.runners.online), (1, 1));
    assert_eq!(health.executors["one"].state, "up");
    assert_eq!(plan.attempts.iter().map(|one| one.bead.as_str()).collect::<Vec<_>>(), [&id]);
    assert!(!plan.beads.iter().any(|bead| bead.bead == plants));
    assert_eq!(plan.without_task_type, 1);
}

async fn unknown_things_are_told_in_json(world: World) {
    let world = homelab(world, &[]).await;
    let ygg = world.ygg();
    until("the beads are listed", LONG, async || ygg.plan().await.ok()?.listed).await;

    for path in
        ["/api/beads/hl-nothere", "/api/attempts/00000000-0000-7000-8000-000000000000", "/nowhere"]
    {
        let answer = ygg.get(path).await.unwrap();
        let status = answer.status();
        let body: Value = answer.json().await.unwrap();
        assert_eq!(status, StatusCode::NOT_FOUND, "{path}: {body}");
        assert!(body["error"].is_string(), "{path}: {body}");
    }
}
