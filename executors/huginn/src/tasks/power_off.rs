//! `power-off`: this machine goes away, and says so before.

use executor_sdk::prelude::*;

use crate::Huginn;
use crate::logind::Deed;
use crate::power::Leave;

/// Powers this machine off through logind: new work is refused and `/health` says why, then it is
/// ordered; refused while other tasks run here or somebody holds it up.
///
/// It is completed when logind has begun; the outcome leaves before the machine goes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct PowerOff(Leave);

impl Task<Huginn> for PowerOff {
    const TYPE: &'static str = "power-off";
    const TIMEOUT: Option<Duration> = Some(Duration::from_mins(2));
    // Done again after its executor was lost, it would take the machine away that has just come
    // back.
    const IDEMPOTENT: bool = false;

    async fn run(self, huginn: &Huginn, cx: &Context) -> TaskResult {
        self.0.take_away(Deed::PowerOff, huginn, cx).await
    }
}
