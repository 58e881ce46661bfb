//! The node owner's word on what may run here: `policy.yaml`.
//!
//! ```yaml
//! allow:
//!   commands: [uptime, /usr/local/bin/backup]   # run-command; none when absent
//!   playbooks: /etc/yggdrasil/playbooks         # run-playbook; none when absent
//!   paths: [/srv/repos]                         # what tasks read and write; all when absent
//!   services: [plex, backup.timer]              # units that tasks restart; none when absent
//!   test_commands: ["make check"]               # own commands of run-tests; none when absent
//!   vault_password: secret:ansible-vault        # or a file; for run-playbook
//!   update_commands: ["apt-get install -y surtr"]   # that a coordinator may send; none when absent
//! ```
//! Without the file it is the same as with an empty one. The coordinator cannot widen it.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::Ask;
use crate::node::Environment;
use crate::yaml::{self, YamlError};

mod paths;
#[cfg(test)]
mod tests;
mod vault;

pub(crate) use paths::below;
pub(crate) use vault::VaultPassword;

/// What may run on this node.
#[derive(Debug, Clone, Default)]
pub(crate) struct Policy {
    /// The file it came from; without one only the defaults hold.
    file: Option<PathBuf>,
    /// For tests of authors: commands, paths and test commands are all allowed.
    everything: bool,
    allow: Allow,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(default)]
    allow: Allow,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Allow {
    commands: Vec<String>,
    playbooks: Option<PathBuf>,
    paths: Option<Vec<PathBuf>>,
    services: Vec<String>,
    test_commands: Vec<TestCommand>,
    vault_password: Option<VaultPassword>,
    update_commands: Vec<String>,
}

/// A test command as the owner writes it: a text split at blanks, or a list of arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
struct TestCommand(Vec<String>);

impl<'de> Deserialize<'de> for TestCommand {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Words;
        impl<'de> serde::de::Visitor<'de> for Words {
            type Value = TestCommand;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a command as a text or as a list of its arguments")
            }

            fn visit_str<E>(self, text: &str) -> Result<TestCommand, E> {
                Ok(TestCommand(text.split_whitespace().map(str::to_owned).collect()))
            }

            fn visit_seq<A: serde::de::SeqAccess<'de>>(
                self,
                mut list: A,
            ) -> Result<TestCommand, A::Error> {
                let mut words = Vec::new();
                while let Some(word) = list.next_element()? {
                    words.push(word);
                }
                Ok(TestCommand(words))
            }
        }
        deserializer.deserialize_any(Words)
    }
}

/// Why the policy cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PolicyError {
    #[error("cannot read the policy `{path}`")]
    Read { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Text(#[from] YamlError),
    #[error("{path}: `{rule}` must be {expected}, found `{found}`")]
    Rule { path: String, rule: String, expected: &'static str, found: String },
}

/// What the policy does not allow, with the rule that says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Forbidden {
    pub(crate) error: String,
    pub(crate) hint: String,
}

impl Policy {
    /// Reads the policy. A file that may be absent is the default of its setting.
    pub(crate) fn load(path: &Path, may_be_absent: bool) -> Result<Self, PolicyError> {
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(&text, path),
            Err(error) if may_be_absent && error.kind() == io::ErrorKind::NotFound => {
                Ok(Self::default())
            }
            Err(source) => Err(PolicyError::Read { path: path.to_owned(), source }),
        }
    }

    /// Returns one that allows every command, path and test command, for the tests of authors.
    pub(crate) fn everything() -> Self {
        Self { everything: true, ..Self::default() }
    }

    /// Returns one that allows every command and unit, but paths only below one folder, and
    /// playbooks only from another.
    pub(crate) fn everything_below(paths: PathBuf, playbooks: PathBuf) -> Self {
        let (paths, playbooks) = (Some(vec![paths]), Some(playbooks));
        Self { allow: Allow { playbooks, paths, ..Allow::default() }, ..Self::everything() }
    }

    /// Parses the text of `path`.
    pub(crate) fn parse(text: &str, path: &Path) -> Result<Self, PolicyError> {
        let document: Option<Document> = yaml::parse(text, path)?;
        let allow = document.unwrap_or_default().allow;
        check(&allow, path)?;
        Ok(Self { file: Some(path.to_owned()), everything: false, allow })
    }

    /// Returns the folder that playbooks come from.
    pub(crate) fn playbooks(&self) -> Option<&Path> {
        self.allow.playbooks.as_deref()
    }

    /// Returns where playbooks get the password of the vault from.
    pub(crate) fn vault_password(&self) -> Option<&VaultPassword> {
        self.allow.vault_password.as_ref()
    }

    /// Says whether an update command that came over the network may run: to the letter, or not.
    pub(crate) fn allows_update(&self, text: &str) -> bool {
        self.allow.update_commands.iter().any(|rule| rule == text)
    }

    /// Says whether a task may touch this.
    pub(crate) fn judge(&self, ask: &Ask, environment: &Environment) -> Result<(), Forbidden> {
        if let Some(forbidden) = self.closed(ask) {
            return Err(forbidden);
        }
        match ask {
            // Nothing is named yet; the params will be refused for it.
            Ask::Command(name) | Ask::Playbook(name) | Ask::Service(name) if name.is_empty() => {
                Ok(())
            }
            Ask::Command(program) => self.command(program, environment),
            Ask::Playbook(name) => self.playbook(name),
            Ask::Path(path) => self.path(path),
            Ask::Service(unit) => self.service(unit),
            Ask::TestCommand(words) => self.test_command(words),
        }
    }

    /// Says whether the policy allows nothing at all of this kind.
    pub(crate) fn closed(&self, ask: &Ask) -> Option<Forbidden> {
        let (rule, nothing) = match ask {
            Ask::Command(_) => ("commands", self.allow.commands.is_empty() && !self.everything),
            Ask::Playbook(_) => ("playbooks", self.allow.playbooks.is_none()),
            Ask::Path(_) => ("paths", self.allow.paths.as_ref().is_some_and(Vec::is_empty)),
            Ask::Service(_) => ("services", self.allow.services.is_empty() && !self.everything),
            Ask::TestCommand(_) => {
                ("test_commands", self.allow.test_commands.is_empty() && !self.everything)
            }
        };
        nothing.then(|| self.forbid(rule, "allows nothing"))
    }

    fn command(&self, program: &str, environment: &Environment) -> Result<(), Forbidden> {
        if self.everything {
            return Ok(());
        }
        let found = environment.find(OsStr::new(program));
        let is_allowed = self.allow.commands.iter().any(|rule| {
            if rule == program {
                return true;
            }
            // A bare name and the full path of what it means on this node are the same command.
            match (rule.contains('/'), program.contains('/')) {
                (true, false) => found.as_deref() == Some(Path::new(rule)),
                (false, true) => {
                    environment.find(OsStr::new(rule)).as_deref() == Some(Path::new(program))
                }
                _ => false,
            }
        });
        if is_allowed {
            return Ok(());
        }
        Err(self.forbid("commands", &format!("does not list `{program}`")))
    }

    fn playbook(&self, name: &str) -> Result<(), Forbidden> {
        let Some(folder) = self.playbooks() else { return Ok(()) };
        below(folder, name).map(drop).map_err(|why| {
            self.forbid("playbooks", &format!("allows what is below `{}`: {why}", folder.display()))
        })
    }

    fn path(&self, path: &Path) -> Result<(), Forbidden> {
        let Some(allowed) = &self.allow.paths else { return Ok(()) };
        let deny = |why: String| Err(self.forbid("paths", &why));
        if !path.is_absolute() {
            return deny(format!("holds absolute paths, and `{}` is none", path.display()));
        }
        let resolved = match paths::resolve(path) {
            Ok(resolved) => resolved,
            Err(error) => {
                return deny(format!("cannot be judged for `{}`: {error}", path.display()));
            }
        };
        let is_below =
            |rule: &PathBuf| paths::resolve(rule).is_ok_and(|rule| resolved.starts_with(rule));
        if allowed.iter().any(is_below) {
            return Ok(());
        }
        deny(format!("does not hold `{}`", path.display()))
    }

    fn service(&self, unit: &str) -> Result<(), Forbidden> {
        let whole = |name: &str| name.strip_suffix(".service").unwrap_or(name).to_owned();
        let is_listed = |rule: &String| whole(rule) == whole(unit);
        if self.everything || self.allow.services.iter().any(is_listed) {
            return Ok(());
        }
        Err(self.forbid("services", &format!("does not list `{unit}`")))
    }

    fn test_command(&self, words: &[String]) -> Result<(), Forbidden> {
        if self.everything || self.allow.test_commands.iter().any(|rule| rule.0 == words) {
            return Ok(());
        }
        Err(self.forbid("test_commands", &format!("does not list `{}`", words.join(" "))))
    }

    fn forbid(&self, rule: &str, why: &str) -> Forbidden {
        match &self.file {
            Some(file) => Forbidden {
                error: format!("the policy rule `allow.{rule}` of this node {why}"),
                hint: format!("the owner of the node may change `{}`", file.display()),
            },
            None => Forbidden {
                error: format!(
                    "the policy rule `allow.{rule}` of this node {why}: there is no policy file"
                ),
                hint: format!(
                    "the owner of the node may allow it under `allow.{rule}` in \
                    /etc/yggdrasil/policy.yaml, or in the file named by --policy"
                ),
            },
        }
    }
}

/// Checks what the types do not say.
fn check(allow: &Allow, file: &Path) -> Result<(), PolicyError> {
    let wrong = |rule: String, expected: &'static str, found: String| PolicyError::Rule {
        path: file.display().to_string(),
        rule,
        expected,
        found,
    };
    for (at, command) in allow.commands.iter().enumerate() {
        let is_name = !command.is_empty() && !command.contains('/');
        if !is_name && !Path::new(command).is_absolute() {
            let rule = format!("allow.commands[{at}]");
            return Err(wrong(rule, "a program's name or its absolute path", command.clone()));
        }
    }
    for (at, path) in allow.paths.iter().flatten().enumerate() {
        if !path.is_absolute() {
            let rule = format!("allow.paths[{at}]");
            return Err(wrong(rule, "an absolute path", path.display().to_string()));
        }
    }
    for (at, words) in allow.test_commands.iter().enumerate() {
        if words.0.is_empty() {
            return Err(wrong(format!("allow.test_commands[{at}]"), "a command", String::new()));
        }
    }
    for (at, text) in allow.update_commands.iter().enumerate() {
        if text.trim().is_empty() {
            let rule = format!("allow.update_commands[{at}]");
            return Err(wrong(rule, "a command for the shell", text.clone()));
        }
    }
    if let Some(VaultPassword::File(path)) = &allow.vault_password
        && !path.is_file()
    {
        let found = path.display().to_string();
        return Err(wrong("allow.vault_password".to_owned(), "an existing file", found));
    }
    if let Some(folder) = &allow.playbooks
        && !(folder.is_absolute() && folder.is_dir())
    {
        let found = folder.display().to_string();
        return Err(wrong("allow.playbooks".to_owned(), "an existing folder, absolute", found));
    }
    Ok(())
}
