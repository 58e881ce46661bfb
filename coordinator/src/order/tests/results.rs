//! Params that are taken from the outcome of another bead.

use proptest::prelude::*;

use super::*;

fn outcome() -> Value {
    json!({"status": "completed", "data": {"response": "42", "models": [{"name": "a"}, {"name":
        "b"}], "odd.name": {"x]": 1}, "nothing": null}})
}

fn known(bead: &str) -> Result<Value, String> {
    match bead {
        "hl-0" => Ok(outcome()),
        other => Err(format!("no outcome of bead `{other}` is known")),
    }
}

fn substituted(params: Value) -> Result<Value, String> {
    substitute(&object(params), known).map(Value::Object)
}

#[test]
fn a_reference_becomes_what_it_stands_for_at_any_depth() {
    let params = json!({
        "plain": {"path": "data.response"},
        "prompt": {"$from": "hl-0", "path": "data.response"},
        "deep": [{"list": [1, {"$from": "hl-0", "path": "data.models[1].name"}]}],
        "odd": {"$from": "hl-0", "path": "data[\"odd.name\"][\"x]\"]"},
        "null": {"$from": "hl-0", "path": "data.nothing"},
        "whole": {"$from": "hl-0"},
        "also whole": {"$from": "hl-0", "path": ""},
    });

    let substituted = substituted(params).unwrap();

    assert_eq!(
        substituted,
        json!({
            "plain": {"path": "data.response"},
            "prompt": "42",
            "deep": [{"list": [1, "b"]}],
            "odd": 1,
            "null": null,
            "whole": outcome(),
            "also whole": outcome(),
        })
    );
}

#[test]
fn references_are_listed_with_their_places() {
    let params = json!({
        "a": {"$from": "hl-0", "path": "data.x"},
        "b c": [0, {"$from": "hl-1"}],
        "d": {"path": "x"},
    });

    let found = references(&object(params));

    let reference = |at: &str, bead: &str, path: &str| Reference {
        at: at.to_owned(),
        bead: bead.to_owned(),
        path: path.to_owned(),
    };
    assert_eq!(found, [reference("a", "hl-0", "data.x"), reference("[\"b c\"][1]", "hl-1", "")]);
}

#[test]
fn what_is_missing_is_told_with_both_paths() {
    let cases = [
        (
            json!({"a": {"b": [{"$from": "hl-0", "path": "data.respones"}]}}),
            "params.a.b[0]: the outcome of bead `hl-0` has no `data.respones`: `data` has \
             `models`, `nothing`, `odd.name`, `response`",
        ),
        (
            json!({"a": {"$from": "hl-0", "path": "data.models[2]"}}),
            "params.a: the outcome of bead `hl-0` has no `data.models[2]`: `data.models` has 2 \
             items",
        ),
        (
            json!({"a": {"$from": "hl-0", "path": "data.models.name"}}),
            "params.a: the outcome of bead `hl-0` has no `data.models.name`: `data.models` is a \
             list",
        ),
        (
            json!({"a": {"$from": "hl-0", "path": "[0]"}}),
            "params.a: the outcome of bead `hl-0` has no `[0]`: it is an object",
        ),
        (
            json!({"a": {"$from": "hl-0", "path": "data.response.x"}}),
            "params.a: the outcome of bead `hl-0` has no `data.response.x`: `data.response` is \
             text",
        ),
        (
            json!({"a": {"$from": "hl-9", "path": "data"}}),
            "params.a: no outcome of bead `hl-9` is known",
        ),
    ];
    for (params, error) in cases {
        assert_eq!(substituted(params).unwrap_err(), error);
    }
}

#[test]
fn an_object_that_only_looks_like_a_reference_breaks_the_bead() {
    let cases = [
        (json!({"$from": 5}), "`$from` is a number, expected a bead's id"),
        (json!({"$from": ""}), "`$from` is ``, expected a bead's id"),
        (json!({"$from": "-rf"}), "`$from` is `-rf`, expected a bead's id"),
        (
            json!({"$from": "hl-0", "pth": "data"}),
            "a reference has `$from` and `path`, and not `pth`",
        ),
        (json!({"$from": "hl-0", "path": 1}), "`path` is a number, expected text"),
        (json!({"$from": "hl-0", "path": "a..b"}), "the path `a..b` has an empty name in it"),
        (json!({"$from": "hl-0", "path": "a."}), "the path `a.` has an empty name in it"),
        (json!({"$from": "hl-0", "path": ".a"}), "the path `.a` has an empty name in it"),
        (json!({"$from": "hl-0", "path": "a[0]b"}), "the path `a[0]b` lacks a `.` after a `]`"),
        (
            json!({"$from": "hl-0", "path": "a[-1]"}),
            "the path `a[-1]` has a `[` that is not followed by a number and `]`, or by \"a name\" \
             and `]`",
        ),
    ];
    for (reference, why) in cases {
        let metadata = json!({"task_type": "t", "params": {"x": [reference]}});

        let problem = broken(&bead(metadata.clone(), &[], ""));
        let refused = substitute(&object(metadata["params"].clone()), known).unwrap_err();

        assert_eq!(problem, format!("params.x[0]: {why}"));
        assert_eq!(refused, problem);
    }
}

#[test]
fn a_result_cannot_ask_for_more() {
    let params = object(json!({"a": {"$from": "hl-0"}}));

    let result = substitute(&params, |_| Ok(json!({"$from": "hl-1"}))).unwrap();

    assert_eq!(Value::Object(result), json!({"a": {"$from": "hl-1"}}));
}

proptest! {
    #[test]
    fn any_path_is_walked_or_refused_without_a_panic(path in "(a|data|\\.|\\[|\\]|\"|\\\\|[0-9]|.){0,12}") {
        let params = object(json!({"a": {"$from": "hl-0", "path": path}}));

        if let Err(why) = substitute(&params, known) {
            prop_assert!(why.starts_with("params.a: "), "{}", why);
        }
    }

    #[test]
    fn without_references_nothing_changes(value in odd_value()) {
        let params = object(json!({"a": value}));
        prop_assume!(references(&params).is_empty());

        if let Ok(same) = substitute(&params, known) {
            prop_assert_eq!(same, params);
        }
    }

    #[test]
    fn every_member_of_an_outcome_can_be_named(name in "(?s).{1,12}", index in 0..3_usize) {
        let data = json!({"data": {name.clone(): [0, 1, 2]}});
        let path = format!("data[{}][{index}]", Value::from(name));
        let params = object(json!({"a": {"$from": "hl-0", "path": path}}));

        let result = substitute(&params, |_| Ok(data.clone())).unwrap();

        prop_assert_eq!(&result["a"], &json!(index));
    }
}
