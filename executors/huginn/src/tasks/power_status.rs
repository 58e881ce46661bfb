//! `power-status`: which machines are up, and how that is known.

use std::net::IpAddr;

use executor_sdk::prelude::*;
use futures::StreamExt as _;
use futures::stream;

use crate::Huginn;
use crate::reach::{self, Seen};
use crate::target::Target;

/// How many machines one order may ask for, and how many of them at a time.
const MOST: usize = 256;
const AT_A_TIME: usize = 32;

/// Tells of each machine whether it is up, asleep or unreachable, and how that is known; with
/// `expect` it fails when one is not so.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct PowerStatus {
    /// The machines: names of the host table, or `name`, `name:port` (default: the whole table).
    #[serde(default)]
    hosts: Option<Vec<Target>>,
    /// What all of them are to be (default: anything).
    #[serde(default)]
    expect: Option<State>,
    /// How long each question may take, in seconds.
    #[serde(default = "two_seconds")]
    timeout_seconds: f64,
}

fn two_seconds() -> f64 {
    2.0
}

/// What a machine is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum State {
    /// It answers.
    Up,
    /// It is silent in a network that works: asleep, or off.
    Asleep,
    /// Nothing can be said: no such name, no way there, or somebody in between is silent.
    Unreachable,
}

#[derive(Debug, Serialize)]
struct Machine {
    name: String,
    state: State,
    /// How that is known.
    how: String,
    address: Option<String>,
    latency_ms: Option<f64>,
    /// Whether the host table knows how to wake it.
    can_be_woken: bool,
}

impl Task<Huginn> for PowerStatus {
    const TYPE: &'static str = "power-status";
    const TIMEOUT: Option<Duration> = Some(Duration::from_mins(2));
    const IDEMPOTENT: bool = true;

    async fn run(self, huginn: &Huginn, cx: &Context) -> TaskResult {
        if !(0.01..=60.0).contains(&self.timeout_seconds) {
            return Err(Failure::new("`timeout_seconds` must lie between 0.01 and 60"));
        }
        let limit = Duration::from_secs_f64(self.timeout_seconds);
        let targets = match self.hosts {
            Some(targets) => targets,
            None => huginn.table.names().filter_map(|name| Target::parse(name).ok()).collect(),
        };
        if targets.is_empty() {
            return Err(Failure::new("nobody is asked for: give `hosts`, or fill the host table"));
        }
        if targets.len() > MOST {
            let asked = targets.len();
            return Err(Failure::new(format!(
                "{asked} machines are asked for; {MOST} are allowed"
            )));
        }
        let machines: Vec<_> = stream::iter(targets)
            .map(|target| look(target, limit, huginn))
            .buffered(AT_A_TIME)
            .collect()
            .await;
        for machine in &machines {
            cx.log(machine.line());
        }
        verdict(&machines, self.expect)
    }
}

async fn look(target: Target, limit: Duration, huginn: &Huginn) -> Machine {
    let known = huginn.table.get(&target.host).ok();
    let mut machine = Machine {
        name: target.host.clone(),
        state: State::Unreachable,
        how: String::new(),
        address: None,
        latency_ms: None,
        can_be_woken: known.is_some_and(|host| host.mac.is_some()),
    };
    let address = match reach::address_of(huginn.table.address(&target.host), limit).await {
        Ok(address) => address,
        Err(why) => return Machine { how: why, ..machine },
    };
    machine.address = Some(address.to_string());
    let port = target.port.or(known.and_then(|host| host.port));
    (machine.state, machine.how) = match reach::look(address, port, limit).await {
        Seen::Up { how, latency } => {
            machine.latency_ms = Some(latency.as_secs_f64() * 1e3);
            (State::Up, how)
        }
        Seen::Silent { how } => silent(address, &how),
        Seen::Unreachable { how } => (State::Unreachable, how),
    };
    machine
}

/// Tells a machine that sleeps from one that somebody hides.
fn silent(address: IpAddr, how: &str) -> (State, String) {
    match address {
        IpAddr::V4(address) if !reach::is_neighbour(address) => {
            (State::Unreachable, format!("{how}; it is in none of this machine's networks"))
        }
        IpAddr::V4(address) if reach::answers_arp(address) => {
            (State::Unreachable, format!("{how}, yet its card answers: something drops packets"))
        }
        IpAddr::V4(_) => {
            (State::Asleep, format!("{how}, and nobody in its network has the address"))
        }
        IpAddr::V6(_) => (State::Unreachable, how.to_owned()),
    }
}

impl Machine {
    fn line(&self) -> String {
        let state = match self.state {
            State::Up => "up",
            State::Asleep => "asleep",
            State::Unreachable => "unreachable",
        };
        format!("{}: {state} ({})", self.name, self.how)
    }
}

fn verdict(machines: &[Machine], expect: Option<State>) -> TaskResult {
    let count = |state| machines.iter().filter(|machine| machine.state == state).count();
    let (up, asleep, unreachable) =
        (count(State::Up), count(State::Asleep), count(State::Unreachable));
    let data = json!({"hosts": machines, "up": up, "asleep": asleep, "unreachable": unreachable});
    let wrong: Vec<_> = machines
        .iter()
        .filter(|machine| expect.is_some_and(|expected| machine.state != expected))
        .map(Machine::line)
        .collect();
    if !wrong.is_empty() {
        return Err(Failure::new(format!("not as expected: {}", wrong.join("; "))).with_data(&data));
    }
    let text = format!("{up} up, {asleep} asleep, {unreachable} unreachable");
    Ok(Report::text(text).with_data(&data))
}
