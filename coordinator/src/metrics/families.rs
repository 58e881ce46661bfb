//! Every name on the page, in the order in which they stand there.

/// What a family's values mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Gauge,
    Counter,
    Histogram,
}

impl Kind {
    /// Returns the word behind `# TYPE`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gauge => "gauge",
            Self::Counter => "counter",
            Self::Histogram => "histogram",
        }
    }
}

/// One name with its type and its help.
#[derive(Debug)]
pub struct Family {
    /// Without the prefix.
    pub name: &'static str,
    pub kind: Kind,
    pub help: &'static str,
}

impl Family {
    pub(super) const fn gauge(name: &'static str, help: &'static str) -> Self {
        Self { name, kind: Kind::Gauge, help }
    }

    pub(super) const fn counter(name: &'static str, help: &'static str) -> Self {
        Self { name, kind: Kind::Counter, help }
    }

    pub(super) const fn histogram(name: &'static str, help: &'static str) -> Self {
        Self { name, kind: Kind::Histogram, help }
    }
}

macro_rules! families {
    ($($(#[$doc:meta])* $id:ident = $kind:ident $name:literal, $help:literal;)*) => {
        $($(#[$doc])* pub(super) static $id: Family = Family::$kind($name, $help);)*
        /// Every family, in the order of the page.
        pub static ALL: &[&Family] = &[$(&$id),*];
    };
}

// The help of those that existing dashboards query is part of their contract, word for word.
families! {
    RUNNERS_TOTAL = gauge "runners_total", "Total number of registered runners";
    RUNNERS_ONLINE = gauge "runners_online", "Number of online runners";
    RUNNERS_OFFLINE = gauge "runners_offline", "Number of offline runners";
    UPTIME = gauge "uptime_seconds", "Server uptime in seconds";
    TASKS_RUNNING = gauge "tasks_running", "Number of currently running tasks across all runners";
    API_KEYS = gauge "api_keys_total", "Number of configured API keys";
    VERSION = gauge "version_info",
        "Current Yggdrasil version (always 1) — label carries the running version";
    LATEST_VERSION = gauge "npm_latest_version",
        "Latest Yggdrasil version on npm (always 1) — label carries the latest version";
    EXPECTED_VERSION = gauge "expected_runner_version",
        "Expected runner version (always 1) — label carries the expected version";
    RUNNER_CPU = gauge "runner_cpu_percent", "CPU usage percent per runner";
    RUNNER_MEMORY = gauge "runner_memory_percent", "Memory usage percent per runner";
    RUNNER_MEMORY_USED = gauge "runner_memory_used_bytes", "Memory used bytes per runner";
    RUNNER_VERSION = gauge "runner_version_info",
        "Runner version (always 1) — labels carry version";
    RUNNER_OUTDATED = gauge "runner_outdated", "Outdated runner flag (1 = version mismatch)";
    RUNNER_PENDING_UPDATE = gauge "runner_pending_update",
        "Pending update flag per runner (1 = update pending)";
    RUNNER_PENDING_KEY = gauge "runner_pending_api_key_rotation",
        "Pending API key rotation flag per runner (1 = pending)";
    RUNNER_UPDATE_STATUS = gauge "runner_update_status",
        "Self-update status of each runner (1 = current status)";
    RUNNER_UPDATE_LOG = gauge "runner_update_log",
        "Raw update log tail per runner — last ~2KB of output";

    RUNNERS_REGISTERED = gauge "runners_registered", "Number of registered runners";
    RUNNER_INFO = gauge "runner_info", "Runner metadata";
    RUNNER_UPTIME = gauge "runner_uptime_seconds", "Runner uptime, as the runner reports it";
    RUNNER_LEASES = gauge "runner_leases", "Lease expiry timestamp of each runner that is online";
    RUNNER_TASKS = gauge "runner_tasks_running", "Running task count";
    TASKS_DISPATCHED = counter "tasks_dispatched_total", "Total dispatched tasks";
    TASKS_COMPLETED = counter "tasks_completed_total", "Total completed tasks, by how they ended";

    RUNNER_CHANGES = counter "runner_changes_total", "Runners that came and went, by what happened";
    FLEET_STATE = gauge "fleet_state",
        "Executors and runners as beads see them (1 = in this state)";
    FLEET_RUNNING = gauge "fleet_running", "Attempts that run on an executor or runner";
    FLEET_CAPACITY = gauge "fleet_capacity",
        "How many attempts an executor or runner takes at a time";

    BEADS_LISTED = gauge "beads_listed",
        "Ready beads in the last listing, those of people included";
    BEADS_READY = gauge "beads_ready", "Ready beads in the last listing that have a task type";
    BEADS_WAITING = gauge "beads_waiting",
        "Ready beads that do not start now, by the code of the reason";
    BEADS_ACTIVE = gauge "beads_active", "Beads with an attempt that is not over";
    BEADS_HELD = gauge "beads_held", "Beads blocked by the coordinator that it will open again";
    BEADS_OLDEST = gauge "beads_oldest_ready_seconds",
        "How long the ready bead that was listed first has been listed";
    BEAD_QUEUE = histogram "bead_queue_seconds",
        "From a bead's creation, or its first listing, to the start on an executor";
    ATTEMPTS_OPEN = gauge "attempts_open", "Attempts that are not over, by stage";
    ATTEMPTS_STARTED = counter "attempts_started_total", "Attempts that an executor took";
    ATTEMPTS_ENDED = counter "attempts_ended_total", "Attempts that ended, by ending and class";
    ATTEMPTS_SETTLED = counter "attempts_settled_total",
        "Ends written into beads, by what was written";
    ATTEMPT_TIMES = histogram "attempt_duration_seconds", "How long attempts ran, by executor";
    OUTBOX_WAITING = gauge "outbox_waiting",
        "Attempts that ended and are not written into their beads yet";
    OUTBOX_OLDEST = gauge "outbox_oldest_seconds", "How long the oldest of them has waited";
    LISTINGS = counter "listings_total", "Listings of the beads, by how they came out";
    LISTING_TIMES = histogram "listing_seconds", "How long it took to list the beads";
    LISTED_AT = gauge "last_listing_timestamp_seconds", "When the beads were last listed";
    PLAN_TIMES = histogram "plan_seconds", "How long it took to decide about all listed beads";
    INTAKE_OPEN = gauge "intake_open", "1 while new beads are taken";
    INTAKE_STATE = gauge "intake_state",
        "Whether new beads are taken, and else why not (1 = in this state)";
    TROUBLES = gauge "troubles", "Things that need attention; /health names them";
    BEADS_COMMANDS = histogram "beads_command_seconds", "How long commands of the Beads CLI took";
    BEADS_FAILURES = counter "beads_command_failures_total",
        "Commands of the Beads CLI that failed, by trouble";
    BEADS_QUEUE = gauge "beads_commands_waiting",
        "Commands of the Beads CLI that wait for their turn, or run";
    LEDGER_TIMES = histogram "ledger_write_seconds",
        "How long writes of the ledger took, by operation";
    LEDGER_FAILURES = counter "ledger_failures_total",
        "Writes of the ledger that failed, by operation";

    BREAKER_STATE = gauge "breaker_state",
        "Circuit breakers that were ever used: 0 closed, 1 half open, 2 open";
    BREAKER_CHANGES = counter "breaker_changes_total",
        "Transitions of the circuit breakers of runners, by new state";
    KEY_REFUSALS = counter "key_refusals_total", "Requests that were not let in, by the reason";
    HOOKS = counter "offline_hook_total", "Deliveries of the offline hook, by what became of them";

    GATEWAY_REQUESTS = counter "gateway_requests_total", "Requests for agents, by agent and result";
    GATEWAY_TIMES = histogram "gateway_request_seconds",
        "How long requests for agents took, with all tries";
    GATEWAY_RETRIES = counter "gateway_retries_total",
        "Tries after one that failed, by the agent tried next";
    GATEWAY_IN_FLIGHT = gauge "gateway_in_flight", "Requests that an agent works on";
    GATEWAY_AGENT_UP = gauge "gateway_agent_up", "1 while an agent's probe answers";
    GATEWAY_QUEUE = gauge "gateway_queue_depth", "Requests that wait for an agent";
    GATEWAY_QUEUE_LIMIT = gauge "gateway_queue_limit", "How many requests may wait for an agent";
    GATEWAY_QUEUE_TIMES = histogram "gateway_queue_seconds",
        "How long requests waited for an agent";
    GATEWAY_CONCURRENCY = gauge "gateway_concurrency_limit",
        "How many requests an agent works on at most";
    GATEWAY_SESSIONS = gauge "gateway_sessions", "Sessions that have an agent of their own";
    GATEWAY_HITS = counter "gateway_affinity_hits_total",
        "Requests that went to their session's own agent";
    GATEWAY_MOVES = counter "gateway_affinity_moves_total",
        "Sessions that had to leave their agent, by the new one";
    GATEWAY_LEAST = gauge "gateway_instances_min", "MIN_INSTANCES, as it is set";
    GATEWAY_MOST = gauge "gateway_instances_max", "MAX_INSTANCES, as it is set";

    MEMORY = gauge "process_resident_memory_bytes", "Resident memory of the coordinator";
}
