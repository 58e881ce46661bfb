use axum::http::HeaderValue;
use protocol::runner::{Heartbeat, RegisterRunner};

use super::*;

fn text<T: DeserializeOwned + Default + std::fmt::Debug>(body: &str) -> String {
    let problem = parse::<T>(body.as_bytes()).unwrap_err();
    assert_eq!(problem.status(), StatusCode::BAD_REQUEST, "{body}");
    problem.text().to_owned()
}

#[test]
fn no_body_and_an_array_are_an_empty_object() {
    for body in ["", "  ", "{}", "[]", " [1, \"a\"]", r#"["r1", "name"]"#] {
        assert_eq!(
            parse::<RegisterRunner>(body.as_bytes()).unwrap(),
            RegisterRunner::default(),
            "{body}"
        );
    }
}

#[test]
fn what_is_no_object_is_refused() {
    for body in ["null", "1", "\"text\"", "true"] {
        assert_eq!(text::<RegisterRunner>(body), "the body must be a JSON object");
    }
    assert!(text::<RegisterRunner>("{\"name\":").starts_with("the body is not JSON: EOF"));
    assert!(text::<RegisterRunner>("[1,").starts_with("the body is not JSON: "));
    assert!(text::<RegisterRunner>("{} {}").starts_with("the body is not JSON: trailing"));
}

#[test]
fn a_wrong_type_names_its_member() {
    for (body, expected) in [
        (r#"{"name":5}"#, "`name` must be a string"),
        (r#"{"runnerId":7}"#, "`runnerId` must be a string"),
        (r#"{"capabilities":"http"}"#, "`capabilities` must be an array"),
        (r#"{"capabilities":["a",1]}"#, "`capabilities[1]` must be a string"),
        (r#"{"realmTemplates":{}}"#, "`realmTemplates` must be an array"),
        (r#"{"realmTemplates":[{"id":"a"}]}"#, "`realmTemplates[0].type` is required"),
        (r#"{"labels":[]}"#, "`labels` must be an object"),
        (r#"{"labels":{"a":{}}}"#, "`labels.a` must be a string"),
        (r#"{"resources":[]}"#, "`resources` must be an object"),
        (r#"{"resources":{"cpu":[1]}}"#, "`resources.cpu` must be an object"),
        (
            r#"{"resources":{"cpu":{"cpus":-1}}}"#,
            "`resources.cpu.cpus` must be a whole number that is not negative",
        ),
        (r#"{"tasks":"t"}"#, "`tasks` must be an array"),
        (r#"{"tasks":[["t"]]}"#, "`tasks[0]` must be an object"),
        (r#"{"tasks":[{}]}"#, "`tasks[0].taskId` is required"),
        (r#"{"metadata":[]}"#, "`metadata` must be an object"),
        (r#"{"leaseTtlMs":1.5}"#, "`leaseTtlMs` must be a whole number that is not negative"),
        (r#"{"name":"a","name":"b"}"#, "`name` is there twice"),
    ] {
        assert_eq!(text::<RegisterRunner>(body), expected, "{body}");
    }
    assert_eq!(text::<Heartbeat>(r#"{"timestamp":"now"}"#), "`timestamp` must be a number");
}

#[test]
fn deep_json_is_refused() {
    let deep = format!("{{\"metadata\":{{\"a\":{}{}}}}}", "[".repeat(9000), "]".repeat(9000));
    assert_eq!(text::<RegisterRunner>(&deep), "the body is nested too deeply");
    assert_eq!(text::<RegisterRunner>(&"[".repeat(9000)), "the body is nested too deeply");
    let unknown = format!("{{\"who\":{}{}}}", "[".repeat(9000), "]".repeat(9000));
    assert_eq!(text::<RegisterRunner>(&unknown), "the body is nested too deeply");
}

#[test]
fn a_percent_sign_stands_before_two_digits() {
    for (path, is_good) in [
        ("/runners/a%20b", true),
        ("/a%2Fb%c3%A9", true),
        ("/%zz", false),
        ("/%2", false),
        ("/%", false),
    ] {
        assert_eq!(is_encoded(path), is_good, "{path}");
    }
}

#[test]
fn only_json_is_read() {
    for (kind, is_read) in [
        ("application/json", true),
        ("Application/JSON; charset=utf-8", true),
        ("text/plain", false),
        ("application/jsonp", false),
        ("application/x-www-form-urlencoded", false),
    ] {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        assert_eq!(is_json(&headers), is_read, "{kind}");
    }
    assert!(!is_json(&HeaderMap::new()));
}

#[tokio::test]
async fn a_body_has_a_limit_however_it_comes() {
    let pieces = |count: usize| {
        let pieces = (0..count).map(|_| Ok::<_, std::io::Error>(Bytes::from_static(b"12345678")));
        Stream::from_stream(futures::stream::iter(pieces))
    };
    assert_eq!(collect(pieces(4), 32).await.unwrap().len(), 32);
    assert_eq!(collect(Stream::from(vec![b'a'; 32]), 32).await.unwrap().len(), 32);
    for body in [pieces(5), Stream::from(vec![b'a'; 33])] {
        let problem = collect(body, 32).await.unwrap_err();
        assert_eq!(problem.status(), StatusCode::PAYLOAD_TOO_LARGE);
    }
}

#[tokio::test]
async fn a_body_that_comes_too_slowly_or_not_at_all_is_told_apart() {
    for (kind, status) in [
        (std::io::ErrorKind::TimedOut, StatusCode::REQUEST_TIMEOUT),
        (std::io::ErrorKind::UnexpectedEof, StatusCode::BAD_REQUEST),
    ] {
        let pieces = futures::stream::iter([Err::<Bytes, _>(std::io::Error::from(kind))]);
        let problem = collect(Stream::from_stream(pieces), 32).await.unwrap_err();
        assert_eq!(problem.status(), status);
    }
}
