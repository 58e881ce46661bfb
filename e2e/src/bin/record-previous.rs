//! Records what this version leaves on disk and says on the wire, for the versions after it.
//!
//! Writes `e2e/previous`: the commit, a ledger, a spool and the messages. `e2e/tests/previous.rs`
//! proves that today's programs still read all of it.
#![expect(clippy::print_stdout, reason = "a program for people")]

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use daemon::process::Command;
use e2e::{NewBead, World, programs};
use serde_json::{Value, json};
use uuid::Uuid;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    drop(rustls::crypto::ring::default_provider().install_default());
    let target = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("previous");
    let mut world = World::any().await.map_err(anyhow::Error::msg)?;
    world.executor("one", "test-executor", &[]).await?;
    world.routing.default_to("one");
    world.coordinator(&[]).await?;
    let wire = target.join("wire");
    if target.exists() {
        fs::remove_dir_all(&target)?;
    }
    fs::create_dir_all(&wire)?;
    record(&world, &wire).await?;
    let state = world.folder().join("state");
    world.stop().await;
    copy(&state.join("coordinator/ledger.sqlite"), &target.join("ledger.sqlite"))?;
    copy(&state.join("one/spool.db"), &target.join("spool.db"))?;
    copy_folder(&state.join("one/logs"), &target.join("logs"))?;
    let git =
        Command::new("git").args(["rev-parse", "HEAD"]).cwd(&target).env("PATH", programs::path());
    fs::write(target.join("commit"), e2e::command::run(git).await?.done()?)?;
    println!("recorded {}", target.display());
    Ok(())
}

/// One bead of each end, and every message that the programs exchange about them.
async fn record(world: &World, wire: &Path) -> anyhow::Result<()> {
    let good = world.create(NewBead::task("echo", json!({"text": "from the last version"}))).await;
    let bad = world.create(NewBead::task("fail", json!({"text": "on purpose", "code": 7}))).await;
    for id in [&good, &bad] {
        world.settled(id).await;
    }
    let attempt = world.why(&good).await.attempts.pop().context("no attempt")?.attempt;
    let (one, ygg) = (world.ask("one"), world.ygg());
    let mut request = json!({
        "task_id": "by-hand", "type": "echo", "params": {"text": "by hand"},
        "attempt": Uuid::now_v7(), "timeout_seconds": 60, "ledger": Uuid::nil(), "epoch": 1
    });
    let (status, outcome) = one.post("/execute", &request).await?;
    ensure!(status == 200, "{outcome}");
    save(wire, "execute-request", &request)?;
    save(wire, "outcome", &outcome)?;
    request["type"] = json!("ecko");
    request["attempt"] = json!(Uuid::now_v7());
    let (_, refusal) = one.post("/execute", &request).await?;
    save(wire, "refusal", &refusal)?;
    for (name, path) in [
        ("executor-health", "/health".to_owned()),
        ("executor-status", "/status".to_owned()),
        ("attempts", "/attempts".to_owned()),
        ("attempt", format!("/attempts/{attempt}")),
    ] {
        save(wire, name, &one.json::<Value>(&path).await?)?;
    }
    for (name, path) in [
        ("coordinator-health", "/health".to_owned()),
        ("plan", "/api/plan".to_owned()),
        ("bead", format!("/api/beads/{bad}")),
        ("attempt-detail", format!("/api/attempts/{attempt}")),
    ] {
        save(wire, name, &ygg.json::<Value>(&path).await?)?;
    }
    Ok(())
}

fn save(wire: &Path, name: &str, message: &Value) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(message)? + "\n";
    fs::write(wire.join(format!("{name}.json")), text)
        .with_context(|| format!("cannot save {name}"))
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    let left = from.with_extension("sqlite-wal");
    ensure!(!left.exists(), "{} was not closed cleanly", from.display());
    fs::copy(from, to).with_context(|| format!("cannot copy {}", from.display()))?;
    Ok(())
}

fn copy_folder(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        fs::copy(entry.path(), to.join(entry.file_name()))?;
    }
    Ok(())
}
