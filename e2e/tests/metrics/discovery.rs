//! Where Prometheus finds our executors.

use serde_json::{Value, json};

use crate::scene::world;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn executors_are_listed_once_whether_named_or_registered() {
    let Some(mut world) = world("executors_are_listed_once").await else { return };
    world.routing.executor_at("one", "http://127.0.0.1:4101").default_to("one");
    world.routing.executor_at("two", "https://10.0.0.7");
    world.prepare_coordinator(&["--api-keys", "k"]).unwrap();
    world.start(e2e::world::COORDINATOR).await.unwrap();
    let ygg = world.ygg();
    let key = [("X-API-Key", "k")];
    for (id, endpoint, metadata) in [
        ("same", "http://127.0.0.1:4101", json!({"protocol": 1})),
        ("three", "http://127.0.0.1:4103/prefix/", json!({"protocol": 1})),
        ("broken", "nowhere", json!({"protocol": 1})),
        ("ratatoskr", "http://192.0.2.2:8080", json!({})),
    ] {
        let body = json!({"runnerId": id, "name": id, "endpoint": endpoint, "metadata": metadata});
        let (status, answer) = ygg.post_with("/runners/register", &body, &key).await.unwrap();
        assert!(status.is_success(), "{answer}");
    }

    let refused = ygg.get("/sd/executors").await.unwrap();
    let url = format!("{}/sd/executors", ygg.url());
    let listed = world.client().get(url).bearer_auth("k").send().await.unwrap();

    assert_eq!(refused.status(), 401);
    let kind = listed.headers()["content-type"].to_str().unwrap();
    assert!(kind.starts_with("application/json"), "{kind}");
    let group = |target: &str, name: &str, source: &str, scheme: &str, path: &str| {
        json!({"targets": [target], "labels": {
            "__meta_yggdrasil_executor": name, "__meta_yggdrasil_source": source,
            "__scheme__": scheme, "__metrics_path__": path}})
    };
    let expected = json!([
        group("127.0.0.1:4101", "one", "routing.yaml", "http", "/metrics"),
        group("10.0.0.7:443", "two", "routing.yaml", "https", "/metrics"),
        group("127.0.0.1:4103", "three", "registration", "http", "/prefix/metrics"),
    ]);
    assert_eq!(listed.json::<Value>().await.unwrap(), expected);
}
