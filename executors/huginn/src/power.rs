//! Taking this machine away: announced, and not while others work on it.

use std::fs;

use executor_sdk::Hold;
use executor_sdk::prelude::*;
use futures::StreamExt as _;
use tokio::time::{sleep, timeout};

use crate::Huginn;
use crate::logind::{Deed, Logind};

/// How long logind may take to begin what it was ordered to do.
const BEGIN: Duration = Duration::from_secs(15);

/// How long the outcome has to leave the machine; logind waits 5 s at most.
const FAREWELL: Duration = Duration::from_secs(3);

/// How long, while it is awake, a machine may seem to go away and not do it.
const AWAY: Duration = Duration::from_mins(10);

/// The longest notice.
const LONGEST_NOTICE: f64 = 60.0;

/// How this machine is taken away: the params of both tasks.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(inline)]
pub(crate) struct Leave {
    /// Whether it happens although others work here.
    #[serde(default)]
    force: bool,
    /// How long it is announced before it happens, in seconds.
    #[serde(default = "ten_seconds")]
    notice_seconds: f64,
}

fn ten_seconds() -> f64 {
    10.0
}

impl Leave {
    /// Does it: announces it, looks who works, orders it, and returns when it has begun.
    pub(crate) async fn take_away(self, deed: Deed, huginn: &Huginn, cx: &Context) -> TaskResult {
        if !(0.0..=LONGEST_NOTICE).contains(&self.notice_seconds) {
            let error = format!("`notice_seconds` must lie between 0 and {LONGEST_NOTICE}");
            return Err(Failure::new(error));
        }
        take_away(deed, self.force, self.notice_seconds, huginn, cx).await
    }
}

async fn take_away(
    deed: Deed,
    force: bool,
    notice_seconds: f64,
    huginn: &Huginn,
    cx: &Context,
) -> TaskResult {
    let words = deed.words();
    let logind = Logind::connect(huginn.system_bus.as_deref(), deed).await?;
    logind.check().await?;
    let hold =
        cx.hold_new_work(format!("this machine is about to {words}, ordered by {}", cx.task_id()));
    let ignored = at_work(&hold, &logind, force, huginn, cx).await?;
    cx.log(format!("about to {words} in {notice_seconds} s; no new work is taken"));
    sleep(Duration::from_secs_f64(notice_seconds)).await;
    // Another executor of this machine may have begun something meanwhile.
    at_work(&hold, &logind, force, huginn, cx).await?;

    let delay = logind.delay().await;
    let mut begins = logind.begins().await?;
    logind.order().await?;
    let has_begun = async { while !begins.next().await.unwrap_or(true) {} };
    if timeout(BEGIN, has_begun).await.is_err() {
        let seconds = BEGIN.as_secs();
        let error =
            format!("logind took the order to {words}, but did not begin within {seconds} s");
        return Err(Failure::new(error));
    }
    // The outcome must leave before the machine goes; new work stays away until it is back.
    let until_back = async move {
        sleep(FAREWELL).await;
        drop(delay);
        let is_back = async { while begins.next().await.unwrap_or(false) {} };
        drop(timeout(AWAY, is_back).await);
        drop(hold);
        drop(logind);
    };
    #[expect(
        clippy::disallowed_methods,
        reason = "a drain must not wait for the machine's return"
    )]
    drop(tokio::spawn(until_back));
    let data = json!({"deed": words, "begun": true, "forced": force, "ignored": ignored});
    Ok(Report::text(format!("logind has begun to {words}")).with_data(&data))
}

/// Refuses while somebody works here, unless forced. Returns whom it ignores.
async fn at_work(
    hold: &Hold,
    logind: &Logind,
    force: bool,
    huginn: &Huginn,
    cx: &Context,
) -> Result<Vec<String>, Failure> {
    let mut busy = hold.others();
    let processes = huginn.processes.as_deref().unwrap_or(Path::new("/proc"));
    busy.extend(strangers(processes, &cx.attempt().to_string()));
    busy.extend(logind.holders().await?);
    if busy.is_empty() || force {
        return Ok(busy);
    }
    let error =
        format!("refused while others work here: {}; `force` ignores that", busy.join(", "));
    Err(Failure::new(error).with_data(&json!({"at_work": busy})))
}

/// Lists the commands of attempts of other executors of this machine, as far as this user may see
/// them. Each carries the attempt in its environment.
fn strangers(processes: &Path, own: &str) -> Vec<String> {
    let folders = fs::read_dir(processes).into_iter().flatten().flatten();
    let mut found: Vec<_> = folders
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()))
        .filter_map(|pid| attempt_of(&fs::read(processes.join(pid).join("environ")).ok()?))
        .filter(|attempt| attempt != own)
        .map(|attempt| format!("a command of attempt {attempt}"))
        .collect();
    found.sort();
    found.dedup();
    found
}

/// Reads `YGGDRASIL_ATTEMPT=SPOOL/LIFE/ATTEMPT/COMMAND`.
fn attempt_of(environ: &[u8]) -> Option<String> {
    let mut variables = environ.split(|byte| *byte == 0);
    let mark = variables.find_map(|variable| variable.strip_prefix(b"YGGDRASIL_ATTEMPT="))?;
    let attempt = std::str::from_utf8(mark).ok()?.split('/').nth(2)?;
    Some(attempt.chars().take(64).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_attempt_of_a_command_is_read_from_its_environment() {
        let environ = b"PATH=/bin\0YGGDRASIL_ATTEMPT=a/b/019a-77/3\0X=1\0";
        assert_eq!(attempt_of(environ).as_deref(), Some("019a-77"));
        assert_eq!(attempt_of(b"PATH=/bin\0"), None);
        assert_eq!(attempt_of(b"YGGDRASIL_ATTEMPT=odd"), None);
    }
}
