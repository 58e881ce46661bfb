//! The page itself: names, labels, texts and order.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::scene::{busy, program, promtool, resources, scrape, tell, world};

/// Names that existing dashboards query, which promtool would have called otherwise.
const NAMED_BY_OTHERS: [&str; 2] = [
    "yggdrasil_api_keys_total non-counter metrics should not have \"_total\" suffix",
    "yggdrasil_runners_total non-counter metrics should not have \"_total\" suffix",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn existing_dashboards_find_their_families_word_for_word() {
    let Some(mut world) = world("existing_dashboards_find_their_families").await else { return };
    let latest = crate::scene::latest_version("9.9.9").await;
    let args = ["--expected-runner-version", "0.3.8", "--latest-version-url", &latest];
    world.routing.executor_at("none", "http://127.0.0.1:1").default_to("none");
    world.coordinator(&args).await.unwrap();
    let body =
        json!({"runnerId": "r1", "name": "one", "version": "0.1.0", "resources": resources()});
    tell(&world, "/runners/register", body).await;
    tell(&world, "/runners/r1/tasks", json!({"type": "echo"})).await;
    let log = "line \"1\"\nline\\2";
    let beat = json!({"runnerId": "r1", "updateStatus": "failed", "updateLog": log});
    tell(&world, "/runners/heartbeat", beat).await;
    tell(&world, "/runners/r1/request-update", json!({"version": "9.9.9"})).await;

    let page = e2e::until("the latest version is known", Duration::from_secs(30), async || {
        let page = scrape(&world).await;
        page.contains("npm_latest_version").then_some(page)
    })
    .await;

    let own = env!("CARGO_PKG_VERSION");
    let uptime = page.lines().find(|line| line.starts_with("yggdrasil_uptime_seconds ")).unwrap();
    let mut expected = String::new();
    for (name, help, sample) in [
        ("runners_total", "Total number of registered runners", " 1"),
        ("runners_online", "Number of online runners", " 1"),
        ("runners_offline", "Number of offline runners", " 0"),
        ("uptime_seconds", "Server uptime in seconds", &uptime["yggdrasil_uptime_seconds".len()..]),
        ("tasks_running", "Number of currently running tasks across all runners", " 1"),
        ("api_keys_total", "Number of configured API keys", " 0"),
        (
            "version_info",
            "Current Yggdrasil version (always 1) — label carries the running version",
            &format!("{{version=\"{own}\"}} 1"),
        ),
        (
            "npm_latest_version",
            "Latest Yggdrasil version on npm (always 1) — label carries the latest version",
            &format!("{{current=\"{own}\",latest=\"9.9.9\"}} 1"),
        ),
        (
            "expected_runner_version",
            "Expected runner version (always 1) — label carries the expected version",
            "{version=\"0.3.8\"} 1",
        ),
        // The later document calls the same label `runner_id`: one series with all of them.
        (
            "runner_cpu_percent",
            "CPU usage percent per runner",
            "{runner=\"r1\",name=\"one\",runner_id=\"r1\"} 12.5",
        ),
        (
            "runner_memory_percent",
            "Memory usage percent per runner",
            "{runner=\"r1\",name=\"one\",runner_id=\"r1\"} 40",
        ),
        (
            "runner_memory_used_bytes",
            "Memory used bytes per runner",
            "{runner=\"r1\",name=\"one\"} 400",
        ),
        (
            "runner_version_info",
            "Runner version (always 1) — labels carry version",
            "{runner=\"r1\",name=\"one\",version=\"0.1.0\"} 1",
        ),
        (
            "runner_outdated",
            "Outdated runner flag (1 = version mismatch)",
            "{runner=\"r1\",name=\"one\",current=\"0.1.0\",expected=\"0.3.8\"} 1",
        ),
        (
            "runner_pending_update",
            "Pending update flag per runner (1 = update pending)",
            "{runner=\"r1\",name=\"one\",current_version=\"0.1.0\",target_version=\"9.9.9\"} 1",
        ),
        (
            "runner_update_status",
            "Self-update status of each runner (1 = current status)",
            "{runner=\"r1\",name=\"one\",status=\"failed\"} 1",
        ),
        (
            "runner_update_log",
            "Raw update log tail per runner — last ~2KB of output",
            "{runner=\"r1\",name=\"one\",status=\"failed\",log=\"line \\\"1\\\"\\nline\\\\2\"} 1",
        ),
    ] {
        let name = format!("yggdrasil_{name}");
        writeln!(expected, "# HELP {name} {help}\n# TYPE {name} gauge\n{name}{sample}").unwrap();
    }
    assert_eq!(page[..expected.len().min(page.len())], expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_documents_promise_is_there_with_its_labels() {
    let Some(world) = world("what_the_documents_promise").await else { return };
    let world = busy(world).await;

    let page = scrape(&world).await;

    for line in [
        "# TYPE yggdrasil_runners_registered gauge",
        "# TYPE yggdrasil_runners_offline gauge",
        "# TYPE yggdrasil_runner_info gauge",
        "# TYPE yggdrasil_runner_uptime_seconds gauge",
        "# TYPE yggdrasil_runner_cpu_percent gauge",
        "# TYPE yggdrasil_runner_memory_percent gauge",
        "# TYPE yggdrasil_runner_leases gauge",
        "# TYPE yggdrasil_runner_tasks_running gauge",
        "# TYPE yggdrasil_tasks_dispatched_total counter",
        "# TYPE yggdrasil_tasks_completed_total counter",
        "yggdrasil_runner_info{runner_id=\"r1\",name=\"peer\",version=\"0.3.8\",status=\"online\"} 1",
        "yggdrasil_runner_uptime_seconds{runner_id=\"r1\"} 2740",
        "yggdrasil_runner_tasks_running{runner_id=\"r1\"} 1",
        // One on a list, three beads on an executor.
        "yggdrasil_tasks_dispatched_total 4",
        "yggdrasil_tasks_completed_total{status=\"completed\"} 1",
        "yggdrasil_tasks_completed_total{status=\"failed\"} 1",
        "yggdrasil_attempts_ended_total{ending=\"completed\",class=\"none\"} 1",
        "yggdrasil_attempts_ended_total{ending=\"failed\",class=\"failed\"} 1",
        "yggdrasil_attempts_settled_total{verdict=\"closed\"} 1",
        "yggdrasil_attempts_open{stage=\"running\"} 1",
        "yggdrasil_beads_waiting{reason=\"limit_type\"} 1",
        "yggdrasil_fleet_running{executor=\"one\"} 1",
        "yggdrasil_bead_queue_seconds_count{since=\"listed\"} 3",
        "yggdrasil_intake_open 1",
        "yggdrasil_outbox_waiting 0",
    ] {
        assert!(page.lines().any(|found| found == line), "`{line}` is not in\n{page}");
    }
    let lease = page
        .lines()
        .find_map(|line| line.strip_prefix("yggdrasil_runner_leases{runner_id=\"r1\"} "));
    let left =
        lease.unwrap().parse::<f64>().unwrap() - jiff::Timestamp::now().as_duration().as_secs_f64();
    assert!((1.0..600.0).contains(&left), "the lease ends in {left} s");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_a_runner_says_breaks_the_page() {
    let test = "nothing_that_a_runner_says_breaks_the_page";
    let Some(promtool_path) = program(test, "promtool") else { return };
    let Some(world) = world(test).await else { return };
    let world = busy(world).await;
    let odd: String = (1..0x250).filter_map(char::from_u32).collect();
    let body = json!({"runnerId": "{odd} \"id\" \\", "name": odd, "version": "\n\r\t\u{0}\u{2028}",
        "labels": {"a\"b": "c"}, "resources": {"cpu": {"percent": 1e300}}});
    tell(&world, "/runners/register", body).await;
    let log = format!("{}the end \u{0}\u{1b}[31m", "x\n".repeat(20_000));
    let beat = json!({"runnerId": "r1", "updateStatus": "x".repeat(9000), "updateLog": log});
    tell(&world, "/runners/heartbeat", beat).await;

    let page = scrape(&world).await;

    let checked = promtool(&promtool_path, &["check", "metrics"], &page).await;
    let complaints: Vec<&str> = checked.stderr.lines().filter(|line| !line.is_empty()).collect();
    assert_eq!(complaints, NAMED_BY_OTHERS, "{}", checked.stdout);
    let longest = page.lines().map(|line| line.chars().count()).max().unwrap();
    assert!(longest < 9000, "a line of {longest} characters");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_owner_decides_about_names_and_the_log() {
    let Some(mut world) = world("the_owner_decides_about_names_and_the_log").await else { return };
    world.routing.executor_at("none", "http://127.0.0.1:1").default_to("none");
    let args =
        ["--metrics-prefix", "lab_", "--metrics-update-log", "false", "--api-keys", "s3cret"];
    world.prepare_coordinator(&args).unwrap();
    world.start(e2e::world::COORDINATOR).await.unwrap();
    let key = [("X-API-Key", "s3cret")];
    let ygg = world.ygg();
    let body = json!({"runnerId": "r1"});
    ygg.post_with("/runners/register", &body, &key).await.unwrap();
    let beat = json!({"runnerId": "r1", "updateStatus": "failed", "updateLog": "told nobody"});
    let (status, _) = ygg.post_with("/runners/heartbeat", &beat, &key).await.unwrap();
    assert!(status.is_success());

    // Without a key.
    let page = scrape(&world).await;

    let names = page.lines().filter(|line| !line.starts_with('#'));
    assert!(names.clone().all(|line| line.starts_with("lab_")), "{page}");
    assert!(
        page.contains(
            "lab_runner_update_status{runner=\"r1\",name=\"unknown\",status=\"failed\"} 1"
        )
    );
    assert!(page.contains("lab_api_keys_total 1\n"));
    for secret in ["update_log", "told nobody", "s3cret"] {
        assert!(!page.contains(secret), "`{secret}` is in\n{page}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn open_metrics_is_there_for_who_asks() {
    let Some(world) = world("open_metrics_is_there_for_who_asks").await else { return };
    let world = busy(world).await;
    let url = format!("{}/metrics", world.ygg().url());
    let asked = world.client().get(&url).header("accept", "application/openmetrics-text");

    let answer = asked.send().await.unwrap();

    let kind = answer.headers()["content-type"].to_str().unwrap().to_owned();
    assert_eq!(kind, "application/openmetrics-text; version=1.0.0; charset=utf-8");
    let page = answer.text().await.unwrap();
    assert!(page.ends_with("\n# EOF\n"));
    assert!(page.contains(
        "# TYPE yggdrasil_tasks_dispatched counter\nyggdrasil_tasks_dispatched_total 4\n"
    ));
    let plain = world.ygg().get("/metrics").await.unwrap();
    assert_eq!(plain.headers()["content-type"], "text/plain; version=0.0.4; charset=utf-8");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_runners_are_scraped_in_no_time() {
    let Some(mut world) = world("a_thousand_runners_are_scraped_in_no_time").await else { return };
    world.routing.executor_at("none", "http://127.0.0.1:1").default_to("none");
    world.coordinator(&[]).await.unwrap();
    for number in 0..1000 {
        let body = json!({"runnerId": format!("runner-{number}"), "name": format!("peer-{number}"),
            "version": "0.3.8", "resources": resources()});
        tell(&world, "/runners/register", body).await;
    }

    let mut best = Duration::MAX;
    for _ in 0..20 {
        let begun = Instant::now();
        let page = scrape(&world).await;
        best = best.min(begun.elapsed());
        assert!(page.contains("yggdrasil_runners_total 1000\n"));
    }

    // The machine may be busy, so the best of some counts; a debug build is several times slower.
    let limit = Duration::from_millis(if cfg!(debug_assertions) { 100 } else { 20 });
    assert!(best < limit.mul_f64(e2e::programs::patience()), "{best:?}");
}
