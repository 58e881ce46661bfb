//! `service-restart`: restarts a systemd unit, and proves that a new one runs and stays.

use std::collections::BTreeMap;
use std::time::Instant;

use executor_sdk::prelude::*;

use crate::Huginn;

const BETWEEN_LOOKS: Duration = Duration::from_millis(250);

/// What systemd is asked of a unit.
const PROPERTIES: &str =
    "--property=LoadState,ActiveState,SubState,Result,InvocationID,MainPID,NRestarts,Type";

/// Restarts a systemd unit that the node's policy names under `allow.services`; proves that it runs
/// anew, and that it still does a while later.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct ServiceRestart {
    /// The unit; `plex` is `plex.service`.
    unit: String,
    /// How long it may take to be active, in seconds.
    #[serde(default = "a_minute")]
    wait_seconds: f64,
    /// How long it must then stay active, in seconds: what crashes at its start does not.
    #[serde(default = "three_seconds")]
    settle_seconds: f64,
}

fn a_minute() -> f64 {
    60.0
}

fn three_seconds() -> f64 {
    3.0
}

/// What systemd says of a unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Unit {
    load: String,
    active: String,
    sub: String,
    result: String,
    /// A new one with each start.
    invocation: String,
    pid: String,
    restarts: String,
    #[serde(skip)]
    is_oneshot: bool,
}

impl Task<Huginn> for ServiceRestart {
    const TYPE: &'static str = "service-restart";
    const TIMEOUT: Option<Duration> = Some(Duration::from_mins(5));
    const IDEMPOTENT: bool = true;
    const TOOLS: &'static [&'static str] = &["systemctl"];

    fn asks(params: &Map<String, Value>) -> Vec<Ask> {
        let unit = params.get("unit").and_then(Value::as_str).unwrap_or_default();
        vec![Ask::Service(unit.to_owned())]
    }

    async fn run(self, _: &Huginn, cx: &Context) -> TaskResult {
        let unit = unit_name(&self.unit).map_err(Failure::new)?;
        for (name, seconds) in
            [("wait_seconds", self.wait_seconds), ("settle_seconds", self.settle_seconds)]
        {
            if !(0.0..=600.0).contains(&seconds) {
                return Err(Failure::new(format!("`{name}` must lie between 0 and 600")));
            }
        }
        let before = look(&unit, cx).await?;
        match before.load.as_str() {
            "loaded" => {}
            "not-found" => return Err(Failure::new(format!("there is no unit `{unit}`"))),
            other => return Err(Failure::new(format!("the unit `{unit}` is {other}"))),
        }
        cx.log(format!("{unit} is {} ({})", before.active, before.sub));
        let start = Instant::now();
        let restarted = cx
            .run_command("systemctl")
            .args(["restart", "--no-ask-password", "--", &unit])
            .limit(Duration::from_mins(3))
            .await;
        let after = match restarted {
            Ok(_) => self.until_active(&unit, &before, cx).await,
            Err(failure) => Err(failure),
        };
        let seconds = (start.elapsed().as_secs_f64() * 1e3).round() / 1e3;
        match after {
            Ok(after) => {
                let data =
                    json!({"unit": unit, "before": before, "after": after, "seconds": seconds});
                let text = format!("{unit} runs anew: {} ({})", after.active, after.sub);
                Ok(Report::text(text).with_data(&data))
            }
            Err(failure) => {
                let now = look(&unit, cx).await.ok();
                let data =
                    json!({"unit": unit, "before": before, "after": now, "seconds": seconds});
                Err(failure.context(&unit).with_data(&data))
            }
        }
    }
}

impl ServiceRestart {
    async fn until_active(&self, unit: &str, before: &Unit, cx: &Context) -> Result<Unit, Failure> {
        let start = Instant::now();
        let first = loop {
            let now = look(unit, cx).await?;
            let is_new = now.invocation != before.invocation && !now.invocation.is_empty();
            if (is_new && now.is_well()) || now.is_forgotten() {
                break now;
            }
            if now.active == "failed" || start.elapsed().as_secs_f64() >= self.wait_seconds {
                let why = if is_new { now.words() } else { format!("{}, not anew", now.words()) };
                return Err(Failure::new(format!("it was restarted, and is {why}")));
            }
            tokio::time::sleep(BETWEEN_LOOKS).await;
        };
        let start = Instant::now();
        loop {
            let now = look(unit, cx).await?;
            let is_same = now.invocation == first.invocation && now.restarts == first.restarts;
            if !(is_same && now.is_well()) {
                let why = if is_same { now.words() } else { "started again since".to_owned() };
                return Err(Failure::new(format!("it does not stay active: it is {why}")));
            }
            if start.elapsed().as_secs_f64() >= self.settle_seconds {
                return Ok(now);
            }
            tokio::time::sleep(BETWEEN_LOOKS).await;
        }
    }
}

impl Unit {
    /// Active; or, where that is its nature, run to its good end.
    fn is_well(&self) -> bool {
        let has_ended = self.active == "inactive" && self.result == "success";
        self.active == "active" || (self.is_oneshot && has_ended)
    }

    /// A oneshot unit that nothing refers to is forgotten with its invocation as soon as it has
    /// ended. That it ran is then known from `systemctl restart` alone, which waits for its end and
    /// fails when it fails.
    fn is_forgotten(&self) -> bool {
        self.is_oneshot && self.is_well() && self.invocation.is_empty()
    }

    fn words(&self) -> String {
        format!("{} ({}, {})", self.active, self.sub, self.result)
    }
}

async fn look(unit: &str, cx: &Context) -> Result<Unit, Failure> {
    let shown = cx
        .run_command("systemctl")
        .args(["show", "--no-pager", PROPERTIES, "--", unit])
        .limit(Duration::from_secs(20))
        .split()
        .quiet()
        .await?;
    let all: BTreeMap<_, _> =
        shown.stdout().lines().filter_map(|line| line.split_once('=')).collect();
    let text = |name: &str| all.get(name).copied().unwrap_or_default().to_owned();
    if all.is_empty() {
        return Err(Failure::new(format!("`systemctl` says nothing of `{unit}`")));
    }
    Ok(Unit {
        load: text("LoadState"),
        active: text("ActiveState"),
        sub: text("SubState"),
        result: text("Result"),
        invocation: text("InvocationID"),
        pid: text("MainPID"),
        restarts: text("NRestarts"),
        is_oneshot: text("Type") == "oneshot",
    })
}

/// Returns the whole name of a unit that can be restarted.
fn unit_name(text: &str) -> Result<String, String> {
    let fits =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, ':' | '_' | '.' | '@' | '\\' | '-');
    if text.is_empty() || text.len() > 200 || text.starts_with('-') || !text.chars().all(fits) {
        let shown: String = text.chars().take(80).flat_map(char::escape_default).collect();
        return Err(format!("`unit` `{shown}` is no name of a unit"));
    }
    let known = [".service", ".socket", ".timer", ".path", ".mount", ".target"];
    let has_suffix = known.iter().any(|suffix| text.len() > suffix.len() && text.ends_with(suffix));
    Ok(if has_suffix { text.to_owned() } else { format!("{text}.service") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_whole_and_no_option() {
        assert_eq!(unit_name("plex").unwrap(), "plex.service");
        assert_eq!(unit_name("plex.service").unwrap(), "plex.service");
        assert_eq!(unit_name("getty@tty1").unwrap(), "getty@tty1.service");
        assert_eq!(unit_name("a.b").unwrap(), "a.b.service");
        assert_eq!(unit_name("backup.timer").unwrap(), "backup.timer");
        for bad in ["", "-x", "--now", "a b", "a;b", "../x", "a\0", "a\n", "$(x)", "*"] {
            assert!(unit_name(bad).is_err(), "{bad}");
        }
    }
}
