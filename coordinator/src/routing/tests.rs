//! The file that a user writes, good and bad.

mod malformed;

use std::time::Duration;

use proptest::prelude::*;

use super::*;

fn good(text: &str) -> Routing {
    parse(text, "routing.yaml").unwrap_or_else(|problems| {
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        panic!("{}", lines.join("\n"))
    })
}

fn names(destinations: Option<&[Destination]>) -> Vec<String> {
    destinations.unwrap_or_default().iter().map(ToString::to_string).collect()
}

/// The example of the design, whole.
const FULL: &str = r#"
executors:
  fenrir: http://fenrir:5000
  surtr:
    url: http://surtr:5000
    host: surtr
    limit: 1
    token_file: /etc/yggdrasil/surtr.token
  huginn: http://huginn:5000
routes:
  llm-*: surtr
  git-*: fenrir
  run-tests: [fenrir, surtr]
  ops-*: huginn
default: huginn
limits:
  total: 16
  per_type: { llm-inference: 1 }
  per_label: { gpu: 1 }
  exclusive: [power-off]
  attempts_per_minute: 600
retry:
  attempts: 5
  backoff: { first: 1s, factor: 1.5, max: 1m30s }
  grace: 1h30m
idempotent: [echo]
hosts:
  surtr:
    address: surtr.lan
    mac: "11:22:33:44:55:66"
    wake: { by: magic-packet, broadcast: 192.168.1.255, timeout: 3m }
    idle_after: 20m
    never_sleeps: false
    limit: 4
"#;

#[test]
fn every_value_of_the_full_file_arrives() {
    let routing = good(FULL);

    let surtr = routing.executor("surtr").unwrap();
    assert_eq!(surtr.url.as_str(), "http://surtr:5000/");
    assert_eq!(surtr.host.as_str(), "surtr");
    assert_eq!(surtr.limit, Some(1));
    assert_eq!(surtr.token_file, Some(PathBuf::from("/etc/yggdrasil/surtr.token")));
    assert_eq!(routing.executor("fenrir").unwrap().host.as_str(), "fenrir");
    assert_eq!(routing.default.as_ref().unwrap().to_string(), "huginn");
    assert_eq!(routing.limits.total, Some(16));
    assert_eq!(routing.limits.per_type["llm-inference"], 1);
    assert_eq!(routing.limits.per_label["gpu"], 1);
    assert!(routing.limits.exclusive.contains("power-off"));
    assert_eq!(routing.limits.attempts_per_minute, 600);
    assert_eq!(routing.retry.attempts, 5);
    assert_eq!(routing.retry.backoff.max, Duration::from_secs(90));
    assert_eq!(routing.retry.grace, Duration::from_mins(90));
    assert!(routing.idempotent.contains("echo"));
    let host = &routing.hosts["surtr"];
    assert_eq!(host.mac.unwrap().to_string(), "11:22:33:44:55:66");
    assert_eq!(host.address.as_deref(), Some("surtr.lan"));
    let wake = host.wake.as_ref().unwrap();
    assert_eq!(wake.broadcast, Some(Ipv4Addr::new(192, 168, 1, 255)));
    assert_eq!(wake.timeout, Duration::from_mins(3));
    assert_eq!(host.idle_after, Some(Duration::from_mins(20)));
    assert_eq!(host.limit, Some(4));
}

#[test]
fn the_exact_route_comes_before_the_longest_prefix_before_the_default() {
    let routing = good(
        "executors: { a: 'http://a:1', b: 'http://b:1', c: 'http://c:1', d: 'http://d:1' }\n\
         routes: { git-*: a, git-cl*: b, git-clone: [c, a] }\n\
         default: d-executor\n",
    );

    assert_eq!(names(routing.route("git-clone")), ["c", "a"]);
    assert_eq!(names(routing.route("git-cleanup")), ["b"]);
    assert_eq!(names(routing.route("git-commit")), ["a"]);
    assert_eq!(names(routing.route("llm-inference")), ["d"]);
    assert_eq!(names(routing.route("")), ["d"]);
}

#[test]
fn a_type_without_route_and_default_goes_nowhere() {
    let routing = good("executors: { a: 'http://a:1' }\nroutes: { git-*: a }\n");

    assert_eq!(routing.route("llm-inference"), None);
    assert_eq!(routing.route("git"), None);
}

#[test]
fn the_least_that_is_valid_is_valid() {
    for text in [
        "executors: {}",
        "executors: {}\nroutes: {}\n",
        "executors:\n#  fenrir: http://fenrir:5000\nroutes:\nlimits:\nhosts:\n",
        "\u{feff}executors: {}\r\nroutes: {}\r\n",
        "---\nexecutors: {}\n...\n",
    ] {
        let routing = good(text);

        assert!(routing.executors.is_empty(), "{text:?}");
        assert_eq!(routing.limits, Limits::default());
        assert_eq!(routing.retry, Retry::default());
        assert_eq!(routing.limits.attempts_per_minute, 6000);
    }
}

#[test]
fn a_name_with_and_without_executor_is_one_name() {
    let routing = good(
        "executors: { fenrir-executor: 'http://f:1', surtr: 'http://s:1' }\n\
         routes: { a: fenrir, b: surtr-executor }\n",
    );

    assert_eq!(names(routing.route("a")), ["fenrir-executor"]);
    assert_eq!(names(routing.route("b")), ["surtr"]);
    assert_eq!(routing.named("fenrir").unwrap().as_str(), "fenrir-executor");
    assert_eq!(routing.executor("surtr-executor"), routing.executor("surtr"));
    assert!(routing.executor("surt").is_none());
    assert_eq!(routing.nearest_executor("surt"), Some("surtr"));
    assert_eq!(routing.nearest_executor("loki"), None);
}

#[test]
fn an_executor_lies_on_the_host_of_its_url_by_name_or_address() {
    let routing = good(
        "executors:\n  a: http://surtr.lan:5000\n  b: http://10.0.0.7:5000\n  c: http://[::1]:5000\n  \
         d: { url: 'https://proxy:5000', host: surtr }\nhosts: { surtr: { address: surtr.lan } }\n",
    );

    assert_eq!(routing.executor("a").unwrap().host.as_str(), "surtr");
    assert_eq!(routing.executor("b").unwrap().host.as_str(), "10.0.0.7");
    assert_eq!(routing.executor("c").unwrap().host.as_str(), "::1");
    assert_eq!(routing.executor("d").unwrap().host.as_str(), "surtr");
}

#[test]
fn an_anchor_saves_typing() {
    let routing = good(
        "executors: { a: 'http://a:1', b: 'http://b:1' }\n\
         routes: { x: &both [a, b], y: *both }\n",
    );

    assert_eq!(routing.route("x"), routing.route("y"));
}

#[test]
fn numbers_are_seconds_and_mac_addresses_come_in_all_their_spellings() {
    let routing = good(
        "executors: {}\nretry: { grace: 90, backoff: { first: 0.5, factor: 1 } }\nhosts:\n  \
         a: { mac: 00-1A-2b-3c-4d-5e }\n  b: { mac: 001a2b3c4d5f }\n  c: { mac: 00:1a:2b:3c:4d:60 }\n",
    );

    assert_eq!(routing.retry.grace, Duration::from_secs(90));
    assert_eq!(routing.retry.backoff.first, Duration::from_millis(500));
    assert_eq!(routing.hosts["a"].mac, Some(Mac([0, 0x1a, 0x2b, 0x3c, 0x4d, 0x5e])));
    assert_eq!(routing.hosts["b"].mac, Some(Mac([0, 0x1a, 0x2b, 0x3c, 0x4d, 0x5f])));
    assert_eq!(routing.hosts["c"].mac, Some(Mac([0, 0x1a, 0x2b, 0x3c, 0x4d, 0x60])));
}

#[test]
fn one_end_of_the_backoff_given_alone_moves_the_other() {
    let first = good("executors: {}\nretry: { backoff: { first: 1h } }\n").retry.backoff;
    let max = good("executors: {}\nretry: { backoff: { max: 1s } }\n").retry.backoff;

    assert_eq!((first.first, first.max), (Duration::from_hours(1), Duration::from_hours(1)));
    assert_eq!((max.first, max.max), (Duration::from_secs(1), Duration::from_secs(1)));
}

#[test]
fn the_pause_grows_up_to_its_maximum() {
    let retry = Retry::default();

    assert_eq!(retry.delay(1), Duration::from_secs(10));
    assert_eq!(retry.delay(2), Duration::from_secs(20));
    assert_eq!(retry.delay(3), Duration::from_secs(40));
    assert_eq!(retry.delay(60), Duration::from_mins(10));
    assert_eq!(retry.delay(u32::MAX), Duration::from_mins(10));
    assert_eq!(retry.delay(0), Duration::from_secs(10));
}

#[test]
fn the_shipped_files_are_valid() {
    let shipped = good(include_str!("../../../routing.yaml"));
    let three = good(include_str!("../../../docs/routing-three-machines.yaml"));

    for (name, port) in [("fenrir", 5000), ("surtr", 5001), ("huginn", 5002)] {
        assert_eq!(shipped.executor(name).unwrap().url.port(), Some(port));
        assert_eq!(three.executor(name).unwrap().url.port(), Some(5000));
    }
    for (task, executor) in [
        ("llm-inference", "surtr"),
        ("ollama-list-models", "surtr"),
        ("gpu-verify", "surtr"),
        ("code-review", "fenrir"),
        ("git-clone", "fenrir"),
        ("run-tests", "fenrir"),
        ("dev-health-check", "fenrir"),
        ("power-wake", "huginn"),
        ("network-check", "huginn"),
        ("ops-health-check", "huginn"),
    ] {
        assert_eq!(
            names(shipped.route(task)).first().map(String::as_str),
            Some(executor),
            "{task}"
        );
        assert_eq!(names(three.route(task)).first().map(String::as_str), Some(executor), "{task}");
    }
}

/// The rule, said once more and without any cleverness.
fn route_by_the_book(
    routes: &[(String, usize)],
    default: Option<usize>,
    task_type: &str,
) -> Option<String> {
    let exact = routes.iter().find(|(pattern, _)| pattern == task_type);
    let mut best: Option<(&str, usize)> = None;
    for (pattern, executor) in routes {
        let Some(prefix) = pattern.strip_suffix('*') else { continue };
        if task_type.starts_with(prefix) && best.is_none_or(|(best, _)| prefix.len() > best.len()) {
            best = Some((prefix, *executor));
        }
    }
    exact
        .map(|(_, executor)| *executor)
        .or(best.map(|(_, executor)| executor))
        .or(default)
        .map(|executor| format!("e{executor}"))
}

proptest! {
    #[test]
    fn route_is_exact_else_longest_prefix_else_default(
        routes in prop::collection::btree_map("[ab]{1,4}-?\\*?", 0..4_usize, 0..12),
        default in prop::option::of(0..4_usize),
        task_types in prop::collection::vec("[ab]{0,5}-?[ab]{0,2}", 1..20),
    ) {
        let routes: Vec<(String, usize)> = routes.into_iter().collect();
        let executors = (0..4).map(|n| format!("  e{n}: http://e{n}:5000"));
        let rules = routes.iter().map(|(pattern, n)| format!("  '{pattern}': e{n}"));
        let mut lines = vec!["executors:".to_owned()];
        lines.extend(executors);
        lines.push("routes:".to_owned());
        lines.extend(rules);
        lines.extend(default.map(|n| format!("default: e{n}")));

        let routing = good(&lines.join("\n"));

        for task_type in task_types {
            let found = routing.route(&task_type).map(|names| names[0].to_string());
            prop_assert_eq!(found, route_by_the_book(&routes, default, &task_type));
        }
    }

    #[test]
    fn any_text_is_read_or_refused_without_a_panic(text in "(?s).{0,200}") {
        for problem in parse(&text, "f").err().into_iter().flatten() {
            prop_assert!(!problem.to_string().contains('\n'), "{problem}");
        }
    }

    #[test]
    fn a_file_with_some_bytes_changed_is_read_or_refused_without_a_panic(
        changes in prop::collection::vec((0..FULL.len(), "[ -~\n\t]"), 1..6),
    ) {
        let mut text = FULL.to_owned();
        for (at, with) in changes {
            text.replace_range(at..=at, &with);
        }
        for problem in parse(&text, "f").err().into_iter().flatten() {
            prop_assert!(!problem.to_string().contains('\n'), "{problem}");
        }
    }
}
