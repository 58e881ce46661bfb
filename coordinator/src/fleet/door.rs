//! The way to whoever does a task: by `POST /execute`, or by a list that a runner reads.

use std::time::Duration;

use protocol::execute::{ExecuteRequest, Outcome};
use protocol::executor::AttemptView;
use uuid::Uuid;

use super::{ClientError, ExecutorClient, Log, Offer, TaskList};

/// The way to one executor or runner.
#[derive(Debug, Clone)]
pub enum Door {
    /// An executor of ours.
    Execute(ExecutorClient),
    /// Every other runner.
    List(TaskList),
}

impl Door {
    /// Whether both lead to the same place.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Execute(a), Self::Execute(b)) => a.address("/") == b.address("/"),
            (Self::List(a), Self::List(b)) => a.runner() == b.runner(),
            (Self::Execute(_) | Self::List(_), _) => false,
        }
    }

    /// Offers an attempt; the same attempt again joins the first.
    pub async fn offer(&self, request: &ExecuteRequest) -> Result<Offer, ClientError> {
        match self {
            Self::Execute(client) => client.offer(request).await,
            Self::List(list) => list.offer(request).await,
        }
    }

    /// Asks how an attempt is; the answer comes at its end, or after `wait`.
    pub async fn attempt(&self, id: Uuid, wait: Duration) -> Result<AttemptView, ClientError> {
        match self {
            Self::Execute(client) => client.attempt(id, wait).await,
            Self::List(list) => list.attempt(id, wait).await,
        }
    }

    /// Asks that an attempt be cancelled.
    pub async fn cancel(&self, id: Uuid) -> Result<(), ClientError> {
        match self {
            Self::Execute(client) => client.cancel(id).await,
            Self::List(list) => list.end(id, "cancelled").await,
        }
    }

    /// Ends an attempt whose time is over, where the other side keeps no limit of its own.
    pub async fn time_out(
        &self,
        id: Uuid,
        limit: Duration,
    ) -> Result<Option<Outcome>, ClientError> {
        match self {
            Self::Execute(_) => Ok(None),
            Self::List(list) => list.time_out(id, limit).await.map(Some),
        }
    }

    /// Whether the other side ends a task at its limit by itself.
    pub fn keeps_limits(&self) -> bool {
        match self {
            Self::Execute(_) => true,
            Self::List(_) => false,
        }
    }

    /// Reads an attempt's log from an offset; with `follow` until the attempt ends.
    pub async fn log(&self, id: Uuid, offset: u64, follow: bool) -> Result<Log, ClientError> {
        match self {
            Self::Execute(client) => client.log(id, offset, follow).await,
            Self::List(list) => list.log(id, offset, follow).await,
        }
    }
}
