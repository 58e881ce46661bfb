//! Secrets reach tasks and nothing else; new work can be held off.

use executor_sdk::harness::{Ending, Harness, Health, RefusalCode};
use executor_sdk::prelude::*;

#[derive(Args, Debug)]
struct Keeper {
    #[arg(skip)]
    fails_to_prepare: bool,
    #[arg(skip)]
    is_prepared: bool,
}

impl Executor for Keeper {
    const NAME: &'static str = "keeper-executor";

    fn prepare(&mut self) -> Result<(), Failure> {
        self.is_prepared = true;
        if self.fails_to_prepare { Err(Failure::new("the table is crooked")) } else { Ok(()) }
    }

    fn tasks() -> Tasks<Self> {
        Tasks::new().with::<Blab>().with::<HoldOff>()
    }
}

fn keeper() -> Keeper {
    Keeper { fails_to_prepare: false, is_prepared: false }
}

/// Shows a secret in every way it can.
#[derive(Deserialize, JsonSchema)]
struct Blab {
    #[serde(default)]
    token: Option<Secret>,
    #[serde(default)]
    fail: bool,
}

impl Task<Keeper> for Blab {
    const TYPE: &'static str = "blab";

    async fn run(self, keeper: &Keeper, cx: &Context) -> TaskResult {
        assert!(keeper.is_prepared, "a task runs on an executor that was not prepared");
        let token = cx.secret(&self.token.unwrap_or_else(|| Secret::named("token")))?;
        let token = token.expose();
        cx.log(format!("the token is {token}"));
        let (first, second) = token.split_at(3);
        cx.print(first);
        cx.print(format!("{second}\n"));
        cx.run_command("sh").args(["-c", "echo \"$1\"; printf %s \"$1\" >&2", "x", token]).await?;
        let data =
            json!({"token": token, "of": token.len(), "deep": [{"text": format!("<{token}>")}]});
        if self.fail {
            return Err(Failure::new(format!("`{token}` does not fit")).with_data(&data));
        }
        Ok(Report::text(format!("used {token}")).with_data(&data))
    }
}

/// Holds new work off until it is cancelled.
#[derive(Deserialize, JsonSchema)]
struct HoldOff {}

impl Task<Keeper> for HoldOff {
    const TYPE: &'static str = "hold-off";

    async fn run(self, _: &Keeper, cx: &Context) -> TaskResult {
        let hold = cx.hold_new_work("the machine goes to sleep");
        cx.log(format!("others: {:?}", hold.others()));
        cx.cancelled().await;
        Ok(Report::done())
    }
}

#[tokio::test]
async fn a_secret_is_in_no_log_and_no_outcome() {
    let keeper = Harness::with(keeper()).secret("token", "hunter2x\n").start().await;

    for fail in [false, true] {
        let order = Harness::new_order("blab", json!({"token": "secret:token", "fail": fail}));
        let outcome = keeper.order(&order).await.unwrap();

        assert_eq!(outcome.status == Ending::Completed, !fail, "{outcome:?}");
        assert_eq!(outcome.data["of"], json!(8), "the task itself has it: {outcome:?}");
        assert_eq!(outcome.data["deep"][0]["text"], json!("<***>"));
        let log = keeper.log(order.attempt.unwrap()).await;
        assert!(log.starts_with("the token is ***\n***\n***\n***"), "{log}");
        let told = format!("{outcome:?}{log}");
        assert!(!told.contains("hunter2x"), "{told}");
    }
}

#[tokio::test]
async fn what_is_no_reference_is_refused_without_repeating_it() {
    let keeper = Harness::with(keeper()).start().await;

    let written = keeper.execute("blab", json!({"token": "hunter2x"})).await.unwrap_err();
    let absent = keeper.execute("blab", json!({"token": "secret:absent"})).await.unwrap();

    assert_eq!(written.code, RefusalCode::InvalidParams);
    assert!(written.error.contains("`token`"), "{written:?}");
    assert!(!format!("{written:?}").contains("hunter2x"), "{written:?}");
    assert_eq!(absent.status, Ending::Failed);
    assert!(absent.error.unwrap().contains("this node has no `secret:absent`"));
}

#[tokio::test]
async fn while_work_is_held_off_nothing_starts_and_health_says_why() {
    let keeper = Harness::with(keeper()).secret("token", "abc").start().await;
    let first = keeper.execute_async("hold-off", json!({})).await.unwrap();
    keeper.log_contains(first.attempt, "others: []").await;

    let health = keeper.health().await;
    let refused = keeper.execute("blab", json!({})).await.unwrap_err();
    keeper.cancel(first.attempt).await.unwrap();
    keeper.outcome(first.attempt).await;

    assert_eq!(health.status, Health::Draining);
    assert_eq!(health.reasons, ["the machine goes to sleep"]);
    assert_eq!(refused.code, RefusalCode::Draining);
    assert!(refused.error.contains("the machine goes to sleep"), "{refused:?}");
    assert_eq!(keeper.health().await.status, Health::Healthy);
    assert_eq!(keeper.execute("blab", json!({})).await.unwrap().status, Ending::Completed);
}

#[tokio::test]
#[should_panic(expected = "the table is crooked")]
async fn settings_that_do_not_hold_do_not_start() {
    Harness::start(Keeper { fails_to_prepare: true, is_prepared: false }).await;
}
