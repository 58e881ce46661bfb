//! `ollama-deploy`: Ollama's container is brought up, with its models.

use std::time::Instant;

use executor_sdk::prelude::*;

use crate::Surtr;
use crate::compose::{Compose, Service};
use crate::ollama::{ModelName, Ollama, find};

/// How long is waited between two looks whether Ollama answers.
const AGAIN: Duration = Duration::from_millis(500);

/// Brings Ollama up by a compose file, waits until it answers, and fetches the models it lacks.
/// Whatever is there already is left alone.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct OllamaDeploy {
    /// The absolute path of the compose file on this node (default: the node's setting
    /// `SURTR_COMPOSE_FILE`).
    #[serde(default)]
    compose_file: Option<PathBuf>,
    /// The service in it that is Ollama.
    #[serde(default = "Service::ollama")]
    service: Service,
    /// Models that must be there afterwards.
    #[serde(default)]
    models: Vec<ModelName>,
    /// How many seconds to wait, once the container is up, until Ollama answers.
    #[serde(default = "two_minutes")]
    wait_seconds: u32,
}

fn two_minutes() -> u32 {
    120
}

impl Task<Surtr> for OllamaDeploy {
    const TYPE: &'static str = "ollama-deploy";
    const TIMEOUT: Option<Duration> = Some(Duration::from_hours(6));
    const IDEMPOTENT: bool = true;
    const RETRYABLE: bool = true;
    const TOOLS: &'static [&'static str] = &["docker|docker-compose|podman"];

    fn asks(params: &Map<String, Value>) -> Vec<Ask> {
        Ask::paths(params, &["compose_file"])
    }

    async fn run(self, executor: &Surtr, cx: &Context) -> TaskResult {
        let Some(file) = self.compose_file.as_ref().or(executor.compose_file.as_ref()) else {
            return Err(Failure::new(
                "no compose file is named: give `compose_file`, or set SURTR_COMPOSE_FILE on the \
                 node",
            ));
        };
        let compose = Compose::find(cx, file, executor.docker_host.as_deref()).await?;
        cx.log(format!("by {}: {}", compose.called(), compose.version()));
        let before = compose.state(&self.service).await;
        compose.up(&self.service).await?;
        let mut data = json!({
            "compose": compose.called(),
            "compose_version": compose.version(),
            "compose_file": file,
            "service": self.service,
        });

        let began = Instant::now();
        let ollama = Ollama::new(executor, cx);
        let version = match self.wait(&ollama, cx).await {
            Ok(version) => version,
            Err(failure) => {
                compose.tell_logs(&self.service).await;
                return Err(failure.with_data(&data));
            }
        };
        data["version"] = json!(version);
        data["answer_seconds"] = json!(began.elapsed().as_secs_f64());
        // What answers may be another Ollama than the container's.
        let after = compose.state(&self.service).await;
        if after.as_ref().is_some_and(|after| !after.is_running) {
            compose.tell_logs(&self.service).await;
            let text = format!(
                "an Ollama answers at {}, but `{}` does not run: its log is in the output",
                ollama.shown(),
                self.service
            );
            return Err(Failure::new(text).with_data(&data));
        }
        data["containers"] = json!(after.as_ref().map(|after| &after.containers));
        let changed = before.zip(after).map(|(before, after)| before != after);

        let (models, pulled) = match self.fetch(&ollama, cx).await {
            Ok(done) => done,
            Err(failure) => return Err(failure.with_data(&data)),
        };
        data["models"] = json!(models);
        data["changed"] = if pulled > 0 { json!(true) } else { json!(changed) };
        let how = match changed {
            Some(true) => "is up now",
            Some(false) => "was up already",
            None => "is up",
        };
        let text = format!(
            "`{}` {how}: Ollama {version} at {}; {pulled} models fetched, {} were there",
            self.service,
            ollama.shown(),
            models.len() - pulled
        );
        Ok(Report::text(text).with_data(&data))
    }
}

impl OllamaDeploy {
    /// Waits until Ollama answers, and returns its version.
    async fn wait(&self, ollama: &Ollama<'_>, cx: &Context) -> Result<String, Failure> {
        let limit = Duration::from_secs(self.wait_seconds.into());
        let began = Instant::now();
        loop {
            match ollama.version().await {
                Ok(version) => return Ok(version),
                Err(failure) if began.elapsed() >= limit => {
                    return Err(Failure::new(format!(
                        "`{}` is up, but after {} s: {}; see whether the compose file publishes \
                         its port there",
                        self.service,
                        self.wait_seconds,
                        failure.error()
                    )));
                }
                Err(_) if began.elapsed() < AGAIN => cx.log("waiting until Ollama answers"),
                Err(_) => {}
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// Fetches the models that are not there. Returns all that were named, and how many were
    /// fetched.
    async fn fetch(
        &self,
        ollama: &Ollama<'_>,
        cx: &Context,
    ) -> Result<(Vec<Value>, usize), Failure> {
        let mut all = Vec::with_capacity(self.models.len());
        let mut count = 0;
        let there = ollama.models().await?;
        for name in &self.models {
            if let Some(model) = find(&there, name) {
                cx.log(format!("{name} is there"));
                all.push(json!({
                    "model": model.name, "digest": model.digest, "size": model.size,
                    "pulled": false,
                }));
                continue;
            }
            let pulled = ollama.pull(name, false).await?;
            count += 1;
            all.push(json!({
                "model": pulled.model, "digest": pulled.digest, "size": pulled.size,
                "pulled": true,
            }));
        }
        Ok((all, count))
    }
}
