use std::time::Duration;

use proptest::prelude::*;

use super::*;

const RULES: Rules = Rules { threshold: 3, recovery: Duration::from_secs(30) };

struct Clock {
    start: Moment,
    passed: Duration,
}

impl Clock {
    fn new() -> Self {
        Self { start: Moment::now(), passed: Duration::ZERO }
    }

    fn now(&self) -> Moment {
        Moment { at: self.start.at + self.passed, mono: self.start.mono + self.passed }
    }
}

fn opened(clock: &Clock) -> Breaker {
    let mut breaker = Breaker::new(clock.now().at);
    for _ in 0..RULES.threshold {
        breaker.failed("no answer", clock.now(), RULES);
    }
    breaker
}

#[test]
fn it_opens_at_the_threshold_and_not_before() {
    let clock = Clock::new();
    let mut breaker = Breaker::new(clock.now().at);

    for _ in 1..RULES.threshold {
        assert_eq!(breaker.failed("no answer", clock.now(), RULES), None);
    }
    let change = breaker.failed("no answer", clock.now(), RULES);

    assert_eq!(change, Some(Change { from: BreakerState::Closed, to: BreakerState::Open }));
    assert_eq!(breaker.cause(), Some("no answer"));
    assert_eq!(breaker.until(), Some(clock.now().at + RULES.recovery));
    assert_eq!(breaker.admit(clock.now(), RULES), Err(RULES.recovery));
    assert_eq!(breaker.counts().refused, 1);
}

#[test]
fn a_success_between_failures_keeps_it_closed() {
    let clock = Clock::new();
    let mut breaker = Breaker::new(clock.now().at);

    for _ in 0..10 {
        breaker.failed("no answer", clock.now(), RULES);
        breaker.failed("no answer", clock.now(), RULES);
        breaker.succeeded(clock.now());
    }

    assert_eq!(breaker.state(), BreakerState::Closed);
    assert_eq!(breaker.counts().failed, 20);
}

#[test]
fn after_its_time_one_try_decides() {
    let mut clock = Clock::new();
    let mut breaker = opened(&clock);

    clock.passed = RULES.recovery;
    let admitted = breaker.admit(clock.now(), RULES);
    let second = breaker.admit(clock.now(), RULES);

    let half = Change { from: BreakerState::Open, to: BreakerState::HalfOpen };
    assert_eq!(admitted, Ok(Some(half)));
    assert_eq!(second, Err(RULES.recovery), "one at a time");
    let mut well = breaker.clone();
    assert_eq!(
        well.succeeded(clock.now()),
        Some(Change { from: BreakerState::HalfOpen, to: BreakerState::Closed })
    );
    assert_eq!(well.cause(), None);
    assert_eq!(
        breaker.failed("refused", clock.now(), RULES),
        Some(Change { from: BreakerState::HalfOpen, to: BreakerState::Open })
    );
    assert_eq!(breaker.cause(), Some("refused"));
}

#[test]
fn a_try_that_nobody_reports_blocks_for_a_while_only() {
    let mut clock = Clock::new();
    let mut breaker = opened(&clock);
    clock.passed = RULES.recovery;
    breaker.admit(clock.now(), RULES).unwrap();

    clock.passed = RULES.recovery * 2;

    assert_eq!(breaker.admit(clock.now(), RULES), Ok(None));
}

#[test]
fn a_try_that_was_never_made_leaves_room_for_another() {
    let mut clock = Clock::new();
    let mut breaker = opened(&clock);
    clock.passed = RULES.recovery;
    breaker.admit(clock.now(), RULES).unwrap();

    breaker.undone();

    assert_eq!(breaker.admit(clock.now(), RULES), Ok(None));
}

#[test]
fn a_late_success_does_not_close_an_open_one() {
    let clock = Clock::new();
    let mut breaker = opened(&clock);

    assert_eq!(breaker.succeeded(clock.now()), None);

    assert_eq!(breaker.state(), BreakerState::Open);
}

#[derive(Debug, Clone)]
enum Step {
    Ask,
    Succeed,
    Fail,
    Tick,
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        Just(Step::Ask),
        Just(Step::Succeed),
        Just(Step::Fail),
        Just(Step::Tick),
        (0_u64..40).prop_map(Step::Pass),
    ]
}

proptest! {
    #[test]
    fn whatever_happens_the_rules_hold(steps in proptest::collection::vec(step(), 0..200)) {
        let mut clock = Clock::new();
        let mut breaker = Breaker::new(clock.now().at);
        let mut in_a_row = 0;
        let mut opened_at = None;
        let mut tried_at: Option<Duration> = None;
        for step in steps {
            let before = breaker.state();
            match step {
                Step::Ask => {
                    let answer = breaker.admit(clock.now(), RULES);
                    match before {
                        BreakerState::Closed => prop_assert_eq!(answer, Ok(None)),
                        BreakerState::Open => {
                            let is_over = opened_at.is_some_and(|at| clock.passed >= at + RULES.recovery);
                            prop_assert_eq!(answer.is_ok(), is_over);
                            if is_over {
                                tried_at = Some(clock.passed);
                            }
                        }
                        BreakerState::HalfOpen => {
                            let free = tried_at.is_none_or(|at| clock.passed >= at + RULES.recovery);
                            prop_assert_eq!(answer.is_ok(), free);
                            if free {
                                tried_at = Some(clock.passed);
                            }
                        }
                    }
                    if let Err(wait) = answer {
                        prop_assert!(!wait.is_zero() && wait <= RULES.recovery);
                    }
                }
                Step::Succeed => {
                    breaker.succeeded(clock.now());
                    if before != BreakerState::Open {
                        in_a_row = 0;
                    }
                    prop_assert!(before == BreakerState::Open || breaker.state() == BreakerState::Closed);
                }
                Step::Fail => {
                    breaker.failed("why", clock.now(), RULES);
                    in_a_row += 1;
                    let opens = match before {
                        BreakerState::Closed => in_a_row >= RULES.threshold,
                        BreakerState::HalfOpen => true,
                        BreakerState::Open => false,
                    };
                    if opens {
                        opened_at = Some(clock.passed);
                    }
                    prop_assert_eq!(
                        breaker.state() == BreakerState::Open,
                        opens || before == BreakerState::Open
                    );
                }
                Step::Tick => {
                    breaker.tick(clock.now());
                }
                Step::Pass(seconds) => clock.passed += Duration::from_secs(seconds),
            }
            if breaker.state() != BreakerState::HalfOpen {
                tried_at = None;
            }
            prop_assert_eq!(breaker.cause().is_some(), breaker.state() != BreakerState::Closed);
            prop_assert_eq!(breaker.until().is_some(), breaker.state() == BreakerState::Open);
        }
    }
}
