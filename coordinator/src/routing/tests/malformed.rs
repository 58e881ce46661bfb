//! What is told about a file that is wrong: every problem, its place, and what was meant.

use crate::routing::parse;

fn told(text: &str) -> Vec<String> {
    match parse(text, "r.yaml") {
        Ok(_) => vec!["valid".to_owned()],
        Err(problems) => problems.iter().map(ToString::to_string).collect(),
    }
}

/// Checks a table: a line of YAML with `@` where the problem is, and below it, indented, what is
/// told. Both `head` and the line are one file.
fn check(head: &str, table: &str) {
    let lines: Vec<&str> = table.lines().filter(|line| !line.is_empty()).collect();
    assert!(lines.len() > 1 && lines.len().is_multiple_of(2), "the table is uneven");
    for pair in lines.chunks(2) {
        let (before, after) = pair[0].split_once('@').expect("the line has no mark");
        let text = format!("{head}{before}{after}\n");
        let line = head.lines().count() + 1;
        let column = before.chars().count() + 1;

        let expected = format!("r.yaml:{line}:{column}: {}", pair[1].trim_start());

        assert_eq!(told(&text), [expected], "{text}");
    }
}

/// Executors that the other sections may name.
const HEAD: &str = "executors: { fenrir: 'http://fenrir:5000', surtr: 'http://surtr:5000' }\n";

#[test]
fn the_file_as_a_whole() {
    check(
        "",
        "
@routes: {}
  there is no `executors`; without any write `executors: {}`
@- executors
  expected the sections of the file (executors, routes, …), found a list
@executors
  expected the sections of the file (executors, routes, …), found `executors`
executors: @!secret {}
  executors: expected executors by name, found the tag `!secret`
executors: @[]
  executors: expected executors by name, found a list
",
    );
    check(
        "executors: {}\n",
        "
@executors: {}
  executors: is there twice; keep one of them
@route: {}
  route: unknown field; known are executors, routes, default, limits, retry, idempotent, hosts; did you mean `routes`?
@colour: red
  colour: unknown field; known are executors, routes, default, limits, retry, idempotent, hosts
@1: {}
  expected a name, found a number; quote it
@[a]: {}
  expected a name, found a list; quote it
@<<: {}
  \"<<\": unknown field; known are executors, routes, default, limits, retry, idempotent, hosts
--- @{}
  a second document begins here; expected one
",
    );
    for empty in ["", "# nothing yet\n", "---\n", "~\n"] {
        assert_eq!(
            told(empty),
            ["r.yaml: the file is empty; the least that is valid is `executors: {}`"]
        );
    }
}

#[test]
fn text_that_is_not_yaml_is_told_with_its_place() {
    let tab = told("executors:\n\tfenrir: http://f:1\n");
    let open = told("executors: { fenrir: 'http://f:1'\nroutes: {}\n");
    let anchor = told("executors: *nobody\n");
    let deep = told(&format!("executors: {}", "[".repeat(5000)));
    let nul = told("executors: {}\n\0\n");

    for lines in [&tab, &open, &anchor, &deep, &nul] {
        assert_eq!(lines.len(), 1, "{lines:?}");
    }
    assert!(tab[0].starts_with("r.yaml:2:1: not valid YAML: "), "{tab:?}");
    assert!(tab[0].ends_with("(a tab cannot indent; use spaces)"), "{tab:?}");
    assert_eq!(
        open[0],
        "r.yaml:2:1: not valid YAML: did not find expected ',' or '}', while parsing a flow mapping \
         at line 1 column 12"
    );
    assert_eq!(anchor[0], "r.yaml:1:12: not valid YAML: unknown anchor");
    assert!(deep[0].ends_with("not valid YAML: recursion limit exceeded"), "{deep:?}");
    assert!(nul[0].contains("not valid YAML: control characters are not allowed"), "{nul:?}");
}

#[test]
fn a_bomb_of_aliases_is_refused() {
    let mut lines = vec!["executors: {}".to_owned(), "hosts:".to_owned()];
    lines.push("  a0: &a0 [x, x, x, x, x, x, x, x, x]".to_owned());
    for level in 1..12 {
        let row = vec![format!("*a{}", level - 1); 9].join(", ");
        lines.push(format!("  a{level}: &a{level} [{row}]"));
    }

    assert_eq!(told(&lines.join("\n")), ["r.yaml: not valid YAML: repetition limit exceeded"]);
}

#[test]
fn executors() {
    check(
        "",
        "
executors: { a: @surtr:5000 }
  executors.a: expected a URL such as http://surtr:5000, found `surtr:5000` (no http:// before it)
executors: { a: @surtr }
  executors.a: expected a URL such as http://surtr:5000, found `surtr` (no http:// before it)
executors: { a: @ftp://surtr }
  executors.a: expected a URL such as http://surtr:5000, found `ftp://surtr` (no http:// before it)
executors: { a: @'http://' }
  executors.a: expected a URL such as http://surtr:5000, found `http://`: empty host
executors: { a: @'http://s:99999' }
  executors.a: expected a URL such as http://surtr:5000, found `http://s:99999`: invalid port number
executors: { a: @'http://s:0' }
  executors.a: expected a port from 1 to 65535, found `http://s:0`
executors: { a: @'http://s:1/execute' }
  executors.a: expected a URL such as http://surtr:5000 with nothing after the port, found `http://s:1/execute`
executors: { a: @'http://me:hush\x40s:1' }
  executors.a: a URL carries no user and no password; use `token_file`
executors: { a: @5000 }
  executors.a: expected a URL such as http://surtr:5000, or `url:` and more, found `5000`
executors: { a: @[] }
  executors.a: expected a URL such as http://surtr:5000, or `url:` and more, found a list
executors: { a: @{ limit: 1 } }
  executors.a: there is no `url`, such as `url: http://surtr:5000`
executors: { a: @'' }
  executors.a: expected a URL such as http://surtr:5000, found empty text
executors: { a: { url: 'http://s:1', @limt: 1 } }
  executors.a.limt: unknown field; known are url, host, limit, token_file; did you mean `limit`?
executors: { a: { url: 'http://s:1', limit: @0 } }
  executors.a.limit: expected how many tasks at a time, at least 1: 0 would stop everything
executors: { a: { url: 'http://s:1', limit: @-2 } }
  executors.a.limit: expected how many tasks at a time, from 1 to 4294967295, found `-2`
executors: { a: { url: 'http://s:1', limit: @many } }
  executors.a.limit: expected how many tasks at a time, a whole number, found `many`
executors: { a: { url: 'http://s:1', limit: @1.5 } }
  executors.a.limit: expected how many tasks at a time, a whole number, found `1.5`
executors: { a: { url: 'http://s:1', limit: @null } }
  executors.a.limit: expected how many tasks at a time, a whole number, found nothing
executors: { a: { url: 'http://s:1', @url: 'http://t:1' } }
  executors.a.url: is there twice; keep one of them
executors: { a: { url: 'http://s:1', host: @'a b' } }
  executors.a.host: expected a machine's name, found `a b`
executors: { a: { url: 'http://s:1', token_file: @./t/k } }
  executors.a.token_file: expected an absolute path or the name of a systemd credential, found `./t/k`
executors: { a: 'http://s:1', @a: 'http://t:1' }
  executors.a: is there twice; keep one of them
executors: { a: 'http://s:1', @a-executor: 'http://t:1' }
  executors.a-executor: is the same executor as `a`; the `-executor` makes no difference
executors: { a: 'http://s:1', @b: 'http://s:1/' }
  executors.b: has the URL of `a`
executors: { @'a b': 'http://s:1' }
  executors.\"a b\": expected a name of letters, digits, `-`, `_` and `.`, found `a b`
executors: { @\"a\\e[31m\": 'http://s:1' }
  executors.\"a\\u{1b}[31m\": expected a name of letters, digits, `-`, `_` and `.`, found `a\\u{1b}[31m`
executors: { @-executor: 'http://s:1' }
  executors.-executor: expected a name of letters, digits, `-`, `_` and `.`, found `-executor`
",
    );
}

#[test]
fn a_password_in_a_url_is_not_repeated() {
    let lines = told("executors: { a: 'http://me:hush@s:1' }\n");

    assert!(!lines[0].contains("hush"), "{lines:?}");
}

#[test]
fn routes_and_default() {
    check(
        HEAD,
        "
routes: { llm-*: @surt }
  routes.llm-*: no executor is called `surt`; did you mean `surtr`?
routes: { llm-*: @loki }
  routes.llm-*: no executor is called `loki`; known are fenrir, surtr
routes: { a: [surtr, @fenrirr] }
  routes.a[1]: no executor is called `fenrirr`; did you mean `fenrir`?
routes: { a: [surtr, @surtr-executor] }
  routes.a[1]: names `surtr` again
routes: { a: @[] }
  routes.a: the list is empty; name an executor, or leave the route out
routes: { a: @5 }
  routes.a: expected an executor's name, what a runner must be, or a list of these, found `5`
routes: { a: @{} }
  routes.a: this fits every runner; say what a runner must be, such as `{ capability: llm, labels: { gpu: amd } }`
routes: { a: @{ labels: {} } }
  routes.a: this fits every runner; say what a runner must be, such as `{ capability: llm, labels: { gpu: amd } }`
routes: { a: { @capabilty: llm } }
  routes.a.capabilty: unknown field; known are name, capability, labels; did you mean `capability`?
routes: { a: { labels: { gpu: @5 } } }
  routes.a.labels.gpu: expected a label's value as text (in quotes), found `5`
routes: { a: [{ capability: llm }, @{ capability: llm }] }
  routes.a[1]: names a runner with capability `llm` again
routes: { @a-*-b: surtr }
  routes.a-*-b: a `*` may only stand at the end, once
routes: { @a**: surtr }
  routes.a**: a `*` may only stand at the end, once
routes: { @'*': surtr }
  routes.*: `*` alone takes everything: write it as `default:`
routes: { @'git clone': surtr }
  routes.\"git clone\": expected a task type such as git-clone, or a prefix such as git-*
routes: { @'': surtr }
  routes.\"\": expected a task type such as git-clone, or a prefix such as git-*
routes: { a-*: surtr, @a-*: fenrir }
  routes.a-*: is there twice; keep one of them
routes: @[a]
  routes: expected task types and their executors, found a list
default: @hugin
  default: no executor is called `hugin`; known are fenrir, surtr
default: @[surtr]
  default: expected an executor's name, found a list
",
    );
    check(
        "executors: {}\n",
        "default: @a\n  default: no executor is called `a`; `executors` has none",
    );
}

#[test]
fn limits_and_retries() {
    check(
        HEAD,
        "
limits: { total: @0 }
  limits.total: expected how many tasks at a time, at least 1: 0 would stop everything
limits: { per_type: { @llm-*: 1 } }
  limits.per_type.llm-*: expected a task type in full; a `*` is read in `routes` only
limits: { per_type: { a: 1, @a: 2 } }
  limits.per_type.a: is there twice; keep one of them
limits: { per_label: { gpu: @lots } }
  limits.per_label.gpu: expected how many tasks at a time, a whole number, found `lots`
limits: { exclusive: @power-off }
  limits.exclusive: expected a list of task types, found `power-off`
limits: { exclusive: [a, @a] }
  limits.exclusive[1]: names `a` again
limits: { attempts_per_minute: @0 }
  limits.attempts_per_minute: expected how many attempts within a minute, at least 1: 0 would stop everything
limits: { @per_host: {} }
  limits.per_host: unknown field; known are total, per_type, per_label, exclusive, attempts_per_minute
limits: { @per_tpye: {} }
  limits.per_tpye: unknown field; known are total, per_type, per_label, exclusive, attempts_per_minute; did you mean `per_type`?
retry: { attempts: @0 }
  retry.attempts: expected how many starts in all, at least 1: 0 would stop everything
retry: { backoff: { factor: @0.5 } }
  retry.backoff.factor: expected a factor from 1 to 100, found `0.5`
retry: { backoff: { factor: @.nan } }
  retry.backoff.factor: expected a factor from 1 to 100, found `NaN`
retry: { backoff: { factor: @two } }
  retry.backoff.factor: expected a number such as 2, found `two`
retry: { backoff: { first: @20m, max: 1m } }
  retry.backoff.first: the first pause is longer than `max`
retry: { backoff: { first: @0s } }
  retry.backoff.first: expected a duration longer than 0
retry: { backoff: @10s }
  retry.backoff: expected { first: 10s, factor: 2, max: 10m }, found `10s`
retry: { grace: @[2m] }
  retry.grace: expected a duration such as 90s, 10m or 1h30m, found a list
idempotent: [echo, @5]
  idempotent[1]: expected a task type as text (in quotes), found `5`
",
    );
}

#[test]
fn bad_durations_name_the_shape() {
    for bad in ["2 fortnights", "-2m", "-5", "m", "1h30", "''", ".inf"] {
        let told = told(&format!("{HEAD}retry: {{ grace: {bad} }}"));

        assert_eq!(told.len(), 1, "{bad}: {told:?}");
        assert!(told[0].starts_with("r.yaml:2:17: retry.grace: expected a duration"), "{told:?}");
    }
}

#[test]
fn hosts() {
    check(
        HEAD,
        "
hosts: {surtr: {mac: @11:22:33}}
  hosts.surtr.mac: expected a MAC address such as \"11:22:33:44:55:66\", found `11:22:33`
hosts: {surtr: {mac: @112233445566}}
  hosts.surtr.mac: expected a MAC address such as \"11:22:33:44:55:66\" as text (in quotes), found `112233445566`
hosts: {surtr: {mac: @11:22:33:44:55:zz}}
  hosts.surtr.mac: expected a MAC address such as \"11:22:33:44:55:66\", found `11:22:33:44:55:zz`
hosts: {surtr: {mac: @11:22:33:44:55:66:77}}
  hosts.surtr.mac: expected a MAC address such as \"11:22:33:44:55:66\", found `11:22:33:44:55:66:77`
hosts: {surtr: {mac: @11:22-33:44:55:66}}
  hosts.surtr.mac: expected a MAC address such as \"11:22:33:44:55:66\", found `11:22-33:44:55:66`
hosts: {surtr: {mac: @ff:ff:ff:ff:ff:ff}}
  hosts.surtr.mac: `ff:ff:ff:ff:ff:ff` is no address of a single network card
hosts: {surtr: {address: @'http://surtr'}}
  hosts.surtr.address: expected a host name or an IP address, without scheme and port, found `http://surtr`
hosts: {surtr: {address: @'surtr:5000'}}
  hosts.surtr.address: expected a host name or an IP address, without scheme and port, found `surtr:5000`
hosts: {surtr: {never_sleeps: @yes}}
  hosts.surtr.never_sleeps: expected true or false, found `yes`
hosts: {surtr: {never_sleeps: true, idle_after: @20m}}
  hosts.surtr.idle_after: contradicts `never_sleeps: true`; keep one of them
hosts: {surtr: {idle_after: @20m}}
  hosts.surtr.idle_after: nothing would wake it again; add `mac` and `wake`
hosts: {surtr: {idle_after: @0, mac: 11:22:33:44:55:66, wake: {}}}
  hosts.surtr.idle_after: expected a duration longer than 0
hosts: {surtr: {wake: @{by: magic-packet}}}
  hosts.surtr.wake: a magic packet needs the `mac` of this machine
hosts: {surtr: {mac: 11:22:33:44:55:66, wake: @magic-packet}}
  hosts.surtr.wake: expected { by: magic-packet, broadcast: 192.168.1.255, timeout: 3m }, found `magic-packet`
hosts: {surtr: {mac: 11:22:33:44:55:66, wake: {by: @magic-packte}}}
  hosts.surtr.wake.by: expected magic-packet, found `magic-packte`; did you mean `magic-packet`?
hosts: {surtr: {mac: 11:22:33:44:55:66, wake: {broadcast: @192.168.1}}}
  hosts.surtr.wake.broadcast: expected an IPv4 broadcast address such as 192.168.1.255, found `192.168.1`
hosts: {surtr: {limit: @0}}
  hosts.surtr.limit: expected how many tasks at a time on this machine, at least 1: 0 would stop everything
hosts: {surtr: {@mca: x}}
  hosts.surtr.mca: unknown field; known are address, mac, wake, idle_after, never_sleeps, limit; did you mean `mac`?
hosts: {@'my host': {}}
  hosts.\"my host\": expected a machine's name, found `my host`
",
    );
}

#[test]
fn two_hosts_are_two_machines() {
    let told = told(
        "executors: {}\nhosts:\n  a: { mac: '00:00:00:00:00:01' }\n  b: { mac: 00-00-00-00-00-01 }\n  \
         c: { address: x }\n  d: { address: x }\n",
    );

    assert_eq!(
        told,
        [
            "r.yaml:4:3: hosts.b: has the MAC address of `a`",
            "r.yaml:6:3: hosts.d: has the address of `c`",
        ]
    );
}

#[test]
fn an_executor_on_an_unknown_host_is_told_the_nearest() {
    let told = told("executors:\n  a: { url: 'http://a:1', host: surt }\nhosts: { surtr: {} }\n");

    assert_eq!(
        told,
        ["r.yaml:2:33: executors.a.host: no machine of `hosts` is called `surt`; add `surt: {}` \
          there; did you mean `surtr`?"]
    );
}

#[test]
fn a_mistake_is_told_where_the_alias_was_written_down() {
    let told = told(&format!("{HEAD}routes: {{ a: &all [surtr, fnrir], b: *all }}\n"));

    assert_eq!(
        told,
        [
            "r.yaml:2:27: routes.a[1]: no executor is called `fnrir`; did you mean `fenrir`?",
            "r.yaml:2:27: routes.b[1]: no executor is called `fnrir`; did you mean `fenrir`?",
        ]
    );
}

#[test]
fn every_problem_is_told_at_once_in_the_order_of_the_file() {
    let told = told(
        "executors:\n  fenrir: fenrir:5000\n  surtr:\n    url: http://surtr:5000\n    limit: 0\n\
         routes:\n  llm-*: [surtr, sutr]\n  git*clone: fenrir\nretry:\n  grace: soon\n\
         limit: { total: 1 }\n",
    );

    let places: Vec<&str> = told.iter().map(|line| line.split(": ").next().unwrap()).collect();
    assert_eq!(
        places,
        ["r.yaml:2:11", "r.yaml:5:12", "r.yaml:7:18", "r.yaml:8:3", "r.yaml:10:10", "r.yaml:11:1"]
    );
}

#[test]
fn a_flood_of_problems_is_cut_and_counted() {
    let lines: Vec<String> = (0..150).map(|number| format!("  e{number}: {number}")).collect();

    let told = told(&format!("executors:\n{}\n", lines.join("\n")));

    assert_eq!(told.len(), 101);
    assert_eq!(told[100], "r.yaml: 50 more problems like these");
}
