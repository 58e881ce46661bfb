//! `run-command` and `run-playbook`.

use executor_sdk::harness::hostile::{Table, builtin};
use executor_sdk::harness::{Ending, Harness, Outcome, RefusalCode, tokio, until};
use executor_sdk::prelude::*;
use tempfile::TempDir;

use crate::is;
use crate::trial::Trial;

/// An executor without a task of its own.
#[derive(Args, Debug)]
#[group(skip)]
struct Plain;

impl Executor for Plain {
    const NAME: &'static str = "plain-executor";

    fn tasks() -> Tasks<Self> {
        Tasks::new()
    }
}

#[tokio::test]
async fn a_command_gets_arguments_folder_and_stdin() {
    let folder = tempfile::tempdir().unwrap();
    let executor = Harness::with(Trial::default()).policy("allow: {commands: [sh]}").start().await;
    let params =
        json!({"program": "sh", "args": ["-c", "pwd; cat"], "cwd": folder.path(), "stdin": "in\n"});

    let outcome = executor.execute("run-command", params).await.unwrap();

    let pwd = folder.path().canonicalize().unwrap();
    assert_eq!(outcome.output, format!("{}\nin\n", pwd.display()));
    assert_eq!(outcome.exit_code, Some(0));
}

#[tokio::test]
async fn an_order_may_give_a_command_more_or_less_time() {
    let executor =
        Harness::with(Trial::default()).policy("allow: {commands: [sleep]}").start().await;
    let mut order = Harness::new_order("run-command", json!({"program": "sleep", "args": ["600"]}));
    order.timeout_seconds = Some(0.3);

    let outcome = executor.order(&order).await.unwrap();

    assert_eq!(outcome.status, Ending::TimedOut);
}

#[tokio::test]
async fn a_command_is_ended_when_it_is_cancelled() {
    let folder = tempfile::tempdir().unwrap();
    let executor = Harness::with(Trial::default()).policy("allow: {commands: [sh]}").start().await;
    let script = "echo begun; sleep 600; touch done";
    let order = json!({"program": "sh", "args": ["-c", script], "cwd": folder.path()});

    let started = executor.execute_async("run-command", order).await.unwrap();
    executor.log_contains(started.attempt, "begun").await;
    executor.cancel(started.attempt).await.unwrap();
    let outcome = executor.outcome(started.attempt).await;

    assert_eq!(outcome.status, Ending::Cancelled, "{outcome:?}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_command_without_its_effect_is_a_failure_with_its_code_and_words() {
    let folder = tempfile::tempdir().unwrap();
    // Also root fails here: a folder where a file has to be.
    std::fs::create_dir(folder.path().join("to")).unwrap();
    std::fs::write(folder.path().join("from"), "x").unwrap();
    let executor = Harness::with(Trial::default()).policy("allow: {commands: [cp]}").start().await;
    let args = json!(["--no-target-directory", "from", "to"]);

    let order = json!({"program": "cp", "args": args, "cwd": folder.path()});
    let outcome = executor.execute("run-command", order).await.unwrap();

    assert_eq!(outcome.status, Ending::Failed, "{outcome:?}");
    assert_eq!(outcome.exit_code, Some(1));
    assert!(outcome.error.unwrap().starts_with("`cp` exited with 1: cp: cannot overwrite"));
}

#[tokio::test]
async fn a_program_that_is_not_there_is_a_clear_failure() {
    let executor = Harness::with(Trial::default()).start().await;
    let params = json!({"program": "surely-nobody-has-this-tool"});

    let outcome = executor.execute("run-command", params).await.unwrap();

    assert_eq!(outcome.status, Ending::Failed);
    let error = outcome.error.unwrap();
    assert_eq!(error, "`surely-nobody-has-this-tool` is not installed on this node");
}

/// A folder with playbooks and an executor that may run them; none where there is no Ansible.
#[expect(clippy::print_stderr, reason = "a skipped test says so")]
async fn ansible(test: &str) -> Option<(TempDir, Harness)> {
    let is_there = std::env::var_os("PATH").is_some_and(|path| {
        std::env::split_paths(&path).any(|folder| folder.join("ansible-playbook").is_file())
    });
    if !is_there {
        eprintln!("skipped: {test}: ansible-playbook is not installed");
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let policy = format!("allow: {{playbooks: '{}'}}", folder.path().display());
    let executor = Harness::with(Trial::default()).policy(&policy).start().await;
    Some((folder, executor))
}

fn playbook(folder: &Path, name: &str, tasks: &Value) {
    let play =
        json!([{"hosts": "all", "gather_facts": false, "connection": "local", "tasks": tasks}]);
    std::fs::write(folder.join(name), play.to_string()).unwrap();
}

async fn run(executor: &Harness, params: Value) -> Outcome {
    executor.execute("run-playbook", params).await.unwrap()
}

#[tokio::test]
async fn a_playbook_tells_its_recap_and_takes_variables_as_they_are() {
    let name = "a_playbook_tells_its_recap_and_takes_variables_as_they_are";
    let Some((folder, executor)) = ansible(name).await else { return };
    let note = folder.path().join("note");
    playbook(
        folder.path(),
        "site.yml",
        &json!([
            {"name": "write", "ansible.builtin.copy": {"dest": note, "content": "{{ text }} {{ number }}"}},
            {"name": "skip", "ansible.builtin.debug": {"msg": "x"}, "when": "flag"},
            {"name": "shrug", "ansible.builtin.fail": {"msg": "never mind"}, "ignore_errors": true},
        ]),
    );
    let text = "{{ lookup('pipe', 'id') }} \"ä\u{7f}😀";

    let outcome = run(
        &executor,
        json!({
            "playbook": "site.yml", "inventory": "thor,loki,", "limit": "thor",
            "extra_vars": {"text": text, "flag": false, "number": 1e100}
        }),
    )
    .await;

    assert_eq!(outcome.status, Ending::Completed, "{:?}\n{}", outcome.error, outcome.output);
    assert_eq!(outcome.exit_code, Some(0));
    assert_eq!(outcome.data["changed"], json!(1));
    let thor = &outcome.data["hosts"]["thor"];
    assert_eq!(
        (&thor["changed"], &thor["skipped"], &thor["ignored"]),
        (&json!(1), &json!(1), &json!(1))
    );
    assert_eq!(outcome.data["hosts"].as_object().unwrap().len(), 1);
    assert_eq!(outcome.data["failed_tasks"], json!([]));
    assert!(outcome.output.contains("PLAY RECAP"), "{}", outcome.output);
    assert_eq!(std::fs::read_to_string(note).unwrap(), format!("{text} 1e+100"));
}

#[tokio::test]
async fn a_failing_playbook_names_the_task_the_host_and_the_message() {
    let name = "a_failing_playbook_names_the_task_the_host_and_the_message";
    let Some((folder, executor)) = ansible(name).await else { return };
    playbook(
        folder.path(),
        "site.yml",
        &json!([
            {"name": "stop here", "ansible.builtin.fail": {"msg": "the disk is full"}},
        ]),
    );

    let outcome = run(&executor, json!({"playbook": "site.yml", "inventory": "thor,"})).await;

    assert_eq!(outcome.status, Ending::Failed);
    assert_eq!(outcome.exit_code, Some(2));
    assert_eq!(
        outcome.error.as_deref(),
        Some(
            "`site.yml` exited with 2 (tasks failed): task `stop here` failed on `thor`: the disk is full"
        )
    );
    assert_eq!(outcome.data["failed_tasks"][0]["task"], json!("stop here"));
    assert_eq!(outcome.data["hosts"]["thor"]["failed"], json!(1));
}

#[tokio::test]
async fn an_unreadable_playbook_and_an_unmatched_host_are_failures() {
    let name = "an_unreadable_playbook_and_an_unmatched_host_are_failures";
    let Some((folder, executor)) = ansible(name).await else { return };
    std::fs::write(folder.path().join("broken.yml"), "- hosts: all\n  tasks: [{nonsense: 1}]\n")
        .unwrap();
    std::fs::write(folder.path().join("nobody.yml"), "- hosts: nobody\n  tasks: []\n").unwrap();

    let broken = run(&executor, json!({"playbook": "broken.yml", "inventory": "thor,"})).await;
    let nobody = run(&executor, json!({"playbook": "nobody.yml", "inventory": "thor,"})).await;
    let absent = run(&executor, json!({"playbook": "absent.yml"})).await;

    assert_eq!(broken.status, Ending::Failed);
    assert!(broken.error.unwrap().contains("exited with 4"));
    assert_eq!(nobody.status, Ending::Failed);
    assert!(nobody.error.unwrap().contains("matched no host"));
    assert_eq!(absent.status, Ending::Failed);
    assert!(absent.error.unwrap().contains("there is no playbook `absent.yml`"));
}

#[tokio::test]
async fn a_playbook_ends_at_its_limit_and_when_it_is_cancelled() {
    let name = "a_playbook_ends_at_its_limit_and_when_it_is_cancelled";
    let Some((folder, executor)) = ansible(name).await else { return };
    let (mark, note) = (folder.path().join("mark"), folder.path().join("note"));
    playbook(
        folder.path(),
        "site.yml",
        &json!([
            {"name": "begin", "ansible.builtin.command": {"argv": ["touch", mark]}},
            {"name": "hang", "ansible.builtin.command": "sleep 609"},
            {"name": "write", "ansible.builtin.copy": {"dest": note, "content": "x"}},
        ]),
    );
    let order = json!({"playbook": "site.yml", "inventory": "thor,"});

    let started = executor.execute_async("run-playbook", order.clone()).await.unwrap();
    until("the playbook hangs", async || mark.exists()).await;
    executor.log_contains(started.attempt, "TASK [hang]").await;
    executor.cancel(started.attempt).await.unwrap();
    let cancelled = executor.outcome(started.attempt).await;
    let mut order = Harness::new_order("run-playbook", order);
    order.timeout_seconds = Some(1.0);
    let limited = executor.order(&order).await.unwrap();

    assert_eq!(cancelled.status, Ending::Cancelled, "{cancelled:?}");
    assert_eq!(limited.status, Ending::TimedOut, "{limited:?}");
    assert!(!note.exists());
    // Ansible's own children have gone along.
    let left = std::fs::read_dir("/proc").unwrap().flatten().any(|process| {
        let line = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
        line == b"sleep\x00609\0"
    });
    assert!(!left);
}

#[tokio::test]
async fn a_host_that_is_not_reached_is_a_failure() {
    let name = "a_host_that_is_not_reached_is_a_failure";
    let Some((folder, executor)) = ansible(name).await else { return };
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let inventory = format!("thor ansible_host=127.0.0.1 ansible_port={closed}\n");
    std::fs::write(folder.path().join("hosts"), inventory).unwrap();
    let play = json!([{"hosts": "all", "gather_facts": false, "tasks": [
        {"name": "write", "ansible.builtin.raw": "true"}]}]);
    std::fs::write(folder.path().join("site.yml"), play.to_string()).unwrap();

    let outcome = run(&executor, json!({"playbook": "site.yml", "inventory": "hosts"})).await;

    assert_eq!(outcome.status, Ending::Failed, "{outcome:?}");
    assert_eq!(outcome.exit_code, Some(4));
    assert_eq!(outcome.data["hosts"]["thor"]["unreachable"], json!(1), "{outcome:?}");
    assert!(outcome.error.as_ref().unwrap().contains("`thor`"), "{outcome:?}");
}

#[tokio::test]
async fn check_mode_tags_and_diff_reach_ansible() {
    let name = "check_mode_tags_and_diff_reach_ansible";
    let Some((folder, executor)) = ansible(name).await else { return };
    let note = folder.path().join("note");
    playbook(
        folder.path(),
        "site.yml",
        &json!([
            {"name": "a", "ansible.builtin.copy": {"dest": note, "content": "new\n"}, "tags": ["one"]},
            {"name": "b", "ansible.builtin.fail": {"msg": "x"}, "tags": ["two"]},
        ]),
    );

    let outcome = run(&executor, json!({
        "playbook": "site.yml", "inventory": "thor,", "tags": ["one"], "check": true, "diff": true
    }))
    .await;

    assert_eq!(outcome.status, Ending::Completed, "{:?}", outcome.error);
    assert_eq!(outcome.data["changed"], json!(1));
    assert!(outcome.output.contains("+new"), "{}", outcome.output);
    assert!(!note.exists());
}

#[tokio::test]
async fn an_order_cannot_widen_what_a_playbook_may_do() {
    let folder = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    let inventory = outside.path().join("hosts");
    std::fs::write(&inventory, "thor\n").unwrap();
    std::fs::write(folder.path().join("site.yml"), "[]").unwrap();
    let policy = format!("allow: {{playbooks: '{}'}}", folder.path().display());
    let executor = Harness::with(Trial::default()).policy(&policy).start().await;
    let order = async |params| executor.execute("run-playbook", params).await;

    let up = order(json!({"playbook": "../site.yml"})).await.unwrap_err();
    let away = order(json!({"playbook": "site.yml", "inventory": inventory})).await.unwrap_err();

    is(&up, RefusalCode::Forbidden, "`allow.playbooks`");
    is(&away, RefusalCode::Forbidden, "`allow.playbooks`");
    let Some((folder, executor)) = ansible("an_order_cannot_widen_what_a_playbook_may_do").await
    else {
        return;
    };
    playbook(folder.path(), "site.yml", &json!([]));
    for params in [
        json!({"playbook": "site.yml", "extra_vars": {"ansible_connection": "local"}}),
        json!({"playbook": "site.yml", "limit": "@/etc/passwd"}),
    ] {
        let outcome = run(&executor, params).await;
        assert_eq!(outcome.status, Ending::Failed, "{}", outcome.output);
        assert_eq!(outcome.exit_code, None);
    }
}

#[tokio::test]
async fn the_vault_opens_with_the_nodes_password_alone() {
    let name = "the_vault_opens_with_the_nodes_password_alone";
    let Some((folder, without)) = ansible(name).await else { return };
    let password = folder.path().join("password");
    std::fs::write(&password, "open-sesame\n").unwrap();
    let shown = folder.path().display();
    let policy = |vault: &str| {
        format!(
            "allow: {{commands: [ansible-vault], playbooks: '{shown}', vault_password: '{vault}'}}"
        )
    };
    let by_file = policy(password.to_str().unwrap());
    let by_file = Harness::with(Trial::default()).policy(&by_file).start().await;
    let by_secret = Harness::with(Trial::default())
        .policy(&policy("secret:vault"))
        .secret("vault", "open-sesame")
        .start()
        .await;
    let wrong = Harness::with(Trial::default())
        .policy(&policy("secret:vault"))
        .secret("vault", "shut-tight")
        .start()
        .await;
    let absent = Harness::with(Trial::default()).policy(&policy("secret:vault")).start().await;
    std::fs::write(folder.path().join("vault.yml"), "word: hush-hush\n").unwrap();
    let args =
        json!(["encrypt", "--vault-password-file", password, folder.path().join("vault.yml")]);
    let encrypted = json!({"program": "ansible-vault", "args": args});
    let encrypted = by_file.execute("run-command", encrypted).await.unwrap();
    let note = folder.path().join("note");
    playbook(
        folder.path(),
        "site.yml",
        &json!([
            {"ansible.builtin.include_vars": {"file": folder.path().join("vault.yml")}},
            {"ansible.builtin.copy": {"dest": note, "content": "{{ word }}", "mode": "0600"}},
            {"ansible.builtin.command": "echo open-sesame"},
        ]),
    );
    let order = json!({"playbook": "site.yml", "inventory": "thor,"});
    let verbose = json!({
        "playbook": "site.yml", "inventory": "thor,", "extra_vars": {"vault_password_file": "/etc/passwd"},
    });

    let closed = run(&without, order.clone()).await;
    let refused = run(&wrong, order.clone()).await;
    let lost = run(&absent, order.clone()).await;
    let was_there = note.exists();
    let file = run(&by_file, order).await;
    let secret = run(&by_secret, verbose).await;

    assert_eq!(encrypted.status, Ending::Completed, "{encrypted:?}");
    assert!(!was_there);
    for outcome in [&closed, &refused, &lost] {
        assert_eq!(outcome.status, Ending::Failed, "{outcome:?}");
    }
    assert!(lost.error.unwrap().contains("this node has no `secret:vault`"));
    assert_eq!(file.status, Ending::Completed, "{:?}", file.error);
    assert_eq!(secret.status, Ending::Completed, "{:?}", secret.error);
    assert_eq!(std::fs::read_to_string(note).unwrap(), "hush-hush");
    let told = json!(secret).to_string();
    assert!(!told.contains("open-sesame") && !told.contains("hush-hush"), "{told}");
}

/// With the real Ansible; the executors' own tests try these tasks with a stand-in.
#[tokio::test]
async fn no_text_of_an_order_is_taken_at_more_than_its_word() {
    let name = "no_text_of_an_order_is_taken_at_more_than_its_word";
    let Some((folder, _)) = ansible(name).await else { return };
    // Each order takes a second.
    let told = ["$(", "'; ", "lookup(", "--extra-vars", "@/etc", "--help", "\0touch", "../../etc"];
    let table = Table::new().only(|value| told.iter().any(|part| value.contains(part)));
    let inside = tempfile::tempdir().unwrap();
    let executor = Harness::with(Plain).confined(inside.path(), folder.path()).start().await;
    playbook(folder.path(), "site.yml", &json!([{"ansible.builtin.debug": {"var": "word"}}]));

    let figures = table.try_all(&executor, |_| builtin("site.yml"), |_, _, _| {}).await;

    assert_eq!(figures.params, 9);
    assert!(figures.values >= told.len() && figures.completed > 20, "{figures}");
    assert_eq!(std::fs::read_dir(inside.path()).unwrap().count(), 0);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}
