//! `make previous`: records what this version leaves behind, for the tests of the next one.
//!
//! Into `e2e/previous/` go the commit, a coordinator's ledger with ended attempts and one that was
//! running, an executor's spool in which that one never ended, a ledger with runners, their tasks,
//! a session and a key, and one file for each message on the wire. `tests/previous.rs` starts the
//! newest programs on them.

mod registered;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use daemon::exit::{Exit, report};
use daemon::process;
use daemon::shutdown::runtime;
use daemon::store::sql::Connection;
use e2e::world::COORDINATOR;
use e2e::{NewBead, World, command, programs};
use serde_json::{Value, json};

/// Records a ledger, a spool and the messages of this version.
#[derive(Debug, Parser)]
struct Record {
    /// The folder; what is in it is replaced.
    #[arg(long, default_value = "e2e/previous")]
    out: PathBuf,
}

fn main() -> ExitCode {
    let record = Record::parse();
    let result = runtime(2).and_then(|runtime| {
        runtime.block_on(record.run()).map_err(|error| Exit::software(format!("{error:#}")))
    });
    report("record", result)
}

impl Record {
    async fn run(&self) -> anyhow::Result<()> {
        let commit = commit().await?;
        let mut world = World::any().await.map_err(anyhow::Error::msg)?;
        world.executor("one", "test-executor", &[]).await?;
        world.routing.default_to("one");
        world.coordinator(&[]).await?;
        let messages = self.fresh("messages")?;

        let done = world.create(NewBead::task("echo", json!({"text": "recorded"}))).await;
        let failed = world.create(NewBead::task("fail", json!({"text": "recorded too"}))).await;
        world.settled(&done).await;
        world.settled(&failed).await;
        let order = json!({"started": world.text_path("started"), "until": world.text_path("go")});
        let running = world.create(NewBead::task("hold", order)).await;
        world.running(&running).await;
        on_the_wire(&world, &messages, &[&done, &failed, &running]).await?;

        world.daemon(COORDINATOR).terminate();
        world.daemon(COORDINATOR).ends(Duration::from_secs(30)).await;
        world.kill("one");
        for (name, state) in [("ledger", COORDINATOR), ("spool", "one")] {
            let to = self.fresh(name)?;
            copy(&world.path("state").join(state), &to)?;
            fold(&to)?;
        }

        let mut world = World::any().await.map_err(anyhow::Error::msg)?;
        registered::record(&mut world, &messages).await?;
        let to = self.fresh("registered")?;
        copy(&world.path("state").join(COORDINATOR), &to)?;
        fold(&to)?;
        fs::write(self.out.join("commit"), format!("{commit}\n"))?;
        Ok(())
    }

    fn fresh(&self, name: &str) -> anyhow::Result<PathBuf> {
        let folder = self.out.join(name);
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir_all(&folder)
            .with_context(|| format!("cannot make `{}`", folder.display()))?;
        Ok(folder)
    }
}

async fn commit() -> anyhow::Result<String> {
    let git = programs::find("git").context("git is not on PATH")?;
    let git = process::Command::new(git)
        .args(["rev-parse", "HEAD"])
        .cwd(std::env::current_dir()?)
        .env("PATH", programs::path())
        .limit(Duration::from_secs(30));
    Ok(command::run(git).await?.done()?.trim().to_owned())
}

/// Writes one message down.
fn write(folder: &Path, name: &str, message: &Value) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(message)?;
    fs::write(folder.join(format!("{name}.json")), text + "\n")?;
    Ok(())
}

/// Asks for each message once and writes it down as it came.
async fn on_the_wire(world: &World, folder: &Path, beads: &[&str]) -> anyhow::Result<()> {
    let (one, ygg) = (world.ask("one"), world.ygg());
    let write = |name: &str, message: &Value| write(folder, name, message);
    write("executor-health", &one.json("/health").await?)?;
    write("executor-status", &one.json("/status").await?)?;
    write("executor-attempts", &one.json("/attempts").await?)?;

    let order = json!({"task_id": "by hand", "type": "echo", "params": {"text": "hi"}});
    write("execute", &order)?;
    write("outcome", &one.post("/execute", &order).await?.1)?;
    let (_, started) = one.post_with("/execute", &order, &[("Prefer", "respond-async")]).await?;
    let attempt = started["attempt"].as_str().context("an attempt has an id")?.to_owned();
    write("started", &started)?;
    write("executor-attempt", &one.json(&format!("/attempts/{attempt}?wait=10")).await?)?;
    let unknown = json!({"task_id": "by hand", "type": "ecko"});
    write("refusal", &one.post("/execute", &unknown).await?.1)?;

    write("coordinator-health", &ygg.json("/health").await?)?;
    write("plan", &ygg.json("/api/plan").await?)?;
    for (name, id) in ["bead-done", "bead-failed", "bead-running"].into_iter().zip(beads) {
        let bead: Value = ygg.json(&format!("/api/beads/{id}")).await?;
        let attempt = bead["attempts"][0]["attempt"].as_str().context("it has an attempt")?;
        let detail: Value = ygg.json(&format!("/api/attempts/{attempt}")).await?;
        write(name, &bead)?;
        write(&name.replace("bead", "attempt"), &detail)?;
    }
    write("coordinator-error", &ygg.get("/api/attempts/none").await?.json().await?)
}

/// Makes one file of each database and its write-ahead log.
fn fold(folder: &Path) -> anyhow::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|end| end == "db" || end == "sqlite") {
            let database = Connection::open(&path)?;
            database.pragma_update(None, "journal_mode", "delete")?;
            database.execute_batch("VACUUM")?;
        }
    }
    Ok(())
}

/// Copies the files of a state folder, without the lock.
fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            fs::create_dir_all(&target)?;
            copy(&entry.path(), &target)?;
        } else if !entry.file_name().to_string_lossy().contains("lock") {
            fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}
