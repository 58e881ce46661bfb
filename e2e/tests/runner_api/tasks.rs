//! Task lists.

use serde_json::{Value, json};

use super::api::{Api, is_id, is_now, members, text};

#[tokio::test]
async fn a_task_is_answered_as_it_is_stored() {
    let Some(api) = Api::start("a_task_is_answered_as_it_is_stored").await else { return };
    api.runner("r1").await;
    let body = r#"{"taskId":"t-1","type":"exec","correlationId":"c-1","metadata":{"command":"true"},"priority":9}"#;

    let answer = api.text("POST", "/runners/r1/tasks", body).await;
    let listed = api.get("/runners/r1/tasks").await;

    let started = answer.json()["startedAt"].clone();
    is_now(&started);
    let wire = format!(
        r#"{{"taskId":"t-1","type":"exec","status":"running","startedAt":{started},"correlationId":"c-1","metadata":{{"command":"true"}}}}"#
    );
    answer.is(201, &wire);
    listed.is(200, &format!(r#"{{"runnerId":"r1","tasks":[{wire}],"count":1}}"#));
}

#[tokio::test]
async fn everything_about_a_task_may_be_left_out() {
    let Some(api) = Api::start("everything_about_a_task_may_be_left_out").await else { return };
    api.runner("r1").await;

    let none = api.send("POST", "/runners/r1/tasks", &[], None).await;
    let word = api.post("/runners/r1/tasks", json!({"status": "whatever"})).await;

    assert_eq!((none.status, word.status), (201, 201));
    assert_eq!(members(&none.text), ["taskId", "status", "startedAt"]);
    is_id(&none.json()["taskId"], "task-", 8);
    assert_eq!(word.json()["status"], "whatever");
}

#[tokio::test]
async fn tasks_are_chosen_by_exactly_their_status() {
    let Some(api) = Api::start("tasks_are_chosen_by_exactly_their_status").await else { return };
    api.runner("r1").await;
    for (id, status) in [("a", "running"), ("b", "odd one"), ("c", "running")] {
        api.post("/runners/r1/tasks", json!({"taskId": id, "status": status})).await;
    }

    for (query, wanted) in [
        ("", &["a", "b", "c"][..]),
        ("?status=", &["a", "b", "c"]),
        ("?status=running", &["a", "c"]),
        ("?status=odd%20one", &["b"]),
        ("?status=Running", &[]),
        ("?status=running&status=running", &[]),
        ("?other=1", &["a", "b", "c"]),
    ] {
        let list = api.json(&format!("/runners/r1/tasks{query}")).await;
        let ids: Vec<_> =
            list["tasks"].as_array().unwrap().iter().map(|task| text(&task["taskId"])).collect();
        assert_eq!(ids, wanted, "{query}");
        assert_eq!((&list["count"], &list["runnerId"]), (&json!(wanted.len()), &json!("r1")));
    }
}

#[tokio::test]
async fn a_report_is_laid_over_the_task() {
    let Some(api) = Api::start("a_report_is_laid_over_the_task").await else { return };
    api.runner("r1").await;
    let body = json!({"taskId": "t1", "type": "exec", "metadata": {"command": "x", "n": {"a": 1}}});
    api.post("/runners/r1/tasks", body).await;

    let empty = api.patch("/runners/r1/tasks/t1", json!({})).await;
    let none = api.send("PATCH", "/runners/r1/tasks/t1", &[], None).await;
    let only = api.patch("/runners/r1/tasks/t1", json!({"metadata": {"n": {"b": 2}}})).await;
    let report = json!({"status": "completed", "metadata": {"exitCode": 0, "stdout": "hi\n"}});
    let done = api.patch("/runners/r1/tasks/t1", report).await;

    assert_eq!((empty.status, none.status), (200, 200));
    assert_eq!(empty.text, none.text);
    assert_eq!((&only.json()["status"], only.json().get("completedAt")), (&json!("running"), None));
    assert_eq!(done.status, 200);
    assert_eq!(
        members(&done.text),
        ["taskId", "type", "status", "startedAt", "completedAt", "metadata"]
    );
    let done = done.json();
    is_now(&done["completedAt"]);
    assert_eq!(
        done["metadata"],
        json!({"command": "x", "n": {"b": 2}, "exitCode": 0, "stdout": "hi\n"})
    );
}

#[tokio::test]
async fn any_state_may_follow_any_other() {
    let Some(api) = Api::start("any_state_may_follow_any_other").await else { return };
    api.runner("r1").await;
    api.post("/runners/r1/tasks", json!({"taskId": "t1"})).await;
    let mut last = Value::Null;

    for status in ["completed", "running", "failed", "completed", "odd"] {
        let answer = api.patch("/runners/r1/tasks/t1", json!({"status": status})).await;
        assert_eq!((answer.status, &answer.json()["status"]), (200, &json!(status)));
        let completed = answer.json()["completedAt"].clone();
        assert!(completed.as_i64() >= last.as_i64(), "{completed} after {last}");
        last = completed;
    }
}

#[tokio::test]
async fn what_is_not_there_is_said_in_the_known_words() {
    let Some(api) = Api::start("what_is_not_there_is_said_in_the_known_words").await else {
        return;
    };
    api.runner("r1").await;

    let task = api.patch("/runners/r1/tasks/none", json!({})).await;
    let runner = api.patch("/runners/none/tasks/t", json!({})).await;
    let create = api.post("/runners/none/tasks", json!({})).await;

    task.is(404, r#"{"error":"Task not found"}"#);
    runner.is(404, r#"{"error":"Runner not found"}"#);
    create.is(404, r#"{"error":"Runner not found"}"#);
}

#[tokio::test]
async fn a_task_id_is_taken_once_on_each_runner() {
    let Some(api) = Api::start("a_task_id_is_taken_once_on_each_runner").await else { return };
    api.runner("r1").await;
    api.runner("r2").await;
    api.post("/runners/r1/tasks", json!({"taskId": "t1", "type": "exec"})).await;

    let again = api.post("/runners/r1/tasks", json!({"taskId": "t1", "type": "http"})).await;
    let elsewhere = api.post("/runners/r2/tasks", json!({"taskId": "t1"})).await;

    assert_eq!(again.status, 409, "{again:?}");
    assert!(text(&again.json()["error"]).contains("t1"));
    assert_eq!(elsewhere.status, 201);
    let tasks = api.json("/runners/r1/tasks").await;
    assert_eq!((&tasks["count"], &tasks["tasks"][0]["type"]), (&json!(1), &json!("exec")));
}

#[tokio::test]
async fn a_runner_that_is_offline_is_given_tasks_and_reports_late() {
    let Some(api) = Api::start("a_runner_that_is_offline_is_given_tasks_and_reports_late").await
    else {
        return;
    };
    api.runner("r1").await;
    api.post("/runners/r1/tasks", json!({"taskId": "early", "type": "exec"})).await;
    api.post("/runners/offline", json!({"runnerId": "r1"})).await;

    let late = api.post("/runners/r1/tasks", json!({"taskId": "late", "type": "exec"})).await;
    let report = json!({"status": "completed", "metadata": {"exitCode": 0}});
    let patched = api.patch("/runners/r1/tasks/early", report).await;

    assert_eq!((late.status, patched.status), (201, 200));
    assert_eq!(patched.json()["status"], "completed");
    assert_eq!(api.shown("r1").await["status"], "offline");
}

#[tokio::test]
async fn a_result_of_two_mebibytes_is_taken_and_read_back() {
    let Some(api) = Api::start("a_result_of_two_mebibytes_is_taken_and_read_back").await else {
        return;
    };
    api.runner("r1").await;
    api.post("/runners/r1/tasks", json!({"taskId": "t1", "type": "exec"})).await;
    let stdout = "x".repeat(2 * 1024 * 1024);

    let report = json!({"status": "completed", "metadata": {"stdout": stdout}});
    let patched = api.patch("/runners/r1/tasks/t1", report).await;
    let listed = api.json("/runners/r1/tasks").await;
    let huge = json!({"metadata": {"stdout": "x".repeat(40 * 1024 * 1024)}});
    let refused = api.patch("/runners/r1/tasks/t1", huge).await;

    assert_eq!(patched.status, 200);
    assert_eq!(text(&listed["tasks"][0]["metadata"]["stdout"]).len(), stdout.len());
    assert_eq!(refused.status, 413);
    assert!(refused.json()["error"].is_string());
}
