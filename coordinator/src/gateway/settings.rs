//! The settings of the gateway. Their names are those of the older orchestration system where it
//! had them.

use std::time::Duration;

use daemon::duration;
use daemon::exit::Exit;

/// How requests are handed through to agents.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub struct Settings {
    /// How many requests one agent is given at a time; an executor of ours less where it says so.
    #[arg(long, env = "MAX_CONCURRENCY", default_value_t = 80, value_name = "COUNT",
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub max_concurrency: u32,

    /// How many milliseconds lie between two looks at an agent that is no executor of ours.
    #[arg(long, env = "HEALTH_CHECK_INTERVAL", default_value_t = 30_000, value_name = "MS",
          value_parser = clap::value_parser!(u64).range(100..=86_400_000))]
    pub health_check_interval: u64,

    /// How many agents there should be at least; shown in /status, nothing starts them yet.
    #[arg(long, env = "MIN_INSTANCES", default_value_t = 1, value_name = "COUNT")]
    pub min_instances: u32,

    /// How many agents there should be at most; shown in /status, nothing stops them yet.
    #[arg(long, env = "MAX_INSTANCES", default_value_t = 10, value_name = "COUNT")]
    pub max_instances: u32,

    /// How many requests may wait while every agent that could take them is full.
    #[arg(long, env = "GATEWAY_QUEUE", default_value_t = 100, value_name = "COUNT",
          value_parser = clap::value_parser!(u32).range(0..=100_000))]
    pub gateway_queue: u32,

    /// How long one waits; then it is answered 503.
    #[arg(long, env = "GATEWAY_QUEUE_TIMEOUT", default_value = "10s", value_name = "DURATION",
          value_parser = duration::parse)]
    pub gateway_queue_timeout: Duration,

    /// How long an agent may take for a request, repetitions and the whole answer included.
    #[arg(long, env = "GATEWAY_TIMEOUT", default_value = "60s", value_name = "DURATION",
          value_parser = duration::parse)]
    pub gateway_timeout: Duration,
}

impl Settings {
    /// Finds what contradicts itself.
    pub fn check(&self) -> Result<(), Exit> {
        let (min, max) = (self.min_instances, self.max_instances);
        if min <= max {
            return Ok(());
        }
        Err(Exit::config(format!(
            "MIN_INSTANCES is {min}, which is more than MAX_INSTANCES, {max}"
        ))
        .hinted("set MIN_INSTANCES (--min-instances) to MAX_INSTANCES or less"))
    }

    /// Returns what the gateway goes by.
    pub fn rules(&self) -> Rules {
        Rules {
            max_concurrency: self.max_concurrency,
            probe_every: Duration::from_millis(self.health_check_interval),
            min_instances: self.min_instances,
            max_instances: self.max_instances,
            queue: self.gateway_queue as usize,
            queue_timeout: self.gateway_queue_timeout,
            timeout: self.gateway_timeout,
            ..Rules::default()
        }
    }
}

/// What the gateway goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    pub max_concurrency: u32,
    pub probe_every: Duration,
    pub min_instances: u32,
    pub max_instances: u32,
    pub queue: usize,
    pub queue_timeout: Duration,
    pub timeout: Duration,
    /// The first pause before a repetition; doubled each time.
    pub first_pause: Duration,
    /// How often one request is tried in all.
    pub tries: u32,
    /// A request body may be so long.
    pub body_limit: u64,
    /// One up to this length is read whole before an agent is chosen; it can be sent again.
    pub small_body: usize,
    /// How long a session is remembered after its last request.
    pub session: Duration,
    /// How many sessions are remembered.
    pub sessions: usize,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            max_concurrency: 80,
            probe_every: Duration::from_secs(30),
            min_instances: 1,
            max_instances: 10,
            queue: 100,
            queue_timeout: Duration::from_secs(10),
            timeout: Duration::from_mins(1),
            first_pause: Duration::from_millis(100),
            tries: 3,
            body_limit: 2 * 1024 * 1024,
            small_body: 64 * 1024,
            session: Duration::from_hours(1),
            sessions: 10_000,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::{Args as _, FromArgMatches as _};

    use super::*;

    fn settings(args: &[&str]) -> Settings {
        let command = Settings::augment_args(clap::Command::new("test"));
        let matches = command.try_get_matches_from([&["test"], args].concat()).unwrap();
        Settings::from_arg_matches(&matches).unwrap()
    }

    #[test]
    fn the_defaults_are_those_of_the_older_system() {
        assert_eq!(settings(&[]).rules(), Rules::default());
    }

    #[test]
    fn fewer_at_most_than_at_least_is_a_mistake() {
        let same = settings(&["--min-instances", "3", "--max-instances", "3"]);
        let crossed = settings(&["--min-instances", "4", "--max-instances", "3"]);

        assert_eq!(same.check(), Ok(()));
        assert_eq!(crossed.check().unwrap_err().code, 78);
    }
}
