//! The settings that every executor has beside those of every daemon: one declaration for each.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use daemon::duration;
use daemon::exit::Exit;
use url::Url;

use crate::secret::{API_KEY, Revealed};
use crate::size;

#[derive(clap::Args, Debug)]
#[group(skip)]
pub(crate) struct Own {
    /// Time limit of a task when neither the order nor the task names one.
    #[arg(long, env = "TASK_TIMEOUT", default_value = "600s", value_parser = duration::parse, value_name = "DURATION")]
    pub(crate) task_timeout: Duration,

    /// File with the tokens that may order tasks here, one per line.
    #[arg(long, env = "TOKEN_FILE", value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,

    /// What may run on this node [default: /etc/yggdrasil/policy.yaml, if it is there].
    #[arg(long, env = "POLICY", value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,

    /// How many tasks run at a time [default: the number of cores, at least 4].
    #[arg(long, env = "CAPACITY", value_parser = clap::value_parser!(u32).range(1..), value_name = "TASKS")]
    pub(crate) capacity: Option<u32>,

    /// How long ended attempts are remembered.
    #[arg(long, env = "KEEP", default_value = "30d", value_parser = duration::parse, value_name = "DURATION")]
    pub(crate) keep: Duration,

    /// How many bytes of logs and outcomes are kept; the oldest go first.
    #[arg(long, env = "KEEP_BYTES", default_value = "2G", value_parser = size::parse, value_name = "BYTES")]
    pub(crate) keep_bytes: u64,

    /// How many bytes of log are kept per attempt, half from its head and half from its tail.
    #[arg(long, env = "LOG_CAP", default_value = "16M", value_parser = size::parse, value_name = "BYTES")]
    pub(crate) log_cap: u64,

    /// What commands get as their PATH.
    #[arg(long, id = "search_path", env = "PATH", hide = true, value_name = "PATH")]
    pub(crate) search_path: Option<OsString>,

    /// Where systemd put this service's secrets.
    #[arg(
        long,
        id = "credentials",
        env = "CREDENTIALS_DIRECTORY",
        hide = true,
        value_name = "FOLDER"
    )]
    pub(crate) credentials: Option<PathBuf>,

    /// What commands get as their TZ.
    #[arg(long, id = "time_zone", env = "TZ", hide = true, value_name = "ZONE")]
    pub(crate) time_zone: Option<OsString>,
}

// How the executor takes part in the runner API. A doc comment would be what `--help` says of the
// whole program, so the words for those without one of their own stand here.
#[derive(clap::Args, Debug)]
#[group(skip)]
#[command(next_help_heading = "With a coordinator", about = ABOUT)]
pub(crate) struct Registering {
    /// Where the coordinator listens, such as `http://yggdrasil:3000`. The executor registers
    /// there, sends heartbeats and reads its task list; without it, it waits for orders.
    #[arg(long, env = "YGGDRASIL_URL", value_name = "URL")]
    coordinator: Option<Url>,

    /// File with the API key of the coordinator [default: the credential `yggdrasil-api-key` of
    /// the systemd service, if it has one]. A key that the coordinator sends later comes first.
    #[arg(long, env = "API_KEY_FILE", value_name = "FILE")]
    api_key_file: Option<PathBuf>,

    /// The API key itself. Give it as the variable: everybody on the machine can read flags.
    #[arg(long, env = "API_KEY", hide_env_values = true, value_name = "KEY")]
    api_key: Option<String>,

    /// What it is called there [default: the name of the program].
    #[arg(long = "runner-name", id = "runner_name", env = "RUNNER_NAME", value_name = "NAME")]
    name: Option<String>,

    /// Where the coordinator reaches it, such as `http://thor:5000` [default: where it listens; if
    /// that is every address, the one from which this machine reaches the coordinator].
    #[arg(long = "endpoint", id = "runner_endpoint", env = "RUNNER_ENDPOINT", value_name = "URL")]
    endpoint: Option<Url>,

    /// Labels by which routing.yaml may choose it, such as `gpu=rtx4090,site=attic`.
    #[arg(long = "labels", id = "runner_labels", env = "RUNNER_LABELS", value_name = "KEY=VALUE,...", value_parser = labels)]
    labels: Option<Labels>,

    /// How often it sends a heartbeat.
    #[arg(long, env = "HEARTBEAT_INTERVAL", default_value = "15s", value_parser = duration::parse, value_name = "DURATION")]
    heartbeat_interval: Duration,

    /// How long the coordinator believes a heartbeat [default: as the coordinator is set; four
    /// times the interval when that is longer than 15s].
    #[arg(long = "lease-ttl", id = "runner_lease", env = "RUNNER_LEASE_TTL", value_parser = duration::parse, value_name = "DURATION")]
    lease_ttl: Option<Duration>,

    /// How often it looks for tasks that were put on its list there; 0 leaves the list alone.
    #[arg(long, env = "TASK_POLL_INTERVAL", default_value = "10s", value_parser = duration::parse, value_name = "DURATION")]
    task_poll_interval: Duration,

    /// The command that brings it to the version in `$YGGDRASIL_UPDATE_VERSION`, for `sh -c`. It
    /// runs when the coordinator asks for a version and nothing else runs here; exit code 0 ends
    /// the executor, and systemd starts the new one. Without it no update is applied.
    #[arg(long, env = "UPDATE_COMMAND", value_name = "COMMAND")]
    update_command: Option<String>,

    /// How long that command may take.
    #[arg(long, env = "UPDATE_TIMEOUT", default_value = "10m", value_parser = duration::parse, value_name = "DURATION")]
    update_timeout: Duration,
}

const ABOUT: &str = "An executor of Yggdrasil: does tasks on this machine";

/// Labels of a runner.
pub(crate) type Labels = BTreeMap<String, String>;

/// The same, checked.
#[derive(Debug, Clone)]
pub(crate) struct Coordinator {
    pub(crate) url: Url,
    pub(crate) key: Option<Revealed>,
    pub(crate) name: Option<String>,
    pub(crate) endpoint: Option<Url>,
    pub(crate) labels: Labels,
    pub(crate) heartbeat: Duration,
    pub(crate) lease: Option<Duration>,
    /// None: the list is left alone.
    pub(crate) poll: Option<Duration>,
    pub(crate) update_command: Option<String>,
    pub(crate) update_limit: Duration,
}

/// Faster ones are a slip, and a burden for the coordinator.
const FASTEST: Duration = Duration::from_millis(20);

/// The interval that the lease of every coordinator lasts for.
const USUAL: Duration = Duration::from_secs(15);

impl Registering {
    /// Checks the settings and reads the key; `None` when there is no coordinator.
    pub(crate) fn check(self, credentials: Option<&Path>) -> Result<Option<Coordinator>, Exit> {
        check_url(self.coordinator.as_ref(), "--coordinator (YGGDRASIL_URL)", "a coordinator")?;
        check_url(self.endpoint.as_ref(), "--endpoint (RUNNER_ENDPOINT)", "an executor")?;
        for (name, interval, may_be_zero) in [
            ("--heartbeat-interval (HEARTBEAT_INTERVAL)", self.heartbeat_interval, false),
            ("--task-poll-interval (TASK_POLL_INTERVAL)", self.task_poll_interval, true),
            ("--update-timeout (UPDATE_TIMEOUT)", self.update_timeout, false),
        ] {
            if interval < FASTEST && !(may_be_zero && interval.is_zero()) {
                let least = duration::show(FASTEST);
                return Err(Exit::config(format!("{name} must be at least {least}")));
            }
        }
        let heartbeat = self.heartbeat_interval;
        if self.lease_ttl.is_some_and(|lease| lease < heartbeat * 2) {
            return Err(Exit::config(
                "--lease-ttl (RUNNER_LEASE_TTL) must last for two heartbeats at least",
            )
            .hinted("one heartbeat may be late; --heartbeat-interval (HEARTBEAT_INTERVAL) sets how often they come"));
        }
        let key = key(self.api_key_file.as_deref(), self.api_key, credentials)?;
        let text = |text: Option<String>| text.filter(|text| !text.trim().is_empty());
        let Some(url) = self.coordinator else { return Ok(None) };
        Ok(Some(Coordinator {
            url,
            key,
            name: text(self.name),
            endpoint: self.endpoint,
            labels: self.labels.unwrap_or_default(),
            heartbeat,
            lease: self.lease_ttl.or_else(|| (heartbeat > USUAL).then(|| heartbeat * 4)),
            poll: Some(self.task_poll_interval).filter(|interval| !interval.is_zero()),
            update_command: text(self.update_command),
            update_limit: self.update_timeout,
        }))
    }
}

fn check_url(url: Option<&Url>, setting: &str, whose: &str) -> Result<(), Exit> {
    match url {
        Some(url) if !url.username().is_empty() || url.password().is_some() => {
            Err(Exit::config(format!("{setting} must not hold a user or a password"))
                .hinted("the API key of a coordinator is given by --api-key-file (API_KEY_FILE)"))
        }
        Some(url) if !matches!(url.scheme(), "http" | "https") || !url.has_host() => {
            Err(Exit::config(format!("`{url}` is no address of {whose}"))
                .hinted(format!("{setting} wants one such as `http://yggdrasil:3000`")))
        }
        _ => Ok(()),
    }
}

/// Finds the API key: the file, the variable, the credential of the service.
fn key(
    file: Option<&Path>,
    given: Option<String>,
    credentials: Option<&Path>,
) -> Result<Option<Revealed>, Exit> {
    if let Some(file) = file {
        return Ok(Some(Revealed::new(daemon::token::read_secret(file)?)));
    }
    let from_service =
        || std::fs::read_to_string(credentials?.join(API_KEY)).ok().filter(|text| !is_blank(text));
    let Some(key) = given.filter(|text| !is_blank(text)).or_else(from_service) else {
        return Ok(None);
    };
    let key = key.trim();
    if key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(Some(Revealed::new(key.to_owned())));
    }
    Err(Exit::config("the API key has characters that fit no header")
        .hinted("only printable ASCII without blanks; the key is in API_KEY, or in the credential `yggdrasil-api-key`"))
}

fn is_blank(text: &str) -> bool {
    text.trim().is_empty()
}

fn labels(text: &str) -> Result<Labels, String> {
    let mut labels = Labels::new();
    for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
        let Some((key, value)) = pair.split_once('=') else {
            return Err(format!("`{pair}` is no label; write for example gpu=rtx4090,site=attic"));
        };
        let (key, value) = (key.trim().to_owned(), value.trim().to_owned());
        if key.is_empty() {
            return Err(format!("`{pair}` has no key before its `=`"));
        }
        if let Some(other) = labels.insert(key.clone(), value) {
            return Err(format!("the label `{key}` is there twice, once as `{other}`"));
        }
    }
    Ok(labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_read_and_slips_are_named() {
        let read = labels(" gpu=rtx4090, site = attic ,note=a=b,").unwrap();

        let pairs: Vec<_> =
            read.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        assert_eq!(pairs, [("gpu", "rtx4090"), ("note", "a=b"), ("site", "attic")]);
        assert!(labels("").unwrap().is_empty());
        for bad in ["gpu", "=x", "a=1,a=2"] {
            labels(bad).unwrap_err();
        }
    }

    #[test]
    fn the_key_comes_from_the_file_then_the_variable_then_the_service() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        std::fs::write(&file, "from-file\n").unwrap();
        std::fs::write(folder.path().join(API_KEY), "\n").unwrap();
        let text = |key: Option<Revealed>| key.map(|key| key.expose().to_owned());
        let from = |file, given: Option<&str>| {
            text(key(file, given.map(str::to_owned), Some(folder.path())).unwrap())
        };

        assert_eq!(from(Some(&file), Some("given")).as_deref(), Some("from-file"));
        assert_eq!(from(None, Some(" given ")).as_deref(), Some("given"));
        assert_eq!(from(None, Some("")), None);
        std::fs::write(folder.path().join(API_KEY), "from-service\n").unwrap();
        assert_eq!(from(None, None).as_deref(), Some("from-service"));
        assert_eq!(key(None, Some("two words".to_owned()), None).unwrap_err().code, 78);
    }
}
