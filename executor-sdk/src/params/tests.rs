use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::*;

/// Looks at hosts.
#[derive(Debug, Deserialize, JsonSchema)]
#[expect(dead_code, reason = "only their parsing is of interest")]
struct Look {
    hosts: Vec<Host>,
    #[serde(default)]
    retries: u8,
    mode: Option<Mode>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    anything: serde_json::Map<String, Value>,
}

/// One host.
#[derive(Debug, Deserialize, JsonSchema)]
#[expect(dead_code, reason = "only their parsing is of interest")]
struct Host {
    name: String,
    port: u16,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(dead_code, reason = "only their parsing is of interest")]
enum Mode {
    Fast,
    Slow { pause: u32 },
}

#[derive(Debug, Deserialize, JsonSchema)]
struct Nothing {}

fn refused<T: DeserializeOwned + JsonSchema + std::fmt::Debug>(params: Value) -> ParamsError {
    let Value::Object(raw) = params else { panic!("not an object") };
    parse::<T>(raw, &schema::<T>()).unwrap_err()
}

fn accepted<T: DeserializeOwned + JsonSchema>(params: Value) -> T {
    let Value::Object(raw) = params else { panic!("not an object") };
    parse::<T>(raw, &schema::<T>()).unwrap_or_else(|error| panic!("{}", error.error))
}

#[test]
fn a_wrong_type_is_named_with_its_path() {
    let error = refused::<Look>(json!({"hosts": [{"name": "thor", "port": "x"}]}));

    assert_eq!(error.error, "`hosts[0].port`: invalid type: string \"x\", expected u16");
}

#[test]
fn a_missing_field_is_named_with_its_path_and_type() {
    let error = refused::<Look>(json!({"hosts": [{"name": "thor", "port": 1}, {"name": "a"}]}));

    assert_eq!(error.error, "`hosts[1].port` is missing, expected an integer (uint16)");
}

#[test]
fn an_unknown_field_is_found_at_any_depth_with_the_nearest_name() {
    let error = refused::<Look>(json!({"hosts": [{"name": "thor", "port": 1, "prot": 2}]}));

    assert_eq!(error.error, "`hosts[0].prot` is unknown");
    assert_eq!(
        error.hint.as_deref(),
        Some("did you mean `port`? known in `hosts[0]`: `port`, `name`")
    );
}

#[test]
fn a_misspelt_required_field_is_told_from_both_sides() {
    let error = refused::<Look>(json!({"hots": []}));

    assert_eq!(error.error, "`hosts` is missing, expected an array; `hots` is unknown");
    assert!(error.hint.unwrap().starts_with("did you mean `hosts`?"));
}

#[test]
fn an_unknown_field_inside_an_enum_is_refused() {
    let error =
        refused::<Look>(json!({"hosts": [], "mode": {"slow": {"pause": 1, "extra": true}}}));

    assert!(error.error.contains("extra"), "{}", error.error);
}

#[test]
fn maps_take_any_key() {
    let look: Look =
        accepted(json!({"hosts": [], "labels": {"a": "b"}, "anything": {"c": {"d": 1}}}));

    assert_eq!(look.anything.len(), 1);
}

#[test]
fn a_task_without_params_takes_an_empty_object_and_nothing_else() {
    let _nothing: Nothing = accepted(json!({}));

    let error = refused::<Nothing>(json!({"x": 1}));

    assert_eq!(error.error, "`x` is unknown");
    assert_eq!(error.hint.as_deref(), Some("no fields are known here"));
}

#[test]
fn the_schema_is_closed_at_structs_and_open_at_maps() {
    let nothing = schema::<Nothing>();
    let schema = schema::<Look>();

    assert_eq!(schema["additionalProperties"], json!(false));
    assert_eq!(schema["description"], json!("Looks at hosts."));
    assert_eq!(schema["$defs"]["Host"]["additionalProperties"], json!(false));
    assert_eq!(schema["properties"]["retries"]["default"], json!(0));
    assert_eq!(schema["properties"]["labels"]["additionalProperties"]["type"], json!("string"));
    assert_eq!(schema["properties"]["anything"]["additionalProperties"], json!(true));
    assert_eq!(nothing["additionalProperties"], json!(false));
}
