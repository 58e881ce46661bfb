//! `make docs`: writes `docs/tasks.md` from what the three executors answer to `GET /status`.
//!
//! They are started with an empty `PATH`, so that each task names every tool it needs as missing,
//! and the text is the same on each machine. Without `--write` the file is only compared.

mod page;
mod params;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail, ensure};
use clap::Parser;
use daemon::exit::{Exit, report};
use daemon::shutdown::runtime;
use e2e::child::{Daemon, Spec, describe};
use e2e::http::{self, Asked};
use e2e::world::LONG;
use e2e::{ports, programs, sweep, until};
use protocol::executor::ExecutorStatus;

/// The executors, in the order of the page.
const EXECUTORS: [&str; 3] = ["fenrir", "surtr", "huginn"];

/// Compares docs/tasks.md with what the executors say of their tasks, or writes it anew.
#[derive(Debug, Parser)]
struct TaskDocs {
    /// Write the file.
    #[arg(long)]
    write: bool,
    /// The file.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/tasks.md"))]
    file: PathBuf,
}

fn main() -> ExitCode {
    let docs = TaskDocs::parse();
    let result = runtime(2).and_then(|runtime| {
        let result = runtime.block_on(docs.run());
        result.map_err(|error| Exit::software(format!("{error:#}")))
    });
    report("task-docs", result)
}

impl TaskDocs {
    async fn run(&self) -> anyhow::Result<()> {
        let folder = tempfile::Builder::new().prefix("ygg-docs-").tempdir()?;
        let mut all = Vec::new();
        for name in EXECUTORS {
            let status = status(name, folder.path()).await;
            all.push((name, status.with_context(|| format!("no status of {name}-executor"))?));
        }
        let page = page::render(&all)?;
        let file = self.file.display();
        if self.write {
            return fs::write(&self.file, page).with_context(|| format!("cannot write `{file}`"));
        }
        let now = fs::read_to_string(&self.file).unwrap_or_default();
        if let Some(line) = page::first_difference(&now, &page) {
            bail!("`{file}` is not what the executors say, from line {line} on; run `make docs`");
        }
        Ok(())
    }
}

/// Starts an executor on a machine without any program, and asks what it can.
async fn status(name: &str, folder: &Path) -> anyhow::Result<ExecutorStatus> {
    // The mark by which leftovers are found shows the real path.
    let folder = folder.canonicalize()?.join(name);
    let empty = folder.join("bin");
    fs::create_dir_all(&empty)?;
    let port = ports::free();
    let program = format!("{name}-executor");
    let args = ["--port".into(), port.to_string().into(), "--state-dir".into()];
    let files = ["state", "log"].map(|file| folder.join(file).into_os_string());
    let [state, log] = files;
    let env = [
        ("PATH", empty.into_os_string()),
        ("HOME", folder.clone().into()),
        (sweep::MARK, folder.clone().into()),
    ];
    let spec = Spec {
        program: programs::ours(&program),
        args: args.into_iter().chain([state, "--log-file".into(), log]).collect(),
        env: env.into_iter().map(|(key, value)| (key.into(), value)).collect(),
        cwd: folder.clone(),
        output: folder.join("out"),
    };
    let mut daemon = Daemon::new(&program, port, spec);
    let asked = Asked::new(&http::client(), daemon.url());
    daemon.spawn()?;
    let early = until(&format!("{program} answers"), LONG, async || match daemon.ended() {
        Some(status) => Some(Some(status)),
        None => asked.is_up().await.then_some(None),
    })
    .await;
    if let Some(status) = early {
        bail!("it ended at once with {}:\n{}", describe(status), daemon.tail(20));
    }
    let status = asked.status().await?;
    ensure!(status.executor == program, "`{}` answers in its place", status.executor);
    daemon.terminate();
    daemon.ends(LONG).await;
    Ok(status)
}
