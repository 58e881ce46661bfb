//! A Pi-hole and a Plex server, well and not.

use executor_sdk::harness::{Ending, Harness, Outcome, tokio, until};
use executor_sdk::prelude::*;
use huginn_executor::Huginn;

use crate::stand_in::{PASSWORD, PLEX_TOKEN, PiHole, Trouble, plex};
use crate::{completed, failed};

async fn huginn(pihole: Option<Url>, plex: Option<Url>, secrets: &[(&str, &str)]) -> Harness {
    let huginn = Huginn { pihole_url: pihole, plex_url: plex, ..Huginn::default() };
    let mut setup = Harness::with(huginn);
    for (name, value) in secrets {
        setup = setup.secret(*name, *value);
    }
    setup.start().await
}

async fn pihole(pihole: PiHole, params: Value) -> (Outcome, usize) {
    let (url, pihole) = pihole.start().await;
    let huginn = huginn(Some(url), None, &[("pihole-password", PASSWORD)]).await;
    let outcome = huginn.execute("monitor-pihole", params).await.unwrap();
    assert!(!format!("{outcome:?}").contains(PASSWORD), "{outcome:?}");
    assert!(!format!("{outcome:?}").contains("sid+"), "{outcome:?}");
    (outcome, pihole.seats.lock().unwrap().len())
}

#[tokio::test]
async fn a_pihole_of_version_6_is_told_and_its_seat_given_back() {
    let (outcome, seats) = pihole(PiHole::default(), json!({"expect_blocking": true})).await;

    let seen = &completed(&outcome)["pihole"];
    assert_eq!(seen["api"], json!("v6"));
    assert_eq!(seen["version"], json!("v6.3"));
    assert_eq!(seen["blocking"], json!("enabled"));
    assert_eq!((&seen["queries"], &seen["blocked"]), (&json!(7497.0), &json!(3465.0)));
    assert_eq!(seen["gravity_age_hours"], json!(1.0));
    assert_eq!(seats, 0);
}

#[tokio::test]
async fn twenty_times_in_a_row_take_no_seat() {
    let (url, pihole) = PiHole::default().start().await;
    let huginn = huginn(Some(url), None, &[("pihole-password", PASSWORD)]).await;

    for _ in 0..20 {
        completed(&huginn.execute("monitor-pihole", json!({})).await.unwrap());
    }
    // A breach gives the seat back as well.
    let breach = json!({"max_gravity_age_hours": 0.5});
    let breach = huginn.execute("monitor-pihole", breach).await.unwrap();

    assert!(failed(&breach).contains("its lists are 1.0 hours old, more than 0.5"));
    assert_eq!(*pihole.log_ins.lock().unwrap(), 21);
    assert!(pihole.seats.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_pihole_of_version_5_and_one_without_a_password_are_told() {
    let five = PiHole { is_five: true, is_disabled: true, ..PiHole::default() };
    let (five, _) = pihole(five, json!({})).await;
    let open = PiHole { has_no_password: true, ..PiHole::default() };
    let (url, open) = open.start().await;
    // It needs no secret, and the node has none.
    let huginn = huginn(Some(url), None, &[]).await;
    let opened = huginn.execute("monitor-pihole", json!({})).await.unwrap();

    assert_eq!(completed(&five)["pihole"]["api"], json!("v5"));
    assert_eq!(five.data["pihole"]["blocking"], json!("disabled"));
    assert_eq!(five.data["pihole"]["clients"], json!(3.0));
    assert_eq!(completed(&opened)["pihole"]["api"], json!("v6"));
    assert_eq!(*open.log_ins.lock().unwrap(), 0);
}

#[tokio::test]
async fn what_is_wrong_with_a_pihole_is_said() {
    let trouble = |trouble| PiHole { trouble, ..PiHole::default() };
    let disabled = PiHole { is_disabled: true, ..PiHole::default() };
    let full = PiHole::default();
    full.seats.lock().unwrap().extend((0..16).map(|seat| format!("other {seat}")));
    for (stand_in, params, why) in [
        (full, json!({}), "429 Too Many Requests to the log-in"),
        (trouble(Trouble::Html), json!({}), "502 Bad Gateway"),
        (trouble(Trouble::Html), json!({}), "an HTML page (`502 Bad Gateway`)"),
        (trouble(Trouble::Slow), json!({"timeout_seconds": 0.3}), "cannot be asked"),
        (trouble(Trouble::Redirect), json!({}), "302 Found"),
        (trouble(Trouble::Empty), json!({}), "no number at `/gravity/last_update`"),
        (disabled, json!({"expect_blocking": true}), "blocking is disabled"),
        (PiHole::default(), json!({"min_blocked_percent": 50}), "46.2 % of the queries"),
        (PiHole::default(), json!({"password": "secret:absent"}), "has no `secret:absent`"),
        (PiHole::default(), json!({"timeout_seconds": 0}), "`timeout_seconds`"),
        (PiHole::default(), json!({"url": "http://127.0.0.1:1"}), "no secret is sent to"),
        (PiHole::default(), json!({"url": "http://a:b@pi.hole"}), "must not hold a password"),
        (PiHole::default(), json!({"url": "file:///etc/passwd"}), "`url` must be one"),
    ] {
        let taken = stand_in.seats.lock().unwrap().len();
        let (outcome, seats) = pihole(stand_in, params).await;
        assert!(failed(&outcome).contains(why), "{why}: {outcome:?}");
        assert_eq!(seats, taken, "{why}");
    }
    let (url, _) = PiHole::default().start().await;
    let huginn = huginn(Some(url), None, &[("pihole-password", "wrong pony")]).await;
    let wrong = huginn.execute("monitor-pihole", json!({})).await.unwrap();
    assert_eq!(failed(&wrong), "the Pi-hole refuses the password");
}

#[tokio::test]
async fn a_seat_is_given_back_when_the_task_is_ended() {
    let stand_in = PiHole { trouble: Trouble::SlowAfterLogIn, ..PiHole::default() };
    let (url, pihole) = stand_in.start().await;
    let huginn = huginn(Some(url), None, &[("pihole-password", PASSWORD)]).await;

    let cancelled = huginn.execute_async("monitor-pihole", json!({})).await.unwrap();
    until("somebody is logged in", async || !pihole.seats.lock().unwrap().is_empty()).await;
    huginn.cancel(cancelled.attempt).await.unwrap();
    assert_eq!(huginn.outcome(cancelled.attempt).await.status, Ending::Cancelled);
    assert!(pihole.seats.lock().unwrap().is_empty());

    let mut order = Harness::new_order("monitor-pihole", json!({}));
    order.timeout_seconds = Some(0.5);
    assert_eq!(huginn.order(&order).await.unwrap().status, Ending::TimedOut);
    assert!(pihole.seats.lock().unwrap().is_empty());
    assert_eq!(*pihole.log_ins.lock().unwrap(), 2);
}

#[tokio::test]
async fn plex_tells_who_watches_what() {
    let huginn = huginn(None, Some(plex(Trouble::None).await), &[("plex-token", PLEX_TOKEN)]).await;

    let outcome = huginn.execute("monitor-plex", json!({"max_sessions": 2})).await.unwrap();
    let breach = json!({"max_transcodes": 0});
    let breach = huginn.execute("monitor-plex", breach).await.unwrap();

    let data = completed(&outcome);
    assert_eq!(data["version"], json!("1.42.2"));
    assert_eq!(data["sessions"][0]["title"], json!("Show: Pilot"));
    assert_eq!(data["sessions"][0]["progress_percent"], json!(50.0));
    assert_eq!(data["sessions"][1]["transcodes"], json!(false));
    assert!(outcome.output.contains("ann on TV: Show: Pilot (playing, transcoded)"));
    assert_eq!(failed(&breach), "Plex: 1 transcoded sessions, more than 0");
    assert!(!format!("{outcome:?}{breach:?}").contains(PLEX_TOKEN));
}

#[tokio::test]
async fn plex_without_a_token_is_only_there() {
    let huginn = huginn(None, Some(plex(Trouble::None).await), &[]).await;

    let there = huginn.execute("monitor-plex", json!({"sessions": false})).await.unwrap();
    let sessions = huginn.execute("monitor-plex", json!({})).await.unwrap();

    assert_eq!(completed(&there)["version"], json!("1.42.2"));
    assert!(failed(&sessions).contains("has no `secret:plex-token`"));
}

#[tokio::test]
async fn what_is_wrong_with_plex_is_said() {
    let nobody = Url::parse("http://127.0.0.1:1").unwrap();
    for (url, params, why) in [
        (nobody, json!({}), "cannot be asked"),
        (plex(Trouble::Html).await, json!({}), "502 Bad Gateway"),
        (plex(Trouble::Slow).await, json!({"timeout_seconds": 0.3}), "cannot be asked"),
        (plex(Trouble::Redirect).await, json!({}), "302 Found"),
        (plex(Trouble::Empty).await, json!({}), "is no Plex server"),
        (plex(Trouble::None).await, json!({}), "refuses the token"),
        (
            plex(Trouble::None).await,
            json!({"sessions": false, "max_sessions": 1}),
            "need `sessions`",
        ),
    ] {
        let huginn = huginn(None, Some(url), &[("plex-token", "some-other")]).await;
        let outcome = huginn.execute("monitor-plex", params).await.unwrap();
        assert!(failed(&outcome).contains(why), "{why}: {outcome:?}");
        assert!(!format!("{outcome:?}").contains("some-other"));
    }
    // A server that is not the node's own gets no secret, whoever asks for it.
    let other = plex(Trouble::None).await;
    let huginn = huginn(None, None, &[("plex-token", PLEX_TOKEN)]).await;
    let outcome = huginn.execute("monitor-plex", json!({"url": other})).await.unwrap();
    assert!(failed(&outcome).contains("no secret is sent to `127.0.0.1`"), "{outcome:?}");
}
