use std::os::unix::fs::symlink;

use super::*;

fn policy(text: &str) -> Policy {
    Policy::parse(text, Path::new("policy.yaml")).unwrap()
}

fn refused(text: &str) -> String {
    Policy::parse(text, Path::new("policy.yaml")).unwrap_err().to_string()
}

fn machine() -> Environment {
    Environment { path: Some("/usr/bin:/bin".into()), ..Environment::default() }
}

fn allows(policy: &Policy, ask: &Ask) -> bool {
    policy.judge(ask, &machine()).is_ok()
}

fn command(name: &str) -> Ask {
    Ask::Command(name.to_owned())
}

fn test_command(words: &[&str]) -> Ask {
    Ask::TestCommand(words.iter().map(|word| (*word).to_owned()).collect())
}

#[test]
fn without_a_file_only_commands_playbooks_and_test_commands_are_closed() {
    let policy = Policy::load(Path::new("/nonexistent/policy.yaml"), true).unwrap();

    assert!(!allows(&policy, &command("uptime")));
    assert!(!allows(&policy, &Ask::Playbook("site.yml".into())));
    assert!(!allows(&policy, &test_command(&["make"])));
    assert!(allows(&policy, &Ask::Path("/srv".into())));
}

#[test]
fn a_service_is_the_same_with_and_without_its_suffix() {
    let listed = policy("allow: {services: [plex, nginx.service, backup.timer]}");
    let service = |name: &str| Ask::Service(name.to_owned());

    for name in ["plex", "plex.service", "nginx", "nginx.service", "backup.timer"] {
        assert!(allows(&listed, &service(name)), "{name}");
        assert!(!allows(&policy(""), &service(name)), "{name}");
    }
    for name in ["backup", "plex.timer", "plex.service.service", "-plex", "sshd"] {
        assert!(!allows(&listed, &service(name)), "{name}");
    }
}

#[test]
fn a_given_file_must_exist() {
    let error = Policy::load(Path::new("/nonexistent/policy.yaml"), false).unwrap_err();

    assert_eq!(error.to_string(), "cannot read the policy `/nonexistent/policy.yaml`");
}

#[test]
fn an_empty_file_is_as_none() {
    let empty = policy("");

    assert!(!allows(&empty, &command("uptime")));
    assert!(allows(&empty, &Ask::Path("/srv".into())));
}

#[test]
fn a_refusal_names_the_rule_and_the_file() {
    let forbidden =
        policy("allow: {commands: [uptime]}").judge(&command("rm"), &machine()).unwrap_err();

    assert_eq!(forbidden.error, "the policy rule `allow.commands` of this node does not list `rm`");
    assert!(forbidden.hint.contains("policy.yaml"));
}

#[test]
fn a_name_and_its_full_path_are_one_command_and_another_path_is_not() {
    let by_name = policy("allow: {commands: [sh]}");
    let by_path = policy("allow: {commands: [/usr/bin/sh]}");

    assert!(allows(&by_name, &command("sh")));
    assert!(allows(&by_name, &command("/usr/bin/sh")));
    assert!(!allows(&by_name, &command("/tmp/sh")));
    assert!(!allows(&by_name, &command("./sh")));
    assert!(allows(&by_path, &command("sh")));
    assert!(!allows(&by_path, &command("bash")));
}

#[test]
fn test_commands_are_compared_word_by_word() {
    let policy = policy("allow: {test_commands: ['make  check', [cargo, test]]}");

    assert!(allows(&policy, &test_command(&["make", "check"])));
    assert!(allows(&policy, &test_command(&["cargo", "test"])));
    assert!(!allows(&policy, &test_command(&["make"])));
    assert!(!allows(&policy, &test_command(&["make", "check", "; rm -rf /"])));
}

#[test]
fn paths_are_judged_after_dots_and_symlinks() {
    let home = tempfile::tempdir().unwrap();
    let root = home.path().canonicalize().unwrap();
    std::fs::create_dir_all(root.join("repos/inner")).unwrap();
    std::fs::create_dir_all(root.join("secret")).unwrap();
    symlink(root.join("secret"), root.join("repos/out")).unwrap();
    symlink("../gone", root.join("repos/dangling")).unwrap();
    symlink("inner", root.join("repos/in")).unwrap();
    let policy = policy(&format!("allow: {{paths: ['{}']}}", root.join("repos").display()));
    let path = |name: &str| Ask::Path(root.join(name));

    assert!(allows(&policy, &path("repos")));
    assert!(allows(&policy, &path("repos/new/deep")));
    assert!(allows(&policy, &path("repos/in/x")));
    assert!(allows(&policy, &path("repos/inner/../x")));
    assert!(!allows(&policy, &path("repos/../secret")));
    assert!(!allows(&policy, &path("repos/out/x")));
    assert!(!allows(&policy, &path("repos/dangling/x")));
    assert!(!allows(&policy, &path("repository")));
    assert!(!allows(&policy, &Ask::Path("repos".into())));
}

#[test]
fn a_circle_of_symlinks_is_not_followed_for_ever() {
    let home = tempfile::tempdir().unwrap();
    symlink("b", home.path().join("a")).unwrap();
    symlink("a", home.path().join("b")).unwrap();
    let policy = policy(&format!("allow: {{paths: ['{}']}}", home.path().display()));

    assert!(!allows(&policy, &Ask::Path(home.path().join("a"))));
}

#[test]
fn playbooks_are_below_their_folder_or_not_at_all() {
    let home = tempfile::tempdir().unwrap();
    let root = home.path().canonicalize().unwrap();
    let folder = root.join("playbooks");
    std::fs::create_dir_all(folder.join("sub")).unwrap();
    std::fs::write(folder.join("sub/site.yml"), "").unwrap();
    std::fs::write(root.join("evil.yml"), "").unwrap();
    symlink(root.join("evil.yml"), folder.join("link.yml")).unwrap();
    let policy = policy(&format!("allow: {{playbooks: '{}'}}", folder.display()));
    let book = |name: &str| Ask::Playbook(name.to_owned());

    assert!(allows(&policy, &book("sub/site.yml")));
    assert!(allows(&policy, &Ask::Playbook(folder.join("sub/site.yml").display().to_string())));
    assert!(!allows(&policy, &book("../evil.yml")));
    assert!(!allows(&policy, &book("sub/../../evil.yml")));
    assert!(!allows(&policy, &book("link.yml")));
    assert!(!allows(&policy, &book("/etc/passwd")));
    assert!(!allows(&policy, &book(".")));
}

#[test]
fn what_is_wrong_in_the_file_is_told_with_its_place() {
    assert_eq!(
        refused("allow:\n  comands: [uptime]\n"),
        "policy.yaml:2:3: allow: unknown field `comands`, expected one of `commands`, \
         `playbooks`, `paths`, `services`, `test_commands`, `vault_password`, `update_commands`; did you mean `commands`?"
    );
    assert!(refused("allow:\n  commands: [a]\n  commands: [b]\n").contains("duplicate"));
    assert!(refused("allow:\n  commands: uptime\n").starts_with("policy.yaml:2:"));
    assert!(refused("allow: {paths: [relative]}").contains("`allow.paths[0]`"));
    assert!(refused("allow: {playbooks: /nonexistent}").contains("`allow.playbooks`"));
    assert!(refused("allow: {commands: [./x]}").contains("`allow.commands[0]`"));
    assert!(refused("allow: {vault_password: /nonexistent}").contains("an existing file"));
    assert!(refused("allow: {vault_password: hush-hush}").contains("is not repeated here"));
    assert!(!refused("allow: {vault_password: hush-hush}").contains("hush-hush"));
    assert!(refused("alow: {}").contains("did you mean `allow`?"));
    assert!(refused("allow: {test_commands: ['']}").contains("`allow.test_commands[0]`"));
}
