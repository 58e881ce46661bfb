//! The contract of every executor, over real HTTP.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

mod attempts;
mod builtin;
mod commands;
mod follow;
mod outcomes;
mod policy;
mod refusals;
mod secrets;
mod stopping;
mod surface;
mod trial;

use executor_sdk::harness::{Harness, Refusal, RefusalCode};
use reqwest::Method;
use serde_json::Value;
use trial::Trial;

async fn trial() -> Harness {
    Harness::start(Trial { greeting: "hello".into() }).await
}

/// Sends a body as it is, without a content type.
async fn post(executor: &Harness, body: impl Into<reqwest::Body>) -> (u16, Value) {
    let sent = executor.request(Method::POST, "execute").body(body).send().await.unwrap();
    let status = sent.status().as_u16();
    assert_eq!(sent.headers()["content-type"], "application/json");
    (status, sent.json().await.unwrap())
}

fn is(refusal: &Refusal, code: RefusalCode, part: &str) {
    assert_eq!(refusal.code, code, "{}", refusal.error);
    assert!(refusal.error.contains(part), "`{part}` is not in `{}`", refusal.error);
}
