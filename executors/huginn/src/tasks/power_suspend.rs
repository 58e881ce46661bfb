//! `power-suspend`: this machine goes away, and says so before.

use executor_sdk::prelude::*;

use crate::Huginn;
use crate::logind::Deed;
use crate::power::Leave;

/// Suspends this machine through logind: new work is refused and `/health` says why, then it is
/// ordered; refused while other tasks run here or somebody holds it up.
///
/// It is completed when logind has begun; the outcome leaves before the machine goes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct PowerSuspend(Leave);

impl Task<Huginn> for PowerSuspend {
    const TYPE: &'static str = "power-suspend";
    const TIMEOUT: Option<Duration> = Some(Duration::from_mins(2));
    // Done again after its executor was lost, it would take the machine away that has just come
    // back.
    const IDEMPOTENT: bool = false;

    async fn run(self, huginn: &Huginn, cx: &Context) -> TaskResult {
        self.0.take_away(Deed::Suspend, huginn, cx).await
    }
}
