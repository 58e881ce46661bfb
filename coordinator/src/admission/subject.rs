//! Whose breaker it is.

use protocol::admission::BreakerScope;

/// A runner, and the way to it: by new work, or by requests to the endpoint of an agent.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Subject {
    pub scope: BreakerScope,
    /// Its id.
    pub runner: String,
}

impl Subject {
    /// A runner, reached by requests to its endpoint.
    pub fn agent(runner: &str) -> Self {
        Self { scope: BreakerScope::Agent, runner: runner.to_owned() }
    }
}

/// A runner, reached by new work.
impl From<&str> for Subject {
    fn from(runner: &str) -> Self {
        Self { scope: BreakerScope::Runner, runner: runner.to_owned() }
    }
}

impl From<&String> for Subject {
    fn from(runner: &String) -> Self {
        Self::from(runner.as_str())
    }
}
