//! What a test needs that brings the real Ollama up on the real Docker.
//!
//! The image is made of the program and the libraries it needs, so that nothing is pulled.

use std::path::Path;
use std::process::Output;

use crate::real::{self, Real};

/// Returns the words of a compose program that works on a running daemon; says aloud what lacks.
pub(crate) fn usable(test: &str) -> Option<&'static [&'static str]> {
    let works = |words: &[&str]| run(words).is_some_and(|output| output.status.success());
    if !works(&["docker", "info"]) {
        eprintln!("skipped: {test}: no Docker daemon answers");
        return None;
    }
    let known: [&[&str]; 2] = [&["docker", "compose"], &["docker-compose"]];
    let found = known.into_iter().find(|words| works(&[words, &["version"][..]].concat()));
    if found.is_none() {
        eprintln!("skipped: {test}: neither `docker compose` nor docker-compose works here");
    }
    found
}

/// An image, and a compose file for it. Both go with this value, and the container too.
pub(crate) struct Stage {
    compose: &'static [&'static str],
    image: String,
    pub(crate) file: String,
}

impl Stage {
    /// Makes both; the model is that of the real server, and `address` is where it will listen.
    pub(crate) fn new(real: &Real, compose: &'static [&'static str], address: &str) -> Self {
        // The folder's name is the project's, and so a part of the container's.
        let name = format!("ygg-test-{}", address.replace(['.', ':'], "-"));
        let root = real.folder.path().join("root");
        let program = real::find().unwrap();
        copy(&program, &root.join("ollama"));
        let libraries = done(&["ldd", program.to_str().unwrap()]);
        for library in libraries.split_whitespace().filter(|word| word.starts_with('/')) {
            copy(Path::new(library), &root.join(&library[1..]));
        }
        std::fs::create_dir(root.join("tmp")).unwrap();
        let archive = real.folder.path().join("root.tar");
        let archive = archive.to_str().unwrap();
        done(&["tar", "-C", root.to_str().unwrap(), "-cf", archive, "."]);
        done(&["docker", "import", archive, &name]);

        let folder = real.folder.path().join(&name);
        std::fs::create_dir(&folder).unwrap();
        let file = folder.join("compose.yaml");
        let models = real.folder.path().join("models");
        let text = format!(
            "services:
  llm:
    image: {name}
    command: [/ollama, serve]
    network_mode: host
    environment: {{OLLAMA_HOST: '{address}', OLLAMA_MODELS: /models, HOME: /tmp}}
    volumes: ['{}:/models']
",
            models.display()
        );
        std::fs::write(&file, text).unwrap();
        Self { compose, image: name, file: file.to_str().unwrap().to_owned() }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let down = ["--file", &self.file, "down", "--timeout", "1"];
        drop(run(&[self.compose, &down[..]].concat()));
        drop(run(&["docker", "rmi", "--force", &self.image]));
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to.parent().unwrap()).unwrap();
    std::fs::copy(from, to).unwrap();
}

/// Runs a program that must succeed, and returns what it printed.
fn done(words: &[&str]) -> String {
    let output = run(words).unwrap();
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Runs a program; `None` where there is none.
#[expect(clippy::disallowed_methods, reason = "the test's stage is no task")]
fn run(words: &[&str]) -> Option<Output> {
    std::process::Command::new(words[0]).args(&words[1..]).output().ok()
}
