//! What a test needs that brings the real Ollama up on the real Docker: the daemon that answers,
//! else one of the test's own.
//!
//! The image is made of the program and the libraries it needs, so that nothing is pulled.

use std::path::{Path, PathBuf};
use std::process::{Child, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::real::{self, Real};

/// A Docker that works, with the words of its compose program.
pub(crate) struct Docker {
    compose: &'static [&'static str],
    /// Where it listens, when that is not its usual place.
    pub(crate) host: Option<String>,
    own: Option<Daemon>,
}

/// A daemon of the test's own; it ends with this value, or with the test's process.
struct Daemon {
    shell: Child,
    folder: TempDir,
}

/// Ends the daemon when nobody holds the shell's stdin any more: also when this process is killed.
const SERVE: &str =
    r#"log=$1; shift; "$@" >"$log" 2>&1 </dev/null & cat >/dev/null; kill "$!"; wait "$!""#;

/// How long a daemon may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Returns a Docker; says aloud what lacks.
pub(crate) fn usable(test: &str) -> Option<Docker> {
    let found = find();
    if let Err(why) = &found {
        eprintln!("skipped: {test}: {why}");
    }
    found.ok()
}

fn find() -> Result<Docker, String> {
    let told = std::env::var("DOCKER_HOST").ok().filter(|host| !host.is_empty());
    let theirs = Docker { compose: &[], host: told, own: None };
    if !theirs.works(&["docker", "--version"]) {
        return Err("there is no `docker` on PATH".to_owned());
    }
    let mut docker = if theirs.works(&["docker", "version"]) {
        theirs
    } else {
        let daemon = Daemon::start().map_err(|why| format!("no Docker daemon answers, {why}"))?;
        Docker { host: Some(daemon.host()), own: Some(daemon), ..theirs }
    };
    let known: [&[&str]; 2] = [&["docker", "compose"], &["docker-compose"]];
    let works = |words: &&[&str]| docker.works(&[words, &["version"][..]].concat());
    let found = known.into_iter().find(works);
    docker.compose = found.ok_or("neither `docker compose` nor docker-compose works here")?;
    Ok(docker)
}

impl Docker {
    fn works(&self, words: &[&str]) -> bool {
        self.run(words).is_some_and(|output| output.status.success())
    }

    /// Runs a program that must succeed, and returns what it printed.
    fn done(&self, words: &[&str]) -> String {
        let output = self.run(words).unwrap();
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs a program; `None` where there is none.
    fn run(&self, words: &[&str]) -> Option<Output> {
        let mut command = command(words[0]);
        if let Some(host) = &self.host {
            command.env("DOCKER_HOST", host);
        }
        command.args(&words[1..]).output().ok()
    }
}

impl Daemon {
    /// Starts one that touches neither the network of this machine nor its usual folders.
    fn start() -> Result<Self, String> {
        let is_root =
            std::os::unix::fs::MetadataExt::uid(&std::fs::metadata("/proc/self").unwrap());
        if is_root != 0 {
            return Err("and only root can start one".to_owned());
        }
        let program = dockerd().ok_or("and there is no dockerd (make test-deps installs it)")?;
        let folder = tempfile::Builder::new().prefix("ygg-docker-").tempdir().unwrap();
        let place = |name: &str| folder.path().join(name);
        let shell = command("sh")
            .args(["-c", SERVE, "sh"])
            .arg(place("log"))
            // What it mounts goes with it.
            .args(["unshare", "--mount", "--propagation", "private"])
            .arg(program)
            .args([Path::new("--data-root"), &place("data"), Path::new("--exec-root")])
            .args([&place("run"), Path::new("--pidfile"), &place("pid")])
            .args(["--storage-driver=vfs", "--bridge=none", "--iptables=false"])
            .args(["--ip6tables=false", "--host"])
            .arg(format!("unix://{}", place("sock").display()))
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let daemon = Self { shell, folder };
        let docker = Docker { compose: &[], host: Some(daemon.host()), own: None };
        let began = Instant::now();
        while !docker.works(&["docker", "version"]) {
            let is_there = daemon.folder.path().join("pid").exists();
            if began.elapsed() > PATIENCE || (!is_there && began.elapsed() > PATIENCE / 3) {
                let log = std::fs::read_to_string(daemon.folder.path().join("log"));
                let log = log.unwrap_or_default();
                let last = log.trim().lines().last().unwrap_or("it says nothing");
                return Err(format!("and one of the test's own does not start: {last}"));
            }
            std::thread::yield_now();
        }
        Ok(daemon)
    }

    fn host(&self) -> String {
        format!("unix://{}/sock", self.folder.path().display())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        drop(self.shell.wait());
    }
}

/// Finds the daemon's program, which is not on everybody's PATH.
fn dockerd() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    folders.map(|folder| folder.join("dockerd")).find(|file| file.is_file())
}

/// An image, and a compose file for it. Both go with this value, and the containers too.
pub(crate) struct Stage<'a> {
    docker: &'a Docker,
    image: String,
    pub(crate) file: String,
}

impl<'a> Stage<'a> {
    /// Makes both; the model is that of the real server, and `address` is where the service `llm`
    /// will listen. The service `mute` listens elsewhere. `None`, said aloud, where the test's own
    /// daemon cannot run a container.
    pub(crate) fn new(test: &str, real: &Real, docker: &'a Docker, address: &str) -> Option<Self> {
        // The folder's name is the project's, and so a part of the container's.
        let name = format!("ygg-test-{}", address.replace(['.', ':'], "-"));
        let root = real.folder.path().join("root");
        let program = real::find().unwrap();
        copy(&program, &root.join("ollama"));
        let libraries = docker.done(&["ldd", program.to_str().unwrap()]);
        for library in libraries.split_whitespace().filter(|word| word.starts_with('/')) {
            copy(Path::new(library), &root.join(&library[1..]));
        }
        std::fs::create_dir(root.join("tmp")).unwrap();
        let archive = real.folder.path().join("root.tar");
        let archive = archive.to_str().unwrap();
        docker.done(&["tar", "-C", root.to_str().unwrap(), "-cf", archive, "."]);
        docker.done(&["docker", "import", archive, &name]);
        let trial = ["docker", "run", "--rm", "--network=host", &name, "/ollama", "--version"];
        let trial = docker.run(&trial).unwrap();
        if !trial.status.success() && docker.own.is_some() {
            let said = String::from_utf8_lossy(&trial.stderr);
            let why = said.trim().lines().last().unwrap_or_default().to_owned();
            eprintln!("skipped: {test}: the test's own Docker cannot run a container: {why}");
            return None;
        }

        let folder = real.folder.path().join(&name);
        std::fs::create_dir(&folder).unwrap();
        let file = folder.join("compose.yaml");
        let models = real.folder.path().join("models");
        let service = |service: &str, address: &str| {
            format!(
                "  {service}:
    image: {name}
    command: [/ollama, serve]
    network_mode: host
    environment: {{OLLAMA_HOST: '{address}', OLLAMA_MODELS: /models, HOME: /tmp}}
    volumes: ['{}:/models']
",
                models.display()
            )
        };
        let elsewhere = crate::common::closed().to_string();
        let services = [service("llm", address), service("mute", &elsewhere)].concat();
        std::fs::write(&file, format!("services:\n{services}")).unwrap();
        Some(Self { docker, image: name, file: file.to_str().unwrap().to_owned() })
    }
}

impl Drop for Stage<'_> {
    fn drop(&mut self) {
        let down = ["--file", &self.file, "down", "--timeout", "1"];
        drop(self.docker.run(&[self.docker.compose, &down[..]].concat()));
        drop(self.docker.run(&["docker", "rmi", "--force", &self.image]));
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to.parent().unwrap()).unwrap();
    std::fs::copy(from, to).unwrap();
}

#[expect(clippy::disallowed_methods, reason = "the test's stage is no task")]
fn command(program: &str) -> std::process::Command {
    std::process::Command::new(program)
}
