//! What registered at the runner API, and who may: into a ledger of its own.

use std::path::Path;

use anyhow::ensure;
use e2e::World;
use e2e::world::COORDINATOR;
use serde_json::{Value, json};

/// The key that the record's rotation puts in the place of all others; the test knows it too.
const KEY: &str = "the-key-of-the-record";
const ADMIN: &str = "the-admin-key-of-the-record";
/// Whoever registered is believed for a day, so that the record shows nobody as lost.
const LEASE: u64 = 86_400_000;

/// What is asked for, and compared by the test of the next version.
const SHOWN: [(&str, &str); 5] = [
    ("runner-ratatoskr", "/api/runners/recorded"),
    ("runner-host", "/api/runners/host"),
    ("runner-tasks", "/runners/recorded/tasks"),
    ("sessions", "/api/v1/sessions"),
    ("realms", "/api/v1/realms"),
];

/// Registers one of each kind, and writes down how they are shown.
pub(crate) async fn record(world: &mut World, messages: &Path) -> anyhow::Result<()> {
    world.prepare_coordinator(&[])?;
    let env = &mut world.daemon(COORDINATOR).spec_mut().env;
    env.insert("ADMIN_API_KEY".into(), ADMIN.into());
    world.start(COORDINATOR).await?;

    for (path, body) in [
        (
            "/runners/register",
            json!({"runnerId": "recorded", "name": "box", "version": "0.3.8",
            "capabilities": ["exec", "http"], "labels": {"room": "attic"}, "leaseTtlMs": LEASE,
            "resources": {"cpu": {"load1": 0.1, "load5": 0.2, "load15": 0.3, "cpus": 2, "percent": 4.5},
                "memory": {"total": 1000, "used": 400, "free": 600, "percent": 40}, "uptime": 60}}),
        ),
        (
            "/runners/register",
            json!({"runnerId": "host", "leaseTtlMs": LEASE,
            "realmTemplates": [{"id": "ubuntu-24", "type": "ubuntu"}]}),
        ),
        (
            "/runners/recorded/tasks",
            json!({"taskId": "runs", "type": "exec", "correlationId": "c-1",
            "metadata": {"command": "true"}}),
        ),
        (
            "/runners/recorded/tasks",
            json!({"taskId": "ended", "type": "exec", "status": "completed",
            "metadata": {"exitCode": 0, "stdout": "done\n"}}),
        ),
        ("/runners/recorded/request-update", json!({"version": "9.9.9", "command": "update"})),
        (
            "/api/v1/realms/register",
            json!({"realmId": "realm-1", "runnerId": "host",
            "template": "ubuntu", "endpoints": {"observation": "http://h/capture", "input": "http://h"}}),
        ),
        ("/api/v1/sessions", json!({"type": "computer-use", "ownerId": "somebody"})),
    ] {
        post(world, path, &body, &[]).await?;
    }
    for (name, path) in SHOWN {
        super::write(messages, name, &world.ygg().json(path).await?)?;
    }
    let admin = [("X-Admin-Api-Key", ADMIN)];
    post(world, "/api/admin/expected-version", &json!({"version": "9.9.9"}), &admin).await?;
    post(world, "/api/admin/api-keys/rotate", &json!({"newApiKey": KEY}), &admin).await?;
    world.daemon(COORDINATOR).terminate();
    world.daemon(COORDINATOR).ends(std::time::Duration::from_secs(30)).await;
    Ok(())
}

async fn post(
    world: &World,
    path: &str,
    body: &Value,
    headers: &[(&str, &str)],
) -> anyhow::Result<()> {
    let (status, answer) = world.ygg().post_with(path, body, headers).await?;
    ensure!(status.is_success(), "POST {path}: {status}: {answer}");
    Ok(())
}
