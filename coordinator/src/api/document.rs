//! The description of the API: `OpenAPI` 3.1, made from the handlers, and what all of them share.

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};

use axum::http::header;
use axum::response::IntoResponse;
use bytes::Bytes;
use serde_json::{Map, Value, json};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;

/// Methods of a path, as the document names them.
const METHODS: [&str; 7] = ["get", "put", "post", "delete", "options", "head", "patch"];

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(show))
}

/// Describes this API.
#[utoipa::path(
    get, path = "/openapi.json", tag = "Coordinator",
    responses((status = 200, body = Value, description = "`OpenAPI` 3.1."))
)]
async fn show() -> impl IntoResponse {
    // It depends on nothing but the code.
    static TEXT: LazyLock<Bytes> = LazyLock::new(|| text().into());
    ([(header::CONTENT_TYPE, "application/json")], TEXT.clone())
}

/// Returns the description of the API as text, as `docs/openapi.json` has it.
pub fn text() -> String {
    let (_, document) = super::described().split_for_parts();
    // Both are made of text, numbers and maps with text keys, which JSON can always hold.
    let mut document = serde_json::to_value(document).unwrap_or_default();
    complete(&mut document);
    let mut text = serde_json::to_string_pretty(&document).unwrap_or_default();
    text.push('\n');
    text
}

/// Adds what holds for all routes.
fn complete(document: &mut Value) {
    document["info"] = json!({
        "title": "Yggdrasil",
        "version": env!("CARGO_PKG_VERSION"),
        "summary": "The coordinator: beads, runners and their tasks, sessions, realms, agents.",
        "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
    });
    document["components"]["responses"] = shared_responses();
    document["servers"] = json!([{ "url": "/" }]);
    document["components"]["securitySchemes"] = json!({
        "apiKey": {
            "type": "apiKey", "in": "header", "name": "X-API-Key",
            "description": "One of API_KEYS, or for reading one of READ_API_KEYS.",
        },
        "bearer": {
            "type": "http", "scheme": "bearer", "description": "The same key, as a bearer token.",
        },
        "adminKey": {
            "type": "apiKey", "in": "header", "name": "X-Admin-Api-Key",
            "description": "ADMIN_API_KEY; for /api/admin and nothing else.",
        },
    });
    widen(document);
    let needed = needed_bodies(document);
    let Some(paths) = document["paths"].as_object_mut() else { return };
    for (path, item) in paths {
        for method in METHODS {
            if let Some(operation) = item.get_mut(method).and_then(Value::as_object_mut) {
                complete_body(operation, &needed);
                complete_operation(path, method, operation);
            }
        }
    }
}

/// What many routes answer, by status.
fn shared_responses() -> Value {
    let error = |description: &str| {
        let schema = json!({ "$ref": "#/components/schemas/ApiError" });
        json!({
            "description": description,
            "content": { "application/json": { "schema": schema } },
        })
    };
    json!({
        "304": { "description": "As it was, by `If-None-Match`." },
        "400": error("The path or the body is not readable."),
        "401": error("No key, or a wrong one."),
        "403": error("The key may only read."),
        "405": error("The path has no such method; `Allow` names those that it has."),
        "408": error("The body did not arrive in time."),
        "413": error("The body is too large."),
        "415": error("The body is compressed."),
        "429": error("Too many requests with this key, or failures of this address."),
    })
}

/// Gives numbers without a sign the range that they have: `OpenAPI` has formats for others only.
fn widen(value: &mut Value) {
    match value {
        Value::Object(members) => {
            let unsigned = members.get("minimum").is_some_and(|least| *least == 0);
            let most = match members.get("format").and_then(Value::as_str) {
                Some("int64") if unsigned => Some(u64::MAX),
                Some("int32") if unsigned => Some(u64::from(u32::MAX)),
                _ => None,
            };
            if let Some(most) = most {
                members.remove("format");
                members.entry("maximum").or_insert(most.into());
            }
            members.values_mut().for_each(widen);
        }
        Value::Array(items) => items.iter_mut().for_each(widen),
        _ => {}
    }
}

/// Returns the schemas that name a member which must be there.
fn needed_bodies(document: &Value) -> BTreeSet<String> {
    let schemas = document.pointer("/components/schemas").and_then(Value::as_object);
    let needs =
        |schema: &Value| schema["required"].as_array().is_some_and(|required| !required.is_empty());
    let needed = schemas.into_iter().flatten().filter(|(_, schema)| needs(schema));
    needed.map(|(name, _)| format!("#/components/schemas/{name}")).collect()
}

/// Says when a body may be left out, and what is read as an empty one.
fn complete_body(operation: &mut Map<String, Value>, needed: &BTreeSet<String>) {
    let Some(body) = operation.get_mut("requestBody") else { return };
    let Some(media) = body.pointer_mut("/content/application~1json") else { return };
    let mut schema = media["schema"].take();
    // A body may be absent; one that is `null` is refused.
    if let Some(named) = schema.pointer_mut("/oneOf/0") {
        schema = named.take();
    }
    let is_needed = schema["$ref"].as_str().is_some_and(|name| needed.contains(name));
    if is_needed {
        media["schema"] = schema;
    } else {
        let nothing = json!({ "type": "array", "description": "Read as an empty object." });
        media["schema"] = json!({ "anyOf": [schema, nothing] });
    }
    body["required"] = is_needed.into();
}

fn complete_operation(path: &str, method: &str, operation: &mut Map<String, Value>) {
    operation.insert("operationId".to_owned(), id_of(path, method).into());
    part_summary(operation);
    for tag in operation.get_mut("tags").and_then(Value::as_array_mut).into_iter().flatten() {
        *tag = capitalised(tag.as_str().unwrap_or_default()).into();
    }
    let is_open = matches!(path, "/health" | "/metrics");
    let is_admin = path.starts_with("/api/admin/");
    let security = match (is_open, is_admin) {
        (true, _) => json!([]),
        (_, true) => json!([{ "adminKey": [] }]),
        _ => json!([{ "apiKey": [] }, { "bearer": [] }]),
    };
    operation.insert("security".to_owned(), security);
    let has_body = operation.contains_key("requestBody");
    let Some(responses) = operation.get_mut("responses").and_then(Value::as_object_mut) else {
        return;
    };
    let mut shared = |status: &str| {
        let told = responses.entry(status).or_insert(Value::Null);
        if told["description"].as_str().unwrap_or_default().is_empty() {
            *told = json!({ "$ref": format!("#/components/responses/{status}") });
        }
    };
    if !is_open {
        shared("401");
        shared("429");
        if method != "get" && !is_admin {
            shared("403");
        }
    }
    if path.contains('{') || has_body {
        shared("400");
    }
    if path.ends_with('}') && method != "get" {
        // Without its last part the path is another one.
        shared("405");
    }
    if has_body {
        shared("408");
        shared("413");
        shared("415");
    }
    let is_json = responses
        .get("200")
        .is_some_and(|good| good.pointer("/content/application~1json").is_some());
    if method == "get" && is_json {
        responses.insert("304".to_owned(), json!({ "$ref": "#/components/responses/304" }));
    }
    for (status, told) in responses.iter_mut() {
        if told.get("$ref").is_none() && told["description"].as_str().unwrap_or_default().is_empty()
        {
            told["description"] = reason(status).into();
        }
    }
}

/// Parts a long summary: its first sentence, and the rest.
fn part_summary(operation: &mut Map<String, Value>) {
    let Some(summary) = operation.get("summary").and_then(Value::as_str) else { return };
    let text = summary.replace('\n', " ");
    let (first, rest) = match text.split_once(". ") {
        Some((first, rest)) => (first.to_owned(), Some(rest.to_owned())),
        None => (text.trim_end_matches('.').to_owned(), None),
    };
    operation.insert("summary".to_owned(), first.into());
    let more = operation.get("description").and_then(Value::as_str).map(str::to_owned);
    let parts: Vec<String> = rest.into_iter().chain(more).collect();
    if !parts.is_empty() {
        operation.insert("description".to_owned(), parts.join("\n\n").into());
    }
}

fn reason(status: &str) -> &'static str {
    let code =
        status.parse().ok().and_then(|code: u16| axum::http::StatusCode::from_u16(code).ok());
    code.and_then(|code| code.canonical_reason()).unwrap_or("The answer.")
}

/// Names an operation: its method and the words of its path.
fn id_of(path: &str, method: &str) -> String {
    let words = path.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.fold(method.to_owned(), |id, word| id + &capitalised(word))
}

fn capitalised(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document() -> Value {
        serde_json::from_str(&text()).unwrap()
    }

    #[test]
    fn the_document_in_the_repository_is_fresh() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/openapi.json");
        let kept = std::fs::read_to_string(path).unwrap_or_default();
        let line = kept.lines().zip(text().lines()).position(|(kept, made)| kept != made);

        assert!(
            kept == text(),
            "docs/openapi.json is stale from line {line:?} on; run `make docs`"
        );
    }

    #[test]
    fn every_operation_has_a_name_of_its_own() {
        let document = document();
        let operations = document["paths"].as_object().unwrap().values();
        let all: Vec<_> = operations.flat_map(|item| item.as_object().unwrap().values()).collect();
        let names: BTreeSet<_> = all.iter().map(|one| one["operationId"].to_string()).collect();

        assert_eq!(names.len(), all.len());
    }

    #[test]
    fn every_name_that_is_referred_to_is_there() {
        let document = document();
        let schemas = document["components"]["schemas"].as_object().unwrap();
        let text = document.to_string();
        for part in text.split("\"#/components/schemas/").skip(1) {
            let name = part.split('"').next().unwrap();
            assert!(schemas.contains_key(name), "{name}");
        }
        for part in text.split("\"#/components/responses/").skip(1) {
            let status = part.split('"').next().unwrap();
            assert!(document["components"]["responses"][status].is_object(), "{status}");
        }
    }

    #[test]
    fn every_route_of_the_measured_protocol_is_described() {
        let document = document();
        for (method, path) in [
            ("get", "/health"),
            ("get", "/metrics"),
            ("post", "/runners/register"),
            ("post", "/runners/heartbeat"),
            ("post", "/runners/update"),
            ("post", "/runners/offline"),
            ("post", "/runners/{id}/request-update"),
            ("post", "/runners/{id}/tasks"),
            ("get", "/runners/{id}/tasks"),
            ("patch", "/runners/{id}/tasks/{taskId}"),
            ("get", "/api/runners"),
            ("get", "/api/runners/{id}"),
            ("get", "/runners"),
            ("get", "/runners/{id}"),
            ("post", "/version-check/{version}"),
            ("get", "/admission"),
            ("get", "/status"),
            ("post", "/api/v1/sessions"),
            ("get", "/api/v1/sessions"),
            ("get", "/api/v1/sessions/{id}"),
            ("patch", "/api/v1/sessions/{id}"),
            ("delete", "/api/v1/sessions/{id}"),
            ("get", "/api/v1/realms"),
            ("get", "/api/v1/realms/{id}"),
            ("patch", "/api/v1/realms/{id}"),
            ("delete", "/api/v1/realms/{id}"),
            ("post", "/api/v1/realms/register"),
            ("post", "/api/v1/realms/heartbeat"),
            ("post", "/api/v1/realms/deregister"),
            ("post", "/api/admin/api-keys/rotate"),
            ("post", "/api/admin/expected-version"),
            ("get", "/api/admin/runners"),
            ("get", "/api/admin/runners/{id}/update-log"),
            ("post", "/api/admin/runners/request-update"),
            ("post", "/api/admin/self-update"),
        ] {
            assert!(document["paths"][path][method].is_object(), "{method} {path}");
        }
    }
}
