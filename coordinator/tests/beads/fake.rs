//! A workspace with a program that answers from a script.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;
use yggdrasil_coordinator::beads::{BeadId, Beads, BeadsError, BeadsSettings, Claim, ClaimAnswer};

pub(crate) const ME: &str = "coord/box/1";
pub(crate) const ATTEMPT: Uuid = Uuid::from_u128(0x0193_aaaa_0000_7000_8000_0000_0000_0001);
pub(crate) const OTHER: Uuid = Uuid::from_u128(0x0193_aaaa_0000_7000_8000_0000_0000_0002);

const METADATA: &str = r#"{"database":"dolt","dolt_mode":"embedded","dolt_database":"hl"}"#;

/// One answer of the fake.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reply {
    rule: BTreeMap<&'static str, Value>,
}

impl Reply {
    pub(crate) fn json(value: &Value) -> Self {
        Self::default().with("stdout", json!(format!("{value:#}\n")))
    }

    pub(crate) fn text(stdout: &str) -> Self {
        Self::default().with("stdout", json!(stdout))
    }

    pub(crate) fn error(exit: i32, stderr: &str) -> Self {
        Self::default().with("exit", json!(exit)).with("stderr", json!(stderr))
    }

    /// The recorded answer of a real program, with `run_id` as the stamp that we use.
    pub(crate) fn recorded(name: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts").join(name);
        let text = fs::read_to_string(path.with_added_extension("json")).unwrap();
        let case: Value = serde_json::from_str(&text).unwrap();
        let stdout = case["stdout"].as_str().unwrap().replace("\"run_id\"", "\"ygg_attempt\"");
        Self::text(&stdout)
            .with("stderr", case["stderr"].clone())
            .with("exit", case["exit"].clone())
    }

    pub(crate) fn hang() -> Self {
        Self::default().with("hang", json!(true))
    }

    pub(crate) fn stderr(self, stderr: &str) -> Self {
        self.with("stderr", json!(stderr))
    }

    pub(crate) fn sleep(self, seconds: f64) -> Self {
        self.with("sleep", json!(seconds))
    }

    /// Answers only once this file is there.
    pub(crate) fn until(self, file: &Path) -> Self {
        self.with("until", json!(file))
    }

    /// Used up after this many answers.
    pub(crate) fn times(self, times: u32) -> Self {
        self.with("times", json!(times))
    }

    fn with(mut self, key: &'static str, value: Value) -> Self {
        self.rule.insert(key, value);
        self
    }
}

/// One line of the fake's journal.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Entry {
    pub(crate) event: String,
    pub(crate) pid: u32,
    #[serde(default)]
    pub(crate) argv: Vec<String>,
    #[serde(default)]
    pub(crate) stdin: String,
    #[serde(default)]
    pub(crate) files: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) env: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) cwd: PathBuf,
    #[serde(default)]
    pub(crate) child: u32,
}

impl Entry {
    pub(crate) fn line(&self) -> String {
        self.argv.join(" ")
    }
}

pub(crate) struct Fake {
    pub(crate) folder: tempfile::TempDir,
    rules: Vec<Value>,
    next: u32,
    pub(crate) settings: BeadsSettings,
}

impl Fake {
    /// A fake that is `bd` of a version with these flags in its help. `None`, said aloud, where
    /// there is no Python to run it.
    pub(crate) fn bd(version: &str, help: &[(&str, &str)]) -> Option<Self> {
        let mut fake = Self::new("bd", ".beads")?;
        fs::write(fake.store().join("metadata.json"), METADATA).unwrap();
        let manifest = fake.store().join("embeddeddolt/hl/.dolt/noms/manifest");
        fs::create_dir_all(manifest.parent().unwrap()).unwrap();
        fs::write(&manifest, "5:__DOLT__:one").unwrap();
        fake.on(&["version"], Reply::json(&json!({"version": version, "schema_version": 1})));
        for (command, flags) in help {
            fake.on(&[command, "--help"], Reply::text(flags));
        }
        fake.on(&["--help"], Reply::text("Usage:\n"));
        Some(fake)
    }

    /// `bd` 1.0.5.
    pub(crate) fn now() -> Option<Self> {
        Self::bd("1.0.5", &[("close", "--reason-file string")])
    }

    /// `bd` 1.0.3.
    pub(crate) fn old() -> Option<Self> {
        Self::bd("1.0.3", &[])
    }

    /// `bd` 1.3.1.
    pub(crate) fn new_with_guards() -> Option<Self> {
        let guards = "--if-assignee string\n--if-status string";
        let help = [
            ("update", guards),
            ("close", "--reason-file string"),
            ("unclaim", "--if-assignee s"),
            ("heartbeat", "bd heartbeat"),
        ];
        Self::bd("1.3.1", &help)
    }

    pub(crate) fn mb() -> Option<Self> {
        let mut fake = Self::new("mb", ".minibeads")?;
        fs::create_dir_all(fake.store().join("issues")).unwrap();
        fake.on(&["version"], Reply::text("mb version 0.25.0\n"));
        Some(fake)
    }

    fn new(name: &str, store: &str) -> Option<Self> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let python = daemon::process::find_program("python3".as_ref(), Some(&path));
        if python.is_none() {
            eprintln!("skipped: the scripted Beads program: no python3 on PATH");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let bin = folder.path().join("bin");
        fs::create_dir_all(&bin).unwrap();
        // A link, since a program that was just written may be busy.
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/beads/fake_bd.py");
        symlink(script.canonicalize().unwrap(), bin.join(name)).unwrap();
        fs::create_dir_all(folder.path().join("work").join(store)).unwrap();
        // The system's own folders first: a `python3` that is a wrapper would be slow.
        let folders = [bin.clone(), "/usr/bin".into(), "/bin".into()];
        let path = std::env::join_paths(folders.into_iter().chain(std::env::split_paths(&path)));
        let settings = BeadsSettings {
            program: Some(bin.join(name)),
            beads_dir: Some(folder.path().join("work")),
            actor: ME.to_owned(),
            home: folder.path().join("state"),
            path: Some(path.unwrap()),
            user_home: None,
            passthrough: BTreeMap::new(),
            limit: Duration::from_secs(20),
        };
        fs::write(bin.join("script.json"), "[]").unwrap();
        Some(Self { folder, rules: Vec::new(), next: 0, settings })
    }

    pub(crate) fn store(&self) -> PathBuf {
        let work = self.folder.path().join("work");
        [".minibeads", ".beads"].iter().map(|n| work.join(n)).find(|f| f.is_dir()).unwrap()
    }

    /// Adds a rule behind the others.
    pub(crate) fn on(&mut self, words: &[&str], reply: Reply) {
        let number = self.next;
        self.next += 1;
        self.rules.push(rule(words, reply, number));
        self.write();
    }

    /// Puts a rule in the place of those with the same words.
    pub(crate) fn replace(&mut self, words: &[&str], reply: Reply) {
        self.rules.retain(|rule| rule["words"] != json!(words));
        self.on(words, reply);
    }

    /// Answers a question for several ids with their beads, unless the poisoned one is among them.
    pub(crate) fn poison(&mut self, words: &[&str], poison: &str, reply: &Reply) {
        self.on(words, reply.clone().with("poison", json!(poison)));
    }

    fn write(&self) {
        let path = self.folder.path().join("bin/script.json");
        // Replaced whole: a program may be reading it.
        let new = path.with_extension("new");
        fs::write(&new, json!(self.rules).to_string()).unwrap();
        fs::rename(new, path).unwrap();
    }

    pub(crate) async fn try_open(&self) -> Result<Beads, BeadsError> {
        Beads::open(self.settings.clone()).await
    }

    pub(crate) async fn open(&self) -> Beads {
        self.try_open().await.unwrap()
    }

    /// Every command that was started on the store, in order.
    pub(crate) fn started(&self) -> Vec<Entry> {
        let about_itself = |entry: &Entry| {
            let line = entry.line();
            line.starts_with("version") || line.ends_with("--help")
        };
        let journal = self.journal().into_iter();
        journal.filter(|entry| entry.event == "start" && !about_itself(entry)).collect()
    }

    /// The lines of those commands.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.started().iter().map(Entry::line).collect()
    }

    pub(crate) fn journal(&self) -> Vec<Entry> {
        let path = self.folder.path().join("bin/journal.jsonl");
        let text = fs::read_to_string(path).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

fn rule(words: &[&str], reply: Reply, number: u32) -> Value {
    let mut rule: Map<_, _> =
        reply.rule.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    rule.insert("number".to_owned(), json!(number));
    rule.insert("words".to_owned(), json!(words));
    rule.into()
}

pub(crate) fn id(text: &str) -> BeadId {
    BeadId::parse(text).unwrap()
}

/// An open bead, changed by what is given.
pub(crate) fn bead(id: &str, changes: &Value) -> Value {
    let mut bead = json!({
        "id": id, "title": "a bead", "status": "open", "priority": 2, "issue_type": "task",
        "created_at": "2026-11-21T09:37:10Z", "updated_at": "2026-11-21T09:37:12Z",
        "metadata": {"task_type": "run-tests"},
    });
    for (key, value) in changes.as_object().into_iter().flatten() {
        bead[key] = value.clone();
    }
    bead
}

/// A bead that an attempt of ours has.
pub(crate) fn taken(id: &str, attempt: Uuid) -> Value {
    bead(
        id,
        &json!({
            "status": "in_progress", "assignee": ME,
            "metadata": {"task_type": "run-tests", "ygg_attempt": attempt},
        }),
    )
}

/// The same, with more changed.
pub(crate) fn ours(id: &str, changes: &Value) -> Value {
    let mut bead = taken(id, ATTEMPT);
    for (key, value) in changes.as_object().into_iter().flatten() {
        bead[key] = value.clone();
    }
    bead
}

/// Claims `hl-1`, which the fake must allow.
pub(crate) async fn claim(beads: &Beads) -> Claim {
    match beads.claim(&id("hl-1"), ATTEMPT).await.unwrap() {
        ClaimAnswer::Won(claim, _) => claim,
        ClaimAnswer::Lost { by } => panic!("lost to {by}"),
    }
}

/// The line of the claim, for [`Fake::on`].
pub(crate) const CLAIM: [&str; 2] = ["update", "--claim"];

/// Waits for a condition.
pub(crate) async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let wait = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let limit = tokio::time::timeout(Duration::from_secs(20), wait);
    limit.await.unwrap_or_else(|_| panic!("waited in vain: {what}"));
}

pub(crate) fn is_alive(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // A zombie has ended, whoever has yet to notice.
    !stat.is_empty() && !stat.rsplit(')').next().unwrap_or_default().starts_with(" Z")
}
