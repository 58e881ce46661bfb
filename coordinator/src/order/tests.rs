//! Beads as people and programs write them.

mod results;

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;
use crate::beads::Status;

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(object) => object,
        other => panic!("{other} is no object"),
    }
}

fn bead(metadata: Value, labels: &[&str], description: &str) -> Bead {
    Bead {
        id: BeadId::parse("hl-1").unwrap(),
        title: "A bead".to_owned(),
        description: description.to_owned(),
        status: Status::Open,
        priority: 2,
        issue_type: "task".to_owned(),
        assignee: None,
        labels: labels.iter().map(|label| (*label).to_owned()).collect(),
        metadata: object(metadata),
        created_at: None,
        due_at: None,
        defer_until: None,
        closed_at: None,
        dependencies: Vec::new(),
        dependency_count: None,
        dependent_count: None,
        notes: String::new(),
        close_reason: String::new(),
        size: 100,
    }
}

fn order(bead: &Bead) -> Order {
    match read(bead) {
        Read::Order(order) => order,
        other => panic!("not an order: {other:?}"),
    }
}

fn broken(bead: &Bead) -> String {
    match read(bead) {
        Read::Broken { problem, .. } => problem,
        other => panic!("not broken: {other:?}"),
    }
}

#[test]
fn metadata_says_it_all() {
    let metadata = json!({"task_type": "git-clone", "params": {"repo_url": "x", "depth": 1},
        "timeout_seconds": 30, "executor": "fenrir", "owner": "me"});

    let order = order(&bead(metadata, &["gpu"], "Clone it, please."));

    assert_eq!(order.task_type, "git-clone");
    assert_eq!(Value::Object(order.params), json!({"repo_url": "x", "depth": 1}));
    assert_eq!(order.timeout, Some(Duration::from_secs(30)));
    assert_eq!(order.executor.as_deref(), Some("fenrir"));
    assert_eq!(order.labels, ["gpu"]);
    assert_eq!((order.priority, order.size), (2, 100));
}

#[test]
fn params_may_be_text_that_holds_an_object() {
    let metadata = json!({"task_type": "git-clone", "params": "{\"depth\": 1}"});

    assert_eq!(Value::Object(order(&bead(metadata, &[], "")).params), json!({"depth": 1}));
}

#[test]
fn labels_give_type_and_executor_and_the_description_the_params() {
    let text = "Get the models.\n\n```json\n{\"model\": \"llama3\"}\n```\nThanks.\n";

    let order = order(&bead(json!({}), &["task:ollama-deploy", "surtr-executor"], text));

    assert_eq!(order.task_type, "ollama-deploy");
    assert_eq!(order.executor.as_deref(), Some("surtr-executor"));
    assert_eq!(Value::Object(order.params), json!({"model": "llama3"}));
    assert_eq!(order.timeout, None);
}

#[test]
fn the_description_alone_is_enough() {
    let whole = "~~~~ Task\n{\"task_type\": \"run-tests\", \"params\": {\"repo_path\": \"/r\"},\n\
                 \"timeout_seconds\": \"1h30m\", \"executor\": \"fenrir\"}\n~~~~~\n";
    let line = "Please.\n  Handler: llm-inference on surtr-executor  \r\n\
                ```task\r\n{\"model\": \"m\"}\r\n```";

    let whole = order(&bead(json!({}), &[], whole));
    let line = order(&bead(json!({}), &[], line));

    assert_eq!(whole.task_type, "run-tests");
    assert_eq!(whole.timeout, Some(Duration::from_mins(90)));
    assert_eq!(Value::Object(whole.params), json!({"repo_path": "/r"}));
    assert_eq!(line.task_type, "llm-inference");
    assert_eq!(line.executor.as_deref(), Some("surtr-executor"));
    assert_eq!(Value::Object(line.params), json!({"model": "m"}));
}

#[test]
fn a_bead_without_a_task_type_is_a_persons() {
    let cases = [
        bead(json!({}), &[], ""),
        bead(json!({"params": {"a": 1}, "executor": "surtr"}), &["surtr-executor"], "Buy milk."),
        bead(json!({"task_type": null}), &["gpu", "task:"], "```json\n{\"a\": 1}\n```"),
        bead(json!({"task_type": ""}), &["task-force"], "```json\n{\"task_type\": …}\n```"),
        bead(json!({"params": 5}), &[], "```json\nnot json\n```\n"),
        bead(json!({}), &[], "Handler: Bob on Friday"),
        bead(json!({}), &[], "Handler: git-clone on fenrir please"),
        bead(json!({}), &[], "The Handler: git-clone on fenrir"),
        bead(json!({}), &[], "```\nHandler: git-clone on fenrir\n```"),
        bead(json!({}), &[], "```yaml\ntask_type: git-clone\n```"),
        bead(json!({}), &[], "handler: git-clone on fenrir"),
        bead(json!({}), &[], "```task\n- [ ] milk\n```"),
    ];
    for bead in cases {
        assert_eq!(read(&bead), Read::NotOurs, "{bead:?}");
    }
}

#[test]
fn places_that_agree_are_one() {
    let metadata = json!({"task_type": "git-clone", "params": {"a": 1}, "executor": "fenrir"});
    let text = "Handler: git-clone on fenrir-executor\n```json\n{\"a\": 1}\n```\n";

    let order = order(&bead(metadata, &["task:git-clone", "fenrir-executor"], text));

    assert_eq!(order.executor.as_deref(), Some("fenrir"));
    assert_eq!(Value::Object(order.params), json!({"a": 1}));
}

#[test]
fn with_params_in_the_metadata_a_block_that_is_no_object_is_for_people() {
    let metadata = json!({"task_type": "git-clone", "params": {"a": 1}});

    for text in ["```json\n{ … }\n```", "```json\n[1, 2]\n```", "```json\n"] {
        assert_eq!(order(&bead(metadata.clone(), &[], text)).params["a"], 1, "{text}");
    }
}

#[test]
fn only_the_first_block_counts() {
    let text = "```sh\nls\n```\n```json\n{\"a\": 1}\n```\n```json\n{\"a\": 2}\n```\n";

    assert_eq!(order(&bead(json!({}), &["task:x"], text)).params["a"], 1);
}

#[test]
fn contradictions_break_the_bead_with_one_clear_line() {
    let typed = |extra: Value| {
        let mut metadata = object(json!({"task_type": "git-clone"}));
        metadata.extend(object(extra));
        Value::Object(metadata)
    };
    let cases = [
        (
            bead(typed(json!({})), &["task:run-tests"], ""),
            "two task types: `git-clone` in the metadata, `run-tests` in a label",
        ),
        (
            bead(json!({}), &["task:a", "task:b"], ""),
            "two task types: `a` in a label, `b` in a label",
        ),
        (
            bead(typed(json!({"executor": "surtr"})), &["fenrir-executor"], ""),
            "two executors: `surtr` in the metadata, `fenrir-executor` in a label",
        ),
        (
            bead(json!({}), &[], "Handler: a on x\nHandler: a on y\n"),
            "two executors: `x` in the `Handler:` line, `y` in the `Handler:` line",
        ),
        (
            bead(typed(json!({"params": {"a": 1}})), &[], "```json\n{\"a\": 2}\n```"),
            "different params in the metadata and in the fenced block of the description",
        ),
        (
            bead(typed(json!({"params": [1]})), &[], ""),
            "`params` in the metadata is a list, expected an object",
        ),
        (
            bead(typed(json!({"params": "{\"a\": }"})), &[], ""),
            "`params` in the metadata is text that is not JSON: expected value at line 1 column 7",
        ),
        (
            bead(typed(json!({"params": "[]"})), &[], ""),
            "`params` in the metadata is text that holds a list, expected an object",
        ),
        (
            bead(typed(json!({})), &[], "```json\n{\"a\": nope}\n```"),
            "the fenced block of the description is not JSON: expected ident at line 1 column 8",
        ),
        (
            bead(typed(json!({})), &[], "```json\n[]\n```"),
            "the fenced block of the description is a list, expected an object",
        ),
        (
            bead(json!({}), &[], "```task\n{\"task_type\": \"a\",}\n```"),
            "the fenced block of the description is not JSON: trailing comma at line 1 column 19",
        ),
        (
            bead(json!({}), &[], "```task\n{\"task_type\": \"a\", \"model\": 1}\n```"),
            "the fenced block of the description has `model` beside `task_type`; params belong \
             into `params`",
        ),
        (
            bead(json!({"task_type": 42}), &[], ""),
            "`task_type` in the metadata is a number, expected text",
        ),
        (bead(json!({"task_type": "git clone"}), &[], ""), "`git clone` is no name of a task type"),
        (
            bead(typed(json!({"executor": "\u{1b}[31m"})), &[], ""),
            "`\\u{1b}[31m` is no name of an executor",
        ),
        (
            bead(typed(json!({"executor": {}})), &[], ""),
            "`executor` in the metadata is an object, expected text",
        ),
        (bead(typed(json!({})), &["task:"], ""), "the label `task:` names no task type"),
        (
            bead(typed(json!({"timeout_seconds": 0})), &[], ""),
            "`timeout_seconds` in the metadata is `0`, expected seconds or a duration such as 10m",
        ),
        (
            bead(typed(json!({"timeout_seconds": -5})), &[], ""),
            "`timeout_seconds` in the metadata is `-5`, expected seconds or a duration such as 10m",
        ),
        (
            bead(typed(json!({"timeout_seconds": "soon"})), &[], ""),
            "`timeout_seconds` in the metadata is `soon`, expected seconds or a duration such as \
             10m",
        ),
        (
            bead(typed(json!({"timeout_seconds": 1e300})), &[], ""),
            "`timeout_seconds` in the metadata is `1e+300`, expected seconds or a duration such \
             as 10m",
        ),
        (
            bead(typed(json!({"timeout_seconds": "9000h"})), &[], ""),
            "`timeout_seconds` in the metadata is `9000h`, longer than a year",
        ),
        (
            bead(typed(json!({"timeout_seconds": true})), &[], ""),
            "`timeout_seconds` in the metadata is true or false, expected seconds",
        ),
    ];
    for (bead, problem) in cases {
        assert_eq!(broken(&bead), problem);
    }
}

#[test]
fn a_duration_is_seconds_or_text() {
    for (given, seconds) in
        [(json!(1.5), 1.5), (json!("10m"), 600.0), (json!("90"), 90.0), (json!("1h30m"), 5400.0)]
    {
        let metadata = json!({"task_type": "a", "timeout_seconds": given});

        let timeout = order(&bead(metadata, &[], "")).timeout.unwrap();

        assert!((timeout.as_secs_f64() - seconds).abs() < 1e-9, "{given}");
    }
}

#[test]
fn dependants_are_assumed_where_nobody_counted() {
    let mut bead = bead(json!({"task_type": "a"}), &[], "");
    assert!(order(&bead).has_dependents);
    assert!(!order(&bead).has_dependencies);

    bead.dependent_count = Some(0);
    bead.dependency_count = Some(1);

    assert!(!order(&bead).has_dependents);
    assert!(order(&bead).has_dependencies);
}

#[test]
fn a_huge_description_is_read() {
    let mut text = "x".repeat(3_000_000);
    text.push_str("\n```json\n{\"a\": \"\u{0}\u{7}\"}\n```\nHandler: a on b\n");
    text.push_str(&"`".repeat(1_000_000));

    // A raw control character is not JSON, so the block is one problem and no more.
    let problem = broken(&bead(json!({}), &[], &text));

    assert!(problem.starts_with("the fenced block of the description is not JSON: control"));
    assert!(problem.len() < 200);
}

proptest! {
    #[test]
    fn odd_text_never_panics_and_is_told_in_one_line(
        text in "(?s)(```|~~~|json|task|Handler:| on |\\{|\\}|\"task_type\"|:|\"|\n|.){0,40}",
        label in "(task:)?.{0,10}(-executor)?",
        metadata in odd_value(),
    ) {
        let mut bead = bead(json!({}), &[&label], &text);
        bead.metadata.insert("task_type".to_owned(), metadata.clone());
        bead.metadata.insert("params".to_owned(), metadata.clone());
        bead.metadata.insert("executor".to_owned(), metadata.clone());
        bead.metadata.insert("timeout_seconds".to_owned(), metadata);

        if let Read::Broken { problem, .. } = read(&bead) {
            prop_assert!(!problem.is_empty());
            prop_assert!(!problem.chars().any(char::is_control), "{problem:?}");
        }
    }

    #[test]
    fn params_are_the_same_by_every_way(params in params()) {
        let params = Value::Object(params);
        let fenced = format!("```json\n{params}\n```");
        let whole = format!("```task\n{}\n```", json!({"task_type": "t", "params": params}));
        let ways = [
            bead(json!({"task_type": "t", "params": params}), &[], ""),
            bead(json!({"task_type": "t", "params": params.to_string()}), &[], ""),
            bead(json!({"task_type": "t"}), &[], &fenced),
            bead(json!({}), &["task:t"], &fenced),
            bead(json!({}), &[], &whole),
        ];
        for bead in ways {
            prop_assert_eq!(&Value::Object(order(&bead).params), &params);
        }
    }
}

/// Any JSON, small.
fn odd_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "(?s).{0,12}".prop_map(Value::from),
        Just(json!({"$from": "b", "path": "a[0"})),
        Just(json!({"$from": ["b"]})),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("(\\$from|path|(?s).{0,6})", inner, 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// Params without references and without the names of an order's own members.
fn params() -> impl Strategy<Value = Map<String, Value>> {
    let leaf = prop_oneof![
        any::<i32>().prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        "[a-z `~\n\"]{0,12}".prop_map(Value::from),
    ];
    let value = leaf
        .prop_recursive(3, 16, 3, |inner| prop::collection::vec(inner, 0..3).prop_map(Value::from));
    prop::collection::btree_map("[a-n]{1,6}", value, 0..5)
        .prop_map(|members| members.into_iter().collect())
}

#[test]
fn the_mark_of_an_attempt_is_no_part_of_what_is_asked_for() {
    let marked =
        bead(json!({}), &["task:git-clone", "run:01a1fed0-6db9-755e-b484-3e6f580086a1"], "");

    let Read::Order(order) = read(&marked) else { panic!("not an order") };

    assert_eq!(order.labels, ["task:git-clone"]);
}
