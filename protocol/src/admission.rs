//! Circuit breakers: which runners are left alone for a while, and whether new work is taken at
//! all (`GET /admission`).

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Whether something is let through.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    JsonSchema,
    ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum BreakerState {
    /// Everything is let through.
    #[default]
    Closed,
    /// One try is let through; how it ends decides.
    HalfOpen,
    /// Nothing is let through.
    Open,
}

impl BreakerState {
    /// Returns the word used on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::HalfOpen => "half_open",
            Self::Open => "open",
        }
    }
}

/// What a breaker stands between.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum BreakerScope {
    /// Between new work and a runner.
    #[default]
    Runner,
    /// Between requests through the gateway and a runner that is no executor of ours: its endpoint
    /// says nothing about its task list.
    Agent,
}

impl BreakerScope {
    /// Returns the word used on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Runner => "runner",
            Self::Agent => "agent",
        }
    }
}

/// The answer of `GET /admission`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Admission {
    /// The coordinator's clock.
    pub timestamp: Timestamp,
    /// After how many failures in a row a runner's breaker opens (`CIRCUIT_FAILURE_THRESHOLD`).
    pub failure_threshold: u32,
    /// For how many seconds it stays open (`CIRCUIT_RECOVERY_TIME`).
    pub recovery_seconds: f64,
    /// Whether new work is taken at all.
    pub global: GlobalBreaker,
    /// Every registered runner, in the order of first registration; one whose endpoint was asked
    /// through the gateway a second time, with the scope `agent`.
    pub runners: Vec<RunnerBreaker>,
    /// How many breakers are listed.
    pub count: usize,
    /// The last hundred transitions, oldest first.
    pub events: Vec<Transition>,
}

/// Whether new work is taken at all.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct GlobalBreaker {
    /// `closed` or `open`; it closes as soon as its cause is gone.
    pub state: BreakerState,
    /// Since when.
    pub since: Timestamp,
    /// Always absent: it ends with its cause, not at a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// Why it is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// What there was to count.
    pub counts: GlobalCounts,
}

/// What is counted over all runners.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema,
)]
#[serde(rename_all = "camelCase")]
pub struct GlobalCounts {
    /// Runners whose breaker is closed now.
    pub closed: u64,
    /// Runners whose breaker is half open now.
    pub half_open: u64,
    /// Runners whose breaker is open now.
    pub open: u64,
    /// How often the global breaker opened in this life of the coordinator.
    pub opened: u64,
    /// What was refused while the global breaker was open, in this life of the coordinator.
    pub refused: u64,
}

/// Whether one runner is given work.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunnerBreaker {
    /// The runner.
    pub runner_id: String,
    /// Its name.
    pub name: String,
    /// What the breaker stands between.
    #[serde(default)]
    pub scope: BreakerScope,
    /// Its breaker.
    pub state: BreakerState,
    /// Since when.
    pub since: Timestamp,
    /// Until when it stays open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// The failure that opened it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// What there was to count.
    pub counts: BreakerCounts,
}

/// What is counted of one runner, in this life of the coordinator.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema,
)]
#[serde(rename_all = "camelCase")]
pub struct BreakerCounts {
    /// Failures in a row, up to now.
    pub in_a_row: u64,
    /// All failures.
    pub failed: u64,
    /// All successes.
    pub succeeded: u64,
    /// What was refused.
    pub refused: u64,
    /// How often the breaker opened.
    pub opened: u64,
}

/// A breaker went from one state to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Transition {
    /// When.
    pub timestamp: Timestamp,
    /// Whose breaker; absent for the global one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runner_id: Option<String>,
    /// What it stands between; absent for the global one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<BreakerScope>,
    /// The state that it left.
    pub from: BreakerState,
    /// The state that it is in since.
    pub to: BreakerState,
    /// Why.
    pub cause: String,
}
