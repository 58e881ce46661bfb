//! Fetching a model, with its progress.

use std::time::Instant;

use executor_sdk::prelude::*;

use super::{ModelName, Ollama, find};

/// How often the progress of one layer is told, at most, unless it moves fast.
const TOLD_EVERY: Duration = Duration::from_secs(10);

/// How many percent are worth a line.
const TOLD_PERCENT: u64 = 5;

/// One line of the stream of `/api/pull`.
#[derive(Debug, Deserialize)]
struct Step {
    #[serde(default)]
    status: String,
    #[serde(default)]
    digest: Option<String>,
    #[serde(default)]
    total: Option<u64>,
    #[serde(default)]
    completed: Option<u64>,
}

/// A model that was fetched, or found to be the newest.
#[derive(Debug, Serialize)]
pub(crate) struct Pulled {
    pub(crate) model: String,
    pub(crate) digest: String,
    pub(crate) size: u64,
    /// Whether there is now a model that was not there before.
    pub(crate) changed: bool,
    pub(crate) seconds: f64,
}

impl Ollama<'_> {
    /// Fetches a model, and proves that it is there.
    pub(crate) async fn pull(&self, model: &ModelName, insecure: bool) -> Result<Pulled, Failure> {
        let began = Instant::now();
        let before = find(&self.models().await?, model).map(|model| model.digest.clone());
        let order = json!({"model": model, "stream": true, "insecure": insecure});
        let stream = self.stream("api/pull", &order).await;
        let mut stream = stream.map_err(|refused| hinted(refused.failure, model))?;
        let mut progress = Progress::default();
        let mut is_done = false;
        while let Some(step) = stream
            .next::<Step>()
            .await
            .map_err(|failure| hinted(failure, model).with_data(&progress.data(model)))?
        {
            is_done = step.status == "success";
            if let Some(line) = progress.take(&step, began.elapsed()) {
                self.cx.log(line);
            }
        }
        if !is_done {
            let text = format!("Ollama ended the pull of `{model}` without saying that it is done");
            return Err(Failure::new(text).with_data(&progress.data(model)));
        }
        let models = self.models().await?;
        let Some(there) = find(&models, model) else {
            let text = format!("Ollama says that `{model}` is pulled, but does not list it");
            return Err(Failure::new(text).with_data(&progress.data(model)));
        };
        Ok(Pulled {
            model: there.name.clone(),
            digest: there.digest.clone(),
            size: there.size,
            changed: before.as_ref() != Some(&there.digest),
            seconds: began.elapsed().as_secs_f64(),
        })
    }
}

/// Adds a way out to the commonest failures.
fn hinted(failure: Failure, model: &ModelName) -> Failure {
    let text = failure.error();
    let way_out = if text.contains("file does not exist") {
        "the registry has no such model; https://ollama.com/library lists them"
    } else if text.contains("no space left") {
        "make room where Ollama keeps its models, as by `ollama-delete-model`"
    } else if text.contains("no such host") || text.contains("dial tcp") {
        "Ollama's node does not reach the registry; see its network and DNS"
    } else {
        return failure.context(format!("cannot pull `{model}`"));
    };
    Failure::new(format!("cannot pull `{model}`: {text}; {way_out}"))
}

/// How far a pull is, and what of it was told.
#[derive(Debug, Default)]
struct Progress {
    status: String,
    digest: Option<String>,
    total: u64,
    completed: u64,
    told_percent: u64,
    told_at: Duration,
}

impl Progress {
    /// Takes a step, and returns the line that it is worth.
    fn take(&mut self, step: &Step, now: Duration) -> Option<String> {
        let is_new = step.status != self.status || step.digest != self.digest;
        if is_new {
            self.status.clone_from(&step.status);
            self.digest.clone_from(&step.digest);
            self.told_percent = 0;
        }
        self.total = step.total.unwrap_or(0);
        self.completed = step.completed.unwrap_or(0);
        if self.total == 0 {
            return is_new.then(|| self.status.clone());
        }
        let percent = self.percent();
        let is_whole = percent == 100 && self.told_percent != 100;
        let has_moved = percent >= self.told_percent + TOLD_PERCENT;
        let is_late = now >= self.told_at + TOLD_EVERY && percent > self.told_percent;
        if !(is_new || is_whole || has_moved || is_late) {
            return None;
        }
        self.told_percent = percent;
        self.told_at = now;
        let Self { status, completed, total, .. } = self;
        Some(format!("{status}: {percent} % ({completed} of {total} bytes)"))
    }

    fn percent(&self) -> u64 {
        let percent = u128::from(self.completed) * 100 / u128::from(self.total.max(1));
        u64::try_from(percent.min(100)).unwrap_or(100)
    }

    fn data(&self, model: &ModelName) -> Value {
        json!({
            "model": model,
            "status": self.status,
            "digest": self.digest,
            "completed": self.completed,
            "total": self.total,
            "percent": self.percent(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(status: &str, completed: Option<u64>, total: Option<u64>) -> Step {
        let digest = total.map(|_| "sha256:abc".to_owned());
        Step { status: status.to_owned(), digest, total, completed }
    }

    #[test]
    fn a_long_pull_is_told_in_few_lines() {
        let mut progress = Progress::default();
        let mut lines = Vec::new();

        lines.extend(progress.take(&step("pulling manifest", None, None), Duration::ZERO));
        for n in 0..=100_000 {
            let step = step("pulling abc", Some(n), Some(100_000));
            lines.extend(progress.take(&step, Duration::ZERO));
        }
        lines.extend(progress.take(&step("success", None, None), Duration::ZERO));

        assert_eq!(lines.len(), 23, "{lines:#?}");
        assert_eq!(lines[0], "pulling manifest");
        assert_eq!(lines[1], "pulling abc: 0 % (0 of 100000 bytes)");
        assert_eq!(lines[2], "pulling abc: 5 % (5000 of 100000 bytes)");
        assert_eq!(lines[21], "pulling abc: 100 % (100000 of 100000 bytes)");
    }

    #[test]
    fn a_slow_pull_is_told_now_and_then() {
        let mut progress = Progress::default();
        let at = |n: u64| step("pulling abc", Some(n), Some(100));

        assert!(progress.take(&at(0), Duration::ZERO).is_some());
        assert_eq!(progress.take(&at(1), Duration::from_secs(9)), None);
        assert!(progress.take(&at(1), Duration::from_secs(10)).is_some());
        assert_eq!(progress.take(&at(1), Duration::from_secs(30)), None);
    }
}
