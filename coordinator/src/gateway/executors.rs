//! Which registered executors routing.yaml names, and what each wants to see.

use std::collections::BTreeMap;

use reqwest::header::HeaderValue;
use url::Url;

use crate::fleet::entry_of;
use crate::routing::{ExecutorName, Routing};
use crate::runners::Runner;

/// What is known of executors beside their registration.
#[derive(Debug, Clone, Default)]
pub struct Executors {
    routing: Option<Routing>,
    /// The tokens of those that routing.yaml names.
    tokens: BTreeMap<ExecutorName, HeaderValue>,
    /// What all others want (`EXECUTOR_TOKEN_FILE`).
    registered: Option<HeaderValue>,
}

/// What is known of one executor beside its registration.
#[derive(Debug, Clone, Default)]
pub(super) struct Known {
    /// Where routing.yaml says that it is: a registration cannot lead its token elsewhere.
    pub(super) url: Option<Url>,
    pub(super) token: Option<HeaderValue>,
}

impl Executors {
    /// Takes over what routing.yaml and the settings say.
    pub fn new(
        routing: Routing,
        tokens: BTreeMap<ExecutorName, HeaderValue>,
        registered: Option<HeaderValue>,
    ) -> Self {
        Self { routing: Some(routing), tokens, registered }
    }

    pub(super) fn of(&self, runner: &Runner) -> Known {
        let entry = self.routing.as_ref().and_then(|routing| {
            let url = Url::parse(&runner.endpoint).ok();
            let name = entry_of(runner, url.as_ref(), routing)?;
            Some((name.clone(), routing.executors.get(&name)?.url.clone()))
        });
        match entry {
            Some((name, url)) => Known { url: Some(url), token: self.tokens.get(&name).cloned() },
            None => Known { url: None, token: self.registered.clone() },
        }
    }
}
