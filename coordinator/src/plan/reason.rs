//! The reasons for waiting: a stable code each, and a text made when it is shown.

use protocol::coordinator::Reason as ReasonView;

use crate::routing::ExecutorName;

/// Names that reasons point to by index, so that ten thousand reasons cost no text.
#[derive(Debug, Clone, Default)]
pub struct Names {
    executors: Vec<ExecutorName>,
    texts: Vec<String>,
}

impl Names {
    pub(super) fn executor(&mut self, name: &ExecutorName) -> u16 {
        let at = self.executors.iter().position(|known| known == name).unwrap_or_else(|| {
            self.executors.push(name.clone());
            self.executors.len() - 1
        });
        u16::try_from(at).unwrap_or(u16::MAX)
    }

    pub(super) fn text(&mut self, text: &str) -> u16 {
        let at = self.texts.iter().position(|known| known == text).unwrap_or_else(|| {
            self.texts.push(text.to_owned());
            self.texts.len() - 1
        });
        u16::try_from(at).unwrap_or(u16::MAX)
    }

    fn executor_at(&self, index: u16) -> &str {
        self.executors.get(usize::from(index)).map_or("?", ExecutorName::as_str)
    }

    fn text_at(&self, index: u16) -> &str {
        self.texts.get(usize::from(index)).map_or("?", String::as_str)
    }
}

/// Why a listed bead does not start now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Wait {
    BeadsTrouble,
    LedgerTrouble,
    CoordinatorDraining,
    TooBig,
    NoExecutor,
    NoRunner { wanted: u16 },
    RunnerOffline { executor: u16 },
    Brake { limit: u32 },
    LimitTotal { limit: u32 },
    LimitType { task_type: u16, limit: u32 },
    LimitLabel { label: u16, limit: u32 },
    LimitExecutor { executor: u16, limit: u32 },
    LimitHost { host: u16, limit: u32 },
    Exclusive { host: u16 },
    ExecutorBusy { executor: u16 },
    RunnerLeftAlone { executor: u16 },
    ExecutorUnknown { executor: u16 },
    ExecutorDraining { executor: u16 },
    ExecutorAway { executor: u16 },
    ExecutorMisconfigured { executor: u16 },
}

impl Wait {
    /// Every stable code.
    pub const CODES: [&str; 20] = [
        "beads_trouble",
        "ledger_trouble",
        "coordinator_draining",
        "too_big",
        "no_executor",
        "no_runner",
        "runner_offline",
        "brake",
        "limit_total",
        "limit_type",
        "limit_label",
        "limit_executor",
        "limit_host",
        "exclusive",
        "executor_busy",
        "runner_left_alone",
        "executor_unknown",
        "executor_draining",
        "executor_away",
        "executor_misconfigured",
    ];

    /// Whether more room is all that is missing.
    pub fn is_for_room(self) -> bool {
        match self {
            Self::Brake { .. }
            | Self::LimitTotal { .. }
            | Self::LimitType { .. }
            | Self::LimitLabel { .. }
            | Self::LimitExecutor { .. }
            | Self::LimitHost { .. }
            | Self::Exclusive { .. }
            | Self::ExecutorBusy { .. }
            | Self::RunnerLeftAlone { .. } => true,
            Self::BeadsTrouble
            | Self::LedgerTrouble
            | Self::CoordinatorDraining
            | Self::TooBig
            | Self::NoExecutor
            | Self::NoRunner { .. }
            | Self::RunnerOffline { .. }
            | Self::ExecutorUnknown { .. }
            | Self::ExecutorDraining { .. }
            | Self::ExecutorAway { .. }
            | Self::ExecutorMisconfigured { .. } => false,
        }
    }

    /// Returns the stable code.
    pub fn code(self) -> &'static str {
        match self {
            Self::BeadsTrouble => "beads_trouble",
            Self::LedgerTrouble => "ledger_trouble",
            Self::CoordinatorDraining => "coordinator_draining",
            Self::TooBig => "too_big",
            Self::NoExecutor => "no_executor",
            Self::NoRunner { .. } => "no_runner",
            Self::RunnerOffline { .. } => "runner_offline",
            Self::Brake { .. } => "brake",
            Self::LimitTotal { .. } => "limit_total",
            Self::LimitType { .. } => "limit_type",
            Self::LimitLabel { .. } => "limit_label",
            Self::LimitExecutor { .. } => "limit_executor",
            Self::LimitHost { .. } => "limit_host",
            Self::Exclusive { .. } => "exclusive",
            Self::ExecutorBusy { .. } => "executor_busy",
            Self::RunnerLeftAlone { .. } => "runner_left_alone",
            Self::ExecutorUnknown { .. } => "executor_unknown",
            Self::ExecutorDraining { .. } => "executor_draining",
            Self::ExecutorAway { .. } => "executor_away",
            Self::ExecutorMisconfigured { .. } => "executor_misconfigured",
        }
    }
}

/// A wait together with the names that it points to.
#[derive(Debug, Clone, Copy)]
pub struct Reason<'a> {
    pub wait: Wait,
    pub names: &'a Names,
}

impl Reason<'_> {
    /// Makes the text.
    pub fn view(&self) -> ReasonView {
        let names = self.names;
        let executor = |index| names.executor_at(index);
        let (text, hint): (String, Option<String>) = match self.wait {
            Wait::BeadsTrouble => (
                "the Beads CLI does not work, so nothing is claimed".to_owned(),
                Some("`ygg status` says what is wrong with it".to_owned()),
            ),
            Wait::LedgerTrouble => (
                "the coordinator's ledger cannot be written, so nothing is claimed".to_owned(),
                Some("`ygg status` says what is wrong with it".to_owned()),
            ),
            Wait::CoordinatorDraining => ("the coordinator is stopping".to_owned(), None),
            Wait::TooBig => (
                "the bead is larger than this bd can update".to_owned(),
                Some("use bd 1.0.5 or later, or shorten the bead".to_owned()),
            ),
            Wait::NoExecutor => ("no executor for it is known".to_owned(), None),
            Wait::NoRunner { wanted } => (
                format!("its route wants {}, and none has registered", names.text_at(wanted)),
                Some("GET /api/runners shows who has registered, and as what".to_owned()),
            ),
            Wait::RunnerOffline { executor: index } => (
                format!("{} is offline: nothing was heard of it within its lease", executor(index)),
                Some("start it again; GET /api/runners shows when it was last heard".to_owned()),
            ),
            Wait::Brake { limit } => (
                format!("the emergency brake holds: {limit} attempts started in the last minute"),
                Some("limits.attempts_per_minute in routing.yaml".to_owned()),
            ),
            Wait::LimitTotal { limit } => (
                format!("{limit} tasks run already, and that is the limit for all"),
                Some("limits.total in routing.yaml".to_owned()),
            ),
            Wait::LimitType { task_type, limit } => (
                format!("{limit} of `{}` run already", names.text_at(task_type)),
                Some("limits.per_type in routing.yaml".to_owned()),
            ),
            Wait::LimitLabel { label, limit } => (
                format!("{limit} with label `{}` run already", names.text_at(label)),
                Some("limits.per_label in routing.yaml".to_owned()),
            ),
            Wait::LimitExecutor { executor: index, limit } => {
                (format!("{} has its {limit} tasks already", executor(index)), None)
            }
            Wait::LimitHost { host, limit } => (
                format!("host {} has its {limit} tasks already", names.text_at(host)),
                Some("hosts.NAME.limit in routing.yaml".to_owned()),
            ),
            Wait::Exclusive { host } => (
                format!("a task that must run alone on host {} holds it back", names.text_at(host)),
                Some("limits.exclusive in routing.yaml".to_owned()),
            ),
            Wait::ExecutorBusy { executor: index } => {
                (format!("{} said that it is full", executor(index)), None)
            }
            Wait::RunnerLeftAlone { executor: index } => (
                format!("{} failed several times in a row and is left alone", executor(index)),
                Some("GET /admission shows until when, and what failed".to_owned()),
            ),
            Wait::ExecutorUnknown { executor: index } => {
                (format!("{} has not answered yet", executor(index)), None)
            }
            Wait::ExecutorDraining { executor: index } => {
                (format!("{} is stopping", executor(index)), None)
            }
            Wait::ExecutorAway { executor: index } => (
                format!("{} does not answer", executor(index)),
                Some(format!("systemctl status yggdrasil-{}", service(executor(index)))),
            ),
            Wait::ExecutorMisconfigured { executor: index } => (
                format!("{} is set up wrongly", executor(index)),
                Some("`ygg status` says what is wrong with it".to_owned()),
            ),
        };
        ReasonView { code: self.wait.code().to_owned(), text, hint }
    }
}

fn service(name: &str) -> String {
    if name.ends_with("-executor") { name.to_owned() } else { format!("{name}-executor") }
}
