//! The real programs that are found, and a store for each test.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use daemon::process::{Captured, Command, ExitKind, capture};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use yggdrasil_coordinator::beads::{
    Adoption, BeadId, Beads, BeadsSettings, Claim, ClaimAnswer, Listing,
};

use super::fake::id;

/// One real program.
#[derive(Debug, Clone)]
pub(crate) struct Cli {
    pub(crate) name: &'static str,
    pub(crate) program: PathBuf,
}

/// Every program of this name on `PATH` and in the folders of `YGG_TEST_BD_PATH`.
pub(crate) fn found(name: &'static str) -> Vec<Cli> {
    let more = std::env::var_os("YGG_TEST_BD_PATH").unwrap_or_default();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut programs: Vec<PathBuf> = Vec::new();
    let folders = std::env::split_paths(&more).chain(std::env::split_paths(&path));
    // A relative folder counts from wherever the test happens to run.
    for folder in folders.filter(|folder| folder.is_absolute()) {
        let program = daemon::process::find_program(name.as_ref(), Some(folder.as_os_str()));
        if let Some(program) = program.and_then(|program| program.canonicalize().ok())
            && !programs.contains(&program)
        {
            programs.push(program);
        }
    }
    programs.into_iter().map(|program| Cli { name, program }).collect()
}

/// Runs a test on every program of a name, or says that there is none.
pub(crate) async fn on_each<F: Future<Output = ()>>(
    name: &'static str,
    test: &str,
    run: impl Fn(World) -> F,
) {
    let programs = found(name);
    if programs.is_empty() {
        eprintln!("skipped: {test}: no real `{name}` on PATH or in YGG_TEST_BD_PATH");
    }
    for cli in programs {
        run(World::new(cli).await).await;
    }
}

/// A store of its own, and a person who uses it beside us.
pub(crate) struct World {
    pub(crate) cli: Cli,
    pub(crate) folder: tempfile::TempDir,
}

impl World {
    async fn new(cli: Cli) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("home")).unwrap();
        let world = Self { cli, folder };
        let template = world.template().await;
        copy(&template, &world.workspace()).unwrap();
        world
    }

    pub(crate) fn is_bd(&self) -> bool {
        self.cli.name == "bd"
    }

    pub(crate) fn workspace(&self) -> PathBuf {
        self.folder.path().join("work")
    }

    pub(crate) fn store(&self) -> PathBuf {
        self.workspace().join(if self.is_bd() { ".beads" } else { ".minibeads" })
    }

    /// A fresh store of this very program, made once: `bd init` takes longer than most tests.
    async fn template(&self) -> PathBuf {
        static MAKING: Mutex<()> = Mutex::const_new(());
        let _one_at_a_time = MAKING.lock().await;
        let meta = fs::metadata(&self.cli.program).unwrap();
        let name = format!("{}-{}-{}-{}", self.cli.name, meta.len(), meta.mtime(), meta.ino());
        let template = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        if !template.is_dir() {
            let making = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
            let init: &[&str] = if self.is_bd() {
                &["init", "-p", "hl", "--skip-agents", "--skip-hooks", "-q"]
            } else {
                &["init", "-p", "hl"]
            };
            let command = self.command(init).cwd(making.path());
            check(&run(command).await, init);
            let store = self.store();
            let store = Path::new(store.file_name().unwrap());
            let ready = making.path().join("ready");
            copy(&making.path().join(store), &ready.join(store)).unwrap();
            // Another test binary may have been faster.
            if fs::rename(&ready, &template).is_err() {
                assert!(template.is_dir());
            }
        }
        template
    }

    fn command(&self, args: &[&str]) -> Command {
        let path = std::env::var_os("PATH").unwrap_or_default();
        Command::new(&self.cli.program)
            .args(args)
            .env("HOME", self.folder.path().join("home"))
            .env("PATH", path)
            .env("TZ", "UTC")
            .env("NO_COLOR", "1")
            .env("BD_NON_INTERACTIVE", "1")
            .limit(Duration::from_mins(1))
    }

    /// What a person types in the workspace; it must work.
    pub(crate) async fn person(&self, args: &[&str]) -> String {
        let captured = self.person_may_fail(args).await;
        check(&captured, args);
        String::from_utf8(captured.stdout).unwrap()
    }

    pub(crate) async fn person_may_fail(&self, args: &[&str]) -> Captured {
        let store = self.store();
        run(self.command(args).env("BEADS_DIR", store).cwd(self.workspace())).await
    }

    /// A bead with a task, as a person writes it.
    pub(crate) async fn create(&self, title: &str, more: &[&str]) -> BeadId {
        let order: &[&str] = if self.is_bd() {
            &["--metadata", r#"{"task_type":"x","params":{"n":1}}"#]
        } else {
            &["-l", "task:x"]
        };
        let said = self.person(&[&["create", title, "--json"], order, more].concat()).await;
        let json: serde_json::Value = serde_json::from_str(&said).unwrap();
        id(json["id"].as_str().unwrap())
    }

    pub(crate) fn settings(&self) -> BeadsSettings {
        BeadsSettings {
            program: Some(self.cli.program.clone()),
            beads_dir: Some(self.workspace()),
            actor: "yggdrasil/box/0193".to_owned(),
            home: self.folder.path().join("state"),
            path: std::env::var_os("PATH"),
            user_home: None,
            passthrough: BTreeMap::<OsString, OsString>::new(),
            limit: Duration::from_mins(1),
        }
    }

    pub(crate) async fn open(&self) -> Beads {
        Beads::open(self.settings()).await.unwrap()
    }

    /// Another coordinator on the same store.
    pub(crate) async fn open_as(&self, actor: &str) -> Beads {
        Beads::open(BeadsSettings { actor: actor.to_owned(), ..self.settings() }).await.unwrap()
    }
}

fn check(captured: &Captured, args: &[&str]) {
    assert_eq!(
        captured.ended.exit,
        ExitKind::Code(0),
        "{args:?}: {}{}",
        String::from_utf8_lossy(&captured.stdout),
        String::from_utf8_lossy(&captured.stderr)
    );
}

async fn run(command: Command) -> Captured {
    capture(command, 64 * 1024 * 1024, &CancellationToken::new()).await.unwrap()
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    fs::set_permissions(to, fs::metadata(from)?.permissions())?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// The ids that are ready, in order.
pub(crate) async fn ready(beads: &Beads) -> Vec<BeadId> {
    let listing: Listing<BeadId> = beads.ready(|bead| Some(bead.id)).await.unwrap();
    assert!(listing.poisoned.is_empty(), "{:?}", listing.poisoned);
    assert_eq!(listing.unreadable, 0);
    let mut ids = listing.items;
    ids.sort();
    ids
}

/// Claims for a new attempt, which must be won.
pub(crate) async fn claim(beads: &Beads, id: &BeadId) -> Claim {
    match beads.claim(id, Uuid::now_v7()).await.unwrap() {
        ClaimAnswer::Won(claim, bead) => {
            assert_eq!((&bead.id, bead.attempt()), (id, Some(claim.attempt())));
            claim
        }
        ClaimAnswer::Lost { by } => panic!("{id} was lost to {by}"),
    }
}

/// Adopts, which must work.
pub(crate) async fn adopt(beads: &Beads, id: &BeadId, attempt: Uuid) -> Claim {
    match beads.adopt(id, attempt).await.unwrap() {
        Adoption::Ours(claim, _) => claim,
        other => panic!("{other:?}"),
    }
}
