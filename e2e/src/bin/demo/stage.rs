//! What the demo's homelab is made of: two projects, a playbook, a policy.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use daemon::process;
use e2e::{command, programs};

/// The folders and files that the beads speak of.
#[derive(Debug)]
pub(crate) struct Stage {
    /// The project whose tests pass and leave a report.
    pub(crate) lighthouse: PathBuf,
    /// The project whose tests fail.
    pub(crate) ship: PathBuf,
    /// Where the clones go.
    pub(crate) work: PathBuf,
    /// What the executors may do.
    pub(crate) policy: PathBuf,
    /// The playbook, where `ansible-playbook` is there.
    pub(crate) playbook: Option<String>,
}

const LIGHTHOUSE: &str = "\
test:
\t@mkdir -p reports
\t@echo 'lamp: ok' | tee reports/lamp.txt
\t@echo 'horn: ok' | tee reports/horn.txt
\t@echo '2 of 2 tests passed'
";

const SHIP: &str = "\
test:
\t@echo 'engine: ok'
\t@echo 'hull: water comes in at frame 12' >&2
\t@echo '1 of 2 tests failed' >&2
\t@exit 1
";

const PLAYBOOK: &str = "\
- name: Leave a note on this machine
  hosts: localhost
  connection: local
  gather_facts: false
  tasks:
    - name: Write the note
      ansible.builtin.copy:
        content: \"{{ text }}\\n\"
        dest: \"{{ dest }}\"
        mode: \"0644\"
";

impl Stage {
    /// Makes everything below `folder`.
    pub(crate) async fn set(folder: &Path) -> anyhow::Result<Self> {
        let home = folder.join("home");
        fs::create_dir_all(&home)?;
        // The identity of the commits that Fenrir makes here: its HOME is the demo's.
        fs::write(
            home.join(".gitconfig"),
            "[user]\n\tname = Fenrir of the demo\n\temail = fenrir@demo.invalid\n[init]\n\tdefaultBranch = main\n",
        )?;

        let lighthouse = project(folder, &home, "lighthouse", LIGHTHOUSE).await?;
        let ship = project(folder, &home, "ship", SHIP).await?;
        let work = folder.join("work");
        fs::create_dir_all(&work)?;

        let playbooks = folder.join("playbooks");
        fs::create_dir_all(&playbooks)?;
        let playbook = programs::find("ansible-playbook").is_some().then(|| "note.yml".to_owned());
        fs::write(playbooks.join("note.yml"), PLAYBOOK)?;

        let policy = folder.join("policy.yaml");
        let text = format!(
            "allow:\n  commands: [sleep]\n  playbooks: {}\n  paths: [{}]\n",
            playbooks.display(),
            work.display()
        );
        fs::write(&policy, text)?;
        Ok(Self { lighthouse, ship, work, policy, playbook })
    }
}

/// Makes a project of one Makefile in a git repository with an identity of its own.
async fn project(
    folder: &Path,
    home: &Path,
    name: &str,
    makefile: &str,
) -> anyhow::Result<PathBuf> {
    let place = folder.join("projects").join(name);
    fs::create_dir_all(&place)?;
    fs::write(place.join("Makefile"), makefile)?;
    fs::write(place.join("README.md"), format!("# {name}\n\nA project of the demo.\n"))?;
    for args in [
        ["init", "--quiet", "--initial-branch=main"].as_slice(),
        &["config", "user.name", "Demo"],
        &["config", "user.email", "demo@demo.invalid"],
        &["add", "--all"],
        &["commit", "--quiet", "--message", "The first light"],
    ] {
        let git = programs::find("git").context("git is not on PATH")?;
        let git = process::Command::new(git)
            .args(args)
            .cwd(&place)
            .env("PATH", programs::path())
            .env("HOME", home)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .limit(Duration::from_mins(1));
        command::run(git).await?.done().with_context(|| format!("git {args:?}"))?;
    }
    Ok(place)
}
