use std::io::Read as _;

use axum::Json;
use axum::extract::Path;
use axum::routing::{get, post};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::*;

fn api() -> Router {
    let routes = Router::new()
        .route("/things/{id}", get(async |Path(id): Path<String>| Json(json!({ "id": id }))))
        .route("/long", get(async || Json(json!({ "text": "a".repeat(5000) }))))
        .route("/words", post(async || (StatusCode::CREATED, Json(json!({ "status": "ok" })))))
        .route("/plain", get(async || (StatusCode::BAD_REQUEST, "that is <b>wrong</b>\n")))
        .route("/agent/{id}/plain", get(of_an_agent))
        .method_not_allowed_fallback(async || {
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "not answered here")
        })
        .fallback(async || Problem::not_found("nothing"));
    let paths = Paths::new(["/things/{id}", "/long", "/words", "/plain", "/agent/{id}/plain"]);
    around(routes, paths)
}

async fn of_an_agent() -> impl axum::response::IntoResponse {
    (StatusCode::BAD_GATEWAY, [("x-agent-id", "a")], "of an agent")
}

async fn send(method: &str, path: &str, headers: &[(&str, &str)]) -> Response<Body> {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    api().oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
}

async fn bytes(response: Response<Body>) -> Vec<u8> {
    axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap().to_vec()
}

async fn json_of(response: Response<Body>) -> Value {
    serde_json::from_slice(&bytes(response).await).unwrap()
}

fn text<'a>(response: &'a Response<Body>, name: &str) -> &'a str {
    response.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

#[tokio::test]
async fn every_answer_has_the_fixed_headers() {
    for (method, path) in
        [("GET", "/things/a"), ("GET", "/nothing"), ("POST", "/long"), ("OPTIONS", "/any")]
    {
        let response = send(method, path, &[]).await;
        for (name, value) in FIXED {
            assert_eq!(text(&response, name), value, "{method} {path}: {name}");
        }
        assert!(!response.headers().contains_key("x-frame-options"));
    }
}

#[tokio::test]
async fn json_is_labelled_as_it_always_was() {
    let response = send("GET", "/things/a", &[]).await;
    assert_eq!(text(&response, "content-type"), "application/json; charset=utf-8");
    assert_eq!(text(&response, "vary"), "Accept-Encoding");
}

#[tokio::test]
async fn ids_are_decoded_and_keep_their_case() {
    let response = send("GET", "/THINGS/A%20b%2Fc/", &[]).await;
    assert_eq!(json_of(response).await, json!({ "id": "A b/c" }));
}

#[tokio::test]
async fn a_page_may_send_what_it_asks_for() {
    let wanted = ("access-control-request-headers", "x-api-key, content-type");
    let response = send("OPTIONS", "/words", &[("origin", "http://x"), wanted]).await;

    assert_eq!(response.status(), StatusCode::NO_CONTENT);
    assert_eq!(text(&response, "access-control-allow-headers"), wanted.1);
    let methods = text(&response, "access-control-allow-methods");
    assert_eq!(methods, "GET,HEAD,PUT,PATCH,POST,DELETE");
}

#[tokio::test]
async fn a_wrong_method_is_told_the_right_ones() {
    for (method, path, allowed) in [("GET", "/words", "POST"), ("DELETE", "/long", "GET,HEAD")] {
        let response = send(method, path, &[]).await;
        assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED, "{path}");
        assert_eq!(text(&response, "allow"), allowed, "{path}");
        assert!(json_of(response).await["error"].is_string());
    }
}

#[tokio::test]
async fn errors_are_json_whoever_made_them() {
    let response = send("GET", "/plain", &[]).await;
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    assert_eq!(text(&response, "content-type"), "application/json; charset=utf-8");
    assert_eq!(json_of(response).await, json!({ "error": "that is <b>wrong</b>" }));

    let bad_escape = send("GET", "/things/%ff", &[]).await;
    assert_eq!(bad_escape.status(), StatusCode::BAD_REQUEST);
    assert!(json_of(bad_escape).await["error"].is_string());

    let of_an_agent = send("GET", "/agent/a/plain", &[]).await;
    assert_eq!(bytes(of_an_agent).await, b"of an agent");
}

#[tokio::test]
async fn head_tells_what_get_would() {
    for encoding in ["identity", "gzip"] {
        let get = send("GET", "/long", &[]).await;
        let head = send("HEAD", "/long", &[("accept-encoding", encoding)]).await;
        assert_eq!(head.status(), StatusCode::OK);
        assert_eq!(head.headers().get("etag"), get.headers().get("etag"));
        let length = bytes(get).await.len();
        assert_eq!(text(&head, "content-length"), length.to_string());
        assert!(bytes(head).await.is_empty());
    }
    assert_eq!(send("HEAD", "/words", &[]).await.status(), StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn who_has_the_answer_is_not_sent_it_again() {
    let first = send("GET", "/long", &[]).await;
    let mark = text(&first, "etag").to_owned();
    assert!(mark.starts_with("W/\"1393-"), "{mark}");

    for known in [mark.clone(), mark.replace("W/", ""), format!("\"x\", {mark}"), "*".to_owned()] {
        let again = send("GET", "/long", &[("if-none-match", &known)]).await;
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED, "{known}");
        assert_eq!(text(&again, "etag"), mark);
        assert!(bytes(again).await.is_empty());
    }
    let anyway = [("if-none-match", mark.as_str()), ("cache-control", "no-cache")];
    assert_eq!(send("GET", "/long", &anyway).await.status(), StatusCode::OK);
    let other = send("GET", "/things/a", &[("if-none-match", &mark)]).await;
    assert_eq!(other.status(), StatusCode::OK);
    assert!(send("POST", "/words", &[]).await.headers().get("etag").is_none());
}

#[tokio::test]
async fn long_answers_are_compressed_for_those_who_ask() {
    let plain = bytes(send("GET", "/long", &[]).await).await;
    for encoding in ["gzip", "deflate"] {
        let response = send("GET", "/long", &[("accept-encoding", encoding)]).await;
        assert_eq!(text(&response, "content-encoding"), encoding);
        assert!(text(&response, "vary").eq_ignore_ascii_case("accept-encoding"));
        assert!(response.headers().get("content-length").is_none());
        assert!(response.headers().contains_key("etag"));
        let packed = bytes(response).await;
        assert!(packed.len() < plain.len() / 10, "{encoding}: {}", packed.len());
        let mut unpacked = Vec::new();
        match encoding {
            "gzip" => flate2::read::GzDecoder::new(&packed[..]).read_to_end(&mut unpacked),
            _ => flate2::read::ZlibDecoder::new(&packed[..]).read_to_end(&mut unpacked),
        }
        .unwrap();
        assert_eq!(unpacked, plain);
    }
    let short = send("GET", "/things/a", &[("accept-encoding", "gzip")]).await;
    assert!(short.headers().get("content-encoding").is_none());
}
