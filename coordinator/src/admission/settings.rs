//! The settings of the circuit breakers.

use std::time::Duration;

use daemon::duration;

use super::Rules;

/// When a runner that fails is left alone, and for how long.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub struct Settings {
    /// After how many failures in a row a runner is left alone.
    ///
    /// A failure is: a loss with running tasks, an attempt or a gateway request that did not reach
    /// it, a 5xx of it, or no answer in time.
    #[arg(long, env = "CIRCUIT_FAILURE_THRESHOLD", default_value_t = 5, value_name = "COUNT",
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub circuit_failure_threshold: u32,

    /// For how long it is left alone; then one try decides.
    #[arg(long, env = "CIRCUIT_RECOVERY_TIME", default_value = "30s", value_name = "DURATION",
          value_parser = duration::parse)]
    pub circuit_recovery_time: Duration,
}

impl Settings {
    /// Returns the rules of every breaker.
    pub fn rules(&self) -> Rules {
        Rules { threshold: self.circuit_failure_threshold, recovery: self.circuit_recovery_time }
    }
}
